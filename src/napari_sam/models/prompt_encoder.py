"""SAM's prompt encoder: points, boxes and a low-resolution mask become embeddings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .blocks import LayerNorm2d


class PositionEmbeddingRandom(nn.Module):
    """Positions as random Fourier features (Tancik et al., NeurIPS 2020).

    Parameters
    ----------
    num_pos_feats : int
        Half of the embedding's width.
    scale : float
        Standard deviation of the random frequencies.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int = 64, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer(
            "positional_encoding_gaussian_matrix",
            scale * torch.randn(2, num_pos_feats),
        )

    def encode(self, unit_coords: Tensor) -> Tensor:
        """Embed coordinates.

        Parameters
        ----------
        unit_coords : (..., 2) float, (x, y) in 0..1 of the model's input

        Returns
        -------
        (..., 2 * num_pos_feats) float
        """
        angles = (2 * unit_coords - 1) @ self.positional_encoding_gaussian_matrix
        angles = 2 * math.pi * angles
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Embed the pixel centres of a grid of `size` (h, w) as (C, h, w)."""
        h, w = size
        like = self.positional_encoding_gaussian_matrix
        y = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
        x = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
        grid = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], dim=-1)
        return self.encode(grid).permute(2, 0, 1)  # (C, h, w)


class PromptEncoder(nn.Module):
    """Encode prompts as sparse tokens and a dense map (Kirillov et al., ICCV 2023).

    Parameters
    ----------
    embed_dim : int
        Width of a token.
    image_embedding_size : (h, w) int
        Grid of the image embedding.
    input_image_size : (h, w) int
        Size of the model's padded input, in pixels.
    mask_in_chans : int
        Hidden channels of the mask branch.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        # background point, foreground point, first and second corner of a box
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, embed_dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        self.mask_input_size = (4 * image_embedding_size[0], 4 * image_embedding_size[1])
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, kernel_size=2, stride=2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def get_dense_pe(self) -> Tensor:
        """Return the embedding of every cell of the image grid, (1, C, h, w)."""
        pe: Tensor = self.pe_layer(self.image_embedding_size)
        return pe[None]

    def forward(
        self,
        coords: Tensor,
        labels: Tensor,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode a batch of prompts.

        Parameters
        ----------
        coords : (B, N, 2) float, (x, y) in pixels of the model's input
        labels : (B, N) int
            1 object, 0 background, -1 padding.
        boxes : (B, 4) float or None, xyxy in pixels of the model's input
        masks : (B, 1, 4h, 4w) float or None
            Low-resolution logits of an earlier answer.

        Returns
        -------
        sparse : (B, K, C) float
        dense : (B, C, h, w) float
        """
        sparse = self.sparse(coords, labels, boxes)
        if masks is not None:
            return sparse, self.mask_downscaling(masks)
        h, w = self.image_embedding_size
        return sparse, self.no_mask().expand(len(coords), -1, h, w)

    def no_mask(self) -> Tensor:
        """Return what stands in every cell where there is no mask, (1, C, 1, 1)."""
        return self.no_mask_embed.weight[..., None, None]

    def sparse(self, coords: Tensor, labels: Tensor, boxes: Tensor | None) -> Tensor:
        """Encode points and boxes as tokens (B, K, C); arguments as in `forward`."""
        batch = coords.shape[0]
        parts = []
        if coords.shape[1]:
            if boxes is None:  # the published model always closes a point list
                coords = torch.cat([coords, coords.new_zeros(batch, 1, 2)], dim=1)
                labels = torch.cat([labels, -labels.new_ones(batch, 1)], dim=1)
            parts.append(self.embed_points(coords, labels))
        if boxes is not None:
            parts.append(self.embed_boxes(boxes))
        return torch.cat(parts, dim=1) if parts else coords.new_zeros(batch, 0, self.embed_dim)

    def embed_points(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Embed points (B, N, 2) with labels (B, N) as (B, N, C)."""
        table = torch.cat(
            [self.not_a_point_embed.weight, self._kind(0), self._kind(1)]
        )  # (3, C), row = label + 1
        position = self._position(coords) * (labels >= 0)[..., None]
        return position + table[labels + 1]

    def embed_boxes(self, boxes: Tensor) -> Tensor:
        """Embed the two corners of boxes (B, 4) as (B, 2, C)."""
        corners = self._position(boxes.reshape(-1, 2, 2))
        return corners + torch.cat([self._kind(2), self._kind(3)])

    def _kind(self, index: int) -> Tensor:
        return self.point_embeddings[index].get_parameter("weight")  # (1, C)

    def _position(self, coords: Tensor) -> Tensor:
        h, w = self.input_image_size
        # a coordinate names a pixel, its centre lies half a pixel further
        return self.pe_layer.encode((coords + 0.5) / coords.new_tensor([w, h]))
