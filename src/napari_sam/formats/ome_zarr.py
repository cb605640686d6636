"""Labels as OME-Zarr: a pyramid of zarr arrays, a plane to a chunk, with classes and colours.

Written are the versions 0.5 (zarr 3) and 0.4 (zarr 2) of https://ngff.openmicroscopy.org.
"""

from __future__ import annotations

import colorsys
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..checks import shown
from ..files import put_back, replacing_folder
from ..images.decoding import UNREADABLE
from ..images.zarr_checks import check_array, check_no_links, inner_path, read_json
from ..objects import SegmentedObject
from ..objects.documents import checked_attributes
from .annotation import Annotation, AnnotationFormat, Geometry
from .labels_store import LIMIT_BYTES, stored_at, written_parts
from .losses import lost_by_labels
from .ome_axes import axes_of, geometry_of

if TYPE_CHECKING:
    import zarr

Version = Literal["0.5", "0.4"]
LARGE = 1024
"""Longest side of a plane, pixels, from which on there are smaller copies."""
MOST_LEVELS = 3
OWN = ("status", "annotator", "time", "attributes")
"""What the properties of a label hold besides its value and its class."""


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


class LabelsGroup:
    """OME-Zarr labels that are being written: first the planes, then what is known of the labels.

    Parameters
    ----------
    folder : Path
    shape : sequence of int
    dtype : numpy.dtype
    geometry : Geometry
    version : {"0.5", "0.4"}
    plain : bool
        Write no smaller copies, and the chunks into one folder: three times as fast.

    Raises
    ------
    ValueError
        If the labels are no integers, or have fewer than 2 or more than 5 axes.
    """

    def __init__(
        self,
        folder: Path,
        shape: Sequence[int],
        dtype: Any,
        geometry: Geometry,
        version: Version = "0.5",
        plain: bool = False,
    ) -> None:
        import zarr

        extent = tuple(int(n) for n in shape)
        if np.dtype(dtype).kind not in "biu" or not all(extent):
            raise ValueError(f"labels are integers, but these are {dtype} of the shape {extent}")
        self._geometry, self._version, self._folder = geometry, version, folder
        self._axes = axes_of(geometry, len(extent))
        self._steps = [1] if plain else _steps(extent)
        self._group = zarr.open_group(folder, mode="w", zarr_format=3 if self._modern else 2)
        names = [str(axis["name"]) for axis in self._axes]
        separator: Literal[".", "/"] = "." if plain else "/"
        self._levels = [
            _new_level(self._group, n, step, extent, np.dtype(dtype), names, separator)
            for n, step in enumerate(self._steps)
        ]

    @property
    def _modern(self) -> bool:
        return self._version == "0.5"

    @property
    def whole(self) -> zarr.Array[Any]:
        """The labels at their full size, to write to and to read from; see `write_smaller`."""
        return self._levels[0]

    def write_smaller(self) -> None:
        """Write the smaller copies of labels that were written to `whole`."""
        if len(self._levels) == 1:
            return
        for part in written_parts(self.whole):
            place = tuple(one.start for one in part[:-2])
            plane = np.asarray(self.whole[place])
            for level, step in zip(self._levels[1:], self._steps[1:], strict=True):
                _write_plane(self._folder, level, place, plane[::step, ::step])

    def write_plane(self, labels: Any, place: tuple[int, ...]) -> None:
        """Write a plane of labels, for the first time or again.

        Parameters
        ----------
        labels : (..., H, W) int array-like
        place : tuple of int
            Of the plane, along all axes but the last two.
        """
        if len(self._levels) == 1 and _copy_chunk(self._folder, self._levels[0], place, labels):
            return
        plane = np.array(labels[place])  # a copy: the labels may change while it is compressed
        for level, step in zip(self._levels, self._steps, strict=True):
            _write_plane(self._folder, level, place, plane[::step, ::step])

    def describe(self, annotation: Annotation, provenance: Mapping[str, Any] | None = None) -> None:
        """Write what is known of the labels; until then, nothing says that these are labels."""
        if provenance:
            self._group.attrs.update({"provenance": dict(provenance)})
        geometry, version = self._geometry, self._version
        multiscale: dict[str, Any] = {
            "name": annotation.name or "labels",
            "axes": self._axes,
            "datasets": [_dataset(geometry, number, n) for number, n in enumerate(self._steps)],
            "type": "nearest",
        }
        image_label: dict[str, Any] = {"version": version}
        if colours := _colours(annotation):
            image_label["colors"] = colours
        if annotation.objects:
            image_label["properties"] = [_properties(one) for one in annotation.objects.values()]
        if self._modern:
            ome = {"version": version, "multiscales": [multiscale], "image-label": image_label}
            self._group.attrs.update({"ome": ome})
            return
        multiscale["version"] = version
        self._group.attrs.update({"multiscales": [multiscale], "image-label": image_label})


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


