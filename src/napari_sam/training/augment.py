"""Plausible changes of contrast, colour, sharpness and noise of a crop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def photometric(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary a crop as microscopes, scanners and cameras do.

    Parameters
    ----------
    image : (3, S, S) float, 0..1
    rng : numpy.random.Generator

    Returns
    -------
    (3, S, S) float, 0..1
    """
    if rng.random() < 0.15:
        image = _mix_channels(image, rng)
    if rng.random() < 0.12:
        image = 1 - image
    if rng.random() < 0.5:
        image = image.clamp(min=0) ** float(np.exp(rng.normal(0, 0.35)))
    if rng.random() < 0.6:
        low, high = rng.uniform(-0.15, 0.15), rng.uniform(0.6, 1.3)
        image = image * float(high) + float(low)
    if rng.random() < 0.25:
        image = blur(image, float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.3:
        image = image + _shading(image.shape[-1], rng)
    if rng.random() < 0.35:
        spread = float(rng.uniform(0.01, 0.1))
        grain = torch.from_numpy(rng.normal(0, spread, image.shape[-2:]).astype(np.float32))
        speckle = rng.random() < 0.3
        image = image * (1 + 3 * grain) if speckle else image + grain
    if rng.random() < 0.05:
        levels = float(rng.integers(6, 32))
        image = (image * levels).round() / levels
    return image.clamp(0, 1)


def blur(image: Tensor, sigma: float) -> Tensor:
    """Blur (C, H, W) with a Gaussian of `sigma` pixels."""
    reach = int(2.5 * sigma + 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(image[:, None], (reach,) * 4, mode="replicate")
    wide = F.conv2d(padded, kernel.view(1, 1, 1, -1))
    return F.conv2d(wide, kernel.view(1, 1, -1, 1))[:, 0]


def _mix_channels(image: Tensor, rng: np.random.Generator) -> Tensor:
    kind = rng.random()
    if kind < 0.4:  # to grey
        mix = torch.from_numpy(rng.dirichlet(np.ones(3)).astype(np.float32))
        return (image * mix[:, None, None]).sum(0, keepdim=True).expand(3, -1, -1)
    if kind < 0.7:  # tint
        tint = torch.from_numpy(rng.uniform(0.2, 1.0, 3).astype(np.float32))
        return image * tint[:, None, None]
    return image[torch.from_numpy(rng.permutation(3))]


def _shading(size: int, rng: np.random.Generator) -> Tensor:
    coarse = torch.from_numpy(rng.normal(0, 0.12, (1, 1, 3, 3)).astype(np.float32))
    return F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)[0, 0]
