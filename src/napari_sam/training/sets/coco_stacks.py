"""The images that COCO files and records of SA-1B name, with their objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from ...formats.coco_lengths import either, mask_of
from ...formats.found import key_of, reals
from ...formats.training_sets.contract import SetObject
from ...images.readers import StackImage, read_image
from ..finetune.coco_images import CocoImage
from ..finetune.coco_search import Find
from ..finetune.reading import stem_of
from .labelled_stack import LabelledStack, Place, PlaneObjects

UNTRACKED = 2**30
"""Numbers of tracks from here on are replaced, so that labels stay within 31 bits."""


def read_coco_stack(some: Sequence[CocoImage], find: Find) -> Iterator[LabelledStack]:
    """Yield the image that a COCO file names, with those of its planes that it names.

    Raises
    ------
    ValueError
        If it is not found or has another size, or an annotation does not fit.
    """
    first = some[0]
    path = find(first)
    if path is None:
        raise ValueError(
            f"{first.file.name} names the image {first.name}, which is not found; put it beside "
            "the file, or name its folder as well"
        )
    image = read_image(path)
    size = image.label_shape[-2], image.label_shape[-1]
    _check_named(some, path, image)
    labels = _labels_of([entry.get("track_id") for one in some for entry in one.entries])
    planes: dict[Place, dict[int, SetObject]] = {}
    boxes = 0
    for one in some:
        if None not in one.size and one.size != size:
            raise ValueError(
                f"{one.file.name} says that {one.name} is {one.size[0]} x {one.size[1]} pixels, "
                f"but {path.name} is {size[0]} x {size[1]}; name the image that was annotated"
            )
        key_of(one.place, image.label_shape)
        objects = planes.setdefault(one.place, {})
        for entry in one.entries:
            label = next(labels)
            if not entry.get("segmentation"):
                boxes += 1
                continue
            mask = mask_of(entry["segmentation"], size)
            if label in objects:  # another piece of the same object
                objects[label] = replace(objects[label], mask=either(objects[label].mask, mask))
            elif mask:
                category = one.classes.get(entry.get("category_id"), "")
                score = float(reals([entry.get("predicted_iou", 1.0)], "a predicted IoU")[0])
                crowd = bool(entry.get("iscrowd"))
                objects[label] = SetObject(label, mask, category, score, crowd)
    yield LabelledStack(
        stem_of(path),
        path,
        image,
        tuple(sorted(planes)),
        lambda place: PlaneObjects(tuple(planes[place].values())),
        tuple(name for name in first.classes.values() if name),
        notice=f"{boxes} boxes without an outline are left out" if boxes else "",
    )


def _check_named(some: Sequence[CocoImage], path: Path, image: StackImage) -> None:
    """Raise a ValueError if a COCO file does not tell which plane, or image, its entries are of."""
    if len(image.label_shape) > 2 and not all(one.place for one in some):
        raise ValueError(
            f"{some[0].file.name} does not tell the planes of the stack {path.name}; give each of "
            'its images in the file a "plane", such as [3]'
        )
    for one in some:
        ids = {str(entry.get("image_id")) for entry in one.entries}
        if len(ids) > 1:
            raise ValueError(
                f"{one.file.name} is a list of results of {len(ids)} images that it does not name; "
                'give a COCO file with "images" and "annotations"'
            )


def _labels_of(tracks: Sequence[Any]) -> Iterator[int]:
    """Yield a label for each entry: its track's number where it is one, else a free one."""
    named = {track: track for track in tracks if type(track) is int and 0 < track < UNTRACKED}
    free = count(max(named, default=0) + 1)
    others: dict[str, int] = {}
    for track in tracks:
        if type(track) is int and track in named:
            yield track
        elif track is None:
            yield next(free)
        else:
            name = str(track)
            if name not in others:
                others[name] = next(free)
            yield others[name]
