"""What a worker does to follow objects: it knows values only."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....predict.session import Session
from ....stack.propagate import FoundPlane, propagate
from ....types import Mask, Progress
from .following import Line


@dataclass(frozen=True, eq=False)
class Occupied:
    """Pixels that the objects followed may not have.

    Attributes
    ----------
    labels : array-like or None
        Of the image; None if all pixels of kept objects may be taken.
    own : sequence of int
        Labels that are free: those of the objects followed, and of others in work.
    masks : mapping of int to sequence of Mask
        By number of the plane, outlines of other objects in work.
    """

    labels: Any = None
    own: Sequence[int] = ()
    masks: Mapping[int, Sequence[Mask]] = field(default_factory=dict)

    def on(self, line: Line, place: int) -> NDArray[np.int32]:
        """Return the labels (H, W) of a plane; 0 is free."""
        if self.labels is None:
            labels = np.zeros(line.plane.size, np.int32)
        else:
            labels = np.array(line.key(place).read_labels(self.labels), np.int32)
            labels[np.isin(labels, self.own)] = 0
        other = np.iinfo(np.int32).max
        for mask in self.masks.get(place, ()):
            labels[mask.part][mask.bits] = other
        return labels


@dataclass(frozen=True, eq=False)
class Job:
    """Objects that are followed together.

    Attributes
    ----------
    line : Line
    keyframes : mapping of int to mapping of int to Mask
        By number of the object and of the plane.
    places : frozenset of int
        Planes to work on.
    occupied : Occupied
    propagator : {"appearance", "memory"} or None
        See `propagate`.
    """

    line: Line
    keyframes: Mapping[int, Mapping[int, Mask]]
    places: frozenset[int]
    occupied: Occupied
    propagator: str | None = None

    def after(self, found: Sequence[tuple[Line, FoundPlane]]) -> Job:
        """Return the job where its objects may not have what others have been found to have."""
        masks = {place: list(there) for place, there in self.occupied.masks.items()}
        for line, plane in found:
            if line.same_as(self.line):
                taken = masks.setdefault(plane.place, [])
                taken += [one.mask for one in plane.found.values()]
        return replace(self, occupied=replace(self.occupied, masks=masks))

    @property
    def others(self) -> Callable[[int], NDArray[np.int32]]:
        """What `propagate` asks for the pixels of others."""
        return lambda place: self.occupied.on(self.line, place)


Step = tuple[Job, Progress | FoundPlane | None]
"""Something that was found; None when a job is done."""


def follow(session: Session, jobs: Sequence[Job]) -> Generator[Step, None, None]:
    """Do some jobs one after the other; what one has found is not found by the next ones."""
    found: list[tuple[Line, FoundPlane]] = []
    for asked in jobs:
        job = asked.after(found)
        planes = job.line.planes
        steps = propagate(session, planes, job.keyframes, job.places, job.others, job.propagator)
        for step in steps:
            if isinstance(step, FoundPlane):
                found.append((job.line, step))
            yield job, step
        yield job, None
