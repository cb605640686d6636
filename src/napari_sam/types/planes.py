"""Which pixels: planes of arrays, and what an encoder made of them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import shown

Window = tuple[int, int, int, int]
Limits = tuple[float, float]
Contrast = Limits | tuple[Limits, ...]
"""Values shown black and white: (low, high) of a plane, or such a pair for each channel."""


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

        Raises
        ------
        ValueError
            If the image has no such plane or window.
        """
        array = self.array_of(image)
        plane = np.asarray(array[self.index])
        if self.displayed[0] > self.displayed[1]:
            plane = plane.swapaxes(0, 1)
        return plane

    def read_labels(self, labels: Any) -> NDArray[Any]:
        """Read the plane from labels of the image: one array, also where that is a pyramid.

        Returns
        -------
        (H, W) int

        Raises
        ------
        ValueError
            If the labels have no such plane or window.
        """
        return replace(self, level=None).read(labels)

    def array_of(self, image: Any) -> Any:
        """Return the array that the plane lies in: an image, or one of its levels.

        Raises
        ------
        ValueError
            If the image has no such level, plane or window.
        """
        try:
            array = image if self.level is None else image[self.level]
            shape = tuple(int(side) for side in array.shape)
        except (AttributeError, IndexError, KeyError, TypeError):
            raise ValueError(
                f"an image is an array, or a list of levels, but is a {type(image)}"
            ) from None
        axes = (*self.displayed, *(axis for axis, _ in self.fixed))
        if sorted(axes) != list(range(len(axes))) or len(shape) - len(axes) not in (0, 1):
            raise ValueError(f"an array of shape {shape} has no plane on the axes {axes}")
        for axis, position in self.fixed:
            if not -shape[axis] <= position < shape[axis]:
                raise ValueError(f"there is no plane {position} on axis {axis} of shape {shape}")
        if self.window is not None:
            x0, y0, x1, y1 = self.window
            height, width = (shape[axis] for axis in self.displayed)
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise ValueError(
                    f"the window {self.window} is no part of {height} x {width} pixels"
                )
        return array


@dataclass(frozen=True, eq=False)
class Plane:
    """Which pixels are looked at, and at which contrast; nothing is read yet.

    Attributes
    ----------
    image : array-like
        The whole array, or the list of levels of a pyramid.
    key : SliceKey
        By default all of a single plane (H, W) or (H, W, C).
    contrast : (low, high) float, one such pair for each channel, or None
        Values shown black and white. None: 8-bit colours as they are, anything else between limits
        that suit the whole plane (`transforms.contrast_of`), whatever its window.
    revision : int
        Grows when pixels of the image may have changed in place.
    channels : tuple of int or None
        Which positions on the last axis are used as channels, counted from 0; None if three or four
        are RGB(A) colours. `transforms.to_rgb8` says how they are seen.
    spacing : (float, float)
        Size of a pixel along the rows' axis and along the columns' axis; only their ratio counts.
        A model sees square pixels, as they are on screen.
    """

    image: Any
    key: SliceKey = SliceKey((0, 1))
    contrast: Contrast | None = None
    revision: int = 0
    channels: tuple[int, ...] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_spacing(self.spacing)
        object.__setattr__(self, "contrast", _hashable(self.contrast))
        if self.channels is not None:
            object.__setattr__(self, "channels", tuple(self.channels))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the whole plane, its window left aside."""
        shape = self.key.array_of(self.image).shape
        return int(shape[self.key.displayed[0]]), int(shape[self.key.displayed[1]])

    @property
    def look(self) -> Hashable:
        """Which pixels of the image these are, and how they are seen: the key of a cache."""
        return self.key, self.contrast, self.revision, self.channels, self.spacing

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
        return self.image is other.image and self.look == other.look


def check_spacing(spacing: tuple[float, float]) -> None:
    """Refuse sizes of a pixel that are not two positive numbers.

    Raises
    ------
    ValueError
    """
    try:
        fine = len(spacing) == 2 and all(0 < float(one) < np.inf for one in spacing)
    except (TypeError, ValueError):
        fine = False
    if not fine:
        raise ValueError(f"spacing is two positive numbers, but is {shown(spacing)}")


def _hashable(contrast: Any) -> Any:
    """Return contrast limits as tuples, which can be part of the key of a cache."""
    if isinstance(contrast, np.ndarray):
        contrast = contrast.tolist()
    if isinstance(contrast, list | tuple):
        return tuple(_hashable(limit) for limit in contrast)
    if not isinstance(contrast, Hashable):
        raise ValueError(
            f"contrast is two numbers, or two for each channel, but is {shown(contrast)}"
        )
    return contrast


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
    blank : bool
        Whether all pixels look alike to the model, so that there is nothing to find.
    """

    features: Any
    original_size: tuple[int, int]
    input_size: tuple[int, int]
    model: str
    blank: bool = False
