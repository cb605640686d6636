"""SAM's mask decoder: a two-way transformer between prompt tokens and the image."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, cast

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
        out = F.scaled_dot_product_attention(q, k, v)
        result: Tensor = self.out_proj(out.transpose(1, 2).flatten(2))
        return result

    def keys_of(self, image: Tensor) -> Tensor:
        """Return the keys (heads, c, N) of an image (N, C)."""
        return self._split(self.k_proj(image)).transpose(-1, -2).contiguous()

    def values_of(self, image: Tensor) -> Tensor:
        """Return the values (heads, N, c) of an image (N, C)."""
        return self._split(self.v_proj(image)).contiguous()

    def queries_of(self, image: Tensor) -> Tensor:
        """Return the queries (heads, c, N) of an image (N, C)."""
        return self._split(self.q_proj(image)).transpose(-1, -2).contiguous()

    def to_image(
        self, tokens: Tensor, keys: Tensor, values: Tensor | None, own: Tensor | None
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
        own : (B, N, C) float, or None where no prompt has a part of its own

        Returns
        -------
        (B, T, C) float
        """
        weights = self._scores(self.q_proj(tokens), keys, own, self.k_proj).softmax(-1)
        seen = weights @ values if values is not None else self._per_head(self.v_proj.bias)[:, None]
        if own is not None:
            brought = self._by_head(weights.flatten(1, 2) @ own)  # (B, heads, T, C)
            seen = seen + brought.to(tokens.dtype) @ self._per_head(self.v_proj.weight).mT
        result: Tensor = self.out_proj(seen.to(tokens.dtype).transpose(1, 2).flatten(2))
        return result

    def from_image(
        self, image: Tensor, queries: Tensor, own: Tensor | None, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Attend from the image to tokens, and add what they tell to the image; see `to_image`.

        Parameters
        ----------
        image : (B or 1, N, C) float
        queries : (heads, c, N) float
            Of the part that all prompts share.
        own : (B, N, C) float or None
        keys, values : (B, T, C) float

        Returns
        -------
        (B, N, C) float
        """
        weights = self._scores(self.k_proj(keys), queries, own, self.q_proj).softmax(-2)
        told = self._split(self.v_proj(values)) @ self._per_head(self.out_proj.weight.T)
        told = told + self.out_proj.bias / self.num_heads  # the weights of a head have the sum 1
        told = told.flatten(1, 2).to(image.dtype)  # (B, heads*T, C)
        return torch.baddbmm(image, weights.flatten(1, 2).transpose(1, 2), told)

    def _scores(
        self, tokens: Tensor, shared: Tensor, own: Tensor | None, projection: nn.Linear
    ) -> Tensor:
        """Return products (B, heads, T, N) of tokens (B, T, inner) and the projected image."""
        x = self._split(tokens)
        x = x * x.shape[-1] ** -0.5
        scores: Tensor = x.to(shared.dtype) @ shared
        if own is None:
            return scores
        wide = (x @ self._per_head(projection.weight)).flatten(1, 2).to(own.dtype)
        triples = zip(scores.flatten(1, 2), wide, own, strict=True)
        # one prompt at a time: products of batches would copy what is transposed
        return self._by_head(torch.stack([torch.addmm(s, w, image.T) for s, w, image in triples]))

    def _per_head(self, parameter: Tensor) -> Tensor:
        return parameter.reshape(self.num_heads, -1, *parameter.shape[1:])

    def _by_head(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), self.num_heads, -1, x.shape[-1])  # from (B, heads*T, M)

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
    image : (1, h*w, C) float or None
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
        image: Tensor,
        own: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Update tokens and image.

        Parameters
        ----------
        queries, query_pe : (B, T, C) float
        side : LayerSide
            Of the part that all prompts share.
        image : (B or 1, N, C) float
            The whole.
        own : (B, N, C) float or None
            The part of each prompt.

        Returns
        -------
        queries : (B, T, C) float
        image : (B, N, C) float
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
        image = self.cross_attn_image_to_token.from_image(
            image, side.queries, own, queries + query_pe, queries
        )
        return queries, self.norm4(image)


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
        return ImageSide(size, None if shared is None else shared[None], layers, last)

    def forward(self, side: ImageSide, own: Tensor | None, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange.

        Parameters
        ----------
        side : ImageSide
        own : (B, C, h, w) float or None
            The part of the image that is not shared.
        tokens : (B, T, C) float

        Returns
        -------
        tokens : (B, T, C) float
        image : (B, h*w, C) float
        """
        extra = None if own is None else own.flatten(2).transpose(1, 2).contiguous()
        parts = [part for part in (side.image, extra) if part is not None]
        image, queries = sum(parts[1:], parts[0]), tokens
        for layer, projected in zip(self.layers, side.layers, strict=True):
            queries, image = layer(queries, tokens, projected, image, extra)
            extra = image
        last = self.final_attn_token_to_image
        seen = last.to_image(queries + tokens, side.last_keys, None, image)
        return self.norm_final_attn(queries + seen), image


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
        return self.answer(self.side(image, image_pe), sparse, dense)

    def lower(self, dtype: torch.dtype) -> None:
        """Compute the MLPs and products with the image in `dtype`; sums and norms stay."""
        for module in self.modules():
            if isinstance(module, MLPBlock | nn.ConvTranspose2d):
                module.to(dtype)
            if isinstance(module, nn.ConvTranspose2d):  # laid out as `_upscaled` reads them
                laid = module.weight.permute(2, 3, 1, 0).contiguous()
                module.weight.data = laid.permute(3, 2, 0, 1)

    def side(self, image: Tensor, image_pe: Tensor) -> ImageSide:
        """Return what is the same for all prompts of an image; arguments as in `forward`."""
        dtype = self.output_upscaling[0].get_parameter("weight").dtype
        return self.transformer.side(image, image_pe).to(dtype)

    def answer(
        self, side: ImageSide, sparse: Tensor, dense: Tensor | None, masks: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Predict masks of each prompt.

        Parameters
        ----------
        side : ImageSide
        sparse : (B, K, C) float
        dense : (B, C, h, w) float or None
            To be added to the image.
        masks : slice
            Which of the masks.

        Returns
        -------
        logits : (B, masks, 4h, 4w) float
        iou : (B, masks) float
        """
        batch = sparse.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(batch, -1, -1), sparse], dim=1)
        extra = dense if dense is None or side.image is None else dense.to(side.image.dtype)
        hidden, keys = self.transformer(side, extra, tokens)
        mlps = list(enumerate(self.output_hypernetworks_mlps))[masks]
        weights = torch.stack([mlp(hidden[:, 1 + i]) for i, mlp in mlps], dim=1)  # (B, masks, C/8)
        iou = self.iou_prediction_head(hidden[:, 0])
        return self._masks(keys, weights, side.size), iou[:, masks]

    def _masks(self, keys: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
        """Up-sample each cell to 4 x 4 and multiply with the weights of each mask.

        The transposed convolutions do not overlap, so each is a product of every cell; the cells
        are brought into order when only the logits are left of them.

        Parameters
        ----------
        keys : (B, h*w, C) float
        weights : (B, masks, C/8) float
        size : (h, w) int

        Returns
        -------
        (B, masks, 4h, 4w) float
        """
        layers: list[Any] = list(self.output_upscaling)
        first, norm, act, second, act_again = layers
        x = _upscaled(keys, first)  # (B, h*w * 4, C/4)
        x = act(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = act_again(_upscaled(x, second))  # (B, h*w * 16, C/8)
        fine = x @ weights.to(x.dtype).transpose(1, 2)
        fine = fine.unflatten(1, (*size, 16))  # rows and columns of the first step, of the second
        logits = weights.new_empty(len(x), weights.shape[1], size[0], 4, size[1], 4)
        for place, (row, column, y, x_) in enumerate(product((0, 1), repeat=4)):
            logits[:, :, :, 2 * row + y, :, 2 * column + x_] = fine[:, :, :, place].movedim(-1, 1)
        return logits.flatten(4, 5).flatten(2, 3)


def _upscaled(x: Tensor, convolution: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution of stride 2 to cells (B, N, C): (B, N * 4, outputs)."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # (2, 2, outputs, C)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    return F.linear(x, weight.flatten(0, 2), bias).reshape(len(x), -1, weight.shape[2])
