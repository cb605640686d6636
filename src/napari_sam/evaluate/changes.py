"""The objects that two models answer most differently, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from ..images.transforms import resize
from ..types import Mask

MOST = 6
"""Objects that got better, and as many that got worse, in a picture."""
LEAST = 0.02
"""Objects whose IoU changes by less are not shown."""
CELL, GAP, LINE = 112, 4, 18
"""Sides of a small picture, of the gap around it, and the height of a line of text, pixels."""
MARGIN = 0.6
"""Shown around an object, of its longer side."""
GROUND, TEXT = 38, (225, 225, 225)
TRUTH, BEFORE, AFTER = (255, 210, 0), (90, 180, 255), (255, 120, 200)
"""Colours of the outlines: the label, and the answers."""
HEADS = ("image", "label", "before", "after")

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Change:
    """An object and two answers to one click, cut out of its image.

    Attributes
    ----------
    name : str
        Of the image.
    label : int
    before, after : float
        IoU.
    rgb : (h, w, 3) uint8
    truth, first, last : (h, w) bool
        The object, and both answers.
    """

    name: str
    label: int
    before: float
    after: float
    rgb: Rgb
    truth: NDArray[np.bool_]
    first: NDArray[np.bool_]
    last: NDArray[np.bool_]

    @property
    def gain(self) -> float:
        """IoU after - before."""
        return self.after - self.before


def cut_out(
    name: str, label: int, ious: tuple[float, float], rgb: Rgb, masks: tuple[Mask, Mask, Mask]
) -> Change:
    """Return an object with some of its surroundings.

    Parameters
    ----------
    name, label, ious
        See `Change`.
    rgb : (H, W, 3) uint8
    masks : (Mask, Mask, Mask)
        Of the whole image: the object, the answer before and the one after.
    """
    x0, y0, x1, y1 = masks[0].box
    margin = max(8, round(MARGIN * max(x1 - x0 + 1, y1 - y0 + 1)))
    top, left = max(0, y0 - margin), max(0, x0 - margin)
    part = np.s_[top : y1 + 1 + margin, left : x1 + 1 + margin]
    truth, first, last = (np.asarray(mask)[part].copy() for mask in masks)
    return Change(name, label, *ious, rgb[part].copy(), truth, first, last)


def most_changed(changes: Sequence[Change], most: int = MOST) -> list[Change]:
    """Return those that got better by most and those that got worse by most, the best first."""
    ranked = sorted(changes, key=lambda change: -change.gain)
    better = [change for change in ranked if change.gain > LEAST][:most]
    worse = [change for change in ranked if change.gain < -LEAST][-most:]
    return better + worse


def draw_changes(changes: Sequence[Change]) -> Rgb:
    """Draw objects in rows: the image, its label, the answers to one click before and after.

    Parameters
    ----------
    changes : sequence of Change
        Those that got better stand on the left, the others on the right.

    Returns
    -------
    (H, W, 3) uint8
    """
    sides = (
        ("better", [change for change in changes if change.gain > 0]),
        ("worse", [change for change in reversed(changes) if change.gain <= 0]),
    )
    rows = max(1, *(len(found) for _, found in sides))
    wide, high = len(HEADS) * (CELL + GAP), CELL + LINE + GAP
    shape = (2 * LINE + rows * high + GAP, 2 * wide + 5 * GAP, 3)
    sheet = Image.fromarray(np.full(shape, GROUND, np.uint8))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for side, (title, found) in enumerate(sides):
        left = GAP + side * (wide + 3 * GAP)
        text = f"{title} after training" if found else f"no object is {title}"
        draw.text((left, 2), text, fill=TEXT, font=font)
        for column, head in enumerate(HEADS if found else ()):
            colour = (TEXT, TRUTH, BEFORE, AFTER)[column]
            draw.text((left + column * (CELL + GAP), LINE), head, fill=colour, font=font)
        for row, change in enumerate(found):
            top = 2 * LINE + row * high
            for column, cell in enumerate(_cells(change)):
                at = (left + column * (CELL + GAP), top)
                sheet.paste(Image.fromarray(cell), at)
            line = f"{change.name}, {change.label}: IoU {change.before:.2f} to {change.after:.2f}"
            while draw.textlength(line, font=font) > wide - GAP:
                line = "…" + line[2:]
            draw.text((left, top + CELL + 1), line, fill=TEXT, font=font)
    return np.asarray(sheet)


def _cells(change: Change) -> list[Rgb]:
    """Return the four pictures of an object, each (CELL, CELL, 3)."""
    plain = _squared(change.rgb)
    outlines = ((change.truth, TRUTH), (change.first, BEFORE), (change.last, AFTER))
    return [plain, *(_outlined(plain, mask, colour) for mask, colour in outlines)]


def _squared(rgb: Rgb) -> Rgb:
    """Return a picture as large as a cell allows, in the middle of one."""
    size = _size(rgb.shape)
    cell = np.full((CELL, CELL, 3), GROUND, np.uint8)
    top, left = (CELL - size[0]) // 2, (CELL - size[1]) // 2
    cell[top : top + size[0], left : left + size[1]] = resize(rgb, size)
    return cell


def _outlined(cell: Rgb, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> Rgb:
    size = _size(mask.shape)
    rows = ((np.arange(size[0]) + 0.5) * mask.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * mask.shape[1] / size[1]).astype(int)
    shown = mask[np.ix_(rows, columns)]
    edge = shown & ~ndimage.binary_erosion(shown, border_value=0)
    top, left = (CELL - size[0]) // 2, (CELL - size[1]) // 2
    drawn = cell.copy()
    drawn[top : top + size[0], left : left + size[1]][edge] = colour
    return drawn


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    scale = CELL / max(shape[:2])
    return max(1, round(scale * shape[0])), max(1, round(scale * shape[1]))
