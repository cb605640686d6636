"""Objects are followed from one plane into the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import stopping
from ..masks import box_of, iou, middle_of
from ..predict.kept_masks import logits_of
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..types import ImageEmbedding, Mask, Plane, PlaneGuide, Prediction, Prompts
from .appearance import Appearance, pixel_features
from .cell_appearance import CellAppearance, Levels, around, cells_of, enough

GROWN = 0.025
"""How much larger than the last outline's the box is that looks for it in the next plane."""
REACH = 0.5
"""How far beyond the box of the last outline an object is looked for, in its longer side."""
BEYOND = 17
"""Pixels beside a part that its features depend on: four times the widest of `SMOOTHED`, and 1."""
LEAST_REACH = 4
"""The same, in pixels, at least."""
CERTAIN = 8.0
"""Bound of the model's logits."""
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


@dataclass(frozen=True, eq=False)
class Evidence:
    """Where in a plane an object is.

    Attributes
    ----------
    corner : (x, y) int
        First pixel of the part of the plane that was looked at.
    logits : (h, w) float32
        Above 0 in the object.
    last : (h, w) bool
        Its outline in the plane before.
    score : float, 0..1
    """

    corner: tuple[int, int]
    logits: NDArray[np.float32]
    last: NDArray[np.bool_]
    score: float

    @property
    def part(self) -> tuple[slice, slice]:
        """Rows and columns of the part that was looked at."""
        (x, y), (h, w) = self.corner, self.logits.shape
        return slice(y, y + h), slice(x, x + w)

    def trimmed(self) -> Evidence:
        """Return the part that is not certainly outside."""
        rows, columns = (np.flatnonzero((self.logits > -CERTAIN).any(axis)) for axis in (1, 0))
        if not len(rows):
            return self
        part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        corner = self.corner[0] + int(columns[0]), self.corner[1] + int(rows[0])
        return Evidence(corner, self.logits[part].copy(), self.last[part].copy(), self.score)

    @classmethod
    def blended(cls, parts: Sequence[Evidence], weights: NDArray[np.float64]) -> Evidence:
        """Return the weighted mean of evidence of one object; beyond its part it is outside."""
        if len(parts) == 1:
            return parts[0]
        low = np.min([one.corner for one in parts], axis=0)
        high = np.max([np.add(one.corner, one.logits.shape[::-1]) for one in parts], axis=0)
        shape = int(high[1] - low[1]), int(high[0] - low[0])
        logits = np.zeros(shape, np.float32)
        last = np.zeros(shape, bool)
        for one, weight in zip(parts, weights, strict=True):
            own = np.full(shape, -CERTAIN, np.float32)
            x, y = np.subtract(one.corner, low)
            rows, columns = slice(y, y + len(one.logits)), slice(x, x + one.logits.shape[1])
            own[rows, columns] = one.logits
            logits += np.float32(weight) * own
            last[rows, columns] |= one.last
        score = float(weights @ [one.score for one in parts])
        return cls((int(low[0]), int(low[1])), logits, last, score)


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
    known : mapping of int to Mask
        The keyframe it starts from and the one it leads to, if there is one.
    place : int
        Where that outline is.
    area : int
        Of the keyframe.
    logits : (h, w) float32 or None
        Low-resolution logits of the last outline.
    appearance : Appearance or None
        How the object looks in these keyframes.
    cells : CellAppearance or None
        How it looks there to the encoder.
    sure : float or None
        The model's score at the first step.
    """

    number: int
    start: int
    step: int
    places: list[int]
    mask: Mask
    known: Mapping[int, Mask]
    place: int = field(init=False)
    area: int = field(init=False)
    logits: NDArray[np.float32] | None = None
    appearance: Appearance | None = None
    cells: CellAppearance | None = None
    sure: float | None = None

    def __post_init__(self) -> None:
        self.place = self.start
        self.area = self.mask.area

    @property
    def held(self) -> bool:
        """Whether it leads to another keyframe, so that the object cannot end before."""
        return len(self.known) > 1

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

    The model is asked for the grown box of the last outline, and for its deepest point with the
    plane before as a guide. The mean of both answers is added to how much each pixel looks like
    the object in its keyframe. Objects of one call do not overlap.

    Parameters
    ----------
    session : Session
    planes : sequence of Plane
    sweeps : sequence of Sweep
        All come to the same plane from the same plane. A sweep whose object has ended has no
        places afterwards; in a plane where nothing is seen, it ends only if the one before was
        like that.
    forbidden : (H, W) int32, optional
        Labels of others; 0 is free.

    Returns
    -------
    list of Evidence or None
        None where an object has ended, or nothing is seen.
    """
    place, before = sweeps[0].next, sweeps[0].place
    predictor = session.predictor
    now = session.embedding(planes[place])
    earlier = session.embedding(planes[before]) if predictor.model.takes_guide else now
    spacing = planes[place].spacing
    stopping.check()
    here = _features(session, planes[place], [_around(sweep.mask) for sweep in sweeps])
    levels = predictor.model.dense_features(now.features)
    for sweep in sweeps:
        if sweep.appearance is None:
            stopping.check()
            sweep.appearance = _appearance(session, planes, sweep.known)
            if levels is not None:
                sweep.cells = _cells(session, planes, sweep.known)
        if sweep.logits is None:
            sweep.logits = logits_of(sweep.mask, predictor.model, None, spacing, False).values
    asked = [one for sweep in sweeps for one in _prompts(predictor, sweep, earlier)]
    stopping.check()
    answers = predictor.predict_many(now, asked, False)
    each = len(asked) // len(sweeps)
    evidence, logits = [], []
    for k, sweep in enumerate(sweeps):
        own = answers[k * each : (k + 1) * each]
        low_res = np.stack([one.low_res_logits[one.best] for one in own])
        mean: NDArray[np.float32] = np.asarray(low_res.mean(axis=0), np.float32)
        logits.append(mean)
        evidence.append(_evidence(predictor, now, sweep, own, mean, here, levels))
    masks = apart(evidence, planes[place].size, forbidden)
    found: list[Evidence | None] = []
    for sweep, one, mask, mean in zip(sweeps, evidence, masks, logits, strict=True):
        blank = _blank(sweep, here)
        goes_on = None if blank else _certainty(sweep, one, mask, here)
        if goes_on is None:
            del sweep.places[: 1 if blank and not sweep.in_gap else None]
            found.append(None)
            continue
        found.append(Evidence(one.corner, one.logits, one.last, min(one.score, goes_on)))
        outline = logits_of(mask, predictor.model, None, spacing, False).values
        sweep.logits = np.asarray((mean + outline) / 2, np.float32)
        sweep.mask = mask
        sweep.place = sweep.places.pop(0)
    return found


