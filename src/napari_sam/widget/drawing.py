"""Prompts as they are drawn in our layers, as values: read, compared, removed and drawn again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from napari.layers import Points, Shapes

from ..objects.boxes import Box
from ..predict.prompt_kinds import LEAST_BOX, LayerType
from . import layers


@dataclass(frozen=True)
class DrawnRow:
    """One point or shape of our prompt layers; those at the same place are equal.

    Attributes
    ----------
    layer : {"points", "shapes"}
    mark : str
        See `prompt_kinds.kind_in`.
    vertices : tuple of tuple of float
        In data coordinates of the layer, one number for each axis.
    owner : int
        Number of its object; `layers.NOBODY` where it has none.
    """

    layer: LayerType
    mark: str
    vertices: tuple[tuple[float, ...], ...]
    owner: int = field(default=layers.NOBODY, compare=False)

    @property
    def is_begun(self) -> bool:
        """Whether it is a shape too small for a box: a click that was no drag."""
        if self.layer == "points":
            return False
        sides = np.sort(np.ptp(np.array(self.vertices), axis=0))
        return bool(sides[-2] < LEAST_BOX)

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


def read_drawing(points: Points, boxes: Shapes) -> Drawing:
    """Return what is drawn in our layers."""
    rows = [
        DrawnRow("points", str(mark), (tuple(place),), int(owner))
        for place, mark, owner in zip(
            np.asarray(points.data, float).tolist(),
            points.features["label"],
            points.features[layers.OWNER],
            strict=True,
        )
    ]
    shapes = zip(boxes.data, boxes.shape_type, boxes.features[layers.OWNER], strict=True)
    for corners, mark, owner in shapes:
        vertices = tuple(map(tuple, np.asarray(corners, float).tolist()))
        rows.append(DrawnRow("shapes", str(mark), vertices, int(owner)))
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


def redraw(points: Points, boxes: Shapes, remove: Drawing, add: Drawing) -> None:
    """Remove rows from our layers, as far as they are there, and draw others.

    Afterwards nothing is selected, and new points are of whatever kind came last: see
    `layers.set_label_kind`.
    """
    drawn = read_drawing(points, boxes)
    for layer, name in ((points, "points"), (boxes, "shapes")):
        here = [row for row in drawn if row.layer == name]
        left = Counter(remove)
        doomed = set()
        for place, row in enumerate(here):
            if left[row]:
                left[row] -= 1
                doomed.add(place)
        if doomed:
            layer.remove(sorted(doomed))
    for row in add:
        if row.layer == "points":
            layers.set_label_kind(points, row.mark)
            points.add(np.array(row.vertices))
            layers.own(points, row.owner)
        else:
            boxes.add(np.array(row.vertices), shape_type=row.mark)
            layers.own(boxes, row.owner)
    points.selected_data = set()
    boxes.selected_data = set()


def sentence(removed: Drawing, added: Drawing) -> str:
    """Return what a change of the drawing was, in words."""
    if removed and added:
        return f"the move of {_names(added)}"
    return f"the removal of {_names(removed)}" if removed else _names(added)


def _names(rows: Drawing) -> str:
    if len(rows) > 1:
        return f"{len(rows)} prompts"
    return "a point" if rows[0].layer == "points" else "a box"
