"""What masks look like: the encoder's features inside and around them, their shape, brightness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..types import Mask

Floats = NDArray[np.float32]

MOST_PIXELS = 4096
"""Pixels of a mask that are looked at, about; of a larger one, pixels of a regular grid."""
SURROUNDINGS = 0.3
"""Width of the surroundings of a mask, in roots of its area; one pixel at least."""


@dataclass(frozen=True, eq=False)
class Look:
    """One look at a plane, or at a part of it, from which masks are described.

    Attributes
    ----------
    levels : tuple of (C, h, w) float32
        Features over the padded input, at any resolutions.
    frame : (h, w) float
        Rows and columns of the part that the levels cover, in pixels of the part: padding reaches
        beyond it.
    grey : (H, W) float32, 0..1
        Brightness of the part as the model sees it.
    """

    levels: tuple[Floats, ...]
    frame: tuple[float, float]
    grey: Floats


def described(look: Look, masks: Sequence[Mask]) -> Floats:
    """Describe masks by what they look like.

    Parameters
    ----------
    look : Look
    masks : N times Mask
        In pixels of the look; none is empty.

    Returns
    -------
    (N, F) float32
        Mean of each feature inside and around, then size and shape, then brightness. F is the same
        for all looks of one model.
    """
    if not masks:
        return np.zeros((0, feature_count(look)), np.float32)
    width = look.grey.shape[1]
    inside, around = (_pixels(masks, part) for part in (False, True))
    parts: list[NDArray[np.floating]] = []
    for level in look.levels:
        flat = level.reshape(len(level), -1).T  # (h w, C)
        for owners, rows, columns in (inside, around):
            cells = _cells(rows, columns, look.frame, level.shape[1:])
            parts.append(_means(owners, cells, flat, len(masks)))
    grey = look.grey.reshape(-1, 1)
    lit = np.concatenate([grey, grey**2], axis=1)
    own, other = (
        _means(owners, np.asarray(rows * width + columns), lit, len(masks))
        for owners, rows, columns in (inside, around)
    )
    spread = np.sqrt(np.maximum(own[:, 1] - own[:, 0] ** 2, 0))
    brightness = np.stack([own[:, 0], spread, own[:, 0] - other[:, 0]], axis=1)
    shape = np.array([shape_of(mask) for mask in masks])
    return np.concatenate([*parts, shape, brightness], axis=1, dtype=np.float32)


def feature_count(look: Look) -> int:
    """Return how many numbers describe a mask."""
    return 2 * sum(len(level) for level in look.levels) + len(SHAPE) + len(BRIGHTNESS)


SHAPE = ("log area", "log elongation", "extent")
BRIGHTNESS = ("brightness", "spread", "contrast")


def shape_of(mask: Mask) -> tuple[float, float, float]:
    """Return the logarithm of area and of elongation, and how much of its ellipse a mask fills.

    Elongation is the ratio of the axes of the ellipse with the same second moments.
    """
    rows, columns = np.nonzero(mask.bits)
    count = len(rows)
    spread = np.cov(np.stack([rows, columns]), bias=True)
    minor, major = np.linalg.eigvalsh(spread + np.eye(2) / 12)  # a pixel is a square
    filled = count / (4 * np.pi * np.sqrt(minor * major))
    return float(np.log(count)), float(np.log(major / minor) / 2), float(filled)


def _pixels(
    masks: Sequence[Mask], around: bool
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return pixels of masks, or of their surroundings: whose they are, rows and columns."""
    owners, rows, columns = [], [], []
    for number, mask in enumerate(masks):
        x0, y0, x1, y1 = mask.box
        bits = mask.bits
        if around:
            reach = max(1, round(SURROUNDINGS * mask.area**0.5))
            h, w = mask.size
            left, top = max(x0 - reach, 0), max(y0 - reach, 0)
            ring = np.ones(
                (min(y1 + reach, h - 1) - top + 1, min(x1 + reach, w - 1) - left + 1), bool
            )
            ring[y0 - top : y1 - top + 1, x0 - left : x1 - left + 1] = ~bits
            bits, x0, y0 = (ring, left, top) if ring.any() else (bits, x0, y0)
        step = max(1, int((np.count_nonzero(bits) / MOST_PIXELS) ** 0.5))
        thin = bits[::step, ::step]
        r, c = np.nonzero(thin)
        if not len(r):
            step = 1
            r, c = np.nonzero(bits)
        owners.append(np.full(len(r), number))
        rows.append(r * step + y0)
        columns.append(c * step + x0)
    return np.concatenate(owners), np.concatenate(rows), np.concatenate(columns)


def _cells(
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    frame: tuple[float, float],
    shape: tuple[int, ...],
) -> NDArray[np.intp]:
    """Return the cell (flat index) of a level that each pixel lies in."""
    h, w = shape
    y = np.minimum(((rows + 0.5) * (h / frame[0])).astype(np.intp), h - 1)
    x = np.minimum(((columns + 0.5) * (w / frame[1])).astype(np.intp), w - 1)
    return np.asarray(y * w + x)


def _means(
    owners: NDArray[np.intp], cells: NDArray[np.intp], values: Floats, count: int
) -> NDArray[np.floating]:
    """Return the mean of values (cells, C) over the pixels of each of `count` masks, (count, C)."""
    shares = 1.0 / np.bincount(owners, minlength=count)
    weights = csr_array(
        (shares[owners].astype(np.float32), (owners, cells)), shape=(count, len(values))
    )
    return np.asarray(weights @ values)
