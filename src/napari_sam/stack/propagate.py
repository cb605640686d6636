"""Objects known in some planes of a stack are followed into the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models.contract import PromptableModel
from ..predict.session import Session
from ..types import Mask, Plane, Progress
from .evidence import Evidence, Found, apart
from .keyframes import Keyframes
from .remember import follow as follow_by_memory
from .sweep import Origin, Sweep
from .sweep import follow as follow_by_appearance
from .waiting import Waiting

__all__ = [
    "APPEARANCE", "MEMORY", "PROPAGATORS", "Found", "FoundPlane", "propagate", "propagator_of",
    "stale_places",
]  # fmt: skip

APPEARANCE, MEMORY = "appearance", "memory"
PROPAGATORS = (APPEARANCE, MEMORY)
"""How objects are found in the next plane: by how they look, or by what the model remembers."""


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
    propagator: str | None = None,
) -> Generator[Progress | FoundPlane, None, None]:
    """Follow objects from their keyframes through a stack.

    From each keyframe an object is looked for plane by plane, up to its next keyframe or until it
    ends. Between two keyframes this is done from both, and the results are blended by distance.
    `sweep.follow` and `remember.follow` say how an object is found in the next plane.

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
    propagator : {"appearance", "memory"}, optional
        See `propagator_of`.

    Yields
    ------
    Progress
    FoundPlane
        As soon as a plane is done for all objects, once for each plane in which one was found: from
        the keyframes outward; a plane between two keyframes once both sides have reached it. By
        memory they are followed beyond the outer keyframes first, then through one gap after the
        other.

    Raises
    ------
    ValueError
        If a keyframe lies outside the stack or has another size than its plane, or the model has
        no memory.
    """
    _check(planes, keyframes)
    by_memory = propagator_of(session.predictor.model, propagator) == MEMORY
    follow = follow_by_memory if by_memory else follow_by_appearance
    blocked = partial(_blocked, planes, keyframes, others)
    wanted = set(range(len(planes)) if only is None else only)
    sweeps = _sweeps(keyframes, len(planes), wanted)
    # how many sweeps are still to come by
    waiting = Counter(place for sweep in sweeps for place in sweep.places if place in wanted)
    seen = Waiting()
    total = len(waiting)
    while sweeps:
        for batch in _batches(_in_first_gap(sweeps) if by_memory else sweeps):
            place = batch[0].next
            ahead = [list(sweep.places) for sweep in batch]
            results = follow(session, planes, batch, blocked(place))
            passed = []
            for sweep, evidence, rest in zip(batch, results, ahead, strict=True):
                if evidence is not None and place in waiting:
                    seen.add(place, sweep.number, sweep.start, evidence.trimmed())
                passed.extend(rest[: len(rest) - len(sweep.places)])
            for one in passed:
                if one in waiting:
                    waiting[one] -= 1
            for one in [
                one for one in dict.fromkeys(passed) if one in waiting and not waiting[one]
            ]:
                del waiting[one]
                found = _blended(seen.pop(one), one, planes[one].size, blocked)
                if found:
                    yield FoundPlane(one, found)
            yield Progress(total - len(waiting), total, f"plane {place} (0 to {len(planes) - 1})")
        sweeps = [sweep for sweep in sweeps if sweep.places]


def propagator_of(model: PromptableModel, wanted: str | None = None) -> str:
    """Return how objects are followed with a model.

    Parameters
    ----------
    model : PromptableModel
    wanted : {"appearance", "memory"}, optional
        By default the model's memory if it has one, else how the objects look.

    Raises
    ------
    ValueError
        If there is no such way, or the model has no memory.
    """
    if wanted is None:
        return MEMORY if model.remembers else APPEARANCE
    if wanted not in PROPAGATORS:
        raise ValueError(f"the propagator is one of {', '.join(PROPAGATORS)}, but is {wanted!r}")
    if wanted == MEMORY and not model.remembers:
        raise ValueError(
            f"{model.name} has no memory of objects: use the propagator {APPEARANCE}, or a SAM 2"
        )
    return wanted


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


def _check(planes: Sequence[Plane], keyframes: Mapping[int, Mapping[int, Mask]]) -> None:
    """Refuse keyframes that do not fit the stack."""
    for number, known in keyframes.items():
        for place, mask in known.items():
            if not 0 <= place < len(planes):
                raise ValueError(
                    f"object {number} has a keyframe in plane {place}, but the planes go from 0 "
                    f"to {len(planes) - 1}"
                )
            if tuple(mask.size) != planes[place].size:
                raise ValueError(
                    f"the keyframe of object {number} in plane {place} is {mask.size} pixels, "
                    f"but the plane is {planes[place].size}"
                )


def _blocked(
    planes: Sequence[Plane],
    keyframes: Mapping[int, Mapping[int, Mask]],
    others: Callable[[int], NDArray[np.int32]] | None,
    place: int,
) -> NDArray[np.int32] | None:
    """Return what others have in a plane, objects with a keyframe there among them.

    No object is followed into its own keyframes.
    """
    labels = None if others is None else others(place)
    masks = [known[place] for known in keyframes.values() if known.get(place)]
    if masks:
        size = planes[place].size
        labels = np.zeros(size, np.int32) if labels is None else np.array(labels)
        for mask in masks:
            labels[mask.part][mask.bits] = 1
    return labels


def _sweeps(
    keyframes: Mapping[int, Mapping[int, Mask]], count: int, wanted: Collection[int]
) -> list[Sweep]:
    """Return one sweep for each keyframe and direction that leads to a wanted plane."""
    sweeps = []
    for number, known in keyframes.items():
        masks = {place: mask for place, mask in known.items() if mask}
        if not masks:
            continue
        shared = Keyframes(masks)
        for place, mask in masks.items():
            origin = Origin()
            for step in (-1, 1):
                stop = next(
                    (one for one in range(place + step, count * (step > 0) - (step < 0), step)
                     if one in known),
                    count if step > 0 else -1,
                )  # fmt: skip
                run = list(range(place + step, stop, step))
                while run and run[-1] not in wanted:
                    run.pop()
                gap = min(place, stop) if stop in known else -1
                if run:
                    sweeps.append(
                        Sweep(number, place, step, run, mask, shared, stop in masks, gap, origin)
                    )
    return sweeps


def _in_first_gap(sweeps: Sequence[Sweep]) -> list[Sweep]:
    """Return the sweeps of the first gap that is not done.

    What a model remembers is large. So an object has two sweeps under way at most, however many
    keyframes it has. Objects with the same keyframes stay in step and share the embeddings.
    """
    first = min(sweep.gap for sweep in sweeps)
    return [sweep for sweep in sweeps if sweep.gap == first]


def _batches(sweeps: Iterable[Sweep]) -> list[list[Sweep]]:
    """Group sweeps that come to the same plane from the same side."""
    groups: dict[tuple[int, int], list[Sweep]] = {}
    for sweep in sweeps:
        if sweep.places:
            groups.setdefault((sweep.next, sweep.step), []).append(sweep)
    return list(groups.values())


def _blended(
    objects: Mapping[int, Sequence[tuple[int, Evidence]]],
    place: int,
    size: tuple[int, int],
    blocked: Callable[[int], NDArray[np.int32] | None],
) -> dict[int, Found]:
    """Return the outlines of objects in a plane, each seen from one keyframe or from two."""
    evidence, scores = {}, {}
    for number, sides in objects.items():
        weights = np.array([1 / abs(place - start) for start, _ in sides])
        weights /= weights.sum()
        parts = [one for _, one in sides]
        evidence[number] = Evidence.blended(parts, weights)
        scores[number] = float(weights @ [one.score for one in parts])
    forbidden = blocked(place) if evidence else None
    masks = apart(list(evidence.values()), size, forbidden)
    pairs = zip(evidence, masks, strict=True)
    return {number: Found(mask, scores[number]) for number, mask in pairs if mask}
