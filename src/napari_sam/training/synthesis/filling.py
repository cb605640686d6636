"""Objects removed from a plane: the ground's level goes on smoothly, its texture is copied.

The level is a normalised convolution (Knutsson & Westin, CVPR 1993) at rising widths, coarse to
fine, as in pull-push filling (Gortler et al., SIGGRAPH 1996). The texture is what the ground shows
beside its level, copied from other places of it. A level alone would be too smooth in large holes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FINEST = 5
"""Width of the narrowest window, in pixels."""
PLACES = 32
"""From which texture is tried, in each round."""
ROUNDS = 4
"""At most, to fill one hole; what then is left gets ground pixels without order."""


def filled(
    plane: NDArray[Any], holes: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a plane with its holes filled by ground; other pixels stay.

    Parameters
    ----------
    plane : (H, W, C) real
    holes : (H, W) bool
        Not all of the plane.
    rng : Generator

    Returns
    -------
    (H, W, C) float32
    """
    result = plane.astype(np.float32)
    if not holes.any():
        return result
    level = ground_level(result, holes)
    texture = result - level
    ground = texture[~holes]
    parts, _ = ndimage.label(holes)
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        inside = parts[box] == number
        copied, missing = _copied(texture, holes, box, inside, rng)
        count = int(missing.sum())
        copied[missing] = ground[rng.integers(0, len(ground), count)]
        result[box][inside] = level[box][inside] + copied[inside]
    return result


def ground_level(plane: NDArray[np.float32], holes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the level of the ground, also where there are holes, (H, W, C)."""
    known = (~holes).astype(np.float32)
    masked = plane * known[..., None]
    level = np.broadcast_to(plane[~holes].mean(0), plane.shape).astype(np.float32)
    width = 2 ** int(np.log2(max(plane.shape[:2]))) + 1
    while width >= FINEST:
        weight = _smooth(known, width)
        share = np.clip(weight / 0.5, 0, 1)[..., None]
        for channel in range(plane.shape[2]):
            mean = _smooth(masked[..., channel], width) / np.maximum(weight, 1e-6)
            part = share[..., 0]
            level[..., channel] = part * mean + (1 - part) * level[..., channel]
        width = width // 2 + 1 if width > FINEST else 0
    return level


def _smooth(values: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Return local means with a pyramid-shaped window, (H, W)."""
    once = ndimage.uniform_filter(values, width)
    return np.asarray(ndimage.uniform_filter(once, width))


def _copied(
    texture: NDArray[np.float32],
    holes: NDArray[np.bool_],
    box: tuple[slice, slice],
    inside: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Copy texture into a box from places with the most ground; return it, and what is missing."""
    height, width = inside.shape
    copied = np.zeros((height, width, texture.shape[2]), np.float32)
    missing = inside.copy()
    rows, columns = holes.shape[0] - height + 1, holes.shape[1] - width + 1
    for _ in range(ROUNDS):
        best, most = None, 0
        for y, x in zip(
            rng.integers(0, rows, PLACES), rng.integers(0, columns, PLACES), strict=True
        ):
            place = slice(y, y + height), slice(x, x + width)
            count = int((missing & ~holes[place]).sum())
            if count > most:
                best, most = place, count
            if count == missing.sum():
                break
        if best is None:
            break
        usable = missing & ~holes[best]
        copied[usable] = texture[best][usable]
        missing &= ~usable
        if not missing.any():
            break
    return copied, missing
