"""SAM 2's mask decoder: SAM's, with finer features, a score of the object, and stable masks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .blocks import MLP, LayeredMLP
from .mask_decoder import MaskDecoder
from .two_way import ImageProjections, TwoWayTransformer

STABILITY_DELTA = 0.05
"""A mask is compared above and below its threshold by this, in logits."""
STABILITY_THRESHOLD = 0.98
"""Least quotient of the two areas that a single mask is kept with."""


class FineFeatures(NamedTuple):
    """The finer maps of an image, cell by cell of its embedding.

    Attributes
    ----------
    s1 : (h*w * 4, C/4)
        Of each cell, its 2 x 2 quarters.
    s0 : (h*w * 16, C/8)
        Of each quarter, again 2 x 2.
    """

    s1: Tensor
    s0: Tensor

    @classmethod
    def of(cls, s0: Tensor, s1: Tensor, dtype: torch.dtype) -> FineFeatures:
        """Return maps (1, C/8, 4h, 4w) and (1, C/4, 2h, 2w) in that order."""
        height, width = s1.shape[2] // 2, s1.shape[3] // 2
        fine = s0[0].reshape(-1, height, 2, 2, width, 2, 2).permute(1, 4, 2, 5, 3, 6, 0)
        coarse = s1[0].reshape(-1, height, 2, width, 2).permute(1, 3, 2, 4, 0)
        return cls(*(x.flatten(0, -2).to(dtype).contiguous() for x in (coarse, fine)))


class Decoded(NamedTuple):
    """Answers to B prompts.

    Attributes
    ----------
    logits : B tensors (M, 4h, 4w)
    iou : (B, M)
    tokens : (B, M, C)
        What the decoder made of the masks' tokens; object pointers come from them.
    presence : (B,)
        Logit of whether there is an object.
    """

    logits: list[Tensor]
    iou: Tensor
    tokens: Tensor
    presence: Tensor


class Sam2MaskDecoder(MaskDecoder):
    """Predict masks, their IoU and whether there is an object (Ravi et al., ICLR 2025).

    Parameters
    ----------
    transformer_dim : int
        Width of tokens and image embedding.
    transformer : TwoWayTransformer
    mlp_dim : int
        Inner width of its MLPs.
    num_multimask_outputs : int
        Masks beside the single one.
    iou_head_depth, iou_head_hidden_dim : int
        Shape of the IoU head.
    """

    def __init__(
        self,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        mlp_dim: int,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        dim = transformer_dim
        for layer in transformer.layers:
            layer.mlp = LayeredMLP(dim, mlp_dim, relu=True)
        super().__init__(
            dim, transformer, num_multimask_outputs, iou_head_depth, iou_head_hidden_dim
        )
        self.conv_s0 = nn.Conv2d(dim, dim // 8, 1)
        self.conv_s1 = nn.Conv2d(dim, dim // 4, 1)
        self.obj_score_token = nn.Embedding(1, dim)
        self.pred_obj_score_head = MLP(dim, dim, 1, 3)

    def set_precision(self, dtype: torch.dtype) -> None:
        """Compute the MLPs and products with the image in `dtype`; sums and norms stay."""
        super().set_precision(dtype)
        for layer in self.transformer.layers:
            layer.get_submodule("mlp").to(dtype)

    def answer(
        self,
        projections: ImageProjections,
        fine: FineFeatures,
        sparse: Tensor,
        dense: Tensor | None,
        several: bool,
    ) -> Decoded:
        """Predict masks of each prompt.

        Parameters
        ----------
        projections : ImageProjections
            Of the image, from `project_image`.
        fine : FineFeatures
        sparse : (B, K, C) float
        dense : (B, C, h, w) float or None
            To be added to the image; all of it where the projections hold none.
        several : bool
            All masks but the single one. Else one mask: the single one, or the best of the others
            where its outline is not stable.

        Returns
        -------
        Decoded
        """
        output = torch.cat(
            [self.obj_score_token.weight, self.iou_token.weight, self.mask_tokens.weight]
        )
        tokens = torch.cat([output.expand(len(sparse), -1, -1), sparse], dim=1)
        if dense is not None:
            dense = dense.to(projections.final_keys.dtype)
        hidden, images = self.transformer(projections, dense, tokens)
        presence = self.pred_obj_score_head(hidden[:, 0])[:, 0]
        iou = self.iou_prediction_head(hidden[:, 1]).sigmoid()
        of_masks = hidden[:, 2 : 2 + self.num_mask_tokens]
        weights = torch.stack(
            [mlp(of_masks[:, i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )  # (B, masks, C/8)
        if several:
            logits = [
                self._mask_logits(image, weight[1:], projections.size, fine)
                for image, weight in zip(images, weights, strict=True)
            ]
            return Decoded(logits, iou[:, 1:], of_masks[:, 1:], presence)
        best = 1 + iou[:, 1:].argmax(1)
        logits, kept = [], []
        for image, weight, other in zip(images, weights, best.tolist(), strict=True):
            pair = self._mask_logits(image, weight[[0, other]], projections.size, fine)
            choice = 0 if stable(pair[0]) else 1
            logits.append(pair[choice : choice + 1])
            kept.append(other * choice)
        chosen = torch.tensor(kept, device=iou.device)[:, None]
        return Decoded(logits, iou.gather(1, chosen), of_masks[:, :1], presence)


def stable(logits: Tensor) -> bool:
    """Tell whether a mask (h, w) hardly depends on where its logits are cut."""
    inner = int((logits > STABILITY_DELTA).sum())
    outer = int((logits > -STABILITY_DELTA).sum())
    return outer == 0 or inner >= STABILITY_THRESHOLD * outer
