"""Which part of a path lies in a plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLAT = 1e-12
"""Stands for no step along an axis, in pixels; so that it can be divided by."""


def pieces_inside(
    path: NDArray[np.float64], size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pieces of the segments of a path that lie in a plane, edges included.

    Each segment is clipped as by Liang and Barsky (ACM Transactions on Graphics 3, 1984).

    Parameters
    ----------
    path : (N, 2) float, (x, y) in pixels of the plane
        One vertex alone is a segment without length.
    size : (H, W) int
        Of the plane; its pixels reach half a pixel beyond their centres.

    Returns
    -------
    starts, ends : (K, 2) float
    """
    begin, end = (path[:-1], path[1:]) if len(path) > 1 else (path, path)
    step = end - begin
    along = np.where(step == 0, FLAT, step)
    first = (np.array([-0.5, -0.5]) - begin) / along
    second = (np.array([size[1], size[0]]) - 0.5 - begin) / along
    enters = np.minimum(first, second).max(axis=1).clip(min=0)
    leaves = np.maximum(first, second).min(axis=1).clip(max=1)
    inside = enters <= leaves
    begin, step = begin[inside], step[inside]
    enters, leaves = enters[inside, None], leaves[inside, None]
    return begin + enters * step, begin + leaves * step
