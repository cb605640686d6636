"""Prompts as they are drawn in our layers: read as values, removed and drawn again."""

from __future__ import annotations

from collections import Counter

import numpy as np
from napari.layers import Points, Shapes

from ..objects.drawn import Drawing, DrawnRow
from ..predict.prompt_kinds import kind_in, shape_of
from . import layers


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
    shapes = zip(boxes.data, layers.shape_marks(boxes), boxes.features[layers.OWNER], strict=True)
    for corners, mark, owner in shapes:
        vertices = tuple(map(tuple, np.asarray(corners, float).tolist()))
        rows.append(DrawnRow("shapes", str(mark), vertices, int(owner)))
    return tuple(rows)


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
    alike: dict[tuple[str, str], list[DrawnRow]] = {}
    for row in add:
        alike.setdefault((row.layer, row.mark), []).append(row)
    for (name, mark), rows in alike.items():  # at once: napari takes as long for one as for many
        if name == "points":
            layers.set_label_kind(points, mark)
            points.add(np.array([row.vertices[0] for row in rows]))
            layers.own(points, [row.owner for row in rows])
        else:
            (shape, label), kind = shape_of(mark), kind_in("shapes", mark)
            colour = None if kind is None else kind.colour
            vertices = [np.array(row.vertices) for row in rows]
            boxes.add(vertices, shape_type=shape, edge_color=colour)
            boxes.features.loc[boxes.features.index[-len(rows) :], layers.KIND] = label
            layers.own(boxes, [row.owner for row in rows])
    points.selected_data = set()
    boxes.selected_data = set()
