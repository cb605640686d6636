"""Annotations as ROIs of ImageJ: one for each object and plane, in a zip."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import roifile

from ..files import replacing
from ..objects import Outline, SegmentedObject
from ..objects.drawn import DrawnRow
from ..types import Mask, SliceKey
from .annotation import Annotation, AnnotationFormat
from .found import Found, key_of, masks_of, planes_of, point_row
from .losses import lost
from .polygons import Ring, filled, rings_of

MOST_BYTES = 2**24
"""Of one ROI."""
MOST_TOGETHER = 2**28
"""Bytes of all ROIs of a file."""
DAMAGED = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AssertionError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
)
"""What roifile raises where bytes are not as it expects."""
LARGEST_COORDINATE = 2**15 - 1
NAME_SIGNS = " !#$&'()+,;=@[]^{}"
"""What a class keeps in the name of a ROI beside letters and digits; others become "%2F"."""
NAME = re.compile(r"(\d{1,15})-(\d+)(?:-(.*))?")
STROKES = (roifile.ROI_TYPE.LINE, roifile.ROI_TYPE.POLYLINE, roifile.ROI_TYPE.FREELINE)


def roi_losses(annotation: Annotation) -> list[str]:
    """Return what ROIs cannot hold of an annotation."""
    return lost(annotation, classes=True, objects=True, scale=False)


def write_rois(annotation: Annotation, path: Path) -> None:
    """Write labels as a zip of ROIs that run along the corners of pixels.

    A ROI is called like its object, plane and class, "12-3-nucleus". What has holes or several
    pieces is a composite.

    Raises
    ------
    ValueError
        If the planes are too large for ImageJ's coordinates, or the disk refuses it.
    """
    shape = tuple(int(n) for n in annotation.labels.shape)
    if max(shape[-2:]) > LARGEST_COORDINATE:
        raise ValueError(f"ImageJ's ROIs hold places up to {LARGEST_COORDINATE} pixels")
    axes = annotation.geometry.axes[:-2]
    with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as file:
        for number, (place, _, plane) in enumerate(planes_of(annotation.labels), 1):
            positions = {"position": number if place else 0}
            for axis, k in zip(axes, place, strict=True):
                if axis in ("z", "t"):
                    positions[f"{axis}_position"] = k + 1
            for label, mask in masks_of(plane):
                one = annotation.objects.get(label)
                category = "" if one is None else quote(one.category, NAME_SIGNS)
                name = f"{label}-{number}" + (f"-{category}" if category else "")
                roi = _roi(rings_of(mask), mask, name)
                for what, k in positions.items():
                    setattr(roi, what, k)
                file.writestr(f"{name}.roi", roi.tobytes())


def read_rois(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Return the annotation of a .roi, or a zip of them; raises as `found_in_rois` does."""
    return found_in_rois(path, shape).annotation(path, shape)


def found_in_rois(path: Path, shape: tuple[int, ...] | None = None) -> Found:
    """Return what ROIs hold: those with an area are objects, points are prompts.

    Parameters
    ----------
    path : Path
        A .roi, or a .zip of them.
    shape : tuple of int, optional
        Of the image; without it, planes end where the last ROI does.

    Raises
    ------
    ValueError
        If it is no such file, or a ROI is of a plane that the image does not have.
    """
    rois = [_parsed(data, name) for name, data in _members(path)]
    if not rois:
        raise ValueError(f"{path.name} holds no ROI")
    shape = shape or _shape([roi for _, roi in rois])
    outlines: dict[int, dict[SliceKey, Outline]] = {}
    categories: dict[int, str] = {}
    prompts: list[DrawnRow] = []
    flat = 0
    named = [NAME.fullmatch(name) for name, _ in rois]
    following = max([0, *(int(one[1]) for one in named if one)]) + 1
    for (name, roi), match in zip(rois, named, strict=True):
        key = key_of(_place(roi, shape), shape)
        if roi.roitype == roifile.ROI_TYPE.POINT:
            points = _coordinates(roi, name)
            prompts += [point_row(key, x - 0.5, y - 0.5) for x, y in points.tolist()]
            continue
        if roi.roitype in STROKES or roi.roitype == roifile.ROI_TYPE.ANGLE:
            flat += 1
            continue  # lines have no area
        mask = filled(_rings(roi, name), (shape[-2], shape[-1]))
        if not mask:
            flat += 1
            continue  # outside of the image, or smaller than a pixel
        label = int(match[1]) if match and int(match[1]) else following
        if key in outlines.get(label, {}):
            label = following
        following += label == following
        outlines.setdefault(label, {})[key] = Outline(mask, origin="imported")
        categories[label] = unquote(match[3] or "") if match else ""
    objects = (SegmentedObject(k, one, categories[k]) for k, one in outlines.items())
    notice = f"{flat} ROI{'s' * (flat > 1)} that enclose no pixel of the image" if flat else ""
    return Found(tuple(objects), tuple(prompts), tuple(shape), notice)


