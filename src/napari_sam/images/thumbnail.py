"""A plane as a model sees it, as a small picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Contrast, Plane
from .transforms import resize, scaled_size, to_rgb8

FINER = 2
"""The pixels that are looked at are so much finer than those of the picture."""


def thumbnail(
    plane: Plane, pixels: NDArray[Any], contrast: Contrast | None, side: int
) -> NDArray[np.uint8]:
    """Return a plane as a small picture with square pixels.

    Parameters
    ----------
    plane : Plane
        Its channels and spacing count.
    pixels : (H, W) or (H, W, C)
        Of the plane.
    contrast : see `Plane.contrast`
    side : int
        Pixels of the longer side; an axis with fewer is not magnified beyond square pixels.

    Returns
    -------
    (h, w, 3) uint8
    """
    size = scaled_size((pixels.shape[0], pixels.shape[1]), side, math.inf, plane.spacing)
    steps = [max(1, n // (FINER * wanted)) for n, wanted in zip(pixels.shape, size, strict=False)]
    sample = pixels[:: steps[0], :: steps[1]]
    return resize(to_rgb8(sample, contrast, plane.channels), size)
