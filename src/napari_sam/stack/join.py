"""Objects across planes: outlines of neighbouring planes that belong together get one label."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..checks import shown, whole_number
from ..masks import labels_in, overlap_counts
from ..types import Progress, SliceKey

LINK_IOU = 0.3
"""Least overlap of two outlines in neighbouring planes that are taken for one object."""

PlaneLabels = tuple[int, NDArray[np.int32]]
"""The place of a plane along its axis, and its labels (H, W)."""


class StoredPlanes(Mapping[int, NDArray[np.int32]]):
    """Planes of a label array by their place along an axis, read when they are asked for.

    Parameters
    ----------
    data : array
    keys : iterable of SliceKey
        They differ in their position on one axis only.
    axis : int, optional
        That axis; by default the first one that is not displayed.

    Attributes
    ----------
    keys_by_place : dict of int to SliceKey
    """

    def __init__(self, data: Any, keys: Iterable[SliceKey], axis: int | None = None) -> None:
        self.data = data
        self.keys_by_place = {
            key.fixed[0][1] if axis is None else dict(key.fixed)[axis]: key for key in keys
        }

    def __getitem__(self, place: int) -> NDArray[np.int32]:
        key = self.keys_by_place[place]
        return turned(np.asarray(self.data[key.index]), key)

    def __iter__(self) -> Iterator[int]:
        return iter(self.keys_by_place)

    def __len__(self) -> int:
        return len(self.keys_by_place)


def turned(labels: NDArray[np.int32], key: SliceKey) -> NDArray[np.int32]:
    """Return labels as displayed in the order of the array's axes, or the other way round."""
    return labels.T if key.displayed[0] > key.displayed[1] else labels


def linked(
    planes: Mapping[int, NDArray[np.int32]], least: float = LINK_IOU, largest: int = 0
) -> Generator[Progress | PlaneLabels, None, int]:
    """Give outlines that overlap in neighbouring planes one label.

    Outlines of two consecutive planes are paired if their IoU is at least `least`, and where one
    could have several partners, so that the sum of IoU is largest.

    Parameters
    ----------
    planes : mapping of z to (H, W) int32
        A label that occurs in two planes does not make them one object. Each plane is asked for
        twice, and two are held at a time; one that was yielded is not asked for again.
    least : float, 0..1
    largest : int
        The new labels begin after it.

    Yields
    ------
    Progress
        After each plane that was compared with the one before.
    (z, labels)
        Of each plane that changes.

    Returns
    -------
    int, the largest label; labels run from `largest` + 1 to it without gaps

    Raises
    ------
    ValueError
        If a plane has no number or holds no labels, neighbours differ in size, `least` is no IoU,
        or `largest` is below 0 or so large that no label is left.
    """
    if not isinstance(least, int | float) or not 0 <= least <= 1:
        raise ValueError(f"the least overlap is an IoU between 0 and 1, but is {shown(least)}")
    largest = whole_number("the largest label", largest)
    if not 0 <= largest < 2**30:
        raise ValueError(f"the largest label lies between 0 and {2**30}, but is {largest}")
    if not all(isinstance(z, int | np.integer) for z in planes):
        raise ValueError(f"planes have whole numbers, but these are {shown(list(planes))}")
    order = sorted(planes)
    names: dict[int, tuple[NDArray[np.int32], NDArray[np.int32]]] = {}
    before: PlaneLabels | None = None
    for count, z in enumerate(order, start=1):
        plane = _checked(planes[z], z)
        pairs: dict[int, int] = {}
        given: dict[int, int] = {}
        if before is not None and before[0] == z - 1:
            pairs = _pairs(before[1], plane, least)
            given = dict(zip(*(values.tolist() for values in names[z - 1]), strict=True))
        before = z, plane
        old = labels_in(plane)
        new = np.zeros(len(old), np.int32)
        for k, label in enumerate(old.tolist()):
            if label in pairs:
                new[k] = given[pairs[label]]
            else:
                largest += 1
                new[k] = largest
        names[z] = old, new
        yield Progress(count, len(order), f"linked {count} of {len(order)} planes")
    for z in order:
        plane, (old, new) = planes[z], names.pop(z)
        if not np.array_equal(old, new):
            places = np.searchsorted(old, plane)
            yield z, np.where(plane > 0, np.append(new, np.int32(0))[places], np.int32(0))
    return largest


def _checked(plane: NDArray[np.int32], z: int) -> NDArray[np.int32]:
    """Refuse a plane that holds no labels."""
    plane = np.asarray(plane)
    if plane.ndim != 2 or plane.dtype.kind not in "ui":
        raise ValueError(
            f"a plane of labels is (H, W) of integers, but {z} is {plane.shape} of {plane.dtype}"
        )
    if plane.size and plane.min() < 0:
        raise ValueError(f"labels are not negative, but plane {z} has {plane.min()}")
    return plane


def _pairs(before: NDArray[np.int32], after: NDArray[np.int32], least: float) -> dict[int, int]:
    """Return, for each label of `after` that has one, its partner in `before`."""
    a, b, counts = overlap_counts(before, after)
    shared = counts.tocoo()
    rows, columns = shared.coords
    overlap = shared.data / (counts.sum(1)[rows] + counts.sum(0)[columns] - shared.data)
    good = (overlap >= least) & (a[rows] != 0) & (b[columns] != 0)
    rows, columns, overlap = rows[good], columns[good], overlap[good]
    chosen = _best(rows, columns, overlap)
    return {int(b[columns[k]]): int(a[rows[k]]) for k in chosen}


def _best(
    rows: NDArray[np.integer], columns: NDArray[np.integer], worth: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Choose among pairs, each row and column once at most, so that the sum of worth is largest.

    Parameters
    ----------
    rows, columns : (N,) int
    worth : (N,) float, above 0

    Returns
    -------
    (K,) int, indices of the chosen pairs
    """
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    rivals = np.flatnonzero(~alone)
    row, column = (np.unique(index[rivals], return_inverse=True)[1] for index in (rows, columns))
    pair = np.full((row.max(initial=-1) + 1, column.max(initial=-1) + 1), -1)
    pair[row, column] = rivals
    best = pair[linear_sum_assignment(np.append(worth, 0.0)[pair], maximize=True)]
    return np.concatenate([np.flatnonzero(alone), best[best >= 0]])
