"""The published SAM as two graphs: forward functions of its loaded layers that can be exported."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.pocket_decoder import attend_two_way
from ..models.sam import Sam
from ..models.vit import Attention, Block, ImageEncoderViT, relative_positions

MAX_SCORES = 2**23
"""Scores of attention over the whole grid that are computed at a time, of all heads together: with
what is made of them they take some 100 MB."""
SINGLE_WEIGHT, SINGLE_POINTS = 1000.0, 2.5
"""The published export chooses the single mask where there are more points than this."""


class SamEncoderGraph(nn.Module):
    """A plane (h, w, 3) uint8 to its embedding (1, C, S/16, S/16), as `SamModel.encode`.

    Parameters
    ----------
    sam : Sam
    """

    mean: Tensor
    std: Tensor

    def __init__(self, sam: Sam) -> None:
        super().__init__()
        encoder = sam.image_encoder
        self.size = sam.prompt_encoder.input_image_size[0]
        self.encoder = ViTGraph(encoder) if isinstance(encoder, ImageEncoderViT) else encoder
        self.register_buffer("mean", sam.pixel_mean)
        self.register_buffer("std", sam.pixel_std)

    def forward(self, image: Tensor) -> Tensor:
        """Return `image_embeddings`."""
        pixels = (image.permute(2, 0, 1).float() - self.mean) / self.std
        h, w = pixels.shape[-2:]
        padded = F.pad(pixels, (0, self.size - w, 0, self.size - h))[None]
        embedding: Tensor = self.encoder(padded)
        return embedding


class ViTGraph(nn.Module):
    """What `ImageEncoderViT.forward` computes, for inputs of its own size.

    Parameters
    ----------
    encoder : ImageEncoderViT
    """

    def __init__(self, encoder: ImageEncoderViT) -> None:
        super().__init__()
        self.patch_embed, self.pos_embed = encoder.patch_embed, encoder.pos_embed
        grid = encoder.pos_embed.shape[1:3]
        self.blocks = nn.ModuleList(
            BlockGraph(cast(Block, block), (grid[0], grid[1])) for block in encoder.blocks
        )
        self.neck = encoder.neck

    def forward(self, x: Tensor) -> Tensor:
        """Encode `x` (1, 3, S, S) as (1, C, S/16, S/16)."""
        x = self.patch_embed(x) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        embedding: Tensor = self.neck(x.permute(0, 3, 1, 2))
        return embedding


class BlockGraph(nn.Module):
    """What `Block.forward` computes on a grid of a known size.

    Parameters
    ----------
    block : Block
    grid : (h, w) int
    """

    def __init__(self, block: Block, grid: tuple[int, int]) -> None:
        super().__init__()
        self.norm1, self.norm2, self.mlp = block.norm1, block.norm2, block.mlp
        self.attn = AttentionGraph(block.attn, block.window_size, grid)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (1, h, w, C)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class AttentionGraph(nn.Module):
    """What `vit.Attention.forward` computes; relative positions are a bias of the scores.

    Parameters
    ----------
    attention : Attention
    window : int
        Side of a window in tokens; 0 for attention over the whole grid.
    grid : (h, w) int
    """

    rel_h: Tensor
    rel_w: Tensor

    def __init__(self, attention: Attention, window: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.qkv, self.proj = attention.qkv, attention.proj
        self.heads, self.grid = attention.num_heads, grid
        self.window = (window, window) if window else grid
        for name, table, side in zip(
            ("rel_h", "rel_w"), (attention.rel_pos_h, attention.rel_pos_w), self.window, strict=True
        ):
            rows = relative_positions(table.detach(), side)
            self.register_buffer(name, rows.mT.contiguous())  # (query, c, key)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape of `x` (1, h, w, C)."""
        (h, w), (wh, ww) = self.grid, self.window
        dim = x.shape[-1]
        rows, columns = -(-h // wh), -(-w // ww)  # of windows
        qkv = F.linear(x, self.qkv.weight)
        if (rows * wh, columns * ww) != (h, w):  # the projection of padding is its bias
            qkv = F.pad(qkv, (0, 0, 0, columns * ww - w, 0, rows * wh - h))
        qkv = qkv + self.qkv.bias
        qkv = qkv.reshape(rows, wh, columns, ww, 3, self.heads, dim // self.heads)
        qkv = qkv.permute(4, 0, 2, 5, 1, 3, 6)  # (3, rows, columns, heads, wh, ww, c)
        q, k, v = qkv.reshape(3, rows * columns * self.heads, wh, ww, dim // self.heads)
        out = self._attend(q, k.flatten(1, 2), v.flatten(1, 2))
        out = out.reshape(rows, columns, self.heads, wh, ww, dim // self.heads)
        out = out.permute(0, 3, 1, 4, 2, 5).reshape(1, rows * wh, columns * ww, dim)
        result: Tensor = self.proj(out[:, :h, :w])
        return result

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from q (G, wh, ww, c) to k, v (G, wh * ww, c); returns (G, wh * ww, c)."""
        groups, wh, ww, c = q.shape
        keys = k.mT * c**-0.5
        lines = wh if self.window != self.grid else max(1, MAX_SCORES // (groups * ww * wh * ww))
        parts = []
        for y in range(0, wh, lines):
            some = q[:, y : y + lines]  # (G, l, ww, c)
            by_row = some @ self.rel_h[y : y + lines]  # (G, l, ww, wh)
            by_column = (some.transpose(1, 2) @ self.rel_w).transpose(1, 2)  # (G, l, ww, ww)
            bias = by_row[..., :, None] + by_column[..., None, :]  # (G, l, ww, wh, ww)
            scores = some.reshape(groups, -1, c) @ keys
            scores = scores + bias.reshape(groups, -1, wh * ww)
            parts.append(scores.softmax(-1) @ v)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class SamDecoderGraph(nn.Module):
    """Prompts and an embedding to masks, with the inputs and outputs of the published export.

    Parameters
    ----------
    sam : Sam
    single_mask : bool
        Answer with one mask, chosen as the published export does.
    """

    positions: Tensor
    magnified: Tensor

    def __init__(self, sam: Sam, single_mask: bool = False) -> None:
        super().__init__()
        self.prompt_encoder, self.mask_decoder = sam.prompt_encoder, sam.mask_decoder
        self.size = sam.prompt_encoder.input_image_size[0]
        self.single_mask = single_mask
        positions = sam.prompt_encoder.get_dense_pe().detach()
        self.register_buffer("positions", positions[0].flatten(1).T.contiguous())  # (N, C)
        low = torch.eye(sam.prompt_encoder.mask_input_size[0])
        magnified = F.interpolate(
            low[None, None], (self.size, len(low)), mode="bilinear", align_corners=False
        )
        self.register_buffer("magnified", magnified[0, 0])  # (S, 4g)

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer P prompts on one image.

        Parameters
        ----------
        image_embeddings : (1, C, g, g) float
        point_coords : (P, N, 2) float, (x, y) in pixels of the model's input
        point_labels : (P, N) float
            1 object, 0 background, -1 padding, 2 and 3 the first and second corner of a box.
        mask_input : (P, 1, 4g, 4g) float
        has_mask_input : (1,) float
            0 where `mask_input` is to be left aside.
        orig_im_size : (2,) float
            (H, W) of the image, pixels.

        Returns
        -------
        masks : (P, M, H, W) float
            Logits in pixels of the image.
        iou_predictions : (P, M) float
        low_res_masks : (P, M, 4g, 4g) float
        """
        prompt, decoder = self.prompt_encoder, self.mask_decoder
        dense = prompt.mask_downscaling(mask_input)
        dense = has_mask_input * dense + (1 - has_mask_input) * prompt.no_mask()
        cells = (image_embeddings + dense).flatten(2).mT  # (P, N, C)
        output_tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        sparse = self._embed(point_coords, point_labels)
        tokens = torch.cat([output_tokens.expand(point_coords.shape[0], -1, -1), sparse], dim=1)
        hidden, cells = attend_two_way(decoder.transformer, tokens, cells, self.positions)
        iou = decoder.iou_prediction_head(hidden[:, 0])
        mlps = enumerate(decoder.output_hypernetworks_mlps)
        weights = torch.stack([mlp(hidden[:, 1 + i]) for i, mlp in mlps], dim=1)  # (P, M, C/8)
        low_res = self._mask_logits(cells, weights)
        if self.single_mask:
            first = SINGLE_WEIGHT * (point_coords.shape[1] - SINGLE_POINTS)
            preferred = torch.cat([iou[:, :1] + first, iou[:, 1:]], dim=1)
            best = preferred.argmax(dim=1, keepdim=True)
            iou = iou.gather(1, best)
            index = best[..., None, None].expand(-1, -1, *low_res.shape[2:])
            low_res = low_res.gather(1, index)
        return self._of_image(low_res, orig_im_size), iou, low_res

    def _embed(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Embed points (P, N, 2) with labels (P, N) as (P, N, C)."""
        prompt = self.prompt_encoder
        kinds = [embedding.get_parameter("weight") for embedding in prompt.point_embeddings]
        table = torch.cat([prompt.not_a_point_embed.weight, *kinds])  # row = label + 1
        position = prompt.pe_layer.encode((coords + 0.5) / self.size)
        return position * (labels >= 0)[..., None] + table[labels.long() + 1]

    def _mask_logits(self, cells: Tensor, weights: Tensor) -> Tensor:
        """Up-sample each cell to 4 x 4 and multiply with the weights of each mask.

        As `MaskDecoder._mask_logits`, of cells (P, g * g, C) and weights (P, M, C/8).
        """
        layers: list[Any] = list(self.mask_decoder.output_upscaling)
        first, norm, _, second, _ = layers
        x = _upscale(cells, first)  # (P, g * g * 4, C/4)
        x = F.gelu(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = F.gelu(_upscale(x, second))  # (P, g * g * 16, C/8)
        g, count = self.size // 16, weights.shape[1]
        logits = (weights @ x.mT).reshape(-1, count, g, g, 2, 2, 2, 2)
        logits = logits.permute(0, 1, 2, 4, 6, 3, 5, 7)  # (P, M, g, 2, 2, g, 2, 2)
        return logits.reshape(-1, count, 4 * g, 4 * g)

    def _of_image(self, low_res: Tensor, size: Tensor) -> Tensor:
        """Magnify logits to the input, cut the padding off, and resize them to the image."""
        scale = self.size / size.max()
        inner = (size * scale + 0.5).floor().long()
        sides: list[Any] = [side.item() for pair in (inner, size.long()) for side in pair]
        check: Any = torch._check  # the tracer cannot know the sizes
        for side in sides:
            check(side >= 1)
        h, w, high, wide = sides
        for side in (h, w):
            check(side <= self.size)
        rows, columns = self._axis(h, high), self._axis(w, wide)
        return rows @ (low_res @ columns.T)

    def _axis(self, inner: Any, outer: Any) -> Tensor:
        """Return the three steps along one axis, each of them linear, as a matrix (outer, 4g)."""
        kept = self.magnified[None, None, :inner]
        matrix = F.interpolate(kept, (outer, kept.shape[-1]), mode="bilinear", align_corners=False)
        return matrix[0, 0]


def _upscale(x: Tensor, convolution: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution of stride 2 to cells (P, N, C): (P, N * 4, outputs)."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # (2, 2, outputs, C)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    upscaled = F.linear(x, weight.flatten(0, 2), bias)
    return upscaled.reshape(x.shape[0], -1, weight.shape[2])
