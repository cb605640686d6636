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

TURNS = 8
"""Orientations of a plane: turns by 90 degrees, and those of its mirror image."""
LONGEST = 1.5
"""An image is shown in tiles if it is longer than the model's input by this factor."""
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


def boxes_of(shape: tuple[int, ...], longest: int) -> list[tuple[int, int, int, int]]:
    """Return the whole of a plane (h, w), or tiles of the model's size that cover a long one."""
    h, w = shape
    if max(h, w) <= LONGEST * longest:
        return [(0, 0, w, h)]
    rows, columns = _starts(h, longest), _starts(w, longest)
    return [(x, y, min(w, x + longest), min(h, y + longest)) for y in rows for x in columns]


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin along an axis; they overlap as evenly as they can."""
    count = math.ceil(length / tile)
    return [0] if count == 1 else np.linspace(0, length - tile, count).astype(int).tolist()


def _turned(array: NDArray[Kind], turn: int) -> NDArray[Kind]:
    mirrored = array[:, ::-1] if turn >= TURNS // 2 else array
    return np.ascontiguousarray(np.rot90(mirrored, turn % 4))