def apart(
    evidence: Sequence[Evidence], size: tuple[int, int], forbidden: NDArray[np.int32] | None
) -> list[Mask]:
    """Return the outlines of objects; a pixel goes to the one with most evidence for it."""
    owner = np.zeros(size, np.int32)
    if len(evidence) > 1:
        highest = np.zeros(size, np.float32)
        for number, one in enumerate(evidence, start=1):
            more = one.logits > highest[one.part]
            highest[one.part][more] = one.logits[more]
            owner[one.part][more] = number
    masks = []
    for number, one in enumerate(evidence, start=1):
        free = np.isin(owner[one.part], (0, number))
        if forbidden is not None:
            free &= forbidden[one.part] == 0
        main = _main_part((one.logits > 0) & free, one.last)
        masks.append(Mask.of(main & free, one.corner, size))
    return masks


def _features(
    session: Session, plane: Plane, parts: Sequence[tuple[slice, slice]]
) -> NDArray[np.float32]:
    """Return what `Appearance` sees of parts of a plane; the rest does not count."""
    pixels, contrast = session.read(plane)
    wide = tuple(
        slice(
            max(0, min(part[axis].start for part in parts) - BEYOND),
            max(part[axis].stop for part in parts) + BEYOND,
        )
        for axis in (0, 1)
    )
    seen = pixel_features(pixels[wide], contrast, plane.channels)
    features = np.zeros((*plane.size, seen.shape[-1]), np.float32)
    features[wide] = seen
    return features


