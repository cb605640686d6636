"""Prompts of ImageJ's ROIs: rectangles are boxes, areas outlines, each point an object."""

from __future__ import annotations

from pathlib import Path

from ..imagej_roi import found_in_rois
from .contract import FilePrompt, PromptChoice, PromptFile, of_mask, points_of


def read_roi_prompts(path: Path, shape: tuple[int, ...], choice: PromptChoice) -> PromptFile:
    """Return the prompts of a .roi, or of a .zip of them; raises as `found_in_rois` does."""
    read = found_in_rois(path, shape)
    found: list[FilePrompt] = []
    for number, one in enumerate(read.objects, 1):
        for key, outline in one.outlines.items():
            prompts, mask = of_mask(outline.mask)
            place = tuple(at for _, at in key.fixed)
            where = f"ROI {one.label}"
            found.append(FilePrompt(number, place, prompts, mask, one.category, None, where))
    for number, row in enumerate(read.prompts, len(read.objects) + 1):
        *lead, y, x = row.vertices[0]
        place = tuple(int(at) for at in lead)
        where = f"point {number - len(read.objects)}"
        found.append(FilePrompt(number, place, points_of([(x, y)]), where=where))
    return PromptFile(tuple(found), read.notice)
