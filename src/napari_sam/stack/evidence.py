"""Where objects are in a plane that they were followed into, and how they share its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..types import Mask
from .keyframes import CERTAIN


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


def _main_part(inside: NDArray[np.bool_], last: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the piece that shares most pixels with the last outline, its holes filled."""
    pieces, count = ndimage.label(inside)
    if not count:
        return inside
    shared = np.bincount(pieces[last], minlength=count + 1)[1:]
    areas = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    best = 1 + int(np.argmax(shared if shared.any() else areas))
    return np.asarray(ndimage.binary_fill_holes(pieces == best))
