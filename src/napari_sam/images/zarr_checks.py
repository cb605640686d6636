"""Checks of zarr folders that may come from a stranger, before anything in them is decoded.

zarr looks up codecs by the names that a file gives, and one of numcodecs' runs any code that is in
the data. So only the codecs named here are decoded.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..checks import shown

LARGEST_METADATA = 2**28
"""Bytes of one JSON file."""
LARGEST_CHUNK = 2**31
"""Pixels of one chunk; a plane has no more."""
CODECS = frozenset({"bytes", "transpose", "zstd", "gzip", "blosc", "crc32c", "sharding_indexed"})
"""Of zarr 3."""
COMPRESSORS = frozenset({"zstd", "gzip", "zlib", "blosc", "lz4", "bz2", "lzma"})
"""Of zarr 2."""


def read_json(path: Path, largest: int = LARGEST_METADATA) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    ValueError
        If it is missing, too large, or no JSON.
    """
    try:
        size = path.stat().st_size
        if not path.is_file() or size > largest:
            raise ValueError(f"{path} has {size} bytes, more than the {largest} that are read")
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # those of JSON and of its encoding are ValueErrors, too
        raise ValueError(f"{path} cannot be read: {error}") from error


def inner_path(folder: Path, name: Any) -> Path:
    """Return a place inside a folder that is there.

    Parameters
    ----------
    folder : Path
    name : str
        As a file of the folder names it: relative, with "/".

    Raises
    ------
    ValueError
        If it leads out of the folder, also by a link, or nothing is there.
    """
    plain = isinstance(name, str) and bool(name) and "\\" not in name and "\0" not in name
    if not plain or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise ValueError(f"{shown(name)} is no place inside of {folder}")
    if PureWindowsPath(name).drive:
        raise ValueError(f"{shown(name)} is no place inside of {folder}")
    place = folder / PurePosixPath(name)
    try:
        root, real = folder.resolve(), place.resolve()
        if not real.is_relative_to(root) or real == root:
            raise ValueError(f"{shown(name)} leads out of {folder}")
        if not real.exists():
            raise ValueError(f"{folder} has no {shown(name)}")
    except (OSError, RuntimeError) as error:  # the latter is an endless chain of links
        raise ValueError(f"{place} cannot be read: {error}") from error
    return place


def check_no_links(folder: Path) -> None:
    """Refuse a folder in which anything is a link: it could name any file of this computer.

    Raises
    ------
    ValueError
        If there is one.
    """
    for root, _, _ in os.walk(folder):
        with os.scandir(root) as entries:
            for entry in entries:
                if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
                    raise ValueError(f"{entry.path} is a link or a device; only files are read")


def check_array(place: Path) -> None:
    """Refuse an array of zarr's formats 3 or 2 that is not decoded here.

    Raises
    ------
    ValueError
        If it holds no integers, has too large chunks, or a codec that is not among ours.
    """
    modern = (place / "zarr.json").exists()
    data = read_json(place / ("zarr.json" if modern else ".zarray"))
    if not isinstance(data, Mapping):
        raise ValueError(f"{place} is no array")
    if modern:
        _check_codecs(data.get("codecs"), place)
        if data.get("storage_transformers"):
            raise ValueError(f"{place} has storage transformers, which are not read")
        grid = data.get("chunk_grid")
        settings = grid.get("configuration") if isinstance(grid, Mapping) else None
        chunks = settings.get("chunk_shape") if isinstance(settings, Mapping) else None
    else:
        compressor = data.get("compressor")
        known = compressor is None or (
            isinstance(compressor, Mapping) and compressor.get("id") in COMPRESSORS
        )
        if not known or data.get("filters"):
            raise ValueError(f"{place} is compressed in a way that is not read here")
        chunks = data.get("chunks")
    shape, sides = _sides(data.get("shape"), place), _sides(chunks, place)
    if len(sides) != len(shape) or math.prod(sides) > LARGEST_CHUNK:
        raise ValueError(f"{place} has chunks of {shown(sides)} pixels, more than a plane has")


def _sides(value: Any, place: Path) -> list[int]:
    if not isinstance(value, list) or not all(type(n) is int and n > 0 for n in value):
        raise ValueError(f"{place} has no shape: {shown(value)}")
    return value


def _check_codecs(codecs: Any, place: Path, depth: int = 0) -> None:
    if not isinstance(codecs, list) or not codecs or depth > 1:
        raise ValueError(f"{place} has no codecs that are read here")
    for one in codecs:
        if not isinstance(one, Mapping) or one.get("name") not in CODECS:
            raise ValueError(f"{place} has the codec {shown(one)}, which is not read here")
        settings = one.get("configuration", {})
        if not isinstance(settings, Mapping):
            raise ValueError(f"{place} has the codec {shown(one)}, which is not read here")
        for inner in ("codecs", "index_codecs"):
            if inner in settings:
                _check_codecs(settings[inner], place, depth + 1)
