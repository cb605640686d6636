"""Labels as OME-Zarr, with classes and colours; `labels_group` writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checks import shown
from ..files import put_back, replacing_folder
from ..images.decoding import UNREADABLE
from ..images.zarr_checks import check_array, check_no_links, inner_path, read_json
from ..objects import SegmentedObject
from ..objects.documents import checked_attributes
from .annotation import Annotation, AnnotationFormat
from .labels_group import LabelsGroup, Version
from .labels_store import LIMIT_BYTES, stored_at
from .losses import lost_by_labels
from .ome_axes import geometry_of

if TYPE_CHECKING:
    import zarr


def write_ome_zarr(annotation: Annotation, path: Path, version: Version = "0.5") -> None:
    """Write labels as a folder; see `AnnotationFormat`.

    Parameters
    ----------
    annotation : Annotation
    path : Path
        Its name ends in .ome.zarr. Other labels there are replaced, anything else is not.
    version : {"0.5", "0.4"}

    Raises
    ------
    ValueError
        If the labels do not fit, something else is there, or the disk refuses it.
    """
    path = Path(path)
    put_back(path)
    if path.exists() and not holds_labels(path) and not (path.is_dir() and _is_empty(path)):
        raise ValueError(f"{path} holds no labels and is not replaced; choose another name")
    if (source := stored_at(annotation.labels)) and Path(source).is_relative_to(path.absolute()):
        raise ValueError(f"the labels are still read from {path}; choose another name")
    with replacing_folder(path) as partial:
        write_group(annotation, partial, version)


def write_group(annotation: Annotation, folder: Path, version: Version = "0.5") -> None:
    """Write labels into a new folder, plane by plane.

    Raises
    ------
    ValueError
        If the labels are no integers, or have fewer than 2 or more than 5 axes.
    """
    labels = annotation.labels
    group = LabelsGroup(folder, labels.shape, labels.dtype, annotation.geometry, version)
    for place in np.ndindex(*labels.shape[:-2]):
        group.write_plane(labels, place)
    group.describe(annotation)


def read_ome_zarr(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Read labels from a folder; see `AnnotationFormat`.

    Labels beyond 1 GB stay on disk: a zarr array that is only read.

    Raises
    ------
    ValueError
        If it holds no labels, they are damaged, or have another shape.
    """
    path = Path(path)
    put_back(path)
    try:
        return _read(path, shape)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} holds no labels that can be read: {reason}") from error


def holds_labels(path: Path) -> bool:
    """Tell whether a folder says that it is OME-Zarr labels."""
    try:
        attributes, _ = _attributes(path)
    except ValueError:
        return False
    return isinstance(attributes.get("image-label"), Mapping)


def _read(path: Path, shape: tuple[int, ...] | None) -> Annotation:
    import zarr

    if not path.is_dir():
        raise ValueError("there is no such folder")
    check_no_links(path)
    attributes, modern = _attributes(path)
    if not isinstance(attributes.get("image-label"), Mapping):
        raise ValueError("it is an image and not labels")
    multiscale = attributes["multiscales"][0]
    dataset = multiscale["datasets"][0]
    place = inner_path(path, dataset["path"])
    check_array(place)
    array: zarr.Array[Any] = zarr.open_array(place, mode="r", zarr_format=3 if modern else 2)
    if array.dtype.kind not in "iu" or array.ndim < 2:
        raise ValueError(f"labels are integers, but these are {array.dtype}")
    if shape is not None and array.shape != tuple(shape):
        raise ValueError(
            f"its labels have the shape {array.shape}, but the image has {tuple(shape)}; open the "
            "image that they were made for"
        )
    size = math.prod(array.shape) * array.dtype.itemsize
    labels = array if size > LIMIT_BYTES else np.asarray(array[...])
    return Annotation(
        labels,
        _objects(attributes["image-label"]),
        geometry_of(multiscale, dataset, array.ndim),
        name=str(multiscale.get("name", "")),
    )


def _attributes(path: Path) -> tuple[Mapping[str, Any], bool]:
    """Return the attributes of OME-Zarr, and whether they are of zarr 3."""
    modern = (path / "zarr.json").exists()
    data = read_json(path / ("zarr.json" if modern else ".zattrs"))
    if modern and isinstance(data, Mapping):
        data = data.get("attributes")
        data = data.get("ome") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(data.get("multiscales"), list):
        raise ValueError(f"{path} holds no pyramid of OME-Zarr")
    return data, modern


def _objects(image_label: Mapping[str, Any]) -> dict[int, SegmentedObject]:
    """Return what the properties say of labels: objects without outlines."""
    objects = {}
    rows = image_label.get("properties") or ()
    if not isinstance(rows, Sequence):
        raise ValueError(f"the properties of labels are a list, but are {shown(rows)}")
    for row in rows:
        label = row["label-value"]
        if type(label) is not int or not 0 < label < 2**63:
            raise ValueError(f"a label is a whole number above 0, but one is {shown(label)}")
        status = row.get("status", "")
        time = row.get("time", 0.0)
        attributes: Mapping[str, Any] = {}
        with suppress(ValueError):  # what no project could hold is left out
            attributes = checked_attributes(row.get("attributes", {}))
        objects[label] = SegmentedObject(
            label,
            {},
            str(row.get("class", "")),
            status if status in ("finished", "to check") else "",
            str(row.get("annotator", "")),
            float(time) if isinstance(time, int | float) and math.isfinite(time) else 0.0,
            attributes,
        )
    return objects


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _losses(annotation: Annotation) -> list[str]:
    return lost_by_labels(annotation, properties=False)


OME_ZARR = AnnotationFormat(
    "OME-Zarr labels", (".ome.zarr",), write_ome_zarr, read_ome_zarr, _losses, folder=True
)
