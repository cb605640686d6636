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
"""A tensor (N, C) for each prompt: one after another they stay in the processor's cache."""


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

    def project_keys(self, image: Tensor) -> Tensor:
        """Return the keys (heads, c, N) of an image (N, C)."""
        return self._split(self.k_proj(image)).mT.contiguous()

    def project_values(self, image: Tensor) -> Tensor:
        """Return the values (heads, N, c) of an image (N, C)."""
        return self._split(self.v_proj(image)).contiguous()

    def project_queries(self, image: Tensor) -> Tensor:
        """Return the queries (heads, c, N) of an image (N, C)."""
        return self._split(self.q_proj(image)).mT.contiguous()

    def to_image(
        self, tokens: Tensor, keys: Tensor, values: Tensor | None, per_prompt: Images | None
    ) -> Tensor:
        """Attend from tokens to the image.

        The image is a sum: a part that all prompts share, whose keys and values are given, and a
        part per prompt. The latter is not projected: with few tokens it is cheaper to project the
        tokens to the image's width, with the same weights on the other side of each product.

        Parameters
        ----------
        tokens : (B, T, C) float
        keys : (heads, c, N) float
        values : (heads, N, c) float, or None where the shared part has none
        per_prompt : B tensors (N, C) float, or None where all of the image is shared

        Returns
        -------
        (B, T, C) float
        """
        from_shared, from_prompt = [], []
        for scores, part in self._scores(self.q_proj(tokens), keys, per_prompt, self.k_proj):
            weights = scores.softmax(-1)  # (heads, T, N)
            if values is not None:
                from_shared.append(weights @ values)
            if part is not None:
                from_prompt.append((weights.flatten(0, 1) @ part).reshape(*weights.shape[:2], -1))
        if from_shared:
            context = torch.stack(from_shared).to(tokens.dtype)  # (B, heads, T, c)
        else:
            context = self._per_head(self.v_proj.bias)[:, None]  # (heads, 1, c)
        if from_prompt:
            unprojected = torch.stack(from_prompt).to(tokens.dtype)  # (B, heads, T, C)
            context = context + unprojected @ self._per_head(self.v_proj.weight).mT
        result: Tensor = self.out_proj(context.transpose(1, 2).flatten(2))
        return result

    def from_image(
        self,
        images: Images,
        queries: Tensor,
        per_prompt: Images | None,
        keys: Tensor,
        values: Tensor,
    ) -> list[Tensor]:
        """Attend from the image to tokens, and add the result to the image; see `to_image`.

        Parameters
        ----------
        images : B tensors (N, C) float
        queries : (heads, c, N) float
            Of the part that all prompts share.
        per_prompt : B tensors (N, C) float or None
        keys, values : (B, T, C) float

        Returns
        -------
        B tensors (N, C) float
        """
        values = self._split(self.v_proj(values)) @ self._per_head(self.out_proj.weight.T)
        values = values + self.out_proj.bias / self.num_heads  # a head's weights have the sum 1
        values = values.flatten(1, 2).to(queries.dtype)  # (B, heads*T, C)
        scores = self._scores(self.k_proj(keys), queries, per_prompt, self.q_proj)
        return [
            torch.addmm(image, score.softmax(-2).flatten(0, 1).T, value)
            for image, (score, _), value in zip(images, scores, values, strict=True)
        ]

    def _scores(
        self, tokens: Tensor, shared: Tensor, per_prompt: Images | None, projection: nn.Linear
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield, per prompt, products of its tokens and the projected image, and its part of that.

        Parameters
        ----------
        tokens : (B, T, inner) float
        shared : (heads, c, N) float
        per_prompt : B tensors (N, C) float or None
        projection : nn.Linear
            Of the image, as `shared` went through it.

        Yields
        ------
        scores : (heads, T, N) float
        part : (N, C) float or None
        """
        x = self._split(tokens)  # (B, heads, T, c)
        x = x * x.shape[-1] ** -0.5
        narrow = x.to(shared.dtype)
        if per_prompt is None:
            yield from ((token @ shared, None) for token in narrow)
            return
        wide = x @ self._per_head(projection.weight)  # (B, heads, T, C)
        wide = wide.flatten(1, 2).to(shared.dtype)
        for token, wide_token, part in zip(narrow, wide, per_prompt, strict=True):
            scores = token @ shared
            dtype = scores.dtype  # autocast, which training uses, lowers this product and no sum
            scores.flatten(0, 1).addmm_(wide_token.to(dtype), part.T.to(dtype))
            yield scores, part

    def _per_head(self, parameter: Tensor) -> Tensor:
        return parameter.reshape(self.num_heads, -1, *parameter.shape[1:])

    def _split(self, x: Tensor) -> Tensor:
        heads = x.reshape(*x.shape[:-1], self.num_heads, -1)  # (..., N, heads, c)
        return heads.transpose(-2, -3)


@dataclass(frozen=True)
class LayerProjections:
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
class ImageProjections:
    """What the decoder needs of an image, as far as no prompt changes it; a cache of keys, values.

    Attributes
    ----------
    size : (h, w) int
    image : (h*w, C) float or None
        The shared part; None if all of the image comes with the prompts.
    layers : tuple of LayerProjections
    final_keys : (heads, c, N) float
        Of the final attention from the tokens to the image.
    """

    size: tuple[int, int]
    image: Tensor | None
    layers: tuple[LayerProjections, ...]
    final_keys: Tensor

    def to(self, dtype: torch.dtype) -> ImageProjections:
        """Return the same in another precision."""

        def convert(x: Tensor | None) -> Any:
            return None if x is None else x.to(dtype)

        layers = tuple(
            LayerProjections(*map(convert, (x.keys, x.values, x.queries))) for x in self.layers
        )
        return ImageProjections(self.size, convert(self.image), layers, convert(self.final_keys))


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

    def project_image(self, image: Tensor | None, positions: Tensor) -> LayerProjections:
        """Project the shared part of the image, (N, C) or None, and its positions (N, C)."""
        placed = positions if image is None else image + positions
        to_image, from_image = self.cross_attn_token_to_image, self.cross_attn_image_to_token
        values = None if image is None else to_image.project_values(image)
        keys, queries = to_image.project_keys(placed), from_image.project_queries(placed)
        return LayerProjections(keys, values, queries)

    def forward(
        self,
        queries: Tensor,
        query_pe: Tensor,
        projections: LayerProjections,
        images: Images,
        per_prompt: Images | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Update tokens and image.

        Parameters
        ----------
        queries, query_pe : (B, T, C) float
        projections : LayerProjections
            Of the part of the image that all prompts share.
        images : B tensors (N, C) float
            The whole image of each prompt.
        per_prompt : B tensors (N, C) float or None
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
        attended = self.cross_attn_token_to_image.to_image(
            queries + query_pe, projections.keys, projections.values, per_prompt
        )
        queries = self.norm2(queries + attended)
        queries = self.norm3(queries + self.mlp(queries.to(self.mlp.lin1.weight.dtype)))
        images = self.cross_attn_image_to_token.from_image(
            images, projections.queries, per_prompt, queries + query_pe, queries
        )
        return queries, [self.norm4(image) for image in images]


class TwoWayTransformer(nn.Module):
    """A stack of two-way blocks and a final attention from the tokens to the image.

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

    def project_image(self, image: Tensor | None, image_pe: Tensor) -> ImageProjections:
        """Project what all prompts share.

        Parameters
        ----------
        image : (1, C, h, w) float or None
            None if all of the image comes with the prompts.
        image_pe : (1, C, h, w) float

        Returns
        -------
        ImageProjections
        """
        positions = image_pe[0].flatten(1).T  # (h*w, C)
        shared = None if image is None else image[0].flatten(1).T.contiguous()
        layers = tuple(
            cast(TwoWayAttentionBlock, layer).project_image(None if index else shared, positions)
            for index, layer in enumerate(self.layers)
        )
        final_keys = self.final_attn_token_to_image.project_keys(positions)
        size = (image_pe.shape[2], image_pe.shape[3])
        return ImageProjections(size, shared, layers, final_keys)

    def forward(
        self, projections: ImageProjections, per_prompt: Tensor | None, tokens: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Update tokens and image: the tokens of all prompts in a batch, the images one by one.

        Parameters
        ----------
        projections : ImageProjections
        per_prompt : (B, C, h, w) float or None
            The part of the image that is not shared.
        tokens : (B, T, C) float

        Returns
        -------
        tokens : (B, T, C) float
        images : B tensors (h*w, C) float
        """
        shared = projections.image
        parts: Images | None = None
        images: Images = [] if shared is None else [shared] * len(tokens)
        if per_prompt is not None:
            parts = per_prompt.flatten(2).transpose(1, 2).contiguous().unbind()  # B of (h*w, C)
            images = parts if shared is None else [shared + part for part in parts]
        queries = tokens
        for layer, projected in zip(self.layers, projections.layers, strict=True):
            queries, images = layer(queries, tokens, projected, images, parts)
            parts = images  # behind the first layer nothing but the positions is shared
        attended = self.final_attn_token_to_image.to_image(
            queries + tokens, projections.final_keys, None, images
        )
        return self.norm_final_attn(queries + attended), list(images)
