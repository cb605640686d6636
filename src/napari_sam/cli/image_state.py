"""In what state the files of an image are, so that one that was changed is noticed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import tifffile

from ..images.readers import TIFF_SIGNS, StackImage

PIECE = 2**20
"""Bytes of a file that are read at once."""
MOST_PIECES = 64
"""So many pieces are read of all files together, evenly spaced; smaller images are read whole."""


def files_of(path: Path, image: StackImage) -> list[Path]:
    """Return all files that an image was read from.

    Parameters
    ----------
    path : Path
        A file, which may be one of several, or a folder.
    image : StackImage
        What was read from it.
    """
    if image.scan is not None and image.scan.planes:
        return sorted({one.path for one in image.scan.planes if one is not None})
    if path.is_dir():
        return sorted(one for one in path.rglob("*") if one.is_file())
    with path.open("rb") as file:
        sign = file.read(len(TIFF_SIGNS[0]))
    if sign not in TIFF_SIGNS:
        return [path]
    with tifffile.TiffFile(path) as tiff:
        several = tiff.series if tiff.is_ome or tiff.is_mmstack else []
        pages = [page for one in several for page in one if page is not None]
        others = {Path(page.parent.filehandle.path) for page in pages}
    return sorted({path, *others})


def state_of(path: Path, image: StackImage) -> str:
    """Return a digest of the names, sizes and times of the files of an image; none is read."""
    whole = hashlib.sha256()
    for one in files_of(path, image):
        state = one.stat()
        whole.update(_name(one, path) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return whole.hexdigest()


def content_state(path: Path, image: StackImage) -> str:
    """Return a digest of the names, sizes and some contents of the files of an image.

    It is the same for a copy. Of an image of more than `MOST_PIECES` pieces, evenly spaced ones
    are read.
    """
    whole, files = hashlib.sha256(), files_of(path, image)
    for one in files:
        whole.update(_name(one, path) + f"\0{one.stat().st_size}\n".encode())
    read = _spread(len(files), MOST_PIECES)
    for number in read:
        with files[number].open("rb") as file:
            count = -(-files[number].stat().st_size // PIECE)
            for piece in _spread(count, MOST_PIECES // len(read)):
                file.seek(piece * PIECE)
                whole.update(file.read(PIECE))
    return whole.hexdigest()


def _spread(count: int, most: int) -> list[int]:
    """Return evenly spaced numbers below a count, with the first and the last one."""
    return sorted({round(at) for at in np.linspace(0, max(0, count - 1), min(count, most))})


def _name(file: Path, image: Path) -> bytes:
    return os.fsencode(Path(os.path.relpath(file, image.parent)).as_posix())
