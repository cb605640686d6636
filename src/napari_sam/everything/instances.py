"""From an instance head's fields to objects.

The head says where objects are and, in each cell, the direction out of its object. Followed
backwards, the paths from all cells of an object end at its centre; cells whose paths end together
are one object (flow tracking as in Stringer et al., Nat Methods 18:100, 2021, on a field like that
of Cutler et al., Nat Methods 19:1438, 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure, segmentation

from ..models.contract import InstanceFields

Labels = NDArray[np.int32]
Floats = NDArray[np.float32]

FOREGROUND = 0.5
"""Probability of foreground above which a cell belongs to an object."""
SMALLEST = 9
"""Smallest object, in cells of the decoded grid."""
INWARD = 0.8
"""How much of a step leads to deeper cells; it keeps paths off the borders of touching objects."""
SHALLOW = 0.1
"""Depth below which steps get shorter, so that paths end where the field turns round."""
DOUBLINGS = 8
"""A path is 2 ** DOUBLINGS steps of at most about one cell."""
ARRIVALS = 4
"""Paths that must end in 3 x 3 cells to make a centre."""
PASS = 0.4
"""Two objects are one if their border is deeper than this part of the shallower one ..."""
THIN = 2.0
"""... plus this, divided by the half-width in cells of the wider one: the field is blurred, so
that the border of thin objects seems deep."""
SHALLOWEST = 0.2
"""Part of a neighbour's depth that an object must reach."""


@dataclass(frozen=True, eq=False)
class FlowFields(InstanceFields):
    """An instance head's fields with what follows from them, computed when first asked for."""

    @classmethod
    def of(cls, fields: InstanceFields) -> FlowFields:
        """Return the same fields."""
        return cls(fields.foreground, fields.field, fields.stride)

    @cached_property
    def finer(self) -> FlowFields:
        """The fields on a grid of half the stride, bilinearly."""
        return FlowFields(doubled(self.foreground), doubled(self.field), self.stride / 2)

    @cached_property
    def depth(self) -> Floats:
        """The relative depth (h, w), without the hole where the field turns at centres."""
        length: Floats = np.hypot(*self.field)
        if min(length.shape) < 2:
            return length
        spreads = np.gradient(self.field[0], axis=1) + np.gradient(self.field[1], axis=0) > 0
        return np.asarray(np.where(spreads, ndimage.grey_closing(length, (5, 5)), length))

    @cached_property
    def ends(self) -> NDArray[np.int32]:
        """The cell (h, w), as a flat index, in which the path against the field ends."""
        return _ends(self.field)


def instances_of(
    fields: FlowFields, foreground: float = FOREGROUND, smallest: int = SMALLEST
) -> Labels:
    """Return the objects that fields show.

    Parameters
    ----------
    fields : FlowFields
    foreground : float
        Probability above which a cell belongs to an object.
    smallest : int
        Objects of fewer cells are left out.

    Returns
    -------
    (2 h, 2 w) int32
        Labels 1, 2, ... on the grid of `fields.finer`, where thin gaps survive; each label is
        one connected object.
    """
    fine = fields.finer
    mask = fine.foreground > foreground
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    count = np.bincount(fine.ends[mask], minlength=mask.size).reshape(mask.shape).astype(np.float32)
    crowd = 9 * ndimage.uniform_filter(count, 3, mode="constant")
    centres, _ = ndimage.label(crowd > ARRIVALS - 0.5, np.ones((3, 3)))
    labels = _whole(np.where(mask, centres.ravel()[fine.ends], 0), mask, smallest)
    return _whole(_merged(labels, fine.depth), mask, smallest)


def doubled(maps: NDArray[np.floating[Any]]) -> Floats:
    """Magnify maps (..., h, w) by two, bilinearly."""
    for axis in (-2, -1):
        low = np.moveaxis(maps, axis, 0)
        held = np.concatenate([low[:1], low, low[-1:]])
        high = np.empty((2 * len(low), *low.shape[1:]), np.float32)
        high[0::2] = 0.75 * low + 0.25 * held[:-2]
        high[1::2] = 0.75 * low + 0.25 * held[2:]
        maps = np.moveaxis(high, 0, axis)
    return np.ascontiguousarray(maps, np.float32)


