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
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from ..checks import shown
from ..files import replacing
from ..images.decoding import UNREADABLE
from ..images.scan import Scan
from ..images.world import WorldAffine
from ..images.zarr_checks import inner_path, read_json
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
from ..predict.prompt_kinds import kind_in
from ..steps import drive
from ..types import Progress
from .annotation import Annotation, AnnotationFormat, Geometry, ImageReference
from .checked_properties import checked_properties
from .label_images import PROGRAM
from .labels_group import LabelsGroup, stored_type
from .ome_zarr import read_ome_zarr

if TYPE_CHECKING:
    import zarr

FORMAT = "napari-sam project"
VERSION = 1
"""Goes up when a program that reads this version cannot read a project any more."""
INDEX = "project.json"
Place = tuple[int, ...]
"""Of a plane: its index along all axes but the last two."""
_MANY = 10**6
_CORNERS = {
    "rectangle": (4, 4),
    "ellipse": (4, 4),
    "line": (2, 2),
    "path": (2, _MANY),
    "background line": (2, 2),
    "background path": (2, _MANY),
    "polygon": (2, _MANY),
}
"""Fewest and most corners of what can be drawn."""
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
    labels = annotation.labels
    writer = ProjectWriter(path, labels, annotation.geometry)
    try:
        drive(writer.write_planes(np.ndindex(*labels.shape[:-2])))
        writer.finish(annotation)
    finally:
        writer.close()


class ProjectWriter:
    """A project that is being saved: first its planes, as often as they change, then all the rest.

    Parameters
    ----------
    path : Path
        As in `write_project`.
    labels : (..., H, W) int array-like
        May change until `finish`, if `write_planes` is called again for what changed.
    geometry : Geometry

    Raises
    ------
    ValueError
        As `write_project` does; its methods, too.
    """

    def __init__(self, path: Path, labels: Any, geometry: Geometry) -> None:
        self._folder = Path(path)
        self._labels = labels
        self._number = 0
        self._finished = False
        with self._refused():
            _check_free(self._folder)
            self._folder.mkdir(exist_ok=True)
            self._number = 1 + max(_saves(self._folder), default=0)
            try:
                place = self._folder / self._labels_name
                shape, dtype = labels.shape, labels.dtype
                self._group = LabelsGroup(place, shape, dtype, geometry, plain=True)
            except BaseException:
                self.close()
                raise

    def write_planes(self, places: Iterable[Place]) -> Generator[Progress, None, None]:
        """Write planes, for the first time or again."""
        found = list(places)
        with self._refused():
            for number, place in enumerate(found, 1):
                self._group.write_plane(self._labels, place)
                yield Progress(number, len(found), "saving")

    def finish(self, annotation: Annotation) -> None:
        """Write objects and prompts; from then on the folder holds this save and no other.

        Parameters
        ----------
        annotation : Annotation
            Of the moment at which the planes were written.
        """
        folder = self._folder
        with self._refused():
            self._group.describe(annotation)
            with (folder / self._objects_name).open("w", encoding="utf-8") as file:
                file.writelines(_objects_document(annotation))
            index = _index(annotation, self._labels_name, self._objects_name)
            with replacing(folder / INDEX) as partial:
                partial.write_text(_text(index), encoding="utf-8")
            self._finished = True
            for other in _saves(folder) - {self._number}:
                _remove_save(folder, other)

    def close(self) -> None:
        """Remove what was written, unless it is finished."""
        if not self._finished and self._number:
            _remove_save(self._folder, self._number)

    @property
    def _labels_name(self) -> str:
        return f"labels-{self._number}.ome.zarr"

    @property
    def _objects_name(self) -> str:
        return f"objects-{self._number}.json"

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"no place for the project {self._folder}: {reason}") from error


def _objects_document(annotation: Annotation) -> Iterator[str]:
    """Return the document of objects and prompts in pieces, so that other threads have a turn."""
    head = _text({"format": FORMAT, "version": VERSION})
    yield f'{head[:-1]}, "objects": ['
    for number, one in enumerate(annotation.objects.values()):
        yield f"{', ' if number else ''}{_text(object_to_json(one))}"
    yield '], "prompts": ['
    for number, row in enumerate(annotation.prompts):
        yield f"{', ' if number else ''}{_text(row_to_json(row))}"
    yield "]}"


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
    world = None if geometry.scan is None else geometry.scan.world
    return {
        "format": FORMAT,
        "version": VERSION,
        "program": PROGRAM,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": annotation.name,
        "shape": [int(n) for n in annotation.labels.shape],
        "dtype": str(stored_type(annotation.labels.dtype)),
        "axes": list(geometry.axes),
        "scale": list(geometry.scale),
        "units": list(geometry.units),
        "translate": list(geometry.translate),
        **({} if world is None else {"world": _world_to_json(world)}),
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
    return replace(
        annotation,
        objects=_objects(document, extent),
        geometry=_geometry(index, len(extent)),
        properties=checked_properties(index.get("properties", {}), extent),
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
    for row in rows:
        if len(row.vertices[0]) != dimensions:
            raise ValueError(f"a prompt has not {dimensions} coordinates")
        fewest, most = _CORNERS.get(row.mark, (1, 0)) if row.layer == "shapes" else (1, 1)
        if kind_in(row.layer, row.mark) is None or not fewest <= len(row.vertices) <= most:
            number = len(row.vertices)
            raise ValueError(f"there is no prompt {shown(row.mark)} with {number} corners")
    return rows


def _geometry(index: Mapping[str, Any], dimensions: int) -> Geometry:
    axes, units = (tuple(str(one) for one in index[name]) for name in ("axes", "units"))
    scale, translate = (tuple(float(one) for one in index[name]) for name in ("scale", "translate"))
    numbers = (*scale, *translate)
    if any(len(one) != dimensions for one in (axes, units, scale, translate)):
        raise ValueError(f"axes, scale, units and translate have {dimensions} entries each")
    if not all(math.isfinite(n) for n in numbers) or not all(scale):
        raise ValueError(f"the scale is finite and not 0, but is {shown(scale)}")
    world = index.get("world")
    scan = None if world is None else Scan(_world_from_json(world))
    return Geometry(axes, scale, units, translate, scan)


def _world_to_json(world: WorldAffine) -> dict[str, Any]:
    return {
        "lps": world.lps.tolist(),
        **({"reference": world.reference} if world.reference else {}),
    }


def _world_from_json(data: Any) -> WorldAffine:
    return WorldAffine.of(data["lps"], "LPS", str(data.get("reference", "")))


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
    # in ASCII: a name from a stranger's file may hold half of a sign, which UTF-8 has not
    return json.dumps(document, allow_nan=False)


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
    if (folder / INDEX).is_file():
        _check_own(folder)
    elif others:
        raise ValueError(f"{folder} holds {shown(others[0])} and no project; choose another name")


def _check_own(folder: Path) -> None:
    """Refuse a folder whose project.json is of another program; a damaged one is replaced."""
    try:
        data = read_json(folder / INDEX)
    except ValueError:
        return
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise ValueError(f"{folder} is a project of another program; choose another name")


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
