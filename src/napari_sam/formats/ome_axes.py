"""Axes of OME-Zarr: their names, kinds, units, scale and translation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..checks import shown
from ..images.zarr_files import placed
from .annotation import Geometry

KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
UNITS = {
    "space": frozenset(
        {"angstrom", "centimeter", "femtometer", "inch", "kilometer", "meter", "micrometer"}
        | {"millimeter", "nanometer", "picometer", "decimeter", "hectometer", "foot", "yard"}
    ),
    "time": frozenset(
        {"second", "millisecond", "microsecond", "nanosecond", "minute", "hour", "day"}
        | {"picosecond", "femtosecond", "centisecond", "decisecond", "kilosecond"}
    ),
}
"""Units that OME-Zarr knows, of lengths and times."""
PIXEL = "pixel"


def standard_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of axes as OME-Zarr orders them: theirs where they will do, else t, c, z, y, x.

    Raises
    ------
    ValueError
        If there are fewer than 2 or more than 5.
    """
    if not 2 <= len(names) <= 5:
        raise ValueError(f"labels have 2 to 5 axes, but these have {len(names)}")
    lower = tuple(str(name).lower() for name in names)
    order = [name for name in "tczyx" if name in lower]
    if list(lower) == order and lower[-2:] == ("y", "x"):
        return lower
    return {2: ("y", "x"), 3: ("z", "y", "x"), 4: ("t", "z", "y", "x")}.get(
        len(names), ("t", "c", "z", "y", "x")
    )


def axes_of(geometry: Geometry, dimensions: int) -> list[dict[str, str]]:
    """Return the axes of a pyramid.

    Raises
    ------
    ValueError
        If the geometry is not of so many axes, or there are too many.
    """
    parts = (geometry.axes, geometry.scale, geometry.units, geometry.translate)
    if any(len(part) != dimensions for part in parts):
        raise ValueError(f"labels of {dimensions} axes have another geometry: {shown(geometry)}")
    axes = []
    for name, unit in zip(standard_names(geometry.axes), geometry.units, strict=True):
        axis = {"name": name, "type": KINDS[name]}
        if unit in UNITS.get(KINDS[name], ()):
            axis["unit"] = unit
        axes.append(axis)
    return axes


def geometry_of(
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], dimensions: int
) -> Geometry:
    """Return where the labels of a pyramid's level lie.

    Raises
    ------
    ValueError
        If its axes or transformations are not of so many dimensions.
    """
    axes = multiscale.get("axes", [])
    if not isinstance(axes, list) or len(axes) != dimensions:
        raise ValueError(f"there are {dimensions} axes, but these are named: {shown(axes)}")
    scale, translate = placed(multiscale, dataset, dimensions)
    names = tuple(str(axis["name"]) for axis in axes)
    units = tuple(str(axis.get("unit", PIXEL)) for axis in axes)
    return Geometry(names, tuple(scale), units, tuple(translate))
