"""Stacks that are too large for memory: parts are read from the file when they are indexed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import DTypeLike, NDArray

from .blocks import Blocks, Box, ReadPage
from .decoding import UnreadableImageError, decoding

LIMIT_BYTES = 10**9
"""A stack that takes more is read plane by plane."""
LARGEST_EXPANSION = 250
"""Compressed images beyond the limit that expand more than so many times are refused."""

MOST_HELD = 2 * 10**9
"""Bytes of a stack that are kept at most, and no more than a part of the free memory:"""
HELD_SHARE = 8
MOST_BOXES = 4
"""Boxes that are kept at most, so that memory does not grow while planes are looked at in turn."""


class PlaneStack:
    """A stack of which only parts are read, when they are indexed.

    What is read are whole chunks of the file, so that the planes beside the one asked for are often
    there already. That matters across the planes of the file: a row of every plane takes as long to
    read as every plane, so as many rows are read at once as memory allows. Some such boxes are
    kept, a small part of the free memory.

    The file is read, not mapped: where another program cuts it short, a mapped file ends the
    process with a bus error, and reading raises a `ValueError`.

    Parameters
    ----------
    blocks : Blocks
    order : sequence of int, optional
        Which axis of the blocks each axis is; those left out have one position. By default all.

    Attributes
    ----------
    shape : (Z, H, W), (T, Z, H, W), or these with channels (..., C)
    dtype : dtype
    chunks : tuple of int
        Sides of what the file stores in one piece.
    most_held : int
        Bytes that are kept at most; may be set, where the free memory is not all for this stack.
    """

    def __init__(self, blocks: Blocks, order: Sequence[int] | None = None) -> None:
        axes = range(len(blocks.shape))
        self._blocks = blocks
        self._order = tuple(axes if order is None else order)
        self._dropped = tuple(axis for axis in axes if axis not in self._order)
        self.chunks = tuple(blocks.chunks[axis] for axis in self._order)
        self._held: tuple[tuple[Box, NDArray[Any]], ...] = ()  # replaced, so threads need no lock
        self.shape = tuple(blocks.shape[axis] for axis in self._order)
        self.dtype = np.dtype(blocks.dtype)
        self.most_held = MOST_HELD

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
        """Read what an index names: numbers, slices, "...", and one list of positions."""
        entries = self._entries(index)
        for k, entry in enumerate(entries):
            if not isinstance(entry, slice | Integral):
                if not len(entry):
                    return self[(*entries[:k], slice(0), *entries[k + 1 :])]
                before = sum(isinstance(one, slice) for one in entries[:k])
                rows = [self[(*entries[:k], int(one), *entries[k + 1 :])] for one in entry]
                return np.stack(rows, axis=before)
        wanted = [
            range(side)[entry] if isinstance(entry, slice) else (range(side)[int(entry)],)
            for side, entry in zip(self.shape, entries, strict=True)
        ]
        sides = [
            len(one) for one, entry in zip(wanted, entries, strict=True) if isinstance(entry, slice)
        ]
        if not all(map(len, wanted)):
            return np.zeros(sides, self.dtype)
        box, pixels = self._box(tuple(slice(min(one), max(one) + 1) for one in wanted))
        for axis, (places, part) in enumerate(zip(wanted, box, strict=True)):
            lead = (slice(None),) * axis
            first, step = places[0] - part.start, places.step if isinstance(places, range) else 1
            stop = first + step * len(places)
            pixels = pixels[(*lead, slice(first, stop if stop >= 0 else None, step))]
        return np.array(pixels.reshape(sides))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _entries(self, index: Any) -> list[Any]:
        """Return what an index says of each axis."""
        entries = list(index) if isinstance(index, tuple) else [index]
        for k, entry in enumerate(entries):
            if entry is Ellipsis:
                entries[k : k + 1] = [slice(None)] * (self.ndim - (len(entries) - 1))
                break
        if len(entries) > self.ndim:
            raise IndexError(f"a stack of {self.ndim} axes has no {len(entries)} positions")
        return entries + [slice(None)] * (self.ndim - len(entries))

    def _box(self, wanted: Box) -> tuple[Box, NDArray[Any]]:
        """Return a box that holds a wanted one, and its pixels, which are not to be changed."""
        held = self._held
        for kept in held:
            if _holds(kept[0], wanted):
                return kept
        limit = min(self.most_held, int(psutil.virtual_memory().available) // HELD_SHARE)
        if self._nbytes(wanted) > limit // 2:  # such a copy is large enough once
            return wanted, self._read(wanted)
        box = self._whole_chunks(wanted, limit)
        pixels = self._read(box)
        room = limit - pixels.nbytes
        kept_boxes = [(box, pixels)]
        for one in held[: MOST_BOXES - 1]:
            room -= one[1].nbytes
            if room < 0:
                break
            kept_boxes.append(one)
        self._held = tuple(kept_boxes)
        return box, pixels

    def _whole_chunks(self, wanted: Box, limit: int) -> Box:
        """Return a wanted box grown to whole chunks, or less if they take too many bytes."""
        steps = list(self.chunks)

        def grown() -> Box:
            return tuple(
                slice(one.start // step * step, min(-(-one.stop // step) * step, side))
                for one, step, side in zip(wanted, steps, self.shape, strict=True)
            )

        box = grown()
        if self._nbytes(box) <= limit:
            return box
        while self._nbytes(box) > limit // 2:  # so that there is room for the box beside it
            slack = [
                (a.stop - a.start) / (b.stop - b.start) for a, b in zip(box, wanted, strict=True)
            ]
            axis = int(np.argmax(slack))
            if steps[axis] == 1:
                break
            steps[axis] = -(-steps[axis] // 2)
            box = grown()
        return box

    def _nbytes(self, box: Box) -> int:
        return math.prod(int(one.stop - one.start) for one in box) * self.dtype.itemsize

    def _read(self, box: Box) -> NDArray[Any]:
        """Read a box, its axes in our order."""
        parts = [slice(0, 1)] * len(self._blocks.shape)
        for axis, one in zip(self._order, box, strict=True):
            parts[axis] = one
        pixels = self._blocks.read(tuple(parts)).transpose(*self._order, *self._dropped)
        return pixels.reshape([one.stop - one.start for one in box])


def _holds(box: Box, other: Box) -> bool:
    """Tell whether a box holds another one."""
    pairs = zip(box, other, strict=True)
    return all(a.start <= b.start and b.stop <= a.stop for a, b in pairs)


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


def raw_blocks(path: Path, offset: int, shape: Sequence[int], dtype: DTypeLike) -> ReadPage:
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
