"""How the outline of one object changes in one plane: split, joined, grown, smoothed, cleaned.

All functions take and return pixels (H, W) in the order (row, column). What lies beyond their edge
is unknown: it is neither object nor background. So an object that the edge of the image cuts off
does not shrink there. `within` gives a function the part of the plane that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from ..types import Mask, Window

Bools = NDArray[np.bool_]
Sides = tuple[float, float]
"""How long a pixel is along rows' axis and along columns' axis."""

ALL_AROUND = np.ones((3, 3), bool)
APART = 3
"""Two places of an object that lie nearer to each other, in pixels, are one."""
BAND = 256
"""Rows that are looked at together; a distance transform lets no other thread run meanwhile."""
WIDE = 8.0
"""Pixels of standard deviation from which on a Gaussian is made of ..."""
BOXES = 4
"""... so many box filters: their cost does not grow with it."""
ROUNDING = 1e-6
"""Lengths that differ by a smaller share are equal."""


def within(mask: Mask, change: Callable[[Bools], Bools], margin: int = 1) -> Mask:
    """Change a mask in its box and some pixels around that, as far as the plane goes.

    Parameters
    ----------
    mask : Mask
    change : callable
        From the pixels (h, w) to others of the same shape.
    margin : int
        How many pixels about the box it is given.
    """
    if not mask:
        return mask
    window = window_about([mask], margin)
    return Mask.of(change(cut_out(mask, window)), window[:2], mask.size)


def window_about(masks: Sequence[Mask], margin: int = 0) -> Window:
    """Return the part (x0, y0, x1, y1), end exclusive, of a plane that holds some masks.

    Parameters
    ----------
    masks : sequence of Mask
        Of one plane, not empty.
    margin : int
        How many pixels about them it has, as far as the plane goes.
    """
    boxes = np.array([mask.box for mask in masks])
    height, width = masks[0].size
    x0, y0 = np.maximum(boxes[:, :2].min(0) - margin, 0).tolist()
    x1, y1 = np.minimum(boxes[:, 2:].max(0) + 1 + margin, (width, height)).tolist()
    return x0, y0, x1, y1


def cut_out(mask: Mask, window: Window) -> Bools:
    """Return the pixels (h, w) of a mask in a part of its plane, end exclusive."""
    x0, y0, x1, y1 = window
    pixels = np.zeros((y1 - y0, x1 - x0), bool)
    left, top, right, bottom = mask.box
    a, b = max(left, x0), max(top, y0)
    c, d = min(right + 1, x1), min(bottom + 1, y1)
    if a < c and b < d:
        inside = mask.bits[b - top : d - top, a - left : c - left]
        pixels[b - y0 : d - y0, a - x0 : c - x0] = inside
    return pixels


def reach(radius: float, sides: Sides) -> int:
    """Return how many pixels a radius reaches along the axis of the shorter side, and one more."""
    return ceil(radius / min(sides)) + 1


def grow(pixels: Bools, radius: float, sides: Sides = (1.0, 1.0)) -> Bools:
    """Add all pixels whose centres lie within a radius of those of an object.

    Parameters
    ----------
    pixels : (H, W) bool
    radius : float
        In the unit of `sides`.
    sides : (float, float)

    Returns
    -------
    (H, W) bool
    """
    grown = pixels.copy()
    far = reach(radius, sides)
    for start in range(0, len(pixels), BAND):
        # rows farther away make no difference
        top, stop = max(start - far, 0), start + BAND
        near = pixels[top : stop + far]
        if near.any():
            distance = ndimage.distance_transform_edt(~near, sampling=sides)
            grown[start:stop] = (distance <= radius * (1 + ROUNDING))[start - top : stop - top]
    return grown


def shrink(pixels: Bools, radius: float, sides: Sides = (1.0, 1.0)) -> Bools:
    """Remove all pixels whose centres lie within a radius of those of the background; see `grow`.

    Nothing may be left.
    """
    return ~grow(~pixels, radius, sides)


def smooth(pixels: Bools, radius: float, sides: Sides = (1.0, 1.0)) -> Bools:
    """Make an outline smooth, and keep its area.

    The pixels are blurred with a Gaussian and cut where as many are left as there were. So a small
    object does not vanish, and an object that is smoothed again and again does not shrink.

    Parameters
    ----------
    pixels : (H, W) bool
    radius : float
        Standard deviation of the Gaussian, in the unit of `sides`: bumps and notches below it go.
        One longer than the object is taken as so long.
    sides : (float, float)

    Returns
    -------
    (H, W) bool
    """
    area = np.count_nonzero(pixels)
    if not area or area == pixels.size:
        return pixels.copy()
    extent = max(np.ptp(places) + 1 for places in np.nonzero(pixels))
    sigma = np.minimum(radius / np.array(sides), extent)  # which leaves a disc, as larger ones do
    blurred = pixels.astype(np.float32)
    for axis, width in enumerate(sigma.tolist()):
        blurred = _blurred(blurred, width, axis)
    level = np.partition(blurred.ravel(), -area)[-area]
    # many pixels of a straight edge are equal
    inner: Bools = blurred > level
    outer: Bools = blurred >= level
    too_few, too_many = area - np.count_nonzero(inner), np.count_nonzero(outer) - area
    return inner if too_few < too_many and too_few < area else outer


def _blurred(values: NDArray[np.float32], sigma: float, axis: int) -> NDArray[np.float32]:
    """Blur along an axis with a Gaussian; a wide one is several box filters (Wells, PAMI 1986)."""
    if sigma <= 0:
        return values
    if sigma < WIDE:
        blurred: NDArray[np.float32]
        blurred = ndimage.gaussian_filter1d(values, sigma, axis, mode="nearest")
        return blurred
    side = 2 * round((sqrt(12 * sigma**2 / BOXES + 1) - 1) / 2) + 1
    for _ in range(BOXES):
        values = ndimage.uniform_filter1d(values, side, axis, mode="nearest")
    return values


def fill_holes(pixels: Bools, area: float = np.inf) -> Bools:
    """Fill holes of at most so many pixels; what reaches the edge of the pixels is no hole.

    Parameters
    ----------
    pixels : (H, W) bool
    area : float

    Returns
    -------
    (H, W) bool
    """
    regions, _ = ndimage.label(~pixels)
    sizes = np.bincount(regions.ravel())
    hole = sizes <= area * (1 + ROUNDING)
    edges = (regions[0], regions[-1], regions[:, 0], regions[:, -1])
    hole[np.concatenate([[0], *edges])] = False
    filled: Bools = pixels | hole[regions]
    return filled


def join(pixels: Bools, others: Bools, radius: float, sides: Sides = (1.0, 1.0)) -> Bools:
    """Return two parts as one, with the gap between them closed where it is narrow.

    Parameters
    ----------
    pixels, others : (H, W) bool
    radius : float
        Half the width of the widest gap that is closed, in the unit of `sides`.
    sides : (float, float)

    Returns
    -------
    (H, W) bool
        Nothing is added to either part but where it bridges the gap.
    """
    both = pixels | others
    closed = shrink(grow(both, radius, sides), radius, sides)
    bridges, count = ndimage.label(closed & ~both, ALL_AROUND)
    bridging = np.ones(count + 1, bool)
    bridging[0] = False
    for part in (pixels, others):
        beside = np.zeros(count + 1, bool)
        beside[bridges[ndimage.binary_dilation(part, ALL_AROUND)]] = True
        bridging &= beside
    joined: Bools = both | bridging[bridges]
    return joined


def split(pixels: Bools, first: Bools, second: Bools) -> tuple[Bools, Bools]:
    """Divide an object between two seeds, where it is narrow.

    A watershed of the distance from the background (Beucher and Lantuejoul, 1979) grows the seeds.
    Pieces of the object that hold no seed go to the part that is nearer.

    Parameters
    ----------
    pixels : (H, W) bool
    first, second : (H, W) bool
        The seeds; only their pixels in the object count, and where both lie there is none.

    Returns
    -------
    first, second : (H, W) bool
        Together they are the object. Where one seed has no pixel, its part has none.
    """
    seeds = (pixels & first & ~second) + 2 * (pixels & second & ~first).astype(np.int8)
    depth = ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]
    flooded: Any = watershed
    parts = flooded(-depth, seeds, mask=pixels, connectivity=ALL_AROUND)
    rest = pixels & (parts == 0)
    if rest.any() and parts.any():
        places = ndimage.distance_transform_edt(
            parts == 0, return_distances=False, return_indices=True
        )
        parts = np.where(rest, parts[tuple(places)], parts)
    return parts == 1, parts == 2


def tops(
    pixels: Bools, first: tuple[int, int], second: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the places of an object, uphill from two points, that lie deepest in it.

    So a click need not be in the middle of what it is meant for.

    Parameters
    ----------
    pixels : (H, W) bool
    first, second : (row, column) int
        Pixels of the object.

    Returns
    -------
    (row, column), (row, column) int, or None
        None where both points lead to one place: the object has no neck between them.
    """
    depth = ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]
    found = _climb(depth, first), _climb(depth, second)
    return None if np.hypot(*np.subtract(*found)) < APART else found


