"""Paired differences of two models on the same objects, and how far chance reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

FEWEST = 6
"""Objects below which nothing is told: had all of five risen, chance could still be the reason."""
DRAWS, BLOCK = 10_000, 1000
"""Draws of a bootstrap, as the ends of a wide interval lie among few of them, and how many of
them are averaged at a time."""
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
        How many were averaged; one counts in each plane that shows it.
    different : int
        How many objects these are, whatever number of planes shows them.
    rises : bool
        Whether more is better.
    """

    figure: str
    before: float
    after: float
    low: float
    high: float
    objects: int
    different: int
    rises: bool = True

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before

    @property
    def tells(self) -> bool:
        """Whether there are enough objects to tell anything."""
        return self.different >= FEWEST

    @property
    def gains(self) -> bool:
        """Whether it gets better beyond the noise."""
        return self.tells and (self.low > 0 if self.rises else self.high < 0)

    @property
    def loses(self) -> bool:
        """Whether it gets worse beyond the noise."""
        return self.tells and (self.high < 0 if self.rises else self.low > 0)


class Bootstrap:
    """Draws images and stacks with replacement, and from each one its objects with replacement.

    Objects of one image or stack are alike, so these are drawn. Their objects are drawn as well,
    which matters where there are few images: the interval is then rather too wide than too narrow
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). Of a single
    image or stack only the objects are drawn. An object that several planes of a stack show is
    drawn as a whole, as its planes are no independent measurements. Intervals are wider the fewer
    images and stacks there are, or objects of a single one; see `interval`. Of two, it is still
    too narrow where objects of an image are much alike.

    Parameters
    ----------
    groups : sequence of int
        The image or stack that each of N values is of.
    tracks : sequence of int
        The object that each value is of.
    rng : numpy.random.Generator

    Attributes
    ----------
    weights : (DRAWS, N) int16
        How often each value is drawn.
    """

    def __init__(
        self, groups: Sequence[int], tracks: Sequence[int], rng: np.random.Generator
    ) -> None:
        self._groups, self._tracks = np.asarray(groups, np.int64), np.asarray(tracks, np.int64)
        self.weights = np.zeros((DRAWS, len(groups)), np.int16)
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
        places = slice(None) if chosen is None else chosen
        first, last = before[places], after[places]
        table = np.stack([last - first, np.ones(len(first))], axis=1)
        parts = [
            self.weights[start : start + BLOCK, places] @ table for start in range(0, DRAWS, BLOCK)
        ]
        sums, totals = np.concatenate(parts).T
        means = sums[totals > 0] / totals[totals > 0]  # what is drawn may hold none that is chosen
        tracks = self._tracks[places]
        ends = interval(means, independent(self._groups[places], tracks))
        return Difference(
            figure, float(first.mean()), float(last.mean()), *ends, len(first),
            len(np.unique(tracks)), rises,
        )  # fmt: skip


def independent(groups: ArrayLike, tracks: ArrayLike) -> int:
    """Return how many things are drawn: images and stacks, or the objects of a single one."""
    several = len(np.unique(groups))
    return several if several > 1 else len(np.unique(tracks))


def interval(means: Floats, count: int) -> tuple[float, float]:
    """Return the 95 % interval of bootstrapped means of `count` independent values.

    The usual percentiles are too narrow for few values: of six that are normal around 0, 8 % of the
    intervals lie above 0 instead of 2.5 %. So those percentiles are taken that make it as wide as
    that of Student's t, which leaves 4 % (the expanded percentile interval of Hesterberg, The
    American Statistician 69:371, 2015).

    Parameters
    ----------
    means : (DRAWS,) float64
    count : int
    """
    if count < 2:
        return float(means.min()), float(means.max())
    tail = 1 / 40
    wider = float(special.stdtrit(count - 1, tail)) * (count / (count - 1)) ** 0.5
    tail = float(special.ndtr(wider))
    low, high = np.quantile(means, (tail, 1 - tail))
    return float(low), float(high)


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
    means = [
        [hits.sum() / (len(hits) + extra) for hits, extra in _sides(plane)] for plane in planes
    ]
    before, after = np.mean(means, axis=0).tolist()
    ends = interval(change, independent(groups, tracks))
    return Difference(figure, before, after, *ends, int(counts.sum()), len(set(tracks)))


def _poisson(luck: NDArray[np.float64], mean: int) -> NDArray[np.intp]:
    """Return the quantiles of a Poisson distribution at `luck`, 0..1."""
    reached = special.pdtr(np.arange(20 + int(mean + 10 * mean**0.5)), mean)
    return np.searchsorted(reached, luck)


def _sides(plane: FoundPlane) -> tuple[tuple[NDArray[np.bool_], int], ...]:
    return (plane.before, plane.extra_before), (plane.after, plane.extra_after)
