"""Objects are followed from one plane into the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import stopping
from ..masks import iou
from ..predict.kept_masks import logits_of
from ..predict.session import Session
from ..types import Mask, Plane, Prompts
from .cell_appearance import around
from .evidence import Evidence, apart
from .keyframes import CERTAIN, Keyframes, around_mask, features_of

GROWN = 0.025
"""How much larger than the last outline's the box is that looks for it in the next plane."""
BLANK = 0.1
"""Contrast about an object, relative to the keyframe's, below which nothing is seen in a plane."""
LEAST_AREA = 4
"""Pixels of an outline at least."""
LEAST_OVERLAP = 0.1
"""IoU with the last outline below which it is another object."""
ENDS = {
    "overlap": -2.6, "steady": -1.0, "grown": -0.8, "alike": -0.33, "surer": -2.0, "always": 0.9,
}  # fmt: skip
"""Weights of the signs that an object has ended, a logistic regression on real stacks.

Overlap with the last outline; how little the area has changed; the logarithm of the area relative
to the keyframe; how much more the pixels look like the object than in the keyframe; how much surer
the model is than at the first step.
"""


@dataclass(eq=False)
class Origin:
    """What a model remembers of an object in a keyframe; None before that is asked for."""

    memory: Any = None


@dataclass(eq=False)
class Sweep:
    """An object on its way from a keyframe.

    Attributes
    ----------
    number : int
        Of the object.
    start : int
        The keyframe.
    step : int
        1 towards larger places, -1 towards smaller ones.
    places : list of int
        Still to come, the next one first.
    mask : Mask
        Its outline in the plane before the next.
    keyframes : Keyframes
        All of the object's.
    held : bool
        Whether it leads to another keyframe, so that the object cannot end before.
    gap : int
        The first of the two keyframes that it goes between; -1 beyond the outer ones.
    origin : Origin
        Shared with the sweep from the same keyframe in the other direction.
    place : int
        Where that outline is.
    sure : float or None
        The model's score at the first step.
    memory : object
        What the model remembers of it; None before the first step, and where it remembers nothing.
    """

    number: int
    start: int
    step: int
    places: list[int]
    mask: Mask
    keyframes: Keyframes
    held: bool
    gap: int
    origin: Origin
    place: int = field(init=False)
    sure: float | None = None
    memory: Any = None

    def __post_init__(self) -> None:
        self.place = self.start

    @property
    def next(self) -> int:
        """The place it comes to next."""
        return self.places[0]

    @property
    def in_gap(self) -> bool:
        """Whether nothing was seen in the plane before the next."""
        return self.next - self.step != self.place


def follow(
    session: Session,
    planes: Sequence[Plane],
    sweeps: Sequence[Sweep],
    forbidden: NDArray[np.int32] | None = None,
) -> list[Evidence | None]:
    """Look for objects in the next plane, and move the sweeps on.

    The model is asked for the grown box of the last outline. Its answer is added to how much each
    pixel looks like the object in its keyframes. Objects of one call do not overlap.

    Parameters
    ----------
    session : Session
    planes : sequence of Plane
    sweeps : sequence of Sweep
        All come to the same plane from the same side. A sweep whose object has ended has no
        places afterwards; in a plane where nothing is seen, it ends only if the one before was
        like that.
    forbidden : (H, W) int32, optional
        Labels of others; 0 is free.

    Returns
    -------
    list of Evidence or None
        None where an object has ended, or nothing is seen.
    """
    place = sweeps[0].next
    predictor, model = session.predictor, session.predictor.model
    embedding = session.embedding(planes[place])
    stopping.check()
    here = features_of(session, planes[place], [around_mask(sweep.mask) for sweep in sweeps])
    levels = model.feature_maps(embedding.features) if model.fine_features else ()
    for sweep in sweeps:
        sweep.keyframes.learn(session, planes)
    stopping.check()
    asked = [Prompts(box=_grown_box(sweep.mask)) for sweep in sweeps]
    answers = predictor.predict_many(embedding, asked, False)
    evidence = []
    for sweep, answer in zip(sweeps, answers, strict=True):
        logits = np.clip(answer.low_res_logits[answer.best], -CERTAIN, CERTAIN)
        if sweep.keyframes.cells is not None:
            outline = logits_of(sweep.mask, model, None, planes[place].spacing, False)
            seen = around(outline.values > 0)
            logits[seen] += sweep.keyframes.cells.evidence(levels, *seen)
        part = around_mask(sweep.mask)
        fine = predictor.upsampler(embedding, logits.shape).part(logits, part)
        evidence.append(
            _evidence(sweep, part, fine, float(answer.iou_predictions[answer.best]), here)
        )
    masks = apart(evidence, planes[place].size, forbidden)
    found: list[Evidence | None] = []
    for sweep, one, mask in zip(sweeps, evidence, masks, strict=True):
        blank = _blank(sweep, here)
        goes_on = None if blank else _certainty(sweep, one, mask, here)
        if goes_on is None:
            del sweep.places[: 1 if blank and not sweep.in_gap else None]
            found.append(None)
            continue
        found.append(Evidence(one.corner, one.logits, one.last, min(one.score, goes_on)))
        sweep.mask = mask
        sweep.place = sweep.places.pop(0)
    return found


def _grown_box(mask: Mask) -> NDArray[np.float64]:
    """Return where an object is looked for in the next plane, xyxy."""
    box = np.asarray(mask.box, np.float64)
    margin = GROWN * np.tile(box[2:] - box[:2] + 1, 2)
    return box + margin * (-1, -1, 1, 1)


def _evidence(
    sweep: Sweep,
    part: tuple[slice, slice],
    logits: NDArray[np.float32],
    score: float,
    features: NDArray[np.float32],
) -> Evidence:
    """Add to the model's logits of a part how much its pixels look like the object."""
    if sweep.keyframes.appearance is not None:
        logits = logits + sweep.keyframes.appearance.evidence(features[part])
    corner = part[1].start, part[0].start
    return Evidence(corner, logits, np.asarray(sweep.mask)[part], min(max(score, 0.0), 1.0))


def _certainty(
    sweep: Sweep, evidence: Evidence, mask: Mask, features: NDArray[np.float32]
) -> float | None:
    """Return the probability that an object goes on in an outline; None if it has ended."""
    if mask.area < LEAST_AREA:
        return None
    overlap = iou(mask, sweep.mask)
    if sweep.sure is None:
        sweep.sure = evidence.score
    alike = 0.0
    if sweep.keyframes.appearance is not None:
        seen = sweep.keyframes.appearance.evidence(features[mask.part][mask.bits])
        alike = float(seen.mean()) - sweep.keyframes.appearance.usual
    ratio = mask.area / sweep.mask.area
    signs = {
        "overlap": overlap,
        "steady": min(ratio, 1 / ratio),
        "grown": min(float(np.log(mask.area / sweep.keyframes.area)), 0.3),
        "alike": max(alike, -4.0),
        "surer": evidence.score - sweep.sure,
        "always": 1.0,
    }
    ended = sum(ENDS[name] * value for name, value in signs.items())
    if (ended > 0 or overlap < LEAST_OVERLAP) and not sweep.held:
        return None
    return float(1 / (1 + np.exp(ended)))


def _blank(sweep: Sweep, features: NDArray[np.float32]) -> bool:
    """Tell whether a plane shows nothing where an object is looked for."""
    if sweep.keyframes.appearance is None:
        return False
    brightness = features[around_mask(sweep.mask)][..., 0]
    return bool(brightness.std() < BLANK * sweep.keyframes.appearance.contrast)
