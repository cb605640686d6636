"""SAM's two-way transformer: prompt tokens and the image attend to each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import MLPBlock

Images = Sequence[Tensor]
"""A part of the image for each prompt, (N, C): one after another they stay near the cores."""


class Attention(nn.Module):
    """Multi-head attention that may work in a narrower width.

    Parameters
    ----------
    embedding_dim : int
        Width of queries, keys and values.
    num_heads : int
        Number of heads.
    downsample_rate : int
        The inner width is `embedding_dim // downsample_rate`.
    """

    def __init__(self, embedding_dim: int, num_heads: int, downsample_rate: int = 1) -> None:
        super().__init__()
        inner = embedding_dim // downsample_rate
        if inner % num_heads:
            raise ValueError(f"inner width {inner} is not a multiple of {num_heads} heads")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embedding_dim, inner)
        self.k_proj = nn.Linear(embedding_dim, inner)
        self.v_proj = nn.Linear(embedding_dim, inner)
        self.out_proj = nn.Linear(inner, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from `q` (B, N, C) to `k`, `v` (B, M, C); returns (B, N, C)."""
        q, k, v = (self._split(x) for x in (self.q_proj(q), self.k_proj(k), self.v_proj(v)))
        out = F.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return result

    def keys_of(self, image: Tensor) -> Tensor:
        """Return the keys (heads, c, N) of an image (N, C)."""
        return self._split(self.k_proj(image)).mT.contiguous()

    def values_of(self, image: Tensor) -> Tensor:
        """Return the values (heads, N, c) of an image (N, C)."""
        return self._split(self.v_proj(image)).contiguous()

    def queries_of(self, image: Tensor) -> Tensor:
        """Return the queries (heads, c, N) of an image (N, C)."""
        return self._split(self.q_proj(image)).mT.contiguous()

    def to_image(
        self, tokens: Tensor, keys: Tensor, values: Tensor | None, own: Images | None
    ) -> Tensor:
        """Attend from tokens to the image.

        The image is a sum: a part that all prompts share, whose keys and values are given, and a
        part of each prompt. That one is not projected: with few tokens it is cheaper to bring them
        to the image's width, so the projection's weights go over to the other side of each product.

        Parameters
        ----------
        tokens : (B, T, C) float
        keys : (heads, c, N) float
        values : (heads, N, c) float, or None where the shared part has none
        own : B tensors (N, C) float, or None where no prompt has a part of its own

        Returns
        -------
        (B, T, C) float
        """
        seen, brought = [], []
        for scores, part in self._scores(self.q_proj(tokens), keys, own, self.k_proj):
            weights = scores.softmax(-1)
            if values is not None:
                seen.append(weights @ values)
            if part is not None:
                brought.append((weights.flatten(0, 1) @ part).reshape(*weights.shape[:2], -1))
        if seen:
            told = torch.stack(seen).to(tokens.dtype)  # (B, heads, T, c)
        else:
            told = self._per_head(self.v_proj.bias)[:, None]
        if brought:
            wide = torch.stack(brought).to(tokens.dtype)
            told = told + wide @ self._per_head(self.v_proj.weight).mT
        result: Tensor = self.out_proj(told.transpose(1, 2).flatten(2))
        return result

    def from_image(
        self, images: Images, queries: Tensor, own: Images | None, keys: Tensor, values: Tensor
    ) -> list[Tensor]:
        """Attend from the image to tokens, and add what they tell to the image; see `to_image`.

        Parameters
        ----------
        images : B tensors (N, C) float
        queries : (heads, c, N) float
            Of the part that all prompts share.
        own : B tensors (N, C) float or None
        keys, values : (B, T, C) float

        Returns
        -------
        B tensors (N, C) float
        """
        told = self._split(self.v_proj(values)) @ self._per_head(self.out_proj.weight.T)
        told = told + self.out_proj.bias / self.num_heads  # the weights of a head have the sum 1
        told = told.flatten(1, 2).to(queries.dtype)  # (B, heads*T, C)
        scores = self._scores(self.k_proj(keys), queries, own, self.q_proj)
        return [
            torch.addmm(image, score.softmax(-2).flatten(0, 1).T, own_told)
            for image, (score, _), own_told in zip(images, scores, told, strict=True)
        ]

    def _scores(
        self, tokens: Tensor, shared: Tensor, own: Images | None, projection: nn.Linear
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield, for each prompt, products of its tokens and the projected image, and its own part.

        Parameters
        ----------
        tokens : (B, T, inner) float
        shared : (heads, c, N) float
        own : B tensors (N, C) float or None
        projection : nn.Linear

        Yields
        ------
        scores : (heads, T, N) float
        part : (N, C) float or None
        """
        x = self._split(tokens)
        x = x * x.shape[-1] ** -0.5
        near = x.to(shared.dtype)
        if own is None:
            yield from ((one @ shared, None) for one in near)
            return
        wide = (x @ self._per_head(projection.weight)).flatten(1, 2).to(shared.dtype)
        for one, far, part in zip(near, wide, own, strict=True):
            scores = one @ shared
            dtype = scores.dtype  # autocast, which training uses, lowers this product and no sum
            scores.flatten(0, 1).addmm_(far.to(dtype), part.T.to(dtype))
            yield scores, part

    def _per_head(self, parameter: Tensor) -> Tensor:
        return parameter.reshape(self.num_heads, -1, *parameter.shape[1:])

    def _split(self, x: Tensor) -> Tensor:
        heads = x.reshape(*x.shape[:-1], self.num_heads, -1)  # (..., N, heads, c)
        return heads.transpose(-2, -3)


@dataclass(frozen=True)
class LayerSide:
    """Projections of the image that one layer needs, the same for all prompts.

    Attributes
    ----------
    keys : (heads, c, N) float
        To which the tokens attend.
    values : (heads, N, c) float or None
        None where the shared part of the image is only its positions.
    queries : (heads, c, N) float
        From which the image attends.
    """

    keys: Tensor
    values: Tensor | None
    queries: Tensor


@dataclass(frozen=True)
class ImageSide:
    """What the decoder needs of an image, as far as no prompt changes it.

    Attributes
    ----------
    size : (h, w) int
    image : (h*w, C) float or None
        The shared part; None if all of the image comes with the prompts.
    layers : tuple of LayerSide
    last_keys : (heads, c, N) float
        Of the last look from the tokens to the image.
    """

    size: tuple[int, int]
    image: Tensor | None
    layers: tuple[LayerSide, ...]
    last_keys: Tensor

    def to(self, dtype: torch.dtype) -> ImageSide:
        """Return the same in another precision."""

        def lowered(x: Tensor | None) -> Any:
            return None if x is None else x.to(dtype)

        layers = [LayerSide(*map(lowered, (x.keys, x.values, x.queries))) for x in self.layers]
        return ImageSide(self.size, lowered(self.image), tuple(layers), lowered(self.last_keys))


class TwoWayAttentionBlock(nn.Module):
    """Self-attention of the tokens, tokens to image, MLP, image to tokens.

    Parameters
    ----------
    embedding_dim, num_heads, mlp_dim : int
        Width, heads, inner width of the MLP.
    attention_downsample_rate : int
        Of the two cross-attentions.
    skip_first_layer_pe : bool
        Leave the positions out of the first self-attention.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        attention_downsample_rate: int = 2,
        skip_first_layer_pe: bool = False,
    ) -> None:
        super().__init__()
        rate = attention_downsample_rate
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(embedding_dim, num_heads, rate)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLPBlock(embedding_dim, mlp_dim, nn.ReLU)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(embedding_dim, num_heads, rate)
        self.skip_first_layer_pe = skip_first_layer_pe

    def side(self, image: Tensor | None, positions: Tensor) -> LayerSide:
        """Project the shared part of the image, (N, C) or None, and its positions (N, C)."""
        placed = positions if image is None else image + positions
        seen, told = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        values = None if image is None else seen.values_of(image)
        return LayerSide(seen.keys_of(placed), values, told.queries_of(placed))

    def forward(
        self,
        queries: Tensor,
        query_pe: Tensor,
        side: LayerSide,
        images: Images,
        own: Images | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Update tokens and image.

        Parameters
        ----------
        queries, query_pe : (B, T, C) float
        side : LayerSide
            Of the part that all prompts share.
        images : B tensors (N, C) float
            The whole of each prompt.
        own : B tensors (N, C) float or None
            The part that is not shared.

        Returns
        -------
        queries : (B, T, C) float
        images : B tensors (N, C) float
        """
        if self.skip_first_layer_pe:
            queries = self.self_attn(queries, queries, queries)
        else:
            q = queries + query_pe
            queries = queries + self.self_attn(q, q, queries)
        queries = self.norm1(queries)
        q = queries + query_pe
        seen = self.cross_attn_token_to_image.to_image(q, side.keys, side.values, own)
        queries = self.norm2(queries + seen)
        queries = self.norm3(queries + self.mlp(queries.to(self.mlp.lin1.weight.dtype)))
        images = self.cross_attn_image_to_token.from_image(
            images, side.queries, own, queries + query_pe, queries
        )
        return queries, [self.norm4(image) for image in images]


class TwoWayTransformer(nn.Module):
    """A stack of two-way blocks and a last look from the tokens to the image.

    Parameters
    ----------
    depth, embedding_dim, num_heads, mlp_dim : int
        Number of blocks, width, heads, inner width of the MLPs.
    attention_downsample_rate : int
        Of the cross-attentions.
    """

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        attention_downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(
                embedding_dim, num_heads, mlp_dim, attention_downsample_rate, i == 0
            )
            for i in range(depth)
        )
        self.final_attn_token_to_image = Attention(
            embedding_dim, num_heads, attention_downsample_rate
        )
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def side(self, image: Tensor | None, image_pe: Tensor) -> ImageSide:
        """Project what all prompts share.

        Parameters
        ----------
        image : (1, C, h, w) float or None
            None if all of the image comes with the prompts.
        image_pe : (1, C, h, w) float

        Returns
        -------
        ImageSide
        """
        positions = image_pe[0].flatten(1).T  # (h*w, C)
        shared = None if image is None else image[0].flatten(1).T.contiguous()
        layers = tuple(
            cast(TwoWayAttentionBlock, layer).side(None if index else shared, positions)
            for index, layer in enumerate(self.layers)
        )
        last = self.final_attn_token_to_image.keys_of(positions)
        size = (image_pe.shape[2], image_pe.shape[3])
        return ImageSide(size, shared, layers, last)

    def forward(
        self, side: ImageSide, own: Tensor | None, tokens: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Exchange: the tokens of all prompts at once, the image of each prompt by itself.

        Parameters
        ----------
        side : ImageSide
        own : (B, C, h, w) float or None
            The part of the image that is not shared.
        tokens : (B, T, C) float

        Returns
        -------
        tokens : (B, T, C) float
        images : B tensors (h*w, C) float
        """
        extra: Images | None = None
        images: Images = [] if side.image is None else [side.image] * len(tokens)
        if own is not None:
            extra = own.flatten(2).transpose(1, 2).contiguous().unbind()
            images = extra if side.image is None else [side.image + part for part in extra]
        queries = tokens
        for layer, projected in zip(self.layers, side.layers, strict=True):
            queries, images = layer(queries, tokens, projected, images, extra)
            extra = images
        last = self.final_attn_token_to_image
        seen = last.to_image(queries + tokens, side.last_keys, None, images)
        return self.norm_final_attn(queries + seen), list(images)
