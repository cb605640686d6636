"""Overlap rules: which pixels of a mask an object gets where others are already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

OverlapRule = Callable[[NDArray[np.bool_], NDArray[np.integer[Any]]], NDArray[np.bool_]]
"""From the pixels of a mask and the labels there to the pixels that it gets, all (h, w)."""


def free_pixels(mask: NDArray[np.bool_], labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Return the pixels of a mask (h, w) that are background; those of other objects stay theirs.

    Parameters
    ----------
    mask : (h, w) bool
    labels : (h, w) int
    """
    free: NDArray[np.bool_] = labels == 0
    return mask & free
