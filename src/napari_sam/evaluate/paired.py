"""Paired differences of two models on the same objects, and how far chance reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .scores import DRAWS

Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """A figure before and after.

    Attributes
    ----------
    figure : str
    before, after : float
        Means.
    low, high : float
        95 % interval of after - before.
    objects : int
        How many were averaged.
    rises : bool
        Whether more is better.
    """

    figure: str
    before: float
    after: float
    low: float
    high: float
    objects: int
    rises: bool = True

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before

    @property
    def gains(self) -> bool:
        """Whether it gets better beyond the noise."""
        return self.low > 0 if self.rises else self.high < 0

    @property
    def loses(self) -> bool:
        """Whether it gets worse beyond the noise."""
        return self.high < 0 if self.rises else self.low > 0


class Bootstrap:
    """Draws images with replacement, and from each one its objects with replacement.

    Objects of one image are alike, so images are drawn. Their objects are drawn as well, which
    matters where there are few images: the interval is then rather too wide than too narrow
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Of a single
    image only the objects are drawn.

    Parameters
    ----------
    images : sequence of int
        The image of each object.
    rng : numpy.random.Generator

    Attributes
    ----------
    weights : (DRAWS, N) int64
        How often each object is drawn.
    """

    def __init__(self, images: Sequence[int], rng: np.random.Generator) -> None:
        place = np.unique(np.asarray(images, np.int64), return_inverse=True)[1]
        sizes = np.bincount(place)
        drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), DRAWS)
        self.weights = np.zeros((DRAWS, len(place)), np.int64)
        for image, size in enumerate(sizes):
            chances = np.full(size, 1 / size)
            self.weights[:, place == image] = rng.multinomial(drawn[:, image] * size, chances)

    def difference(
        self,
        figure: str,
        before: Floats,
        after: Floats,
        rises: bool = True,
        chosen: NDArray[np.bool_] | None = None,
    ) -> Difference:
        """Return the means of paired values (N,), and the interval of their difference.

        Parameters
        ----------
        figure : str
        before, after : (N,) float64
        rises : bool
            Whether more is better.
        chosen : (N,) bool, optional
            Of which objects; of at least one.
        """
        weights = self.weights if chosen is None else self.weights[:, chosen]
        first, last = (before, after) if chosen is None else (before[chosen], after[chosen])
        totals = weights.sum(axis=1)
        sums = weights @ (last - first)
        means = sums[totals > 0] / totals[totals > 0]  # an image may hold none that is chosen
        low, high = np.percentile(means, (2.5, 97.5))
        return Difference(
            figure, float(first.mean()), float(last.mean()), float(low), float(high),
            len(first), rises,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class FoundPlane:
    """What everything mode found of the objects of one plane, before and after.

    Attributes
    ----------
    before, after : (N,) bool
        Which of the N objects it found.
    extra_before, extra_after : int
        Masks that are no object.
    """

    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    extra_before: int
    extra_after: int


def precision_difference(
    planes: Sequence[FoundPlane], figure: str, rng: np.random.Generator
) -> Difference | None:
    """Return the difference of the mean of TP / (TP + FP + FN) over planes.

    Planes are drawn, in each one its objects, and how many of the extra masks there are.

    Returns
    -------
    Difference or None
        None if there is no plane with an object.
    """
    planes = [plane for plane in planes if len(plane.before)]
    if not planes:
        return None
    chances = np.full(len(planes), 1 / len(planes))
    drawn = rng.multinomial(len(planes), chances, DRAWS)
    means = np.zeros((2, len(planes)))
    sums = np.zeros((2, DRAWS))
    for place, plane in enumerate(planes):
        count = len(plane.before)
        weights = rng.multinomial(count, np.full(count, 1 / count), DRAWS)
        sides = ((plane.before, plane.extra_before), (plane.after, plane.extra_after))
        for side, (hits, extra) in enumerate(sides):
            means[side, place] = hits.sum() / (count + extra)
            sums[side] += drawn[:, place] * (weights @ hits) / (count + rng.poisson(extra, DRAWS))
    low, high = np.percentile((sums[1] - sums[0]) / len(planes), (2.5, 97.5))
    before, after = means.mean(axis=1).tolist()
    objects = sum(len(plane.before) for plane in planes)
    return Difference(figure, before, after, float(low), float(high), objects)
