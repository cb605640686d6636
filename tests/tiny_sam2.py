"""A SAM 2 of random weights that answers in milliseconds, and files of it as they are published."""

from __future__ import annotations

from pathlib import Path

import torch

from napari_sam.models.sam2 import Sam2Model
from napari_sam.models.sam2_net import Sam2Net, Sam2Sizes

SIDE = 128
"""Side of its input, pixels: of its windows of 14 some reach beyond the 8 x 8 tokens."""
TINY = Sam2Sizes(
    dims=(16, 32, 64, 128), hidden=(64, 128, 256, 512), dim=32, decoder_mlp=64, decoder_inner=16,
    iou_hidden=24, memory_dim=8, memory_mlp=48,
)  # fmt: skip
"""All parts of the published tiny one, but narrow."""


PLACED = ("pos_embed", "point_embed", "no_", "not_a", "token.", "tokens.", "tpos_enc")
"""Parts of the names of embeddings, which are no matrices of a product."""


def drawn(module: torch.nn.Module, seed: int = 0) -> None:
    """Draw every weight of a module, none of them zero, so that answers have a spread."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            random = torch.randn(value.shape, generator=generator).to(value.dtype)
            if "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.2 * random)
            elif value.ndim < 2 or any(part in name for part in PLACED):
                value.copy_(0.5 * random)
            else:
                value.copy_(random / value[0].numel() ** 0.5)


def tiny_net(sizes: Sam2Sizes = TINY, side: int = SIDE, seed: int = 0) -> Sam2Net:
    """Return a network of random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # of the frequencies, which are no parameters
        net = Sam2Net(sizes, side)
    drawn(net, seed)
    return net.eval()


def tiny_sam2(sizes: Sam2Sizes = TINY, side: int = SIDE, seed: int = 0) -> Sam2Model:
    """Return a model of random weights."""
    return Sam2Model(tiny_net(sizes, side, seed), "tiny_sam2")


def save_published(net: Sam2Net, path: Path) -> Path:
    """Write a network as its checkpoints are published: the weights under the key `model`."""
    torch.save({"model": net.state_dict()}, path)
    return path
