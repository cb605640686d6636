"""Plausible changes of contrast, colour, sharpness and noise, for a batch of crops at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .rng import DeviceRandom

REACH = 4
"""Pixels that a blur looks to each side."""
FADED = 0.04
"""Share of crops that keep hardly any contrast, or none."""


@dataclass(frozen=True, eq=False)
class Style:
    """How B crops are shown: what two planes of one stack have in common.

    Attributes
    ----------
    mix : (B, 3, 3) float
        Of the channels.
    inverted : (B,) bool
    gamma, gain, offset : (B,) float
    """

    mix: Tensor
    inverted: Tensor
    gamma: Tensor
    gain: Tensor
    offset: Tensor

    @classmethod
    def drawn(cls, count: int, rng: DeviceRandom) -> Style:
        """Draw `count` styles."""
        gained = rng.chance(count, odds=0.6)
        return cls(
            _channel_mix(count, rng),
            rng.chance(count, odds=0.12),
            torch.where(rng.chance(count, odds=0.5), (0.35 * rng.normal(count)).exp(), 1.0),
            torch.where(gained, rng.uniform(count, low=0.6, high=1.3), 1.0),
            torch.where(gained, rng.uniform(count, low=-0.15, high=0.15), 0.0),
        )

    def beside(self, count: int, rng: DeviceRandom) -> Style:
        """Return the styles of neighbouring planes of the first `count` crops."""
        return Style(
            self.mix[:count],
            self.inverted[:count],
            self.gamma[:count] * rng.normal(count, spread=0.08).exp(),
            self.gain[:count] * rng.normal(count, spread=0.08).exp(),
            self.offset[:count] + rng.normal(count, spread=0.03),
        )


def photometric(images: Tensor, style: Style, rng: DeviceRandom) -> tuple[Tensor, Tensor]:
    """Vary crops as microscopes, scanners and cameras do.

    Parameters
    ----------
    images : (B, 3, S, S) float, 0..1
    style : Style of B crops
    rng : DeviceRandom

    Returns
    -------
    images : (B, 3, S, S) float, 0..1
    faded : (B,) bool
        Whether there is hardly anything to be seen any more.
    """
    count, size = len(images), images.shape[-1]

    def each(values: Tensor) -> Tensor:
        return values.view(-1, 1, 1, 1)

    x = torch.einsum("bcd,bdhw->bchw", style.mix, images)
    x = torch.where(each(style.inverted), 1 - x, x)
    x = x.clamp(min=1e-4) ** each(style.gamma)
    x = x * each(style.gain) + each(style.offset)
    sigma = torch.where(rng.chance(count, odds=0.25), rng.uniform(count, low=0.4, high=1.6), 0.0)
    x = blur(x, sigma)
    x = _magnified(x, rng)
    coarse = rng.normal(count, 1, 3, 3, spread=0.12) * each(rng.chance(count, odds=0.3))
    x = x + F.interpolate(coarse, (size, size), mode="bicubic", align_corners=True)
    grainy = rng.chance(count, odds=0.35) * rng.uniform(count, low=0.01, high=0.1)
    grain = rng.normal(count, 1, size, size) * each(grainy)
    speckled = each(rng.chance(count, odds=0.3))
    x = torch.where(speckled, x * (1 + 3 * grain), x + grain)
    x, faded = _faded(x, rng)
    steps = each(rng.integers(count, low=6, high=32).float())
    x = torch.where(each(rng.chance(count, odds=0.05)), (x * steps).round() / steps, x)
    return x.clamp(0, 1), faded


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, C, S, S) with Gaussians of `sigma` (B,) pixels; 0 changes nothing."""
    count, channels = images.shape[:2]
    steps = torch.arange(-REACH, REACH + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma[:, None].clamp(min=1e-2) ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(images.flatten(0, 1)[None], (REACH,) * 4, mode="replicate")
    flat = F.conv2d(flat, kernel[:, None, None], groups=count * channels)
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=count * channels)
    return flat.view_as(images)


def removed(images: Tensor, masks: Tensor) -> Tensor:
    """Paint objects over with what lies around them, as if they had ended before this plane.

    Parameters
    ----------
    images : (B, 3, S, S) float
    masks : (B, S, S) bool

    Returns
    -------
    (B, 3, S, S) float
    """
    size = images.shape[-1]
    cover = F.max_pool2d(masks[:, None].float(), 5, 1, 2)
    kept = 1 - cover
    ground = images.new_zeros(images.shape)
    for cell in (size, size // 4, size // 8):  # the nearest known surroundings count most
        share = F.avg_pool2d(kept, cell)
        enough = (share > 0.1).float()
        mean = enough * F.avg_pool2d(images * kept, cell) / share.clamp(min=1e-3)
        fine, known = (
            F.interpolate(part, (size, size), mode="bilinear", align_corners=False)
            for part in (mean, enough)
        )
        ground = ground * (1 - known) + fine
    smooth = F.avg_pool2d(images * kept, 9, 1, 4) / F.avg_pool2d(kept, 9, 1, 4).clamp(min=1e-3)
    texture = ((images - smooth) * kept).roll((size // 3, size // 3), (2, 3))
    soft = F.avg_pool2d(cover, 3, 1, 1)
    return images * (1 - soft) + (ground + texture) * soft


def _channel_mix(count: int, rng: DeviceRandom) -> Tensor:
    """Return matrices (B, 3, 3): mostly none, else to grey, a tint, or channels exchanged."""
    identity = torch.eye(3, device=rng.device).expand(count, 3, 3)
    grey = rng.uniform(count, 1, 3).clamp(min=1e-3).log()  # exponential: an even mixture
    grey = (grey / grey.sum(-1, keepdim=True)).expand(-1, 3, -1)
    tint = identity * rng.uniform(count, 3, 1, low=0.2, high=1.0)
    exchanged = F.one_hot(rng.uniform(count, 3).argsort(1), 3).float()
    kind = rng.uniform(count, 1, 1)
    mixed = torch.where(kind < 0.4, grey, torch.where(kind < 0.7, tint, exchanged))
    return torch.where(rng.chance(count, 1, 1, odds=0.15), mixed, identity)


def _magnified(images: Tensor, rng: DeviceRandom) -> Tensor:
    """Show some crops as if they had been small and were magnified, their noise too."""
    size = images.shape[-1]
    kind = rng.uniform(len(images), 1, 1, 1)
    result = images
    for share, factor in ((0.16, 2), (0.06, 4)):
        small = F.avg_pool2d(images, factor)
        noise = rng.normal(*small.shape[:1], 1, *small.shape[2:])
        small = small + noise * rng.uniform(len(images), 1, 1, 1, low=-0.05, high=0.06).clamp(min=0)
        large = F.interpolate(small, (size, size), mode="bilinear", align_corners=False)
        result = torch.where(kind < share, large, result)
    return result


def _faded(images: Tensor, rng: DeviceRandom) -> tuple[Tensor, Tensor]:
    """Take nearly all contrast from some crops, and all from a third of those."""
    count = len(images)
    faded = rng.chance(count, odds=FADED)
    left = rng.uniform(count, low=-0.05, high=0.1).clamp(min=0).view(-1, 1, 1, 1)
    mean = images.mean((1, 2, 3), keepdim=True)
    noise = rng.normal(count, 1, *images.shape[2:], spread=0.04)
    pale = mean + left * (images - mean) + noise
    return torch.where(faded.view(-1, 1, 1, 1), pale, images), faded
