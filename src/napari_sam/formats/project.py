"""Project folders: labels, objects, prompts and what is known of the image, to go on elsewhere.

Every save writes labels and objects under new names and then replaces project.json, which names
them: a process that is killed leaves the earlier save or the new one. docs/project_format.md
describes each field.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ..checks import shown
from ..files import replacing
from ..images.decoding import UNREADABLE
from ..objects import SegmentedObject
from ..objects.documents import (
    key_from_json,
    key_to_json,
    object_from_json,
    object_to_json,
    row_from_json,
    row_to_json,
)
from ..objects.drawn import Drawing
from .annotation import Annotation, AnnotationFormat, Geometry, ImageReference
from .label_images import PROGRAM
from .ome_zarr import read_ome_zarr, write_group
from .zarr_checks import inner_path, read_json

if TYPE_CHECKING:
    import zarr

FORMAT = "napari-sam project"
VERSION = 1
"""Goes up when a program that reads this version cannot read a project any more."""
INDEX = "project.json"
_SAVED = re.compile(r"labels-(\d{1,9})\.ome\.zarr|objects-(\d{1,9})\.json")
_OPEN: WeakValueDictionary[Path, zarr.Array[Any]] = WeakValueDictionary()
"""Labels that this process still reads from their folder."""


def write_project(annotation: Annotation, path: Path) -> None:
    """Write a project folder; see `AnnotationFormat`.

    Parameters
    ----------
    annotation : Annotation
    path : Path
        Its name ends in .samproject. An earlier project there is replaced, anything else is not.

    Raises
    ------
    ValueError
        If the labels do not fit, something else is there, or the disk refuses it.
    """
    folder = Path(path)
    try:
        _check_free(folder)
        folder.mkdir(exist_ok=True)
        number = 1 + max(_saves(folder), default=0)
        labels, objects = f"labels-{number}.ome.zarr", f"objects-{number}.json"
        try:
            write_group(annotation, folder / labels, plain=True)
            document = {
                "format": FORMAT,
                "version": VERSION,
                "objects": [object_to_json(one) for one in annotation.objects.values()],
                "prompts": [row_to_json(row) for row in annotation.prompts],
            }
            (folder / objects).write_text(_text(document), encoding="utf-8")
            with replacing(folder / INDEX) as partial:
                partial.write_text(_text(_index(annotation, labels, objects)), encoding="utf-8")
        except BaseException:
            _remove_save(folder, number)
            raise
        for other in _saves(folder) - {number}:
            _remove_save(folder, other)
    except OSError as error:
        raise ValueError(f"no place for the project {path}: {error.strerror or error}") from error


def read_project(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Read a project folder, or its project.json; see `AnnotationFormat`.

    Nothing but its own files is opened, the image neither.

    Raises
    ------
    ValueError
        If it is no project, damaged, of a later version, or made for an image of another shape.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == INDEX else folder
    try:
        return _read(folder, shape)
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{folder} is no project that can be read: {reason}") from error


def _index(annotation: Annotation, labels: str, objects: str) -> dict[str, Any]:
    geometry, image = annotation.geometry, annotation.image
    return {
        "format": FORMAT,
        "version": VERSION,
        "program": PROGRAM,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": annotation.name,
        "shape": [int(n) for n in annotation.labels.shape],
        "dtype": str(annotation.labels.dtype),
        "axes": list(geometry.axes),
        "scale": list(geometry.scale),
        "units": list(geometry.units),
        "translate": list(geometry.translate),
        "labels": labels,
        "objects": objects,
        "properties": dict(annotation.properties),
        "image": None if image is None else _image_to_json(image),
    }


def _read(folder: Path, shape: tuple[int, ...] | None) -> Annotation:
    index = _document(inner_path(folder, INDEX))
    extent = tuple(index["shape"])
    if not all(type(n) is int and n > 0 for n in extent) or not 2 <= len(extent) <= 5:
        raise ValueError(f"labels have 2 to 5 axes, but their shape is {shown(extent)}")
    if shape is not None and extent != tuple(shape):
        raise ValueError(
            f"its labels have the shape {extent}, but the image has {tuple(shape)}; open the image "
            "that they were made for"
        )
    place = inner_path(folder, index["labels"])
    annotation = read_ome_zarr(place, extent)
    if str(annotation.labels.dtype) != index["dtype"]:
        raise ValueError(f"its labels are {annotation.labels.dtype}, not {shown(index['dtype'])}")
    if hasattr(annotation.labels, "store"):
        _OPEN[place.resolve()] = annotation.labels
    document = _document(inner_path(folder, index["objects"]))
    image = index.get("image")
    properties = index.get("properties", {})
    if not isinstance(properties, Mapping):
        raise ValueError(f"the properties are a dictionary, but are {shown(properties)}")
    return replace(
        annotation,
        objects=_objects(document, extent),
        geometry=_geometry(index, len(extent)),
        properties=dict(properties),
        name=str(index.get("name", "")),
        prompts=_prompts(document, len(extent)),
        image=None if image is None else _image_from_json(image),
    )


def _document(path: Path) -> Mapping[str, Any]:
    """Return one of the two JSON files, of a version that is read here."""
    data = read_json(path)
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise ValueError(f"{path} is not of a project")
    version = data.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise ValueError(
            f"{path} is of version {shown(version)}, but this program reads version {VERSION}; "
            "update it"
        )
    return data


def _objects(document: Mapping[str, Any], shape: tuple[int, ...]) -> dict[int, SegmentedObject]:
    objects: dict[int, SegmentedObject] = {}
    for data in document["objects"]:
        one = object_from_json(data)
        if one.label in objects:
            raise ValueError(f"there are two objects {one.label}")
        for key, outline in one.outlines.items():
            if len(key.fixed) + 2 != len(shape):
                raise ValueError(f"object {one.label} lies in an array of other axes")
            size = tuple(shape[axis] for axis in key.displayed)
            inside = all(0 <= at < shape[axis] for axis, at in key.fixed)
            x0, y0, x1, y1 = outline.mask.box
            fits = outline.mask.size == size and min(x0, y0) >= -1
            if not (inside and fits and x1 < size[1] and y1 < size[0]):
                raise ValueError(f"object {one.label} does not lie in planes of the labels")
        objects[one.label] = one
    return objects


def _prompts(document: Mapping[str, Any], dimensions: int) -> Drawing:
    rows = tuple(row_from_json(one) for one in document.get("prompts", ()))
    if any(len(row.vertices[0]) != dimensions for row in rows):
        raise ValueError(f"a prompt has not {dimensions} coordinates")
    return rows


def _geometry(index: Mapping[str, Any], dimensions: int) -> Geometry:
    axes, units = (tuple(str(one) for one in index[name]) for name in ("axes", "units"))
    scale, translate = (tuple(float(one) for one in index[name]) for name in ("scale", "translate"))
    numbers = (*scale, *translate)
    if any(len(one) != dimensions for one in (axes, units, scale, translate)):
        raise ValueError(f"axes, scale, units and translate have {dimensions} entries each")
    if not all(math.isfinite(n) for n in numbers) or not all(n > 0 for n in scale):
        raise ValueError(f"the scale is above 0, but is {shown(scale)}")
    return Geometry(axes, scale, units, translate)


def _image_to_json(image: ImageReference) -> dict[str, Any]:
    return {
        "path": image.path,
        "shape": list(image.shape),
        "dtype": image.dtype,
        "hashes": [{"plane": key_to_json(key), "hash": digest} for key, digest in image.hashes],
    }


def _image_from_json(data: Any) -> ImageReference:
    shape = tuple(data["shape"])
    if not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"the shape of the image is {shown(shape)}")
    hashes = tuple((key_from_json(one["plane"]), str(one["hash"])) for one in data["hashes"])
    for key, _ in hashes:
        inside = len(key.fixed) + 2 == len(shape) and key.window is None
        if not inside or any(at >= shape[axis] for axis, at in key.fixed):
            raise ValueError("a hash is of no plane of the image")
    return ImageReference(str(data["path"]), shape, str(data["dtype"]), hashes)


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=None)


def _check_free(folder: Path) -> None:
    """Refuse a place where something is that is no project."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose another name")
    others = [
        one.name
        for one in folder.iterdir()
        if not (one.name == INDEX or one.name.startswith(".") or _SAVED.fullmatch(one.name))
    ]
    if others and not (folder / INDEX).is_file():
        raise ValueError(f"{folder} holds {shown(others[0])} and no project; choose another name")


def _saves(folder: Path) -> set[int]:
    """Return the numbers of all saves that have left files."""
    found = (_SAVED.fullmatch(one.name) for one in folder.iterdir())
    return {int(one[1] or one[2]) for one in found if one is not None}


def _remove_save(folder: Path, number: int) -> None:
    """Remove the files of a save; labels that are still shown from there stay."""
    labels = folder / f"labels-{number}.ome.zarr"
    if labels.resolve() not in _OPEN:
        with suppress(OSError):
            if labels.is_symlink():
                labels.unlink()
            else:
                shutil.rmtree(labels)
    with suppress(OSError):
        (folder / f"objects-{number}.json").unlink()


def _losses(annotation: Annotation) -> list[str]:
    del annotation  # it holds all
    return []


PROJECT = AnnotationFormat(
    "Project of napari-sam", (".samproject",), write_project, read_project, _losses, folder=True
)
