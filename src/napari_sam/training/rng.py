"""Random numbers on the device, all from one seeded generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class DeviceRandom:
    """Draws tensors on a device.

    Parameters
    ----------
    seed : int
    device : torch.device or str
    """

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(seed)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw evenly between `low` and `high`."""
        drawn = torch.rand(shape, generator=self.generator, device=self.device)
        return drawn * (high - low) + low

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        """Draw evenly between the logarithms of `low` and `high`."""
        return self.uniform(*shape, low=math.log(low), high=math.log(high)).exp()

    def normal(self, *shape: int, spread: float = 1.0) -> Tensor:
        """Draw from a normal distribution about 0."""
        return torch.randn(shape, generator=self.generator, device=self.device) * spread

    def chance(self, *shape: int, odds: float) -> Tensor:
        """Draw bools that are true with `odds`."""
        return torch.rand(shape, generator=self.generator, device=self.device) < odds

    def below(self, limit: Tensor) -> Tensor:
        """Draw an int64 below each limit, which is at least 1."""
        drawn = torch.rand(limit.shape, generator=self.generator, device=self.device)
        return (drawn * limit).long().minimum(limit - 1)

    def integers(self, *shape: int, low: int = 0, high: int) -> Tensor:
        """Draw int64 from `low` up to and without `high`."""
        return torch.randint(low, high, shape, generator=self.generator, device=self.device)

    def choose(self, odds: Tensor, count: int) -> Tensor:
        """Draw `count` indices with replacement, (count,) int64, with the given odds."""
        return torch.multinomial(odds, count, replacement=True, generator=self.generator)

    def order(self, count: int) -> Tensor:
        """Draw a permutation, (count,) int64."""
        return torch.randperm(count, generator=self.generator, device=self.device)
