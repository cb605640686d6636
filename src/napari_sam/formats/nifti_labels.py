"""Annotations as NIfTI: labels in the patient's space, classes and states as a comment."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images.decoding import UNREADABLE
from ..images.nifti_files import header_of, load_nifti, read_nifti
from ..images.scan import Scan, check_packages
from ..images.world import placed
from ..objects import SegmentedObject
from ..objects.documents import object_from_json, object_to_json
from .annotation import Annotation, AnnotationFormat, Geometry
from .found import MOST_PIXELS, PIXELS_PER_BYTE
from .label_images import PROGRAM, geometry_from, write_labels
from .losses import lost_by_labels
from .nifti_volume import COMMENT, SECOND
from .ome_axes import standard_names

UNITS = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}
"""In micrometres."""
TIME_UNITS = {"microsecond": 1e-6, "millisecond": 1e-3, "second": 1.0, "minute": 60.0, "hour": 3600}
"""In seconds."""
LARGEST = 2**31 - 1


def write_nifti_labels(annotation: Annotation, path: Path) -> None:
    """Write labels; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        If nibabel is missing, the labels have more than four axes, or the disk refuses it.
    """
    axes, scale, units = written_axes(annotation.geometry)
    bare = (replace(one, outlines={}) for one in annotation.objects.values())
    note = {"program": PROGRAM, "objects": [object_to_json(one) for one in bare]}
    labels = np.asarray(annotation.labels[...])
    scan = annotation.geometry.scan
    write_labels(path, labels, axes, scale, True, note, scan=scan, units=units)


def written_axes(geometry: Geometry) -> tuple[str, tuple[float, ...] | None, tuple[str, ...]]:
    """Return the letters of the axes, their scale where all lengths are known, and its units.

    These are micrometres, and seconds along T, or "pixel" where the step of time is unknown.
    """
    axes = "".join(standard_names(geometry.axes)).upper()
    if len(axes) == 3 and geometry.scan is not None and geometry.scan.times > 1:
        axes = "TYX"  # images of one position
    sizes, units = [], []
    for name, size, unit in zip(axes, geometry.scale, geometry.units, strict=True):
        step = size * (TIME_UNITS if name == "T" else UNITS).get(unit, 0)
        known = step > 0 or name != "T"
        sizes.append(step if known else 1.0)
        units.append("pixel" if not known else SECOND if name == "T" else "micrometer")
    return axes, tuple(sizes) if all(size > 0 for size in sizes) else None, tuple(units)


def read_nifti_labels(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Read labels of any program; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        If they cannot be read, are no integers, or have another shape.
    """
    path = Path(path)
    check_packages(f"{path}, a NIfTI file,", "nibabel")
    image = load_nifti(path)
    extent = tuple(int(n) for n in image.shape[::-1])
    if shape is not None and [n for n in extent if n > 1] != [n for n in shape if n > 1]:
        raise ValueError(
            f"the labels of {path.name} have the shape {extent}, but the image has {tuple(shape)}; "
            "open the image that they were made for"
        )
    most = max(MOST_PIXELS, PIXELS_PER_BYTE * path.stat().st_size)
    if shape is None and math.prod(extent) > most:
        raise ValueError(f"{path.name} states a shape of {extent}; open the image of it first")
    found = read_nifti(path)
    scan = found.scan
    labels = _whole(path, np.asarray(found.data))
    if labels.ndim != len(found.axes):
        raise ValueError(f"{path.name} holds colours, and labels have none")
    if shape is not None:
        labels = labels.reshape(shape)
    axes = found.axes if labels.ndim == len(found.axes) else "TZYX"[-labels.ndim :]
    scale = tuple(found.sizes.get(axis, 1.0) for axis in axes)
    time = SECOND if "T" in found.sizes else "pixel"
    units = [time if axis == "T" else "micrometer" for axis in axes]
    geometry = replace(geometry_from(axes, scale, units), scan=scan)
    objects = {one.label: one for one in _objects(image.header)}
    return Annotation(labels, objects, geometry, name=path.name.split(".")[0])


def read_nifti_in(path: Path, shape: tuple[int, ...], scan: Scan) -> Annotation:
    """Read labels into the grid of a medical image; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        As `read_nifti_labels` does, or if their voxels do not coincide with those of the image.
    """
    found = read_nifti_labels(path)
    own = found.geometry.scan
    if own is None or own.world is None or scan.world is None:
        return read_nifti_labels(path, shape)
    times, *volume = _timed(_stated(shape, scan))
    labels = found.labels.reshape(_timed(found.labels.shape))
    if len(labels) != times:
        raise ValueError(
            f"the labels of {path.name} have {len(labels)} points in time, but the image has "
            f"{times}; open the image that they were made for"
        )
    world = own.world
    whole = np.stack([placed(one, world, scan.world, volume) for one in labels]).reshape(shape)
    return replace(found, labels=whole, geometry=geometry_in(found.geometry, shape, scan))


def geometry_in(geometry: Geometry, shape: Sequence[int], scan: Scan) -> Geometry:
    """Return where labels lie that were placed in an image of another number of axes."""
    axes = "TZYX"[-len(shape) :]
    if len(shape) == 3 and len(_stated(tuple(shape), scan)) == 4:
        axes = "TYX"
    known = dict(zip(geometry.axes, geometry.scale, strict=True))
    units = dict(zip(geometry.axes, geometry.units, strict=True))
    made = geometry_from(
        axes,
        [known.get(axis, 1.0) for axis in axes.lower()],
        [units.get(axis, "pixel" if axis == "t" else "micrometer") for axis in axes.lower()],
    )
    return replace(made, scan=scan)


def _stated(shape: tuple[int, ...], scan: Scan) -> tuple[int, ...]:
    """Return the shape of an image with the axes of its file, also those of one plane."""
    if not scan.header:
        several = scan.times > 1 and len(shape) == 3 and shape[0] == scan.times
        return (shape[0], 1, *shape[1:]) if several else shape
    stated = tuple(int(n) for n in header_of(scan.header).get_data_shape()[::-1])
    return stated if math.prod(stated) == math.prod(shape) else shape


def _timed(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape as (T, Z, Y, X)."""
    bare = tuple(shape)[-4:]
    return (1,) * (4 - len(bare)) + bare


def _whole(path: Path, values: NDArray[Any]) -> NDArray[np.integer]:
    """Return labels that a file may hold as real numbers."""
    if values.dtype.kind == "f":
        rounded = np.rint(values)
        if not np.isfinite(values).all() or np.abs(values - rounded).max(initial=0) > 1e-3:
            raise ValueError(f"{path.name} holds real numbers, and labels are whole ones")
        values = rounded
    if values.size and not 0 <= values.min() <= values.max() <= LARGEST:
        raise ValueError(f"labels go from 0 to {LARGEST}, but {path.name} goes beyond")
    return values.astype(np.int32) if values.dtype.kind == "f" else values


def _objects(header: Any) -> Sequence[SegmentedObject]:
    """Return the objects that a file of ours describes."""
    for one in header.extensions:
        try:
            note = json.loads(one.get_content()) if one.get_code() == COMMENT else None
            if isinstance(note, dict) and note.get("program") == PROGRAM:
                return [object_from_json(item) for item in note.get("objects", ())]
        except UNREADABLE:
            continue
    return ()


def _losses(annotation: Annotation) -> list[str]:
    return lost_by_labels(annotation, properties=False)


NIFTI = AnnotationFormat(
    "NIfTI labels",
    (".nii.gz", ".nii"),
    write_nifti_labels,
    read_nifti_labels,
    _losses,
    read_in=read_nifti_in,
)
