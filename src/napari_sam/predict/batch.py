"""Many prompts at once, each an object of its own: answers, and what became of each prompt."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..masks import iou, middle_of, stability_score
from ..steps import mapped
from ..types import Mask, Plane, Prediction, Progress, Prompts
from .kept_masks import logits_of
from .session import Session
from .windows import check_inside

BATCH = 16
"""Prompts that are answered in one call; between two calls a run can be cancelled."""
DUPLICATE = 0.8
"""Answers whose IoU with a better one, or with an object that is there, is larger are duplicates of
it."""
LEAST_FREE = 0.5
"""Share of an answer's pixels that must be free where objects get only free pixels."""
PER_PLANE = 1000
"""What a plane counts for in `Progress`."""
STABILITY_OFFSET = 1.0
"""See `masks.stability_score`; SAM's own value."""

Outcome = Literal["object", "nothing", "duplicate", "covered", "outside"]
"""What became of a prompt: an object; the model sees none; it is one that is there or a better
prompt gave; most of its pixels belong to others; it lies outside the plane and was not asked."""


@dataclass(frozen=True, eq=False)
class Seed:
    """What is said of one object on one plane.

    Attributes
    ----------
    number : int
        Of the object; its seeds on other planes have the same one.
    prompts : Prompts
    outline : Mask or None
        A rough outline, which the answer starts from.
    label : int
        Of the kept object that is to be made better; 0 for a new one.
    """

    number: int
    prompts: Prompts
    outline: Mask | None = None
    label: int = 0

    @classmethod
    def around(cls, number: int, outline: Mask, label: int = 0) -> Seed:
        """Return a seed of a rough outline: its box, its middle, and itself as a mask input."""
        return cls(number, Prompts([middle_of(outline)], [1], outline.box), outline, label)


@dataclass(frozen=True, eq=False)
class SeedAnswer:
    """What became of a seed.

    Attributes
    ----------
    seed : Seed
    plane : Plane
    outcome : {"object", "nothing", "duplicate", "covered", "outside"}
    mask : Mask
        Of the answer; empty where there is none.
    candidate : int
        Which of the model's masks it is.
    score : float
        Predicted IoU.
    stability : float
        See `masks.stability_score`.
    """

    seed: Seed
    plane: Plane
    outcome: Outcome
    mask: Mask
    candidate: int
    score: float
    stability: float


@dataclass(frozen=True, eq=False)
class SeededPlane:
    """A plane and its seeds.

    Attributes
    ----------
    plane : Plane
    seeds : callable
        Returns the seeds; called when the plane has its turn.
    taken : callable
        Returns the labels (H, W) of the objects that are there already, as the plane is displayed.
    """

    plane: Plane
    seeds: Callable[[], Sequence[Seed]]
    taken: Callable[[], NDArray[np.integer[Any]]]


def answer_planes(
    session: Session, planes: Sequence[SeededPlane], free_only: bool = True
) -> Generator[Progress | list[SeedAnswer], None, None]:
    """Answer the seeds of several planes, one plane after the other.

    Parameters
    ----------
    session : Session
    planes : sequence of SeededPlane
    free_only : bool
        See `answer_seeds`.

    Yields
    ------
    Progress or list of SeedAnswer
        A list for each plane that is done.
    """
    for place, one in enumerate(planes):
        steps = answer_seeds(session, one, free_only)
        yield (yield from mapped(steps, partial(_over_planes, place, len(planes))))


def answer_seeds(
    session: Session, given: SeededPlane, free_only: bool = True
) -> Generator[Progress, None, list[SeedAnswer]]:
    """Answer the seeds of one plane, and tell objects from duplicates.

    Where two answers are duplicates, the one with the higher predicted IoU is the object. Seeds of
    kept objects that are made better are no duplicates of those.

    Parameters
    ----------
    session : Session
    given : SeededPlane
    free_only : bool
        Whether objects get only pixels that no other has; then an answer of which less than
        `LEAST_FREE` is free is "covered".

    Yields
    ------
    Progress
        Before each batch.

    Returns
    -------
    list of SeedAnswer
        One for each seed, in their order.

    Raises
    ------
    ValueError
        If the plane cannot be encoded.
    """
    plane, all_seeds = given.plane.whole, list(given.seeds())
    inside = [_is_inside(one, plane) for one in all_seeds]
    seeds = [one for one, is_inside in zip(all_seeds, inside, strict=True) if is_inside]
    answers: list[SeedAnswer] = []
    for start in range(0, len(seeds), BATCH):
        yield Progress(start, len(seeds), f"{start} of {len(seeds)} prompts answered")
        some = seeds[start : start + BATCH]
        asked = [_asked(one, plane, session) for one in some]
        found = session.predict_many(plane, asked)
        threshold = session.predictor.model.mask_threshold
        answers += [
            _answer(one, plane, answer, threshold) for one, answer in zip(some, found, strict=True)
        ]
    told = iter(_told_apart(answers, given.taken(), free_only) if answers else [])
    return [
        next(told) if is_inside else _outside(one, plane)
        for one, is_inside in zip(all_seeds, inside, strict=True)
    ]


