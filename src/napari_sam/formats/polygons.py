"""Polygons and masks: outlines along the corners of pixels, and the pixels inside of rings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..types import Mask

Ring = NDArray[np.float64]
"""(N, 2) float, (x, y); pixel (0, 0) reaches from 0 to 1 on both axes. The ends are joined."""
MOST_CROSSINGS = 2**25
"""Of edges with rows of pixels, in one shape."""
FARTHEST = 2.0**24
"""Pixels from the origin to a vertex, at most."""


def rings_of(mask: Mask) -> list[Ring]:
    """Return the outlines of a mask, which `filled` makes the same pixels of.

    Parameters
    ----------
    mask : Mask

    Returns
    -------
    list of (N, 2) float, (x, y)
        Of all pieces and holes, only with the vertices where they turn.
    """
    inside = np.pad(mask.bits.astype(np.int8), 1)
    left: dict[tuple[int, int], list[tuple[int, int]]] = {}
    across = np.diff(inside, axis=0)[:, 1:-1]  # edges between rows, seen from above
    for y, x in np.argwhere(across).tolist():
        ends = ((x, y), (x + 1, y))
        start, stop = ends if across[y, x] > 0 else ends[::-1]
        left.setdefault(start, []).append(stop)
    along = np.diff(inside, axis=1)[1:-1]
    for y, x in np.argwhere(along).tolist():
        ends = ((x, y + 1), (x, y))
        start, stop = ends if along[y, x] > 0 else ends[::-1]
        left.setdefault(start, []).append(stop)
    rings = []
    while left:
        first = place = next(iter(left))
        ring = []
        while place in left:
            ring.append(place)
            follow = left[place]
            following = follow.pop()
            if not follow:
                del left[place]
            place = following
            if place == first:
                break
        points = np.array(ring, np.float64)
        before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
        turns = (np.sign(points - before) != np.sign(after - points)).any(axis=1)
        rings.append(points[turns] + mask.box[:2])
    return rings


def filled(rings: Sequence[Ring], size: tuple[int, int]) -> Mask:
    """Return the pixels whose centres lie inside of an odd number of rings.

    Parameters
    ----------
    rings : sequence of (N, 2) float, (x, y)
    size : (H, W) int
        Of the plane; what lies beyond it is cut off.

    Raises
    ------
    ValueError
        If a ring is no list of at least three finite places near the plane, or it is too large.
    """
    height, width = size
    rows, columns, crossings = [], [], 0
    for ring in rings:
        if ring.ndim != 2 or ring.shape[1:] != (2,) or len(ring) < 3:
            raise ValueError("a polygon has at least three corners, x and y of each")
        if not (np.abs(ring) <= FARTHEST).all():
            raise ValueError("a corner of a polygon is no number, or far outside of the image")
        start, stop = ring, np.roll(ring, -1, axis=0)
        low = np.ceil(np.minimum(start[:, 1], stop[:, 1]) - 0.5).clip(0, height).astype(np.int64)
        high = np.ceil(np.maximum(start[:, 1], stop[:, 1]) - 0.5).clip(0, height).astype(np.int64)
        counts = high - low
        crossings += int(counts.sum())
        if crossings > MOST_CROSSINGS:
            raise ValueError("a polygon has too many corners for its size")
        edges = np.repeat(np.arange(len(ring)), counts)
        before = np.cumsum(counts) - counts
        row = np.arange(len(edges)) - np.repeat(before, counts) + np.repeat(low, counts)
        (x0, y0), (x1, y1) = start[edges].T, stop[edges].T
        x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        rows.append(row)
        columns.append(np.ceil(x - 0.5).clip(0, width).astype(np.int64))
    row, column = (np.concatenate([np.zeros(0, np.int64), *one]) for one in (rows, columns))
    if not len(row):
        return Mask.of(np.zeros((0, 0), bool), size=size)
    top, first = int(row.min()), int(column.min())
    h, w = int(row.max()) - top + 1, int(column.max()) - first + 1
    flat = (row - top) * w + column - first
    flips = np.bincount(flat, minlength=h * w).reshape(h, w) & 1
    inside = np.bitwise_xor.accumulate(flips.astype(np.uint8), axis=1)[:, :-1].view(bool)
    return Mask.of(inside, (first, top), size)
