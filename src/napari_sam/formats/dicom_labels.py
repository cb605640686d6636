"""Annotations as DICOM segmentations: read from any program, written by `dicom_seg`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..images.decoding import UNREADABLE, UnreadableImageError
from ..images.dicom_grid import Grid, grid_of
from ..images.dicom_headers import Frame, frames_of
from ..images.dicom_kinds import is_segmentation
from ..images.dicom_opening import read_dataset, reading
from ..images.scan import Scan, check_packages
from ..images.world import WorldAffine, placed
from ..objects import SegmentedObject
from ..objects.classes import COLOURS
from .annotation import Annotation, AnnotationFormat
from .dicom_seg import GROUP
from .dicom_segments import LARGEST_LABEL, OBJECT, PROGRAM, segment_name
from .found import MOST_PIXELS, PIXELS_PER_BYTE
from .label_images import geometry_from, write_labels
from .losses import lost
from .nifti_labels import geometry_in, written_axes

if TYPE_CHECKING:
    from pydicom import Dataset

MICROMETRES = 1000.0
"""In a millimetre."""
PLACING = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
"""Functional groups that tell where a frame lies."""


def write_segments(annotation: Annotation, path: Path) -> None:
    """Write labels, with a label map where the name ends in .labelmap.dcm; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        If the image is no DICOM image, highdicom is missing, or the disk refuses it.
    """
    axes, scale, _ = written_axes(annotation.geometry)
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
        frames = frames_of(path, dataset, PLACING)
        if not frames:
            raise UnreadableImageError(f"{path.name} has no frames")
        numbers = _numbers(dataset, len(frames))
        frames = _counted(frames, numbers)
        note = _note(dataset)
        unique = {one.place: one for one in reversed(frames)}
        whole = _whole(note, frames[0].reference, path.stat().st_size)
        like = whole[1] if like is None and whole is not None else like
        pixels = max(MOST_PIXELS, PIXELS_PER_BYTE * path.stat().st_size)
        most = pixels // max(math.prod(frames[0].shape[:2]), 1)
        grid = grid_of(list(unique.values()), str(path), like, stated=True, most=most)
        if len(grid.frames) > most:
            raise UnreadableImageError(f"{path.name} would have more voxels than it can hold")
        names, values = _segments(dataset)
        labels, present, shared = _labels(
            dataset, frames, grid, [values.get(k, k) for k in numbers]
        )
    world = grid.world
    if whole is not None and world is not None:
        labels, world = placed(labels, world, whole[1], whole[0]), whole[1]
    scale = None if world is None else [n * MICROMETRES for n in world.spacing]
    geometry = geometry_from("ZYX", scale)
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


def _segments(dataset: Dataset) -> tuple[Mapping[int, str], Mapping[int, int]]:
    """Return the classes by label, and the labels by the numbers of segments."""
    names: dict[int, str] = {}
    values: dict[int, int] = {}
    ours = str(dataset.get("ManufacturerModelName") or "") == PROGRAM
    for one in dataset.get("SegmentSequence") or ():
        number, tracked = int(one.SegmentNumber), str(one.get("TrackingID") or "")
        kept = int(tracked) if ours and tracked.isdecimal() and len(tracked) < 11 else 0
        label = kept if 0 < kept <= LARGEST_LABEL else number
        if label in names:
            raise UnreadableImageError(f"two segments are called object {label}")
        values[number] = label
        name = str(one.get("SegmentLabel") or "")
        names[label] = "" if ours and name == OBJECT else name
    return names, values


def _numbers(dataset: Dataset, count: int) -> list[int]:
    """Return the number of the segment of each frame; 0 where a file has no objects, or labels."""
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or [{}] * count
    shared_groups = dataset.get("SharedFunctionalGroupsSequence") or ()
    found = (one.get("SegmentIdentificationSequence") for one in shared_groups)
    common = next((one for one in found if one), None)
    identities = (one.get("SegmentIdentificationSequence") or common for one in groups)
    return [int(one[0].ReferencedSegmentNumber) if one else 0 for one in identities]


def _counted(frames: list[Frame], numbers: Sequence[int]) -> list[Frame]:
    """Return frames; those without a place are numbered within their segments."""
    if any(one.position is not None for one in frames):
        return frames
    counts = {number: count() for number in numbers}
    return [replace(one, instance=next(counts[k])) for one, k in zip(frames, numbers, strict=True)]


def _labels(
    dataset: Dataset, frames: list[Frame], grid: Grid, values: Sequence[int]
) -> tuple[NDArray[np.int32], list[int], int]:
    """Return the labels of a grid, which there are, and how many pixels several segments share.

    `values` are the labels of the frames.
    """
    planes = {one.place: k for k, one in enumerate(grid.frames) if one is not None}
    labels = np.zeros((len(grid.frames), *frames[0].shape[:2]), np.int32)
    present: set[int] = set()
    shared = 0
    for frame, label, (rows, pixels) in zip(frames, values, _decoded(dataset), strict=True):
        plane = labels[planes[frame.place], rows]
        if str(dataset.SegmentationType) == "LABELMAP":
            plane[...] = pixels
            present.update(map(int, np.unique(pixels)))
            continue
        if label == 0:
            continue
        free = plane == 0
        drawn = pixels & free
        shared += int(np.count_nonzero(pixels & ~free))
        plane[drawn] = label
        if drawn.any():
            present.add(label)
    return labels, sorted(present - {0}), shared


def _decoded(dataset: Dataset) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Yield of each frame the rows that hold something, and what they hold.

    Of a label map these are labels, of any other segmentation whether pixels are of the segment.
    """
    from pydicom.pixels.utils import iter_pixels

    if int(dataset.BitsAllocated) == 1 and not dataset.file_meta.TransferSyntaxUID.is_compressed:
        yield from _unpacked(dataset)
        return
    threshold = max(int(dataset.get("MaximumFractionalValue") or 1) / 2, 1)
    map_of_labels = str(dataset.SegmentationType) == "LABELMAP"
    for pixels in iter_pixels(dataset):
        yield slice(None), pixels if map_of_labels else pixels >= threshold


