"""Stacks that are too large for memory: planes are read from the file when they are indexed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

from .decoding import UnreadableImageError, decoding

LIMIT_BYTES = 10**9
"""A stack that takes more is read plane by plane."""
LARGEST_EXPANSION = 250
"""Compressed images beyond the limit that expand more than so many times are refused."""

ReadBlock = Callable[[int], NDArray[Any]]


class PlaneStack:
    """A stack whose planes are read when they are indexed; an index along Z and T reads one plane.

    The file is read, not mapped: where another program cuts it short, a mapped file ends the
    process with a bus error, and reading raises a
    `ValueError`.

    Parameters
    ----------
    numbers : (Z,), (T, Z), (Z, C) or (T, Z, C) int
        Which block of the file holds a plane, or each channel of a plane.
    shape : tuple of int
        Of a block: (H, W) or (H, W, C).
    dtype : dtype
    read : callable of int
        Returns a block.
    channels : bool
        Whether the last axis of `numbers` is that of the channels.

    Attributes
    ----------
    shape : (Z, H, W), (T, Z, H, W), or these with channels (..., C)
    dtype : dtype
    """

    def __init__(
        self,
        numbers: NDArray[np.intp],
        shape: Sequence[int],
        dtype: DTypeLike,
        read: ReadBlock,
        channels: bool = False,
    ) -> None:
        leading = numbers.shape[:-1] if channels else numbers.shape
        self._numbers = numbers.reshape(math.prod(leading), -1)
        self._places = np.arange(math.prod(leading)).reshape(leading)
        self._channels = channels
        self._read = read
        self._held: tuple[int, NDArray[Any]] | None = None
        self.shape = (*leading, *shape, *numbers.shape[len(leading) :])
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it would take in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read what a numpy index names; a list of positions along Z is allowed, a mask is not."""
        entries = list(index) if isinstance(index, tuple) else [index]
        for k, entry in enumerate(entries):
            if entry is Ellipsis:
                missing = self.ndim - (len(entries) - 1)
                entries[k : k + 1] = [slice(None)] * missing
                break
        leading = self._places.ndim
        chosen = self._places[tuple(entries[:leading])]
        rest = tuple(entries[leading:])
        if chosen.ndim == 0:
            return np.array(self._plane(int(chosen))[rest])
        if not chosen.size:
            empty = np.zeros((0, *self.shape[leading:]), self.dtype)[(slice(None), *rest)]
            return empty.reshape(*chosen.shape, *empty.shape[1:])
        planes = np.stack([self._plane(int(place))[rest] for place in chosen.ravel()])
        return planes.reshape(*chosen.shape, *planes.shape[1:])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _plane(self, place: int) -> NDArray[Any]:
        """Read a plane; the one read last is kept, for its parts are asked for one by one."""
        held = self._held
        if held is None or held[0] != place:
            blocks = [self._read(int(number)) for number in self._numbers[place]]
            plane = np.stack(blocks, axis=-1) if self._channels else blocks[0]
            held = self._held = place, plane
        return held[1]


class SameFile:
    """A file that must stay as it was when this was made.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._was = self._state()

    def check(self) -> None:
        """Raise UnreadableImageError if another program has changed or removed the file since."""
        if self._state() != self._was:
            raise UnreadableImageError(
                f"{self.path} was changed by another program while it was read"
            )

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def raw_blocks(path: Path, offset: int, shape: Sequence[int], dtype: DTypeLike) -> ReadBlock:
    """Return what reads one of equal blocks that lie one after another in a file.

    Parameters
    ----------
    path : Path
    offset : int
        Of the first block, in bytes.
    shape : sequence of int
        Of a block.
    dtype : dtype
    """
    dtype = np.dtype(dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    same = SameFile(path)

    def read(number: int) -> NDArray[Any]:
        with decoding(path), path.open("rb") as file:
            file.seek(offset + number * nbytes)
            content = file.read(nbytes)
        same.check()
        if len(content) < nbytes:
            raise UnreadableImageError(f"{path} ends too early, the file is torn")
        return np.frombuffer(content, dtype).reshape(shape)

    return read


def check_size(path: Path, nbytes: int, at_once: int) -> None:
    """Refuse an image that would fill the memory.

    Parameters
    ----------
    path : Path
    nbytes : int
        Size of the image in memory.
    at_once : int
        Size of what has to be read together: all of it, or one plane.

    Raises
    ------
    UnreadableImageError
        If it is far larger than its file and the limit, or does not fit into the free memory.
    """
    if nbytes <= LIMIT_BYTES:
        return
    stored = max(path.stat().st_size, 1)
    if path.is_file() and nbytes > LARGEST_EXPANSION * stored:
        raise UnreadableImageError(
            f"{path} has {_text(stored)} but expands to {_text(nbytes)}, as damaged or hostile "
            "files do; if it is sound, save it without compression"
        )
    free = int(psutil.virtual_memory().available)
    if at_once > free // 2:
        raise UnreadableImageError(
            f"{path} needs {_text(at_once)} at once, but {_text(free)} of memory are free; "
            "write out the part that matters"
        )


def _text(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"
