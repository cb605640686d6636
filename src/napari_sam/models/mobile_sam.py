"""MobileSAM's image encoder: TinyViT (Wu et al., ECCV 2022; Zhang et al., arXiv:2306.14289).

Convolutions first, then three stages of windowed attention. As in MobileSAM, merging into the last
stage keeps the grid, so that it is 64 x 64 in front of the neck. Names are the published ones;
`build` reads every size from the tensors.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import stopping
from .recognition import Checkpoint
from .sam import SamModel, assemble, neck

STAGES = 4
IMAGE_SIZE = 1024  # of the published model; convolutions and windows would fit any


class ConvBatchNorm(nn.Sequential):
    """A convolution without bias and its batch normalisation, `c` and `bn`.

    Parameters
    ----------
    inputs, outputs, kernel, stride, groups : int
        Of the convolution; it is padded to keep the size at stride 1.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.add_module(
            "c",
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        )
        self.add_module("bn", nn.BatchNorm2d(outputs))


class PatchEmbed(nn.Module):
    """Two strided convolutions: a quarter of the size.

    Parameters
    ----------
    in_chans, embed_dim : int
        Channels before and after.
    """

    def __init__(self, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.seq = nn.Sequential(
            ConvBatchNorm(in_chans, embed_dim // 2, 3, 2),
            nn.GELU(),
            ConvBatchNorm(embed_dim // 2, embed_dim, 3, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, C, H/4, W/4)."""
        patches: Tensor = self.seq(x)
        return patches


class MBConv(nn.Module):
    """Widen, convolve each channel, narrow, around a shortcut.

    Parameters
    ----------
    dim, hidden : int
        Channels outside and inside.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = ConvBatchNorm(dim, hidden)
        self.conv2 = ConvBatchNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvBatchNorm(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (B, C, H, W)."""
        inner = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(inner))


class PatchMerging(nn.Module):
    """Go to the next stage's width, and to half the size where `stride` is 2.

    Parameters
    ----------
    dim, out_dim, stride : int
        Channels before and after; stride.
    """

    def __init__(self, dim: int, out_dim: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBatchNorm(dim, out_dim)
        self.conv2 = ConvBatchNorm(out_dim, out_dim, 3, stride, groups=out_dim)
        self.conv3 = ConvBatchNorm(out_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, out_dim, H/stride, W/stride)."""
        merged: Tensor = self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))
        return merged


class Attention(nn.Module):
    """Self-attention in a square window; the bias depends on the distances along both axes.

    Parameters
    ----------
    dim, num_heads, side : int
        Width of a token, heads, tokens along the window.
    """

    attention_bias_idxs: Tensor

    def __init__(self, dim: int, num_heads: int, side: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.attention_biases = nn.Parameter(torch.zeros(num_heads, side * side))
        place = torch.arange(side, device="cpu")
        distance = (place[:, None] - place[None, :]).abs()  # (side, side)
        index = distance[:, None, :, None] * side + distance[None, :, None, :]
        self.register_buffer(
            "attention_bias_idxs", index.reshape(side * side, side * side), persistent=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (B, side * side, C)."""
        b, tokens, dim = x.shape
        # of each head its query, key and value lie together
        qkv = self.qkv(self.norm(x)).reshape(b, tokens, self.num_heads, 3, -1)
        q, k, v = qkv.permute(3, 0, 2, 1, 4)  # (B, heads, tokens, c)
        bias = self.attention_biases[:, self.attention_bias_idxs]  # (heads, tokens, tokens)
        out = F.scaled_dot_product_attention(q, k, v, bias[None])
        result: Tensor = self.proj(out.transpose(1, 2).reshape(b, tokens, dim))
        return result


class Mlp(nn.Module):
    """Normalise, widen, narrow.

    Parameters
    ----------
    dim, hidden : int
        Outer and inner width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (..., C)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return out


class TinyViTBlock(nn.Module):
    """Attention in windows, a convolution of each channel, an MLP.

    Parameters
    ----------
    dim, num_heads, window_size, hidden : int
        Width of a token, heads, side of a window, inner width of the MLP.
    """

    def __init__(self, dim: int, num_heads: int, window_size: int, hidden: int) -> None:
        super().__init__()
        self.window_size = window_size
        self.attn = Attention(dim, num_heads, window_size)
        self.mlp = Mlp(dim, hidden)
        self.local_conv = ConvBatchNorm(dim, dim, 3, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (B, C, H, W)."""
        b, dim, h, w = x.shape
        side = self.window_size
        rows, columns = -(-h // side), -(-w // side)
        grid = F.pad(x, (0, columns * side - w, 0, rows * side - h)).permute(0, 2, 3, 1)
        windows = grid.reshape(b, rows, side, columns, side, dim).transpose(2, 3)
        windows = self.attn(windows.reshape(-1, side * side, dim))
        windows = windows.reshape(b, rows, columns, side, side, dim).transpose(2, 3)
        attended = windows.reshape(b, rows * side, columns * side, dim)[:, :h, :w]
        x = self.local_conv(x + attended.permute(0, 3, 1, 2))
        out: Tensor = x + self.mlp(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class Stage(nn.Module):
    """Blocks of one width, then the merging into the next stage.

    Parameters
    ----------
    blocks : list of nn.Module
    downsample : nn.Module or None
    """

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the next stage's shape."""
        for block in self.blocks:
            stopping.check()
            x = block(x)
        if self.downsample is None:
            return x
        merged: Tensor = self.downsample(x)
        return merged


class TinyViT(nn.Module):
    """Image to embedding, stride 16.

    Parameters
    ----------
    embed_dims, depths : tuple of int
        Width and blocks of each of the four stages.
    num_heads, window_sizes : tuple of int
        Of the last three stages.
    expansion : int
        Inner over outer width, of convolutions and MLPs.
    num_classes : int
        Of the classifier's head, which checkpoints carry and nothing uses; 0 for none.
    out_chans : int
        Channels of the embedding.
    """

    def __init__(
        self,
        embed_dims: tuple[int, ...] = (64, 128, 160, 320),
        depths: tuple[int, ...] = (2, 2, 6, 2),
        num_heads: tuple[int, ...] = (4, 5, 10),
        window_sizes: tuple[int, ...] = (7, 14, 7),
        expansion: int = 4,
        num_classes: int = 1000,
        out_chans: int = 256,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(3, embed_dims[0])
        first = embed_dims[0]
        stages: list[list[nn.Module]] = [
            [MBConv(first, expansion * first) for _ in range(depths[0])]
        ]
        for dim, depth, heads, side in zip(
            embed_dims[1:], depths[1:], num_heads, window_sizes, strict=True
        ):
            stages.append([TinyViTBlock(dim, heads, side, expansion * dim) for _ in range(depth)])
        merges: list[nn.Module | None] = [
            PatchMerging(dim, wider, stride)
            for (dim, wider), stride in zip(pairwise(embed_dims), (2, 2, 1), strict=True)
        ]
        self.layers = nn.ModuleList(
            Stage(blocks, merge) for blocks, merge in zip(stages, [*merges, None], strict=True)
        )
        self.norm_head = nn.LayerNorm(embed_dims[-1])
        self.head = nn.Linear(embed_dims[-1], num_classes) if num_classes else nn.Identity()
        self.neck = neck(embed_dims[-1], out_chans)

    def forward(self, x: Tensor) -> Tensor:
        """Encode `x` (B, 3, S, S), normalised and padded, as (B, out_chans, S/16, S/16)."""
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        embedding: Tensor = self.neck(x)
        return embedding


def build(checkpoint: Checkpoint, name: str, device: str) -> SamModel:
    """Return the model that a checkpoint holds.

    Raises
    ------
    ValueError
        If a tensor is missing, left over or of another shape.
    """
    shape = checkpoint.shape
    part = "image_encoder."
    stages = range(checkpoint.count(f"{part}layers."))
    if len(stages) != STAGES:
        raise ValueError(f"its encoder has {len(stages)} stages; a TinyViT has {STAGES}")
    firsts = [f"{part}layers.{i}.blocks.0." for i in stages]
    biases = [shape(f"{first}attn.attention_biases", 2) for first in firsts[1:]]
    widths = [shape(f"{first}mlp.norm.weight", 1)[0] for first in firsts[1:]]
    hidden, first = shape(f"{firsts[0]}conv1.c.weight", 4)[:2]
    if first % 2:
        raise ValueError(f"its first stage has {first} channels, an odd number")
    for (heads, _), width in zip(biases, widths, strict=True):
        if width % heads:
            raise ValueError(f"the width {width} of a stage is no multiple of its {heads} heads")
    head = f"{part}head.weight"
    with torch.device("meta"):
        encoder = TinyViT(
            embed_dims=(first, *widths),
            depths=tuple(checkpoint.count(f"{part}layers.{i}.blocks.") for i in stages),
            num_heads=tuple(heads for heads, _ in biases),
            window_sizes=tuple(round(offsets**0.5) for _, offsets in biases),
            expansion=hidden // first,
            num_classes=shape(head, 2)[0] if head in checkpoint.tensors else 0,
            out_chans=shape(f"{part}neck.0.weight", 4)[0],
        )
    return SamModel(assemble(encoder, checkpoint, IMAGE_SIZE), name, device)