def _appearance(session: Session, planes: Sequence[Plane], known: Mapping[int, Mask]) -> Appearance:
    """Return how an object looks where its outline is known."""
    samples, inside = [], []
    for place, mask in known.items():
        part = _around(mask)
        features = _features(session, planes[place], [part])[part]
        samples.append(features.reshape(-1, features.shape[-1]))
        inside.append(np.asarray(mask)[part].ravel())
    return Appearance(np.concatenate(samples), np.concatenate(inside))


def _cells(
    session: Session, planes: Sequence[Plane], known: Mapping[int, Mask]
) -> CellAppearance | None:
    """Return how an object looks to the encoder where its outline is known."""
    model, samples, inside = session.predictor.model, [], []
    for place, mask in known.items():
        levels = model.dense_features(session.embedding(planes[place]).features)
        if levels is None:
            return None
        outline = logits_of(mask, model, None, planes[place].spacing, False).values
        features, own = cells_of(levels, np.asarray((outline / CERTAIN + 1) / 2, np.float32))
        samples.append(features)
        inside.append(own)
    own = np.concatenate(inside)
    return CellAppearance(np.concatenate(samples), own) if enough(own) else None


def _prompts(
    predictor: SamPredictor, sweep: Sweep, earlier: ImageEmbedding
) -> tuple[Prompts, Prompts]:
    """Return what is asked about an object."""
    box, middle = box_of(sweep.mask), [middle_of(sweep.mask)]
    margin = GROWN * np.tile(box[2:] - box[:2] + 1, 2) * (-1, -1, 1, 1)
    if predictor.model.takes_guide and sweep.logits is not None:
        return Prompts(box=box + margin), Prompts(middle, guide=PlaneGuide(earlier, sweep.logits))
    return Prompts(box=box + margin), Prompts(middle, box=box + margin)


def _evidence(
    predictor: SamPredictor,
    embedding: ImageEmbedding,
    sweep: Sweep,
    answers: Sequence[Prediction],
    logits: NDArray[np.float32],
    features: NDArray[np.float32],
    levels: Levels | None,
) -> Evidence:
    """Return what the model and the look of the pixels say about an object."""
    part = _around(sweep.mask)
    coarse = np.clip(logits, -CERTAIN, CERTAIN)
    if sweep.cells is not None and sweep.logits is not None and levels is not None:
        seen = around(sweep.logits > 0)
        coarse[seen] += sweep.cells.evidence(levels, *seen)
    total = predictor.upsampler(embedding, logits.shape).part(coarse, part)
    if sweep.appearance is not None:
        total = total + sweep.appearance.evidence(features[part])
    score = float(np.mean([one.iou_predictions[one.best] for one in answers]))
    return Evidence(
        (part[1].start, part[0].start), total, np.asarray(sweep.mask)[part], min(max(score, 0), 1)
    )


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
    if sweep.appearance is not None:
        seen = sweep.appearance.evidence(features[mask.part][mask.bits])
        alike = float(seen.mean()) - sweep.appearance.usual
    ratio = mask.area / sweep.mask.area
    signs = {
        "overlap": overlap,
        "steady": min(ratio, 1 / ratio),
        "grown": min(float(np.log(mask.area / sweep.area)), 0.3),
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
    if sweep.appearance is None:
        return False
    brightness = features[_around(sweep.mask)][..., 0]
    return bool(brightness.std() < BLANK * sweep.appearance.contrast)


def _around(mask: Mask) -> tuple[slice, slice]:
    """Return rows and columns of the part of a plane in which an object is looked for."""
    x0, y0, x1, y1 = mask.box
    reach = int(max(LEAST_REACH, REACH * max(x1 - x0 + 1, y1 - y0 + 1)))
    rows, columns = mask.size
    return (
        slice(max(0, y0 - reach), min(rows, y1 + reach + 1)),
        slice(max(0, x0 - reach), min(columns, x1 + reach + 1)),
    )


def _main_part(inside: NDArray[np.bool_], last: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the piece that shares most pixels with the last outline, its holes filled."""
    pieces, count = ndimage.label(inside)
    if not count:
        return inside
    shared = np.bincount(pieces[last], minlength=count + 1)[1:]
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    best = 1 + int(np.argmax(shared if shared.any() else areas))
    return np.asarray(ndimage.binary_fill_holes(pieces == best))
