"""SAM 2's memory encoder: a frame and the mask of an object in it become a memory."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .blocks import LayerNorm2d

STRIDE = 16
"""Pixels of a mask along a cell of a memory."""
TEMPERATURE = 10000.0
"""Base of the wavelengths of `sine_positions`."""


class MemoryEncoder(nn.Module):
    """Fuse the features of a frame with a mask (Ravi et al., "SAM 2", 2024).

    Parameters
    ----------
    dim : int
        Channels of the features.
    out_dim : int
        Channels of a memory.
    layers : int
        Blocks of the fuser.
    """

    def __init__(self, dim: int, out_dim: int, layers: int) -> None:
        super().__init__()
        self.mask_downsampler = _MaskDownSampler(dim)
        self.pix_feat_proj = nn.Conv2d(dim, dim, 1)
        self.fuser = _Fuser(dim, layers)
        self.out_proj = nn.Conv2d(dim, out_dim, 1)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """Return memories.

        Parameters
        ----------
        image : (1, dim, h, w) float
            Features of the frame, as the encoder returns them.
        masks : (P, 1, 16h, 16w) float
            One for each object.

        Returns
        -------
        (P, out_dim, h, w) float
        """
        x = self.pix_feat_proj(image) + self.mask_downsampler(masks)
        out: Tensor = self.out_proj(self.fuser(x))
        return out


class _MaskDownSampler(nn.Module):
    """Halve a mask four times and bring it to the channels of the features."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for _ in range(int(math.log2(STRIDE))):
            layers += [
                nn.Conv2d(channels, 4 * channels, 3, stride=2, padding=1),
                LayerNorm2d(4 * channels),
                nn.GELU(),
            ]
            channels *= 4
        self.encoder = nn.Sequential(*layers, nn.Conv2d(channels, dim, 1))

    def forward(self, masks: Tensor) -> Tensor:
        """Map (P, 1, 16h, 16w) to (P, dim, h, w)."""
        out: Tensor = self.encoder(masks)
        return out


class _Fuser(nn.Module):
    """Blocks of ConvNeXt."""

    def __init__(self, dim: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_FuserBlock(dim) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (P, dim, h, w)."""
        for layer in self.layers:
            x = layer(x)
        return x


class _FuserBlock(nn.Module):
    """A block of ConvNeXt (Liu et al., CVPR 2022)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (P, dim, h, w)."""
        cells = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        cells = self.gamma * self.pwconv2(nn.functional.gelu(self.pwconv1(cells)))
        out: Tensor = x + cells.permute(0, 3, 1, 2)
        return out


def sine_positions(size: tuple[int, int], dim: int) -> Tensor:
    """Return the positional encoding of a grid, of sines and cosines of rows and columns.

    That of DETR (Carion et al., ECCV 2020), normalised: the grid is 2 pi high and wide.

    Parameters
    ----------
    size : (h, w) int
    dim : int
        Channels, a multiple of 4: those of the rows, then those of the columns.

    Returns
    -------
    (h*w, dim) float64
    """
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float64).div(2, rounding_mode="floor") * 2 / half
    sides = []
    for side in size:
        places = torch.arange(1, side + 1, dtype=torch.float64) / (side + 1e-6) * (2 * math.pi)
        angles = places[:, None] / TEMPERATURE**exponents
        pairs = torch.stack([angles[:, ::2].sin(), angles[:, 1::2].cos()], dim=-1)
        sides.append(pairs.flatten(1))
    rows, columns = sides
    grid = (*size, half)
    return torch.cat([rows[:, None].expand(grid), columns.expand(grid)], dim=-1).flatten(0, 1)
