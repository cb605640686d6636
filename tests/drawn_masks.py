"""Small planes with masks of every kind, drawn from a seed."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def rectangle(shape, x0, y0, x1, y1):
    """Return a mask (H, W) of a rectangle, end exclusive."""
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def drawn(seed, shape=None):
    """Return a mask (H, W): noise, blobs, rectangles, frames, all or nothing; of up to 16 pixels.

    Some keep off the edge, some are cut by one or more of them, some planes are a single row.
    """
    rng = np.random.default_rng(seed)
    if shape is None:
        shape = (1, int(rng.integers(1, 17))) if seed % 23 == 0 else tuple(rng.integers(1, 17, 2))
    shape = tuple(int(side) for side in shape)
    kind = seed % 6
    noise = rng.random(shape)
    if kind == 0:
        mask = noise < rng.random()
    elif kind in (1, 2):  # blobs with holes and islands
        smooth = ndimage.gaussian_filter(noise, 1.2)
        mask = smooth > np.quantile(smooth, rng.random())
        mask ^= noise < 0.06
    elif kind == 3:  # a ring, thick or thin, cut by edges or not
        (y0, x0), (y1, x1) = np.sort(rng.integers(-3, np.array(shape) + 4, (2, 2)), axis=0)
        mask = rectangle(shape, max(x0, 0), max(y0, 0), max(x1, 0), max(y1, 0))
        inner = rng.integers(1, 4)
        mask &= ~rectangle(
            shape, max(x0 + inner, 0), max(y0 + inner, 0), max(x1 - inner, 0), max(y1 - inner, 0)
        )
    elif kind == 4:  # bands from edge to edge, with gaps
        mask = np.zeros(shape, bool)
        for axis in range(int(rng.integers(1, 3))):
            side = shape[axis]
            start, stop = np.sort(rng.integers(0, side + 1, 2))
            np.moveaxis(mask, axis, 0)[start:stop] = True
        mask &= noise > 0.08
    else:
        mask = np.full(shape, rng.random() < 0.7)
        mask ^= noise < 0.04
    if rng.random() < 0.3 and min(shape) > 2:  # off the edge
        mask[[0, -1]] = False
        mask[:, [0, -1]] = False
    return mask
