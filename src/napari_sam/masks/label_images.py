"""Label images: painted from masks, the labels in them, what two of them share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array

from ..checks import plane_size, whole_number
from ..types import Mask, MaskRecord
from .outlines import Bools, MaskLike, as_mask

ROWS = 256
"""Rows of a label image that are counted at once."""


def to_labels(
    found: Sequence[MaskLike | MaskRecord], shape: tuple[int, int], min_area: int = 0
) -> NDArray[np.int32]:
    """Paint masks into one label image: small ones lie on top of large ones.

    With a `min_area` up to 1 a mask that would be hidden altogether gets its pixels back from
    what hides it, so that no object is lost.

    Parameters
    ----------
    found : sequence of Mask, MaskRecord or (H, W) bool
    shape : (H, W) int
    min_area : int
        Pieces of fewer pixels, whole objects among them, are left out; what lies below is painted
        in their place.

    Returns
    -------
    (H, W) int32; 0 is background, mask k has label k + 1

    Raises
    ------
    ValueError
        If the shape is no (H, W), or a mask is of a plane of another size.
    """
    if not isinstance(found, Sequence):
        raise ValueError(f"masks come as a list, but this is {type(found).__name__}")
    masks = [one.mask if isinstance(one, MaskRecord) else as_mask(one) for one in found]
    labels = np.zeros(plane_size(shape), np.int32)
    min_area = whole_number("min_area", min_area)
    for mask in masks:
        if mask.size != labels.shape:
            raise ValueError(f"a mask of a plane of {mask.size} has no place in {labels.shape}")
    order = sorted(range(len(masks)), key=lambda k: -masks[k].area)
    for k in reversed(order):
        view = labels[masks[k].part]
        free = masks[k].bits & (view == 0)
        if min_area > 1:
            free = _without_pieces(free, min_area)
        view[free] = k + 1
    if min_area <= 1:
        counts = np.zeros(len(masks) + 1, np.int64)
        for start in range(0, len(labels), ROWS):  # counting copies to 64 bits
            counts += np.bincount(labels[start : start + ROWS].ravel(), minlength=len(counts))
        for k in order:
            if masks[k] and not counts[k + 1]:
                _give_back(labels, counts, masks[k], k + 1)
    return labels


def labels_in(image: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the labels of a label image that occur, ascending, without background.

    Raises
    ------
    ValueError
        If it holds no integers.
    """
    flat = _integers(image).ravel()
    values = np.unique(flat[_run_starts(flat)])
    return np.asarray(values[values != 0])


def overlap_counts(
    a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]], csr_array]:
    """Return how many pixels each label of one image shares with each of another.

    Parameters
    ----------
    a, b : (H, W) int

    Returns
    -------
    labels of a (N,), labels of b (M,), both ascending, and pixels (N, M) int64, sparse

    Raises
    ------
    ValueError
        If they hold no integers or are not of one size.
    """
    a, b = _integers(a), _integers(b)
    if a.shape != b.shape:
        raise ValueError(f"label images of one size are compared, not {a.shape} and {b.shape}")
    one, other = a.ravel(), b.ravel()
    starts = _run_starts(one, other)
    lengths = np.diff(np.append(starts, one.size))
    rows, row = np.unique(one[starts], return_inverse=True)
    columns, column = np.unique(other[starts], return_inverse=True)
    shape = (len(rows), len(columns))
    return rows, columns, csr_array((lengths, (row, column)), shape=shape)


def _without_pieces(pixels: Bools, area: int) -> Bools:
    """Remove the connected pieces of fewer than `area` pixels."""
    pieces, count = ndimage.label(pixels, np.ones((3, 3)))
    kept = np.bincount(pieces.ravel(), minlength=count + 1) >= area
    kept[0] = False
    return np.asarray(kept[pieces])


def _give_back(
    labels: NDArray[np.int32], counts: NDArray[np.integer], mask: Mask, own: int
) -> None:
    """Paint a hidden mask again where it leaves every other object at least one pixel."""
    view = labels[mask.part]
    for row, column in np.argwhere(mask.bits):
        other = view[row, column]
        if other == 0 or counts[other] > 1:
            counts[other] -= 1
            counts[own] += 1
            view[row, column] = own


def _integers(image: NDArray[np.integer[Any]]) -> NDArray[Any]:
    """Refuse a label image that holds no integers."""
    array = np.asarray(image)
    if array.dtype.kind not in "bui":
        raise ValueError(f"labels are integers, but these are {array.dtype}")
    return array


def _run_starts(*flat: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return where runs begin in which none of arrays (N,) changes; hardly any are to be sorted."""
    begins = np.ones(flat[0].size, bool)
    begins[1:] = np.logical_or.reduce([values[1:] != values[:-1] for values in flat])
    return np.flatnonzero(begins)
