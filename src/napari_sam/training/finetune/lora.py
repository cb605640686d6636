"""Adapters of low rank on the attention of an image encoder (LoRA; Hu et al., arXiv:2106.09685).

They lie on the projections to the values and to the output of each attention, in its every block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ...models import mobile_sam, vit
from ...models.adapters import LORA_A, LORA_B, LORA_ROWS

RANK = 4
BLOCKS = (vit.Block, mobile_sam.TinyViTBlock, mobile_sam.MBConv)
"""What is computed again for the gradients, so that what lies in it takes no memory meanwhile."""


class Adapter(nn.Module):
    """Adds a product of low rank to some outputs of a linear layer, which stays as it is.

    Parameters
    ----------
    linear : nn.Linear
    rows : (n,) int64
        Its outputs that change.
    rank : int
    generator : torch.Generator
        Of the random half; the other one is zero, so that at first nothing changes.
    """

    rows: Tensor

    def __init__(
        self, linear: nn.Linear, rows: Tensor, rank: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        a = torch.randn(rank, linear.in_features, generator=generator)
        self.a = nn.Parameter(a / math.sqrt(linear.in_features))
        self.b = nn.Parameter(torch.zeros(len(rows), rank))
        self.register_buffer("rows", rows)
        self.to(linear.weight.device)
        linear.register_forward_hook(self._add)

    def _add(self, _: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
        a, b = self.a.to(given[0].dtype), self.b.to(given[0].dtype)
        return out.index_add(-1, self.rows, F.linear(F.linear(given[0], a), b).to(out.dtype))


def adapted(
    encoder: nn.Module, rank: int = RANK, blocks: int | None = None, seed: int = 0
) -> dict[str, Adapter]:
    """Put adapters on an encoder.

    Parameters
    ----------
    encoder : nn.Module
        Of one of the SAM families.
    rank : int
    blocks : int, optional
        Only on so many of the first blocks with attention.
    seed : int

    Returns
    -------
    dict of str to Adapter
        By the name of the layer in the encoder.

    Raises
    ------
    ValueError
        If it has no attention that is known.
    """
    generator = torch.Generator().manual_seed(seed)
    found = [one for block in list(_attentions(encoder))[:blocks] for one in _placements(*block)]
    if not found:
        raise ValueError("its image encoder has no attention to adapt; tune its heads")
    return {name: Adapter(linear, rows, rank, generator) for name, linear, rows in found}


def parameters_of(adapters: dict[str, Adapter], before: str) -> dict[str, nn.Parameter]:
    """Return what learns, by its names in the file; `before` stands before the layers' names."""
    pairs = ((f"{before}{name}", one) for name, one in adapters.items())
    return {
        name: value
        for stem, one in pairs
        for name, value in ((stem + LORA_A, one.a), (stem + LORA_B, one.b))
    }


def stored(adapters: dict[str, Adapter], before: str) -> dict[str, Tensor]:
    """Return what the file holds of adapters; see `models.adapters`."""
    own: dict[str, Tensor] = dict(parameters_of(adapters, before))
    return own | {f"{before}{name}{LORA_ROWS}": one.rows for name, one in adapters.items()}


def in_little_memory(encoder: nn.Module) -> None:
    """Have the blocks of an encoder computed again when gradients need what lies in them."""
    for module in encoder.modules():
        if isinstance(module, BLOCKS):
            again = partial(checkpoint, module.forward, use_reentrant=False)
            setattr(module, "forward", again)  # noqa: B010 -- of this one, not of its class


def _attentions(encoder: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in encoder.named_modules():
        if isinstance(module, vit.Attention | mobile_sam.Attention):
            yield name, module


def _placements(name: str, module: nn.Module) -> list[tuple[str, nn.Linear, Tensor]]:
    """Return layers of an attention with the rows that make its values and its output."""
    qkv, proj = module.get_submodule("qkv"), module.get_submodule("proj")
    if not isinstance(qkv, nn.Linear) or not isinstance(proj, nn.Linear):
        return []
    rows = torch.arange(qkv.out_features)
    if isinstance(module, mobile_sam.Attention):  # of each head query, key, value lie together
        values = rows.view(module.num_heads, 3, -1)[:, 2].flatten()
    else:
        values = rows.view(3, -1)[2]
    return [
        (f"{name}.qkv", qkv, values),
        (f"{name}.proj", proj, torch.arange(proj.out_features)),
    ]
