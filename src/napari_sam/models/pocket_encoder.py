"""The image encoder of `pocket`: a feature pyramid at strides 4, 8 and 16, and an instance head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import stopping
from .pocket_grid import STRIDES

STRIDE = STRIDES[0]  # of the finest features, and of the logits


class PocketFeatures(NamedTuple):
    """The encoder's answer for B images.

    Attributes
    ----------
    s4, s8, s16 : (B, C, H, W) float
        Features at three strides.
    instances : (B, 3, H, W) float
        At stride 4: the logit of foreground, and a field (x, y) that points away from the centre
        of each cell's object, as long as the cell lies deep in it: 0 at the edge and beside
        objects, 1 at the deepest place.
    """

    s4: Tensor
    s8: Tensor
    s16: Tensor
    instances: Tensor


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """Return a 3x3 convolution without bias (a normalisation follows)."""
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


class ConvNorm(nn.Sequential):
    """3x3 convolution, group normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            conv(inputs, outputs, stride), nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)
        )


class ResBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = conv(width, width)
        self.norm = nn.GroupNorm(8, width)
        nn.init.zeros_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (B, C, H, W)."""
        return F.relu(x + self.norm(self.second(self.first(x))))


class PocketEncoder(nn.Module):
    """Image to features of strides 4, 8 and 16, and to fields that separate objects.

    Parameters
    ----------
    widths : tuple of int
        Channels at strides 4, 8, 16 and 32.
    depths : tuple of int
        Residual blocks at those strides.
    outputs : tuple of int
        Channels of the answer at strides 4, 8 and 16.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (48, 96, 192, 256),
        depths: tuple[int, ...] = (2, 2, 3, 2),
        outputs: tuple[int, int, int] = (24, 48, 128),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 24, 2), ConvNorm(24, widths[0], 2))
        self.stages = nn.ModuleList()
        for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            blocks: list[nn.Module] = [ResBlock(width) for _ in range(depth)]
            if level:
                blocks.insert(0, ConvNorm(widths[level - 1], width, 2))
            self.stages.append(nn.Sequential(*blocks))
        inner = (64, 96, 128)  # of the pyramid at strides 4, 8, 16
        self.top = nn.Conv2d(widths[3], inner[2], 1)
        self.lateral = nn.ModuleList(
            nn.Conv2d(w, i, 1) for w, i in zip(widths, inner, strict=False)
        )
        self.reduce = nn.ModuleList(
            [nn.Conv2d(inner[1], inner[0], 1), nn.Conv2d(inner[2], inner[1], 1)]
        )
        self.merge = nn.ModuleList(ConvNorm(i, i) for i in inner)
        self.out = nn.ModuleList(nn.Conv2d(i, o, 1) for i, o in zip(inner, outputs, strict=True))
        self.instance_head = nn.Sequential(ConvNorm(inner[0], 32), nn.Conv2d(32, 3, 1))

    def forward(self, image: Tensor) -> PocketFeatures:
        """Encode `image` (B, 3, H, W), sides multiples of 32, values about -2..2."""
        x = self.stem(image.contiguous(memory_format=torch.channels_last))
        levels = []
        for stage in self.stages:
            stopping.check()
            x = stage(x)
            levels.append(x)
        stopping.check()
        x = self.merge[2](self.lateral[2](levels[2]) + double(self.top(levels[3])))
        s16 = self.out[2](x)
        x = self.merge[1](self.lateral[1](levels[1]) + double(self.reduce[1](x)))
        s8 = self.out[1](x)
        x = self.merge[0](self.lateral[0](levels[0]) + double(self.reduce[0](x)))
        s4 = self.out[0](x)
        return PocketFeatures(s4, s8, s16, self.instance_head(x))


def double(x: Tensor) -> Tensor:
    """Up-sample (B, C, H, W) by two, bilinearly."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def normalise(images: Tensor) -> Tensor:
    """Map 0..1 to the range that the encoder works in."""
    return (images - 0.5) * 4
