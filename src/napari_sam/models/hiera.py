"""SAM 2's image encoder: Hiera with windows (Ryali et al., ICML 2023; Ravi et al., ICLR 2025).

Tokens are not kept as rows of a grid, but in the order of `hiera_order`. Parameters have their
published names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import stopping
from .blocks import LayeredMLP
from .hiera_order import BLOCK, Windows, morton, places_of, pool, windows_of

EPS = 1e-6  # of the layer normalisations
PATCH, PATCH_STRIDE = 7, 4
STAGES = 4
CHUNK_SCORES = 2**20
"""Scores of attention in bfloat16 that one thread computes at a time: they stay in its cache."""
PART = 4096
"""Tokens that the first blocks take at a time with one thread, for the same reason."""
SHARED = 4
"""Times as many scores where there are several threads, which wait for each other after each piece;
the first blocks then take the whole image."""


class Shape(NamedTuple):
    """What the tensors of a trunk do not tell.

    Attributes
    ----------
    heads : int
        Of the first stage; each later one has twice as many.
    windows : (4,) int
        Side of the windows of each stage, in its tokens.
    whole : tuple of int
        Blocks whose attention covers the whole image.
    """

    heads: int
    windows: tuple[int, int, int, int]
    whole: tuple[int, ...]


SHAPES: Mapping[tuple[int, ...], Shape] = {
    (1, 2, 7, 2): Shape(1, (8, 4, 14, 7), (5, 7, 9)),
    (1, 2, 11, 2): Shape(1, (8, 4, 14, 7), (7, 10, 13)),
    (2, 3, 16, 3): Shape(2, (8, 4, 14, 7), (12, 16, 20)),
    (2, 6, 36, 4): Shape(2, (8, 4, 16, 8), (23, 33, 43)),
}
"""The published trunks (tiny, small, base+, large) by the number of blocks of each stage."""


class PatchEmbed(nn.Module):
    """Overlapping patches: a quarter of the size.

    Parameters
    ----------
    dim : int
        Width of a token.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH, PATCH_STRIDE, PATCH // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, H/4, W/4, C)."""
        x = x.to(self.proj.weight.dtype, memory_format=torch.channels_last)
        patches: Tensor = self.proj(x)
        return patches.permute(0, 2, 3, 1)


