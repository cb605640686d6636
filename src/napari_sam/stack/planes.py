"""Everything mode over planes: one generator for the dock, the command line and programs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..everything.amg import AutomaticMaskGenerator
from ..everything.amg_params import AmgParams
from ..everything.amg_select import Candidates, select
from ..masks import labels_in, to_labels
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..steps import drive, mapped
from ..types import Plane, Progress, SliceKey
from .join import PlaneLabels, linked

PER_PLANE = 100
"""What a plane counts for in `Progress`."""


@dataclass(frozen=True, eq=False)
class PlaneResult:
    """The labels of one plane.

    Attributes
    ----------
    plane : Plane
    labels : (H, W) int32, as displayed
    values : (N,) int32
        The labels that occur, ascending.
    candidates : Candidates or None
        What they were selected from; None if the plane was only linked.
    """

    plane: Plane
    labels: NDArray[np.int32]
    values: NDArray[np.int32]
    candidates: Candidates | None = None

    @classmethod
    def of(
        cls, plane: Plane, labels: NDArray[np.int32], candidates: Candidates | None = None
    ) -> PlaneResult:
        """Find out which labels occur."""
        return cls(plane, labels, labels_in(labels), candidates)

    @classmethod
    def selected(
        cls, plane: Plane, candidates: Candidates, params: AmgParams, largest: int = 0
    ) -> PlaneResult:
        """Select among candidates; the labels begin after `largest`."""
        labels = to_labels(select(candidates, params), candidates.size)
        labels[labels > 0] += largest
        return cls.of(plane, labels, candidates)

    @property
    def largest(self) -> int:
        """The largest label; 0 if there is none."""
        return int(self.values.max(initial=0))


class StackFrame(NamedTuple):
    """Where the planes of a stack lie.

    Attributes
    ----------
    shape : (int, int, int)
        Of the whole stack, without colours.
    axis : int
        The axis that was walked along.
    """

    shape: tuple[int, int, int]
    axis: int


def plane_text(plane: Plane) -> str:
    """Return which plane of its array this is, as people count: from 1."""
    key = plane.key
    if not key.fixed:
        return "the image"
    shape = (plane.image if key.level is None else plane.image[key.level]).shape
    return "plane " + ", ".join(f"{place + 1} of {shape[axis]}" for axis, place in key.fixed)


def everything_in(
    session: Session, planes: Sequence[Plane], params: AmgParams | None = None, largest: int = 0
) -> Generator[Progress | PlaneResult, None, int]:
    """Find every object in planes, one after the other.

    Parameters
    ----------
    session : Session
        A plane that it has encoded is not encoded again.
    planes : sequence of Plane
        Their windows are left aside.
    params : AmgParams, optional
        By default those that suit the model.
    largest : int
        The labels of the first plane begin after it, those of each further plane after the
        largest so far.

    Yields
    ------
    Progress
        A plane counts for `PER_PLANE`.
    PlaneResult
        As soon as a plane is done.

    Returns
    -------
    int, the largest label
    """
    generator = AutomaticMaskGenerator(session.predictor, params)
    for done, one in enumerate(planes):
        plane = one.whole
        steps = generator.propose_on(plane.size, partial(session.crop_embedding, plane))
        place = partial(_placed, plane, done, len(planes))
        candidates = yield from mapped(steps, place)
        found = PlaneResult.selected(plane, candidates, generator.params, largest)
        largest = max(largest, found.largest)
        yield found
    return largest


def everything(
    predictor: SamPredictor,
    volume: Any,
    params: AmgParams | None = None,
    axis: int = 0,
    planes: Sequence[int] | None = None,
    contrast_limits: tuple[float, float] | None = None,
    out: Any = None,
    link: bool = True,
) -> Generator[Progress | PlaneLabels, None, StackFrame]:
    """Find every object in every plane of a stack, then link the planes.

    Parameters
    ----------
    predictor : SamPredictor
    volume : (Z, H, W) or (Z, H, W, C), lazy or not
    params : AmgParams, optional
    axis : int
        The axis that is walked along: 0, 1 or 2.
    planes : sequence of int, optional
        Which planes to do, in this order; all of them by default. Negative numbers count from the
        end; one that is named twice is done once.
    contrast_limits : (low, high) float, optional
        By default each plane's own percentiles.
    out : array of (Z, H, W), optional
        Planes are written into it as well.
    link : bool
        Give an object that goes on in the next plane the same label there.

    Yields
    ------
    Progress
        While planes are worked on.
    (z, labels)
        As soon as a plane is done, with labels that no other plane uses; and once more, in the
        end, each plane whose labels linking has changed.

    Returns
    -------
    StackFrame, which `run` needs

    Raises
    ------
    ValueError
        At once, if the volume has no such axis or no such plane.
    """
    if len(volume.shape) not in (3, 4):
        raise ValueError(f"a stack is (Z, H, W) or (Z, H, W, C), but this one is {volume.shape}")
    if axis not in (0, 1, 2):
        raise ValueError(f"axis is 0, 1 or 2, but is {axis!r}")
    length, height, width = (int(side) for side in volume.shape[:3])
    frame = StackFrame((length, height, width), axis)
    rows, columns = (other for other in range(3) if other != axis)
    wanted = [
        Plane(volume, SliceKey((rows, columns), ((axis, z),)), contrast_limits)
        for z in plane_numbers(planes, frame.shape[axis])
    ]
    return _everything(Session(predictor, max_bytes=0), wanted, params, frame, out, link)


def plane_numbers(planes: Iterable[int] | None, count: int) -> list[int]:
    """Return the planes that are meant, each once, in the order given.

    Parameters
    ----------
    planes : iterable of int or None
        Negative numbers count from the end; None is all.
    count : int
        How many there are.

    Raises
    ------
    ValueError
        If one is no whole number, or beyond the stack.
    """
    numbers: dict[int, None] = {}
    for plane in range(count) if planes is None else planes:
        try:
            number = index(plane)
        except TypeError:
            raise ValueError(f"a plane is a whole number, but one is {plane!r}") from None
        if not -count <= number < count:
            raise ValueError(
                f"there is no plane {number}: the stack has {count}, from 0 to {count - 1}"
            )
        numbers[number % count] = None
    return list(numbers)


def run(steps: Generator[Progress | PlaneLabels, None, StackFrame]) -> NDArray[np.int32]:
    """Drive `everything` to its end and return the labels of the whole stack, (Z, H, W) int32.

    Planes that were not worked on are empty.

    Raises
    ------
    ValueError
        If there was no plane to work on.
    """
    planes: dict[int, NDArray[np.int32]] = {}

    def keep(step: Progress | PlaneLabels) -> None:
        if not isinstance(step, Progress):
            planes[step[0]] = step[1]

    frame = drive(mapped(steps, keep))
    if not planes:
        raise ValueError("there was no plane to work on")
    volume = np.zeros(frame.shape, np.int32)
    for z in list(planes):
        _write(volume, frame.axis, z, planes.pop(z))
    return volume


def _everything(
    session: Session,
    planes: Sequence[Plane],
    params: AmgParams | None,
    frame: StackFrame,
    out: Any,
    link: bool,
) -> Generator[Progress | PlaneLabels, None, StackFrame]:
    """Do what `everything` says, with checked arguments."""
    done: dict[int, NDArray[np.int32]] = {}
    for step in everything_in(session, planes, params):
        if isinstance(step, Progress):
            yield step
        else:
            z = step.plane.key.fixed[0][1]
            done[z] = step.labels
            _write(out, frame.axis, z, step.labels)
            yield z, step.labels
    if link and len(done) > 1:
        total = PER_PLANE * len(planes)
        for joined in linked(done):
            if isinstance(joined, Progress):
                yield Progress(total, total, joined.text)
            else:
                _write(out, frame.axis, *joined)
                yield joined
    return frame


def _placed(plane: Plane, done: int, planes: int, step: Progress) -> Progress:
    """Return a step of one plane as one of a run over several, of which some are done."""
    count = int(PER_PLANE * (done + step.done / max(step.total, 1)))
    return Progress(count, PER_PLANE * planes, f"{plane_text(plane)}, {step.text}")


def _write(out: Any, axis: int, z: int, labels: NDArray[np.int32]) -> None:
    if out is not None:
        out[(slice(None),) * axis + (z,)] = labels
