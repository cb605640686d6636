"""Planes too large for one look: overlapping tiles of them, at several resolutions."""

from __future__ import annotations

from itertools import product

import numpy as np

from ..types import Window

REDUCTION = 2.0
"""A plane is divided into tiles if the model would see it reduced by more than this."""
OVERLAP = 0.25
"""Overlap of neighbouring tiles, in sides of a tile; smaller objects lie whole in one of them."""
STEP = 4
"""A tile of the next level is four times as wide; the model sees it at a quarter of the size."""
LARGEST = 8192
"""Longest side of a tile, in sides of the finest pixel: it is read at once."""

Levels = tuple[tuple[Window, ...], ...]
"""The tiles of each level, (x0, y0, x1, y1), end exclusive; the first is of full resolution, unless
closer looks come before it."""


def tiles_of(
    size: tuple[int, int], image_size: int, spacing: tuple[float, float] = (1.0, 1.0)
) -> Levels:
    """Return the tiles that a plane is looked at in.

    The first level shows small objects. Each further one shows those that are too large for the
    tiles before; the last may be the whole plane.

    Parameters
    ----------
    size : (H, W) int
    image_size : int
        Longer side of the model's input.
    spacing : (float, float)
        See `Plane.spacing`.

    Returns
    -------
    tuple of tuple of (x0, y0, x1, y1) int, end exclusive
        Row by row; empty if the plane is small enough for one look.
    """
    finest = min(spacing)
    longest = max(side * step / finest for side, step in zip(size, spacing, strict=True))
    if longest <= REDUCTION * image_size:
        return ()
    levels: list[tuple[Window, ...]] = []
    tile = image_size
    while tile <= LARGEST:
        if longest <= min(REDUCTION * tile, LARGEST):
            levels.append(((0, 0, size[1], size[0]),))
            break
        sides = [max(1, round(tile * finest / step)) for step in spacing]
        rows, columns = (spans(length, side) for length, side in zip(size, sides, strict=True))
        levels.append(tuple((x0, y0, x1, y1) for (y0, y1), (x0, x1) in product(rows, columns)))
        tile *= STEP
    return tuple(levels)


def spans(length: int, side: int, share: float = OVERLAP) -> list[tuple[int, int]]:
    """Return evenly spaced spans of a side that cover a length, overlapping by a share of it."""
    if length <= side:
        return [(0, length)]
    overlap = round(side * share)
    count = -(-(length - overlap) // max(side - overlap, 1))
    starts = np.linspace(0, length - side, count).round().astype(int).tolist()
    return [(start, start + side) for start in starts]
