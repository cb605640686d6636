"""Small layers that several model families share."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of a (B, C, H, W) tensor.

    Parameters
    ----------
    num_channels : int
        Number of channels C.
    eps : float
        Added to the variance.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x`, (B, C, H, W), over its second axis."""
        normed = F.layer_norm(
            x.permute(0, 2, 3, 1), (x.shape[1],), self.weight, self.bias, self.eps
        )
        return normed.permute(0, 3, 1, 2)


class InplaceGELU(nn.Module):
    """GELU that overwrites its input, unless gradients are recorded."""

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x`."""
        out: Tensor = F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)
        return out


class MLPBlock(nn.Module):
    """Two linear layers with an activation between, as in a transformer block.

    Parameters
    ----------
    embedding_dim, mlp_dim : int
        Outer and inner width.
    act : type of nn.Module
        The activation's class.
    """

    def __init__(
        self, embedding_dim: int, mlp_dim: int, act: type[nn.Module] = InplaceGELU
    ) -> None:
        super().__init__()
        self.lin1 = nn.Linear(embedding_dim, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, embedding_dim)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., embedding_dim) to the same shape."""
        out: Tensor = self.lin2(self.act(self.lin1(x)))
        return out


class LayeredMLP(nn.Module):
    """Two linear layers with an activation between, under the names of SAM 2.

    Parameters
    ----------
    dim, hidden : int
        Outer and inner width.
    relu : bool
        In place of GELU.
    """

    def __init__(self, dim: int, hidden: int, relu: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(dim, hidden), nn.Linear(hidden, dim)])
        self.relu = relu

    @property
    def lin1(self) -> nn.Module:
        """The first layer, as `MLPBlock` calls it."""
        return self.layers[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., dim) to the same shape."""
        x = self.layers[0](x)
        if self.relu:
            x = F.relu(x)
        else:
            x = F.gelu(x) if torch.is_grad_enabled() else torch.ops.aten.gelu_(x)
        out: Tensor = self.layers[1](x)
        return out


class MLP(nn.Module):
    """A stack of linear layers with ReLU between them (SAM's heads).

    Parameters
    ----------
    input_dim, hidden_dim, output_dim : int
        Widths.
    num_layers : int
        Number of linear layers, at least 1.
    """

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        widths = [input_dim, *[hidden_dim] * (num_layers - 1), output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., input_dim) to (..., output_dim)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out
