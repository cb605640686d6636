"""Annotations as DICOM segmentations: read from any program, written by `dicom_seg`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..images.decoding import UNREADABLE, UnreadableImageError
from ..images.dicom_grid import Grid, grid_of
from ..images.dicom_headers import Frame, frames_of, is_segmentation
from ..images.dicom_opening import read_dataset, reading
from ..images.scan import Scan, check_packages
from ..images.world import WorldAffine, from_planes, placed
from ..objects import SegmentedObject
from ..objects.classes import COLOURS
from .annotation import Annotation, AnnotationFormat
from .dicom_seg import GROUP, OBJECT, PROGRAM, segment_name
from .found import MOST_PIXELS, PIXELS_PER_BYTE
from .label_images import geometry_from, write_labels
from .losses import lost
from .nifti_labels import geometry_in, written_axes

if TYPE_CHECKING:
    from pydicom import Dataset

MICROMETRES = 1000.0
"""In a millimetre."""
MOST_FRAMES = 10**6


def write_segments(annotation: Annotation, path: Path) -> None:
    """Write labels, with a label map where the name ends in .labelmap.dcm; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        If the image is no DICOM image, highdicom is missing, or the disk refuses it.
    """
    axes, scale = written_axes(annotation.geometry)
    classes = {label: one.category for label, one in annotation.objects.items() if one.category}
    labels = np.asarray(annotation.labels[...])
    scan, note = annotation.geometry.scan, {"program": PROGRAM}
    write_labels(
        path, labels, axes, scale, overwrite=True, provenance=note, scan=scan, classes=classes
    )


def read_segments(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Read a segmentation; see `AnnotationFormat`.

    It reaches over the planes that have frames, or over those of the image where this package
    wrote it.

    Raises
    ------
    ValueError
        If it cannot be read, or its labels have another shape.
    """
    found = _read(Path(path), None)
    if shape is None:
        return found
    extent = found.labels.shape
    if [n for n in extent if n > 1] != [n for n in shape if n > 1]:
        raise ValueError(
            f"the labels of {path.name} have the shape {extent}, but the image has {tuple(shape)}; "
            "open the image that they were made for"
        )
    return replace(found, labels=found.labels.reshape(shape))


def read_segments_in(path: Path, shape: tuple[int, ...], scan: Scan) -> Annotation:
    """Read a segmentation into the grid of a medical image; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        As `read_segments` does, or if its voxels do not coincide with those of the image.
    """
    found = _read(Path(path), scan.world)
    own = found.geometry.scan
    if len(shape) > 3 or own is None or own.world is None or scan.world is None:
        return read_segments(path, shape)
    volume = (1,) * (3 - len(shape)) + tuple(shape)
    whole = placed(found.labels, own.world, scan.world, volume).reshape(shape)
    return replace(found, labels=whole, geometry=geometry_in(found.geometry, shape, scan))


def _read(path: Path, like: WorldAffine | None) -> Annotation:
    """Read a segmentation on a grid like that of an image, of its note, or as its frames lie."""
    check_packages(f"{path}, a DICOM file,", "pydicom")
    dataset = read_dataset(path, pixels=True)
    with reading(path):
        if not is_segmentation(dataset):
            raise UnreadableImageError(f"{path.name} is an image, no segmentation")
        frames = frames_of(path, dataset)
        if len(frames) > MOST_FRAMES or not frames:
            raise UnreadableImageError(f"{path.name} has {len(frames)} frames")
        note = _note(dataset)
        unique = {_place(one): one for one in reversed(frames)}
        whole = _whole(note, path.stat().st_size)
        like = whole[1] if like is None and whole is not None else like
        grid = grid_of(list(unique.values()), str(path), like or _stated(frames[0], dataset))
        size = math.prod((len(grid.frames), *frames[0].shape[:2]))
        if size > max(MOST_PIXELS, PIXELS_PER_BYTE * path.stat().st_size):
            raise UnreadableImageError(
                f"{path.name} would have {size} voxels, far more than it holds"
            )
        names, values = _segments(dataset)
        labels, shared = _labels(dataset, frames, grid, values)
    world = grid.world
    if whole is not None and world is not None:
        labels, world = placed(labels, world, whole[1], whole[0]), whole[1]
    scale = None if world is None else [n * MICROMETRES for n in world.spacing]
    geometry = geometry_from("ZYX", scale)
    present = {int(one) for one in np.unique(labels)} - {0}
    objects = {k: SegmentedObject(k, {}, names.get(k, "")) for k in sorted(present)}
    classes = sorted({one.category for one in objects.values() if one.category})
    listed = [
        {"name": one, "colour": COLOURS[k % len(COLOURS)], "key": ""}
        for k, one in enumerate(classes)
    ]
    return Annotation(
        labels,
        objects,
        replace(geometry, scan=Scan(world)),
        {"classes": listed} if listed else {},
        path.name.split(".")[0],
        notice=f"{shared} pixels that several segments share: each is of one" if shared else "",
    )