class Attention(nn.Module):
    """Self-attention inside groups of tokens, whose queries may be pooled.

    Parameters
    ----------
    dim, dim_out, num_heads : int
        Width before and after, heads.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)

    def forward(self, x: Tensor, windows: Windows, pooled: bool) -> Tensor:
        """Map (B, N, dim) to (B, N, dim_out), or to a quarter of the tokens.

        Windows that reach beyond the image are filled up with zeros, which are keys like any other.
        """
        batch, tokens, _ = x.shape
        if windows.gather is None:
            qkv = self.qkv(x)
        else:  # the last token is zero and stands for those beyond the image
            qkv = self.qkv(F.pad(x, (0, 0, 0, 1))).index_select(1, windows.gather)
        width = qkv.shape[2]
        qkv = qkv.reshape(
            -1, windows.tokens or tokens, 3, self.num_heads, width // 3 // self.num_heads
        )
        q, k, v = qkv.unbind(2)  # (G, T, heads, c)
        if pooled:
            q = pool(q)
        out = attend(q, k, v).reshape(batch, -1, width // 3)
        back = windows.back_pooled if pooled else windows.back
        result: Tensor = self.proj(out if back is None else out.index_select(1, back))
        return result


class Block(nn.Module):
    """A transformer block; the first one of a stage may pool.

    Parameters
    ----------
    dim, dim_out, num_heads, hidden : int
        Width before and after, heads, inner width of the MLP.
    """

    def __init__(self, dim: int, dim_out: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPS)
        self.attn = Attention(dim, dim_out, num_heads)
        self.norm2 = nn.LayerNorm(dim_out, eps=EPS)
        self.mlp = LayeredMLP(dim_out, hidden)
        self.proj = nn.Linear(dim, dim_out) if dim != dim_out else None

    def forward(self, x: Tensor, windows: Windows) -> Tensor:
        """Map (B, N, dim) to (B, N, dim_out), or to a quarter of the tokens."""
        dtype = self.attn.qkv.weight.dtype
        normed = self.norm1(x).to(dtype)
        if self.proj is not None:
            x = pool(self.proj(normed)).to(x.dtype)
        x = x + self.attn(normed, windows, self.proj is not None)
        out: Tensor = x + self.mlp(self.norm2(x).to(dtype))
        return out


class Hiera(nn.Module):
    """Image to the tokens of four stages, strides 4, 8, 16 and 32.

    Parameters
    ----------
    dims : (4,) int
        Width of each stage.
    hidden : (4,) int
        Inner width of its MLPs.
    depths : (4,) int
        Blocks of each stage, a key of `SHAPES`.
    background : (h, w) int
        Size of the coarse positional embedding.
    """

    def __init__(
        self,
        dims: tuple[int, ...],
        hidden: tuple[int, ...],
        depths: tuple[int, ...],
        background: tuple[int, int],
    ) -> None:
        super().__init__()
        shape = SHAPES[depths]
        self.patch_embed = PatchEmbed(dims[0])
        self.pos_embed = nn.Parameter(torch.zeros(1, dims[0], *background))
        self.pos_embed_window = nn.Parameter(torch.zeros(1, dims[0], BLOCK, BLOCK))
        self.stage_of = tuple(stage for stage, depth in enumerate(depths) for _ in range(depth))
        # a block that pools belongs to the next stage, but attends in the windows before
        before = (0, *self.stage_of[:-1])
        self.windows = tuple(
            0 if index in shape.whole else shape.windows[stage]
            for index, stage in enumerate(before)
        )
        self.blocks = nn.ModuleList(
            Block(dims[old], dims[new], shape.heads * 2**new, hidden[new])
            for old, new in zip(before, self.stage_of, strict=True)
        )

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute products in `dtype`; sums and normalisations stay as they are."""
        self.patch_embed.to(dtype)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                module.to(dtype)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Encode `x` (B, 3, S, S), normalised, as the tokens of each stage: parts (B, n, C).

        The first blocks look no further than a block of 8 x 8 tokens, so they run on a part of the
        image at a time.
        """
        side = x.shape[-1] // PATCH_STRIDE
        patches = morton(self.patch_embed(x))
        places = places_of(side, self.pos_embed.shape[2:], self.pos_embed.dtype, x.device)
        local = next(i for i, window in enumerate(self.windows) if window != self._block(i))
        parts = []
        alone = x.device.type == "cpu" and torch.get_num_threads() == 1
        step = PART if alone else side * side
        for start in range(0, side * side, step):
            part = slice(start, start + step)
            tokens = self._positions(places[part]) + patches[:, part]
            parts.append(self._run(tokens, range(local), side))
        *stages, last = map(list, zip(*parts, strict=True))
        rest = self._run(torch.cat(last, 1), range(local, len(self.blocks)), side)
        return [*stages, *([one] for one in rest)]

    def _block(self, index: int) -> int:
        """Return the side of a block of 8 x 8 tokens in the tokens that a layer is given."""
        return BLOCK >> self.stage_of[max(index - 1, 0)]

    def _run(self, x: Tensor, blocks: range, side: int) -> list[Tensor]:
        """Return the tokens behind some blocks: those of each stage that ends, then the last."""
        found = []
        for index in blocks:
            stopping.check()
            block = self._block(index)
            if block != self._block(index + 1):
                found.append(x)
            tokens = side * block // BLOCK
            x = self.blocks[index](x, windows_of(tokens, block, self.windows[index], x.device))
        return [*found, x]

    def _positions(self, places: Tensor) -> Tensor:
        """Return the positional embedding (1, N, C): a coarse map, and that of a block.

        Parameters
        ----------
        places : (N, h * w) float
            Weights of the coarse map; N is a multiple of the tokens of a block.
        """
        tokens = places @ self.pos_embed[0].flatten(1).T
        window = morton(self.pos_embed_window.permute(0, 2, 3, 1))
        return (tokens.reshape(-1, BLOCK * BLOCK, tokens.shape[1]) + window).flatten(0, 1)[None]


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax attention of q (G, T, heads, c) to k, v (G, M, heads, c), as (G, T, heads, c).

    In bfloat16 a processor multiplies whole matrices, at most `CHUNK_SCORES` scores at a time:
    torch's own fused attention takes two to three times as long there.
    """
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    heads = q.shape[1]
    q, k, v = (x.flatten(0, 1) for x in (q, k, v))
    q = q * q.shape[2] ** -0.5
    out = torch.empty_like(q)
    scores = q.shape[1] * k.shape[1]
    most = CHUNK_SCORES if torch.get_num_threads() == 1 else SHARED * CHUNK_SCORES
    groups = max(1, most // scores)
    for start in range(0, len(q), groups):
        some = slice(start, start + groups)
        if scores < most:
            out[some] = torch.bmm(torch.bmm(q[some], k[some].mT).softmax(-1), v[some])
        else:
            _attend_in_parts(q[start], k[start], v[start], out[start], most // len(k[start]))
    return out.reshape(-1, heads, *out.shape[1:]).transpose(1, 2)


def _attend_in_parts(q: Tensor, k: Tensor, v: Tensor, out: Tensor, most: int) -> None:
    """Write softmax(q @ k.T) @ v into `out`, all of one group (T, c), at most so many rows each."""
    columns = v.T.contiguous()
    queries = max(1, most)
    for start in range(0, len(q), queries):
        part = slice(start, start + queries)
        out[part] = F.linear(F.linear(q[part], k).softmax(-1), columns)
