"""YOLO segmentation: images, texts of polygons with coordinates from 0 to 1, `data.yaml`.

The rules are those of Ultralytics: a text beside each image, in `labels` where that is in `images`;
a line is the number of a class and the corners of one polygon. Pieces of an object are joined by
lines of no width, as `ultralytics.data.converter` does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ...types import Mask
from ..polygons import Ring, rings_of
from .contract import (
    CROWDS_LOST,
    NO_CLASS,
    UNKNOWN_GROUND,
    ClassNumbers,
    FolderWriter,
    Losses,
    SetImage,
    SetObject,
    TrainingSet,
    write_png,
)

HOLES = "objects whose holes are filled: a polygon has none"
DATA = "data.yaml"
UNNAMED = "?"
"""Stands for the number of objects without a class until all classes are known."""


class YoloWriter(FolderWriter):
    """Writes images and texts into train, and into val what is held out; see `SetWriter`."""

    def __init__(self, folder: Path, losses: Losses, border: bool = False) -> None:
        super().__init__(folder, losses, border)
        self._numbers = ClassNumbers()
        self._unnamed: dict[str, Path] = {}

    def add(self, one: SetImage) -> None:
        """Write an image and its text."""
        self._numbers.take(one)
        part = "val" if one.held_out else "train"
        self._losses[UNKNOWN_GROUND] += one.unknown is not None
        lines = [self._line(each, one.shape) for each in one.objects if not each.crowd]
        self._losses[CROWDS_LOST] += len(one.objects) - len(lines)
        text = self._place(one, "labels", part, f"{one.name}.txt")
        text.write_text("".join(lines), encoding="utf-8")
        if any(line.startswith(UNNAMED) for line in lines):
            self._unnamed[one.name] = text
        write_png(self._place(one, "images", part, f"{one.name}.png"), one, self._losses)

    def remove(self, name: str) -> None:
        """Take back an image; classes that were its own stay, without an object."""
        super().remove(name)
        self._unnamed.pop(name, None)

    def finish(self) -> None:
        """Write the names of the classes, and where the images are.

        The last class is that of objects without one, as in our other texts of YOLO.
        """
        known = [name for name in self._numbers.names if name]
        if self._unnamed or (known and re.fullmatch(f"{NO_CLASS}_*", known[-1])):
            for path in self._unnamed.values():
                lines = path.read_text(encoding="utf-8")
                lines = re.sub(f"^{re.escape(UNNAMED)}", str(len(known)), lines, flags=re.M)
                path.write_text(lines, encoding="utf-8")
            known.append(self._numbers.unnamed)
        names = enumerate(known)
        listed = "".join(f"  {k}: {json.dumps(name)}\n" for k, name in names)
        parts = [one for one in ("train", "val") if (self._folder / "images" / one).is_dir()]
        # Ultralytics wants both entries
        text = f"train: images/{parts[0]}\nval: images/{parts[-1]}\nnames:\n{listed}"
        (self._folder / DATA).write_text(text, encoding="utf-8")

    def _line(self, each: SetObject, shape: tuple[int, ...]) -> str:
        mask = each.mask
        whole = Mask.of(ndimage.binary_fill_holes(mask.bits), mask.box[:2], mask.size)
        self._losses[HOLES] += whole.area > mask.area
        corners = (joined(rings_of(whole)) / shape[::-1]).ravel()
        known = [name for name in self._numbers.names if name]
        number = str(known.index(each.category)) if each.category else UNNAMED
        return f"{number} {' '.join(f'{n:.9g}' for n in corners)}\n"


def joined(rings: list[Ring]) -> Ring:
    """Return rings as one, joined by lines of no width between their nearest corners."""
    whole = rings[0]
    for ring in rings[1:]:
        distances, nearest = cKDTree(whole).query(ring)
        j = int(np.argmin(distances))
        i = int(nearest[j])
        turned = np.roll(ring, -j, axis=0)
        whole = np.concatenate([whole[: i + 1], turned, turned[:1], whole[i:]])
    return whole


YOLO_SET = TrainingSet("YOLO segmentation", YoloWriter)
