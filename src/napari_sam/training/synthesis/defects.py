"""Defects of whole images: uneven light, stripes, blur, noise, saturation. Labels stay."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .params import SynthesisParams

DEFECTS = ("uneven", "stripes", "blur", "noise", "saturation")
"""Parameters of defects in the order in which they are applied."""


def spoilt(
    image: NDArray[np.floating[Any]],
    low: float,
    high: float,
    params: SynthesisParams,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Return an image with defects, and the strength of those that it has.

    Parameters
    ----------
    image : (H, W, C) float
    low, high : float
        Range of grey values that strengths are shares of.
    params : SynthesisParams
    rng : Generator
    """
    drawn = {name: float(rng.uniform(*getattr(params, name))) for name in DEFECTS}
    span = high - low
    if drawn["uneven"]:
        image = low + (image - low) * (1 - drawn["uneven"] * _shade(image.shape[:2], rng))
    if drawn["stripes"]:
        image = image + drawn["stripes"] * span * _stripes(image.shape[:2], rng)
    if drawn["blur"]:
        image = ndimage.gaussian_filter(image, (drawn["blur"], drawn["blur"], 0))
    if drawn["noise"]:
        image = image + rng.normal(0, drawn["noise"] * span, image.shape)
    if drawn["saturation"]:
        cut = drawn["saturation"] * span / 2
        stretched = (image - low - cut) * (span / (span - 2 * cut))
        image = low + np.clip(stretched, 0, span)
    return image.astype(np.float32), {name: value for name, value in drawn.items() if value}


def _shade(size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a quadratic fall of light from a random place, 0 to 1, (H, W, 1)."""
    y, x = (np.linspace(0, 1, n) for n in size)
    middle = rng.uniform(0, 1, 2)
    shade = (y[:, None] - middle[0]) ** 2 + (x[None] - middle[1]) ** 2
    return np.asarray(shade / shade.max())[..., None]


def _stripes(size: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return an offset for each row, or for each column, within -1 and 1, (H, W, 1)."""
    axis = int(rng.integers(2))
    lines = rng.uniform(-1, 1, size[axis])
    lines = lines[:, None] if axis == 0 else lines[None]
    return np.broadcast_to(lines, size)[..., None]
