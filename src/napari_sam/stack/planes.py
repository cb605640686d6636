"""Planes of n-d arrays: which there are, and everything mode over them one by one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import shown
from ..everything.amg import AutomaticMaskGenerator, FoundSoFar
from ..everything.amg_params import AmgParams
from ..everything.amg_select import Candidates, select
from ..masks import labels_in, to_labels
from ..predict.session import Session
from ..steps import mapped
from ..types import Plane, Progress, SliceKey
from .exposure import best_exposure, exposed

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
        records = select(candidates, params)
        labels = to_labels(records, candidates.size, params.min_mask_region_area)
        if largest:
            labels[labels > 0] += largest
        return cls.of(plane, labels, candidates)

    @property
    def largest(self) -> int:
        """The largest label; 0 if there is none."""
        return int(self.values.max(initial=0))


def plane_text(plane: Plane) -> str:
    """Return which plane of its array this is, counted from 0 as napari's sliders count."""
    key = plane.key
    if not key.fixed:
        return "the image"
    shape = key.array_of(plane.image).shape
    return "plane " + ", ".join(f"{place} (0 to {shape[axis] - 1})" for axis, place in key.fixed)


def all_planes(
    image_shape: Sequence[int], key: SliceKey, axis: int | None = None
) -> list[SliceKey]:
    """Return every plane that is displayed as one plane is.

    Parameters
    ----------
    image_shape : sequence of int
        Of the array, or of the level of a pyramid that `key` names; colours may follow.
    key : SliceKey
        Any of the planes; its displayed axes and its level are those of all.
    axis : int, optional
        The axis that runs fastest, so that the planes of each stack along it follow one another;
        by default `linking_axis`.

    Returns
    -------
    list of SliceKey
        One for each combination of positions on the axes that are not displayed, in order.

    Raises
    ------
    ValueError
        If the array has no such axes, or `axis` is displayed.
    """
    axes = [one for one, _ in key.fixed]
    try:
        shape = tuple(index(side) for side in image_shape)
    except TypeError:
        raise ValueError(
            f"a shape is whole numbers, but this one is {shown(image_shape)}"
        ) from None
    if any(not 0 <= one < len(shape) for one in (*key.displayed, *axes)):
        raise ValueError(f"an array of {shape} has no planes like {key}")
    axis = linking_axis(shape, key) if axis is None else axis
    if axis is None:
        return [replace(key, window=None)]
    if axis not in axes:
        raise ValueError(f"planes lie along one of the axes {axes}, but not along {shown(axis)}")
    order = [one for one in axes if one != axis] + [axis]
    found = []
    for places in product(*(range(shape[one]) for one in order)):
        at = dict(zip(order, places, strict=True))
        fixed = tuple((one, at[one]) for one in axes)
        found.append(replace(key, fixed=fixed, window=None))
    return found


def linking_axis(image_shape: Sequence[int], key: SliceKey) -> int | None:
    """Return the axis along which objects are linked if none was chosen.

    That is the last one of several planes that is not displayed: Z of a T, Z, Y, X stack.

    Returns
    -------
    int, or None if there is a single plane and no axis
    """
    axes = [axis for axis, _ in key.fixed]
    several = [axis for axis in axes if image_shape[axis] > 1] or axes
    return several[-1] if several else None


def stacks_along(keys: Iterable[SliceKey], axis: int) -> list[list[SliceKey]]:
    """Group planes that differ in their position on one axis only, each group in its order.

    Raises
    ------
    ValueError
        If a plane has no position on the axis.
    """
    keys = list(keys)
    for key in keys:
        if axis not in dict(key.fixed):
            raise ValueError(f"{key} has no position on axis {shown(axis)}")
    groups: dict[Any, list[SliceKey]] = {}
    for key in keys:
        others = tuple((one, place) for one, place in key.fixed if one != axis)
        groups.setdefault((key.displayed, key.level, others), []).append(key)
    return [sorted(group, key=lambda key: dict(key.fixed)[axis]) for group in groups.values()]


def everything_in(
    session: Session,
    planes: Sequence[Plane],
    params: AmgParams | None = None,
    largest: int = 0,
    so_far: bool = False,
    share: float | None = None,
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
    so_far : bool
        Whether to yield results of a plane that is divided into many tiles before it is done.
    share : float, optional
        At which share of their contrast planes are shown, see `exposed`. By default `best_share`
        chooses it.

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
    if share is None:
        share = yield from best_share(session, planes, params)
    for done, one in enumerate(planes):
        plane = one.whole
        place = partial(_placed, plane, done, len(planes))
        # hundreds of tiles would take the place of what is clicked on
        shown, keep = exposed(session, plane, share), generator.params.crop_n_layers > 0
        embed = partial(session.crop_embedding, shown, keep=keep)
        steps = generator.propose_on(plane.size, embed, plane.spacing)
        result = partial(PlaneResult.selected, plane, params=generator.params, largest=largest)
        told = partial(_told, result if so_far else None, place)
        candidates = yield from mapped(steps, told)
        found = result(candidates)
        largest = max(largest, found.largest)
        yield found
    return largest


def best_share(
    session: Session, planes: Sequence[Plane], params: AmgParams | None = None
) -> Generator[Progress, None, float]:
    """Choose at which share of their contrast planes are shown, for `everything_in`.

    See `best_exposure`. The progress is that of `everything_in` before its first plane.
    """
    generator = AutomaticMaskGenerator(session.predictor, params)
    generator.params = replace(generator.params, look_closer="never")
    total = PER_PLANE * len(planes)
    steps = best_exposure(session, planes, generator)
    return (yield from mapped(steps, lambda step: Progress(0, total, step.text)))


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
    if planes is not None and not isinstance(planes, Iterable):
        raise ValueError(f"planes is a list of whole numbers, but is {shown(planes)}")
    numbers: dict[int, None] = {}
    for plane in range(count) if planes is None else planes:
        try:
            number = index(plane)
        except TypeError:
            raise ValueError(f"a plane is a whole number, but one is {shown(plane)}") from None
        if not -count <= number < count:
            raise ValueError(
                f"there is no plane {number}: the stack has {count}, from 0 to {count - 1}"
            )
        numbers[number % count] = None
    return list(numbers)


def _told(
    result: Callable[[Candidates], PlaneResult] | None,
    place: Callable[[Progress], Progress],
    step: Progress,
) -> Progress | PlaneResult:
    """Return what was found in some tiles of a plane as its result, anything else as progress."""
    if result is not None and isinstance(step, FoundSoFar) and step.candidates is not None:
        return result(step.candidates)
    return place(step)


def _placed(plane: Plane, done: int, planes: int, step: Progress) -> Progress:
    """Return a step of one plane as one of a run over several, of which some are done."""
    count = int(PER_PLANE * (done + step.done / max(step.total, 1)))
    return Progress(count, PER_PLANE * planes, f"{plane_text(plane)}, {step.text}")