def _unpacked(dataset: Dataset) -> Iterator[tuple[slice, NDArray[np.bool_]]]:
    """Do as `_decoded` for pixels of one bit; frames follow one another without a gap."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    packed = np.frombuffer(dataset.PixelData, np.uint8)
    for k in range(int(dataset.get("NumberOfFrames") or 1)):
        start = k * rows * columns
        first, last = start // 8, -(-(start + rows * columns) // 8)
        part = packed[first:last]
        if len(part) < last - first:
            raise UnreadableImageError("the pixels end before the last frame")
        filled = np.flatnonzero(part)
        if not len(filled):
            yield slice(0, 0), np.zeros((0, columns), bool)
            continue
        begin = max((first + int(filled[0])) * 8 - start, 0) // columns
        end = min((first + int(filled[-1]) + 1) * 8 - start, rows * columns)
        end = -(-end // columns)
        whole = start + begin * columns
        bits = np.unpackbits(
            packed[whole // 8 : -(-(start + end * columns) // 8)], bitorder="little"
        )[whole % 8 :][: (end - begin) * columns]
        yield slice(begin, end), bits.reshape(end - begin, columns).astype(bool)


def _note(dataset: Dataset) -> Mapping[str, Any]:
    """Return what a file of ours notes; nothing of others."""
    try:
        note = json.loads(dataset.private_block(GROUP, PROGRAM)[0x01].value)
    except UNREADABLE:
        return {}
    return note if isinstance(note, dict) else {}


def _whole(
    note: Mapping[str, Any], reference: str, nbytes: int
) -> tuple[tuple[int, ...], WorldAffine] | None:
    """Return the grid of the image, where it is noted and no larger than a file may ask for."""
    try:
        shape = tuple(int(n) for n in note["grid"]["shape"])
        world = WorldAffine.of(note["grid"]["lps"], "LPS", reference)
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
