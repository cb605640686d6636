"""SAM's own image encoder: a plain vision transformer with windows (Li et al., ECCV 2022).

Names and shapes are those of the published ViT-B, ViT-L and ViT-H; `build` reads every size from
the tensors, so fine-tuned and smaller models of the same structure load as well.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .. import stopping
from .blocks import MLPBlock
from .recognition import Checkpoint
from .sam import STRIDE, SamModel, assemble, neck
from .vit_attention import attend

EPS = 1e-6  # of the transformer's layer normalisations
COLOURS = 3
EARLY_SHARE = 0.25
"""Of the blocks, 3 of 12. Their MLPs and windowed attention stay in float32: a ViT-B takes some
20 % longer for it, and its embedding's error is a third smaller."""


class PatchEmbed(nn.Module):
    """Cut the image into patches, each a token.

    Parameters
    ----------
    patch_size, in_chans, embed_dim : int
        Pixels along a patch, channels of the image, width of a token.
    """

    def __init__(self, patch_size: int, in_chans: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_chans, embed_dim, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, h, w, C)."""
        patches: Tensor = self.proj(x)
        return patches.permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Self-attention over a grid with decomposed relative positions.

    To the scaled product of a query at (y, x) and a key at (v, u) is added the product of the
    unscaled query with `rel_pos_h[y - v]` and with `rel_pos_w[x - u]` (Li et al., CVPR 2022).

    Parameters
    ----------
    dim, num_heads : int
        Width of a token, heads.
    size : (h, w) int
        Of the grid.
    """

    def __init__(self, dim: int, num_heads: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * size[0] - 1, dim // num_heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * size[1] - 1, dim // num_heads))

    def forward(self, x: Tensor, window: int = 0) -> Tensor:
        """Keep the shape of `x` (B, h, w, C); with a window, attend inside windows of that side.

        Windows that reach beyond the grid are filled up with zeros, which the published model
        projects like any token: such a query, key and value is the projection's bias.
        """
        b, h, w, dim = x.shape
        wh, ww = (window, window) if window else (h, w)
        rows, columns = -(-h // wh), -(-w // ww)  # of windows
        qkv = self.qkv(x.to(self.qkv.weight.dtype))
        if (rows * wh, columns * ww) != (h, w):
            unpadded, bias = qkv, self.qkv.bias.to(qkv.dtype)  # autocast lowers only the product
            qkv = bias.repeat(b, rows * wh, columns * ww, 1)
            qkv[:, :h, :w] = unpadded
        qkv = qkv.reshape(b, rows, wh, columns, ww, 3, self.num_heads, -1)
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7)  # (3, b, rows, columns, heads, wh, ww, c)
        q, k, v = qkv.reshape(3, -1, wh * ww, dim // self.num_heads)
        rel_h = relative_positions(self.rel_pos_h, wh)
        rel_w = relative_positions(self.rel_pos_w, ww)
        out = attend(q, k, v, rel_h, rel_w)  # (b * rows * columns * heads, wh * ww, c)
        out = out.reshape(b, rows, columns, self.num_heads, wh, ww, -1)
        out = out.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, rows * wh, columns * ww, dim)
        # in one piece, or the product goes row by row
        result: Tensor = self.proj(out[:, :h, :w].contiguous())
        return result


class Block(nn.Module):
    """A transformer block; with a window, attention stays inside windows.

    Parameters
    ----------
    dim, num_heads, mlp_dim : int
        Width of a token, heads, inner width of the MLP.
    size : (h, w) int
        Of the grid.
    window_size : int
        Side of a window in tokens; 0 for attention over the whole grid.
    """

    def __init__(
        self, dim: int, num_heads: int, mlp_dim: int, size: tuple[int, int], window_size: int
    ) -> None:
        super().__init__()
        self.window_size = window_size
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = Attention(dim, num_heads, (window_size,) * 2 if window_size else size)
        self.norm2 = nn.LayerNorm(dim, eps=EPS)
        self.mlp = MLPBlock(dim, mlp_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (B, h, w, C)."""
        x = x + self.attn(self.norm1(x), self.window_size)
        out: Tensor = x + self.mlp(self.norm2(x).to(self.mlp.lin1.weight.dtype))
        return out


class ImageEncoderViT(nn.Module):
    """Image to embedding, stride `patch_size`.

    Parameters
    ----------
    img_size, patch_size, in_chans : int
        Side of the square input and of a patch in pixels, channels.
    embed_dim, depth, num_heads, mlp_dim : int
        Width of a token, blocks, heads, inner width of the MLPs.
    window_size : int
        Side of a window in tokens.
    global_attn_indexes : tuple of int
        Blocks without windows.
    out_chans : int
        Channels of the embedding.
    """

    def __init__(
        self,
        img_size: int = 1024,
        patch_size: int = 16,
        in_chans: int = 3,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        window_size: int = 14,
        global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11),
        out_chans: int = 256,
    ) -> None:
        super().__init__()
        cells = img_size // patch_size
        self.patch_embed = PatchEmbed(patch_size, in_chans, embed_dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, cells, cells, embed_dim))
        self.blocks = nn.ModuleList(
            Block(
                embed_dim,
                num_heads,
                mlp_dim,
                (cells, cells),
                0 if index in global_attn_indexes else window_size,
            )
            for index in range(depth)
        )
        self.neck = neck(embed_dim, out_chans)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute attention and MLPs in `dtype`; sums and normalisations stay as they are.

        So do the early blocks (`EARLY_SHARE`), as their error would go through all later ones; but
        for attention over the whole grid, where that would take the longest.
        """
        for index, block in enumerate(self.blocks):
            early = index < int(EARLY_SHARE * len(self.blocks))
            if not (early and block.window_size):
                block.attn.to(dtype)
            if not early:
                block.mlp.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Encode `x` (B, 3, S, S), normalised and padded, as (B, out_chans, S/16, S/16)."""
        return self._encode(self.blocks, x)

    def encode_corner(self, x: Tensor) -> Tensor:
        """Encode the corner (B, 3, s, s) of an image with one block of each kind; for `probe`."""
        kinds = {block.window_size: block for block in self.blocks}
        return self._encode(kinds.values(), x)

    def _encode(self, blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
        x = self.patch_embed(x)
        x = x + self.pos_embed[:, : x.shape[1], : x.shape[2]]
        for block in blocks:
            stopping.check()
            x = block(x)
        embedding: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return embedding


def relative_positions(table: Tensor, side: int) -> Tensor:
    """Return the rows (side, side, c) of a table (2 * side - 1, c) by query minus key."""
    place = torch.arange(side, device=table.device)
    return table[place[:, None] - place[None, :] + side - 1]


def build(checkpoint: Checkpoint, name: str, device: str) -> SamModel:
    """Return the model that a checkpoint holds.

    Raises
    ------
    ValueError
        If a tensor is missing, left over or of another shape.
    """
    shape = checkpoint.shape
    part = "image_encoder."
    patches = shape(f"{part}patch_embed.proj.weight")
    if len(patches) == 5:
        raise ValueError("its patches have 3 axes: only 2-D models can be used")
    if patches[1:] != (COLOURS, STRIDE, STRIDE) or not patches[0]:
        raise ValueError(
            f"its patches must be (width, {COLOURS}, {STRIDE}, {STRIDE}), but are {patches}"
        )
    width, channels, patch, _ = patches
    cells = shape(f"{part}pos_embed", 4)[1]
    depth = checkpoint.count(f"{part}blocks.")
    tables = [shape(f"{part}blocks.{i}.attn.rel_pos_h", 2) for i in range(depth)]
    sides, channels_of_head = [(rows + 1) // 2 for rows, _ in tables], tables[0][1]
    if width % channels_of_head:
        raise ValueError(f"its width {width} is no multiple of a head's {channels_of_head}")
    with torch.device("meta"):
        encoder = ImageEncoderViT(
            img_size=cells * patch,
            patch_size=patch,
            in_chans=channels,
            embed_dim=width,
            depth=depth,
            num_heads=width // channels_of_head,
            mlp_dim=shape(f"{part}blocks.0.mlp.lin1.weight", 2)[0],
            window_size=next((side for side in sides if side != cells), 0),
            global_attn_indexes=tuple(i for i, side in enumerate(sides) if side == cells),
            out_chans=shape(f"{part}neck.0.weight", 4)[0],
        )
    return SamModel(assemble(encoder, checkpoint, cells * patch), name, device)
