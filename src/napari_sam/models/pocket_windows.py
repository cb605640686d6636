"""Where `pocket` answers a prompt: in a window about it, or in the whole plane at half the size.

numpy alone: whatever runs the network can use it. An array of features is cut by an index, which
arrays of numpy and of torch both take.
"""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .pocket_grid import STRIDES

WINDOW = 256
"""Side of the window that a prompt is answered in, pixels of the input."""
LARGEST = 176
"""A box whose longer side exceeds this, in pixels of the input, is answered at half the size."""
OUTSIDE = -10.0
"""Logit of what lies outside the window."""

Extent = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Least and largest (x, y) of each prompt, (P, 2) each, in pixels."""
Index = tuple[EllipsisType, slice, slice]


class PromptBatch(NamedTuple):
    """P prompts of one form, in the frame that they are answered in.

    Attributes
    ----------
    coords : (P, N, 2) float32, (x, y) in pixels of the frame; N is at least 1
    labels : (P, N) int64
        1 object, 0 background, -1 padding.
    boxes : (P, 4) float32 or None, xyxy in pixels of the frame
    mask_input : (P, h, w) float32 or None
        Logits of an earlier answer, at the finest stride.
    guide_logits : (P, h, w) float32 or None
        Logits of the object in an earlier plane, at the finest stride.
    """

    coords: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32] | None = None
    mask_input: NDArray[np.float32] | None = None
    guide_logits: NDArray[np.float32] | None = None

    def select(self, chosen: NDArray[np.bool_]) -> PromptBatch:
        """Return some of the prompts, chosen by (P,) bool."""
        boxes, mask_input, guide_logits = (
            None if part is None else part[chosen]
            for part in (self.boxes, self.mask_input, self.guide_logits)
        )
        return PromptBatch(
            self.coords[chosen], self.labels[chosen], boxes, mask_input, guide_logits
        )


class Placed(NamedTuple):
    """Prompts in the frames that they are answered in.

    Attributes
    ----------
    starts : (B, 2) int64
        Where each window begins, (x, y) in pixels.
    size : (2,) int64
        Of a window, (x, y) in pixels.
    owner : (P,) int64
        The window of each prompt.
    prompts : PromptBatch
        In the pixels of their windows.
    """

    starts: NDArray[np.int64]
    size: NDArray[np.int64]
    owner: NDArray[np.int64]
    prompts: PromptBatch


class ScaleAnswers(NamedTuple):
    """What the network answers at one scale to Q of P prompts.

    Attributes
    ----------
    chosen : (P,) bool
        The prompts that were asked.
    logits : (Q, M, h, w) float32, at the finest stride
    iou : (Q, M) float32, predicted
    presence : (Q,) float32, a logit
    """

    chosen: NDArray[np.bool_]
    logits: NDArray[np.float32]
    iou: NDArray[np.float32]
    presence: NDArray[np.float32]


def find_extent(prompts: PromptBatch) -> Extent:
    """Return the least and the largest (x, y) of object points, box and outline of each prompt."""
    outlines = prompts.guide_logits if prompts.mask_input is None else prompts.mask_input
    corners = [] if prompts.boxes is None else [prompts.boxes]
    if outlines is not None:
        corners.append(outline_boxes(outlines))
    boxes = np.stack(corners, axis=1).reshape(len(prompts.coords), -1, 2) if corners else None
    places = prompts.coords if boxes is None else np.concatenate([prompts.coords, boxes], axis=1)
    counts = _counted(prompts.labels == 1, boxes)
    if not counts.any(axis=1).all():  # background points alone, or a mask alone
        every = _counted(prompts.labels >= 0, boxes)
        counts = np.where(counts.any(axis=1, keepdims=True), counts, every)
    low = np.where(counts[..., None], places, np.float32(np.inf)).min(axis=1)
    high = np.where(counts[..., None], places, np.float32(-np.inf)).max(axis=1)
    none = np.isinf(low)
    zero = np.float32(0)
    return np.where(none, zero, low), np.where(none, zero, high)


def _counted(points: NDArray[np.bool_], boxes: NDArray[np.float32] | None) -> NDArray[np.bool_]:
    """Tell which points (P, N) and corners (P, K) say where a prompt is."""
    if boxes is None:
        return points
    return np.concatenate([points, ~np.isnan(boxes[..., 0])], axis=1)


def outline_boxes(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the boxes (P, 4), xyxy in pixels, of logits (P, h, w); NaN where nothing is marked."""
    marked = logits > 0
    boxes = np.empty((len(logits), 4), np.float32)
    for axis in (0, 1):  # x of the columns, y of the rows
        found = np.asarray(marked.any(axis=1 + axis))
        boxes[:, axis] = found.argmax(axis=1) * STRIDES[0]
        boxes[:, axis + 2] = (found.shape[1] - found[:, ::-1].argmax(axis=1)) * STRIDES[0] - 1
    boxes[~marked.any(axis=(1, 2))] = np.nan
    return boxes


