"""OME-Zarr labels that are being written: a pyramid of zarr arrays, a plane to a chunk.

Written are the versions 0.5 (zarr 3) and 0.4 (zarr 2) of https://ngff.openmicroscopy.org.
"""

from __future__ import annotations

import colorsys
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..objects import SegmentedObject
from .annotation import Annotation, Geometry
from .labels_store import written_parts
from .ome_axes import axes_of

if TYPE_CHECKING:
    import zarr

Version = Literal["0.5", "0.4"]
LARGE = 1024
"""Longest side of a plane, pixels, from which on there are smaller copies."""
MOST_LEVELS = 3
OWN = ("status", "annotator", "time", "attributes")
"""What the properties of a label hold besides its value and its class."""


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


def stored_type(dtype: Any) -> np.dtype[Any]:
    """Return the type that labels are read as again, in this computer's byte order."""
    kind = np.dtype(dtype)
    return np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")


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
