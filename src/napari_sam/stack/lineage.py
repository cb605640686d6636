"""Which outlines of a time series are one object, and which are daughters of one that divides."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..types import Progress
from .partition import best_pairs
from .pieces import Overlaps, Pieces

LEAST_WORTH = 0.2
"""Least worth of a link between two frames; see `successors`."""

BY_PLACE = 0.5
"""Worth of equal places and areas without overlap; overlap counts for 1."""

LINK_REACH = 1.5
"""How far an object moves in a frame at most, in diameters."""

REACH = 1.2
"""How far from its mother a daughter lies at most, in diameters of the mother."""

OFF_CENTRE = 0.4
"""How far from its mother the point between two daughters lies at most, in the same unit."""

SMALLER = 0.9
"""Largest area of a daughter, as a share of that of its mother."""

TOGETHER = 1.6
"""Largest area of two daughters, as a share of that of their mother."""


AT_A_TIME = 256
"""Mothers, and pairs of daughters, that are looked at between two steps of progress."""


@dataclass(frozen=True)
class _Forms:
    """What is compared of pieces.

    Attributes
    ----------
    frames : (N,) int
    areas : (N,) int
    middles : (N, 2) float, (row, column)
    diameters : (N,) float
        Of circles of the same area.
    """

    frames: NDArray[np.intp]
    areas: NDArray[np.intp]
    middles: NDArray[np.float64]
    diameters: NDArray[np.float64]

    @classmethod
    def of(cls, pieces: Pieces) -> Self:
        """Measure pieces."""
        areas = np.array(pieces.areas, np.intp)
        boxes = np.array(pieces.boxes, np.float64).reshape(-1, 2, 2)
        return cls(
            np.array(pieces.planes, np.intp),
            areas,
            (boxes.sum(1) - 1) / 2,
            np.sqrt(4 / np.pi * areas),
        )

    def distance(self, a: int, b: int) -> float:
        """Return the distance of two pieces in pixels."""
        return float(np.hypot(*(self.middles[a] - self.middles[b])))


def successors(pieces: Pieces) -> Generator[Progress, None, list[int]]:
    """Find the piece that each one goes on as; -1 if there is none. Yield after each frame."""
    forms = _Forms.of(pieces)
    after = np.full(len(pieces), -1, np.intp)
    free = np.ones(len(pieces), bool)  # has no predecessor
    overlaps = {
        (one.gap, int(pieces.planes[one.first[0]])): one
        for one in pieces.overlaps
        if one.first.size
    }
    for step in (1, 2):  # across gaps only what found nothing in the next frame
        for count, (t, own) in enumerate(pieces.in_plane.items()):
            yield _progress("paired", count, pieces)
            if t + step not in pieces.in_plane or t + 1 not in pieces.in_plane:
                continue
            first = np.arange(own.start, own.stop)
            second = np.arange(*pieces.in_plane[t + step].indices(len(pieces)))
            if step == 2:
                first, second = first[after[first] < 0], second[free[second]]
            a, b, worth = _links(forms, first, second, overlaps.get((step == 2, t)))
            chosen = best_pairs(a - own.start, b - pieces.in_plane[t + step].start, worth)
            after[a[chosen]] = b[chosen]
            free[b[chosen]] = False
    return after.tolist()


def _links(
    forms: _Forms, first: NDArray[np.intp], second: NDArray[np.intp], overlaps: Overlaps | None
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the links (N,) of pieces of two frames that are worth enough, and what they are worth.

    Without overlap, a link of `LINK_REACH` diameters of the first piece is never worth enough,
    however large the second one is: their areas differ then.
    """
    near = _within(forms, first, second, LINK_REACH)
    a = np.repeat(first, [len(one) for one in near])
    b = np.concatenate([*near, second[:0]])
    shared = np.zeros(len(a), np.intp)
    if overlaps is not None:
        known = np.isin(overlaps.first, first) & np.isin(overlaps.second, second)
        a, b = np.append(a, overlaps.first[known]), np.append(b, overlaps.second[known])
        shared = np.append(shared, overlaps.shared[known])
    links, index = np.unique(np.stack([a, b]), axis=1, return_inverse=True)
    a, b = links
    shared = np.bincount(index.ravel(), shared, len(a)).astype(np.intp)
    areas = forms.areas[a], forms.areas[b]
    apart = np.linalg.norm(forms.middles[a] - forms.middles[b], axis=1)
    reach = LINK_REACH * np.maximum(forms.diameters[a], forms.diameters[b])
    alike = np.minimum(*areas) / np.maximum(*areas)
    worth = BY_PLACE * np.maximum(1 - apart / np.maximum(reach, 1), 0) * alike
    worth += shared / (areas[0] + areas[1] - shared)
    enough = worth >= LEAST_WORTH
    return a[enough], b[enough], worth[enough]


