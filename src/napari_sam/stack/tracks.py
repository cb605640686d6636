"""Objects of a time series: followed from frame to frame, with divisions and a table of parents."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import shown, whole_number
from ..files import replacing
from ..types import Progress
from .join import PlaneLabels, written
from .partition import best_pairs, partition
from .pieces import Pieces
from .repairs import Repairs

LEAST_WORTH = 0.2
"""Least worth of a link between two frames; see `_successors`."""

JOIN_IOU = 0.2
"""`least` of the multicut that joins several outlines of an object in one frame."""

ABOVE_LABELS = 2**40
"""Above any label of 32 bits."""

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


class Track(NamedTuple):
    """An object from its first to its last frame.

    Attributes
    ----------
    label : int
    begin, end : int
        Its first and last frame.
    parent : int
        The label of the object that divided; 0 if there is none.
    """

    label: int
    begin: int
    end: int
    parent: int = 0


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
    def of(cls, pieces: Pieces) -> _Forms:
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


class _JoinedFrames(Mapping[int, NDArray[np.int32]]):
    """Frames in which outlines that are one in the frames around them have one label.

    The labels lie above those of any result, so that a frame of the result always differs.
    """

    def __init__(self, frames: Mapping[int, NDArray[np.int32]], found: Pieces) -> None:
        self._frames = frames
        groups = partition(found, "multicut", JOIN_IOU)
        self._names = {
            t: (found.labels_of(t), groups[own] + ABOVE_LABELS) for t, own in found.in_plane.items()
        }

    def __getitem__(self, t: int) -> NDArray[np.int32]:
        frame, (old, new) = np.asarray(self._frames[t]), self._names[t]
        return np.where(frame > 0, np.append(new, 0)[np.searchsorted(old, frame)], 0)

    def __iter__(self) -> Iterator[int]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


def tracked(
    frames: Mapping[int, NDArray[np.int32]], largest: int = 0
) -> Generator[Progress | PlaneLabels, None, list[Track]]:
    """Follow objects through the frames of a time series.

    Outlines of a frame that are one outline in the frames around it are joined first, by a multicut
    (see `partition`). Then outlines of two frames are paired by overlap, place and area, so that
    the sum is largest. An object that is missing in one frame is drawn there. An object that
    divides ends, and its two daughters get labels of their own.

    Parameters
    ----------
    frames : mapping of t to (H, W) int32
        A label that occurs in two frames does not make them one object. Each frame is asked for
        three times, and two are held at a time; one that was yielded is not asked for again.
    largest : int
        The new labels begin after it.

    Yields
    ------
    Progress
        After each frame that was compared with those before.
    (t, labels)
        Of each frame that holds objects.

    Returns
    -------
    list of Track, by label; see `write_tracks`

    Raises
    ------
    ValueError
        If a frame has no number or holds no labels, neighbours differ in size, or `largest` is
        below 0.
    """
    if not all(isinstance(t, int | np.integer) for t in frames):
        raise ValueError(f"frames have whole numbers, but these are {shown(list(frames))}")
    largest = whole_number("the largest label", largest)
    if not 0 <= largest < 2**30:
        raise ValueError(f"the largest label lies between 0 and {2**30}, but is {largest}")
    order = sorted(frames)
    found, pieces = Pieces(), Pieces()
    for count, t in enumerate(order, start=1):
        found.add(t, np.asarray(frames[t]))
        yield Progress(count, 2 * len(order), f"compared {count} of {len(order)} frames")
    joined = _JoinedFrames(frames, found)
    for count, t in enumerate(order, start=1):
        pieces.add(t, joined[t])
        yield Progress(
            len(order) + count, 2 * len(order), f"tracked {count} of {len(order)} frames"
        )
    after = _successors(pieces)
    mothers = _divided(pieces, after)
    objects = np.full(len(pieces), -1, np.intp)
    count = 0
    for piece in range(len(pieces)):
        if objects[piece] < 0:
            at = piece
            while at >= 0:
                objects[at] = count
                at = after[at]
            count += 1
    numbers = np.arange(1, count + 1, dtype=np.int32) + np.int32(largest)
    repairs = Repairs.of(pieces, objects, gaps_only=True)
    yield from written(joined, order, pieces, numbers, objects, repairs)
    return _table(pieces, objects, numbers, mothers)


def write_tracks(path: str | Path, tracks: Iterable[Track]) -> None:
    """Write tracks as the Cell Tracking Challenge does (`res_track.txt`).

    Each line holds label, first frame, last frame and parent; 0 is no parent.
    """
    lines = [" ".join(str(value) for value in track) for track in tracks]
    with replacing(Path(path)) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _successors(pieces: Pieces) -> list[int]:
    """Return the piece that each one goes on as; -1 if there is none."""
    forms = _Forms.of(pieces)
    after = np.full(len(pieces), -1, np.intp)
    free = np.ones(len(pieces), bool)  # has no predecessor
    overlaps = {
        (one.gap, int(pieces.planes[one.first[0]])): one
        for one in pieces.overlaps
        if one.first.size
    }
    for step in (1, 2):  # across gaps only what found nothing in the next frame
        for t, own in pieces.in_plane.items():
            if t + step not in pieces.in_plane or t + 1 not in pieces.in_plane:
                continue
            first = np.arange(own.start, own.stop)
            second = np.arange(*pieces.in_plane[t + step].indices(len(pieces)))
            if step == 2:
                first, second = first[after[first] < 0], second[free[second]]
            worth = _worth(forms, first, second)
            shared = overlaps.get((step == 2, t))
            if shared is not None:
                known = np.isin(shared.first, first) & np.isin(shared.second, second)
                a, b = shared.first[known], shared.second[known]
                union = forms.areas[a] + forms.areas[b] - shared.shared[known]
                place = np.searchsorted(first, a), np.searchsorted(second, b)
                worth[place] += shared.shared[known] / union
            rows, columns = np.nonzero(worth >= LEAST_WORTH)
            chosen = best_pairs(rows, columns, worth[rows, columns])
            after[first[rows[chosen]]] = second[columns[chosen]]
            free[second[columns[chosen]]] = False
    return after.tolist()


def _worth(forms: _Forms, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return what links (N, M) are worth by place and area alone, 0 to `BY_PLACE`."""
    apart = np.linalg.norm(forms.middles[first][:, None] - forms.middles[second][None], axis=2)
    areas = forms.areas[first][:, None], forms.areas[second][None]
    reach = LINK_REACH * np.maximum(forms.diameters[first][:, None], forms.diameters[second][None])
    alike = np.minimum(*areas) / np.maximum(*areas)
    return np.asarray(BY_PLACE * np.maximum(1 - apart / np.maximum(reach, 1), 0) * alike)