def _is_inside(seed: Seed, plane: Plane) -> bool:
    try:
        check_inside(seed.prompts, plane.size)
    except ValueError:
        return False
    return True


def _outside(seed: Seed, plane: Plane) -> SeedAnswer:
    none = Mask.of(np.zeros((1, 1), bool), size=plane.size)
    return SeedAnswer(seed, plane, "outside", none, 0, 0.0, 0.0)


def _over_planes(place: int, planes: int, step: Progress) -> Progress:
    """Return how far a run over planes is, from how far it is in one of them."""
    where = f", plane {place + 1} of {planes}" if planes > 1 else ""
    done = round(PER_PLANE * (place + step.done / max(step.total, 1)))
    return Progress(done, PER_PLANE * planes, f"{step.text}{where}")


def _asked(seed: Seed, plane: Plane, session: Session) -> Prompts:
    """Return what a model is asked; raises as `logits_of` does."""
    if seed.outline is None:
        return seed.prompts
    model = session.predictor.model
    look = plane.spacing, session.closer_look
    return seed.prompts.with_mask(logits_of(seed.outline, model, seed.prompts, *look))


def _answer(seed: Seed, plane: Plane, found: Prediction, threshold: float) -> SeedAnswer:
    best = found.best
    mask, score = found.masks[best], float(found.iou_predictions[best])
    stability = stability_score(found.low_res_logits[best], threshold, STABILITY_OFFSET)
    outcome: Outcome = "object" if mask and found.present else "nothing"
    return SeedAnswer(seed, plane, outcome, mask, best, score, stability)


def _told_apart(
    answers: Sequence[SeedAnswer], taken: NDArray[np.integer[Any]], free_only: bool
) -> list[SeedAnswer]:
    """Return the answers with their outcomes: the best ones first get what they want."""
    there = taken[taken != 0]
    areas = dict(
        zip(*(part.tolist() for part in np.unique(there, return_counts=True)), strict=True)
    )
    free = taken == 0
    kept: list[Mask] = []
    told: dict[int, SeedAnswer] = {}
    for place in sorted(range(len(answers)), key=lambda k: -answers[k].score):
        one = answers[place]
        if one.outcome == "object":
            under = taken[one.mask.part][one.mask.bits]
            own = one.seed.label
            if _is_there(one.mask, under, areas, own) or _is_among(one.mask, kept):
                one = replace(one, outcome="duplicate")
            elif free_only and _free_share(one.mask, free, under, own) < LEAST_FREE:
                one = replace(one, outcome="covered")
            else:
                kept.append(one.mask)
                free[one.mask.part] &= ~one.mask.bits
        told[place] = one
    return [told[place] for place in range(len(answers))]


def _is_there(mask: Mask, under: NDArray[np.integer[Any]], areas: dict[int, int], own: int) -> bool:
    """Tell whether a mask is an object that is there, but its own one."""
    labels, counts = np.unique(under[(under != 0) & (under != own)], return_counts=True)
    return any(
        shared / (mask.area + areas[label] - shared) > DUPLICATE
        for label, shared in zip(labels.tolist(), counts.tolist(), strict=True)
    )


def _is_among(mask: Mask, others: Iterable[Mask]) -> bool:
    x0, y0, x1, y1 = mask.box
    near = (
        one
        for one in others
        if one.box[0] <= x1 and x0 <= one.box[2] and one.box[1] <= y1 and y0 <= one.box[3]
    )
    return any(iou(mask, one) > DUPLICATE for one in near)


def _free_share(
    mask: Mask, free: NDArray[np.bool_], under: NDArray[np.integer[Any]], own: int
) -> float:
    """Return the share of a mask that nobody has, or its own object."""
    open_to_it = free[mask.part][mask.bits] | ((under == own) & (own != 0))
    return float(open_to_it.mean())
