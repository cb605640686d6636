"""SAM 2's memory attention: the features of a frame, told what earlier frames hold of an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import stopping

THETA = 10000.0
"""Base of the rotary frequencies."""
POSITION_WEIGHT = 0.1
"""Of the frame's positional encoding beside its features."""
BLOCK_QUERIES, BLOCK_KEYS = 512, 4096
"""Cells whose scores are computed at a time."""


class Memories(NamedTuple):
    """What is known of one object; frames in any order, then its pointers.

    Attributes
    ----------
    values : (M, memory_dim) float
        Cells of the frames, row by row, then the pointers.
    positions : (M, memory_dim) float
        Added for the keys.
    pointers : int
        How many of the last rows are pointers: they have no place in the image.
    """

    values: Tensor
    positions: Tensor
    pointers: int


class MemoryAttention(nn.Module):
    """Let the cells of a frame look at each other and at the memories of an object.

    The memory attention of SAM 2 (Ravi et al., 2024), with one head and axial rotary positions
    (Heo et al., ECCV 2024).

    Parameters
    ----------
    dim : int
        Channels of the features, a multiple of 4.
    memory_dim : int
        Channels of a memory.
    layers : int
    feedforward : int
        Inner width of the MLPs.
    """

    def __init__(self, dim: int, memory_dim: int, layers: int, feedforward: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(dim, memory_dim, feedforward) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self._rotation: tuple[tuple[int, int], Tensor, Tensor] | None = None

    def forward(
        self, image: Tensor, positions: Tensor, size: tuple[int, int], objects: Sequence[Memories]
    ) -> Tensor:
        """Return the features of a frame as each object's memories condition them.

        Parameters
        ----------
        image : (h*w, dim) float
            Features of the frame, row by row.
        positions : (h*w, dim) float
            Their positional encoding.
        size : (h, w) int
        objects : sequence of Memories
            Of P objects; cells of memories lie on the same grid.

        Returns
        -------
        (P, h*w, dim) float
        """
        rotation = self._rotation_of(size, image)
        image = (image + POSITION_WEIGHT * positions).expand(1, -1, -1)
        for layer in self.layers:
            image = layer(image, rotation, objects)
        out: Tensor = self.norm(image)
        return out

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute products in `dtype`; sums, norms and rotations stay."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.to(dtype)

    def _rotation_of(self, size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine (h*w, dim/2) of the angles of a grid; the latest are kept."""
        kept = self._rotation
        if kept is None or kept[0] != size or kept[1].device != like.device:
            kept = self._rotation = (size, *_angles(size, like))
        return kept[1], kept[2]


class _Layer(nn.Module):
    """Self-attention, attention to memories, and an MLP, each after a normalisation."""

    def __init__(self, dim: int, memory_dim: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = _Attention(dim, dim)
        self.cross_attn_image = _Attention(dim, memory_dim)
        self.linear1 = nn.Linear(dim, feedforward)
        self.linear2 = nn.Linear(feedforward, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor], objects: Sequence[Memories]
    ) -> Tensor:
        """Map (1 or P, h*w, dim) to (P, h*w, dim); one row is shared by all objects."""
        own = self.norm1(x)
        x = x + torch.stack([self.self_attn(one, one, one, rotation) for one in own])
        queries = self.norm2(x)
        seen = [
            self.cross_attn_image(
                queries[min(k, len(queries) - 1)],
                one.values + one.positions,
                one.values,
                rotation,
                one.pointers,
            )
            for k, one in enumerate(objects)
        ]
        x = x + torch.stack(seen)
        inner = F.relu(self.linear1(self.norm3(x).to(self.linear1.weight.dtype)))
        out: Tensor = x + self.linear2(inner)
        return out


class _Attention(nn.Module):
    """Attention with one head and rotary positions, values projected after they are weighted."""

    def __init__(self, dim: int, memory_dim: int) -> None:
        super().__init__()
        self.q_proj = nn.Linear(dim, dim)
        self.k_proj = nn.Linear(memory_dim, dim)
        self.v_proj = nn.Linear(memory_dim, dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        rotation: tuple[Tensor, Tensor],
        unplaced: int = 0,
    ) -> Tensor:
        """Return what each query sees.

        The weights of a query add up to 1, so that values may be weighted before they are
        projected: those of a memory have a quarter of the channels then.

        Parameters
        ----------
        queries : (h*w, dim) float
        keys, values : (M, memory_dim) float
        rotation : ((h*w, dim/2), (h*w, dim/2)) float
        unplaced : int
            Last rows of the keys that are not rotated.

        Returns
        -------
        (h*w, dim) float

        Raises
        ------
        Stopped
            If the result is no longer needed.
        """
        stopping.check()  # many objects take long
        dtype = self.q_proj.weight.dtype
        values = values.to(dtype)
        q = _rotated(_halves(self.q_proj, queries.to(dtype)), rotation)
        k = _halves(self.k_proj, keys.to(dtype))
        placed = len(k) - unplaced
        k = torch.cat([_rotated(k[:placed], rotation), k[placed:]])
        seen = weighted(q, k, values)
        out: Tensor = self.out_proj(self.v_proj(seen)).to(queries.dtype)
        return out


def _halves(projection: nn.Linear, x: Tensor) -> Tensor:
    """Return a projection with its even channels first; products of two do not change by that."""

    def order(weight: Tensor) -> Tensor:
        return torch.cat([weight[::2], weight[1::2]])

    return F.linear(x, order(projection.weight), order(projection.bias))


def _rotated(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate cells (T * h*w, dim), even channels first, each by the angles of its place."""
    cos, sin = rotation
    even, odd = x.to(cos.dtype).view(-1, len(cos), x.shape[1]).chunk(2, dim=-1)
    turned = torch.cat([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(0, 1).to(x.dtype)


def _angles(size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosine and sine (h*w, dim/2) of the angles: by column in the first half, by row."""
    dim = like.shape[1]
    frequencies = THETA ** (-4 * torch.arange(dim // 4, dtype=torch.float64) / dim)
    rows, columns = (torch.arange(side, dtype=torch.float64) for side in size)
    by_column = torch.outer(columns, frequencies).expand(size[0], -1, -1)
    by_row = torch.outer(rows, frequencies)[:, None].expand(-1, size[1], -1)
    angles = torch.cat([by_column, by_row], dim=-1).flatten(0, 1)
    cos, sin = angles.cos().to(like), angles.sin().to(like)
    return cos, sin


def weighted(q: Tensor, k: Tensor, values: Tensor) -> Tensor:
    """Return softmax(q @ k.T / sqrt(dim)) @ values, of q, k (N, dim), (M, dim), values (M, C).

    On a processor a block of scores at a time stays in its cache, and in bfloat16 this takes a
    quarter of the time of torch's fused attention.
    """
    if q.device.type != "cpu":
        batched = q[None, None], k[None, None], values[None, None]
        return F.scaled_dot_product_attention(batched[0], batched[1], batched[2])[0, 0]
    blocks = [
        (k[at : at + BLOCK_KEYS], values[at : at + BLOCK_KEYS])
        for at in range(0, len(k), BLOCK_KEYS)
    ]
    q = q * q.shape[1] ** -0.5
    parts = (q[at : at + BLOCK_QUERIES] for at in range(0, len(q), BLOCK_QUERIES))
    return torch.cat([_block_by_block(part, blocks) for part in parts])


def _block_by_block(q: Tensor, blocks: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Return softmax(q @ k.T) @ values of blocks of keys and values, by a running maximum.

    The online softmax of Milakov and Gimelshein (2018); sums are float32 at least.
    """
    exact = torch.promote_types(q.dtype, torch.float32)
    highest = q.new_full((len(q), 1), -torch.inf)
    total = torch.zeros((len(q), 1), dtype=exact)
    seen = torch.zeros((len(q), blocks[0][1].shape[1]), dtype=exact)
    for keys, values in blocks:
        scores = q @ keys.T
        higher = torch.maximum(highest, scores.amax(1, keepdim=True))
        fade = (highest - higher).to(exact).exp()
        weights = scores.sub_(higher).exp_()
        total = total * fade + weights.sum(1, keepdim=True, dtype=exact)
        seen = seen * fade + weights @ values
        highest = higher
    return (seen / total).to(q.dtype)
