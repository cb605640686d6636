"""SA-1B: a JSON file with masks beside each image, with the published names of fields."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...masks import middle_of
from ..coco import sa1b_entry
from .coco import run_lengths
from .contract import (
    CLASSES_LOST,
    CROWDS_LOST,
    FolderWriter,
    Losses,
    SetImage,
    TrainingSet,
    write_png,
)


def sa1b_record(
    file_name: str, number: int, size: tuple[int, int], annotations: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the record of an image (H, W) with its number and masks (see `sa1b_entry`)."""
    height, width = size
    image = {"image_id": number, "width": width, "height": height, "file_name": file_name}
    return {"image": image, "annotations": annotations}


class Sa1bWriter(FolderWriter):
    """Writes images and records into train, and into val what is held out; see `SetWriter`."""

    def __init__(self, folder: Path, losses: Losses, border: bool = False) -> None:
        super().__init__(folder, losses, border)
        self._images = self._masks = 0

    def add(self, one: SetImage) -> None:
        """Write an image and its record."""
        part = "val" if one.held_out else "train"
        write_png(self._place(one, part, f"{one.name}.png"), one, self._losses)
        height, width = one.shape
        annotations = []
        for each in one.objects:
            if each.crowd:
                self._losses[CROWDS_LOST] += 1
                continue
            self._masks += 1
            self._losses[CLASSES_LOST] += bool(each.category)
            x, y = middle_of(each.mask)
            whole = (0, 0, width, height)
            fields = (run_lengths(each.mask), each.score, 1.0, [[float(x), float(y)]], whole)
            annotations.append({"id": self._masks, **sa1b_entry(each.mask, *fields)})
        self._images += 1
        data = sa1b_record(f"{one.name}.png", self._images, (height, width), annotations)
        self._place(one, part, f"{one.name}.json").write_text(json.dumps(data), encoding="utf-8")


SA1B = TrainingSet("SA-1B", Sa1bWriter)
