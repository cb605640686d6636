"""Objects ranked by words: their crops and the words become vectors that are compared.

Masks of everything mode, told apart by a model of images and words, follow the text prompts of
Kirillov et al. (Segment Anything, ICCV 2023, appendix D.5): square crops larger than the object,
with and without what surrounds it.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from hashlib import blake2b
from heapq import heappush, heappushpop
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..images.transforms import to_rgb8
from ..types import Mask, Plane, Progress
from .accepting import masks_in

MARGIN = 1.5
"""Side of a crop, in longer sides of its object."""
PLANES = 3
"""Planes in which an object of a stack is looked at: those of its largest outlines."""
LARGEST = 768
"""Longest side of a crop in pixels, more than models take; larger ones are averaged in blocks."""
BATCH = 16
"""Outlines that are looked at together."""
MOST = 50_000
"""Outlines that are remembered, of some 3 kB each; those looked at first are forgotten first."""
SHARE = 0.25
"""Share of the objects that is chosen where none is given."""

Pixels = NDArray[np.uint8]
Vector = NDArray[np.float32]


class ImagesAndWords(Protocol):
    """A model that makes vectors of images and of words; see `models.clip.TextImageModel`.

    Attributes
    ----------
    ground : (int, int, int)
        The colour of what is not the object, 0 to 255.
    """

    ground: tuple[int, int, int]

    def embed_images(self, images: Sequence[Pixels]) -> NDArray[np.float32]:
        """Return unit vectors (N, D) of N images (H, W, 3)."""

    def embed_text(self, words: str) -> Vector:
        """Return the unit vector (D,) of words."""


class Looks:
    """What outlines look like to a model; each is looked at once, whatever the words are.

    Parameters
    ----------
    model : ImagesAndWords
    """

    def __init__(self, model: ImagesAndWords) -> None:
        self.model = model
        self._known: dict[bytes, Vector] = {}

    def scores(
        self, planes: Sequence[Plane], labels: Any, words: str
    ) -> Generator[Progress, None, dict[int, float]]:
        """Return how well words fit objects.

        Parameters
        ----------
        planes : sequence of Plane
            Of one image.
        labels : (...) int, of the shape of the image without colours
            The objects. One in several planes is looked at in those of its `PLANES` largest
            outlines.
        words : str

        Yields
        ------
        Progress
            After some outlines, in planes.

        Returns
        -------
        dict of int to float
            By label: the cosine between the vector of the words and that of the object.

        Raises
        ------
        ValueError
            If there are no words.
        """
        wanted = self.model.embed_text(words)
        chosen = yield from _largest(planes, labels)
        sums: dict[int, Vector] = {}
        for number, (plane, own) in enumerate(zip(planes, chosen, strict=True)):
            if not own:
                continue
            text = f"objects of plane {number + 1} of {len(planes)}"
            yield Progress(number, len(planes), text)
            masks = masks_in(plane.key.read_labels(labels), own)
            rgb = to_rgb8(plane.whole.read(), plane.contrast, plane.channels)
            order = list(masks)
            for start in range(0, len(order), BATCH):
                some = order[start : start + BATCH]
                pairs = [
                    crops_of(rgb, masks[label], self.model.ground, plane.spacing) for label in some
                ]
                for label, vector in zip(some, self._vectors(pairs), strict=True):
                    sums[label] = sums.get(label, np.zeros_like(vector)) + vector
                share = number + (start + len(some)) / len(order)
                yield Progress(int(100 * share), 100 * len(planes), text)
        return {
            label: float(total @ wanted / max(float(np.linalg.norm(total)), 1e-9))
            for label, total in sorted(sums.items())
        }

    def _vectors(self, pairs: Sequence[tuple[Pixels, Pixels]]) -> list[Vector]:
        """Return a unit vector for each outline: the mean of those of its two crops."""
        names = [_name(*pair) for pair in pairs]
        new = {
            name: pair for name, pair in zip(names, pairs, strict=True) if name not in self._known
        }
        if new:
            found = self.model.embed_images([crop for pair in new.values() for crop in pair])
            means = found.reshape(len(new), 2, -1).mean(axis=1)
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
            self._known.update(zip(new, means, strict=True))
        vectors = [self._known[name] for name in names]
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]
        return vectors


def best(scores: Mapping[int, float], share: float) -> list[int]:
    """Return the labels of the best scores, best first.

    Parameters
    ----------
    scores : mapping of int to float
    share : float, 0..1
        How many of all; at least one is returned where the share is above 0.
    """
    count = math.ceil(share * len(scores) - 1e-9)
    return sorted(scores, key=lambda label: (-scores[label], label))[:count]


def crops_of(
    rgb: Pixels,
    mask: Mask,
    ground: tuple[int, int, int],
    spacing: tuple[float, float] = (1.0, 1.0),
) -> tuple[Pixels, Pixels]:
    """Return an object on a neutral ground, and the same crop with what surrounds it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
        The plane.
    mask : Mask
    ground : (int, int, int)
        Colour of what is left out, and of what lies beyond the plane.
    spacing : (float, float)
        See `Plane.spacing`; a crop is a square on screen.

    Returns
    -------
    (h, w, 3) uint8, twice
        About `LARGEST` pixels a side at most, whatever the size of the object.
    """
    x0, y0, x1, y1 = mask.box
    high, wide = (y1 + 1 - y0) * spacing[0], (x1 + 1 - x0) * spacing[1]
    side = MARGIN * max(high, wide)
    lengths = [side / size for size in spacing]
    steps = [math.ceil(length / LARGEST) for length in lengths]
    rows, columns = (
        step * max(1, round(length / step)) for length, step in zip(lengths, steps, strict=True)
    )
    top, left = (y0 + y1 + 1 - rows) // 2, (x0 + x1 + 1 - columns) // 2
    context = np.full((rows, columns, 3), ground, np.uint8)
    low, first = max(top, 0), max(left, 0)
    inside = rgb[low : max(top + rows, 0), first : max(left + columns, 0)]
    y, x = low - top, first - left
    context[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    alone = np.full_like(context, ground)
    own = np.s_[y0 - top : y1 + 1 - top, x0 - left : x1 + 1 - left]
    alone[own][mask.bits] = rgb[mask.part][mask.bits]
    return _averaged(alone, steps), _averaged(context, steps)


def _averaged(crop: Pixels, steps: Sequence[int]) -> Pixels:
    """Return the means of blocks of so many rows and columns."""
    if max(steps) == 1:
        return crop
    rows, columns = (length // step for length, step in zip(crop.shape, steps, strict=False))
    high = crop.reshape(rows, steps[0], -1).sum(axis=1, dtype=np.uint32)
    blocks = high.reshape(rows, columns, steps[1], 3).sum(axis=2)
    means: Pixels = (blocks / (steps[0] * steps[1])).round().astype(np.uint8)
    return means


def _largest(planes: Sequence[Plane], labels: Any) -> Generator[Progress, None, list[set[int]]]:
    """Return for each plane the labels that are looked at there."""
    kept: dict[int, list[tuple[int, int]]] = {}
    for number, plane in enumerate(planes):
        yield Progress(0, len(planes), "counting objects")
        values, areas = np.unique(plane.key.read_labels(labels), return_counts=True)
        for label, area in zip(values.tolist(), areas.tolist(), strict=True):
            if label:
                places = kept.setdefault(label, [])
                push = heappush if len(places) < PLANES else heappushpop
                push(places, (area, -number))
    chosen: list[set[int]] = [set() for _ in planes]
    for label, places in kept.items():
        for _, number in places:
            chosen[-number].add(label)
    return chosen


def _name(alone: Pixels, context: Pixels) -> bytes:
    """Return what tells the crops of an outline from all others."""
    digest = blake2b(repr(alone.shape).encode(), digest_size=16)
    digest.update(alone.tobytes())
    digest.update(context.tobytes())
    return digest.digest()
