"""What the drawn images are made with: random numbers, smooth noise, blur and bent grids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Drawn(NamedTuple):
    """A batch of drawn images."""

    images: Tensor  # (B, 3, S, S) float32, 0..1
    labels: Tensor  # (B, S, S) int32, 0 background, objects 1..n of each image
    exhaustive: Tensor  # (B,) bool, whether every object that is visible has a label


@dataclass(frozen=True)
class Canvas:
    """A batch of square images to draw, and the source of its random numbers.

    Parameters
    ----------
    count : int
        Images, B.
    size : int
        Side S in pixels, a multiple of 16.
    generator : torch.Generator
        Its device is the device of everything drawn.
    """

    count: int
    size: int
    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.generator.device

    @property
    def crowd(self) -> int:
        """Candidates that are enough for a crowded image."""
        return max(48, self.size * self.size // 100)

    def uniform(self, low: float | Tensor, high: float | Tensor, *shape: int) -> Tensor:
        """Return (B, *shape) numbers between `low` and `high`."""
        drawn = torch.empty((self.count, *shape), device=self.device)
        if isinstance(low, Tensor) or isinstance(high, Tensor):
            return low + (high - low) * drawn.uniform_(0, 1, generator=self.generator)
        return drawn.uniform_(low, high, generator=self.generator)

    def log_uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return (B, *shape) numbers whose logarithms are evenly spread."""
        return self.uniform(math.log(low), math.log(max(low, high)), *shape).exp()

    def normal(self, *shape: int) -> Tensor:
        """Return (B, *shape) numbers of the standard normal distribution."""
        return torch.randn(
            (self.count, *shape), generator=self.generator, device=self.generator.device
        )

    def chance(self, share: float | Tensor, *shape: int) -> Tensor:
        """Return (B, *shape) ones, with probability `share`, and zeros."""
        return (self.uniform(0, 1, *shape) < share).float()

    def steps(self) -> Tensor:
        """Return (S,) the pixels' positions along an axis."""
        return torch.arange(self.size, device=self.device, dtype=torch.float32)

    def noise(self, down: Tensor, across: Tensor | None = None, every: int = 1) -> Tensor:
        """Return smooth noise of mean 0 and deviation 1.

        Parameters
        ----------
        down, across : (B, C) float
            Deviation of the Gaussian along rows and columns, pixels. One value serves both.
        every : int
            Distance of the random numbers, pixels. At most the deviation; more is faster.

        Returns
        -------
        (B, C, S, S) float
        """
        rows = _gaussians(down, self.size, every)
        rows = rows / rows.square().sum(-1, keepdim=True).sqrt()
        columns = rows
        if across is not None:
            columns = _gaussians(across, self.size, every)
            columns = columns / columns.square().sum(-1, keepdim=True).sqrt()
        knots = rows.shape[-1]
        return rows @ self.normal(down.shape[1], knots, knots) @ columns.mT

    def all_of(self, value: bool) -> Tensor:
        """Return (B,) of `value`."""
        return torch.full((self.count,), value, device=self.device)

    def grid(self, reach: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and columns, (B, S, S) each, of planes that are bent.

        Parameters
        ----------
        reach : (B, 1) float
            Deviation of the displacement, pixels.
        sigma : (B, 1) float
            Smoothness of the displacement, pixels; at least 2.
        """
        bends = reach[..., None, None] * self.noise(sigma.clamp(min=2).expand(-1, 2), every=2)
        steps = self.steps()
        return bends[:, 0] + steps[:, None], bends[:, 1] + steps


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur (B, C, S, S) with Gaussians of `sigma` (B, C or 1) pixels."""
    kernel = _gaussians(sigma, images.shape[-1])
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return kernel @ images @ kernel.mT


def _gaussians(sigma: Tensor, size: int, every: int = 1) -> Tensor:
    """Return matrices (B, C, S, S / every): Gaussians around the pixels of an axis."""
    steps = torch.arange(size, device=sigma.device, dtype=torch.float32)
    apart = (steps[:, None] - steps[::every]).square()
    return torch.exp(apart / (-2 * sigma.clamp(min=0.2).square()[..., None, None]))
