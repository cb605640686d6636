"""COCO segmentations: polygons, and run lengths as lists and as compressed text."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from ..checks import shown
from ..types import Mask
from .found import Size, check_size, reals, size_of, whole
from .polygons import filled


def compressed(counts: list[int]) -> str:
    """Return run lengths as COCO's text: five bits a sign, differences from the third on."""
    signs = []
    for k, count in enumerate(counts):
        value = count - counts[k - 2] if k > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            signs.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(signs)


def decompressed(text: str) -> list[int]:
    """Return the run lengths of COCO's text.

    Raises
    ------
    ValueError
        If it is no such text.
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        bits = ord(sign) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("compressed run lengths are damaged")
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (1 << shift) if bits & 0x10 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("compressed run lengths are cut off")
    return counts


def mask_of(segmentation: Any, size: Size) -> Mask:
    """Return the pixels of a segmentation in a plane of this size.

    Raises
    ------
    ValueError
        If it is neither polygons nor run lengths of this size.
    """
    if isinstance(segmentation, dict):
        return _mask_of_lengths(segmentation, size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f"a segmentation is polygons or run lengths, but is {shown(segmentation)}")
    whole_mask: Mask | None = None
    for ring in segmentation:
        values = reals(ring, "a polygon")
        if len(values) % 2:
            raise ValueError("a polygon has x and y of each corner, but one number is left over")
        mask = filled([values.reshape(-1, 2)], size)
        whole_mask = mask if whole_mask is None else either(whole_mask, mask)
    return whole_mask or Mask.of(np.zeros((0, 0), bool), size=size)


def _mask_of_lengths(data: dict[str, Any], size: Size) -> Mask:
    sides, counts = data.get("size"), data.get("counts")
    if not isinstance(sides, list) or len(sides) != 2:
        raise ValueError(f"run lengths have a size, two whole numbers, but it is {shown(sides)}")
    check_size(size_of(*sides), size, "a segmentation")
    if isinstance(counts, str):
        counts = decompressed(counts)
    if not isinstance(counts, list):
        raise ValueError(f"run lengths are a list or a text, but are {shown(counts)}")
    pixels = size[0] * size[1]
    numbers = [whole(one, "a run length", 0, pixels) for one in counts]
    if sum(numbers) != pixels:
        raise ValueError(
            f"the runs have {sum(numbers)} pixels, but {size[0]} x {size[1]} are there"
        )
    bounds = list(accumulate(numbers))
    starts = np.array(bounds[0::2][: len(bounds) // 2], np.int64)
    stops = np.array(bounds[1::2], np.int64)
    used = stops > starts
    starts, stops = starts[used], stops[used]
    if not len(starts):
        return Mask.of(np.zeros((0, 0), bool), size=size)
    first, last = int(starts[0]) // size[0], int(stops[-1] - 1) // size[0]
    part = np.zeros((last - first + 1) * size[0] + 1, np.int8)
    part[starts - first * size[0]] = 1
    np.add.at(part, stops - first * size[0], -1)
    inside = np.cumsum(part[:-1], dtype=np.int8).view(bool).reshape(-1, size[0]).T
    return Mask.of(inside, (first, 0), size)


def either(a: Mask, b: Mask) -> Mask:
    """Return the pixels of both masks of one plane."""
    if not (a and b):
        return a or b
    x0, y0 = min(a.box[0], b.box[0]), min(a.box[1], b.box[1])
    x1, y1 = max(a.box[2], b.box[2]), max(a.box[3], b.box[3])
    pixels = np.zeros((y1 - y0 + 1, x1 - x0 + 1), bool)
    for one in (a, b):
        rows, columns = one.part
        pixels[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] |= one.bits
    return Mask.of(pixels, (x0, y0), a.size)