def _roi(rings: list[Ring], mask: Mask, name: str) -> Any:
    x0, y0, x1, y1 = mask.box
    roi = roifile.ImagejRoi.frompoints(rings[0].astype(np.int32), name=name)
    if len(rings) > 1:
        path = []
        for ring in rings:
            path += [0.0, *ring[0]]
            for x, y in ring[1:]:
                path += [1.0, x, y]
            path.append(4.0)
        roi = roifile.ImagejRoi(name=name, roitype=roifile.ROI_TYPE.RECT)
        roi.multi_coordinates = np.array(path, np.float32)
        roi.shape_roi_size = len(path)
    roi.left, roi.top, roi.right, roi.bottom = x0, y0, x1 + 1, y1 + 1
    return roi


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each ROI; nothing is unpacked on the disk."""
    try:
        if path.suffix.lower() == ".roi":
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"{path.name} is larger than {MOST_BYTES} bytes")
            yield path.stem, path.read_bytes()
            return
        with zipfile.ZipFile(path) as file:
            members = [one for one in file.infolist() if one.filename.lower().endswith(".roi")]
            largest = max((one.file_size for one in members), default=0)
            if largest > MOST_BYTES or sum(one.file_size for one in members) > MOST_TOGETHER:
                raise ValueError(f"the ROIs of {path.name} are larger than {MOST_TOGETHER} bytes")
            for one in members:
                with file.open(one) as member:
                    yield one.filename.rsplit("/", 1)[-1][:-4], member.read(MOST_BYTES)
    except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        raise ValueError(f"{path.name} cannot be read as a list of ROIs") from None
    except struct.error:
        raise ValueError(f"{path.name} is a damaged zip") from None


def _parsed(data: bytes, name: str) -> tuple[str, Any]:
    try:
        roi = roifile.ImagejRoi.frombytes(data)
    except DAMAGED:
        raise ValueError(f"{name!r} is no ROI of ImageJ, or it is damaged") from None
    return name, roi


def _coordinates(roi: Any, name: str) -> Ring:
    try:
        points: Ring = np.asarray(roi.coordinates(), np.float64).reshape(-1, 2)
    except DAMAGED:
        raise ValueError(f"{name!r} has no corners that can be read") from None
    if not np.isfinite(points).all():
        raise ValueError(f"{name!r} has a corner that is no number")
    return points


def _rings(roi: Any, name: str) -> list[Ring]:
    box = [float(one) for one in (roi.left, roi.top, roi.right, roi.bottom)]
    if roi.composite:
        try:
            found = roi.coordinates(multi=True)
        except DAMAGED:
            raise ValueError(f"{name!r} has no outlines that can be read") from None
        rings = [np.asarray(one, np.float64).reshape(-1, 2) for one in found]
        return [one for one in rings if len(one) > 2]
    if roi.roitype == roifile.ROI_TYPE.RECT:
        left, top, right, bottom = box
        return [np.array([(left, top), (right, top), (right, bottom), (left, bottom)])]
    if roi.roitype == roifile.ROI_TYPE.OVAL:
        left, top, right, bottom = box
        angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        x = (left + right) / 2 + (right - left) / 2 * np.cos(angles)
        return [np.stack([x, (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angles)], axis=1)]
    ring = _coordinates(roi, name)
    return [ring] if len(ring) > 2 else []


def _shape(rois: list[Any]) -> tuple[int, ...]:
    """Return a shape that all ROIs fit in, with an axis of planes where one names its plane."""
    height = max(max(int(roi.bottom), 0) for roi in rois) + 1
    width = max(max(int(roi.right), 0) for roi in rois) + 1
    planes = max(max(int(roi.position), int(roi.z_position), int(roi.t_position)) for roi in rois)
    return (planes, height, width) if planes > 0 else (height, width)


def _place(roi: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the place on the leading axes; a ROI of no plane is of the first one."""
    lead = shape[:-2]
    z, t, position = int(roi.z_position), int(roi.t_position), int(roi.position)
    if len(lead) == 2 and (z > 0 or t > 0):
        return max(t, 1) - 1, max(z, 1) - 1
    number = max(position if position > 0 else max(z, t), 1) - 1
    place: list[int] = []
    for side in reversed(lead):
        number, k = divmod(number, side)
        place.insert(0, k)
    if number:
        raise ValueError(f"a ROI is of plane {position}, which an image of {shape} does not have")
    return tuple(place)


IMAGEJ_ROIS = AnnotationFormat("ImageJ ROIs", (".zip",), write_rois, read_rois, roi_losses)
IMAGEJ_ROI = AnnotationFormat("ImageJ ROI", (".roi",), None, read_rois, roi_losses)
