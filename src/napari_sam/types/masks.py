"""Masks, which store only their box, and the logits they come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import plane_size, real_numbers, shown, whole_number
from .planes import Window


@dataclass(frozen=True, eq=False)
class Mask:
    """One mask in a plane. Only its box is stored, not an array of the plane's size.

    Attributes
    ----------
    box : (x0, y0, x1, y1) int
        Tight, inclusive pixel centres; (0, 0, -1, -1) where there is no pixel.
    packed : (n,) uint8
        The pixels in the box, row by row, eight to a byte.
    size : (H, W) int
        Of the plane.
    """

    box: tuple[int, int, int, int]
    packed: NDArray[np.uint8]
    size: tuple[int, int]

    def __post_init__(self) -> None:
        plane_size(self.size)
        if not isinstance(self.packed, np.ndarray) or self.packed.dtype != np.uint8:
            raise ValueError("the pixels of a mask are packed as bytes; Mask.of does that")
        try:
            x0, y0, x1, y1 = (index(value) for value in self.box)
        except (TypeError, ValueError):
            raise ValueError(f"a box is four whole numbers, but is {shown(self.box)}") from None
        if x1 < x0 and not self.packed.size:
            return
        if not (0 <= x0 <= x1 < self.size[1] and 0 <= y0 <= y1 < self.size[0]):
            raise ValueError(f"the box {self.box} of a mask does not lie in a plane of {self.size}")
        wanted = -(-(x1 - x0 + 1) * (y1 - y0 + 1) // 8)
        if self.packed.shape != (wanted,):
            raise ValueError(
                f"the box {self.box} takes {wanted} bytes, but there are {self.packed.shape}"
            )

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.bool_],
        corner: tuple[int, int] = (0, 0),
        size: tuple[int, int] | None = None,
    ) -> Mask:
        """Make a mask of pixels.

        Parameters
        ----------
        pixels : (h, w) bool
        corner : (x, y) int
            Where their first pixel lies in the plane.
        size : (H, W) int, optional
            Of the plane; by default that of `pixels`.

        Raises
        ------
        ValueError
            If the pixels are no (H, W) of true and false, or do not lie in the plane.
        """
        pixels = np.asarray(pixels)
        if pixels.ndim != 2 or pixels.dtype.kind not in "bui":
            raise ValueError(
                f"a mask is (H, W) of true and false, but this one is {pixels.shape} of "
                f"{pixels.dtype}"
            )
        h, w = pixels.shape
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        size = (h, w) if size is None else plane_size(size)
        if not len(rows):
            return cls((0, 0, -1, -1), np.zeros(0, np.uint8), size)
        x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])
        try:
            x, y = (index(value) for value in corner)
        except (TypeError, ValueError):
            raise ValueError(f"a corner is two whole numbers, but is {shown(corner)}") from None
        packed = np.packbits(pixels[y0 : y1 + 1, x0 : x1 + 1])
        return cls((x0 + x, y0 + y, x1 + x, y1 + y), packed, size)

    @property
    def bits(self) -> NDArray[np.bool_]:
        """The pixels in the box, (h, w) bool."""
        h, w = self.box[3] - self.box[1] + 1, self.box[2] - self.box[0] + 1
        return np.unpackbits(self.packed, count=h * w).reshape(h, w).view(bool)

    @property
    def part(self) -> tuple[slice, slice]:
        """Rows and columns of the box, to index the plane with."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1 + 1), slice(x0, x1 + 1)

    @cached_property
    def area(self) -> int:
        """Pixels."""
        return int(np.bitwise_count(self.packed).sum())

    def moved(self, dx: int, dy: int, size: tuple[int, int]) -> Mask:
        """Return the same outline in a plane of another size whose origin lies at (-dx, -dy)."""
        size = plane_size(size)
        dx, dy = whole_number("dx", dx), whole_number("dy", dy)
        if not self:
            return replace(self, size=size)
        x0, y0, x1, y1 = self.box
        return Mask((x0 + dx, y0 + dy, x1 + dx, y1 + dy), self.packed, size)

    def __bool__(self) -> bool:
        """Whether there is a pixel."""
        return self.box[2] >= self.box[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        whole = np.zeros(self.size, bool)
        whole[self.part] = self.bits
        return whole if dtype is None else whole.astype(dtype)


@dataclass(frozen=True, eq=False)
class MaskLogits:
    """Low-resolution logits of one mask, which know the part of the plane that they cover.

    Attributes
    ----------
    values : (h, w) float32
    frame : (x0, y0, x1, y1) float, pixels of the plane
        The outer edges of the first and the last cell. It may reach beyond the plane: padding.
    window : (x0, y0, x1, y1) int or None
        The part of the plane that was looked at, end exclusive; None is all of it.
    """

    values: NDArray[np.float32]
    frame: tuple[float, float, float, float]
    window: Window | None = None

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim != 2 or values.dtype.kind not in "buif":
            raise ValueError(
                f"logits are (h, w) of real numbers, but these are {values.shape} of {values.dtype}"
            )
        object.__setattr__(self, "values", values)
        x0, y0, x1, y1 = real_numbers("the frame of logits", self.frame, 4)
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"a frame needs x0 < x1 and y0 < y1, but is {self.frame}")

    def moved(self, dx: float, dy: float) -> MaskLogits:
        """Return the same logits in a frame whose origin lies at (-dx, -dy); it has no window."""
        dx, dy = real_numbers("a shift", (dx, dy), 2)
        x0, y0, x1, y1 = self.frame
        return MaskLogits(self.values, (x0 + dx, y0 + dy, x1 + dx, y1 + dy))


@dataclass(frozen=True, eq=False)
class MaskRecord:
    """One mask that everything mode accepted; the fields have SAM's names.

    Attributes
    ----------
    mask : Mask
    predicted_iou, stability_score : float
    point_coords : (x, y) float
        The point that led to it.
    crop_box : (x, y, width, height) int
        The crop that it was found in.
    """

    mask: Mask
    predicted_iou: float
    stability_score: float
    point_coords: tuple[float, float]
    crop_box: tuple[int, int, int, int]

    @property
    def segmentation(self) -> NDArray[np.bool_]:
        """The mask as an array (H, W), made when it is asked for."""
        return np.asarray(self.mask)

    @property
    def area(self) -> int:
        """Pixels."""
        return self.mask.area

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """The box (x, y, width, height)."""
        x0, y0, x1, y1 = self.mask.box
        return x0, y0, x1 - x0 + 1, y1 - y0 + 1
