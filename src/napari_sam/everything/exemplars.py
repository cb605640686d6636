"""Candidates ranked by their likeness to exemplars: accepted objects, and rejected candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..types import Mask
from .descriptors import BRIGHTNESS, SHAPE

Floats = NDArray[np.floating]

APPEARANCE = 2.0
"""Exponent of what a mask looks like in the likeness ..."""
QUALITY = 2.0
"""... and of its predicted IoU and its stability."""
SIZE = 0.1
"""Weight of the squared distance in size and shape ..."""
SPREADS = np.array([0.3, 0.2, 0.07])
"""... in these standard deviations of `SHAPE`, and those among the exemplars."""
STEADY = 0.1
"""Features that vary less than this, in mean standard deviations of all, count for less."""
FARTHEST = 9.0
"""Squared distance beyond which a shape is no less alike."""
CONTRAST = 6.0
"""How sharply a candidate that looks like a rejected one is told from one like an accepted one."""
SHARED = 0.4
"""Two masks are of one object if they share more than this of the smaller one."""
LIKELY = 0.65
"""Likeness from which on a candidate is proposed at first: of validation images of five sources,
three in four to nine in ten of these are right, and they are half to five in six of all objects."""
LEAST = 1e-3
"""Below this a part of the likeness makes no difference."""


@dataclass(frozen=True, eq=False)
class Described:
    """Candidate masks of a plane, and what they look like.

    Attributes
    ----------
    masks : tuple of Mask
    features : (N, F) float32 or float16
        See `descriptors.described`.
    iou, stability : (N,) float32
    mean, spread : (F,) float32
        Of the features of all candidates of the plane, of which these may be a part.
    """

    masks: tuple[Mask, ...]
    features: Floats
    iou: Floats
    stability: Floats
    mean: Floats
    spread: Floats

    @classmethod
    def of(
        cls, masks: Sequence[Mask], features: Floats, iou: Floats, stability: Floats
    ) -> Described:
        """Describe all candidates of a plane."""
        if not len(features):
            mean, spread = (
                np.zeros_like(features, shape=features.shape[1:]),
                np.ones_like(features, shape=features.shape[1:]),
            )
        else:
            mean, spread = features.mean(axis=0), features.std(axis=0)
        # what is the same for all candidates says nothing
        spread = np.maximum(spread, STEADY * spread.mean() + 1e-6)
        return cls(tuple(masks), features, iou, stability, mean, spread)

    def __len__(self) -> int:
        return len(self.masks)

    def some(self, chosen: Sequence[int] | NDArray[np.intp]) -> Described:
        """Return a part of the candidates."""
        places = np.asarray(chosen, np.intp)
        return Described(
            tuple(self.masks[k] for k in places),
            self.features[places],
            self.iou[places],
            self.stability[places],
            self.mean,
            self.spread,
        )


@dataclass(frozen=True, eq=False)
class Exemplars:
    """What is looked for, and what is not.

    Attributes
    ----------
    accepted : (P, F) float32
        At least one.
    rejected : (Q, F) float32
    """

    accepted: Floats
    rejected: Floats = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def likeness(self, candidates: Described) -> NDArray[np.float64]:
        """Return how much candidates are like what is looked for.

        A product of four parts: the cosine between a candidate's features and those of the most
        similar exemplar, both relative to all candidates of the plane; the distance in size and
        shape; predicted IoU; stability. What looks more like a rejected candidate than like an
        accepted one counts for little.

        Parameters
        ----------
        candidates : Described

        Returns
        -------
        (N,) float64, 0..1
        """
        if not len(candidates):
            return np.zeros(0)
        near = self._nearest(candidates, self.accepted)
        log = APPEARANCE * np.log(np.maximum((1 + near) / 2, LEAST))
        if len(self.rejected):
            other = self._nearest(candidates, self.rejected)
            log -= np.log1p(np.exp(CONTRAST * (other - near)))
        log -= SIZE * self._distance(candidates)
        log += QUALITY * np.log(np.maximum(candidates.iou, LEAST))
        log += QUALITY * np.log(np.maximum(candidates.stability, LEAST))
        return np.asarray(np.exp(log / (APPEARANCE + 2 * QUALITY)))

    def _nearest(self, candidates: Described, exemplars: Floats) -> NDArray[np.float64]:
        """Return the cosine between each candidate and the most similar exemplar."""
        own, other = (
            _directions((features - candidates.mean) / candidates.spread)
            for features in (candidates.features, exemplars)
        )
        return np.asarray((own @ other.T).max(axis=1), np.float64)

    def _distance(self, candidates: Described) -> NDArray[np.float64]:
        """Return the mean squared distance in size and shape from the exemplars."""
        first = -len(SHAPE) - len(BRIGHTNESS)
        part = slice(first, first + len(SHAPE))
        known = self.accepted[:, part]
        variances = known.var(axis=0) + SPREADS**2
        away = (candidates.features[:, part] - known.mean(axis=0)) ** 2 / variances
        return np.asarray(np.minimum(away.mean(axis=1), FARTHEST), np.float64)


def distinct(
    masks: Sequence[Mask],
    scores: NDArray[np.float64],
    labels: NDArray[np.integer],
    most: int | None = None,
) -> list[int]:
    """Choose masks that lie neither on kept objects nor on better masks.

    Parameters
    ----------
    masks : N times Mask
    scores : (N,) float64
    labels : (H, W) int
        Kept objects of the plane; 0 is free.
    most : int, optional
        So many at most.

    Returns
    -------
    list of int, best first
    """
    chosen = np.zeros(labels.shape, np.int32)
    areas = [0]
    kept: list[int] = []
    for place in np.argsort(-scores, kind="stable").tolist():
        mask = masks[place]
        under, bits = chosen[mask.part], mask.bits
        shared = np.bincount(under[bits])
        hit = np.flatnonzero(shared[1:]) + 1
        if any(shared[k] > SHARED * min(mask.area, areas[k]) for k in hit.tolist()):
            continue
        if _is_kept(mask, labels):
            continue
        under[bits & (under == 0)] = len(areas)
        areas.append(mask.area)
        kept.append(place)
        if len(kept) == most:
            break
    return kept


def _is_kept(mask: Mask, labels: NDArray[np.integer]) -> bool:
    """Tell whether a mask shares too much with a kept object; only its neighbourhood is read."""
    own = labels[mask.part][mask.bits]
    values, counts = np.unique(own[own != 0], return_counts=True)
    if not len(values) or counts.max() > SHARED * mask.area:
        return len(values) > 0
    x0, y0, x1, y1 = mask.box
    h, w = y1 - y0 + 1, x1 - x0 + 1
    around = labels[max(y0 - h, 0) : y1 + h + 1, max(x0 - w, 0) : x1 + w + 1]
    sizes = (np.count_nonzero(around == value) for value in values)
    return any(count > SHARED * size for count, size in zip(counts, sizes, strict=True))


def _directions(features: Floats) -> Floats:
    """Return features (N, F) of length 1."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-9))
