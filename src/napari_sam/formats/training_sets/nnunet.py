"""nnU-Net v2's raw layout: a file for each channel, semantic labels, `dataset.json`.

The rules are those of nnU-Net's documentation/dataset_format.md, and of its readers
`NaturalImage2DIO` (planes) and `Tiff3DIO` (volumes, with their spacing in a JSON file beside them).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from .contract import (
    ClassNumbers,
    FolderWriter,
    Losses,
    SetImage,
    SetObject,
    TrainingSet,
    painted,
    write_tiff,
)

ENDING = ".tif"
BORDER, IGNORE = 254, 255
"""What stands for the edges of objects and for unknown ground until all classes are known."""
DATASET = "dataset.json"
TOUCHING = "objects of one class that touch, which become one region"
THIN = "objects so thin that they keep their innermost pixels, without a whole border"
GROUND, BORDER_NAME, IGNORE_NAME = RESERVED = ("background", "border", "ignore")
"""Labels that are no classes of objects."""
READERS = {2: "NaturalImage2DIO", 3: "Tiff3DIO"}


@dataclass(frozen=True)
class _Written:
    """What is known of an image that was written: axes and channels, labels, marks in them."""

    kind: tuple[str, int]
    labels: Path
    spacing: Sequence[float] | None
    marks: frozenset[int]
    held_out: bool


class NnUnetWriter(FolderWriter):
    """Writes imagesTr and labelsTr, and held-out images into imagesTs and labelsTs.

    Objects become their classes; those without one are of the class "object". With `border` the
    outermost pixels of each object are a class of their own, so that touching objects stay apart.
    See `SetWriter`.
    """

    def __init__(self, folder: Path, losses: Losses, border: bool = False) -> None:
        super().__init__(folder, losses, border)
        self._border = border
        self._numbers = ClassNumbers(1)
        self._written: dict[str, _Written] = {}

    def add(self, one: SetImage) -> None:
        """Write an image and its labels.

        Raises
        ------
        ValueError
            If it differs from the others in axes or channels, or there are too many classes.
        """
        kind = one.axes, 1 if one.axes[-1] == "X" else int(one.image.shape[-1])
        before = next((each.kind for each in self._written.values()), kind)
        if before != kind:
            raise ValueError(
                f"{one.name} has the axes {kind[0]} and {kind[1]} channels, but the images before "
                f"it {before[0]} and {before[1]}; nnU-Net takes images of one kind"
            )
        self._numbers.take(one)
        if len(self._numbers.names) >= BORDER:
            raise ValueError(f"nnU-Net's labels are written with at most {BORDER - 1} classes")
        part = "Ts" if one.held_out else "Tr"
        labels = self._semantic(one)
        images, places = f"images{part}", f"labels{part}"
        if len(one.shape) == 3:
            text = json.dumps({"spacing": list(one.spacing or (1.0, 1.0, 1.0))})
            for folder in (images, places):
                self._place(one, folder, f"{one.name}.json").write_text(text, encoding="utf-8")
        for number, (channel, axes) in enumerate(_channels(one)):
            place = self._place(one, images, f"{one.name}_{number:04d}{ENDING}")
            write_tiff(place, channel, axes, one.spacing)
        target = self._place(one, places, f"{one.name}{ENDING}")
        write_tiff(target, labels, one.axes.rstrip("SC"), one.spacing)
        marks = frozenset({BORDER, IGNORE} & set(np.unique(labels).tolist()))
        self._written[one.name] = _Written(kind, target, one.spacing, marks, one.held_out)

    def remove(self, name: str) -> None:
        """Take back an image; classes that were its own stay, without an object."""
        super().remove(name)
        self._written.pop(name, None)

    def finish(self) -> None:
        """Give the marks their numbers, which are the last ones, and write `dataset.json`."""
        written = list(self._written.values())
        axes, channels = next((one.kind for one in written), ("YX", 1))
        marks = frozenset().union(*(one.marks for one in written))
        labels = {GROUND: 0}
        for number, own in enumerate(self._numbers.listed, 1):
            labels[own if own not in RESERVED else f"{own} (class)"] = number
        final: dict[int, int] = {}
        for mark, name in ((BORDER, BORDER_NAME), (IGNORE, IGNORE_NAME)):
            if mark in marks:
                final[mark] = labels[name] = len(labels)
        for one in written:
            if one.marks:
                pixels = tifffile.imread(one.labels)
                for mark, number in final.items():
                    pixels[pixels == mark] = number
                write_tiff(one.labels, pixels, axes.rstrip("SC"), one.spacing)
        colours = "RGBA" if axes.endswith("S") else ""
        data = {
            "channel_names": {
                str(k): colours[k : k + 1] or f"channel {k}" for k in range(channels)
            },
            "labels": labels,
            "numTraining": sum(not one.held_out for one in written),
            "file_ending": ENDING,
            "overwrite_image_reader_writer": READERS[len(axes.rstrip("SC"))],
        }
        (self._folder / DATASET).write_text(json.dumps(data, indent=2), encoding="utf-8")

    def _semantic(self, one: SetImage) -> NDArray[np.uint8]:
        """Return the class of each pixel."""
        objects: list[SetObject] = []

        def place(each: SetObject) -> int:
            objects.append(each)
            return len(objects)

        found = painted(one, place, self._losses)
        values = np.array([0, *(self._numbers.of(each) for each in objects)], np.uint8)
        labels = values[found]
        owners: dict[int, int] = {}  # an object has one number in all its planes
        own = [0, *(owners.setdefault(each.label, len(owners) + 1) for each in objects)]
        whole = np.array(own, np.int32)[found]
        if self._border:
            edges, kept = _edges(whole)
            labels[edges] = BORDER
            self._losses[THIN] += kept
        else:
            self._losses[TOUCHING] += _touching(whole, labels)
        if one.unknown is not None:
            labels[one.unknown & (found == 0)] = IGNORE
        for plane, inside in zip(labels.reshape(-1, *one.shape[-2:]), one.planes, strict=True):
            for each in inside:
                if each.crowd:
                    spot = plane[each.mask.part]
                    spot[each.mask.bits & (spot == 0)] = IGNORE
        return labels


def _channels(one: SetImage) -> list[tuple[NDArray[Any], str]]:
    """Return what goes into files of their own; colours of a plane stay together."""
    axes = one.axes.rstrip("SC")
    if one.axes in (axes, "YXS"):
        return [(one.image, one.axes)]
    return [(np.ascontiguousarray(one.image[..., k]), axes) for k in range(one.image.shape[-1])]


def _edges(labels: NDArray[np.int32]) -> tuple[NDArray[np.bool_], int]:
    """Return the outermost pixels of objects, and how many objects would be nothing else.

    They lie beside another object or the ground in their plane; between planes, which may be far
    apart, only beside another object. An object that would have no other pixel keeps its innermost
    ones, if it can those that do not touch another object.
    """
    edges, walls = np.zeros(labels.shape, bool), np.zeros(labels.shape, bool)
    for axis in range(labels.ndim):
        rolled = np.moveaxis(labels, axis, 0)
        change = rolled[1:] != rolled[:-1]
        between = change & (rolled[1:] > 0) & (rolled[:-1] > 0)
        in_plane = axis >= labels.ndim - 2
        for pixels, found in ((edges, change if in_plane else between), (walls, between)):
            view = np.moveaxis(pixels, axis, 0)
            view[1:] |= found
            view[:-1] |= found
    edges &= labels > 0
    thin = np.setdiff1d(labels[edges], labels[~edges])
    boxes = ndimage.find_objects(labels) if len(thin) else []
    for label in thin.tolist():
        box = boxes[label - 1]
        own = labels[box] == label
        depth = ndimage.distance_transform_edt(np.pad(own, 1))[(slice(1, -1),) * own.ndim]
        free = own & ~walls[box]
        depth[~(free if free.any() else own)] = 0
        edges[box][depth == depth.max()] = False
    return edges, len(thin)


def _touching(labels: NDArray[np.int32], classes: NDArray[np.uint8]) -> int:
    """Return how many objects touch another one of their class."""
    found: set[int] = set()
    for axis in range(labels.ndim):
        a, b = np.moveaxis(labels, axis, 0)[1:], np.moveaxis(labels, axis, 0)[:-1]
        same = np.moveaxis(classes, axis, 0)[1:] == np.moveaxis(classes, axis, 0)[:-1]
        touch = (a != b) & (a > 0) & (b > 0) & same
        found.update(np.unique(a[touch]).tolist(), np.unique(b[touch]).tolist())
    return len(found)


NNUNET = TrainingSet("nnU-Net", NnUnetWriter, volumes=True, border=True)