def _ends(field: Floats) -> NDArray[np.int32]:
    """Return the cell (flat index) where the path from each cell (h, w) ends.

    A path of twice the length is a path and the one that begins at its end (pointer doubling).
    """
    h, w = field.shape[1:]
    length = np.hypot(*field)
    slope = np.zeros_like(field)
    smooth = ndimage.gaussian_filter(length, 1.0)
    for axis, out in ((1, slope[0]), (0, slope[1])):
        if length.shape[axis] > 1:
            out[:] = np.gradient(smooth, axis=axis)
    deeper = INWARD * np.clip(1 - length, 0, 1) / (np.hypot(*slope) + 0.02)
    x, y = deeper * slope - field / np.maximum(length, SHALLOW)
    rows, columns = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
    for doubling in range(DOUBLINGS + 1):
        row = np.clip(np.rint(rows + y), 0, h - 1).astype(np.int32)
        ends: NDArray[np.int32] = row * w + np.clip(np.rint(columns + x), 0, w - 1).astype(np.int32)
        if doubling < DOUBLINGS:
            x, y = x + x.ravel()[ends], y + y.ravel()[ends]
    return ends


def _whole(labels: NDArray[np.integer], mask: NDArray[np.bool_], smallest: int) -> Labels:
    """Keep the largest piece of each label, if it is not too small, and fill the mask from these.

    What touches none that is kept stays empty.
    """
    connected: Any = measure.label
    watershed: Any = segmentation.watershed
    pieces = connected(labels, connectivity=1, background=0)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    own = np.zeros(len(sizes), np.int64)
    own[pieces.ravel()] = labels.ravel()
    largest = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(largest, own, sizes)
    kept = (sizes >= max(smallest, 1)) & (sizes == largest[own])
    numbers = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    whole: Labels = numbers[pieces]
    if kept.any() and (mask & (whole == 0)).any():
        whole = watershed(np.zeros(mask.shape, np.uint8), whole, mask=mask)
    return whole


def _merged(labels: Labels, depth: Floats) -> Labels:
    """Join neighbours whose common border lies too deep to be one."""
    count = int(labels.max()) + 1
    pairs, borders = _neighbours(labels, depth, count)
    if not len(pairs):
        return labels
    inside = labels.ravel()
    width = np.zeros(count)
    np.maximum.at(width, inside, _edge_distance(labels).ravel())
    deepest = _quantiles(depth.ravel(), inside, count, 0.95)
    root = np.arange(count)
    for index in np.argsort(-borders):
        a, b = root[pairs[index]]
        low, high = sorted((deepest[a], deepest[b]))
        limit = PASS + THIN / max(width[a], width[b])
        if a == b or (borders[index] <= limit * low and low > SHALLOWEST * high):
            continue
        if deepest[a] < deepest[b]:
            a, b = b, a
        root[root == b] = a
        width[a] = max(width[a], width[b])
    joined: Labels = root[labels].astype(np.int32)
    return joined


def _neighbours(
    labels: Labels, depth: Floats, count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs of labels that touch, (N, 2), and how deep their borders are, (N,)."""
    keys, depths = [], []
    for axis in (0, 1):
        first, second = (np.take(labels, _but(labels, axis, end), axis) for end in (-1, 0))
        touch = (first != second) & (first > 0) & (second > 0)
        low, high = np.minimum(first, second)[touch], np.maximum(first, second)[touch]
        keys.append(low.astype(np.int64) * count + high)
        sides = (np.take(depth, _but(labels, axis, end), axis) for end in (-1, 0))
        depths.append(np.minimum(*sides)[touch])
    unique, index = np.unique(np.concatenate(keys), return_inverse=True)
    pairs = np.stack([unique // count, unique % count], axis=1)
    return pairs, _quantiles(np.concatenate(depths), index, len(unique), 0.8)


def _but(labels: Labels, axis: int, end: int) -> NDArray[np.intp]:
    """Return the places along an axis but the last (`end` -1) or the first one (0)."""
    return np.delete(np.arange(labels.shape[axis]), end)


def _edge_distance(labels: Labels) -> NDArray[np.float64]:
    """Return the distance of each cell to the nearest border between labels."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        change = np.diff(labels, axis=axis) != 0
        for before in ((1, 0), (0, 1)):
            edge |= np.pad(change, [before if k == axis else (0, 0) for k in (0, 1)])
    if not edge.any():
        return np.full(labels.shape, float(max(labels.shape)))
    return np.asarray(ndimage.distance_transform_edt(~edge) + 0.5)


def _quantiles(
    values: NDArray[np.floating[Any]], index: NDArray[np.integer], count: int, part: float
) -> NDArray[np.float64]:
    """Return a quantile of the values of each index 0..count - 1; 0 where there is none."""
    order = np.lexsort((values, index))
    counts = np.bincount(index, minlength=count)
    first = np.cumsum(counts) - counts
    chosen = np.minimum(first + ((counts - 1).clip(0) * part).astype(int), len(values) - 1)
    return np.where(counts > 0, values[order][chosen], 0.0)