def _stated(frame: Frame, dataset: Dataset) -> WorldAffine | None:
    """Return an affine with the distance of planes that a file states; None if it states none."""
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    measures = (item for group in shared for item in group.get("PixelMeasuresSequence") or ())
    apart = next((one.get("SpacingBetweenSlices") for one in measures), None)
    place, turn, spacing = frame.position, frame.orientation, frame.spacing
    if not apart or place is None or turn is None or spacing is None:
        return None
    return from_planes(place, turn, np.cross(turn[:3], turn[3:]) * float(apart), spacing)


def _place(frame: Frame) -> Any:
    return frame.instance if frame.position is None else tuple(np.round(frame.position, 3))


def _segments(dataset: Dataset) -> tuple[Mapping[int, str], Mapping[int, int]]:
    """Return the classes by label, and the labels by the numbers of segments."""
    names, values = {}, {}
    ours = str(dataset.get("ManufacturerModelName") or "") == PROGRAM
    for one in dataset.get("SegmentSequence") or ():
        number, tracked = int(one.SegmentNumber), str(one.get("TrackingID") or "")
        label = int(tracked) if ours and tracked.isdecimal() and len(tracked) < 10 else number
        values[number] = label
        name = str(one.get("SegmentLabel") or "")
        names[label] = "" if ours and name == OBJECT else name
    return names, values


def _labels(
    dataset: Dataset, frames: list[Frame], grid: Grid, values: Mapping[int, int]
) -> tuple[NDArray[np.int32], int]:
    """Return the labels of a grid, and how many pixels several segments share."""
    from pydicom.pixels.utils import iter_pixels

    planes = {_place(one): k for k, one in enumerate(grid.frames) if one is not None}
    map_of_labels = str(dataset.SegmentationType) == "LABELMAP"
    threshold = int(dataset.get("MaximumFractionalValue") or 1) / 2
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared_groups = dataset.get("SharedFunctionalGroupsSequence") or ()
    found = (one.get("SegmentIdentificationSequence") for one in shared_groups)
    common = next((one for one in found if one), None)
    decoded = map(np.asarray, iter_pixels(dataset))
    first = next(decoded)
    labels = np.zeros((len(grid.frames), *first.shape), np.int32)
    shared = 0
    for k, (frame, pixels) in enumerate(zip(frames, chain([first], decoded), strict=True)):
        plane = labels[planes[_place(frame)]]
        if map_of_labels:
            plane[...] = pixels
            continue
        identity = groups[k].get("SegmentIdentificationSequence") or common
        if not identity:  # of a file without objects
            continue
        number = int(identity[0].ReferencedSegmentNumber)
        inside = pixels >= max(threshold, 1)
        taken = inside & (plane > 0)
        shared += int(np.count_nonzero(taken))
        plane[inside & ~taken] = values.get(number, number)
    return labels, shared


def _note(dataset: Dataset) -> Mapping[str, Any]:
    """Return what a file of ours notes; nothing of others."""
    try:
        note = json.loads(dataset.private_block(GROUP, PROGRAM)[0x01].value)
    except UNREADABLE:
        return {}
    return note if isinstance(note, dict) else {}


def _whole(note: Mapping[str, Any], nbytes: int) -> tuple[tuple[int, ...], WorldAffine] | None:
    """Return the grid of the image, where it is noted and no larger than a file may ask for."""
    try:
        shape = tuple(int(n) for n in note["grid"]["shape"])
        world = WorldAffine.of(note["grid"]["lps"], "LPS")
    except UNREADABLE:
        return None
    fits = len(shape) == 3 and min(shape) > 0
    most = max(MOST_PIXELS, PIXELS_PER_BYTE * nbytes)
    return (shape, world) if fits and math.prod(shape) <= most else None


def _losses(annotation: Annotation) -> list[str]:
    losses = lost(annotation, classes=True, objects=True, scale=True)
    names = {one.category for one in annotation.objects.values()}
    changed = sorted(name for name in names if segment_name(name) != name)
    if changed:
        losses.append(f"names of classes beyond 64 characters, and some signs ({changed[0][:30]})")
    return losses


SEG_MAP = AnnotationFormat(
    "DICOM segmentation, label map",
    (".labelmap.dcm",),
    write_segments,
    read_segments,
    _losses,
    read_in=read_segments_in,
)
SEG = AnnotationFormat(
    "DICOM segmentation",
    (".dcm",),
    write_segments,
    read_segments,
    _losses,
    read_in=read_segments_in,
)
