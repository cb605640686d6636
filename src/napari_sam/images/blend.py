"""Several images of one shape as one picture in colour, read plane by plane."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Limits
from .contrast import row_blocks, stretcher
from .transforms import contrast_of

Index = tuple[int | slice, ...]
VALUES = 1 << 18
"""Pixels that are blended at once, which bounds the memory beyond the result."""


@dataclass(frozen=True, eq=False)
class BlendLayer:
    """One image of a blend, and how it is coloured.

    Attributes
    ----------
    image : array-like
        Not yet read; 8-bit or any other RGB(A) colours are on a further, last axis.
    colours : (256, 3) uint8, or None for RGB(A) colours
        What the values are shown as, from the lower limit to the upper one.
    limits : (low, high) float or None
        Values shown as the first and the last colour. None: limits that suit each plane, as
        `transforms.contrast_of` finds them; 8-bit RGB(A) colours are taken as they are.
    fixed : (axis, index) or None
        A channel: the position on an axis of the image, wherever the plane that is read lies.
    opacity : float
        0 to 1.
    blending : str
        How it covers the layers below: "translucent", "additive", "opaque", "minimum" or
        "multiplicative", as napari does. The lowest one lies on black.
    """

    image: Any
    colours: NDArray[np.uint8] | None
    limits: Limits | None = None
    fixed: tuple[int, int] | None = None
    opacity: float = 1.0
    blending: str = "additive"

    def read(self, index: Index) -> NDArray[Any]:
        """Read a part of the image, (h, w) or (h, w, C)."""
        if self.fixed is not None:
            axis, position = self.fixed
            index = (*index[:axis], position, *index[axis + 1 :])
        pixels = np.asarray(self.image[index])
        return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == bool else pixels


class Blend:
    """A lazy array of 8-bit RGB: layers drawn one over the other, on black.

    Only planes are read, and only when they are asked for. It may be used by several threads.

    Parameters
    ----------
    layers : sequence of BlendLayer
        From the lowest to the topmost.
    shape : tuple of int
        That of each image, without colours.

    Attributes
    ----------
    shape : tuple of int
        That of the images, and 3 colours.
    dtype : numpy.dtype
        uint8.

    Raises
    ------
    ValueError
        If there is no layer, or one has another shape.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, layers: Sequence[BlendLayer], shape: Sequence[int]) -> None:
        size = tuple(int(side) for side in shape)
        if not layers:
            raise ValueError("a blend needs at least one layer")
        for layer in layers:
            own = tuple(int(side) for side in layer.image.shape[: len(size)])
            if own != size:
                raise ValueError(f"the images of a blend have one shape, but are {own} and {size}")
        self.layers = tuple(layers)
        self.shape = (*size, 3)
        self.ndim = len(self.shape)
        self._limits: dict[tuple[int, tuple[int | None, ...]], Limits | None] = {}
        self._lock = threading.Lock()  # of the limits; never held while something is read

    def __getitem__(self, index: Index) -> NDArray[np.uint8]:
        """Return a plane or a part of one.

        Parameters
        ----------
        index : tuple of int and two slices
            One entry for each axis, the colours excepted.

        Returns
        -------
        (h, w, 3) uint8

        Raises
        ------
        ValueError
            If it is no such index.
        """
        entries = index if isinstance(index, tuple) else (index,)
        if len(entries) != self.ndim - 1 or sum(isinstance(one, slice) for one in entries) != 2:
            raise ValueError(f"a blend is read plane by plane, not at {index}")
        picture: NDArray[np.uint8] | None = None
        for number, layer in enumerate(self.layers):
            pixels = layer.read(entries)
            limits = self._limits_of(number, entries, pixels)
            if picture is None:
                picture = np.zeros((*pixels.shape[:2], 3), np.uint8)
            _draw(layer, pixels, limits, picture, first=number == 0)
        return np.zeros((0, 0, 3), np.uint8) if picture is None else picture

    def _limits_of(self, number: int, index: Index, pixels: NDArray[Any]) -> Limits | None:
        """Return the limits of a layer in the whole plane of an index; those found are kept."""
        layer = self.layers[number]
        if layer.limits is not None:
            return layer.limits
        place = number, tuple(None if isinstance(one, slice) else int(one) for one in index)
        with self._lock:
            if place in self._limits:
                return self._limits[place]
        whole: Index = tuple(slice(None) if isinstance(one, slice) else one for one in index)
        sides = [n for n, one in zip(self.shape, index, strict=False) if isinstance(one, slice)]
        found: Any = contrast_of(pixels if list(pixels.shape[:2]) == sides else layer.read(whole))
        with self._lock:
            self._limits[place] = found
        return found  # type: ignore[no-any-return]


def _draw(
    layer: BlendLayer,
    pixels: NDArray[Any],
    limits: Limits | None,
    picture: NDArray[np.uint8],
    first: bool,
) -> None:
    """Draw a layer (h, w) or (h, w, C) over a picture (h, w, 3)."""
    stretch = None if limits is None else stretcher(pixels.dtype, limits)
    for rows in row_blocks(picture.shape, VALUES):
        block, below = pixels[rows], picture[rows]
        opacity: Any = np.float32(layer.opacity)
        if layer.colours is None:
            colour = block[..., :3] if stretch is None else stretch(block[..., :3])
            if block.shape[-1] == 4:
                top = np.iinfo(block.dtype).max if block.dtype.kind in "ui" else 1
                opacity = opacity * (block[..., 3:] / np.float32(top))
        elif stretch is None:  # not one finite value
            colour = np.broadcast_to(layer.colours[0], below.shape)
        else:
            colour = layer.colours[stretch(block)]
        picture[rows] = _mixed(colour, below, opacity, layer.blending, first)


def _mixed(
    colour: NDArray[np.uint8],
    below: NDArray[np.uint8],
    opacity: Any,
    blending: str,
    first: bool,
) -> NDArray[np.uint8]:
    """Return colours (h, w, 3) mixed with those below them."""
    covers = bool(np.all(opacity == 1))
    if blending == "opaque" or (first and (covers or blending == "minimum")):
        return colour
    if blending == "minimum":
        return np.minimum(colour, below)
    added = colour if covers else np.rint(colour * opacity).astype(np.uint8)
    if first:
        return added
    if blending == "multiplicative":
        return np.asarray(np.rint(colour * (below / np.float32(255))), np.uint8)
    if blending == "additive":
        return below + np.minimum(added, ~below)  # white is the most there is
    return np.asarray(np.rint(added + below * (1 - opacity)), np.uint8)
