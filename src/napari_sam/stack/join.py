"""Objects across planes: outlines of neighbouring planes that belong together get one label."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

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
        They differ in the first fixed axis only.

    Attributes
    ----------
    keys_by_place : dict of int to SliceKey
    """

    def __init__(self, data: Any, keys: Iterable[SliceKey]) -> None:
        self.data = data
        self.keys_by_place = {key.fixed[0][1]: key for key in keys}

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
        No label occurs in two planes. Each is asked for twice, and two are held at a time; one
        that was yielded is not asked for again.
    least : float
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
    """
    order = sorted(planes)
    names: dict[int, int] = {}
    before: PlaneLabels | None = None
    for count, z in enumerate(order, start=1):
        plane = planes[z]
        touching = before is not None and before[0] == z - 1
        pairs = _pairs(before[1], plane, least) if before is not None and touching else {}
        before = z, plane
        for label in labels_in(plane).tolist():
            if label in pairs:
                names[label] = names[pairs[label]]
            else:
                largest += 1
                names[label] = largest
        yield Progress(count, len(order), f"linking plane {count} of {len(order)}")
    table = np.zeros(max(names, default=0) + 1, np.int32)
    table[list(names)] = list(names.values())
    for z in order:
        plane = planes[z]
        renamed = table[plane]
        if not np.array_equal(renamed, plane):
            yield z, renamed
    return largest


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
