"""Masks as uncompressed COCO run lengths."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any

import numpy as np

from .outlines import Bools, MaskLike, as_mask


def to_rle(mask: MaskLike) -> dict[str, Any]:
    """Return a mask as uncompressed COCO run lengths, column by column.

    Returns
    -------
    dict with `size` [H, W] and `counts`, which begin with background
    """
    mask = as_mask(mask)
    height, width = mask.size
    steps = np.diff(np.pad(mask.bits.T, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    columns, starts = np.nonzero(steps > 0)
    _, ends = np.nonzero(steps < 0)
    origin = (columns + mask.box[0]) * height + mask.box[1]
    starts, ends = starts + origin, ends + origin
    apart = starts[1:] != ends[:-1]  # else a run goes on in the next column
    starts = starts[np.r_[True, apart][: len(starts)]]
    ends = ends[np.r_[apart, True][: len(ends)]]
    bounds = np.concatenate([[0], np.stack([starts, ends], axis=1).ravel(), [height * width]])
    counts = np.diff(bounds).tolist()
    if len(counts) % 2 and counts[-1] == 0:
        counts.pop()  # the mask ends with the plane
    return {"size": [height, width], "counts": counts}


def from_rle(rle: Mapping[str, Any]) -> Bools:
    """Return the mask (H, W) of uncompressed COCO run lengths.

    Raises
    ------
    ValueError
        If sizes or counts are missing, are no whole numbers, or do not fit together.
    """
    try:
        height, width = (index(side) for side in rle["size"])
        counts = np.array([index(count) for count in rle["counts"]], np.int64)
    except (LookupError, TypeError, ValueError, OverflowError):
        raise ValueError(
            "run lengths are a dictionary of size, two whole numbers, and counts, a list of them"
        ) from None
    if min(height, width) < 0 or (counts < 0).any():
        raise ValueError("run lengths and sizes are not negative")
    total = sum(counts.tolist())  # numpy's sum would wrap around
    if total != height * width:
        raise ValueError(f"the runs have {total} pixels, but {height} x {width} are wanted")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")
