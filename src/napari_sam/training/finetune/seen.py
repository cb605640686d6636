"""At which size a model sees an image, and in which tiles SAM learns from a long one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LONGEST = 1.5
"""SAM learns from tiles of an image that is longer than its input by this factor."""


@dataclass(frozen=True)
class Sight:
    """What of a model decides at which size it sees an image; by default that of SAM.

    Attributes
    ----------
    image_size, largest_scale
        See `models.contract.PromptableModel`.
    """

    image_size: int = 1024
    largest_scale: float = math.inf

    def scale(self, shape: tuple[int, ...]) -> float:
        """Return how many pixels of the input a pixel of an image (h, w) becomes along a side."""
        return min(self.image_size / max(shape), self.largest_scale)


POCKET = Sight(512, 4.0)
"""What the bundled model has, known without loading it."""


def boxes_of(shape: tuple[int, ...], longest: int) -> list[tuple[int, int, int, int]]:
    """Return the whole of a plane (h, w), or tiles of the model's size that cover a long one.

    Parameters
    ----------
    shape : (h, w) int
    longest : int
        Side of the model's input.

    Returns
    -------
    list of (x0, y0, x1, y1) int, end exclusive
    """
    h, w = shape
    if max(h, w) <= LONGEST * longest:
        return [(0, 0, w, h)]
    rows, columns = _starts(h, longest), _starts(w, longest)
    return [(x, y, min(w, x + longest), min(h, y + longest)) for y in rows for x in columns]


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin along an axis; they overlap as evenly as they can."""
    count = math.ceil(length / tile)
    return [0] if count == 1 else np.linspace(0, length - tile, count).astype(int).tolist()
