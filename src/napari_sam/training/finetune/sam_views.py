"""What a SAM is shown of labelled images: whole images, or tiles of long ones, turned and mirrored.

Views are made when they are asked for; only the examples stay in memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...images.transforms import resize, scaled_size
from .examples import Example
from .held_out import in_colour
from .seen import boxes_of

TURNS = 8
"""Orientations of a plane: turns by 90 degrees, and those of its mirror image."""
EPOCHS_A_TURN = 2
"""With a frozen encoder, epochs until images are seen in one more orientation."""
ALL_SEEN = 200
"""Epochs after which an image was shown in all orientations."""
LEAST = 48
"""Objects of fewer pixels of the input, three cells of the logits, are not prompted."""


Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class View:
    """A part of an example in which objects can be prompted.

    Attributes
    ----------
    example : Example
    box : (x0, y0, x1, y1) int
        End exclusive, pixels of the image.
    longest : int
        Side of the model's input.
    """

    example: Example
    box: tuple[int, int, int, int]
    longest: int

    def turned(self, turn: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return the resized plane (h, w, 3) uint8 and its labels (h, w), in an orientation."""
        x0, y0, x1, y1 = self.box
        part = slice(y0, y1), slice(x0, x1)
        size = scaled_size((y1 - y0, x1 - x0), self.longest, math.inf)
        rgb = resize(np.ascontiguousarray(in_colour(self.example.image[part])), size)
        return _turned(rgb, turn), _turned(self._labels(size), turn)

    @property
    def usable(self) -> bool:
        """Whether there is an object that is large enough."""
        x0, y0, x1, y1 = self.box
        size = scaled_size((y1 - y0, x1 - x0), self.longest, math.inf)
        return bool(self.objects_of(self._labels(size)))

    @staticmethod
    def objects_of(labels: NDArray[np.int32]) -> list[int]:
        """Return the labels of objects that are large enough, ascending."""
        numbers, counts = np.unique(labels, return_counts=True)
        return [int(k) for k in numbers[(numbers > 0) & (counts >= LEAST)]]

    def _labels(self, size: tuple[int, int]) -> NDArray[np.int32]:
        """Return the labels at the pixels of the input: each that of the pixel under its centre."""
        x0, y0, x1, y1 = self.box
        rows = y0 + ((np.arange(size[0]) + 0.5) * (y1 - y0) / size[0]).astype(int)
        columns = x0 + ((np.arange(size[1]) + 0.5) * (x1 - x0) / size[1]).astype(int)
        return np.asarray(self.example.labels[np.ix_(rows, columns)])


def views_of(examples: Sequence[Example], longest: int) -> list[View]:
    """Return the views of examples in which there is an object to prompt.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = [
        View(example, box, longest)
        for example in examples
        for box in boxes_of(example.labels.shape, longest)
    ]
    usable = [view for view in found if view.usable]
    if not usable:
        raise ValueError(
            "no labelled object is large enough for this model; label larger ones, or cut parts "
            "out of the images and use these"
        )
    return usable


def known_turns(epoch: int) -> int:
    """Return in how many orientations images are shown in an epoch, with a frozen encoder."""
    return min(TURNS, 1 + epoch // EPOCHS_A_TURN)


def orientations(epochs: int) -> float:
    """Return in how many orientations an image was shown after so many epochs, on average."""
    unseen = np.ones(TURNS)
    for epoch in range(min(epochs, ALL_SEEN)):
        known = known_turns(epoch)
        unseen[:known] *= 1 - 1 / known
    return float(TURNS - unseen.sum())


def _turned(array: NDArray[Kind], turn: int) -> NDArray[Kind]:
    mirrored = array[:, ::-1] if turn >= TURNS // 2 else array
    return np.ascontiguousarray(np.rot90(mirrored, turn % 4))
