"""What both models are asked: prompts of one kind, in pixels of the input."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..models.contract import Answers, PromptableModel
from ..predict.predictor import PreparedPlane

GRID = 6
"""Clicks along each side of a plane."""
SHIFT = 8
"""How far a plane is moved to get the next one, pixels of the input."""


class Question(NamedTuple):
    """Prompts of one kind, in pixels of the input; see `PromptableModel.decode`.

    Attributes
    ----------
    kind : str
    coords : (P, N, 2) float32
    labels : (P, N) int64
    boxes : (P, 4) float32 or None
    mask_input : (P, h, w) float32 or None
    several : bool
        Whether several masks are wanted.
    guide : (P, h, w) float32 or None
        Logits of the objects in an earlier plane.
    """

    kind: str
    coords: NDArray[np.float32]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32] | None = None
    mask_input: NDArray[np.float32] | None = None
    several: bool = False
    guide: NDArray[np.float32] | None = None

    def asked(self, model: PromptableModel, features: Any, earlier: Any = None) -> Answers:
        """Ask a model, by its features of the plane, and of the earlier plane for a guide."""
        guide = None if self.guide is None else (earlier, self.guide)
        return model.decode(
            features, self.coords, self.labels, self.boxes, self.mask_input, self.several, guide
        )


def clicks(size: tuple[int, ...]) -> Question:
    """Return clicks in a grid over an input of (h, w) pixels."""
    h, w = size[:2]
    y, x = ((np.arange(GRID) + 0.5) / GRID * side - 0.5 for side in (h, w))
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2).astype(np.float32)
    return Question("clicks", places, np.ones((len(places), 1), np.int64), several=True)


def pairs(grid: Question) -> Question:
    """Return each click of a grid with a background point, the click beside it."""
    beside = np.roll(grid.coords, 1, axis=0)
    two = np.concatenate([grid.coords, beside], axis=1)
    signs = np.tile(np.array([1, 0]), (len(two), 1))
    return Question("a point and a background point", two, signs)


def boxed(boxes: NDArray[np.float32]) -> Question:
    """Return boxes (P, 4) alone."""
    return Question("boxes", *_no_points(len(boxes)), boxes)


def corrected(boxes: NDArray[np.float32], logits: NDArray[np.float32]) -> Question:
    """Return earlier answers (P, h, w) to boxes (P, 4), with a point in the middle of each box."""
    middle = np.asarray((boxes[:, None, :2] + boxes[:, None, 2:]) / 2, np.float32)
    inside = np.ones(middle.shape[:2], np.int64)
    return Question("earlier masks and a point", middle, inside, mask_input=logits)


def guided(logits: NDArray[np.float32]) -> Question:
    """Return nothing but the outlines (P, h, w) of objects in an earlier plane."""
    return Question("objects of the plane before", *_no_points(len(logits)), guide=logits)


def next_plane(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an input (h, w, 3) whose objects lie a little further to the right and below."""
    return np.roll(rgb, SHIFT, axis=(0, 1))


def scaled(boxes: NDArray[np.float32], prepared: PreparedPlane) -> NDArray[np.float32]:
    """Return boxes (P, 4) of a plane in pixels of the input."""
    scale = np.array(prepared.rgb.shape[1::-1]) / np.array(prepared.original_size[::-1])
    return np.asarray(boxes * np.tile(scale, 2), np.float32)


def squares(size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return boxes (P, 4), xyxy, about the clicks, a quarter of the shorter side long."""
    places, reach = clicks(size).coords[:, 0], min(size[:2]) / 8
    return np.concatenate([places - reach, places + reach], axis=1).astype(np.float32)


def box_of(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    """Return the box of a mask (h, w), xyxy."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return tuple(int(side) for side in (columns[0], rows[0], columns[-1], rows[-1]))


def _no_points(count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return np.zeros((count, 0, 2), np.float32), np.zeros((count, 0), np.int64)
