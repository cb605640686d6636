"""Pixels of a box, compressed: labels are few and lie in long runs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 1
"""Of zlib. Higher ones take several times as long for a fifth of the bytes."""


@dataclass(frozen=True)
class PackedPixels:
    """An array of labels, compressed; equal arrays have equal values.

    Attributes
    ----------
    packed : bytes
        In C order, little-endian, in the smallest unsigned type that holds the labels (their own
        type if one is negative), compressed by zlib; empty if all labels are the same.
    shape : tuple of int
    dtype : str
        Type of the array, as numpy writes it.
    bounds : (int, int)
        The smallest and the largest label; (0, 0) if there is no pixel.
    """

    packed: bytes
    shape: tuple[int, ...]
    dtype: str
    bounds: tuple[int, int]

    @classmethod
    def of(cls, pixels: NDArray[Any]) -> PackedPixels:
        """Compress an array of integers or bools, of any shape."""
        shape = tuple(int(n) for n in pixels.shape)
        if not pixels.size:
            return cls(b"", shape, pixels.dtype.str, (0, 0))
        low, high = int(pixels.min()), int(pixels.max())
        if low == high:
            return cls(b"", shape, pixels.dtype.str, (low, high))
        narrow = np.ascontiguousarray(pixels, _stored_type(pixels.dtype, low, high))
        return cls(zlib.compress(narrow.data, LEVEL), shape, pixels.dtype.str, (low, high))

    def array(self) -> NDArray[Any]:
        """Return the pixels, a new array."""
        dtype = np.dtype(self.dtype)
        low, high = self.bounds
        if low == high:
            return np.full(self.shape, low, dtype)
        stored = _stored_type(dtype, low, high)
        size = int(np.prod(self.shape)) * stored.itemsize
        raw = zlib.decompress(self.packed, bufsize=size)
        return np.frombuffer(raw, stored).reshape(self.shape).astype(dtype)

    def check(self, pixels: int) -> None:
        """Refuse a value that does not hold so many labels, before memory is asked for.

        Raises
        ------
        ValueError
            If the compressed pixels are damaged, or more or fewer.
        """
        low, high = self.bounds
        limits = (0, 1) if self.dtype.endswith("b1") else _limits(np.dtype(self.dtype))
        if not limits[0] <= low <= high <= limits[1]:
            raise ValueError(f"{self.dtype} does not hold the labels {low} to {high}")
        if low == high:
            return
        size = pixels * _stored_type(np.dtype(self.dtype), low, high).itemsize
        try:
            raw = zlib.decompressobj().decompress(self.packed, size + 1)
        except zlib.error:
            raise ValueError("packed labels are damaged") from None
        if len(raw) != size:
            raise ValueError(f"{size} bytes of labels are wanted, but there are others")

    @property
    def nbytes(self) -> int:
        """Bytes that the compressed pixels take."""
        return len(self.packed)


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def _stored_type(dtype: np.dtype[Any], low: int, high: int) -> np.dtype[Any]:
    narrow = np.min_scalar_type(high) if low >= 0 else dtype
    return narrow.newbyteorder("<")
