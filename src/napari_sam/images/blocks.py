"""Images that are read in parts: of pages, or of the chunks of a lazy array."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import stopping

AT_ONCE = 1 << 26
"""Bytes that are read between two questions whether they are still wanted, at least."""

Box = tuple[slice, ...]
"""Part of an array: from the start to the stop on each of its axes."""
ReadPage = Callable[[int], NDArray[Any]]


class Blocks(NamedTuple):
    """An image that is read in parts.

    Attributes
    ----------
    shape : tuple of int
    chunks : tuple of int
        Sides of what is stored in one piece, which is read as a whole.
    dtype : dtype
    read : callable of Box
        Returns a part.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[Box], NDArray[Any]]


def paged(shape: Sequence[int], page: Sequence[int], dtype: DTypeLike, read: ReadPage) -> Blocks:
    """Return an image of pages, which are its last axes.

    Parameters
    ----------
    shape : sequence of int
        Of the image.
    page : sequence of int
        Shape of a page.
    dtype : dtype
    read : callable of int
        Returns a page; they are counted in C order.
    """
    shape, kind = tuple(shape), np.dtype(dtype)
    lead = len(shape) - len(page)

    def part(box: Box) -> NDArray[Any]:
        found = np.empty([one.stop - one.start for one in box], kind)
        for place in product(*(range(one.start, one.stop) for one in box[:lead])):
            stopping.check()
            number = int(np.ravel_multi_index(place, shape[:lead])) if lead else 0
            inside = tuple(at - one.start for at, one in zip(place, box[:lead], strict=True))
            found[inside] = read(number)[box[lead:]]
        return found

    return Blocks(shape, (*(1 for _ in range(lead)), *page), kind, part)


def chunked(array: Any, chunks: Sequence[int]) -> Blocks:
    """Return a lazy array as an image that is read in parts.

    Parameters
    ----------
    array : array-like
        Of zarr, dask, or anything else that is read when it is sliced.
    chunks : sequence of int
        Sides of what it reads as a whole.
    """
    kind = np.dtype(array.dtype)

    def part(box: Box) -> NDArray[Any]:
        first, *rest = box
        layer = math.prod(one.stop - one.start for one in rest) * kind.itemsize * chunks[0]
        step = chunks[0] * max(1, AT_ONCE // max(layer, 1))
        found = np.empty([one.stop - one.start for one in box], kind)
        start = first.start
        while start < first.stop:
            stopping.check()
            stop = min(start // step * step + step, first.stop)
            found[start - first.start : stop - first.start] = array[(slice(start, stop), *rest)]
            start = stop
        return found

    return Blocks(tuple(array.shape), tuple(chunks), kind, part)
