"""Which image was annotated: a relative path and hashes of some planes, made and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from ..images.decoding import UNREADABLE
from ..images.dicom_files import holds_dicom
from ..types import SliceKey
from .annotation import ImageReference

MOST_PLANES = 8
"""Planes that are hashed: the first, the last, and some between."""


def reference_to(
    image: Any, shape: Sequence[int], path: Path | None = None, beside: Path | None = None
) -> ImageReference:
    """Describe an image; reads up to `MOST_PLANES` of its planes.

    Planes that cannot be read are left out: labels are saved though the drive of the image is gone.

    Parameters
    ----------
    image : (..., H, W) or (..., H, W, C) array
    shape : sequence of int
        Without colours or channels.
    path : Path, optional
        Of its file.
    beside : Path, optional
        The folder that the annotation lies in.

    Returns
    -------
    ImageReference
    """
    found = ((key, hash_if_readable(image, key)) for key in _keys(shape))
    hashes = tuple((key, digest) for key, digest in found if digest)
    relative = "" if path is None or beside is None else _relative(path, beside)
    return ImageReference(relative, tuple(shape), str(image.dtype), hashes)


def difference(reference: ImageReference, image: Any, shape: Sequence[int]) -> str:
    """Say in a clause how an image differs from the one that was annotated; empty if it does not.

    Parameters
    ----------
    reference : ImageReference
    image : (..., H, W) or (..., H, W, C) array
    shape : sequence of int
        Without colours or channels.
    """
    if reference.shape != tuple(shape):
        return f"it has the shape {tuple(shape)} and not {reference.shape}"
    others = [key for key, digest in reference.hashes if plane_hash(image, key) != digest]
    if not others:
        return ""
    return f"{len(others)} of {len(reference.hashes)} planes looked at hold other pixels"


def plane_hash(image: Any, key: SliceKey) -> str:
    """Return a hash of the pixels of a plane: of its shape, type and values.

    Raises
    ------
    ValueError
        If the image has no such plane.
    """
    pixels = np.ascontiguousarray(key.read(image))
    digest = hashlib.blake2b(f"{pixels.shape} {pixels.dtype.str}".encode(), digest_size=16)
    digest.update(pixels.data)
    return digest.hexdigest()


def hash_if_readable(image: Any, key: SliceKey) -> str:
    """Return a hash of the pixels of a plane; empty if they cannot be read any more."""
    try:
        return plane_hash(image, key)
    except UNREADABLE:
        return ""


def hash_in_memory(image: Any, key: SliceKey) -> str:
    """Return a hash of the pixels of a plane; empty if they would have to be read or computed."""
    array = key.array_of(image) if isinstance(image, list | tuple) else image
    return hash_if_readable(image, key) if isinstance(array, np.ndarray) else ""


def image_beside(reference: ImageReference, folder: Path) -> Path | None:
    """Return the file of the image if it is there, in the annotation's folder or in one below it.

    Parameters
    ----------
    reference : ImageReference
        It may come from a stranger: a path that is absolute or leads elsewhere gives None.
    folder : Path
        That the annotation lies in.

    Returns
    -------
    Path or None
        Of a DICOM series, the folder.
    """
    path = reference.path
    pure = PurePosixPath(path)
    if not path or "\0" in path or pure.is_absolute() or ".." in pure.parts:
        return None
    if "\\" in path or PureWindowsPath(path).drive:
        return None
    try:
        root = folder.resolve()
        place = (root / pure).resolve()
    except (OSError, RuntimeError):  # the latter is an endless chain of links
        return None
    there = place.is_file() or (place.is_dir() and holds_dicom(place))
    return place if place.is_relative_to(root) and there else None


def _keys(shape: Sequence[int]) -> list[SliceKey]:
    leading = tuple(int(n) for n in shape[:-2])
    displayed = (len(leading), len(leading) + 1)
    count = int(np.prod(leading, dtype=np.int64))
    numbers = np.unique(np.linspace(0, count - 1, min(count, MOST_PLANES)).astype(np.int64))
    places = [np.unravel_index(number, leading) if leading else () for number in numbers]
    return [
        SliceKey(displayed, tuple((axis, int(at)) for axis, at in enumerate(place)))
        for place in places
    ]


def _relative(path: Path, folder: Path) -> str:
    """Return a path that leads down from a folder; empty if there is none."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except (OSError, RuntimeError, ValueError):
        return ""
