"""SAM's mask decoder: two-way attention of tokens and image, then masks and their scores."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .blocks import MLP, InplaceGELU, LayerNorm2d, MLPBlock
from .two_way import ImageProjections, TwoWayTransformer


class MaskDecoder(nn.Module):
    """Predict masks and their IoU from image and prompts (Kirillov et al., ICCV 2023).

    Parameters
    ----------
    transformer_dim : int
        Width of tokens and image embedding.
    transformer : TwoWayTransformer
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
            InplaceGELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, kernel_size=2, stride=2),
            InplaceGELU(),
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
        logits, iou = self.predict_masks(self.project_image(image, image_pe), sparse, dense)
        return torch.stack(logits), iou

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute the MLPs and products with the image in `dtype`; sums and norms stay."""
        for module in self.modules():
            if isinstance(module, MLPBlock | nn.ConvTranspose2d):
                module.to(dtype)
            if isinstance(module, nn.ConvTranspose2d):  # in memory as `_upscale` reads them
                weight = module.weight.permute(2, 3, 1, 0).contiguous()
                module.weight.data = weight.permute(3, 2, 0, 1)

    def project_image(self, image: Tensor | None, image_pe: Tensor) -> ImageProjections:
        """Return what is the same for all prompts of an image; arguments as in `forward`."""
        dtype = self.output_upscaling[0].get_parameter("weight").dtype
        return self.transformer.project_image(image, image_pe).to(dtype)

    def predict_masks(
        self,
        projections: ImageProjections,
        sparse: Tensor,
        dense: Tensor | None,
        masks: slice = slice(None),
    ) -> tuple[list[Tensor], Tensor]:
        """Predict masks of each prompt.

        Parameters
        ----------
        projections : ImageProjections
            Of the image, from `project_image`.
        sparse : (B, K, C) float
        dense : (B, C, h, w) float or None
            To be added to the image.
        masks : slice
            Which of the masks.

        Returns
        -------
        logits : B tensors (masks, 4h, 4w) float
        iou : (B, masks) float
        """
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([output_tokens.expand(len(sparse), -1, -1), sparse], dim=1)
        if dense is not None and projections.image is not None:
            dense = dense.to(projections.image.dtype)
        hidden, images = self.transformer(projections, dense, tokens)
        mlps = list(enumerate(self.output_hypernetworks_mlps))[masks]
        weights = torch.stack([mlp(hidden[:, 1 + i]) for i, mlp in mlps], dim=1)  # (B, masks, C/8)
        iou = self.iou_prediction_head(hidden[:, 0])
        pairs = zip(images, weights, strict=True)
        logits = [self._mask_logits(image, weight, projections.size) for image, weight in pairs]
        return logits, iou[:, masks]

    def _mask_logits(
        self,
        image: Tensor,
        weights: Tensor,
        size: tuple[int, int],
        finer: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Up-sample each cell to 4 x 4 and multiply with the weights of each mask.

        The transposed convolutions do not overlap, so each is a product of every cell; the cells
        are brought into order when only the logits are left of them.

        Parameters
        ----------
        image : (h*w, C) float
        weights : (masks, C/8) float
        size : (h, w) int
        finer : (h*w * 4, C/4), (h*w * 16, C/8) float, optional
            Added behind the first and the second step, in the order of their cells.

        Returns
        -------
        (masks, 4h, 4w) float
        """
        layers: list[Any] = list(self.output_upscaling)
        conv1, norm, act1, conv2, act2 = layers
        x = _upscale(image, conv1)  # (h*w * 4, C/4)
        if finer is not None:
            x = x + finer[0]
        x = act1(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = _upscale(x, conv2)  # (h*w * 16, C/8)
        x = act2(x if finer is None else x + finer[1])
        products = (x @ weights.to(x.dtype).T).unflatten(0, (*size, 16))  # (h, w, 16, masks)
        logits = weights.new_empty(len(weights), size[0], 4, size[1], 4)
        for index, (y1, x1, y2, x2) in enumerate(product((0, 1), repeat=4)):  # of both steps
            logits[:, :, 2 * y1 + y2, :, 2 * x1 + x2] = products[:, :, index].movedim(-1, 0)
        return logits.flatten(3, 4).flatten(1, 2)  # (masks, 4h, 4w)


def _upscale(x: Tensor, convolution: nn.ConvTranspose2d) -> Tensor:
    """Apply a transposed convolution of stride 2 to cells (N, C): (N * 4, outputs)."""
    weight = convolution.weight.permute(2, 3, 1, 0)  # (2, 2, outputs, C)
    bias = None if convolution.bias is None else convolution.bias.repeat(4)
    return F.linear(x, weight.flatten(0, 2), bias).reshape(-1, weight.shape[2])