def choose_scales(
    prompts: PromptBatch, extent: Extent, frame: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell which prompts (P,) are answered in a window, and which at half the size.

    A click does not say how large its object is: it is answered at both scales. A frame, of this
    longer side in pixels, that is no larger than a window shows everything in it.
    """
    in_window = ((extent[1] - extent[0]).max(axis=1) <= LARGEST) | (frame <= WINDOW)
    sized = np.full(len(prompts.coords), prompts.boxes is not None)
    for outlines in (prompts.mask_input, prompts.guide_logits):
        if outlines is not None:
            sized |= (outlines > 0).any(axis=(1, 2))
    return in_window, ~in_window | ~sized


def in_windows(prompts: PromptBatch, extent: Extent, frame: tuple[int, int]) -> Placed:
    """Place each prompt in a window about its extent, in a frame of (h, w) pixels.

    Windows begin at whole cells of every level of features. Points beyond them are left out.
    """
    limits = np.array(frame[::-1])
    size = np.minimum(WINDOW, limits)
    coarsest = STRIDES[-1]
    middle = (extent[0] + extent[1] - size.astype(np.float32)) / 2
    start = np.clip(np.rint(middle / coarsest) * coarsest, 0, limits - size).astype(np.int64)
    starts, owner = np.unique(start, axis=0, return_inverse=True)
    coords = prompts.coords - start[:, None].astype(np.float32)
    inside = ((coords >= -0.5) & (coords <= size - 0.5)).all(axis=-1)
    labels = np.where(inside, prompts.labels, -1)
    boxes = prompts.boxes
    if boxes is not None:
        boxes = boxes - np.tile(start, 2).astype(np.float32)
    mask_input, guide_logits = (
        None
        if maps is None
        else np.stack([m[cells(s, size, STRIDES[0])] for m, s in zip(maps, start, strict=True)])
        for maps in (prompts.mask_input, prompts.guide_logits)
    )
    placed = PromptBatch(coords, labels, boxes, mask_input, guide_logits)
    return Placed(starts, size, owner.reshape(-1), placed)


def at_half(prompts: PromptBatch, grid: tuple[int, int]) -> Placed:
    """Place each prompt in the whole plane at half its size, whose logits are a grid (h, w)."""
    maps = (
        None if maps is None else _halved_maps(maps, grid)
        for maps in (prompts.mask_input, prompts.guide_logits)
    )
    boxes = None if prompts.boxes is None else _halved(prompts.boxes)
    placed = PromptBatch(_halved(prompts.coords), prompts.labels, boxes, *maps)
    size = STRIDES[0] * np.array(grid[::-1])
    return Placed(np.zeros((1, 2), np.int64), size, np.zeros(len(placed.coords), np.int64), placed)


def _halved(coords: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the same places in pixels twice as large; a coordinate is a pixel's centre."""
    return np.asarray((coords + 0.5) / 2 - 0.5, np.float32)


def _halved_maps(maps: NDArray[np.float32], grid: tuple[int, int]) -> NDArray[np.float32]:
    """Return the means of 2 x 2 cells of maps (P, h, w), continued at the far ends to a grid."""
    (h, w), even = grid, maps[:, ::2]
    odd = maps[:, 1::2]
    means = (even[..., ::2] + even[..., 1::2] + odd[..., ::2] + odd[..., 1::2]) / 4
    return np.pad(means, ((0, 0), (0, h - means.shape[1]), (0, w - means.shape[2])), mode="edge")


def cells(start: NDArray[np.int64], size: NDArray[np.int64], stride: int) -> Index:
    """Return the index of a window, (x, y) in pixels, in maps (..., h, w) of a stride."""
    x, y = (start // stride).tolist()
    w, h = (size // stride).tolist()
    return (..., slice(y, y + h), slice(x, x + w))


def merge(
    window: tuple[ScaleAnswers, Placed] | None,
    half: ScaleAnswers | None,
    grid: tuple[int, int],
    masks: slice,
    double: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the answers in the whole frame: to each prompt those of the better scale.

    That is the scale whose best mask has the higher predicted IoU, of all masks, wanted or not.

    Parameters
    ----------
    window : tuple of ScaleAnswers and Placed, optional
        Of the prompts that were answered in windows.
    half : ScaleAnswers, optional
        Of those that were answered at half the size; one of the two there must be.
    grid : (h, w) int
        Of the frame's logits.
    masks : slice
        The C masks that are wanted.
    double : callable
        Magnifies logits (Q, C, h, w) by two, bilinearly.

    Returns
    -------
    logits : (P, C, *grid) float32
    iou : (P, C) float32
    presence : (P,) float32, a logit
    """
    asked = [answers for answers in (window and window[0], half) if answers is not None]
    count = len(asked[0].chosen)
    iou = np.full((count, asked[0].iou.shape[1]), -1, np.float32)
    logits = np.full((*iou[:, masks].shape, *grid), OUTSIDE, np.float32)
    presence = np.zeros(count, np.float32)
    if window is not None:
        answers, placed = window
        starts = placed.starts[placed.owner]
        places = np.flatnonzero(answers.chosen)
        for place, start, part in zip(places, starts, answers.logits, strict=True):
            logits[place][cells(start, placed.size, STRIDES[0])] = part[masks]
        iou[places], presence[places] = answers.iou, answers.presence
    if half is not None:
        better = half.iou.max(axis=1) > iou[half.chosen].max(axis=1)
        places = np.flatnonzero(half.chosen)[better]
        h, w = grid
        logits[places] = double(half.logits[better][:, masks])[..., :h, :w]
        iou[places], presence[places] = half.iou[better], half.presence[better]
    return logits, iou[:, masks], presence
