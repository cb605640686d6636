"""SAM's mask decoder: a two-way transformer between prompt tokens and the image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import MLP, LayerNorm2d, MLPBlock


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
        few = 4 * k.shape[2] < q.shape[2]  # from the image to the tokens
        out = attend_to_few(q, k, v) if few else F.scaled_dot_product_attention(q, k, v)
        return self._joined(out)

    def to_image(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from tokens (B, T, C) to the image (B or 1, N, C); returns (B, T, C).

        With few tokens it is cheaper to bring them to the image's width than to project the
        image: the projection's weights go over to the other side of each product. The bias of
        the keys shifts all scores of a token alike, which the softmax does not see.
        """
        if not self._folds(tokens):
            keys, values = (x.expand(len(tokens), -1, -1) for x in (keys, values))
            return self.forward(tokens, keys, values)
        q: Tensor = self._split(self.q_proj(tokens)) * self._scale
        weights = (self._fold(q, self.k_proj) @ keys.transpose(1, 2)).softmax(-1)  # (B, heads*T, N)
        seen = self._by_head(weights @ values)  # (B, heads, T, C)
        out = seen @ self._per_head(self.v_proj.weight).transpose(1, 2)
        return self._joined(out + self._per_head(self.v_proj.bias)[:, None])

    def from_image(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from the image (B or 1, N, C) to tokens (B, T, C); returns (B, N, C).

        As in `to_image`, the tokens are brought to the image's width.
        """
        if not self._folds(keys):
            return self.forward(queries.expand(len(keys), -1, -1), keys, values)
        k, v = self._split(self.k_proj(keys)) * self._scale, self._split(self.v_proj(values))
        shift = (k @ self._per_head(self.q_proj.bias)[:, :, None]).flatten(1, 2)
        scores = self._fold(k, self.q_proj) @ queries.transpose(1, 2) + shift  # (B, heads*T, N)
        weights = self._by_head(scores).softmax(2).flatten(1, 2)
        brought = (v @ self._per_head(self.out_proj.weight.T)).flatten(1, 2)  # (B, heads*T, C)
        return torch.baddbmm(self.out_proj.bias, weights.transpose(1, 2), brought)

    @property
    def _scale(self) -> float:
        return float((self.q_proj.out_features // self.num_heads) ** -0.5)

    def _folds(self, tokens: Tensor) -> bool:
        return self.num_heads * tokens.shape[1] < self.q_proj.out_features

    def _fold(self, x: Tensor, projection: nn.Linear) -> Tensor:
        """Bring (B, heads, T, c) before a projection: (B, heads*T, C)."""
        return (x @ self._per_head(projection.weight)).flatten(1, 2)

    def _per_head(self, parameter: Tensor) -> Tensor:
        return parameter.reshape(self.num_heads, -1, *parameter.shape[1:])

    def _by_head(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.num_heads, -1, x.shape[-1])  # from (B, heads*T, C)

    def _split(self, x: Tensor) -> Tensor:
        heads = x.reshape(*x.shape[:-1], self.num_heads, -1)  # (B, N, heads, c)
        return heads.transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        result: Tensor = self.out_proj(x.transpose(1, 2).flatten(2))
        return result


def attend_to_few(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return scaled dot-product attention of many queries to few keys.

    The weights are kept as (keys, queries): their softmax then runs along whole rows of memory,
    three times as fast as the fused attention does with a handful of keys.

    Parameters
    ----------
    q : (B, heads, N, c) float
    k, v : (B, heads, M, c) float

    Returns
    -------
    (B, heads, N, c) float
    """
    weights = (k * k.shape[-1] ** -0.5) @ q.transpose(-1, -2)  # (B, heads, M, N)
    out: Tensor = v.transpose(-1, -2) @ weights.softmax(-2)
    return out.transpose(-1, -2)


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

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens (B, T, C) and image (B or 1, N, C), each with its positions."""
        if self.skip_first_layer_pe:
            queries = self.self_attn(queries, queries, queries)
        else:
            q = queries + query_pe
            queries = queries + self.self_attn(q, q, queries)
        queries = self.norm1(queries)
        q, placed = queries + query_pe, keys + key_pe
        seen = self.cross_attn_token_to_image.to_image(q, placed, keys)
        queries = self.norm2(queries + seen)
        queries = self.norm3(queries + self.mlp(queries))
        told = self.cross_attn_image_to_token.from_image(placed, queries + query_pe, queries)
        return queries, self.norm4(keys + told)


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

    def forward(self, image: Tensor, image_pe: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the updated tokens (B, T, C) and the updated image (B, h*w, C).

        `image` and `image_pe` are (B or 1, C, h, w), `tokens` is (B, T, C).
        """
        keys = image.flatten(2).transpose(1, 2)  # (B, h*w, C)
        key_pe = image_pe.flatten(2).transpose(1, 2)
        queries = tokens
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, key_pe)
        q = queries + tokens
        queries = queries + self.final_attn_token_to_image.to_image(q, keys + key_pe, keys)
        return self.norm_final_attn(queries), keys


