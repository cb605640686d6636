"""Objects pasted onto ground, with soft borders and exact labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .cutting import RING, Cut
from .params import SynthesisParams

FEATHER = 2.0
"""Width of a soft border, in pixels outside of the object: its own edge is in the cut."""
TRIES = 40
"""Places that are tried for one object before it is left out."""
GAP = 2
"""Pixels between objects that are not to touch or overlap, at least."""


@dataclass(frozen=True, eq=False)
class Posed:
    """A cut as it will lie in the plane; see `Cut`, whose pixels are `values` less the ring."""

    values: NDArray[np.float32]
    distance: NDArray[np.float32]
    made: dict[str, Any]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the object is, (h, w)."""
        return self.distance > 0


class Canvas:
    """A plane that objects are pasted onto.

    Parameters
    ----------
    ground : (H, W, C) float32
    overlap : float
        How much of an object later ones may hide, as a share.

    Attributes
    ----------
    image : (H, W, C) float32
    labels : (H, W) int32
        The visible pixels of each object.
    areas : dict of int to int
        Pixels of each object, hidden ones as well.
    """

    def __init__(self, ground: NDArray[np.float32], overlap: float = 0.0) -> None:
        self.image = ground.copy()
        self.labels: NDArray[np.int32] = np.zeros(ground.shape[:2], np.int32)
        self.areas: dict[int, int] = {}
        self._overlap = overlap

    def paste(
        self, posed: Posed, touching: bool, span: float, rng: np.random.Generator
    ) -> tuple[int, int] | None:
        """Paste an object; return row and column of its cut, or None where it finds no place.

        Parameters
        ----------
        posed : Posed
        touching : bool
            Whether it is moved until it touches an earlier object.
        span : float
            Range of grey values that the brightness is a share of.
        rng : Generator
        """
        mask = posed.mask
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        # the object lies within the plane; its margin need not
        first = -int(rows[0]), -int(columns[0])
        height, width = self.image.shape[:2]
        last = height - int(rows[-1]), width - int(columns[-1])
        if last[0] <= first[0] or last[1] <= first[1]:
            return None
        for _ in range(TRIES):
            if touching and self.areas:
                place = self._beside(mask, first, last, rng)
            else:
                place = int(rng.integers(first[0], last[0])), int(rng.integers(first[1], last[1]))
                place = place if self._fits(posed, place) else None
            if place is not None:
                self._put(posed, place, span)
                return place
        return None

    def _parts(
        self, place: tuple[int, int], shape: tuple[int, ...]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the part of the plane that a cut covers, and the part of the cut."""
        outer, inner = [], []
        for start, length, limit in zip(place, shape, self.image.shape[:2], strict=True):
            low, high = max(0, start), min(limit, start + length)
            outer.append(slice(low, high))
            inner.append(slice(low - start, high - start))
        return (outer[0], outer[1]), (inner[0], inner[1])

    def _fits(self, posed: Posed, place: tuple[int, int]) -> bool:
        outer, inner = self._parts(place, posed.distance.shape)
        below = self.labels[outer]
        if not self._overlap:
            return not (below[posed.distance[inner] > -GAP] > 0).any()
        hidden = np.unique(below[posed.mask[inner]])
        for label in hidden[hidden > 0]:
            left = (self.labels == label).sum() - (below[posed.mask[inner]] == label).sum()
            if left < (1 - self._overlap) * self.areas[int(label)]:
                return False
        return True

    def _beside(
        self,
        mask: NDArray[np.bool_],
        first: tuple[int, int],
        last: tuple[int, int],
        rng: np.random.Generator,
    ) -> tuple[int, int] | None:
        """Return the nearest free place in a random direction from a random earlier object."""
        label = int(rng.integers(1, len(self.areas) + 1))
        box = ndimage.find_objects(self.labels)[label - 1]
        angle = rng.uniform(0, 2 * np.pi)
        middle = [
            (part.start + part.stop - length) / 2
            for part, length in zip(box, mask.shape, strict=True)
        ]
        for step in range(sum(self.labels.shape)):
            y = round(middle[0] + step * np.sin(angle))
            x = round(middle[1] + step * np.cos(angle))
            if not (first[0] <= y < last[0] and first[1] <= x < last[1]):
                if step > sum(mask.shape):
                    return None
                continue
            outer, inner = self._parts((y, x), mask.shape)
            if not self.labels[outer][mask[inner]].any():
                return y, x
        return None

    def _put(self, posed: Posed, place: tuple[int, int], span: float) -> None:
        outer, inner = self._parts(place, posed.distance.shape)
        distance = posed.distance[inner]
        alpha = np.clip(1 + distance / FEATHER, 0, 1)
        alpha[(distance <= 0) & (self.labels[outer] > 0)] = 0  # others keep their pixels
        ring = (distance <= 0) & (distance > -RING)
        free = ring & (self.labels[outer] == 0)
        below = self.image[outer]
        chosen = free if free.any() else ring if ring.any() else np.ones_like(ring)
        level = below[chosen].mean(0) + posed.made["brightness"] * span
        values = posed.values[inner] * posed.made["contrast"] + level
        alpha = alpha[..., None]
        self.image[outer] = alpha * values + (1 - alpha) * below
        label = len(self.areas) + 1
        mask = posed.mask[inner]
        self.areas[label] = int(mask.sum())
        self.labels[outer][mask] = label


def posed(cut: Cut, params: SynthesisParams, rng: np.random.Generator) -> Posed | None:
    """Return a cut scaled, turned and mirrored at random, or None if little of it is left."""
    scale = float(rng.uniform(*params.scale))
    angle = float(rng.uniform(*params.rotation))
    mirrored = bool(params.flips and rng.integers(2))
    made = {
        "source": cut.source,
        "label": cut.label,
        "scale": round(scale, 4),
        "rotation": round(angle, 2),
        "mirrored": mirrored,
        "contrast": round(float(rng.uniform(*params.contrast)), 4),
        "brightness": round(float(rng.uniform(*params.brightness)), 4),
    }
    values, distance = cut.pixels - cut.ring, cut.distance
    if (scale, angle, mirrored) != (1.0, 0.0, False):
        values, distance = _transformed(values, distance, scale, angle, mirrored)
    if (distance > 0).sum() < min(4, (cut.distance > 0).sum()):
        return None
    return Posed(values, distance, made)


def _transformed(
    values: NDArray[np.float32],
    distance: NDArray[np.float32],
    scale: float,
    angle: float,
    mirrored: bool,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Resample a cut linearly in a box that holds all of it."""
    turn = np.deg2rad(angle)
    cos, sin = np.cos(turn), np.sin(turn)
    forward = (
        scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, -1.0 if mirrored else 1.0])
    )
    size = np.array(distance.shape)
    wanted = np.ceil(np.abs(forward) @ size).astype(int)
    back = np.linalg.inv(forward)
    offset = (size - 1) / 2 - back @ ((wanted - 1) / 2)
    sigma = max(0.0, (1 / scale - 1) / 2)  # against aliasing, as in skimage.transform.resize
    if sigma:
        values = ndimage.gaussian_filter(values, (sigma, sigma, 0))
    kept = {"offset": offset, "output_shape": tuple(wanted), "order": 1}
    turned = [
        ndimage.affine_transform(values[..., k], back, mode="nearest", **kept)
        for k in range(values.shape[2])
    ]
    away = float(distance.min())
    further = ndimage.affine_transform(distance, back, mode="constant", cval=away, **kept)
    return np.stack(turned, -1), np.asarray(further * scale)


def chosen(cuts: Sequence[Cut], low: NDArray[Any], high: NDArray[Any]) -> Sequence[Cut]:
    """Return the cuts whose ground was as bright as a plane's, or all of them if there are none.

    Parameters
    ----------
    cuts : sequence of Cut
    low, high : (C,) float
        Range of the plane's ground.
    """
    alike = [one for one in cuts if ((low <= one.ring) & (one.ring <= high)).all()]
    return alike or cuts
