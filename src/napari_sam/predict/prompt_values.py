"""What prompts say, as numbers: read from what is drawn, and added to the prompts of an object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Prompts, Stroke

Values = NDArray[Any]
"""What one prompt says, in the form of its kind: (2,) of a point, (4,) of a box, (N, 2) of a region
or a path; float, (x, y) in pixels of the plane."""
LEAST_BOX = 2.0
"""A drawn box or region with a shorter side, or a shorter path, in pixels, is only begun."""
ELLIPSE_VERTICES = 48
"""Of the polygon that stands for an ellipse."""


def add_points(prompts: Prompts, values: Values, label: int) -> Prompts:
    """Return prompts with points added, (2,) or (N, 2); label 1 lies on the object, 0 beside it."""
    points = values.reshape(-1, 2)
    return replace(
        prompts,
        point_coords=np.concatenate([prompts.point_coords, points]),
        point_labels=np.concatenate([prompts.point_labels, np.full(len(points), label)]),
    )


def add_box(prompts: Prompts, values: Values) -> Prompts:
    """Return prompts with a box added, (x0, y0, x1, y1).

    Raises
    ------
    ValueError
        If they have one, or it is inverted.
    """
    if prompts.box is not None:
        one, other = (",".join(f"{v:g}" for v in box) for box in (prompts.box, values))
        raise ValueError(f"an object takes one box, but here are two: {one} and {other}")
    return replace(prompts, box=values)


def add_region(prompts: Prompts, values: Values) -> Prompts:
    """Return prompts with a region added, the vertices (N, 2) of a polygon.

    Raises
    ------
    ValueError
        If they have a region or a box, or there are fewer than three vertices.
    """
    if prompts.region is not None:
        raise ValueError("an object takes one region, but here are two")
    return replace(prompts, region=values.reshape(-1, 2))


def add_stroke(prompts: Prompts, values: Values, label: int) -> Prompts:
    """Return prompts with a scribble added, (N, 2); label 1 lies on the object, 0 beside it."""
    return replace(prompts, strokes=(*prompts.strokes, Stroke(values.reshape(-1, 2), label)))


def place_of(xy: NDArray[np.float64], mark: str) -> Values:
    """Return the place (2,) of a point that is drawn."""
    return np.array(xy[0])


def box_around(xy: NDArray[np.float64], mark: str) -> Values | None:
    """Return the box (x0, y0, x1, y1) around what is drawn; None if it is only begun."""
    low, high = xy.min(axis=0), xy.max(axis=0)
    return np.concatenate([low, high]) if (high - low >= LEAST_BOX).all() else None


def polygon_of(xy: NDArray[np.float64], mark: str) -> Values | None:
    """Return the vertices (N, 2) of a polygon that is drawn, or that stands for an ellipse.

    Of an ellipse the corners of its box are given, and the vertices are rounded to single
    precision, which napari keeps them in. None if it is only begun.
    """
    if len(xy) < 3 or box_around(xy, mark) is None:
        return None
    if mark != "ellipse":
        return np.array(xy)
    angles = np.arange(ELLIPSE_VERTICES) * (2 * np.pi / ELLIPSE_VERTICES)
    across, down = (xy[1] - xy[0]) / 2, (xy[-1] - xy[0]) / 2
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ np.stack([across, down])
    return np.asarray((xy.mean(axis=0) + circle).astype(np.float32), np.float64)


def path_along(xy: NDArray[np.float64], mark: str) -> Values | None:
    """Return the vertices (N, 2) of a path that is drawn; None if it is only begun."""
    begun = np.ptp(xy, axis=0).max() < LEAST_BOX
    return None if begun else np.array(xy)
