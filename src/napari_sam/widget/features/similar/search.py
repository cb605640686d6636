"""A search for objects like given ones: what is looked for, what was found and judged."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....everything.exemplars import Described, Exemplars, distinct
from ....everything.similar import MOST, PlaneCandidates, candidates_in, described_in
from ....masks import iou
from ....objects.segmented import Outline, SegmentedObject, upright
from ....predict.session import Session
from ....stack.planes import plane_text
from ....steps import mapped
from ....types import Mask, Plane, Progress, SliceKey
from ...labels_view import LabelsView

SAME = 0.7
"""IoU from which on a candidate is the one that was rejected."""
MOST_IN_ALL = 100_000
"""Candidates that all planes together keep, about; ..."""
LEAST_KEPT = 50
"""... of each plane so many at least."""
PER_PLANE = 100
"""What a plane counts for in `Progress`."""

Floats = NDArray[np.float32]


class Given(NamedTuple):
    """An object that others are to be like.

    Attributes
    ----------
    label : int
    plane : Plane
        One of those that it lies in.
    mask : Mask
        In the orientation of the plane.
    """

    label: int
    plane: Plane
    mask: Mask


@dataclass(frozen=True, eq=False)
class Learnt:
    """What the given objects look like: features (F,) by label."""

    features: Mapping[int, Floats]


@dataclass(frozen=True, eq=False)
class Ranked:
    """One proposal.

    Attributes
    ----------
    mask : Mask
    features : (F,) float32
    likeness : float, 0..1
    iou, stability : float
    """

    mask: Mask
    features: Floats
    likeness: float
    iou: float
    stability: float


@dataclass(eq=False)
class Search:
    """What is looked for, what was found in each plane, and how that was judged.

    Attributes
    ----------
    view : LabelsView
        Whose objects are the exemplars, and which accepted proposals go into.
    given : sequence of Given
    category : str
        Class of what is accepted.
    model, weights : str
        Name and fingerprint of the model.
    learnt : dict of int to (F,) float32
        Features of the given objects, by label.
    rejected : list of (F,) float32
    found : dict of SliceKey to Described
    """

    view: LabelsView
    given: Sequence[Given]
    category: str
    model: str
    weights: str
    learnt: dict[int, Floats] = field(default_factory=dict)
    rejected: list[Floats] = field(default_factory=list)
    found: dict[SliceKey, Described] = field(default_factory=dict)
    _accepted: dict[int, tuple[Outline, Floats]] = field(default_factory=dict)
    _refused: dict[SliceKey, list[Mask]] = field(default_factory=dict)

    def exemplars(self) -> Exemplars:
        """Return what is looked for now: what was accepted and taken back is not part of it."""
        objects = self.view.store.objects
        known = list(self.learnt.values())
        for label, (outline, row) in self._accepted.items():
            one = objects.get(label)  # a label that was taken back is given to another object
            if one is not None and any(outline is other for other in one.outlines.values()):
                known.append(row)
        return (
            Exemplars(np.stack(known), np.stack(self.rejected))
            if self.rejected
            else Exemplars(np.stack(known))
        )

    def ranked(self, key: SliceKey, least: float = 0.0) -> list[Ranked]:
        """Return the proposals of a plane, the likeliest first; takes milliseconds.

        Parameters
        ----------
        key : SliceKey
        least : float
            Likeness below which nothing is proposed.
        """
        found = self.found.get(key)
        if found is None or not self.learnt:
            return []
        likeness = self.exemplars().likeness(found)
        refused = self._refused.get(key, [])
        free = [
            k
            for k in np.flatnonzero(likeness >= least).tolist()
            if all(iou(found.masks[k], no) < SAME for no in refused)
        ]
        if not free:
            return []
        chosen, likeness = found.some(free), likeness[free]
        masks, labels = _around(chosen.masks, key, self.view.layer.data)
        return [
            Ranked(
                chosen.masks[k],
                chosen.features[k].astype(np.float32),
                float(likeness[k]),
                float(chosen.iou[k]),
                float(chosen.stability[k]),
            )
            for k in distinct(masks, likeness, labels)
        ]

    def accept(self, one: SegmentedObject, features: Floats) -> None:
        """Look for what is like an object that was a proposal, as long as it is there."""
        self._accepted[one.label] = next(iter(one.outlines.values())), features

    def reject(self, key: SliceKey, one: Ranked) -> None:
        """Propose something no more, and what looks like it later than before."""
        self.rejected.append(one.features)
        self._refused.setdefault(key, []).append(one.mask)

    def outline(self, key: SliceKey, one: Ranked) -> dict[SliceKey, Outline]:
        """Return a proposal as the outline of an object in an upright plane."""
        outline = Outline(
            one.mask,
            score=one.iou,
            origin="everything",
            model=self.model,
            model_hash=self.weights,
        )
        place = upright(key)
        return {place: outline if place == key else outline.turned()}


def _around(
    masks: Sequence[Mask], key: SliceKey, labels: Any
) -> tuple[list[Mask], NDArray[np.integer]]:
    """Return masks and labels in the part of a plane that `distinct` looks at."""
    boxes = np.array([mask.box for mask in masks])
    low, high = boxes[:, :2], boxes[:, 2:] + 1
    x0, y0 = np.maximum((2 * low - high).min(axis=0), 0).tolist()
    x1, y1 = np.minimum((2 * high - low).max(axis=0), masks[0].size[::-1]).tolist()
    part = replace(key, window=(x0, y0, x1, y1)).read_labels(labels)
    return [mask.moved(-x0, -y0, (y1 - y0, x1 - x0)) for mask in masks], part


def searched(
    session: Session, given: Sequence[Given], planes: Sequence[Plane], labels: Any
) -> Generator[Progress | Learnt | PlaneCandidates, None, None]:
    """Look at the given objects, then for objects like them in planes; in a worker.

    Parameters
    ----------
    session : Session
    given : sequence of Given
        At least one.
    planes : sequence of Plane
    labels : (...) int array
        Kept objects.

    Yields
    ------
    Progress
    Learnt
        Once.
    PlaneCandidates
        For each plane, when something was found there and when it is done.
    """
    total = PER_PLANE * len(planes)
    features: dict[int, Floats] = {}
    for key in dict.fromkeys(one.plane.key for one in given):
        yield Progress(0, total, "looking at the objects")
        own = [one for one in given if one.plane.key == key]
        rows = described_in(session, own[0].plane, [one.mask for one in own])
        features.update(zip((one.label for one in own), rows, strict=True))
    yield Learnt(features)
    exemplars = Exemplars(np.stack(list(features.values())))
    like = [one.mask for one in given]
    most = max(min(MOST, MOST_IN_ALL // len(planes)), LEAST_KEPT)
    for number, plane in enumerate(planes):
        where = plane_text(plane)

        def placed(
            step: Progress | PlaneCandidates, number: int = number, where: str = where
        ) -> Progress | PlaneCandidates:
            if isinstance(step, PlaneCandidates):
                return step
            share = (number + step.done / max(step.total, 1)) * PER_PLANE
            return replace(step, done=int(share), total=total, text=f"{where} {step.text}".strip())

        kept = plane.key.read_labels(labels)
        steps = candidates_in(session, plane, exemplars, like, kept, most)
        yield (yield from mapped(steps, placed))
