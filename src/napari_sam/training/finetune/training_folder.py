"""The files of a training that can be gone on with, told from a user's own; no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ...files import check_target
from ...predict.cache import DiskCache

BEST, STATE = "best.safetensors", "state.pt"
"""Files of a training's folder: the tuned model, and what is needed to go on."""
EMBEDDINGS = "embeddings"
"""Folder in it, of encoded images."""
LOCK = "training.lock"
"""File in it that a training holds locked; the system unlocks it where the process is killed."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other programs from training in a folder.

    Parameters
    ----------
    folder : Path
        Made if it is not there. The file that is locked stays: another program may have opened it,
        and would lock a removed one.

    Raises
    ------
    ValueError
        If another program trains in it, or the disk refuses it or cannot lock files.
    """
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ValueError(
            f"another program trains in {folder}; wait until it has ended, or choose another name "
            "for the result"
        ) from error
    except OSError as error:
        raise ValueError(f"{folder} cannot be used: {error.strerror or error}") from error
    except NotImplementedError as error:  # earlier releases of filelock
        raise ValueError(
            f"{folder} lies on a disk that cannot lock files; write the result to another one"
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_place(folder: Path, sources: Sequence[Path]) -> None:
    """Refuse a folder for a training that is, or holds, something to learn from.

    Parameters
    ----------
    folder : Path
        It need not be there.
    sources : sequence of Path
        Files and folders of what is learnt from.

    Raises
    ------
    ValueError
        If it is a file, or is or holds one of the sources.
    """
    place = folder.resolve()
    for source in sources:
        if place in (source.resolve(), *source.resolve().parents):
            raise ValueError(
                f"{folder} is where checkpoints go, but {source} is learnt from; choose another "
                "name for the result"
            )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is where checkpoints go, but it is a file; move it away")


def check_content(folder: Path) -> bool:
    """Refuse a folder that holds anything but a training; nothing of it is removed.

    Parameters
    ----------
    folder : Path
        One that is `locked`.

    Returns
    -------
    bool
        Whether it holds a training.

    Raises
    ------
    ValueError
        If it holds other files.
    """
    check_target(folder / STATE, None, True)  # removes what killed processes left
    found = {path.name for path in folder.iterdir()} - {LOCK}
    others = sorted(found - {BEST, STATE, EMBEDDINGS})
    if others:
        raise ValueError(
            f"{folder} is where checkpoints go, but it holds {others[0]}; move that away, or "
            "choose another name for the result"
        )
    return bool(found)


def remove_training(folder: Path) -> None:
    """Remove the files of a training, and the folder if nothing else is in it.

    Raises
    ------
    OSError
        If the disk refuses it.
    """
    for name in (STATE, BEST):
        (folder / name).unlink(missing_ok=True)
    DiskCache(folder / EMBEDDINGS).clear()
    for place in (folder / EMBEDDINGS, folder):
        with suppress(OSError):  # it is not there, or holds something of the user's
            place.rmdir()
