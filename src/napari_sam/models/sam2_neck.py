"""SAM 2's neck: the stages of the trunk become maps of strides 4, 8 and 16."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .hiera import Hiera
from .hiera_order import BLOCK, POOL, unmorton


class Sam2Features(NamedTuple):
    """What the encoder makes of an image of side S.

    Attributes
    ----------
    s0 : (B, C/8, S/4, S/4)
    s1 : (B, C/4, S/8, S/8)
        Both as the mask decoder adds them while it magnifies.
    s2 : (B, C, S/16, S/16)
        The embedding, without anything of a memory.
    """

    s0: Tensor
    s1: Tensor
    s2: Tensor


class Projection(nn.Module):
    """A convolution of 1 x 1 under the published name `conv`.

    Parameters
    ----------
    inputs, outputs : int
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)


class FpnNeck(nn.Module):
    """Feature pyramid (Lin et al., CVPR 2017), of whose levels only the third gets the fourth.

    Parameters
    ----------
    dims : (4,) int
        Width of each stage of the trunk.
    dim : int
        Width of the pyramid.
    """

    def __init__(self, dims: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Projection(width, dim) for width in reversed(dims))

    def forward(
        self, stages: list[list[Tensor]], narrow0: nn.Conv2d, narrow1: nn.Conv2d
    ) -> Sam2Features:
        """Return the maps of an image.

        The projections of the two finest levels and those of the decoder follow each other without
        anything between; so they are one product with fewer channels.

        Parameters
        ----------
        stages : 4 lists of tensors (B, n, C)
            Of the trunk, in its order of tokens.
        narrow0, narrow1 : nn.Conv2d
            The decoder's `conv_s0` and `conv_s1`.
        """
        to3, to2, to1, to0 = (level.get_submodule("conv") for level in self.convs)
        top = _projected(stages[3], to3)
        third = _projected(stages[2], to2) + top.repeat_interleave(POOL, 1)  # nearest neighbours
        fine = (
            _projected(tokens, conv, narrow)
            for tokens, conv, narrow in ((stages[0], to0, narrow0), (stages[1], to1, narrow1))
        )
        maps = (
            unmorton(x, round(x.shape[1] ** 0.5), BLOCK >> level).permute(0, 3, 1, 2)
            for level, x in enumerate((*fine, third))
        )
        return Sam2Features(*maps)


class ImageEncoder(nn.Module):
    """Trunk and neck under their published names.

    Parameters
    ----------
    trunk : Hiera
    neck : FpnNeck
    """

    def __init__(self, trunk: Hiera, neck: FpnNeck) -> None:
        super().__init__()
        self.trunk = trunk
        self.neck = neck

    def forward(self, x: Tensor, narrow0: nn.Conv2d, narrow1: nn.Conv2d) -> Sam2Features:
        """Encode `x` (B, 3, S, S), normalised; see `FpnNeck.forward`."""
        features: Sam2Features = self.neck(self.trunk(x), narrow0, narrow1)
        return features


def _projected(parts: list[Tensor], *convs: nn.Module) -> Tensor:
    """Return parts (B, n, C) behind convolutions of 1 x 1 as one, (B, N, outputs)."""
    pairs = [(one.get_parameter("weight").flatten(1), one.get_parameter("bias")) for one in convs]
    weight: Tensor
    bias: Tensor
    (weight, bias), *more = pairs
    for further, shift in more:
        weight, bias = further @ weight, further @ bias + shift
    return torch.cat([F.linear(part, weight, bias) for part in parts], 1)