def _within(
    forms: _Forms, pieces: NDArray[np.intp], others: NDArray[np.intp], reach: float
) -> list[NDArray[np.intp]]:
    """Return the other pieces, ascending, within some diameters of each piece."""
    if not len(others) or not len(pieces):
        return [others[:0]] * len(pieces)
    tree = cKDTree(forms.middles[others])
    radii = reach * forms.diameters[pieces]
    found = tree.query_ball_point(forms.middles[pieces], radii, return_sorted=True)
    return [others[np.array(one, np.intp)] for one in found]


def divided(pieces: Pieces, after: list[int]) -> Generator[Progress, None, dict[int, int]]:
    """Find the mother of each first piece of a daughter; links of mothers are taken away.

    Yield after each frame, and more often where there is much to look at.
    """
    forms = _Forms.of(pieces)
    before = {piece for piece in after if piece >= 0}
    last = max(pieces.in_plane, default=0)
    found = []
    for count, (t, own) in enumerate(pieces.in_plane.items()):
        step = _progress("looked for divisions in", count, pieces)
        yield step
        later = pieces.in_plane.get(t + 1, slice(0, 0))
        starts = [
            p
            for p in range(later.start, later.stop)
            if p not in before and (after[p] >= 0 or t + 1 == last)
        ]
        own_pieces = np.arange(own.start, own.stop)
        all_near = _within(forms, own_pieces, np.array(starts, np.intp), REACH)
        for number, (mother, close) in enumerate(zip(own_pieces.tolist(), all_near, strict=True)):
            if number % AT_A_TIME == AT_A_TIME - 1:
                yield step
            near = close[forms.areas[close] <= SMALLER * forms.areas[mother]].tolist()
            heir = after[mother]
            pairs: Iterator[tuple[int, int]] = combinations(near, 2)
            if heir >= 0:
                follows = pieces.planes[heir] == t + 1 and (after[heir] >= 0 or t + 1 == last)
                follows = follows and _is_daughter(forms, mother, heir)
                pairs = ((heir, p) for p in near) if follows else iter(())
            for looked_at, pair in enumerate(pairs, start=1):
                if looked_at % AT_A_TIME == 0:
                    yield step
                middle = forms.middles[list(pair)].mean(0) - forms.middles[mother]
                off = float(np.hypot(*middle)) / forms.diameters[mother]
                area = forms.areas[list(pair)].sum()
                if off <= OFF_CENTRE and area <= TOGETHER * forms.areas[mother]:
                    found.append((off, mother, pair))
    mothers: dict[int, int] = {}
    for _, mother, pair in sorted(found):
        if mother not in mothers.values() and not mothers.keys() & set(pair):
            mothers |= dict.fromkeys(pair, mother)
            after[mother] = -1
    return mothers


def _progress(what: str, count: int, pieces: Pieces) -> Progress:
    """Return how many frames have been looked at."""
    total = len(pieces.in_plane)
    return Progress(count, total, f"{what} {count} of {total} frames")


def _is_daughter(forms: _Forms, mother: int, piece: int) -> bool:
    """Return whether a piece is near enough and small enough to be a daughter."""
    near = forms.distance(mother, piece) <= REACH * forms.diameters[mother]
    return bool(near and forms.areas[piece] <= SMALLER * forms.areas[mother])
