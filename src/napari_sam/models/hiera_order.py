"""The order of SAM 2's tokens, and which of them attend to each other.

Blocks of 8 x 8 tokens of the first stage follow each other row by row, and inside a block the bits
of row and column alternate (Morton order). So pooling takes the maximum of four neighbours in
memory, and blocks, which are the windows of the first two stages, need no copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
"""Side of a block in tokens of the first stage: after three poolings it is one token."""
POOL = 4
"""Tokens, 2 x 2, that the step to the next stage makes one of."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Which tokens attend to each other.

    Attributes
    ----------
    tokens : int
        Of a window; 0 for all.
    gather : (windows * tokens,) int64 Tensor or None
        The tokens of one window after another, the number of tokens for one beyond the image; None
        where they lie like that.
    back, back_pooled : (N,), (N / 4,) int64 Tensor or None
        Where a token, and a pooled one, is found in that.
    """

    tokens: int
    gather: Tensor | None = None
    back: Tensor | None = None
    back_pooled: Tensor | None = None


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # they are kept, also for work that records gradients
def windows_of(side: int, block: int, window: int, device: torch.device) -> Windows:
    """Return the windows of a stage.

    Parameters
    ----------
    side : int
        Of the image in tokens.
    block : int
        Side of a block in tokens; see the module.
    window : int
        Side of a window; 0 for the whole image.
    device : torch.device

    Returns
    -------
    Windows
    """
    if window == 0:
        return Windows(0)
    if window == block:
        return Windows(window * window)
    count = -(-side // window)
    tokens = torch.arange(side * side, device="cpu")
    place = tokens.new_full((count * window, count * window), side * side)
    place[:side, :side] = unmorton(tokens[None, :, None], side, block)[0, ..., 0]
    # window after window; in each, the 2 x 2 tokens that are pooled follow each other
    parts = place.reshape(count, window, count, window).permute(0, 2, 1, 3)
    if window % 2 == 0:
        parts = parts.reshape(count, count, window // 2, 2, window // 2, 2).transpose(3, 4)
    gather = parts.flatten()
    back = gather.argsort()[: side * side]
    return Windows(window**2, *(x.to(device) for x in (gather, back, back[::POOL] // POOL)))


def pool(x: Tensor) -> Tensor:
    """Return the maximum of each four tokens of (B, N, ...), (B, N / 4, ...)."""
    a, b, c, d = x.reshape(len(x), -1, POOL, *x.shape[2:]).unbind(2)
    return torch.maximum(torch.maximum(a, b), torch.maximum(c, d))  # quicker than amax


def morton(grid: Tensor, block: int = BLOCK) -> Tensor:
    """Return the cells of a grid (B, H, W, C) as tokens (B, H * W, C); `block` is a power of 2."""
    bits = block.bit_length() - 1
    batch, high, wide, width = grid.shape
    x = grid.reshape(batch, high // block, *[2] * bits, wide // block, *[2] * bits, width)
    pairs = [axis for bit in range(bits + 1) for axis in (1 + bit, 2 + bits + bit)]
    return x.permute(0, *pairs, x.ndim - 1).reshape(batch, high * wide, width)


def unmorton(tokens: Tensor, side: int, block: int = BLOCK) -> Tensor:
    """Return tokens (B, side * side, C) as a grid (B, side, side, C)."""
    bits = block.bit_length() - 1
    batch, _, width = tokens.shape
    x = tokens.reshape(batch, side // block, side // block, *[2] * (2 * bits), width)
    rows, columns = range(1, 2 * bits + 3, 2), range(2, 2 * bits + 3, 2)
    return x.permute(0, *rows, *columns, x.ndim - 1).reshape(batch, side, side, width)


@lru_cache(maxsize=4)
@torch.inference_mode(False)
def places_of(side: int, size: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the matrix (side * side, h * w) that resizes a map (h, w) bicubically, as torch does.

    Its rows are in the order of tokens.
    """
    rows, columns = (
        F.interpolate(
            torch.eye(n, dtype=dtype, device=device)[None, None], (side, n), mode="bicubic"
        )[0, 0]
        for n in size
    )
    both = rows[:, None, :, None] * columns[:, None]  # (side, side, h, w)
    return morton(both.flatten(2)[None])[0]
