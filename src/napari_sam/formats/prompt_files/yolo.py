"""Prompts of YOLO's texts: boxes or polygons as parts of the image, perhaps with a confidence."""

from __future__ import annotations

from pathlib import Path

from ...types import Prompts
from ..polygons import filled
from ..yolo import class_names, described_in, parsed_line, places_of_texts, read_text, texts_of
from .contract import (
    FilePrompt,
    PromptChoice,
    PromptFile,
    box_of_edges,
    checked_score,
    of_mask,
    several,
)

SLACK = 1e-6
"""What coordinates may be off by rounding."""


def read_yolo_prompts(path: Path, shape: tuple[int, ...], choice: PromptChoice) -> PromptFile:
    """Return the prompts of a text, or of a folder of texts, one for each plane.

    A box is `class x y width height`, its middle and its size; a polygon has its corners. A number
    that is left over is the confidence. Classes are those of `classes.txt` or `data.yaml`.

    Raises
    ------
    ValueError
        That names the file and the line where it is wrong.
    """
    size = shape[-2], shape[-1]
    texts = texts_of(path)
    names = class_names(described_in(path if path.is_dir() else path.parent))
    found: list[FilePrompt] = []
    empty = 0
    for file, place in zip(texts, places_of_texts(texts, shape), strict=True):
        for number, line in enumerate(read_text(file).splitlines(), 1):
            if not line.strip():
                continue
            kind, values = parsed_line(line, f"line {number} of {file.name}")
            where = f"line {number} of {file.name}" if len(texts) > 1 else f"line {number}"
            try:
                score = checked_score(float(values[-1])) if len(values) % 2 else None
            except ValueError as error:
                raise ValueError(f"{file.name}: line {number}: {error}") from None
            if len(values) in (4, 5):
                x, y, w, h = values[:4] * (size[1], size[0], size[1], size[0])
                box = box_of_edges(x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                prompts, outline = Prompts(box=box), None
            else:
                if (values[: len(values) // 2 * 2] > 1 + SLACK).any():
                    raise ValueError(
                        f"{file.name}: line {number}: corners of a polygon are parts of the image, "
                        f"from 0 to 1, but one is {values.max():g}"
                    )
                ring = values[: len(values) // 2 * 2].reshape(-1, 2) * (size[1], size[0])
                mask = filled([ring], size)
                if not mask:
                    empty += 1
                    continue
                prompts, outline = of_mask(mask)
            category = names.get(kind, f"class {kind}")
            facts = prompts, outline, category, score, where
            found.append(FilePrompt(len(found) + 1, tuple(place), *facts))
    return PromptFile(
        tuple(found), f"{several(empty, 'polygon')} without a pixel of the image" if empty else ""
    )
