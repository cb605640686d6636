"""Objects across planes: outlines of neighbouring planes that belong together get one label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

LINK_IOU = 0.3
"""Least overlap of two outlines in neighbouring planes that are taken for one object."""

Plane = tuple[int, NDArray[np.int32]]


def linked(planes: Mapping[int, NDArray[np.int32]], least: float = LINK_IOU) -> Iterator[Plane]:
    """Give outlines that overlap in neighbouring planes one label.

    Outlines of two consecutive planes are paired so that the sum of their IoU is largest; pairs
    below `least` are dropped.

    Parameters
    ----------
    planes : mapping of z to (H, W) int32
        No label occurs in two planes. Each is asked for twice, and two are held at a time.
    least : float

    Yields
    ------
    (z, labels) of each plane that changes; labels run from 1 without gaps.
    """
    order = sorted(planes)
    names: dict[int, int] = {}
    following = 1
    before: Plane | None = None
    for z in order:
        plane = planes[z]
        touching = before is not None and before[0] == z - 1
        pairs = _pairs(before[1], plane, least) if before is not None and touching else {}
        before = z, plane
        for label in np.unique(plane):
            if label == 0:
                continue
            if int(label) in pairs:
                names[int(label)] = names[pairs[int(label)]]
            else:
                names[int(label)] = following
                following += 1
    table = np.zeros(max(names, default=0) + 1, np.int32)
    for label, name in names.items():
        table[label] = name
    for z in order:
        plane = planes[z]
        renamed = table[plane]
        if not np.array_equal(renamed, plane):
            yield z, renamed


def _pairs(before: NDArray[np.int32], after: NDArray[np.int32], least: float) -> dict[int, int]:
    """Return, for each label of `after` that has one, its partner in `before`."""
    a, a_index = np.unique(before, return_inverse=True)
    b, b_index = np.unique(after, return_inverse=True)
    counts = np.zeros((len(a), len(b)))
    np.add.at(counts, (a_index.ravel(), b_index.ravel()), 1)
    union = counts.sum(1)[:, None] + counts.sum(0)[None] - counts
    overlap = counts / union
    overlap[a == 0] = 0
    overlap[:, b == 0] = 0
    rows, columns = linear_sum_assignment(-overlap)
    return {
        int(b[c]): int(a[r]) for r, c in zip(rows, columns, strict=True) if overlap[r, c] >= least
    }
