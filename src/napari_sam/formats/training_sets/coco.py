"""COCO for Detectron2 and others: a folder of images, and annotations as compressed run lengths."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...masks import to_rle
from ...types import Mask
from ..coco_files import NO_CLASS as UNNAMED
from ..coco_lengths import compressed
from .contract import (
    UNKNOWN_GROUND,
    ClassNumbers,
    FolderWriter,
    Losses,
    SetImage,
    TrainingSet,
    write_png,
)

Json = dict[str, Any]


class CocoWriter(FolderWriter):
    """Writes images and `annotations.json`, or one file each of what is learnt and held out.

    Run lengths keep holes, pieces and shared pixels; Detectron2 reads them with
    `INPUT.MASK_FORMAT = "bitmask"`. See `SetWriter`.
    """

    def __init__(self, folder: Path, losses: Losses, border: bool = False) -> None:
        super().__init__(folder, losses, border)
        self._numbers = ClassNumbers(1)
        self._found: dict[str, tuple[bool, Json, list[Json]]] = {}
        self._images = self._objects = 0

    def add(self, one: SetImage) -> None:
        """Write an image, and keep its entries."""
        self._numbers.take(one)
        name = f"{one.name}.png"
        write_png(self._place(one, "images", name), one, self._losses)
        height, width = one.shape
        self._images += 1
        row = {"id": self._images, "file_name": name, "height": height, "width": width}
        entries: list[Json] = []
        self._found[one.name] = one.held_out, row, entries
        self._losses[UNKNOWN_GROUND] += one.unknown is not None
        for each in one.objects:
            self._objects += 1
            entries.append(
                {
                    "id": self._objects,
                    "image_id": self._images,
                    "category_id": self._numbers.of(each),
                    "segmentation": run_lengths(each.mask),
                    "area": each.mask.area,
                    "bbox": bbox(each.mask),
                    "iscrowd": int(each.crowd),
                }
            )

    def remove(self, name: str) -> None:
        """Take back an image and its entries."""
        super().remove(name)
        self._found.pop(name, None)

    def finish(self) -> None:
        """Write the annotations, with the same categories in each file."""
        categories = [
            {"id": k, "name": name or self._numbers.unnamed, "supercategory": name or UNNAMED}
            for k, name in enumerate(self._numbers.names, 1)
        ]
        parts = {held_out for held_out, _, _ in self._found.values()}
        for held_out in sorted(parts):
            of_part = [one for one in self._found.values() if one[0] == held_out]
            rows = [row for _, row, _ in of_part]
            entries = [entry for _, _, some in of_part for entry in some]
            part = "" if len(parts) == 1 else "_val" if held_out else "_train"
            data = {"info": {}, "images": rows, "annotations": entries, "categories": categories}
            place = self._folder / f"annotations{part}.json"
            place.write_text(json.dumps(data), encoding="utf-8")


def run_lengths(mask: Mask) -> Json:
    """Return a mask as COCO's compressed run lengths."""
    lengths = to_rle(mask)
    return {"size": lengths["size"], "counts": compressed(lengths["counts"])}


def bbox(mask: Mask) -> list[int]:
    """Return the box of a mask as x, y, width and height."""
    x0, y0, x1, y1 = mask.box
    return [x0, y0, x1 - x0 + 1, y1 - y0 + 1]


COCO_SET = TrainingSet("COCO", CocoWriter)
