"""Pieces of objects: the outlines of each plane, and which of them overlap in other planes."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ..checks import shown


class LabelRuns(NamedTuple):
    """A label image as runs of equal pixels in its flattened order.

    Attributes
    ----------
    shape : (H, W) int
    starts : (R,) int
        The first pixel of each run.
    values : (R,) int
        Its label.
    """

    shape: tuple[int, int]
    starts: NDArray[np.intp]
    values: NDArray[np.integer[Any]]

    @classmethod
    def of(cls, labels: NDArray[np.integer[Any]]) -> Self:
        """Find the runs of a label image (H, W)."""
        flat = labels.ravel()
        begins = np.ones(flat.size, bool)
        begins[1:] = flat[1:] != flat[:-1]
        starts = np.flatnonzero(begins)
        return cls(labels.shape, starts, flat[starts])

    def at(self, starts: NDArray[np.intp]) -> NDArray[np.integer[Any]]:
        """Return the labels of pixels."""
        return self.values[np.searchsorted(self.starts, starts, "right") - 1]


class Overlaps(NamedTuple):
    """Which pieces of two planes overlap.

    Attributes
    ----------
    first, second : (N,) int
        Numbers of pieces, of the earlier and the later plane.
    shared : (N,) int
        Their common pixels.
    gap : bool
        Whether there is a plane between the two.
    """

    first: NDArray[np.intp]
    second: NDArray[np.intp]
    shared: NDArray[np.intp]
    gap: bool


class Pieces:
    """The outlines of all planes along an axis, and their overlaps; no pixels are kept.

    Attributes
    ----------
    planes, labels, areas : list of int
        Of each piece: the place of its plane, its label there, its pixels.
    boxes : list of (row, column, row, column) int
        First pixel and the pixel behind the last; a box may be wider than its piece.
    overlaps : list of Overlaps
        Of planes that follow one another, and of those with one plane between them.
    in_plane : dict of int to slice
        The pieces of each plane, by ascending label.
    """

    def __init__(self) -> None:
        self.planes: list[int] = []
        self.labels: list[int] = []
        self.areas: list[int] = []
        self.boxes: list[tuple[int, int, int, int]] = []
        self.overlaps: list[Overlaps] = []
        self.in_plane: dict[int, slice] = {}
        self._recent: dict[int, LabelRuns] = {}

    def __len__(self) -> int:
        return len(self.planes)

    def add(self, place: int, labels: NDArray[np.integer[Any]]) -> None:
        """Add a plane (H, W) behind those added so far.

        Raises
        ------
        ValueError
            If it holds no labels, or differs in size from the plane before it.
        """
        runs = LabelRuns.of(_checked(labels, place))
        lengths = np.diff(np.append(runs.starts, labels.size))
        own, index = np.unique(runs.values, return_inverse=True)
        areas = np.bincount(index, lengths, len(own))
        boxes = _boxes(runs, lengths, index, len(own))
        real = own > 0
        start = len(self)
        self.planes += [place] * int(real.sum())
        self.labels += own[real].tolist()
        self.areas += areas[real].astype(int).tolist()
        self.boxes += map(tuple, boxes[real].tolist())
        self.in_plane[place] = slice(start, len(self))
        if place - 1 in self._recent:
            self._overlap(place - 1, place, runs, gap=False)
            if place - 2 in self._recent:
                self._overlap(place - 2, place, runs, gap=True)
        self._recent = {z: one for z, one in self._recent.items() if z == place - 1}
        self._recent[place] = runs

    def labels_of(self, place: int) -> NDArray[np.int64]:
        """Return the labels of a plane, ascending."""
        return np.array(self.labels[self.in_plane[place]], np.int64)

    def part_of(self, piece: int) -> tuple[slice, slice]:
        """Return where a piece lies in its plane."""
        top, left, bottom, right = self.boxes[piece]
        return slice(top, bottom), slice(left, right)

    def _overlap(self, before: int, place: int, runs: LabelRuns, gap: bool) -> None:
        """Note which pieces of two planes overlap."""
        earlier = self._recent[before]
        if earlier.shape != runs.shape:
            raise ValueError(
                f"the planes of a stack are of one size, not {earlier.shape} and {runs.shape}"
            )
        starts = np.union1d(earlier.starts, runs.starts)
        lengths = np.diff(np.append(starts, np.prod(runs.shape, dtype=int)))
        a, b = earlier.at(starts), runs.at(starts)
        real = (a > 0) & (b > 0)
        first = np.searchsorted(self.labels_of(before), a[real]) + self.in_plane[before].start
        second = np.searchsorted(self.labels_of(place), b[real]) + self.in_plane[place].start
        pairs, index = np.unique(np.stack([first, second]), axis=1, return_inverse=True)
        shared = np.bincount(index.ravel(), lengths[real], pairs.shape[1]).astype(np.intp)
        self.overlaps.append(Overlaps(pairs[0], pairs[1], shared, gap))


def _boxes(
    runs: LabelRuns, lengths: NDArray[np.intp], index: NDArray[np.intp], count: int
) -> NDArray[np.intp]:
    """Return the box of each label, (count, 4); a run over the end of a row is a whole row wide."""
    width = max(runs.shape[1], 1)
    top, left = np.divmod(runs.starts, width)
    bottom, right = np.divmod(runs.starts + lengths - 1, width)
    left, right = np.where(bottom > top, [0 * left, 0 * right + width - 1], [left, right])
    low = np.full((count, 2), np.iinfo(np.intp).max)
    high = np.zeros((count, 2), np.intp)
    np.minimum.at(low, index, np.stack([top, left], 1))
    np.maximum.at(high, index, np.stack([bottom, right], 1) + 1)
    return np.hstack([low, high])


def _checked(labels: NDArray[np.integer[Any]], place: int) -> NDArray[np.integer[Any]]:
    """Refuse a plane that holds no labels."""
    if labels.ndim != 2 or labels.dtype.kind not in "ui":
        raise ValueError(
            f"a plane of labels is (H, W) of integers, but {place} is {shown(labels.shape)} of "
            f"{labels.dtype}"
        )
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels are not negative, but plane {place} has {labels.min()}")
    return labels
