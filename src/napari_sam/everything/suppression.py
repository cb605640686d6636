"""Duplicates among masks: boxes or masks that overlap, boxes at the edge of a crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..masks import iou
from ..types import Mask


def box_nms(
    boxes: NDArray[np.floating[Any]], scores: NDArray[np.floating[Any]], threshold: float
) -> NDArray[np.intp]:
    """Keep the boxes that no better box overlaps by more than `threshold` (greedy NMS).

    Parameters
    ----------
    boxes : (N, 4) float, xyxy
    scores : (N,) float
    threshold : float, IoU

    Returns
    -------
    (K,) int, indices of the kept boxes, best first
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    best_first = np.argsort(-np.asarray(scores), kind="stable")
    by_left = np.argsort(boxes[:, 0], kind="stable")
    place = np.argsort(by_left)
    boxes = boxes[by_left]
    left, width = boxes[:, 0], boxes[:, 2] - boxes[:, 0]
    areas = width * (boxes[:, 3] - boxes[:, 1])
    # The IoU is at most that of the widths, so left edges further apart than this need no look.
    widest = width.max(initial=0.0)
    reach = np.minimum(width * (1 - threshold) / max(threshold, 1e-9), widest) + 1e-6
    first = np.searchsorted(left, left - reach, "left")
    last = np.searchsorted(left, left + reach, "right")
    alive = np.ones(len(boxes), bool)
    kept = []
    for index in best_first:
        at = place[index]
        if not alive[at]:
            continue
        kept.append(index)
        near = slice(first[at], last[at])
        low = np.maximum(boxes[at, :2], boxes[near, :2])
        high = np.minimum(boxes[at, 2:], boxes[near, 2:])
        common = np.clip(high - low, 0, None).prod(axis=1)
        union = areas[at] + areas[near] - common
        # outlines one pixel wide have no area; they are duplicates if they are equal
        equal = (boxes[at] == boxes[near]).all(axis=1).astype(np.float64)
        overlap = np.divide(common, union, out=equal, where=union > 0)
        alive[near] &= overlap <= threshold
    return np.array(kept, dtype=np.intp)


def mask_nms(
    masks: Sequence[Mask], scores: NDArray[np.floating[Any]], threshold: float
) -> NDArray[np.intp]:
    """Keep the masks that no better mask overlaps by more than `threshold` (greedy NMS).

    `box_nms` takes long objects that cross or lie side by side for duplicates.

    Parameters
    ----------
    masks : N times Mask
    scores : (N,) float
    threshold : float, IoU

    Returns
    -------
    (K,) int, indices of the kept masks, best first
    """
    boxes = np.array([mask.box for mask in masks]).reshape(-1, 4)
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable").tolist():
        low = np.maximum(boxes[kept, :2], boxes[index, :2])
        high = np.minimum(boxes[kept, 2:], boxes[index, 2:])
        for rival in np.array(kept, int)[(low <= high).all(axis=1)].tolist():
            if iou(masks[index], masks[rival]) > threshold:
                break
        else:
            kept.append(index)
    return np.array(kept, np.intp)


def boxes_touch_edge(
    boxes: NDArray[np.floating[Any]],
    crop: tuple[int, int, int, int],
    size: tuple[int, int],
    tolerance: float = 20.0,
) -> NDArray[np.bool_]:
    """Tell which boxes end at the edge of a crop that is not the edge of the image (SAM).

    Parameters
    ----------
    boxes : (N, 4) float, xyxy in pixels of the image
    crop : (x0, y0, x1, y1) int
    size : (H, W) int, of the image
    tolerance : float, pixels

    Returns
    -------
    (N,) bool
    """
    image = np.array([0, 0, size[1], size[0]])
    near_crop = np.abs(boxes - np.array(crop)) <= tolerance
    near_image = np.abs(boxes - image) <= tolerance
    return np.asarray((near_crop & ~near_image).any(axis=1))