def _divided(pieces: Pieces, after: list[int]) -> dict[int, int]:
    """Return the mother of each first piece of a daughter; links of mothers are taken away."""
    forms = _Forms.of(pieces)
    before = {piece: k for k, piece in enumerate(after) if piece >= 0}
    last = max(pieces.in_plane, default=0)
    found = []
    for t, own in pieces.in_plane.items():
        later = pieces.in_plane.get(t + 1, slice(0, 0))
        starts = [
            p
            for p in range(later.start, later.stop)
            if p not in before and (after[p] >= 0 or t + 1 == last)
        ]
        for mother in range(own.start, own.stop) if starts else ():
            near = [p for p in starts if _is_daughter(forms, mother, p)]
            heir = after[mother]
            if heir >= 0:
                follows = pieces.planes[heir] == t + 1 and (after[heir] >= 0 or t + 1 == last)
                follows = follows and _is_daughter(forms, mother, heir)
                pairs = [(heir, p) for p in near] if follows else []
            else:
                pairs = list(combinations(near, 2))
            for pair in pairs:
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


def _is_daughter(forms: _Forms, mother: int, piece: int) -> bool:
    """Return whether a piece is near enough and small enough to be a daughter."""
    near = forms.distance(mother, piece) <= REACH * forms.diameters[mother]
    return bool(near and forms.areas[piece] <= SMALLER * forms.areas[mother])


def _table(
    pieces: Pieces, objects: NDArray[np.intp], numbers: NDArray[np.int32], mothers: dict[int, int]
) -> list[Track]:
    """Return the tracks by label."""
    planes = np.array(pieces.planes, np.intp)
    begin = np.full(len(numbers), np.iinfo(np.intp).max)
    end = np.full(len(numbers), np.iinfo(np.intp).min)
    np.minimum.at(begin, objects, planes)
    np.maximum.at(end, objects, planes)
    parents = {int(objects[p]): int(numbers[objects[m]]) for p, m in mothers.items()}
    return [
        Track(int(label), int(begin[k]), int(end[k]), parents.get(k, 0))
        for k, label in enumerate(numbers)
    ]
