"""Objects and prompts of files, and the edit that brings them in, made a piece at a time."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from ..objects import Edit, ObjectStore, OverlapRule, SegmentedObject, free_pixels
from ..objects.boxes import Index
from ..objects.drawn import Drawing
from ..objects.edit import Change
from ..objects.overlap import sparing
from ..objects.patch import Patch, patches_between
from ..objects.segmented import Outline
from ..types import Progress, SliceKey
from .annotation import Annotation
from .coco_files import found_in_coco
from .exchange import format_of
from .found import Found, box_row, masks_of, planes_of
from .imagej_roi import found_in_rois
from .yolo import found_in_yolo

FINDERS = {
    ".json": found_in_coco,
    ".roi": found_in_rois,
    ".zip": found_in_rois,
    ".txt": found_in_yolo,
    ".yolo": found_in_yolo,
}
"""What holds outlines itself, by the ending of the file; of other formats the labels are read."""
PIECE_SECONDS = 0.01
"""An import pauses after so long."""


def imported(
    path: str | Path, shape: tuple[int, ...], as_prompts: bool = False
) -> tuple[tuple[SegmentedObject, ...], Drawing]:
    """Return the objects and prompts of a file.

    Parameters
    ----------
    path : path
        Of any format that is read. Outlines that overlap keep their pixels where the file holds
        outlines.
    shape : tuple of int
        Of the image, without colours.
    as_prompts : bool
        Whether objects become boxes around them, each in each of its planes.

    Returns
    -------
    tuple of SegmentedObject, tuple of DrawnRow

    Raises
    ------
    ValueError
        If the file cannot be read, or does not fit the image.
    """
    path = Path(path)
    found = _found(path, shape)
    if not as_prompts:
        return found.objects, found.prompts
    return (), (*found.prompts, *boxes_of(found.objects))


def boxes_of(objects: Sequence[SegmentedObject]) -> Drawing:
    """Return a box around each outline as it is drawn; those of one object have one owner."""
    return tuple(
        replace(box_row(key, outline.mask.box), owner=owner)
        for owner, one in enumerate(objects, 1)
        for key, outline in one.outlines.items()
        if outline.mask
    )


def objects_of(annotation: Annotation) -> tuple[SegmentedObject, ...]:
    """Return an object for each label of an annotation, with what is known of it.

    The labels say where it is; an outline whose pixels they show unchanged is taken as it is, with
    its prompts. Other outlines have the origin "imported".
    """
    outlines: dict[int, dict[SliceKey, Outline]] = {}
    for _, key, plane in planes_of(annotation.labels):
        for label, mask in masks_of(plane):
            known = annotation.objects.get(label)
            before = None if known is None else known.outlines.get(key)
            same = (
                before is not None
                and before.mask.box == mask.box
                and np.array_equal(before.mask.packed, mask.packed)
            )
            outlines.setdefault(label, {})[key] = (
                before if before is not None and same else Outline(mask, origin="imported")
            )
    return tuple(
        replace(annotation.objects.get(label) or SegmentedObject(label, {}), outlines=planes)
        for label, planes in sorted(outlines.items())
    )


def import_objects(
    store: ObjectStore, objects: Sequence[SegmentedObject], rule: OverlapRule = free_pixels
) -> Generator[Progress, None, Edit]:
    """Make one edit that adds objects under new labels; finished ones lose no pixel to them.

    Parameters
    ----------
    store : ObjectStore
    objects : sequence of SegmentedObject
        Their own labels do not matter. Those that come first have their pixels already when the
        next one is looked at.
    rule : OverlapRule

    Yields
    ------
    Progress
        Every few milliseconds.

    Raises
    ------
    ValueError
        If nothing would be written, an outline is of another size than the planes, or the canvas
        cannot hold the labels.
    """
    canvas = store.canvas
    rule = sparing(rule, [label for label, one in store.objects.items() if one.locked])
    numbers = [store.next_label + k for k in range(len(objects))]
    planes: dict[SliceKey, list[tuple[int, Outline]]] = {}
    last = perf_counter()
    for label, one in zip(numbers, objects, strict=True):
        if perf_counter() - last > PIECE_SECONDS:
            yield Progress(0, 1, "importing")
            last = perf_counter()
        for key, outline in one.outlines.items():
            size = tuple(canvas.shape[axis] for axis in key.displayed)
            if outline.mask.size != size:
                raise ValueError(
                    f"{canvas.name} has planes of {size}, but an outline is of {outline.mask.size}"
                )
            if outline.mask:
                planes.setdefault(key, []).append((label, outline))
    if numbers:
        canvas.check_labels(numbers[0], numbers[-1])
    kept: dict[int, dict[SliceKey, Outline]] = {}
    patches: list[Patch] = []
    for number, (key, found) in enumerate(planes.items()):
        index = _enclosing(key, [outline for _, outline in found])
        before = canvas.read(index)
        after = before.copy()
        view = after.T if key.displayed[0] > key.displayed[1] else after
        x0, y0 = _corner([outline for _, outline in found])
        yield Progress(number, len(planes), "importing")
        for label, outline in found:
            rows, columns = outline.mask.part
            part = view[rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0]
            own = rule(outline.mask.bits, part)
            if own.any():
                part[own] = label
                kept.setdefault(label, {})[key] = outline
            if perf_counter() - last > PIECE_SECONDS:
                yield Progress(number, len(planes), "importing")
                last = perf_counter()
        for patch in patches_between(index, before, after):
            patches.append(patch)
            yield Progress(number, len(planes), "importing")
    changes: Mapping[int, Change] = {
        label: (None, replace(one, label=label, outlines=kept[label]))
        for label, one in zip(numbers, objects, strict=True)
        if label in kept
    }
    if not changes:
        raise ValueError("nothing to import here: there is no object, or others cover all of them")
    count = f"{len(changes)} objects" if len(changes) > 1 else "an object"
    return Edit(f"the import of {count}", tuple(patches), changes)


def _found(path: Path, shape: tuple[int, ...]) -> Found:
    finder = FINDERS.get(path.suffix.lower())
    if finder is not None:
        return finder(path, shape)
    kind = format_of(path)
    if kind is None or kind.read is None:
        raise ValueError(f"{path.name} is in no format that objects are read of")
    annotation = kind.read(path, shape)
    return Found(objects_of(annotation), annotation.prompts, tuple(shape), annotation.notice)


def _corner(outlines: Sequence[Outline]) -> tuple[int, int]:
    boxes = [one.mask.box for one in outlines]
    return min(box[0] for box in boxes), min(box[1] for box in boxes)


def _enclosing(key: SliceKey, outlines: Sequence[Outline]) -> Index:
    """Return the index of the box of all outlines in a plane."""
    boxes: Any = np.array([one.mask.box for one in outlines])
    (x0, y0), (x1, y1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    return replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index
