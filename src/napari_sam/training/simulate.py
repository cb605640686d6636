"""Prompts as a person gives them: first clicks, boxes, corrections on the largest error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..masks import box_of, middle_of, worst_click

STROKE = 4
"""Points of a stroke drawn across an object."""


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


def first_prompts(
    masks: Tensor,
    stride: int,
    rng: np.random.Generator,
    odds: float = 0.1,
    beside: Tensor | None = None,
) -> PromptBatch:
    """Draw the first prompt of each object: a click, a box or both, a stroke, a rough mask.

    Parameters
    ----------
    masks : (P, S, S) bool
    stride : int
        Of the low-resolution logits.
    rng : numpy.random.Generator
    odds : float
        Of strokes, and of rough masks; without them every object gets a click, a box or both.
        Where the neighbouring slice is known, rough masks are three times as frequent.
    beside : (P, S, S) bool, optional
        The objects in a neighbouring slice; empty where none is known.

    Returns
    -------
    PromptBatch with one point slot, or `STROKE` of them
    """
    count, size = masks.shape[0], masks.shape[-1]
    slots = STROKE if rng.random() < odds else 1
    coords = np.zeros((count, slots, 2), np.float32)
    labels = np.full((count, slots), -1, np.int64)
    boxes = np.full((count, 4), np.nan, np.float32)
    cells = size // stride
    rough = torch.full((count, cells, cells), torch.nan)
    for k, mask in enumerate(masks.numpy()):
        other = beside[k] if beside is not None and beside[k].any() else None
        kind, given = rng.random(), rng.random() < odds * (1 if other is None else 3)
        if given and other is not None:
            soft = F.avg_pool2d(other[None].float(), stride)[0]
            rough[k] = (soft - 0.5) * float(rng.uniform(6, 16))
        elif given:  # a neighbouring plane's mask, or a polygon drawn in haste
            rough[k] = disturbed(masks[k], stride, rng)
        if kind < (0.3 if given else 0.6):
            for slot in range(slots):
                coords[k, slot] = _click(mask, rng, 0.6 if slots == 1 else 0.0)
                labels[k, slot] = 1
        if kind > (0.8 if given else 0.5):
            boxes[k] = _box(mask, rng)
    return PromptBatch(
        torch.from_numpy(coords), torch.from_numpy(labels), torch.from_numpy(boxes), rough
    )


def beside_objects(
    labels: Tensor, exhaustive: Tensor, stride: int, rng: np.random.Generator
) -> tuple[Tensor, PromptBatch] | None:
    """Click once beside all objects of every crop in which each object is labelled.

    Everything mode asks at such places too, and has to tell that nothing is there.

    Parameters
    ----------
    labels : (B, S, S) int
    exhaustive : (B,) bool
    stride : int
        Of the low-resolution logits.
    rng : numpy.random.Generator

    Returns
    -------
    owner : (P,) int64, the crop of each click
    prompts : PromptBatch
    or None if there is no such place
    """
    owner, coords = [], []
    for k in np.flatnonzero(exhaustive.numpy()):
        empty = np.flatnonzero(labels[k].numpy() == 0)
        if len(empty):
            row, column = np.unravel_index(int(rng.choice(empty)), labels.shape[1:])
            owner.append(int(k))
            coords.append([[float(column), float(row)]])
    if not owner:
        return None
    count = len(owner)
    cells = [side // stride for side in labels.shape[1:]]
    prompts = PromptBatch(
        torch.tensor(coords),
        torch.ones(count, 1, dtype=torch.int64),
        torch.full((count, 4), torch.nan),
        torch.full((count, *cells), torch.nan),
    )
    return torch.tensor(owner), prompts


def disturbed(mask: Tensor, stride: int, rng: np.random.Generator) -> Tensor:
    """Return logits of a mask that was moved, turned, scaled, bent and swollen a little.

    Parameters
    ----------
    mask : (S, S) bool
    stride : int
        Of the low-resolution logits.
    rng : numpy.random.Generator

    Returns
    -------
    (S/stride, S/stride) float
    """
    soft = F.avg_pool2d(mask[None, None].float(), stride)
    rows, columns = np.nonzero(mask.numpy())
    side = mask.shape[-1]
    middle = (np.array([columns.mean(), rows.mean()]) + 0.5) / side * 2 - 1
    reach = np.sqrt(len(rows)) / side * 2
    angle, scale = rng.normal(0, 0.15), np.exp(rng.normal(0, 0.12))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = middle - turn @ middle + rng.normal(0, 0.12, 2) * reach
    theta = torch.from_numpy(np.column_stack([turn, shift]).astype(np.float32))
    grid = F.affine_grid(theta[None], list(soft.shape), align_corners=False)
    bend = torch.from_numpy(rng.normal(0, 0.07 * reach, (1, 2, 5, 5)).astype(np.float32))
    bend = F.interpolate(bend, soft.shape[-2:], mode="bicubic", align_corners=True)
    moved = F.grid_sample(soft, grid + bend.permute(0, 2, 3, 1), align_corners=False)
    return (moved[0, 0] - float(rng.uniform(0.25, 0.75))) * float(rng.uniform(6, 16))


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


def _click(mask: NDArray[np.bool_], rng: np.random.Generator, middle: float) -> tuple[float, float]:
    """Return a click in the middle of an object, with odds `middle`, or anywhere on it."""
    half = mask[::2, ::2]
    if rng.random() < middle and half.any():
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
