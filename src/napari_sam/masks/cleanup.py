"""Clean-up of masks: loose pieces, small holes and small islands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import shown, whole_number
from ..types import Mask

PIECE = 0.1
"""Pieces below this part of the largest are taken for loose ones, where no click tells."""
HOLE = 0.02
"""Holes up to this part of the object are taken for small ones."""


def tidied(mask: Mask, points: NDArray[np.floating[Any]], labels: NDArray[np.integer]) -> Mask:
    """Remove what lies apart from the prompted object, and fill small holes.

    Parameters
    ----------
    mask : Mask
    points : (N, 2) float, (x, y) in pixels of the plane
    labels : (N,) int
        1 on the object: the pieces that such points touch stay. Where they touch none, or there is
        none, all pieces stay that are not much smaller than the largest. 0 on background: a hole
        with such a point stays.

    Returns
    -------
    Mask

    Raises
    ------
    ValueError
        If there are not as many points as labels, or a point is not finite.
    """
    if not mask:
        return mask
    points, labels = np.asarray(points), np.asarray(labels)
    if points.size == 0:
        points = np.zeros((0, 2))
    real = {points.dtype.kind, labels.dtype.kind} <= set("buif")
    if not real or labels.ndim != 1 or points.shape != (len(labels), 2):
        raise ValueError(
            f"points are (N, 2) with N labels, but are {points.shape} with {labels.shape}"
        )
    if not np.isfinite(points).all():
        raise ValueError("points are finite numbers")
    own = mask.bits
    beyond = max(mask.size) + 2  # a point so far away touches nothing
    places = np.rint(np.clip(points, -beyond, beyond)).astype(int) - mask.box[:2]
    pieces, count = ndimage.label(own, np.ones((3, 3)))
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        kept = _touched(pieces, places[labels == 1])
        if not kept:
            kept = set(np.flatnonzero(sizes > PIECE * sizes.max()).tolist())
        own = np.isin(pieces, list(kept))
    holes, count = ndimage.label(~np.pad(own, 1))
    sizes = np.bincount(holes.ravel())
    small = set(np.flatnonzero(sizes <= HOLE * np.count_nonzero(own))) - {0, int(holes[0, 0])}
    small -= _touched(holes, places[labels == 0] + 1)
    filled = own | np.isin(holes, list(small))[1:-1, 1:-1] if small else own
    return Mask.of(filled, mask.box[:2], mask.size)


def remove_small_regions(mask: Mask, area: int, mode: str) -> tuple[Mask, bool]:
    """Fill small holes or drop small islands (SAM's post-processing).

    Parameters
    ----------
    mask : Mask
    area : int
        Regions of fewer pixels are changed.
    mode : {"holes", "islands"}

    Returns
    -------
    mask : Mask
        Islands: at least the largest one stays.
    changed : bool

    Raises
    ------
    ValueError
        If there is no such mode, or the area is no whole number.
    """
    if not isinstance(mode, str) or mode not in ("holes", "islands"):
        raise ValueError(f'mode is "holes" or "islands", but is {shown(mode)}')
    area = whole_number("area", area)
    if not mask:
        return mask, False
    if mode == "holes":
        return _without_holes(mask, area)
    own = mask.bits
    regions, _ = ndimage.label(own, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    kept = sizes >= max(area, 1)
    if kept[1:].all():
        return mask, False
    if not kept.any():
        kept[np.argmax(sizes)] = True
    return Mask.of(kept[regions], mask.box[:2], mask.size), True


def _touched(regions: NDArray[np.integer], places: NDArray[np.integer]) -> set[int]:
    """Return the regions, numbered from 1, that lie at places (N, 2), (x, y), or next to them."""
    found: set[int] = set()
    for x, y in places:
        near = regions[max(y - 1, 0) : max(y + 2, 0), max(x - 1, 0) : max(x + 2, 0)]
        found |= set(near[near > 0].tolist())
    return found


def _without_holes(mask: Mask, area: int) -> tuple[Mask, bool]:
    """Fill the regions of background of fewer than `area` pixels.

    Only the box and one pixel about it are looked at; what lies beyond adds to the regions there.
    """
    (x0, y0, x1, y1), (height, width) = mask.box, mask.size
    left, top = min(x0, 1), min(y0, 1)
    right, bottom = min(width - 1 - x1, 1), min(height - 1 - y1, 1)
    own = np.pad(mask.bits, ((top, bottom), (left, right)))
    regions, _ = ndimage.label(~own, structure=np.ones((3, 3)))
    sizes = np.bincount(regions.ravel())
    beside = (regions[:top], regions[top + y1 - y0 + 1 :], regions[:, :left],
              regions[:, left + x1 - x0 + 1 :])  # fmt: skip
    # one region, or two where the box reaches from edge to edge
    outer = np.unique(np.concatenate([edge.ravel() for edge in beside]))
    if len(outer) == 1:
        sizes[outer] += height * width - own.size
    elif len(outer) == 2:
        before, after = (y0, height - 1 - y1) if top and bottom else (x0, width - 1 - x1)
        across = width if top and bottom else height
        sizes[regions[0, 0]] += (before - 1) * across
        sizes[regions[-1, -1]] += (after - 1) * across
    small = sizes < area
    small[0] = False
    if not small.any():
        return mask, False
    if small[outer].any():  # a region that reaches beyond the box is filled there too
        whole = np.asarray(mask)
        regions, _ = ndimage.label(~whole, structure=np.ones((3, 3)))
        small = np.bincount(regions.ravel()) < area
        small[0] = False
        return Mask.of(whole | small[regions]), True
    return Mask.of(own | small[regions], (x0 - left, y0 - top), mask.size), True
