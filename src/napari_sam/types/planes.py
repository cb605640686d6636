"""Which pixels: planes of arrays, and what an encoder made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class SliceKey:
    """Which part of which 2-D plane of an n-d array.

    Attributes
    ----------
    displayed : (int, int)
        The axes shown as rows and columns.
    fixed : tuple of (axis, index)
        The position on every other axis (a colour axis excepted).
    window : (x0, y0, x1, y1) int or None
        Part of the plane, end exclusive; None is all of it.
    level : int or None
        Level of a multiscale pyramid; None if there is none.
    """

    displayed: tuple[int, int]
    fixed: tuple[tuple[int, int], ...] = ()
    window: Window | None = None
    level: int | None = None

    @property
    def index(self) -> tuple[int | slice, ...]:
        """The numpy index of the plane in the array; colours stay behind it."""
        entries: list[int | slice] = [slice(None)] * (2 + len(self.fixed))
        for axis, position in self.fixed:
            entries[axis] = position
        if self.window is not None:
            x0, y0, x1, y1 = self.window
            entries[self.displayed[0]] = slice(y0, y1)
            entries[self.displayed[1]] = slice(x0, x1)
        return tuple(entries)

    def read(self, image: Any) -> NDArray[Any]:
        """Read the plane from an array, a lazy array or a list of pyramid levels.

        Returns
        -------
        (H, W) or (H, W, C)
        """
        array = image if self.level is None else image[self.level]
        plane = np.asarray(array[self.index])
        if self.displayed[0] > self.displayed[1]:
            plane = plane.swapaxes(0, 1)
        return plane


@dataclass(frozen=True, eq=False)
class Plane:
    """Which pixels are looked at, and at which contrast; nothing is read yet.

    Attributes
    ----------
    image : array-like
        The whole array, or the list of levels of a pyramid.
    key : SliceKey
        By default all of a single plane (H, W) or (H, W, C).
    contrast : (low, high) float or None
        Values shown black and white. None: 8-bit colours as they are, anything else between
        percentiles of the whole plane (`transforms.contrast_of`), whatever its window.
    """

    image: Any
    key: SliceKey = SliceKey((0, 1))
    contrast: tuple[float, float] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the whole plane, its window left aside."""
        level = self.key.level
        shape = self.image.shape if level is None else self.image[level].shape
        return int(shape[self.key.displayed[0]]), int(shape[self.key.displayed[1]])

    @property
    def whole(self) -> Plane:
        """The plane without a window."""
        return self.within(None)

    def within(self, window: Window | None) -> Plane:
        """Return the part of the plane in a window (x0, y0, x1, y1), end exclusive; None: all."""
        return replace(self, key=replace(self.key, window=window))

    def read(self) -> NDArray[Any]:
        """Read the pixels, (H, W) or (H, W, C)."""
        return self.key.read(self.image)

    def same_as(self, other: Plane) -> bool:
        """Tell whether another value names the same pixels at the same contrast."""
        same_image = self.image is other.image
        return same_image and (self.key, self.contrast) == (other.key, other.contrast)


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """The encoder's answer for one plane.

    Attributes
    ----------
    features : object
        Opaque outside the model's family.
    original_size : (H, W) int
        Of the plane.
    input_size : (h, w) int
        Of the plane as the model saw it, without padding.
    model : str
        Name of the model.
    """

    features: Any
    original_size: tuple[int, int]
    input_size: tuple[int, int]
    model: str
