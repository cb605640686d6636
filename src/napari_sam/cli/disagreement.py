"""A picture of where two annotators of one image disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import segmentation

from ..evaluate.annotators import Comparison

MOST_PLANES = 4
"""Of a stack, so many planes with most disagreement are drawn."""
SIDE = 700
"""Longest side of a plane in the picture, pixels; small planes are magnified up to 8 times."""
LARGEST_ZOOM = 8
LEAST_ZOOM = 2
"""From this on there is room for the edges of objects."""
MARGIN, LINE = 12, 24
PAPER, INK = (255, 255, 255), (20, 20, 20)
GROUND, BOTH = (40, 40, 40), (190, 190, 190)
ONLY_A, ONLY_B, OTHERS = (238, 119, 51), (0, 119, 187), (204, 51, 155)
"""Told apart by colour-blind people, too (Tol, "vibrant")."""

Rgb = NDArray[np.uint8]
Plane = NDArray[np.integer[Any]]


def draw_disagreement(a: Any, b: Any, result: Comparison, names: tuple[str, str]) -> Rgb:
    """Draw the planes with most disagreement, with a legend.

    Parameters
    ----------
    a, b : (..., H, W) int array
    result : Comparison
        Of these two.
    names : (str, str)
        Of a and b, for the legend.

    Returns
    -------
    (H, W, 3) uint8
    """
    partners = result.overall.partners
    places = list(np.ndindex(*(int(n) for n in a.shape[:-2])))
    if len(places) > 1:
        away = {
            place: int((kinds(np.asarray(a[place]), np.asarray(b[place]), partners) > 1).sum())
            for place in places
        }
        places = sorted(sorted(places, key=lambda place: -away[place])[:MOST_PLANES])
    cells = [_cell(np.asarray(a[place]), np.asarray(b[place]), partners, place) for place in places]
    columns = 1 if len(cells) == 1 else 2
    rows = [_beside(cells[k : k + columns]) for k in range(0, len(cells), columns)]
    width = max(row.shape[1] for row in rows)
    return _below([*rows, _legend(names, width)])


def kinds(a: Plane, b: Plane, partners: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return what each pixel of a plane is.

    Parameters
    ----------
    a, b : (H, W) int
    partners : (P, 2) int64
        Labels of objects that are the same.

    Returns
    -------
    (H, W) uint8
        0 is background, 1 partners, 2 an object of a alone, 3 of b alone, 4 objects of both that
        are no partners.
    """
    first, partner = np.append(partners[:, 0], -1), np.append(partners[:, 1], -1)
    order = np.argsort(first)
    place = np.searchsorted(first[order], a).clip(max=len(first) - 1)
    known = first[order][place] == a
    same = known & (partner[order][place] == b)
    in_a, in_b = a > 0, b > 0
    found = np.select([same, in_a & in_b, in_a, in_b], [1, 4, 2, 3], 0)
    return found.astype(np.uint8)


def _cell(a: Plane, b: Plane, partners: NDArray[np.int64], place: tuple[int, ...]) -> Rgb:
    """Draw one plane, with the edges of all objects."""
    zoom = min(SIDE / max(a.shape), LARGEST_ZOOM)
    size = max(1, round(a.shape[0] * zoom)), max(1, round(a.shape[1] * zoom))
    rows = (np.arange(size[0]) * a.shape[0]) // size[0]
    columns = (np.arange(size[1]) * a.shape[1]) // size[1]
    a, b = (labels[rows[:, None], columns] for labels in (a, b))
    colours = np.array([GROUND, BOTH, ONLY_A, ONLY_B, OTHERS], np.uint8)
    rgb = colours[kinds(a, b, partners)]
    if zoom >= LEAST_ZOOM:
        boundaries: Any = segmentation.find_boundaries
        for labels in (a, b):
            rgb[boundaries(labels, mode="inner") & (labels > 0)] = GROUND
    if not place:
        return rgb
    return np.concatenate([_text(f"plane {', '.join(map(str, place))}", rgb.shape[1]), rgb])


def _text(text: str, width: int, left: int = 0) -> Rgb:
    strip = Image.new("RGB", (width, LINE), PAPER)
    font = ImageFont.load_default(size=15)
    ImageDraw.Draw(strip).text((left, 3), text, fill=INK, font=font)
    return np.asarray(strip)


def _legend(names: tuple[str, str], width: int) -> Rgb:
    entries = (
        (BOTH, "both: the same object"),
        (ONLY_A, f"only A: {names[0]}"),
        (ONLY_B, f"only B: {names[1]}"),
        (OTHERS, "both, but not the same object"),
    )
    lines = []
    for colour, text in entries:
        line = _text(text, max(width, 300), LINE).copy()
        line[5 : LINE - 5, : LINE - 10] = colour
        lines.append(line)
    return np.concatenate(lines)


def _beside(cells: list[Rgb]) -> Rgb:
    width = sum(cell.shape[1] for cell in cells) + MARGIN * (len(cells) - 1)
    picture = np.full((max(cell.shape[0] for cell in cells), width, 3), PAPER, np.uint8)
    left = 0
    for cell in cells:
        picture[: cell.shape[0], left : left + cell.shape[1]] = cell
        left += cell.shape[1] + MARGIN
    return picture


def _below(rows: list[Rgb]) -> Rgb:
    width = max(row.shape[1] for row in rows) + 2 * MARGIN
    height = sum(row.shape[0] + MARGIN for row in rows) + MARGIN
    picture = np.full((height, width, 3), PAPER, np.uint8)
    top = MARGIN
    for row in rows:
        picture[top : top + row.shape[0], MARGIN : MARGIN + row.shape[1]] = row
        top += row.shape[0] + MARGIN
    return picture
