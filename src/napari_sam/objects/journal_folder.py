"""The folder of the journals: which are left over from sessions that ended, and removing them."""

from __future__ import annotations

import math
import os
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import platformdirs
from filelock import Timeout

from ..files import named_folder
from .journal import Journal, lock_of, remove_files
from .journal_reader import note_restored

FOLDER_VARIABLE = "NAPARI_SAM_STATE_DIR"
T = TypeVar("T")

OLD = 30 * 24 * 3600.0
"""Age of a journal, s, after which it is removed when a session begins."""


def journal_folder() -> Path:
    """Return the folder that journals are kept in.

    Raises
    ------
    ValueError
        If the environment names one that cannot be.
    """
    default = platformdirs.user_state_path("napari-sam-stack")
    return named_folder(os.environ.get(FOLDER_VARIABLE) or default, FOLDER_VARIABLE) / "journals"


def new_journal(folder: Path) -> Journal:
    """Return the journal of a new session; its file is made at the first step."""
    return Journal(folder / f"{uuid.uuid4().hex}.sqlite")


def left_over(folder: Path, age: float = 0.0) -> list[Path]:
    """Return the journals that no running program writes, the newest first.

    Parameters
    ----------
    folder : Path
    age : float
        Only those that were not changed for so many seconds.
    """
    found = []
    latest = time.time() - age if age else math.inf
    for path in folder.glob("*.sqlite"):
        with suppress(OSError, Timeout), lock_of(path).acquire(timeout=0):
            found.append((changed_at(path), path))
    return [path for changed, path in sorted(found, reverse=True) if changed <= latest]


def read_unchanged(path: Path, read: Callable[[Path], T]) -> T | None:
    """Read a journal; its age stays what it was.

    Returns
    -------
    T or None
        What `read` returns; None if a running program writes the journal.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    with suppress(OSError, Timeout), lock_of(path).acquire(timeout=0):
        changed = changed_at(path)
        try:
            return read(path)
        finally:
            os.utime(path, (changed, changed))
    return None


def hand_over(path: Path, targets: Iterable[str]) -> None:
    """Note that some targets of a journal are in another one now; it goes if no other is left.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    left = read_unchanged(path, partial(note_restored, targets=tuple(targets)))
    if left is False:
        remove(path)


def remove(path: Path) -> int:
    """Remove a journal unless a running program writes it; return the bytes that it took."""
    with suppress(OSError, Timeout), lock_of(path).acquire(timeout=0):
        taken = size(path)
        remove_files(path)
        return taken
    return 0


def remove_old(folder: Path, age: float = OLD) -> int:
    """Remove the journals that were not changed for so many seconds; return their number."""
    return sum(remove(path) > 0 for path in left_over(folder, age))


def size(path: Path) -> int:
    """Return the bytes that a journal takes."""
    files = (Path(f"{path}{ending}") for ending in ("", "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def changed_at(path: Path) -> float:
    """Return when something was written to a journal last, seconds since 1970.

    Raises
    ------
    OSError
        If it is gone.
    """
    changed = path.stat().st_mtime
    with suppress(FileNotFoundError):
        return max(changed, Path(f"{path}-wal").stat().st_mtime)
    return changed
