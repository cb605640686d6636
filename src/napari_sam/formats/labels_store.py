"""Labels that are too large for memory: zarr arrays, a plane to a chunk, in a named folder.

Each chunk is a file that is written beside its place and renamed, so a run that is killed leaves
an array that can be read; a plane without labels has no file.
"""

from __future__ import annotations

import math
import os
import shutil
import weakref
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from filelock import FileLock, Timeout

from ..images.decoding import UNREADABLE
from ..images.zarr_checks import check_array
from ..types import Progress

if TYPE_CHECKING:
    import zarr

LIMIT_BYTES = 10**9
"""Labels that would take more go to a folder."""
SUFFIX = ".zarr"
LOCK = ".napari-sam.lock"
"""Held by the program that writes to a folder; the system releases it when the program ends."""
METADATA = ("zarr.json", ".zarray")
"""The file that describes an array, in zarr's formats 3 and 2."""


def needs_folder(shape: Sequence[int]) -> bool:
    """Tell whether the labels of a stack go to a folder.

    A single plane never does: it would be one chunk, written whole at every change.
    """
    return len(shape) > 2 and math.prod(shape) * np.dtype(np.int32).itemsize > LIMIT_BYTES


def check_folder(folder: Path, shape: Sequence[int]) -> None:
    """Refuse a folder that holds anything but labels of this shape.

    Parameters
    ----------
    folder : Path
        It need not exist.
    shape : sequence of int

    Raises
    ------
    ValueError
        In one sentence that says what is wrong and what to do.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"the folder {folder} is write-protected; name another one")
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and not _fits(entry, shape):
            raise ValueError(
                f"{folder} holds {entry.name}, which is not labels of the shape {tuple(shape)}; "
                "name a new or an empty folder"
            )


def open_labels(
    folder: Path,
    name: str,
    shape: Sequence[int],
    displayed: tuple[int, int],
    axes: Sequence[str],
    attributes: Mapping[str, Any],
) -> zarr.Array[Any]:
    """Open labels of a folder, or make them where there are none of this name.

    As long as the array is used, no other program can open labels of the folder.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    name : str
    shape : sequence of int
    displayed : (int, int)
        The axes of a plane; a new array has one plane to a chunk.
    axes : sequence of str
        Names of the axes.
    attributes : mapping
        What JSON can hold: scale, units, provenance.

    Returns
    -------
    zarr.Array, int32 if it is new

    Raises
    ------
    ValueError
        If the folder holds something else, cannot be written to, or another program uses it.
    """
    check_folder(folder, shape)
    # one lock of a folder for all arrays and threads of this process, which counts its holders
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False, is_singleton=True)
    try:
        lock.acquire()
        try:
            array = _opened(folder / f"{name}{SUFFIX}", shape, displayed, axes, attributes)
        except BaseException:
            lock.release()
            raise
    except Timeout as error:
        raise ValueError(
            f"another program writes labels to {folder}; close it there or name another folder"
        ) from error
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"no place for labels in {folder}: {reason}") from error
    weakref.finalize(array, lock.release)
    return array


def _opened(
    place: Path,
    shape: Sequence[int],
    displayed: tuple[int, int],
    axes: Sequence[str],
    attributes: Mapping[str, Any],
) -> zarr.Array[Any]:
    """Open or make an array."""
    import zarr
    from zarr.codecs import ZstdCodec

    if place.exists():
        check_array(place)  # the folder may come from a stranger
        return zarr.open_array(place, mode="r+")
    return zarr.create_array(
        place,
        shape=tuple(shape),
        chunks=tuple(n if axis in displayed else 1 for axis, n in enumerate(shape)),
        dtype=np.int32,
        fill_value=0,
        compressors=ZstdCodec(level=1),
        dimension_names=list(axes),
        attributes=dict(attributes),
    )


class Copied(NamedTuple):
    """Labels that were copied into a folder.

    Attributes
    ----------
    name : str
        What they are called there.
    largest : int
        The largest label.
    array : zarr.Array
        While it is used, no other program can open labels of the folder.
    """

    name: str
    largest: int
    array: Any


def copy_labels(
    labels: Any,
    folder: Path,
    name: str,
    axes: Sequence[str],
    attributes: Mapping[str, Any],
) -> Generator[Progress, None, Copied]:
    """Copy labels into a folder, plane by plane; they get their name when they are complete.

    Parameters
    ----------
    labels : (..., H, W) int array-like
    folder, name, axes, attributes
        As in `open_labels`; what is there already under this name stays, and the copy gets another.

    Raises
    ------
    ValueError
        As `open_labels` does; if a label is too large for int32, or a chunk is damaged.
    """
    shape = tuple(int(n) for n in labels.shape)
    hidden = f".{name}.partial"
    place = folder / f"{hidden}{SUFFIX}"
    displayed = (len(shape) - 2, len(shape) - 1)
    opened = partial(open_labels, folder, hidden, shape, displayed, axes, attributes)
    array = opened()  # from here on the folder is ours, and what lies there of a killed process
    whole = False
    try:
        shutil.rmtree(place)
        array = opened()
        largest = 0
        places = list(np.ndindex(*shape[:-2]))
        for number, at in enumerate(places, 1):
            plane = _read_plane(labels, at)
            most = int(plane.max(initial=0))
            if most > np.iinfo(np.int32).max or plane.min(initial=0) < 0:
                raise ValueError("labels are from 0 to 2147483647, but one is not")
            if most:
                array[at] = plane.astype(np.int32, copy=False)
                largest = max(largest, most)
            yield Progress(number, len(places), "copying the labels")
        name = free_name(folder, name)
        place.rename(folder / f"{name}{SUFFIX}")
        whole = True
    except OSError as error:
        raise ValueError(f"no place for labels in {folder}: {error.strerror or error}") from error
    finally:
        if not whole:
            shutil.rmtree(place, ignore_errors=True)
    return Copied(name, largest, array)


def _read_plane(labels: Any, place: tuple[int, ...]) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(labels[place])
    except UNREADABLE as error:
        raise ValueError(f"plane {place} of the labels is damaged: {error}") from error


def check_there(labels: Any, name: str) -> None:
    """Refuse an array on disk whose folder was moved or deleted since it was opened.

    zarr would make the folder anew, with chunks that no program finds.

    Parameters
    ----------
    labels : array
        Of any kind; only zarr arrays in a folder are looked at.
    name : str
        What the labels are called.

    Raises
    ------
    ValueError
        Naming the folder, and what to do.
    """
    root = getattr(getattr(labels, "store", None), "root", None)
    if root is None:
        return
    place = Path(root) / str(getattr(labels, "path", ""))
    if not any((place / meta).is_file() for meta in METADATA):
        raise ValueError(
            f"{place}, the folder of {name}, was moved or deleted; put it back and try again, or "
            "choose another Labels layer"
        )


def stored_at(labels: Any) -> str:
    """Return the folder of labels that are a zarr array on this machine; empty for others."""
    root = getattr(getattr(labels, "store", None), "root", None)
    return "" if root is None else str(Path(root).absolute() / labels.path)


def free_name(folder: Path, name: str) -> str:
    """Return a name that no labels of the folder have: "name", or "name 2" and so on."""
    number = 1
    candidate = name
    while (folder / f"{candidate}{SUFFIX}").exists():
        number += 1
        candidate = f"{name} {number}"
    return candidate


def largest_label(labels: Any) -> Generator[Progress, None, int]:
    """Find the largest label of an array of any kind, a plane at a time.

    Parameters
    ----------
    labels : (..., H, W) int array-like
        Of a zarr array on disk only the chunks are read that were written.

    Yields
    ------
    Progress

    Returns
    -------
    int, 0 where there is none

    Raises
    ------
    ValueError
        If a chunk on disk is damaged; it names the plane.
    """
    largest = 0
    parts = written_parts(labels)
    for number, part in enumerate(parts, start=1):
        try:
            plane = np.asarray(labels[part])
        except UNREADABLE as error:
            raise ValueError(_damaged(labels, part)) from error
        largest = max(largest, int(np.max(plane, initial=0)))
        yield Progress(number, len(parts), "counting labels")
    return largest


def _damaged(labels: Any, part: tuple[Any, ...]) -> str:
    """Say which chunk cannot be read, and what to do."""
    places = [one.start if isinstance(one, slice) else one for one in part]
    root = getattr(getattr(labels, "store", None), "root", "the labels")
    return (
        f"the chunk of {root} that begins at {places} is damaged; remove its file, which empties "
        "it, or name another folder"
    )


def written_parts(labels: Any) -> list[tuple[Any, ...]]:
    """Return the indices of planes, or of the written chunks of a zarr array."""
    root = getattr(getattr(labels, "store", None), "root", None)
    if root is None:
        return [(*index, ...) for index in np.ndindex(*labels.shape[:-2])]
    folder, parts = Path(root) / labels.path, []
    for place in np.ndindex(*labels.cdata_shape):
        if (folder / labels.metadata.encode_chunk_key(place)).exists():  # else it is empty
            corners = zip(place, labels.chunks, strict=True)
            parts.append(tuple(slice(k * n, (k + 1) * n) for k, n in corners))
    return parts


def _fits(place: Path, shape: Sequence[int]) -> bool:
    import zarr

    if place.suffix != SUFFIX or not place.is_dir():
        return False
    try:
        check_array(place)
        array = zarr.open_array(place, mode="r")
    except UNREADABLE:  # no array, or a damaged one
        return False
    whole = array.shards is None  # else several chunks share a file
    empty = array.fill_value == 0  # planes that were not written have no labels
    return whole and empty and array.shape == tuple(shape) and array.dtype.kind in "iu"
