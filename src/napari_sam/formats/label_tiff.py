"""Annotations as label TIFF: an OME-TIFF that any program opens, with what it cannot say as JSON.

The JSON is the description of the image in OME: axes, units and place of any kind, classes, and
class and status of each object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from ..checks import shown
from ..images.decoding import UNREADABLE
from ..images.readers import read_image
from ..images.tiff_files import check_planes, checked_page
from ..objects import SegmentedObject
from ..objects.documents import object_from_json, object_to_json
from .annotation import Annotation, AnnotationFormat, Geometry
from .checked_properties import checked_properties
from .label_images import PROGRAM, write_labels
from .losses import lost_by_labels
from .ome_axes import PIXEL, standard_names

LARGEST_EXPANSION = 2000
"""Labels of an unknown image that expand more than so many times are refused; zlib reaches 1032."""
SMALL_BYTES = 2**24
"""What labels may take in memory however small their file is."""
MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "meter": 1e6}


def write_label_tiff(annotation: Annotation, path: Path) -> None:
    """Write labels as OME-TIFF; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        If the labels have more than four axes, one is negative, or the disk refuses it.
    """
    geometry = annotation.geometry
    axes = "".join(standard_names(geometry.axes)).upper()
    sizes = [
        size * MICROMETRES.get(unit, 0.0) if name != "T" else 1.0
        for name, size, unit in zip(axes, geometry.scale, geometry.units, strict=True)
    ]
    scale = tuple(sizes) if all(size > 0 for size in sizes) else None
    labels = np.asarray(annotation.labels[...])
    write_labels(path, labels, axes, scale, overwrite=True, provenance=note_of(annotation))


def note_of(annotation: Annotation) -> dict[str, Any]:
    """Return what is written with labels, so that `read_label_tiff` knows their objects."""
    geometry = annotation.geometry
    bare = {label: _without_outlines(one) for label, one in annotation.objects.items()}
    return {
        "program": PROGRAM,
        "name": annotation.name,
        "axes": list(geometry.axes),
        "shape": [int(n) for n in annotation.labels.shape],
        "scale": list(geometry.scale),
        "units": list(geometry.units),
        "translate": list(geometry.translate),
        "properties": dict(annotation.properties),
        "objects": [object_to_json(one) for one in bare.values()],
    }


def read_label_tiff(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Read labels from a TIFF of any program; see `AnnotationFormat`.

    Raises
    ------
    ValueError
        If they cannot be read, are no integers, or have another shape.
    """
    path = Path(path)
    try:
        note, extent = _described(path)
        if shape is not None and extent != tuple(shape):
            raise ValueError(
                f"its labels have the shape {extent}, but the image has {tuple(shape)}; open the "
                "image that they were made for"
            )
        _check_stored(path, shape is not None)
        if note is None:
            return _foreign(path)
        labels = tifffile.imread(path).reshape(extent)
        _check_integers(labels)
        objects = [object_from_json(one) for one in note.get("objects", ())]
        return Annotation(
            labels,
            {one.label: one for one in objects},
            _geometry(note, labels.ndim),
            checked_properties(note.get("properties", {}), labels.shape),
            str(note.get("name", "")),
        )
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} holds no labels that can be read: {reason}") from error


def has_note(path: Path) -> bool:
    """Tell whether a TIFF is one of ours that says what is known of its objects; reads no pixel."""
    try:
        return _described(path)[0] is not None
    except UNREADABLE:
        return False


def _described(path: Path) -> tuple[Mapping[str, Any] | None, tuple[int, ...]]:
    """Return the note of a file of ours, and the shape of its labels."""
    with tifffile.TiffFile(path) as file:
        check_planes(file)
        extent = tuple(int(n) for n in file.series[0].shape)
        text = file.ome_metadata
    try:
        image = tifffile.xml2dict(text or "<OME/>")["OME"]["Image"]
        note = json.loads(str(image["Description"]))
    except UNREADABLE:
        return None, extent
    if not isinstance(note, dict) or note.get("program") != PROGRAM or "axes" not in note:
        return None, extent
    return note, _whole_shape(note.get("shape"), extent)


def _whole_shape(noted: Any, extent: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that was noted: tifffile leaves out axes of one plane."""
    if not isinstance(noted, list) or not all(type(n) is int and n > 0 for n in noted):
        return extent
    same = [n for n in noted if n > 1] == [n for n in extent if n > 1]
    return tuple(noted) if same else extent


def _check_stored(path: Path, known: bool) -> None:
    """Refuse a file that does not hold all that it declares, before memory is asked for.

    Parameters
    ----------
    path : Path
    known : bool
        Whether its labels have the shape of an open image.
    """
    with tifffile.TiffFile(path) as file:
        size = int(file.filehandle.size)
        for series in file.series:
            nbytes = math.prod(series.shape) * series.dtype.itemsize
            page = series.keyframe
            if series.dataoffset is None:
                for one in series:
                    checked_page(one)
            elif series.dataoffset + nbytes > size:
                raise ValueError("it ends too early, the file is torn")
            if math.prod(page.chunks) > math.prod(page.shape) + SMALL_BYTES:
                raise ValueError(f"its tiles of {page.chunks} are far larger than its planes")
            if not known and nbytes > max(SMALL_BYTES, LARGEST_EXPANSION * size):
                raise ValueError(
                    f"{size} bytes expand to {nbytes}; open the image that they were made for first"
                )


def _foreign(path: Path) -> Annotation:
    image = read_image(path)
    labels = np.asarray(image.data)
    _check_integers(labels)
    axes = tuple(image.label_axes.lower())
    if labels.ndim != len(axes):
        raise ValueError("labels have no colours or channels")
    known = image.scale is not None
    units = tuple("micrometer" if known and name != "t" else PIXEL for name in axes)
    geometry = Geometry(axes, image.scale or (1.0,) * len(axes), units, (0.0,) * len(axes))
    return Annotation(labels, {}, geometry, name=path.stem)


def _geometry(note: Mapping[str, Any], dimensions: int) -> Geometry:
    axes, units = (tuple(str(one) for one in note[name]) for name in ("axes", "units"))
    scale, translate = (tuple(float(one) for one in note[name]) for name in ("scale", "translate"))
    if any(len(one) != dimensions for one in (axes, units, scale, translate)):
        raise ValueError(f"axes, scale, units and translate have {dimensions} entries each")
    if not all(math.isfinite(n) for n in (*scale, *translate)) or not all(scale):
        raise ValueError(f"the scale is finite and not 0, but is {shown(scale)}")
    return Geometry(axes, scale, units, translate)


def _check_integers(labels: Any) -> None:
    if labels.dtype.kind not in "biu":
        raise ValueError(f"labels are integers, but these are {labels.dtype}")
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise ValueError(f"labels are not negative, but one is {labels.min()}")


def _without_outlines(one: SegmentedObject) -> SegmentedObject:
    return SegmentedObject(
        one.label, {}, one.category, one.status, one.annotator, one.time, one.attributes
    )


def _losses(annotation: Annotation) -> list[str]:
    return lost_by_labels(annotation, properties=True)


LABEL_TIFF = AnnotationFormat(
    "Label image (TIFF)", (".tif", ".tiff"), write_label_tiff, read_label_tiff, _losses
)
