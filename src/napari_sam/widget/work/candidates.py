"""Candidates: the outlines among which an object is shown, and which of them is shown first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...masks import iou
from ...predict.lowering import stroke_points
from ...types import Mask, MaskLogits, Prediction, Prompts

SIZES = ("part", "whole", "group")
"""What the three masks of an ambiguous click are called, from small to large."""
GAIN = 0.05
"""By how much the predicted IoU must rise for an answer to take the place of an outline that agrees
with all prompts already. Such a prompt tells nothing new, and answers to it tend to be worse:
benchmarks/clicks.py."""
ALIKE = 0.97
"""Outlines of a higher IoU with each other are the same to the user."""
DROP = 0.1
"""A fall of the predicted IoU by so much is worth a warning."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One outline that may be shown for an object.

    Attributes
    ----------
    answer : Prediction
        Where it comes from.
    index : int
        Which of its masks it is.
    earlier : bool
        Whether it answers fewer prompts than there are now.
    """

    answer: Prediction
    index: int
    earlier: bool = False

    @property
    def mask(self) -> Mask:
        """The outline."""
        return self.answer.masks[self.index]

    @property
    def score(self) -> float:
        """Predicted IoU."""
        return float(self.answer.iou_predictions[self.index])

    @property
    def logits(self) -> MaskLogits:
        """What a correction goes on from."""
        return self.answer.logits(self.index)


def candidates_of(
    answer: Prediction, prompts: Prompts, before: Candidate | None = None
) -> tuple[Candidate, ...]:
    """Return the candidates of an object, those of the answer first.

    Parameters
    ----------
    answer : Prediction
    prompts : Prompts
        All that the user said.
    before : Candidate, optional
        What was shown before the last of the prompts. It stays if it agrees with all of them, and
        the answer has no mask like it.
    """
    found = [Candidate(answer, k) for k in range(len(answer.masks))]
    if before is None or not before.mask or violations(before.mask, prompts):
        return tuple(found)
    if any(iou(one.mask, before.mask) >= ALIKE for one in found):
        return tuple(found)
    return *found, Candidate(before.answer, before.index, earlier=True)


def best_of(candidates: Sequence[Candidate], prompts: Prompts) -> int:
    """Return the index of the candidate to be shown, unless the user chooses.

    It is the one that contradicts the fewest prompts; among these, the one of the highest predicted
    IoU. That has to be higher by `GAIN` than that of an earlier one.
    """

    def order(index: int) -> tuple[int, float]:
        one = candidates[index]
        return violations(one.mask, prompts), -one.score - one.earlier * GAIN

    return min(range(len(candidates)), key=order)


def by_size(candidates: Sequence[Candidate]) -> list[int]:
    """Return the indices of candidates, from small to large."""
    return sorted(range(len(candidates)), key=lambda index: candidates[index].mask.area)


def names_of(candidates: Sequence[Candidate]) -> dict[int, str]:
    """Return what candidates are called, by index."""
    order = by_size(candidates)
    new = [index for index in order if not candidates[index].earlier]
    names = SIZES if len(new) == len(SIZES) else ["new answer"] * len(new)
    named = dict(zip(new, names, strict=True))
    return {index: named.get(index, "answer before") for index in order}


def others_of(candidates: Sequence[Candidate], shown: int) -> dict[int, Mask]:
    """Return the masks of candidates unlike the one shown, by place from small to large."""
    own, order = candidates[shown].mask, by_size(candidates)
    masks = {k: candidates[index].mask for k, index in enumerate(order) if index != shown}
    return {k: mask for k, mask in masks.items() if iou(mask, own) < ALIKE}


def doubt_of(shown: Candidate, prompts: Prompts, before: Candidate | None) -> str:
    """Return what is to be said of a candidate that may be worse than it should be; "" if nothing.

    Parameters
    ----------
    shown : Candidate
    prompts : Prompts
        All that the user said.
    before : Candidate or None
        What was shown before the last of the prompts.
    """
    if shown.earlier:
        return "the outline before agrees with all prompts and stays, N shows the new one; "
    doubt = ""
    if before is not None and shown.score < before.score - DROP:
        doubt = f"predicted IoU fell from {before.score:.2f} to {shown.score:.2f}, B steps back; "
    against = violations(shown.mask, prompts)
    points = "point" if against == 1 else "points"
    return doubt + (f"the outline contradicts {against} {points}; " if against else "")


def violations(mask: Mask, prompts: Prompts) -> int:
    """Return how many points of the prompts a mask contradicts; see `lowered` for scribbles."""
    paths = [(stroke_points(stroke, mask.size), stroke.label) for stroke in prompts.strokes]
    points = [prompts.point_coords, *(path for path, _ in paths)]
    labels = [prompts.point_labels, *(np.full(len(path), label) for path, label in paths)]
    xy, wanted = np.rint(np.concatenate(points)).astype(int), np.concatenate(labels)
    inside = np.zeros(len(xy), bool)
    if mask:
        near = np.flatnonzero(((xy >= mask.box[:2]) & (xy <= mask.box[2:])).all(axis=1))
        columns, rows = (xy[near] - mask.box[:2]).T
        inside[near] = mask.bits[rows, columns]
    return int(np.count_nonzero(inside != (wanted == 1)))


class SizePreference:
    """Which size of an ambiguous click is shown first: that which the user chose last.

    Attributes
    ----------
    size : int or None
        Place in the order of sizes, from small to large; None is the best score.
    """

    def __init__(self) -> None:
        self.size: int | None = None
        self._answer: Prediction | None = None  # where it was chosen last
        self._before: int | None = None  # what was preferred when that answer came

    def first(self, answer: Prediction) -> int:
        """Return the index of the mask that is shown first of an answer to a single click."""
        return _first(answer, self.size)

    def choose(self, answer: Prediction, index: int) -> None:
        """Prefer the size of a mask; that shown first brings back what was preferred before it."""
        if answer is not self._answer:
            self._answer, self._before = answer, self.size
        order = by_size(candidates_of(answer, Prompts()))
        shown_first = index == _first(answer, self._before)
        self.size = self._before if shown_first else order.index(index)

    def prefer(self, size: int | None) -> None:
        """Show a size first from now on, or the best score."""
        self.size, self._answer = size, None


def _first(answer: Prediction, size: int | None) -> int:
    order = by_size(candidates_of(answer, Prompts()))
    return answer.best if size is None else order[min(size, len(order) - 1)]
