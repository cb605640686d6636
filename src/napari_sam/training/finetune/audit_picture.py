"""A picture of the places in labelled images that an audit found."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .examples import Example
from .findings import Box, Finding

CELL, TEXT, GAP = 180, 34, 6
"""Sides of a picture, the height of the text below it, and the gap around it, pixels."""
COLUMNS = 5
MOST = 30
"""Pictures, of which each kind of finding has its turn."""
MARGIN = 0.5
"""Shown around a place, of its longer side."""
GROUND, INK, LABELS, PLACE = (38, 38, 38), (225, 225, 225), (80, 200, 255), (255, 190, 0)


def draw_findings(
    examples: Sequence[Example], findings: Sequence[Finding], most: int = MOST
) -> NDArray[np.uint8]:
    """Draw the place of each finding, with outlines of labels and a frame around the place.

    Findings without a place show the whole image. Where no finding has an image, the examples are
    drawn.

    Parameters
    ----------
    examples : sequence of Example
    findings : sequence of Finding
    most : int
        Pictures at most.

    Returns
    -------
    (H, W, 3) uint8
    """
    places = [(title, examples[k], box) for title, k, box in _places(examples, findings)][:most]
    if not places:
        places = [(one.name, one, None) for one in examples[:most]]
    columns = min(COLUMNS, max(1, len(places)))
    rows = max(1, -(-len(places) // columns))
    size = (GAP + columns * (CELL + GAP), GAP + rows * (CELL + TEXT + GAP))
    sheet = Image.new("RGB", size, GROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for number, (title, one, box) in enumerate(places):
        x = GAP + number % columns * (CELL + GAP)
        y = GAP + number // columns * (CELL + TEXT + GAP)
        picture = _picture(one, box)
        sheet.paste(picture, (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2))
        for line, text in enumerate(title.split("\n")):
            draw.text((x, y + CELL + 2 + 15 * line), _short(draw, text, font), INK, font)
    return np.asarray(sheet)


def _places(
    examples: Sequence[Example], findings: Sequence[Finding]
) -> list[tuple[str, int, Box | None]]:
    """Return title, example and box of each place; the kinds take turns."""
    by_kind: dict[str, list[tuple[str, int, Box | None]]] = {}
    for one in findings:
        if one.example is None:
            continue
        own = by_kind.setdefault(one.kind, [])
        name = examples[one.example].name
        many = one.kind == "shifted"
        if not one.boxes or many:
            own.append((f"{one.kind}\n{name}", one.example, None))
            continue
        labels: Sequence[int | None] = one.labels or [None] * len(one.boxes)
        for label, box in zip(labels, one.boxes, strict=True):
            title = one.kind if label is None else f"{one.kind}: label {label}"
            own.append((f"{title}\n{name}", one.example, box))
    turns = zip_longest(*by_kind.values())
    return [place for place in chain.from_iterable(turns) if place is not None]


def _picture(one: Example, box: Box | None) -> Image.Image:
    """Return the surroundings of a box, with outlines of the labels there."""
    height, width = one.labels.shape
    x0, y0, x1, y1 = (0, 0, width, height) if box is None else _around(box, height, width)
    image = one.image[y0:y1, x0:x1]
    colours = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    scale = CELL / max(x1 - x0, y1 - y0)
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    picture = np.asarray(Image.fromarray(colours).resize(size, Image.Resampling.BILINEAR)).copy()
    rows = np.arange(size[1]) * (y1 - y0) // size[1]
    columns = np.arange(size[0]) * (x1 - x0) // size[0]
    labels = one.labels[y0:y1, x0:x1][np.ix_(rows, columns)]
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    picture[edge] = LABELS
    drawn = Image.fromarray(picture)
    if box is not None:
        corners = [(v - o) * scale for v, o in zip(box, (x0, y0, x0, y0), strict=True)]
        ImageDraw.Draw(drawn).rectangle(corners, outline=PLACE)
    return drawn


def _around(box: Box, height: int, width: int) -> Box:
    """Return a square around a box, cut at the image."""
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0, 16) * (0.5 + MARGIN)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (
        max(0, round(x - half)), max(0, round(y - half)),
        min(width, round(x + half)), min(height, round(y + half)),
    )  # fmt: skip


def _short(draw: ImageDraw.ImageDraw, text: str, font: Any) -> str:
    """Return a text cut so that it fits under a picture."""
    while len(text) > 1 and draw.textlength(text, font) > CELL:
        text = text.removesuffix("…")[:-1] + "…"
    return text
