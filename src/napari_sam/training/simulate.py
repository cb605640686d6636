"""Prompts as a person gives them: first clicks, boxes, corrections on the largest error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..masks import box_of, middle_of, worst_click


@dataclass
class PromptBatch:
    """Prompts of P objects, as `PocketDecoder.forward` takes them.

    Attributes
    ----------
    coords : (P, N, 2) float, (x, y) in pixels of the crop
    labels : (P, N) int64
        1 object, 0 background, -1 padding.
    boxes : (P, 4) float, xyxy; NaN where there is none
    mask_input : (P, h, w) float; NaN where there is none
    """

    coords: Tensor
    labels: Tensor
    boxes: Tensor
    mask_input: Tensor


def first_prompts(masks: Tensor, stride: int, rng: np.random.Generator) -> PromptBatch:
    """Draw the first prompt of each object: a click, a box or both.

    Parameters
    ----------
    masks : (P, S, S) bool
    stride : int
        Of the low-resolution logits.
    rng : numpy.random.Generator

    Returns
    -------
    PromptBatch with one point slot
    """
    count, size = masks.shape[0], masks.shape[-1]
    coords = np.zeros((count, 1, 2), np.float32)
    labels = np.full((count, 1), -1, np.int64)
    boxes = np.full((count, 4), np.nan, np.float32)
    for k, mask in enumerate(masks.numpy()):
        kind = rng.random()
        if kind < 0.6:
            coords[k, 0] = _click(mask, rng)
            labels[k, 0] = 1
        if kind > 0.5:
            boxes[k] = _box(mask, rng)
    cells = size // stride
    return PromptBatch(
        torch.from_numpy(coords),
        torch.from_numpy(labels),
        torch.from_numpy(boxes),
        torch.full((count, cells, cells), torch.nan),
    )


def corrected(
    prompts: PromptBatch, masks: Tensor, low_res: Tensor, rng: np.random.Generator
) -> PromptBatch:
    """Add a click on the largest error and the earlier answer as mask input.

    Parameters
    ----------
    prompts : PromptBatch
    masks : (P, S, S) bool, the truth
    low_res : (P, h, w) float, the earlier logits
    rng : numpy.random.Generator

    Returns
    -------
    PromptBatch with one point slot more
    """
    count, size = masks.shape[0], masks.shape[-1]
    step = size // low_res.shape[-1]
    coarse = masks[:, step // 2 :: step, step // 2 :: step].numpy()
    answers = (low_res > 0).numpy()
    coords = np.zeros((count, 1, 2), np.float32)
    labels = np.full((count, 1), -1, np.int64)
    for k in range(count):
        click = worst_click(coarse[k], answers[k])
        if click is not None:
            (x, y), labels[k, 0] = click
            coords[k, 0] = (np.array([x, y]) + 0.5) * step - 0.5 + rng.uniform(-1, 1, 2)
    return PromptBatch(
        torch.cat([prompts.coords, torch.from_numpy(coords)], 1),
        torch.cat([prompts.labels, torch.from_numpy(labels)], 1),
        prompts.boxes,
        low_res,
    )


def _click(mask: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    half = mask[::2, ::2]
    if rng.random() < 0.6 and half.any():
        x, y = middle_of(half)
        return 2 * x + float(rng.uniform(-0.5, 1.5)), 2 * y + float(rng.uniform(-0.5, 1.5))
    inside = np.flatnonzero(mask)
    row, column = np.unravel_index(int(rng.choice(inside)), mask.shape)
    return float(column), float(row)


def _box(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    box = box_of(mask).astype(np.float32)
    if rng.random() < 0.5:
        return box
    sides = np.tile(box[2:] - box[:2] + 1, 2)
    moved = box + np.clip(rng.normal(0, 0.1, 4) * sides, -20, 20).astype(np.float32)
    moved = np.clip(moved, 0, mask.shape[-1] - 1)
    return moved if (moved[2:] > moved[:2]).all() else box
