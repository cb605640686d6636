"""Lengths and areas of the editing tools, in the unit of the image."""

from __future__ import annotations

from typing import NamedTuple

from ....types import SliceKey
from ...frame import Frame
from ...placement import pixel_sides

PIXELS = "px"


class PixelSize(NamedTuple):
    """How large a pixel of a plane is.

    Attributes
    ----------
    sides : (float, float)
        Along rows' axis and along columns' axis.
    unit : str
        "px" for an image without lengths; the sides are 1 then.
    """

    sides: tuple[float, float] = (1.0, 1.0)
    unit: str = PIXELS

    @property
    def side(self) -> float:
        """The longer side."""
        return max(self.sides)

    @property
    def area(self) -> float:
        """Of the pixel."""
        return self.sides[0] * self.sides[1]


def pixel_size(frame: Frame, key: SliceKey) -> PixelSize:
    """Return the size of a pixel of a plane, in the image's own unit."""
    rows, columns = key.displayed
    units = frame.transform["units"]
    sides = pixel_sides(frame.transform)
    if str(units[rows]) == "pixel" or units[rows] != units[columns]:
        return PixelSize()
    if not min(sides[rows], sides[columns]) > 0:
        return PixelSize()
    return PixelSize((sides[rows], sides[columns]), f"{units[rows]:~}")
