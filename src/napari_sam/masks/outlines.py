"""One or two masks: boxes, middles, overlap, the click that corrects most, stability."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import shown, whole_number
from ..types import Mask

Bools = NDArray[np.bool_]
MaskLike = Mask | Bools


def box_of(mask: MaskLike) -> NDArray[np.float64]:
    """Return the tight box (x0, y0, x1, y1) of a non-empty mask, inclusive pixel centres.

    Raises
    ------
    ValueError
        If the mask is empty, or not (H, W) of true and false.
    """
    outline = as_mask(mask)
    if not outline:
        raise ValueError("an empty mask has no box")
    return np.array(outline.box, dtype=np.float64)


def middle_of(mask: MaskLike) -> tuple[float, float]:
    """Return the pixel (x, y) of a mask that lies farthest from its edge; (0, 0) if it is empty."""
    return _deepest(as_mask(mask))[0]


def worst_click(truth: MaskLike, answer: MaskLike) -> tuple[tuple[float, float], int] | None:
    """Return the click that corrects the deepest error, and its label; None if all is right.

    The scheme of Sofiiuk et al. (ICIP 2022): the point farthest from the border of the missed or
    of the wrongly marked area, whichever is deeper.

    Parameters
    ----------
    truth, answer : Mask, or (H, W) bool

    Returns
    -------
    ((x, y), label) or None

    Raises
    ------
    ValueError
        If the two are not of one size.
    """
    pair = as_mask(truth), as_mask(answer)
    _check_sizes(*pair)
    wanted, marked = (np.asarray(mask) for mask in pair)
    missed, wrong = _deepest(Mask.of(wanted & ~marked)), _deepest(Mask.of(marked & ~wanted))
    if missed[1] == wrong[1] == 0:
        return None
    return (missed[0], 1) if missed[1] >= wrong[1] else (wrong[0], 0)


def as_mask(mask: MaskLike) -> Mask:
    """Return a mask, or an array (H, W) of true and false, as a mask.

    Raises
    ------
    ValueError
        If it is neither; an array of integers is taken as true where it is not 0.
    """
    if isinstance(mask, Mask):
        return mask
    pixels = np.asarray(mask)
    if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
        raise ValueError(
            f"a mask is (H, W) of true and false, but this one is {pixels.shape} of {pixels.dtype}"
        )
    return Mask.of(pixels != 0)


def shared_pixels(a: Mask, b: Mask) -> int:
    """Return how many pixels two masks have in common.

    Raises
    ------
    ValueError
        If they are not of planes of one size.
    """
    _check_sizes(a, b)
    x0, y0 = max(a.box[0], b.box[0]), max(a.box[1], b.box[1])
    x1, y1 = min(a.box[2], b.box[2]), min(a.box[3], b.box[3])
    if x0 > x1 or y0 > y1:
        return 0
    parts = [
        m.bits[y0 - m.box[1] : y1 - m.box[1] + 1, x0 - m.box[0] : x1 - m.box[0] + 1] for m in (a, b)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))


def iou(a: MaskLike, b: MaskLike) -> float:
    """Return the intersection over union of two masks of one plane; 1 if both are empty."""
    one, other = as_mask(a), as_mask(b)
    shared = shared_pixels(one, other)
    union = one.area + other.area - shared
    return shared / union if union else 1.0


def edge_of(mask: Mask, width: int = 1) -> NDArray[np.bool_]:
    """Return which pixels of a mask lie at its edge, in its box (h, w).

    Parameters
    ----------
    mask : Mask
    width : int
        How many steps to a neighbour lead out of it at most, from 1 up.

    Raises
    ------
    ValueError
        If the width is no such number.
    """
    width = whole_number("width", width, 1)
    bits = mask.bits
    inner = np.pad(bits, 1)
    for _ in range(width):
        core = inner.copy()
        core[1:] &= inner[:-1]
        core[:-1] &= inner[1:]
        core[:, 1:] &= inner[:, :-1]
        core[:, :-1] &= inner[:, 1:]
        inner = core
    return np.asarray(bits & ~inner[1:-1, 1:-1])


def stability_score(logits: NDArray[np.floating[Any]], threshold: float, offset: float) -> float:
    """Return the IoU of a mask cut `offset` above and below the threshold (SAM).

    Parameters
    ----------
    logits : (H, W) float
    threshold, offset : float

    Returns
    -------
    float, 0 for an empty mask

    Raises
    ------
    ValueError
        If the logits are no real numbers, or the offset is negative.
    """
    logits = np.asarray(logits)
    if logits.dtype.kind not in "buif":
        raise ValueError(f"logits are real numbers, but these are {logits.dtype}")
    try:
        threshold, offset = float(threshold), float(offset)
        fit = isfinite(threshold) and isfinite(offset) and offset >= 0
    except (TypeError, ValueError, OverflowError):
        fit = False
    if not fit:
        raise ValueError(
            "threshold and offset are finite numbers, the offset from 0 up, "
            f"but are {shown(threshold)} and {shown(offset)}"
        )
    loose = np.count_nonzero(logits > threshold - offset)
    return float(np.count_nonzero(logits > threshold + offset) / loose) if loose else 0.0


def _deepest(mask: Mask) -> tuple[tuple[float, float], float]:
    """Return the pixel (x, y) farthest from the edge of a mask, and how far it lies from it."""
    if not mask:
        return (0.0, 0.0), 0.0
    depth = ndimage.distance_transform_edt(np.pad(mask.bits, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return (float(column + mask.box[0]), float(row + mask.box[1])), float(depth[row, column])


def _check_sizes(a: Mask, b: Mask) -> None:
    """Refuse masks of planes of different sizes."""
    if a.size != b.size:
        raise ValueError(f"masks of one plane are compared, but these are {a.size} and {b.size}")
