"""Looking again, magnified, at planes whose objects are small for the model."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

from ..types import MaskRecord, Window
from .tiles import Levels, spans

SMALL = 32.0
"""Longer side, pixels of the input, of an object that is small; chosen on training images."""
OVERLAP = 1 / 8
"""Overlap of neighbouring tiles, in sides of a tile; twice two of them cover what one did."""
LARGEST = 2.0
"""Pixels of the plane are not magnified more than this: beyond, there is no more to be seen."""


def are_small(shown: Sequence[tuple[float, float]]) -> bool:
    """Tell whether objects that an instance head shows are mostly small.

    Each counts by its side times its fit, so that specks beside large objects, and pieces of
    these, count little.

    Parameters
    ----------
    shown : sequence of (side, fit) float
        The longer side, pixels of the input, and how well the object agrees with the fields, 0..1.
    """
    sides, fits = np.array(shown, np.float64).reshape(-1, 2).T
    weights = sides * fits
    return bool(weights[sides < SMALL].sum() > weights.sum() / 2)


def closer_tiles(
    size: tuple[int, int],
    levels: Levels,
    image_size: int,
    largest_scale: float,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> tuple[Window, ...]:
    """Return tiles that show a plane at nearly twice the resolution.

    Parameters
    ----------
    size : (H, W) int
    levels : see `tiles.tiles_of`
        How the plane was looked at; the first level counts. Empty is the whole plane at once.
    image_size : int
        Longer side of the model's input.
    largest_scale : float
        How much the model magnifies a plane at most.
    spacing : (float, float)
        See `Plane.spacing`.

    Returns
    -------
    tuple of (x0, y0, x1, y1) int, end exclusive
        Row by row; empty if there is no more to be seen.
    """
    x0, y0, x1, y1 = levels[0][0] if levels else (0, 0, size[1], size[0])
    finest = min(spacing)
    longest = max((y1 - y0) * spacing[0], (x1 - x0) * spacing[1]) / finest
    tile = ceil(longest / (2 - OVERLAP))
    if image_size / tile > min(LARGEST, largest_scale):
        return ()
    sides = [max(1, ceil(tile * finest / step)) for step in spacing]
    rows, columns = (spans(length, side, OVERLAP) for length, side in zip(size, sides, strict=True))
    return tuple((left, top, right, end) for top, end in rows for left, right in columns)


def is_better(closer: Sequence[MaskRecord], before: Sequence[MaskRecord]) -> bool:
    """Tell whether the masks of a closer look are as sure as those before, on average.

    Where they are not, it shows texture as objects.
    """
    if not closer or not before:
        return bool(closer)
    sure, was = (np.mean([one.predicted_iou for one in some]) for some in (closer, before))
    return bool(sure >= was)
