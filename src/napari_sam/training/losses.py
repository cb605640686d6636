"""What is learnt: masks, their predicted IoU, presence, and the fields of the instance head."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .fields import InstanceTargets

CLICK_WEIGHT = 0.5
"""Of the loss under the clicks."""
FIELD_WEIGHT = 4.0
"""Of the squared error of the field, beside the cross-entropy of foreground."""
UNLABELLED = 0.15
"""Weight as background of what is unlabelled where not every object is labelled."""


class PromptLoss(NamedTuple):
    """Loss of one round of prompting P objects.

    Attributes
    ----------
    masks : (P,) float
    score : (P,) float
        Absolute error of the predicted IoU, mean over the masks.
    best : (P,) int64
        The mask with the highest predicted IoU.
    reached : (P, M) float
        True IoU.
    """

    masks: Tensor
    score: Tensor
    best: Tensor
    reached: Tensor


def mask_loss(logits: Tensor, truth: Tensor, focal_weight: float = 20.0) -> Tensor:
    """Focal and dice loss of every mask (Kirillov et al., ICCV 2023, 20 : 1).

    Parameters
    ----------
    logits : (P, M, h, w) float
    truth : (P, h, w) float, 0..1
    focal_weight : float
        Weight of the focal loss; the dice loss has weight 1.

    Returns
    -------
    (P, M) float
    """
    target = truth[:, None].expand_as(logits)
    raw = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    chance = logits.sigmoid()
    wrong = (chance - target).abs()
    focal = (wrong * wrong * raw).mean(dim=(-2, -1))
    overlap = (chance * target).sum(dim=(-2, -1))
    total = chance.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    dice = 1 - (2 * overlap + 1) / (total + 1)
    return focal_weight * focal + dice


@torch.no_grad()
def true_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the IoU of thresholded logits (P, M, h, w) with truth (P, h, w), as (P, M)."""
    answer, target = logits > 0, (truth > 0.5)[:, None]
    union = (answer | target).sum(dim=(-2, -1))
    return (answer & target).sum(dim=(-2, -1)) / union.clamp(min=1)


def click_loss(logits: Tensor, coords: Tensor, labels: Tensor, stride: int) -> Tensor:
    """Cross-entropy under the clicks: whatever a mask takes an object for, it heeds them.

    Parameters
    ----------
    logits : (P, M, h, w) float
    coords : (P, N, 2) float, (x, y) in pixels of the crop
    labels : (P, N) int64
        1 object, 0 background, -1 padding.
    stride : int
        Pixels along a cell of the logits.

    Returns
    -------
    () float
    """
    size = coords.new_tensor([logits.shape[-1], logits.shape[-2]]) * stride
    unit = (coords + 0.5) / size * 2 - 1
    read = F.grid_sample(logits, unit[:, None], align_corners=False, padding_mode="border")
    target = (labels == 1).float()[:, None, None].expand_as(read)
    raw = F.binary_cross_entropy_with_logits(read, target, reduction="none")
    known = (labels >= 0).float()[:, None, None].expand_as(read)
    return (raw * known).sum() / known.sum().clamp(min=1)


def prompt_loss(logits: Tensor, iou: Tensor, truth: Tensor) -> PromptLoss:
    """Loss of one round of prompting.

    The first mask must answer every prompt; of the others only the best one learns. The predicted
    IoU of each learns by its absolute error, as in SAM 2 (Ravi et al., arXiv:2408.00714).

    Parameters
    ----------
    logits : (P, M, h, w) float, at the resolution of `truth`
    iou : (P, M) float, predicted
    truth : (P, h, w) float, 0..1

    Returns
    -------
    PromptLoss
    """
    masks = mask_loss(logits, truth)
    reached = true_iou(logits, truth)
    own = masks[:, 0] + masks[:, 1:].amin(dim=1)
    return PromptLoss(own, (iou - reached).abs().mean(1), iou.argmax(dim=1), reached)


def instance_loss(
    instances: Tensor, targets: InstanceTargets, complete: Tensor, unlabelled: float = UNLABELLED
) -> Tensor:
    """Cross-entropy of foreground and squared error of the field.

    Where not every object is labelled, only objects and what adjoins them are known; the rest
    counts a little as background, or such images would teach that all is foreground.

    Parameters
    ----------
    instances : (B, 3, h, w) float
        Logit of foreground, and the field.
    targets : InstanceTargets
    complete : (B, h, w) bool, or what broadcasts to it
        Where every object is labelled.
    unlabelled : float
        Weight as background of what is not labelled elsewhere.

    Returns
    -------
    () float
    """
    known = (targets.foreground > 0) | targets.near | complete
    raw = F.binary_cross_entropy_with_logits(instances[:, 0], targets.foreground, reduction="none")
    error = (instances[:, 1:] - targets.field).square().sum(1)
    weight = torch.where(known, 1.0, unlabelled)
    loss = raw * weight + FIELD_WEIGHT * error * known
    return loss.sum() / weight.sum().clamp(min=1)
