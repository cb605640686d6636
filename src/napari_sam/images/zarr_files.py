"""Images in OME-Zarr 0.4 and 0.5, and plain zarr arrays: a plane is read when it is indexed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from numpy.typing import NDArray

from ..checks import shown
from .blocks import Box, chunked
from .decoding import UnreadableImageError, decoding
from .pixel_sizes import MICROMETRES
from .tiff_files import TiffImage
from .zarr_checks import check_array, inner_path, read_json

SECONDS = {
    "nanosecond": 1e-9, "microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0,
    "hour": 3600.0, "day": 86400.0,
}  # fmt: skip
"""Seconds of units of time."""
LENGTHS = {
    **MICROMETRES, "nanometer": 1e-3, "millimeter": 1e3, "angstrom": 1e-4, "picometer": 1e-6,
    "centimeter": 1e4, "meter": 1e6,
}  # fmt: skip
"""Micrometres of units of length."""
UNITS = {"T": SECONDS, "Z": LENGTHS, "Y": LENGTHS, "X": LENGTHS}
MOST_PLANES = 10**7
METADATA = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
"""Files of which one is in each folder of zarr's formats 3 and 2."""


class Level(NamedTuple):
    """An array of a group, and where its pixels lie.

    Attributes
    ----------
    place : Path
    axes : str
        One letter per axis; empty if unknown.
    units : tuple of str
        Of each axis; empty if unknown.
    scale, translate : tuple of float
        Size of a pixel, and the centre of the first one, in these units.
    """

    place: Path
    axes: str = ""
    units: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    translate: tuple[float, ...] = ()


def is_zarr(folder: Path) -> bool:
    """Tell whether a folder is a zarr array or group."""
    return any((folder / name).is_file() for name in METADATA)


def read_zarr(folder: Path, number: int | None) -> TiffImage:
    """Read the largest level of an OME-Zarr image, or a plain array; no pixel is read yet.

    Parameters
    ----------
    folder : Path
    number : int or None
        Which image of a group that holds several, as bioformats2raw writes them.

    Raises
    ------
    ValueError
        If there is none, several and none is named, or it is stored in a way that is not read.
    """
    import zarr

    image = _image_folder(folder, number)
    modern = (image / "zarr.json").is_file()
    level = _level(image, modern)
    check_array(level.place)
    array: zarr.Array[Any] = zarr.open_array(level.place, mode="r", zarr_format=3 if modern else 2)
    shape = tuple(int(side) for side in array.shape)
    if level.axes and len(level.axes) != len(shape):
        raise ValueError(f"{len(level.axes)} axes are named, but the array has {len(shape)}")
    inner = 3 if level.axes.endswith("YXC") or (not level.axes and shape[-1] in (3, 4)) else 2
    lead = max(len(shape) - inner, 0)
    at_once = max(math.prod(shape[lead:]), math.prod(array.chunks)) * array.dtype.itemsize
    free = psutil.virtual_memory().available
    if at_once > free or math.prod(shape[:lead]) > MOST_PLANES:
        raise UnreadableImageError(f"{folder} has planes or chunks that do not fit into memory")
    blocks = chunked(array, array.chunks)

    def read(box: Box) -> NDArray[Any]:
        with decoding(folder):
            return blocks.read(box)

    sizes, origin = _in_micrometres(level)
    return TiffImage(blocks._replace(read=read), level.axes, sizes, "", origin)


def placed(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], dimensions: int
) -> tuple[list[float], list[float]]:
    """Return scale and translation of a level of a pyramid.

    Raises
    ------
    ValueError
        If its transformations are not of so many dimensions, or a scale is 0.
    """
    scale, translate = [1.0] * dimensions, [0.0] * dimensions
    for holder in (dataset, multiscale):
        for one in holder.get("coordinateTransformations") or ():
            if one.get("type") == "scale":
                sizes = _numbers(one.get("scale"), dimensions)
                if not all(sizes):
                    raise ValueError(f"the scale is not 0, but is {shown(sizes)}")
                scale = [a * b for a, b in zip(scale, sizes, strict=True)]
                translate = [a * b for a, b in zip(translate, sizes, strict=True)]
            elif one.get("type") == "translation":
                places = _numbers(one.get("translation"), dimensions)
                translate = [a + b for a, b in zip(translate, places, strict=True)]
    return scale, translate


