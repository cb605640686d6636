"""Prompts as they are drawn on an image, as values: compared, kept and drawn again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..predict.prompt_kinds import PROMPT_KINDS, LayerType, kind_in, shape_mark
from ..types import Prompts, SliceKey
from .boxes import Box

NOBODY = 0
"""The owner of a prompt that belongs to no object yet."""


@dataclass(frozen=True)
class DrawnRow:
    """One point or shape of the prompt layers; those at the same place are equal.

    Attributes
    ----------
    layer : {"points", "shapes"}
    mark : str
        See `prompt_kinds.kind_in`.
    vertices : tuple of tuple of float
        In data coordinates of the layer, one number for each axis.
    owner : int
        Number of its object; `NOBODY` where it has none.
    """

    layer: LayerType
    mark: str
    vertices: tuple[tuple[float, ...], ...]
    owner: int = field(default=NOBODY, compare=False)

    @property
    def is_begun(self) -> bool:
        """Whether it is a shape too small to count: a click that was no drag."""
        kind = kind_in(self.layer, self.mark)
        if kind is None or self.layer == "points":
            return False
        corners = np.array(self.vertices)
        displayed = np.sort(np.argsort(np.ptp(corners, axis=0), kind="stable")[-2:])
        return kind.read(corners[:, displayed], self.mark) is None

    @property
    def box(self) -> Box:
        """Where it lies: (start, stop) on each axis of the array."""
        corners = np.array(self.vertices)
        low, high = np.round(corners.min(axis=0)), np.round(corners.max(axis=0))
        return tuple((int(a), int(b) + 1) for a, b in zip(low, high, strict=True))

    def lies_beside(self, shape: Sequence[int]) -> bool:
        """Tell whether no part of it lies in an image of this shape."""
        corners, size = np.array(self.vertices), np.array(shape)
        outside = (corners.max(axis=0) < -0.5) | (corners.min(axis=0) > size - 0.5)
        return bool(outside.any())


Drawing = tuple[DrawnRow, ...]
"""All prompts of an image, on all its planes."""


def rows_of(prompts: Prompts, key: SliceKey, owner: int) -> Drawing:
    """Return the prompts of an object in one plane as they are drawn.

    Parameters
    ----------
    prompts : Prompts
    key : SliceKey
    owner : int
        Number of the object.
    """

    def place(x: float, y: float) -> tuple[float, ...]:
        values = dict(key.fixed) | {key.displayed[0]: y, key.displayed[1]: x}
        return tuple(float(values[axis]) for axis in sorted(values))

    marks = [PROMPT_KINDS[name].marks[0] for name in ("background", "point")]
    points = zip(prompts.point_coords.tolist(), prompts.point_labels.tolist(), strict=True)
    rows = [DrawnRow("points", marks[label], (place(x, y),), owner) for (x, y), label in points]
    if prompts.box is not None:
        x0, y0, x1, y1 = prompts.box.tolist()
        corners = place(x0, y0), place(x0, y1), place(x1, y1), place(x1, y0)
        rows.append(DrawnRow("shapes", "rectangle", corners, owner))
    paths = [("polygon", prompts.region)] if prompts.region is not None else []
    paths += [(shape_mark("path", marks[one.label]), one.path) for one in prompts.strokes]
    for mark, path in paths:
        rows.append(DrawnRow("shapes", mark, tuple(place(x, y) for x, y in path.tolist()), owner))
    return tuple(rows)


def without(rows: Iterable[DrawnRow], others: Iterable[DrawnRow]) -> Drawing:
    """Return the rows that are not among others; of equal ones, as many as there are more."""
    left = Counter(others)
    kept = []
    for row in rows:
        if left[row]:
            left[row] -= 1
        else:
            kept.append(row)
    return tuple(kept)


def sentence(removed: Drawing, added: Drawing) -> str:
    """Return what a change of the drawing was, in words."""
    if removed and added:
        return f"the move of {_names(added)}"
    return f"the removal of {_names(removed)}" if removed else _names(added)


def _names(rows: Drawing) -> str:
    if len(rows) > 1:
        return f"{len(rows)} prompts"
    kind = kind_in(rows[0].layer, rows[0].mark)
    if kind is None or kind.layer == "points":
        return "a point"
    return f"a {kind.name.split('_')[-1]}"
