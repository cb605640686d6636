"""Everything mode over whole stacks: one generator for the command line and programs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import shown, whole_number
from ..everything.amg_params import AmgParams
from ..images.channels import check_channels
from ..images.contrast import check_limits
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..steps import drive, mapped
from ..types import Plane, Progress, SliceKey
from .join import PlaneLabels, StoredPlanes, check_method, least_pixels, linked
from .partition import Method
from .planes import (
    PER_PLANE,
    PlaneResult,
    all_planes,
    best_share,
    everything_in,
    plane_numbers,
    stacks_along,
)
from .tracks import Track, tracked

COLOURS = 4
"""Most channels that the last axis of a stack is taken to hold."""

Place = int | tuple[int, ...]
"""Where a plane lies: a number in a (Z, H, W) stack, else one for each axis not displayed."""

PlacedLabels = tuple[Place, NDArray[np.int32]]
"""The place of a plane, and its labels (H, W)."""

Join = Callable[..., Generator[Progress | PlaneLabels, None, int]]
"""`linked`, or the same with other settings."""

Find = Callable[[Sequence[Plane], int], Generator[Progress | PlaneResult, None, int]]
"""Finds the objects of planes as `everything_in` does; given are the planes and `largest`."""

Prepare = Callable[[Sequence[Plane]], Generator[Progress, None, Find]]
"""Told of all planes of a run, stack by stack, returns what finds the objects of a stack."""


class StackFrame(NamedTuple):
    """Where the planes of a stack lie.

    Attributes
    ----------
    shape : tuple of int
        Of the whole stack, without colours.
    axis : int
        The axis along which objects are linked.
    """

    shape: tuple[int, ...]
    axis: int

    @property
    def key(self) -> SliceKey:
        """The first plane: the last two of the other axes are displayed."""
        others = [axis for axis in range(len(self.shape)) if axis != self.axis]
        rows, columns = others[-2:]
        walked = sorted([*others[:-2], self.axis])
        return SliceKey((rows, columns), tuple((axis, 0) for axis in walked))

    def place_of(self, key: SliceKey) -> Place:
        """Return the place of a plane."""
        places = tuple(place for _, place in key.fixed)
        return places if len(places) > 1 else places[0]

    def index_of(self, place: Place) -> tuple[int | slice, ...]:
        """Return the numpy index of the plane at a place."""
        places = place if isinstance(place, tuple) else (place,)
        key = self.key
        axes = (axis for axis, _ in key.fixed)
        return SliceKey(key.displayed, tuple(zip(axes, places, strict=True))).index


def everything(
    predictor: SamPredictor | None,
    volume: Any,
    params: AmgParams | None = None,
    axis: int | None = None,
    planes: Iterable[int] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    out: Any = None,
    link: bool = True,
    colours: bool | None = None,
    channels: Sequence[int] | None = None,
    method: Method = "multicut",
    least_volume: float = 0.0,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    tracks: list[Track] | None = None,
    prepare: Prepare | None = None,
) -> Generator[Progress | PlacedLabels, None, StackFrame]:
    """Find every object in every plane of a stack, then link the planes.

    Parameters
    ----------
    predictor : SamPredictor or None
        None where `prepare` says what finds the objects of planes.
    volume : (..., Z, H, W) or (..., Z, H, W, C) real, lazy or not
        For example (Z, H, W), or (T, Z, H, W).
    params : AmgParams, optional
    axis : int, optional
        The axis along which planes are linked. The last two of the other axes are displayed as
        rows and columns. By default the third from the end: Z of (Z, H, W) and of (T, Z, H, W).
    planes : iterable of int, optional
        Which positions on `axis` to do; all of them by default. Negative numbers count from the
        end; one that is named twice is done once. Each further axis is done from end to end.
    contrast_limits : (low, high) float, optional
        By default each plane's own percentiles.
    out : array of integers of 32 bits or more, of the shape of the volume without colours, optional
        Planes are written into it as well, and read from it to be linked.
    link : bool
        Give an object that goes on in the next plane the same label there. Planes at different
        positions on a further axis, such as time, are not linked.
    colours : bool, optional
        Whether the last axis holds channels. By default it does if there are more than three axes
        and it has at most 4 positions.
    channels : sequence of int, optional
        Which positions on the last axis are used as channels; see `transforms.to_rgb8`.
    method : {"multicut", "assignment", "greedy"}
        How outlines of neighbouring planes are joined; see `linked`.
    least_volume : float
        Linked objects of less volume are left out, in the unit of `spacing` cubed.
    spacing : (3,) float
        Distance of planes, of rows and of columns. A model sees pixels as square.
    tracks : list of Track, optional
        If there is one, the planes are frames of a time series: they are joined by `tracked`, and
        the tracks are added to the list. `method` and `least_volume` do not count then.
    prepare : callable, optional
        What finds the objects of planes, see `Prepare`: other processes, or a store of what they
        found. By default `predictor` does, one plane after the other.

    Yields
    ------
    Progress
        While planes are worked on.
    (place, labels)
        As soon as a plane is done, with labels that no other plane uses; and once more, when all
        planes along `axis` are done, each plane whose labels linking has changed. In a stack of
        three axes the place is the number of the plane; in one of more it is the tuple of the
        positions on all axes that are not displayed, in the order of the axes.

    Returns
    -------
    StackFrame, which `run` needs

    Raises
    ------
    ValueError
        At once, if the volume, its axis, a plane, the limits or `out` cannot be used.
    """
    if not hasattr(volume, "shape") or not hasattr(volume, "dtype"):
        volume = np.asarray(volume)
    frame = _frame(volume, axis, colours)
    limits = None if contrast_limits is None else check_limits(contrast_limits)
    used = None if channels is None else check_channels(channels)
    if params is not None and not isinstance(params, AmgParams):
        raise ValueError(f"params is an AmgParams, but is {shown(params)}")
    if out is not None:
        _check_out(out, frame.shape)
    check_method(method)
    least_pixels(least_volume, spacing)
    join: Join = partial(linked, method=method, least_volume=least_volume, spacing=spacing)
    if tracks is not None:
        join = partial(_tracked, tracks)
    numbers = plane_numbers(planes, frame.shape[frame.axis])
    if not numbers:
        raise ValueError("there is no plane to work on: planes is empty")
    first = Plane(volume, frame.key, limits, channels=used, spacing=(spacing[1], spacing[2]))
    stacks = stacks_like(first, frame, numbers)
    if prepare is None:
        if predictor is None:
            raise ValueError("there is nothing that finds objects: give predictor or prepare")
        prepare = partial(_prepared, Session(predictor, max_bytes=0), params)
    return _everything(prepare, stacks, frame, out, join if link else None)


def stacks_like(
    first: Plane, frame: StackFrame, numbers: Sequence[int] | None = None
) -> list[list[Plane]]:
    """Return the planes of each stack along an axis, seen like the first one.

    Parameters
    ----------
    first : Plane
        That of `frame.key`.
    frame : StackFrame
    numbers : sequence of int, optional
        Positions on the axis; all of them by default.
    """
    keys = all_planes(frame.shape, frame.key, frame.axis)
    chosen = range(frame.shape[frame.axis]) if numbers is None else numbers
    return [
        [replace(first, key=stack[number]) for number in chosen]
        for stack in stacks_along(keys, frame.axis)
    ]


def run(steps: Generator[Progress | PlacedLabels, None, StackFrame]) -> NDArray[np.int32]:
    """Drive `everything` to its end and return the labels of the whole stack, (..., Z, H, W) int32.

    Planes that were not worked on are empty.
    """
    planes: dict[Place, NDArray[np.int32]] = {}

    def keep(step: Progress | PlacedLabels) -> None:
        if not isinstance(step, Progress):
            planes[step[0]] = step[1]

    frame = drive(mapped(steps, keep))
    volume = np.zeros(frame.shape, np.int32)
    for place in list(planes):
        volume[frame.index_of(place)] = planes.pop(place)
    return volume


def _prepared(
    session: Session, params: AmgParams | None, planes: Sequence[Plane]
) -> Generator[Progress, None, Find]:
    """Choose the contrast of all planes; return what finds objects in one after the other."""
    share = yield from best_share(session, planes, params)

    def find(some: Sequence[Plane], largest: int) -> Generator[Progress | PlaneResult, None, int]:
        return everything_in(session, some, params, largest, share=share)

    return find


def _everything(
    prepare: Prepare,
    stacks: Sequence[Sequence[Plane]],
    frame: StackFrame,
    out: Any,
    join: Join | None,
) -> Generator[Progress | PlacedLabels, None, StackFrame]:
    """Do what `everything` says, with checked arguments."""
    total = PER_PLANE * sum(len(planes) for planes in stacks)
    done = largest = 0
    find = yield from prepare(list(chain.from_iterable(stacks)))
    for planes in stacks:
        steps = _in_one_stack(find, planes, frame, out, join, largest)
        largest = yield from mapped(steps, partial(_as_part, done, total))
        done += PER_PLANE * len(planes)
    return frame


def _in_one_stack(
    find: Find,
    planes: Sequence[Plane],
    frame: StackFrame,
    out: Any,
    join: Join | None,
    largest: int,
) -> Generator[Progress | PlacedLabels, None, int]:
    """Find the objects of planes along one axis, link them, and return the largest label."""
    keys = {dict(plane.key.fixed)[frame.axis]: plane.key for plane in planes}
    if len(keys) < 2:
        join = None
    found: dict[int, NDArray[np.int32]] = {}  # where there is no `out` to read them from

    def written(z: int, labels: NDArray[np.int32]) -> PlacedLabels:
        if out is not None:
            out[keys[z].index] = labels
        return frame.place_of(keys[z]), labels

    def linked_step(step: Progress | PlaneLabels) -> Progress | PlacedLabels:
        if isinstance(step, Progress):
            return Progress(PER_PLANE * len(planes), PER_PLANE * len(planes), step.text)
        found.pop(step[0], None)
        return written(*step)

    def found_step(step: Progress | PlaneResult) -> Progress | PlacedLabels:
        if isinstance(step, Progress):
            return step
        z = dict(step.plane.key.fixed)[frame.axis]
        if join is not None and out is None:
            found[z] = step.labels
        return written(z, step.labels)

    last = yield from mapped(find(planes, largest), found_step)
    if join is None:
        return last
    stored = found if out is None else StoredPlanes(out, keys.values(), frame.axis)
    return (yield from mapped(join(stored, largest=largest), linked_step))


def _tracked(
    tracks: list[Track], planes: Mapping[int, NDArray[np.int32]], largest: int
) -> Generator[Progress | PlaneLabels, None, int]:
    """Join planes as a time series, add its tracks to a list, and return the largest label."""
    found = yield from tracked(planes, largest)
    tracks += found
    return max((largest, *(track.label for track in found)))


def _as_part(done: int, total: int, step: Progress | PlacedLabels) -> Progress | PlacedLabels:
    """Return a step of one stack as one of a run over several, of which some are done."""
    return Progress(done + step.done, total, step.text) if isinstance(step, Progress) else step


def _frame(volume: Any, axis: int | None, colours: bool | None) -> StackFrame:
    """Return where the planes of a volume lie, or refuse it."""
    shape = tuple(int(side) for side in volume.shape)
    if np.dtype(volume.dtype).kind not in "buif":
        raise ValueError(f"a stack holds real numbers, but this one holds {volume.dtype}")
    if colours is None:
        colours = len(shape) > 3 and shape[-1] <= COLOURS
    sides = shape[:-1] if colours else shape
    if len(sides) < 3:
        raise ValueError(
            f"a stack has three axes or more and perhaps colours, but this one is {shape}"
        )
    if 0 in shape:
        raise ValueError(f"a stack needs at least one pixel, but this one is {shape}")
    if axis is None:
        return StackFrame(sides, len(sides) - 3)
    number = whole_number("axis", axis)
    if not 0 <= number < len(sides):
        hint = " (the last one is taken for colours)" if number == len(sides) < len(shape) else ""
        raise ValueError(f"axis lies between 0 and {len(sides) - 1}, but is {number}{hint}")
    return StackFrame(sides, number)


def _check_out(out: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array that the labels of a stack cannot be written to."""
    if not hasattr(out, "shape") or tuple(out.shape) != shape:
        own = getattr(out, "shape", type(out).__name__)
        raise ValueError(f"out has the shape of the stack, {shape}, but is {own}")
    dtype = np.dtype(out.dtype)
    if dtype.kind not in "ui" or dtype.itemsize < 4:
        raise ValueError(f"out holds integers of 32 bits or more, but this one holds {dtype}")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError("out is read-only; give an array that can be written to")
