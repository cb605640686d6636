"""Labels that are too large for memory: zarr arrays, a plane to a chunk, in a named folder.

Each chunk is a file that is written beside its place and renamed, so a run that is killed leaves
an array that can be read; a plane without labels has no file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..types import Progress

if TYPE_CHECKING:
    import zarr

LIMIT_BYTES = 10**9
"""Labels that would take more go to a folder."""
SUFFIX = ".zarr"


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
        If the folder holds something else, or cannot be written to.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    check_folder(folder, shape)
    place = folder / f"{name}{SUFFIX}"
    try:
        if place.exists():
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
    except OSError as error:
        raise ValueError(f"no place for labels in {folder}: {error.strerror or error}") from error


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
    """
    largest = 0
    parts = _parts(labels)
    for number, part in enumerate(parts, start=1):
        largest = max(largest, int(np.max(np.asarray(labels[part]), initial=0)))
        yield Progress(number, len(parts), "counting labels")
    return largest


def _parts(labels: Any) -> list[tuple[Any, ...]]:
    """Return the indices of planes, or of the written chunks of a zarr array."""
    store = getattr(getattr(labels, "store", None), "root", None)
    if store is None:
        return [(*index, ...) for index in np.ndindex(*labels.shape[:-2])]
    parts = []
    for place in np.ndindex(*labels.cdata_shape):
        if (store / labels.metadata.encode_chunk_key(place)).exists():  # else it is empty
            corners = zip(place, labels.chunks, strict=True)
            parts.append(tuple(slice(k * n, (k + 1) * n) for k, n in corners))
    return parts


def _fits(place: Path, shape: Sequence[int]) -> bool:
    import zarr

    if place.suffix != SUFFIX or not place.is_dir():
        return False
    try:
        array = zarr.open_array(place, mode="r")
    except (OSError, ValueError, KeyError):  # no array, or a damaged one
        return False
    whole = array.shards is None  # else several chunks share a file
    return whole and array.shape == tuple(shape) and array.dtype.kind in "iu"
