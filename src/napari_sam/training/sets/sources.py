"""Labelled images with their own pixels, from every form that labels are read of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...formats.annotation import Annotation
from ...formats.exchange import format_of
from ...formats.found import key_of, masks_of
from ...formats.imports import imported
from ...formats.placed_labels import labels_in
from ...formats.training_sets.contract import SetObject
from ...formats.training_sets.nnunet import RESERVED
from ...formats.yolo import YOLO, YOLO_TEXT, listed_classes
from ...images.labelled import read_source
from ...images.readers import StackImage, read_image
from ...objects import SegmentedObject
from ...objects.complete import regions_of
from ...objects.segmented import upright
from ...types import SliceKey
from ..finetune.label_values import conversion
from ..finetune.labelled_files import Readers
from ..finetune.nnunet_files import Case, objects_in, read_case_image
from ..finetune.reading import (
    check_shapes,
    known_of,
    project_with_image,
    stem_of,
    stored_labels,
    zarr_labels,
)
from .coco_stacks import read_coco_stack
from .labelled_stack import LabelledStack, Place, PlaneObjects

UNLINKED = 2**16
"""Labels of a plane at most, where those of different planes are different objects."""
UNMARKED = "no plane of it is marked complete; planes with objects count as complete"


def stack_readers() -> Readers[LabelledStack]:
    """Return what reads labelled files as `LabelledStack`."""
    return Readers(
        pair=read_pair,
        annotation=read_format,
        project=read_project_stack,
        npz=read_npz_stacks,
        zarr=_read_zarr,
        coco=read_coco_stack,
        case=read_case_stack,
    )


def read_pair(image_path: Path, label_path: Path) -> Iterator[LabelledStack]:
    """Yield an image and its label image; raises a ValueError if they do not fit."""
    image = read_image(image_path)
    placed = labels_in(image, label_path)
    if placed is not None and placed.objects:
        yield replace(_of_annotation(image_path, image, placed), notice=placed.notice)
        return
    if placed is not None:
        stored = StackImage(placed.labels, image.label_axes)
    else:
        stored = stored_labels(label_path)
        check_shapes(image_path, image, label_path, stored)
    known = None if placed is not None else known_of(label_path, stored)
    if known is not None and (known.objects or known.properties.get("complete")):
        yield _of_annotation(image_path, image, replace(known, labels=stored.data))
        return
    places = tuple(np.ndindex(*stored.label_shape[:-2]))
    planes, colours = stored.data, stored.axes != stored.label_axes
    try:
        way = conversion(lambda: (np.asarray(planes[k]) for k in places), planes.dtype, colours)
    except ValueError as error:
        raise ValueError(f"{label_path.name} holds no labels: {error}") from None

    def plane(place: Place) -> PlaneObjects:
        labels, unknown = way.convert(np.asarray(planes[place]))
        start = 0 if way.linked else places.index(place) * UNLINKED
        found = (SetObject(start + k, mask) for k, mask in masks_of(labels))
        return PlaneObjects(tuple(found), unknown)

    yield LabelledStack(stem_of(image_path), image_path, image, places, plane, notice=way.notice)


def read_format(image_path: Path, path: Path) -> Iterator[LabelledStack]:
    """Yield an image and a file of outlines that belongs to it; masks may share pixels."""
    image = read_image(image_path)
    placed = labels_in(image, path)
    if placed is not None:
        yield replace(_of_annotation(image_path, image, placed), notice=placed.notice)
        return
    objects, prompts = imported(path, image.label_shape)
    texts = format_of(path) in (YOLO, YOLO_TEXT)
    classes = listed_classes(path) if texts else ()
    yield _of_outlines(image_path, image, objects, len(prompts), classes)


def read_project_stack(path: Path, image_path: Path | None) -> Iterator[LabelledStack]:
    """Yield a project with its image; raises a ValueError if that is missing or another one."""
    yield _of_annotation(*project_with_image(path, image_path))


def read_npz_stacks(path: Path) -> Iterator[LabelledStack]:
    """Yield the planes of a `.npz` with `image_000`, `labels_000` and so on."""
    for one in read_source(path):
        channels = one.image.shape[-1] if one.image.ndim == 3 else 0
        axes = "YX" + ("" if not channels else "S" if channels in (3, 4) else "C")
        found = PlaneObjects(tuple(SetObject(k, mask) for k, mask in masks_of(one.labels)))
        name = f"{one.source}_{one.name}"
        image = StackImage(np.asarray(one.image), axes)
        yield LabelledStack(name, path, image, ((),), _always(found), group=f"{path} {one.name}")


def read_case_stack(case: Case) -> Iterator[LabelledStack]:
    """Yield a case of nnU-Net, each connected piece of a class an object."""
    image, semantic = read_case_image(case)
    labels, names, unknown = objects_in(semantic, case.classes)

    def plane(place: Place) -> PlaneObjects:
        ground = None if unknown is None or not unknown[place].any() else unknown[place]
        found = (SetObject(k, mask, names.get(k, "")) for k, mask in masks_of(labels[place]))
        return PlaneObjects(tuple(found), ground)

    places = tuple(np.ndindex(*labels.shape[:-2]))
    known = [name for k, name in sorted(case.classes.items()) if name not in RESERVED]
    classes = tuple(known) if names else ()
    notice = "each connected piece of a class became an object"
    yield LabelledStack(case.name, case.labels, image, places, plane, classes, notice=notice)


def _read_zarr(path: Path) -> Iterator[LabelledStack]:
    for place in zarr_labels(path):
        yield from read_pair(path, place)


def _of_annotation(path: Path, image: StackImage, annotation: Annotation) -> LabelledStack:
    shape = tuple(int(n) for n in annotation.labels.shape)
    if shape != tuple(image.label_shape):
        raise ValueError(
            f"the labels of {path.name} have the shape {shape}, but the image has "
            f"{tuple(image.label_shape)}"
        )
    doubtful = [label for label, one in annotation.objects.items() if one.status == "to check"]
    marks: dict[SliceKey, list[tuple[int, int, int, int] | None]] = {}
    for key, box in regions_of(annotation.properties):
        marks.setdefault(upright(key), []).append(box)

    def plane(place: Place) -> PlaneObjects:
        pixels, key = np.asarray(annotation.labels[place]), key_of(place, shape)
        found = tuple(
            _set_object(annotation.objects, label, mask, key)
            for label, mask in masks_of(pixels)
            if label not in doubtful
        )
        unknown = np.isin(pixels, doubtful)
        boxes = marks.get(key)
        if boxes and None not in boxes:
            known = pixels > 0
            for box in boxes:
                if box is not None:
                    known[box[1] : box[3] + 1, box[0] : box[2] + 1] = True
            unknown |= ~known
        return PlaneObjects(found, unknown if unknown.any() else None)

    places = tuple(np.ndindex(*shape[:-2]))
    marked = frozenset(place for place in places if key_of(place, shape) in marks)
    classes = tuple(one["name"] for one in annotation.properties.get("classes") or ())
    if marks:
        return LabelledStack(stem_of(path), path, image, places, plane, classes, marked)
    return LabelledStack(stem_of(path), path, image, places, plane, classes, notice=UNMARKED)


def _set_object(
    objects: Mapping[int, SegmentedObject], label: int, mask: Any, key: SliceKey
) -> SetObject:
    one = objects.get(label)
    if one is None:
        return SetObject(label, mask)
    outline = one.outlines.get(key)
    score = 1.0 if outline is None or not math.isfinite(outline.score) else float(outline.score)
    return SetObject(label, mask, one.category, score, bool(one.attributes.get("crowd")))


def _of_outlines(
    path: Path,
    image: StackImage,
    objects: Sequence[SegmentedObject],
    prompts: int,
    classes: tuple[str, ...],
) -> LabelledStack:
    shape = tuple(image.label_shape)
    planes: dict[SliceKey, list[SetObject]] = {}
    known = {one.label: one for one in objects}
    for one in objects:
        for key, outline in one.outlines.items():
            planes.setdefault(key, []).append(_set_object(known, one.label, outline.mask, key))
    notice = f"{prompts} points and boxes without an outline are left out" if prompts else ""
    return LabelledStack(
        stem_of(path),
        path,
        image,
        tuple(np.ndindex(*shape[:-2])),
        lambda place: PlaneObjects(tuple(planes.get(key_of(place, shape), ()))),
        classes,
        notice=notice,
    )


def _always(found: PlaneObjects) -> Callable[[Place], PlaneObjects]:
    return lambda place: found