def seeds_about(
    pixels: Bools, first: tuple[int, int], second: tuple[int, int]
) -> tuple[Bools, Bools]:
    """Return the seeds for `split` that two points in an object stand for, by its shape alone.

    Parameters
    ----------
    pixels : (H, W) bool
    first, second : (row, column) int
        Pixels of the object.

    Returns
    -------
    first, second : (H, W) bool
        The discs about the places uphill from the points (`tops`) that touch the edge; where they
        overlap, a pixel belongs to the one in which it lies deeper. If the object has no neck
        between the points, all that is nearer to one than to the other.
    """
    depth = ndimage.distance_transform_edt(np.pad(pixels, 1))[1:-1, 1:-1]
    centres = tops(pixels, first, second)
    rows, columns = np.indices(pixels.shape)
    away = [np.hypot(rows - row, columns - column) for row, column in centres or (first, second)]
    if centres is None:
        nearer = away[0] <= away[1]
        return nearer, ~nearer
    inside = [depth[centre] - one for centre, one in zip(centres, away, strict=True)]
    return (inside[0] >= 0) & (inside[0] >= inside[1]), (inside[1] >= 0) & (inside[1] > inside[0])


def _climb(depth: NDArray[np.float64], point: tuple[int, int]) -> tuple[int, int]:
    """Return the local maximum (row, column) that leads up from a pixel."""
    row, column = point
    while True:
        top, left = max(row - 1, 0), max(column - 1, 0)
        around = depth[top : row + 2, left : column + 2]
        steps = np.unravel_index(int(np.argmax(around)), around.shape)
        above = top + int(steps[0]), left + int(steps[1])
        if depth[above] <= depth[row, column]:
            return row, column
        row, column = above


def piece_at(pixels: Bools, point: tuple[int, int]) -> Bools:
    """Return the connected piece of an object at a pixel (row, column); empty if there is none."""
    pieces, _ = ndimage.label(pixels, ALL_AROUND)
    piece: Bools = (pieces == pieces[point]) & (pieces > 0)
    return piece