class MaskDecoder(nn.Module):
    """Predict masks and their IoU from image and prompts (Kirillov et al., ICCV 2023).

    Parameters
    ----------
    transformer_dim : int
        Width of tokens and image embedding.
    transformer : TwoWayTransformer
        The exchange between them.
    num_multimask_outputs : int
        Masks beside the single one.
    iou_head_depth, iou_head_hidden_dim : int
        Shape of the IoU head.
    """

    def __init__(
        self,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__()
        dim = transformer_dim
        self.transformer_dim = dim
        self.transformer = transformer
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, kernel_size=2, stride=2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth
        )

    def forward(
        self, image: Tensor, image_pe: Tensor, sparse: Tensor, dense: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict every mask of each prompt.

        Parameters
        ----------
        image : (1, C, h, w) float
        image_pe : (1, C, h, w) float
        sparse : (B, K, C) float
        dense : (B, C, h, w) float

        Returns
        -------
        logits : (B, 1 + num_multimask_outputs, 4h, 4w) float
        iou : (B, 1 + num_multimask_outputs) float
        """
        batch = sparse.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(batch, -1, -1), sparse], dim=1)
        hidden, keys = self.transformer(image + dense, image_pe, tokens)
        mask_tokens = hidden[:, 1 : 1 + self.num_mask_tokens]
        weights = torch.stack(
            [mlp(mask_tokens[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)],
            dim=1,
        )  # (B, masks, C/8)
        h, w = image.shape[-2:]
        logits = self._masks(keys, weights).reshape(batch, h, w, 2, 2, 2, 2, -1)
        grid = logits.permute(0, 7, 1, 3, 5, 2, 4, 6)  # rows of three steps, columns of three
        return grid.reshape(batch, -1, 4 * h, 4 * w), self.iou_prediction_head(hidden[:, 0])

    def _masks(self, keys: Tensor, weights: Tensor) -> Tensor:
        """Up-sample each cell to 4 x 4 and multiply with the weights of each mask.

        The transposed convolutions do not overlap, so each is a product of every cell; the cells
        are brought into order when only the logits are left of them.

        Parameters
        ----------
        keys : (B, N, C) float
        weights : (B, masks, C/8) float

        Returns
        -------
        (B, N * 16, masks) float
            For each cell, row and column of the first step, then of the second.
        """
        layers: list[Any] = list(self.output_upscaling)
        first, norm, act, second, act_again = layers
        x = _upscaled(keys, first)  # (B, N * 4, C/4)
        x = act(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = act_again(_upscaled(x, second))  # (B, N * 16, C/8)
        logits: Tensor = x @ weights.transpose(1, 2)
        return logits


def _upscaled(x: Tensor, convolution: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution of stride 2 to cells (B, N, C): (B, N * 4, outputs)."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # (2, 2, outputs, C)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    return F.linear(x, weight.flatten(0, 2), bias).reshape(len(x), -1, weight.shape[2])
