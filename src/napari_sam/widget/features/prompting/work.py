"""Objects that are being worked on: what was said of each, and what the model answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ....types import Mask, Plane, Prediction, Prompts


@dataclass(frozen=True, eq=False)
class ObjectInWork:
    """One object on one plane that is not kept yet.

    Attributes
    ----------
    prompts : Prompts
        What the user said.
    asked : Prompts
        The same, with the logits of the answer that it goes on from.
    answer : Prediction or None
        None as long as it is on its way.
    rank : int
        Which of the answer's masks is shown, the highest predicted IoU first.
    """

    prompts: Prompts
    asked: Prompts
    answer: Prediction | None = None
    rank: int = 0

    @property
    def shown(self) -> int:
        """Index of the mask that is shown."""
        if self.answer is None:
            return 0
        order = np.argsort(-self.answer.iou_predictions, kind="stable")
        return int(order[min(self.rank, len(order) - 1)])

    @property
    def mask(self) -> Mask | None:
        """The mask that is shown."""
        return None if self.answer is None else self.answer.masks[self.shown]


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of one plane; those objects have an answer already that did not change.

    Attributes
    ----------
    plane : Plane
    objects : mapping of int to ObjectInWork
    """

    plane: Plane
    objects: Mapping[int, ObjectInWork]

    @property
    def open(self) -> dict[int, Prompts]:
        """The prompts that wait for an answer, by object."""
        return {k: one.asked for k, one in self.objects.items() if one.answer is None}


def gone_on(prompts: Prompts, before: ObjectInWork | None) -> ObjectInWork:
    """Return an object with new prompts.

    Where they are those of before, it stays as it is; where they only add points, the question
    goes on from the mask that is shown; else it begins afresh.
    """
    if before is None or before.answer is None:
        return ObjectInWork(prompts, prompts)
    old, new = _said(before.prompts), _said(prompts)
    if old == new:
        return before
    same_box = old[0] == new[0]
    something = old[0] is not None or bool(old[1])
    if same_box and something and old[1] < new[1]:
        return ObjectInWork(prompts, prompts.with_mask(before.answer.logits(before.shown)))
    return ObjectInWork(prompts, prompts)


def _said(
    prompts: Prompts,
) -> tuple[tuple[float, ...] | None, frozenset[tuple[float, float, int]]]:
    """Return box and points, to be compared."""
    pairs = zip(prompts.point_coords, prompts.point_labels, strict=True)
    points = frozenset((float(x), float(y), int(label)) for (x, y), label in pairs)
    return None if prompts.box is None else tuple(prompts.box.tolist()), points
