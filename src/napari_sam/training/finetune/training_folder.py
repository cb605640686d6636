"""The files of a training that can be gone on with, told from a user's own; no torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...files import check_target
from ...predict.cache import DiskCache

BEST, STATE = "best.safetensors", "state.pt"
"""Files of a training's folder: the tuned model, and what is needed to go on."""
EMBEDDINGS = "embeddings"
"""Folder in it, of encoded images."""


def check_folder(folder: Path, sources: Sequence[Path]) -> None:
    """Refuse a folder that holds anything but a training; nothing of it is removed.

    Parameters
    ----------
    folder : Path
        It need not be there.
    sources : sequence of Path
        Files and folders of what is learnt from.

    Raises
    ------
    ValueError
        If it is a file, holds other files, or is or holds one of the sources.
    """
    place = folder.resolve()
    for source in sources:
        if place in (source.resolve(), *source.resolve().parents):
            raise ValueError(
                f"{folder} is where checkpoints go, but {source} is learnt from; choose another "
                "name for the result"
            )
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is where checkpoints go, but it is a file; move it away")
    check_target(folder / STATE, None, True)  # removes what killed processes left
    others = sorted({path.name for path in folder.iterdir()} - {BEST, STATE, EMBEDDINGS})
    if others:
        raise ValueError(
            f"{folder} is where checkpoints go, but it holds {others[0]}; move that away, or "
            "choose another name for the result"
        )


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
