"""Files that `torch.save` wrote: its zip archives, and its format before torch 1.6."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from typing import Any, BinaryIO

import torch

from .inert_pickle import InertUnpickler, RefusedError, Storage, StorageFinder
from .stored import Extent, StoredFile

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
MAX_PICKLE = 1 << 28
"""Bytes of an archive's pickle, which holds no weights."""
LOCAL_HEADER = struct.Struct("<4s22xHH")
"""Of a member of a zip archive: its mark, the lengths of its name and of further fields."""
COUNT = struct.Struct("<q")
"""Of a storage of the older format: its number of elements."""
BYTE_ORDER = "was written by a machine of another byte order; save it again on this one"


def read_torch(file: StoredFile) -> tuple[Any, set[str]]:
    """Return what a file holds, and the names of the classes that were left out.

    Tensors are `stored.StoredTensor`.

    Raises
    ------
    RefusedError
        If it is something else, of a kind that is recognised; the rest of a sentence.
    OSError, struct.error, zipfile.BadZipFile, or one of `inert_pickle.READ_ERRORS`
        If it is damaged.
    """
    return _read_archive(file) if zipfile.is_zipfile(file.path) else _read_legacy(file)


def _read_archive(file: StoredFile) -> tuple[Any, set[str]]:
    with zipfile.ZipFile(file.path) as archive:
        members = {info.filename: info for info in archive.infolist() if not info.is_dir()}
    if any(name.endswith("/constants.pkl") for name in members):
        raise RefusedError("is a TorchScript program; save the bare weights of its model")
    pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
    if not pickles:
        raise RefusedError("is a zip archive, but none that torch.save wrote")
    root = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{root}byteorder")
    if order is not None and file.read(_extent(file, order)) != sys.byteorder.encode():
        raise RefusedError(BYTE_ORDER)
    if members[pickles[0]].file_size > MAX_PICKLE:
        raise RefusedError(f"has a pickle of more than {MAX_PICKLE >> 20} MB, which no model needs")

    def find(dtype: torch.dtype | None, key: str, _count: int) -> Storage:
        return Storage(file, _extent(file, members[f"{root}data/{key}"]), dtype)

    return _unpickle(io.BytesIO(file.read(_extent(file, members[pickles[0]]))), find)


def _extent(file: StoredFile, info: zipfile.ZipInfo) -> Extent:
    """Return where a member of an archive is."""
    if info.flag_bits & 1:
        raise RefusedError("is encrypted; save it again without a password")
    if info.compress_type != zipfile.ZIP_STORED:
        return Extent(0, info.file_size, info.CRC, info.filename)
    header = file.read(Extent(info.header_offset, LOCAL_HEADER.size))
    mark, name, more = LOCAL_HEADER.unpack(header)
    if mark != b"PK\x03\x04":
        raise zipfile.BadZipFile("a member is not where the directory says")
    return Extent(info.header_offset + LOCAL_HEADER.size + name + more, info.file_size, info.CRC)


def _read_legacy(file: StoredFile) -> tuple[Any, set[str]]:
    """Read a pickle that refers to storages by keys, the keys in order, and the storages."""
    found: dict[str, int] = {}

    def note(dtype: torch.dtype | None, key: str, count: int) -> Storage:
        if dtype is None:
            raise RefusedError("holds tensors of a type that is not read; save them as float32")
        found[key] = count * dtype.itemsize
        return Storage(file, Extent(0, found[key]), dtype)

    with file.path.open("rb") as opened:
        if _unpickle(opened, note)[0] != LEGACY_MAGIC:
            raise RefusedError("is no file of weights")
        _unpickle(opened, note)  # the version of the format
        system = _unpickle(opened, note)[0]
        if system["little_endian"] != (sys.byteorder == "little"):
            raise RefusedError(BYTE_ORDER)
        start = opened.tell()
        _unpickle(opened, note)
        keys = _unpickle(opened, note)[0]
        places, place = {}, opened.tell()
        for key in map(str, keys):
            places[key] = place + COUNT.size
            place += COUNT.size + found[key]
        if place > file.size:
            raise EOFError("it ends too early")

        def find(dtype: torch.dtype | None, key: str, _count: int) -> Storage:
            return Storage(file, Extent(places[key], found[key]), dtype)

        opened.seek(start)
        return _unpickle(opened, find)


def _unpickle(opened: BinaryIO, find: StorageFinder) -> tuple[Any, set[str]]:
    unpickler = InertUnpickler(opened, find)
    return unpickler.load(), unpickler.unknown
