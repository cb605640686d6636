"""Tensors that lie in a file: read one by one when they are needed, never mapped.

A mapped file that another program truncates kills the process that reads it. Here a file that
changes meanwhile ends in a sentence, and memory holds no weight twice.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor


class Extent(NamedTuple):
    """Where some bytes of a file are.

    Attributes
    ----------
    start, length : int
    crc : int
        Their CRC-32; 0 where the file states none.
    member : str
        Name of a compressed member of a zip archive, whose content they are; `start` is unused.
    """

    start: int
    length: int
    crc: int = 0
    member: str = ""


class StoredFile:
    """A file that tensors are read from, as long as it stays as it was.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = self._look()
        self._latest: tuple[Extent, bytearray] | None = None

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._state[0]

    def read(self, extent: Extent, keep: bool = False) -> bytearray:
        """Return the bytes of an extent.

        Parameters
        ----------
        extent : Extent
        keep : bool
            Keep them until others are kept, for the next tensor that lies in them.

        Raises
        ------
        ValueError
            If the file has changed, or its content is not what its checksum says.
        """
        if self._latest is not None and self._latest[0] == extent:
            return self._latest[1]
        try:
            content = self._inflate(extent) if extent.member else self._copy(extent)
        except OSError as error:
            raise ValueError(f"{self.path} cannot be read: {error.strerror}") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ValueError(f"{self.path} is damaged: {error}") from error
        if self._look() != self._state:
            raise ValueError(f"{self.path} was changed while it was read; load it again")
        if keep:
            self._latest = extent, content
        return content

    def _copy(self, extent: Extent) -> bytearray:
        content = bytearray(max(0, min(extent.length, self.size - extent.start)))
        with self.path.open("rb") as file:
            file.seek(extent.start)
            read = file.readinto(content)
        whole = read == extent.length and self._look() == self._state
        if whole and extent.crc and zlib.crc32(content) != extent.crc:
            raise ValueError(f"{self.path} is damaged: a checksum is wrong")
        if read != extent.length and self._look() == self._state:
            raise ValueError(f"{self.path} is damaged: it ends too early")
        return content

    def _inflate(self, extent: Extent) -> bytearray:
        with zipfile.ZipFile(self.path) as archive, archive.open(extent.member) as member:
            content = bytearray(member.read(extent.length))
            if len(content) != extent.length or member.read(1):  # the end checks the sum
                raise ValueError(f"{self.path} is damaged: {extent.member} has another length")
        return content

    def _look(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise ValueError(f"{self.path} cannot be read: {error.strerror}") from error
        return found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class StoredTensor:
    """A dense tensor in a file.

    Attributes
    ----------
    file : StoredFile
    extent : Extent
        Of its storage, which tensors may share.
    dtype : torch.dtype
    shape, stride : tuple of int
    offset : int
        Of its first element in the storage, in elements.
    """

    file: StoredFile = field(repr=False)
    extent: Extent
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0

    def __post_init__(self) -> None:
        numbers = (*self.shape, *self.stride, self.offset)
        if not all(type(number) is int and number >= 0 for number in numbers) or len(
            self.shape
        ) != len(self.stride):
            raise ValueError("a tensor's shape and strides are whole numbers, as many of each")
        if prod(self.shape):
            ends = ((side - 1) * step for side, step in zip(self.shape, self.stride, strict=True))
            if (self.offset + sum(ends) + 1) * self.dtype.itemsize > self.extent.length:
                raise ValueError(f"a tensor of shape {self.shape} reaches beyond its storage")

    def read(self) -> Tensor:
        """Return the tensor, in memory of its own.

        Raises
        ------
        ValueError
            If the file has changed or is damaged.
        """
        if not prod(self.shape):
            return torch.empty(self.shape, dtype=self.dtype)
        size = self.dtype.itemsize
        shared = prod(self.shape) * size != self.extent.length
        content = self.file.read(self.extent, keep=shared)
        flat = torch.frombuffer(content, dtype=self.dtype, count=len(content) // size)
        tensor = flat.as_strided(self.shape, self.stride, self.offset)
        return tensor.clone(memory_format=torch.contiguous_format) if shared else tensor


@dataclass(frozen=True)
class UnsupportedTensor:
    """A tensor that is no plain array of numbers, and so no weight.

    Attributes
    ----------
    kind : str
        What it is, as the end of a sentence.
    """

    kind: str
    shape: tuple[int, ...] = ()