def _numbers(values: Any, count: int) -> list[float]:
    fits = isinstance(values, list) and len(values) == count
    if not fits or not all(type(n) in (int, float) and math.isfinite(n) for n in values):
        raise ValueError(f"a transformation has {count} numbers, but has {shown(values)}")
    return [float(n) for n in values]


def _image_folder(folder: Path, number: int | None) -> Path:
    """Return the folder of the image that is meant: the group itself, or one of several in it."""
    attributes = _attributes(folder)
    if "plate" in attributes or "well" in attributes:
        raise UnreadableImageError(
            f"{folder} holds several images of a plate; name one of them, like {folder}/A/1/0"
        )
    if "bioformats2raw.layout" not in attributes:
        if number:
            raise UnreadableImageError(f"{folder} holds one image, so there is no series {number}")
        return folder
    names = sorted((p.name for p in folder.iterdir() if p.name.isdecimal()), key=int)
    if number is None and len(names) == 1:
        number = int(names[0])
    if number is None or str(number) not in names:
        said = "holds several images" if number is None else f"has no series {number}"
        raise UnreadableImageError(
            f"{folder} {said}: {', '.join(names) or 'none'}; choose one with --series N on the "
            "command line or series=N of read_image"
        )
    return folder / str(number)


def _attributes(folder: Path) -> Mapping[str, Any]:
    """Return what OME-Zarr says of a group; empty where it says nothing."""
    modern = folder / "zarr.json"
    place = modern if modern.is_file() else folder / ".zattrs"
    data = read_json(place) if place.is_file() else {}
    if modern.is_file() and isinstance(data, Mapping):
        attributes = data.get("attributes")
        data = attributes.get("ome", {}) if isinstance(attributes, Mapping) else {}
    return data if isinstance(data, Mapping) else {}


def _level(folder: Path, modern: bool) -> Level:
    """Return the largest level of the pyramid in a folder, or the folder where it is an array."""
    multiscales = _attributes(folder).get("multiscales")
    if not isinstance(multiscales, list) or not multiscales:
        return _plain(folder, modern)
    multiscale = multiscales[0]
    dataset = multiscale["datasets"][0]
    axes = multiscale.get("axes")
    if axes is None:  # before 0.3 there were five
        axes = list("tczyx")
    rows = [one if isinstance(one, Mapping) else {"name": str(one)} for one in axes]
    scale, translate = placed(multiscale, dataset, len(rows))
    units = tuple(str(row.get("unit", "")) for row in rows)
    place = inner_path(folder, dataset["path"])
    return Level(place, _letters(rows), units, tuple(scale), tuple(translate))


def _plain(folder: Path, modern: bool) -> Level:
    """Return an array that is in no group; zarr 3 may name its axes."""
    data = read_json(folder / "zarr.json") if modern else {}
    if (modern and data.get("node_type") != "array") or not (modern or _is_array(folder)):
        raise UnreadableImageError(f"{folder} is a group of zarr, but holds no image of OME-Zarr")
    names = data.get("dimension_names") or ()
    axes = "".join(str(name).upper() for name in names)
    return Level(folder, axes if len(axes) == len(names) and set(axes) <= set("TCZYX") else "")


def _is_array(folder: Path) -> bool:
    return (folder / ".zarray").is_file()


def _letters(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a letter for each axis: its name, or else one that its kind allows."""
    spare = [letter for letter in "XYZ" if letter not in {_name(row) for row in rows}]
    letters = ""
    for row in reversed(rows):
        name, kind = _name(row), row.get("type")
        if name not in set("TCZYX"):
            name = {"time": "T", "channel": "C"}.get(str(kind)) or (spare.pop(0) if spare else "Q")
        letters = name + letters
    return letters


def _name(row: Mapping[str, Any]) -> str:
    return str(row.get("name", "")).upper()


def _in_micrometres(level: Level) -> tuple[dict[str, float], dict[str, float]]:
    """Return pixel sizes and the place of the first pixel along the axes whose unit is known."""
    sizes, origin = {}, {}
    for axis, unit, size, place in zip(
        level.axes, level.units, level.scale, level.translate, strict=False
    ):
        factor = UNITS.get(axis, {}).get(unit)
        if factor is not None and size > 0:
            sizes[axis], origin[axis] = size * factor, place * factor
    return sizes, origin
