"""Embeddings in files, so that a plane is encoded only once.

A file is written beside its place and then moved there, so it is whole or not there. It carries a
seal, a hash of its name and content: what is damaged, or was put there by others, is taken for
missing and written anew. The files used longest ago go first when a number of bytes is exceeded.
A problem with the disk is never an error: nothing is kept, and `DiskCache.notice` says why.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..files import named_folder, written_beside

FOLDER_VARIABLE = "NAPARI_SAM_CACHE_DIR"
QUOTA_BYTES = 5_000_000_000
SLACK = 20
"""Of the quota, the part (one in so many) that is freed beyond need, and written between looks."""
ABANDONED = 60.0
"""Age of a file still beside its place, s, whose writer was killed: writing takes milliseconds."""
QUIET = 0.3
"""A plane is written once the answer to the click that it was encoded for has had so long, s."""
MOST_WAITING = 8
"""Planes that wait to be written; where more come, those that have waited longest are dropped."""
SEAL = "seal"
NAME = re.compile(r"[0-9a-f]{64}(\.safetensors|\.\w+\.part)")
"""Our files, whole or being written; no other is ever removed."""

Arrays = Mapping[str, NDArray[Any]]
Pack = Callable[[], Arrays]


@dataclass(frozen=True)
class Usage:
    """What a folder holds, or held.

    Attributes
    ----------
    planes : int
    nbytes : int
    """

    planes: int
    nbytes: int


@dataclass(frozen=True)
class Entry:
    """One file of ours."""

    used: float
    nbytes: int
    path: Path

    @property
    def whole(self) -> bool:
        """Whether it is in its place."""
        return self.path.suffix != ".part"


def default_folder() -> Path:
    """Return the folder that embeddings are kept in where none is named."""
    import pooch  # slow to import

    return Path(pooch.os_cache("napari-sam-stack")) / "embeddings"


def cache_folder() -> Path:
    """Return the folder that embeddings are kept in.

    Raises
    ------
    ValueError
        If the environment names one that cannot be.
    """
    return named_folder(os.environ.get(FOLDER_VARIABLE) or default_folder(), FOLDER_VARIABLE)


class DiskCache:
    """Keeps arrays by key in a folder; may be used by several threads and programs at once.

    Parameters
    ----------
    folder : Path, optional
        Instead of `cache_folder()`. Made when it is first needed, for this user alone.
    quota_bytes : int
        Bound of the folder. Each program that writes may exceed it by a twentieth for a while.

    Attributes
    ----------
    notice : str
        One sentence on why nothing is kept or removed; empty if there is no problem.
    """

    def __init__(self, folder: Path | None = None, quota_bytes: int = QUOTA_BYTES) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.quota_bytes = quota_bytes
        self.notice = ""
        self._room = 0  # bytes that may be written before the folder is looked at again
        self._waiting: OrderedDict[str, Pack] = OrderedDict()
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()  # of those two; never held for long
        self._changing = threading.Lock()  # of the folder, between the writer and `clear`

    def use(self, folder: Path, quota_bytes: int) -> None:
        """Keep planes in another folder, or another number of bytes, from now on."""
        self.folder, self.quota_bytes = folder, quota_bytes
        self.notice = ""
        self._room = 0

    def get(self, key: str) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of a key, or None; a file that is not ours or not sound is removed."""
        path = _path(self.folder, key)
        try:
            arrays = _opened(key, path.read_bytes())
        except OSError:
            return None
        with suppress(OSError):
            if arrays is None:
                path.unlink()
            else:
                os.utime(path)
        return arrays

    def put(self, key: str, arrays: Arrays) -> None:
        """Keep arrays, if the disk allows it."""
        content = save({**arrays, SEAL: _seal(key, arrays)})
        if len(content) > self.quota_bytes:
            return
        folder = self.folder  # `use` may change it at any time
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(folder, len(content))
            self._write(folder, key, content)
        except OSError as error:
            self.notice = (
                f"embeddings are not kept in {folder}: {error.strerror or error}; make room "
                f"there, or set {FOLDER_VARIABLE} to another folder"
            )
        else:
            self.notice = ""

    def put_later(self, key: str, pack: Pack) -> None:
        """Keep what `pack` returns; it is called, and its arrays written, in a thread of ours.

        The thread lives as long as anything waits. A program that ends waits for it; one that is
        killed loses what was not written yet.
        """
        with self._lock:
            self._waiting[key] = pack
            while len(self._waiting) > MOST_WAITING:
                self._waiting.popitem(last=False)
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_waiting, name="planes to disk")
                self._writer.start()

    def wait(self) -> None:
        """Block until nothing waits to be written any more."""
        writer = self._writer
        if writer is not None:
            writer.join()

    def usage(self) -> Usage:
        """Count what is kept."""
        return _sum(_entries(self.folder))

    def clear(self) -> Usage:
        """Remove all that is kept or waits to be, and return what was kept."""
        with self._lock:
            self._waiting.clear()
        with self._changing:
            self._room = 0
            self.notice = ""
            return _sum([entry for entry in _entries(self.folder) if self._remove(entry.path)])

    def _write_waiting(self) -> None:
        time.sleep(QUIET)
        while True:
            with self._changing:
                with self._lock:
                    if not self._waiting:
                        self._writer = None
                        return
                    key, pack = self._waiting.popitem(last=False)
                try:
                    self.put(key, pack())
                except (RuntimeError, MemoryError) as error:  # memory may be full, on any device
                    self.notice = f"an embedding is not kept: {str(error) or 'not enough memory'}"

    def _write(self, folder: Path, key: str, content: bytes) -> None:
        handle, name = tempfile.mkstemp(".part", f"{key}.", folder)  # others cannot read it
        with written_beside(_path(folder, key), Path(name)), open(handle, "wb") as file:
            file.write(content)

    def _make_room(self, folder: Path, size: int) -> None:
        """Remove what was used longest ago, and what a killed program left, for `size` bytes."""
        self._room -= size
        if self._room >= 0:
            return
        entries = _entries(folder)
        for entry in entries:
            if not entry.whole and time.time() - entry.used > ABANDONED:
                self._remove(entry.path)
        whole = sorted((e for e in entries if e.whole), key=lambda entry: entry.used)
        total = size + sum(entry.nbytes for entry in whole)
        slack = self.quota_bytes // SLACK
        if total > self.quota_bytes:
            for entry in whole:
                if self._remove(entry.path):
                    total -= entry.nbytes
                if total <= self.quota_bytes - slack:
                    break
        self._room = min(slack, self.quota_bytes - total)

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self.notice = f"{path} cannot be removed: {error.strerror or error}"
            return False
        return True


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.safetensors"


def _entries(folder: Path) -> list[Entry]:
    entries = []
    latest = time.time() + ABANDONED  # a later date is wrong, and would keep a file for ever
    with suppress(OSError), os.scandir(folder) as found:
        for file in found:
            if NAME.fullmatch(file.name):
                with suppress(OSError):  # another program may have removed it
                    state = file.stat()
                    used = state.st_mtime if state.st_mtime < latest else 0.0
                    entries.append(Entry(used, state.st_size, Path(file.path)))
    return entries


def _sum(entries: list[Entry]) -> Usage:
    return Usage(sum(e.whole for e in entries), sum(e.nbytes for e in entries))


def _seal(key: str, arrays: Arrays) -> NDArray[np.uint8]:
    digest = hashlib.blake2b(key.encode(), digest_size=32)
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _opened(key: str, content: bytes) -> dict[str, NDArray[Any]] | None:
    """Return the arrays that were sealed under a key; None if this is anything else."""
    try:
        arrays: dict[str, NDArray[Any]] = load(content)
    except (SafetensorError, KeyError):  # of a type that numpy lacks
        return None
    seal = arrays.pop(SEAL, None)
    return arrays if seal is not None and np.array_equal(seal, _seal(key, arrays)) else None
