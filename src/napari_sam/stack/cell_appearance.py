"""How an object looks to the encoder where it is known, and where else a plane looks like that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .appearance import FEWEST, LARGEST, SHARE

INSIDE = 0.5
"""Share of a cell that lies in the object, from which on the cell is the object's."""
OUTSIDE = 0.1
"""The same, up to which the cell belongs to the surroundings."""
SHRINKAGE = 0.8
"""Weight of the variances alone beside the whole covariance: there are more features than cells."""
LEAST_REACH = 6
"""Cells around an object that count as its surroundings, at least; else as wide as the object."""
MOST_CELLS = 4096
"""Cells of the surroundings that are looked at, about."""

Levels = Sequence[NDArray[np.float32]]
"""What `PromptableModel.feature_maps` returns: (C, h, w) each, the finest first."""


def cells_of(
    levels: Levels, shares: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the features of an object's cells and of those around it.

    Parameters
    ----------
    levels : sequence of (C, h, w) float32
    shares : (h, w) float32, 0..1
        How much of each cell of the finest level lies in the object; at least one is above
        `INSIDE`.

    Returns
    -------
    features : (N, F) float32
        F is the sum of all levels' C.
    inside : (N,) bool
        Which cells are the object's.
    """
    rows, columns = around(shares > INSIDE)
    seen = shares[rows, columns]
    inside, outside = seen > INSIDE, seen < OUTSIDE
    step = max(1, int(np.sqrt(np.count_nonzero(outside) / MOST_CELLS)))
    thinned = np.zeros_like(outside)
    thinned[::step, ::step] = outside[::step, ::step]
    chosen = inside | thinned
    parts = [_resampled(level, levels[0].shape[1:], rows, columns)[:, chosen] for level in levels]
    return np.concatenate(parts).T, inside[chosen]


def around(marked: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return rows and columns of marked cells and of as much again on each side."""
    spans = [np.flatnonzero(marked.any(axis=1 - axis)) for axis in (0, 1)]
    reach = max(LEAST_REACH, *(int(np.ptp(span)) for span in spans))
    rows, columns = (
        slice(max(0, int(span[0]) - reach), min(size, int(span[-1]) + reach + 1))
        for span, size in zip(spans, marked.shape, strict=True)
    )
    return rows, columns


class CellAppearance:
    """Tells the cells of an object from those around it: linear discriminant analysis.

    The covariance of both classes is pooled and drawn towards its diagonal.

    Parameters
    ----------
    features : (N, F) float32
    inside : (N,) bool
        See `cells_of`; both kinds occur.

    References
    ----------
    .. [1] J. H. Friedman, "Regularized discriminant analysis", JASA 84:165 (1989).
    """

    def __init__(self, features: NDArray[np.float32], inside: NDArray[np.bool_]) -> None:
        own, other = features[inside], features[~inside]
        means = own.mean(axis=0), other.mean(axis=0)
        centred = np.concatenate([own - means[0], other - means[1]])
        covariance = centred.T @ centred / len(centred)
        variances = np.diag(np.diag(covariance) + 1e-6)
        mixed = (1 - SHRINKAGE) * covariance + SHRINKAGE * variances
        direction = np.linalg.solve(mixed, means[0] - means[1])
        # along the direction both classes are normal, of one variance
        scores = means[0] @ direction, means[1] @ direction
        steep = (scores[0] - scores[1]) / max(float((centred @ direction).var()), 1e-9)
        self._weights = (direction * steep).astype(np.float32)
        self._offset = float(-steep * (scores[0] + scores[1]) / 2)

    def evidence(self, levels: Levels, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return how much more cells look like the object than like what is around it.

        Parameters
        ----------
        levels : sequence of (C, h, w) float32
        rows, columns : slice
            Part of the finest level that is looked at.

        Returns
        -------
        (rows, columns) float32, logits
        """
        ends = np.cumsum([len(level) for level in levels])[:-1]
        total = np.full((rows.stop - rows.start, columns.stop - columns.start), self._offset)
        for level, weights in zip(levels, np.split(self._weights, ends), strict=True):
            one = np.tensordot(weights, level, 1)[None]
            total += _resampled(one, levels[0].shape[1:], rows, columns)[0]
        return np.asarray(np.clip(SHARE * total, -LARGEST, LARGEST), np.float32)


def enough(inside: NDArray[np.bool_]) -> bool:
    """Tell whether there are enough cells of both kinds to learn from."""
    own = int(np.count_nonzero(inside))
    return own > 0 and len(inside) - own >= FEWEST


def _resampled(
    level: NDArray[np.float32], finest: tuple[int, ...], rows: slice, columns: slice
) -> NDArray[np.float32]:
    """Return a level (C, h, w) at cells of the finest one, interpolated bilinearly."""
    out = level
    for axis, part in ((1, rows), (2, columns)):
        count = level.shape[axis]
        places = (np.arange(part.start, part.stop) + 0.5) * count / finest[axis - 1] - 0.5
        low = np.clip(np.floor(places).astype(int), 0, count - 1)
        high = np.minimum(low + 1, count - 1)
        share = np.clip(places - low, 0, 1).astype(np.float32)
        share = share[:, None] if axis == 1 else share
        out = out.take(low, axis) * (1 - share) + out.take(high, axis) * share
    return out
