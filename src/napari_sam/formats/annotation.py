"""An annotation as it is saved, opened and exchanged: labels, their objects, where they lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..images.scan import Scan
from ..objects import SegmentedObject
from ..objects.drawn import Drawing
from ..types import SliceKey


@dataclass(frozen=True)
class Geometry:
    """Where labels lie; one entry for each axis of their array.

    Attributes
    ----------
    axes : tuple of str
        Names of the axes: "t", "z", "y", "x", or others where they are unknown.
    scale : tuple of float
        Size of a pixel.
    units : tuple of str
        Of the scale: "micrometer", "second", "pixel" where unknown.
    translate : tuple of float
        Place of the centre of the first pixel, in these units.
    scan : Scan or None
        Of a medical image: where its voxels lie in the patient, which scale and place cannot say.
    """

    axes: tuple[str, ...]
    scale: tuple[float, ...]
    units: tuple[str, ...]
    translate: tuple[float, ...]
    scan: Scan | None = None


@dataclass(frozen=True)
class ImageReference:
    """Which image was annotated; see `image_reference` for the functions.

    Attributes
    ----------
    path : str
        Of its file, down from the folder that the annotation lies in, with "/": "cells.tif",
        "raw/cells.tif"; empty if it lies elsewhere.
    shape : tuple of int
        Of the image, without its colours or channels.
    dtype : str
        Of its pixels, as numpy writes it.
    hashes : tuple of (SliceKey, str)
        Of the pixels of some planes.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    hashes: tuple[tuple[SliceKey, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Annotation:
    """Labels with what is known of their objects.

    Attributes
    ----------
    labels : (...) int array
        numpy, zarr, or anything else that is read by boxes. 0 is background.
    objects : mapping of int to SegmentedObject
        By label. Labels without an object are allowed.
    geometry : Geometry
    properties : mapping of str
        What holds for all of it, as JSON can hold it; see `objects.properties`.
    name : str
        Of the image.
    prompts : tuple of DrawnRow
        Of objects in work.
    image : ImageReference or None
        The image that was annotated; None if unknown.
    notice : str
        What was left out when it was read, a clause; empty if nothing was.
    """

    labels: Any
    objects: Mapping[int, SegmentedObject]
    geometry: Geometry
    properties: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    prompts: Drawing = ()
    image: ImageReference | None = None
    notice: str = ""


@dataclass(frozen=True, eq=False)
class AnnotationFormat:
    """A format that annotations are written in, or read from.

    Attributes
    ----------
    title : str
        What the dock and sentences call it.
    suffixes : tuple of str
        Endings of its files or folders, the preferred one first: ".ome.zarr".
    write : callable of (Annotation, Path), or None
        Writes beside the place and renames; replaces what is there. ValueError where the
        annotation does not fit, or the disk refuses.
    read : callable of (Path, shape or None) to Annotation, or None
        `shape` is that of the image it is opened for, where one is open; what does not fit is
        refused by a ValueError before memory is asked for.
    losses : callable of Annotation to sequence of str
        What the format cannot hold of an annotation, a clause each ("the prompts", "3 objects that
        overlap"); empty where it holds all.
    folder : bool
        Whether it is a folder.
    read_in : callable of (Path, shape, Scan) to Annotation, or None
        Reads labels into the grid of a medical image, where the format says where they lie.
    """

    title: str
    suffixes: tuple[str, ...]
    write: Callable[[Annotation, Path], None] | None
    read: Callable[[Path, tuple[int, ...] | None], Annotation] | None
    losses: Callable[[Annotation], Sequence[str]]
    folder: bool = False
    read_in: Callable[[Path, tuple[int, ...], Scan], Annotation] | None = None