def stored_type(dtype: Any) -> np.dtype[Any]:
    """Return the type that labels are read as again, in this computer's byte order."""
    kind = np.dtype(dtype)
    return np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")


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


def _properties(one: SegmentedObject) -> dict[str, Any]:
    """Return what OME-Zarr says of a label."""
    row: dict[str, Any] = {"label-value": int(one.label)}
    if one.category:
        row["class"] = one.category
    for name in OWN:
        if value := getattr(one, name):
            row[name] = dict(value) if name == "attributes" else value
    return row


def _colours(annotation: Annotation) -> list[dict[str, Any]]:
    """Return a colour for each object: of its class, or else one of its own."""
    classes = {one["name"]: one["colour"] for one in annotation.properties.get("classes", ())}
    return [
        {"label-value": int(label), "rgba": _rgba(label, classes.get(one.category))}
        for label, one in annotation.objects.items()
    ]


def _rgba(label: int, colour: str | None) -> list[int]:
    if colour is not None:
        return [*bytes.fromhex(colour.removeprefix("#")), 255]
    hue = label * 0.618034 % 1  # the golden ratio: neighbours differ
    return [*(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.7, 1.0)), 255]


def _steps(shape: Sequence[int]) -> list[int]:
    """Return by how much each level is smaller: every nth pixel is taken."""
    steps = [1]
    while len(steps) < MOST_LEVELS and max(shape[-2:]) // steps[-1] >= LARGE:
        steps.append(2 * steps[-1])
    return steps


def _dataset(geometry: Geometry, number: int, step: int) -> dict[str, Any]:
    # every nth pixel is taken, so that the first one lies where it did
    steps = [1] * (len(geometry.scale) - 2) + [step, step]
    scale = [size * n for size, n in zip(geometry.scale, steps, strict=True)]
    return {
        "path": str(number),
        "coordinateTransformations": [
            {"type": "scale", "scale": [float(n) for n in scale]},
            {"type": "translation", "translation": [float(n) for n in geometry.translate]},
        ],
    }


def _new_level(
    group: zarr.Group,
    number: int,
    step: int,
    shape: tuple[int, ...],
    kind: np.dtype[Any],
    names: Sequence[str],
    separator: Literal[".", "/"],
) -> zarr.Array[Any]:
    from numcodecs import Zstd
    from zarr.codecs import ZstdCodec

    *leading, height, width = shape
    plane = (-(-height // step), -(-width // step))
    modern = group.metadata.zarr_format == 3
    return group.create_array(
        str(number),
        shape=(*leading, *plane),
        chunks=(*(1 for _ in leading), *plane),
        dtype=stored_type(kind).newbyteorder("<"),
        fill_value=0,
        compressors=ZstdCodec(level=1) if modern else Zstd(level=1),
        dimension_names=list(names) if modern else None,
        chunk_key_encoding={"name": "default" if modern else "v2", "separator": separator},
    )


def _write_plane(
    folder: Path, level: zarr.Array[Any], place: tuple[int, ...], plane: NDArray[Any]
) -> None:
    """Write the chunk of a plane; zarr's own way takes three times as long for many small ones."""
    from numcodecs import Zstd

    file = folder / level.path / level.metadata.encode_chunk_key((*place, 0, 0))
    if not plane.any():
        file.unlink(missing_ok=True)  # what is not there is background
        return
    values = np.ascontiguousarray(plane, level.dtype.newbyteorder("<"))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(Zstd(level=1).encode(values))


def _copy_chunk(folder: Path, level: zarr.Array[Any], place: tuple[int, ...], labels: Any) -> bool:
    """Copy a plane of a zarr array on the disk as it is there; return whether that was possible.

    The array must hold a plane to a chunk as ours does. Its files are never changed in place:
    zarr writes another beside them and renames it.
    """
    root = getattr(getattr(labels, "store", None), "root", None)
    ours = level.metadata
    if root is None or getattr(labels.metadata, "codecs", None) != getattr(ours, "codecs", ()):
        return False
    alike = labels.chunks == level.chunks and labels.dtype == level.dtype
    if not alike or labels.fill_value != 0 or len(labels.shape) != len(place) + 2:
        return False
    chunk = (*place, 0, 0)
    source = Path(root) / str(labels.path) / labels.metadata.encode_chunk_key(chunk)
    target = folder / level.path / ours.encode_chunk_key(chunk)
    target.unlink(missing_ok=True)
    with suppress(FileNotFoundError):  # what is not there is background
        shutil.copyfile(source, target)
    return True


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _losses(annotation: Annotation) -> list[str]:
    return lost_by_labels(annotation, properties=False)


OME_ZARR = AnnotationFormat(
    "OME-Zarr labels", (".ome.zarr",), write_ome_zarr, read_ome_zarr, _losses, folder=True
)
