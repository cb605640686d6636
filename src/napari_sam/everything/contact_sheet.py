"""A contact sheet: kept objects as small pictures with their outlines, in one grid."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from ..images.transforms import resize, to_rgb8
from ..objects.segmented import SegmentedObject
from ..types import Contrast, Plane, Progress, SliceKey

MOST = 100
"""Objects on a sheet."""
COLUMNS = 10
CELL, GAP, LINE = 96, 4, 14
"""Sides of a picture, of the gap around it, and the height of the text below it, pixels."""
MARGIN = 0.25
"""Shown around an object, of its longer side."""
GROUND, COLOUR, TEXT = 38, (255, 210, 0), (220, 220, 220)
Order = Literal["size", "score"]
Read = Callable[[Plane], tuple[NDArray[Any], Contrast | None]]


def ordered(objects: Iterable[SegmentedObject], order: Order) -> list[SegmentedObject]:
    """Return the objects that a sheet shows: the largest first, or the least certain first.

    Parameters
    ----------
    objects : iterable of SegmentedObject
    order : {"size", "score"}
        Size is the area of the largest outline, the score that of the worst one.
    """
    drawn = [one for one in objects if one.outlines]
    if order == "size":
        drawn.sort(key=lambda one: -max(part.mask.area for part in one.outlines.values()))
    else:
        drawn.sort(key=lambda one: min(part.score for part in one.outlines.values()))
    return drawn[:MOST]


def contact_sheet(
    objects: Sequence[SegmentedObject], plane_of: Callable[[SliceKey], Plane], read: Read
) -> Generator[Progress, None, NDArray[np.uint8]]:
    """Draw objects one after the other, each in the plane in which it is largest.

    Parameters
    ----------
    objects : sequence of SegmentedObject
        With outlines.
    plane_of : callable
        Returns the plane of a key.
    read : callable
        Returns the pixels of a plane, or of its window, and the contrast to show them at.

    Yields
    ------
    Progress
        Before each object.

    Returns
    -------
    (H, W, 3) uint8
        Rows of `COLUMNS` pictures; below each the label and the predicted IoU.
    """
    columns = min(COLUMNS, max(1, len(objects)))
    rows = ceil(len(objects) / COLUMNS)
    high = CELL + LINE + GAP
    shape = (rows * high + GAP, columns * (CELL + GAP) + GAP, 3)
    sheet = Image.fromarray(np.full(shape, GROUND, np.uint8))
    draw = ImageDraw.Draw(sheet)
    for place, one in enumerate(objects):
        yield Progress(place, len(objects), "drawing the contact sheet")
        row, column = divmod(place, COLUMNS)
        x, y = GAP + column * (CELL + GAP), GAP + row * high
        key, outline = max(one.outlines.items(), key=lambda pair: pair[1].mask.area)
        picture = Image.fromarray(_picture(one, key, plane_of(key), read))
        sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
        draw.text((x, y + CELL + 1), f"{one.label}   {outline.score:.2f}", fill=TEXT)
    return np.asarray(sheet)


def _picture(one: SegmentedObject, key: SliceKey, plane: Plane, read: Read) -> NDArray[np.uint8]:
    """Return an object with its outline, (h, w, 3), the longer side `CELL`."""
    mask = one.outlines[key].mask
    x0, y0, x1, y1 = mask.box
    height, width = mask.size
    margin = max(2, round(MARGIN * max(x1 - x0 + 1, y1 - y0 + 1)))
    left, top = max(0, x0 - margin), max(0, y0 - margin)
    right, bottom = min(width, x1 + 1 + margin), min(height, y1 + 1 + margin)
    pixels, contrast = read(replace(plane, key=replace(key, window=(left, top, right, bottom))))
    scale = CELL / max(right - left, bottom - top)
    size = max(1, round(scale * (bottom - top))), max(1, round(scale * (right - left)))
    picture = resize(to_rgb8(pixels, contrast, plane.channels), size)
    inside = mask.moved(-left, -top, (bottom - top, right - left))
    whole = np.asarray(inside)
    at_row = (np.arange(size[0]) + 0.5) * whole.shape[0] / size[0]
    at_column = (np.arange(size[1]) + 0.5) * whole.shape[1] / size[1]
    shown = whole[np.ix_(at_row.astype(int), at_column.astype(int))]
    edge = shown & ~ndimage.binary_erosion(shown, border_value=0)
    return np.where(edge[..., None], np.array(COLOUR, np.uint8), picture)
