"""Paired differences of two models on the same objects, and how far chance reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

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
    """Draws images and stacks with replacement, and from each one its objects with replacement.

    Objects of one image or stack are alike, so these are drawn. Their objects are drawn as well,
    which matters where there are few images: the interval is then rather too wide than too narrow
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Of a single
    image or stack only the objects are drawn. An object that several planes of a stack show is
    drawn as a whole, as its planes are no independent measurements.

    Parameters
    ----------
    groups : sequence of int
        The image or stack that each of N values is of.
    tracks : sequence of int
        The object that each value is of.
    rng : numpy.random.Generator

    Attributes
    ----------
    weights : (DRAWS, N) int64
        How often each value is drawn.
    """

    def __init__(
        self, groups: Sequence[int], tracks: Sequence[int], rng: np.random.Generator
    ) -> None:
        self.weights = np.zeros((DRAWS, len(groups)), np.int64)
        for _, places, weights in _drawn(groups, tracks, rng):
            self.weights[:, places] = weights

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
        means = sums[totals > 0] / totals[totals > 0]  # what is drawn may hold none that is chosen
        low, high = np.percentile(means, (2.5, 97.5))
        return Difference(
            figure, float(first.mean()), float(last.mean()), float(low), float(high),
            len(first), rises,
        )  # fmt: skip


def _drawn(
    groups: Sequence[int], tracks: Sequence[int], rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Yield of each group how often it is drawn, where its values are, and how often these are."""
    order, place = np.unique(np.asarray(groups, np.int64), return_inverse=True)
    times = rng.multinomial(len(order), np.full(len(order), 1 / len(order)), DRAWS)
    for group in range(len(order)):
        places = np.flatnonzero(place == group)
        track = np.unique(np.asarray(tracks, np.int64)[places], return_inverse=True)[1]
        size = track.max() + 1
        weights = rng.multinomial(times[:, group] * size, np.full(size, 1 / size))
        yield times[:, group], places, weights[:, track]


@dataclass(frozen=True, eq=False)
class FoundPlane:
    """What everything mode found of the objects of one plane, before and after.

    Attributes
    ----------
    before, after : (N,) bool
        Which of the N objects it found.
    extra_before, extra_after : int
        Masks that are no object.
    group : int
        The image or stack.
    tracks : tuple of int
        The N objects; those of other planes of the stack may be the same.
    """

    before: NDArray[np.bool_]
    after: NDArray[np.bool_]
    extra_before: int
    extra_after: int
    group: int
    tracks: tuple[int, ...]


def precision_difference(
    planes: Sequence[FoundPlane], figure: str, rng: np.random.Generator
) -> Difference | None:
    """Return the difference of the mean of TP / (TP + FP + FN) over planes.

    Images and stacks are drawn, in each one its objects, and how many extra masks there are. These
    rise and fall together in all planes of a stack, as the same place can cause them.

    Returns
    -------
    Difference or None
        None if there is no plane with an object.
    """
    planes = [plane for plane in planes if len(plane.before)]
    if not planes:
        return None
    counts = np.array([len(plane.before) for plane in planes])
    starts = np.cumsum(counts) - counts
    groups = np.repeat([plane.group for plane in planes], counts).tolist()
    tracks = [track for plane in planes for track in plane.tracks]
    totals = np.zeros(DRAWS)
    sums = np.zeros((2, DRAWS))
    for times, places, weights in _drawn(groups, tracks, rng):
        luck = rng.random((2, DRAWS))
        for number in np.flatnonzero(np.isin(starts, places)):
            plane = planes[number]
            first = np.searchsorted(places, starts[number])
            own = weights[:, first : first + counts[number]]
            total = own.sum(axis=1)
            seen = np.where(total > 0, times, 0)  # none of its objects may be drawn
            totals += seen
            for side, (hits, extra) in enumerate(_sides(plane)):
                extras = times * _poisson(luck[side], extra)
                sums[side] += seen * (own @ hits) / np.maximum(total + extras, 1)
    change = (sums[1] - sums[0])[totals > 0] / totals[totals > 0]
    low, high = np.percentile(change, (2.5, 97.5))
    means = [
        [hits.sum() / (len(hits) + extra) for hits, extra in _sides(plane)] for plane in planes
    ]
    before, after = np.mean(means, axis=0).tolist()
    return Difference(figure, before, after, float(low), float(high), int(counts.sum()))


def _poisson(luck: NDArray[np.float64], mean: int) -> NDArray[np.intp]:
    """Return the quantiles of a Poisson distribution at `luck`, 0..1."""
    reached = special.pdtr(np.arange(20 + int(mean + 10 * mean**0.5)), mean)
    return np.searchsorted(reached, luck)


def _sides(plane: FoundPlane) -> tuple[tuple[NDArray[np.bool_], int], ...]:
    return (plane.before, plane.extra_before), (plane.after, plane.extra_after)
