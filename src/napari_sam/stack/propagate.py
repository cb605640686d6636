"""Objects known in some planes of a stack are followed into the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..predict.session import Session
from ..types import Mask, Plane, Progress


@dataclass(frozen=True, eq=False)
class Found:
    """An object in a plane that it was followed into.

    Attributes
    ----------
    mask : Mask
    score : float, 0..1
        How certain the answer is.
    """

    mask: Mask
    score: float


class FoundPlane(NamedTuple):
    """What was found in a plane.

    Attributes
    ----------
    place : int
        Number of the plane.
    found : mapping of int to Found
        By number of the object; an object that was followed and is not there has ended.
    """

    place: int
    found: Mapping[int, Found]


def propagate(
    session: Session,
    planes: Sequence[Plane],
    keyframes: Mapping[int, Mapping[int, Mask]],
    only: Collection[int] | None = None,
    others: Callable[[int], NDArray[np.int32]] | None = None,
) -> Generator[Progress | FoundPlane, None, None]:
    """Follow objects from their keyframes through a stack.

    Parameters
    ----------
    session : Session
    planes : sequence of Plane
        All planes along the axis, in order.
    keyframes : mapping of int to mapping of int to Mask
        For each object (by number) the planes (by place) in which its outline is known. An empty
        mask says that the object is not there.
    only : collection of int, optional
        Places to work on; by default all that are no keyframe. See `stale_places`.
    others : callable, optional
        Returns the labels (H, W) int32 of a plane, 0 = free: pixels that the objects may not have.

    Yields
    ------
    Progress
    FoundPlane
        As soon as a plane is done, from the keyframes outward; a plane between two keyframes once
        both sides have reached it.
    """
    raise NotImplementedError


def stale_places(keyframes: Iterable[int], place: int, count: int) -> range:
    """Return the places to work on again after an edit in one plane.

    Parameters
    ----------
    keyframes : iterable of int
        Places where the outline is known.
    place : int
        The plane that was edited.
    count : int
        Planes in all.

    Returns
    -------
    range
        From behind the keyframe before to before the keyframe after it.
    """
    others = [one for one in keyframes if one != place]
    first = max((one + 1 for one in others if one < place), default=0)
    return range(first, min((one for one in others if one > place), default=count))
