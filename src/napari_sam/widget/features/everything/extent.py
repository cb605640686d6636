"""Which planes "all planes" means: a stack of several axes has several answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from napari.components import Dims

from ....stack.planes import all_planes, linking_axis
from ....types import SliceKey
from ...frame import Frame
from .voxels import is_time

TIME = ("t", "time", "frame", "frames")
"""Names of axes that are time."""


@dataclass(frozen=True)
class Extent:
    """Planes that a run takes, besides the one shown.

    Attributes
    ----------
    text : str
        "all z (12 planes)"
    axes : tuple of int
        The axes that are walked along; the plane keeps its place on all others.
    linking_axis : int or None
        The axis along which objects are linked.
    linking_name : str
    time_series : bool
        Whether this axis is time.
    """

    text: str
    axes: tuple[int, ...]
    linking_axis: int | None
    linking_name: str = ""
    time_series: bool = False

    def planes(self, key: SliceKey, shape: Sequence[int]) -> list[SliceKey]:
        """Return the keys of all planes, given one of them and the shape of the image."""
        here = [one for one in key.fixed if one[0] not in self.axes]
        keys = all_planes(shape, key, self.linking_axis)
        return [one for one in keys if all(place in one.fixed for place in here)]


def extents(frame: Frame, key: SliceKey, dims: Dims) -> list[Extent]:
    """Return what "all planes" can mean, the widest first; nothing for a single plane.

    Parameters
    ----------
    frame : Frame
    key : SliceKey
        The plane shown.
    dims : napari.components.Dims
        Has names of axes, as the sliders do.
    """
    axes = [axis for axis, _ in key.fixed if frame.shape[axis] > 1]
    names = {axis: axis_name(frame, axis, dims) for axis in axes}

    def extent(some: Sequence[int], along: int | None) -> Extent:
        count = prod(frame.shape[axis] for axis in some)
        text = f"all {' and '.join(names[axis] for axis in some)} ({count} planes)"
        if along is None:
            return Extent(text, tuple(some), along)
        time = names[along].lower() in TIME or is_time(frame.transform, along)
        return Extent(text, tuple(some), along, names[along], time)

    found = [extent(axes, linking_axis(frame.shape, key))] if len(axes) > 1 else []
    return [*found, *(extent([axis], axis) for axis in reversed(axes))]


def axis_name(frame: Frame, axis: int, dims: Dims) -> str:
    """Return the name of an axis of the image: its own, else the slider's."""
    own = str(frame.layer.axis_labels[axis])
    of_sliders = [str(name) for name in dims.axis_labels]
    place = axis - len(frame.shape) + len(of_sliders)  # below 0 while napari removes layers
    names = [own, of_sliders[place]] if place >= 0 else [own]
    return next((name for name in names if not _is_number(name)), f"axis {axis}")


def _is_number(name: str) -> bool:
    return name.lstrip("-").isdigit()
