"""How large a voxel of an image layer is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, prod
from typing import Any, NamedTuple

from ...placement import pixel_area

MICROMETRE, SECOND = "um", "s"


class VoxelSize(NamedTuple):
    """The volume of a voxel.

    Attributes
    ----------
    volume : float
    unit : str
        "µm³", or "voxels" for an image without lengths or of flat voxels; the volume is 1 then.
    """

    volume: float = 1.0
    unit: str = "voxels"


def voxel_size(transform: Mapping[str, Any], axes: Sequence[int]) -> VoxelSize:
    """Return the volume of a voxel, from the scale, the affine and the units of a layer.

    Parameters
    ----------
    transform : mapping
        See `Frame.transform`.
    axes : sequence of int
        The three axes of the volume.
    """
    units = [transform["units"][axis] for axis in axes]
    if not all(unit.is_compatible_with(MICROMETRE) for unit in units):
        return VoxelSize()
    factor = prod(float((1 * unit).to(MICROMETRE).magnitude) for unit in units)
    volume = factor * pixel_area(transform, axes)
    return VoxelSize(volume, "µm³") if 0 < volume < inf else VoxelSize()


def is_time(transform: Mapping[str, Any], axis: int) -> bool:
    """Tell whether an axis is measured in seconds or another unit of time."""
    return bool(transform["units"][axis].is_compatible_with(SECOND))


def square_micrometres(transform: Mapping[str, Any], axes: Sequence[int]) -> float | None:
    """Return the area of a pixel in µm²; None for an image without lengths.

    Parameters
    ----------
    transform : mapping
        See `Frame.transform`.
    axes : sequence of int
        The two axes of the plane.
    """
    units = [transform["units"][axis] for axis in axes]
    if not all(unit.is_compatible_with(MICROMETRE) for unit in units):
        return None
    factor = prod(float((1 * unit).to(MICROMETRE).magnitude) for unit in units)
    area = factor * pixel_area(transform, axes)
    return area if 0 < area < inf else None
