"""The losses of the SAM paper: focal and dice on masks, squared error on the predicted IoU."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

IOU_WEIGHT = 5.0
"""Of the squared error of the predicted IoU; higher than in the paper, since ranking the masks
costs most of what is lost after one click."""
CLICK_WEIGHT = 0.5
"""Of the loss under the clicks."""


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


def depth_of(labels: Tensor, stride: int) -> Tensor:
    """Return how deep in its object each cell lies, as a part of the object's own depth.

    Parameters
    ----------
    labels : (B, S, S) int
    stride : int
        Pixels along a cell.

    Returns
    -------
    (B, S/stride, S/stride) float, 0 at edges and beside objects, at most 1
    """
    depths = []
    for plane in labels.cpu().numpy():
        edge = np.zeros(plane.shape, bool)
        for axis in (0, 1):
            change = np.diff(plane, axis=axis) != 0
            edge[tuple(slice(1, None) if k == axis else slice(None) for k in (0, 1))] |= change
            edge[tuple(slice(None, -1) if k == axis else slice(None) for k in (0, 1))] |= change
        distance = ndimage.distance_transform_edt(~edge) if edge.any() else np.ones(plane.shape)
        distance = np.where(plane > 0, distance + 1, 0)
        deepest = np.zeros(int(plane.max()) + 1)
        np.maximum.at(deepest, plane.ravel(), distance.ravel())
        depths.append(distance / np.maximum(deepest[plane], 1))
    fine = torch.from_numpy(np.stack(depths)).float()
    return F.avg_pool2d(fine[:, None], stride)[:, 0]


def depth_loss(logits: Tensor, labels: Tensor, exhaustive: Tensor) -> Tensor:
    """Cross-entropy of the predicted depth; what is not labelled counts only where all is.

    Parameters
    ----------
    logits : (B, h, w) float
    labels : (B, S, S) int
    exhaustive : (B,) bool

    Returns
    -------
    () float
    """
    stride = labels.shape[-1] // logits.shape[-1]
    target = depth_of(labels, stride).to(logits.device)
    known = (target > 0) | exhaustive.to(logits.device)[:, None, None]
    raw = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (raw * known).sum() / known.sum().clamp(min=1)


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


def prompt_loss(logits: Tensor, iou: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of one round of prompting.

    The first mask must answer every prompt; of the others only the best one learns.

    Parameters
    ----------
    logits : (P, M, h, w) float, at the resolution of `truth`
    iou : (P, M) float, predicted
    truth : (P, h, w) float, 0..1

    Returns
    -------
    loss : () float
    best : (P,) int64, the mask with the highest predicted IoU
    reached : (P, M) float, true IoU
    """
    masks = mask_loss(logits, truth)
    reached = true_iou(logits, truth)
    loss = masks[:, 0].mean() + masks[:, 1:].amin(dim=1).mean()
    loss = loss + IOU_WEIGHT * F.mse_loss(iou, reached)
    return loss, iou.argmax(dim=1), reached
