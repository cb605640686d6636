"""One picture of many results: each image beside a copy with its objects outlined."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import segmentation

SIDE = 300
"""Longest side of an image in the picture, pixels."""
MARGIN = 12
TITLE = 26
OPACITY = 0.35
GOLDEN_ANGLE = 0.381966
"""Part of the colour circle between two labels; neighbours never look alike."""
PAPER, INK = 255, 20

Rgb = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Panel:
    """One result.

    Attributes
    ----------
    title : str
    rgb : (H, W, 3) uint8
    labels : (H, W) int
    """

    title: str
    rgb: Rgb
    labels: NDArray[np.integer]


def draw_overview(panels: Sequence[Panel], columns: int = 2, side: int = SIDE) -> Rgb:
    """Draw panels in rows, each an image, the same with its labels, and a title.

    Parameters
    ----------
    panels : sequence of Panel
    columns : int
        Panels in a row.
    side : int
        Longest side of an image, in pixels of the picture.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If there is no panel.
    """
    if not panels:
        raise ValueError("an overview needs at least one panel")
    cells = [_cell(panel, side) for panel in panels]
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.shape[0] for cell in row) for row in rows]
    width = max(cell.shape[1] for cell in cells)
    used = min(columns, len(cells))
    size = (sum(heights) + MARGIN * (len(rows) + 1), used * width + MARGIN * (used + 1), 3)
    picture = np.full(size, PAPER, np.uint8)
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for position, cell in enumerate(row):
            left = MARGIN + position * (width + MARGIN)
            picture[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
        top += height + MARGIN
    return picture


def overlay(rgb: Rgb, labels: NDArray[np.integer], opacity: float = OPACITY) -> Rgb:
    """Tint each object in its colour and outline it.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    labels : (H, W) int
    opacity : float

    Returns
    -------
    (H, W, 3) uint8
    """
    colours = np.array([colour_of(k) for k in range(int(labels.max()) + 1)])
    tint = colours[labels]
    inside = (labels > 0)[..., None]
    mixed = np.where(inside, (1 - opacity) * rgb + opacity * tint, rgb)
    boundaries: Any = segmentation.find_boundaries
    edge = boundaries(labels, mode="inner") & (labels > 0)
    mixed[edge] = tint[edge]
    return np.rint(mixed).astype(np.uint8)


def colour_of(label: int) -> tuple[float, float, float]:
    """Return the colour of a label, 0..255; a label keeps it in every picture."""
    hue = (label * GOLDEN_ANGLE) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return 255 * red, 255 * green, 255 * blue


def _cell(panel: Panel, side: int) -> Rgb:
    h, w = panel.labels.shape
    scale = side / max(h, w)
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    image = Image.fromarray(panel.rgb)
    rgb = np.asarray(image.resize(size, Image.Resampling.BICUBIC))
    rows = (np.arange(size[1]) * h) // size[1]
    columns = (np.arange(size[0]) * w) // size[0]
    labels = panel.labels[rows[:, None], columns]
    gap = np.full((size[1], MARGIN // 2, 3), PAPER, np.uint8)
    pair = np.concatenate([rgb, gap, overlay(rgb, labels)], axis=1)
    return np.concatenate([_title(panel.title, pair.shape[1]), pair])


def _title(text: str, width: int) -> Rgb:
    strip = Image.new("RGB", (width, TITLE), (PAPER, PAPER, PAPER))
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(strip).text((1, 4), text, fill=(INK, INK, INK), font=font)
    return np.asarray(strip)
