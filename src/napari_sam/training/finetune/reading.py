"""Examples from files: pairs of images and labels, annotations, COCO and SA-1B."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from ...formats.annotation import Annotation
from ...formats.found import key_of
from ...formats.image_reference import difference, image_beside
from ...formats.label_tiff import has_note, read_label_tiff
from ...formats.ome_zarr import holds_labels, read_ome_zarr
from ...formats.placed_labels import labels_in
from ...formats.project import PROJECT, read_project
from ...images.decoding import UNREADABLE
from ...images.labelled import read_source
from ...images.plane_stack import PlaneStack
from ...images.readers import StackImage, read_image
from ...images.transforms import to_rgb8
from ...images.zarr_files import is_zarr
from .examples import Example
from .label_values import conversion
from .layers import each_plane, example_of

LOSSY = (".jpg", ".jpeg", ".webp")
"""Endings of files in which labels would change."""
FOLDERS = (".zarr", *PROJECT.suffixes)
"""Endings of folders."""
INNER = (".ome", ".coco", ".nii", ".labelmap")
"""What may stand before the ending of a file."""
FREE_PART = 0.5
"""Of the free memory, what the labels of one file may take."""
Read = Callable[[], Iterator[Example]]


def read_pair(image_path: Path, label_path: Path, complete: bool | None) -> Iterator[Example]:
    """Yield the planes of an image and of the label image that belongs to it.

    Everything counts as labelled, unless the label file is a TIFF of ours with what is known of its
    objects: then what is marked complete. Planes of a stack in which nothing is labelled are left
    out.

    Raises
    ------
    ValueError
        If one cannot be read, or they do not fit.
    """
    name = stem_of(image_path)
    image = read_image(image_path)
    placed = labels_in(image, label_path)
    if placed is not None and placed.objects:
        everything = True if complete is None else complete
        yield from read_annotation(image_path, image, placed, everything)
        return
    if placed is not None:
        stored = StackImage(placed.labels, image.label_axes)
    else:
        stored = stored_labels(label_path)
        check_shapes(image_path, image, label_path, stored)
    known = None if placed is not None else known_of(label_path, stored)
    if known is not None and known.objects and not label_path.is_dir():
        known = replace(known, labels=stored.data)  # once in memory, or not at all
        yield from read_annotation(image_path, image, known, complete)
        return
    colours = stored.axes != stored.label_axes
    places = list(np.ndindex(*stored.label_shape[:-2]))
    planes = stored.data

    def every() -> Iterator[NDArray[Any]]:
        return (np.asarray(planes[place]) for place in places)

    try:
        way = conversion(every, planes.dtype, colours)
    except ValueError as error:
        raise ValueError(f"{label_path.name} holds no labels: {error}") from None
    objects = {} if known is None else known.objects
    filled = [place for place in places if not place or np.any(planes[place])]
    notice = way.notice
    if len(filled) < len(places):
        left = f"{len(places) - len(filled)} of {len(places)} planes hold no label and are left out"
        notice = f"{notice}; {left}" if notice else left
    for place in filled:
        labels, unknown = way.convert(np.asarray(planes[place]))
        key = key_of(place, stored.label_shape)
        one = example_of(name, key, to_rgb8(image.data[place]), labels, objects)
        ground = None if complete is not False else np.zeros(labels.shape, bool)
        if unknown is not None:
            ground = ~unknown if ground is None else ground
        stack = stack_of(image_path, one) if way.linked else ""
        yield replace(one, complete=ground, group=str(image_path), stack=stack, notice=notice)


def stored_labels(path: Path) -> StackImage:
    """Return a label image as it is stored.

    Raises
    ------
    ValueError
        If it cannot be read, or is compressed with loss.
    """
    if path.suffix.lower() in LOSSY:
        raise ValueError(
            f"{path.name} is compressed with loss, which changes labels; save them as TIFF or PNG"
        )
    try:
        return read_image(path)
    except ValueError as error:
        if not path.name.lower().endswith("_seg.npy"):
            raise
        raise ValueError(
            f"{path.name} is a file of cellpose that holds more than labels; export the masks "
            "from cellpose as TIFF or PNG"
        ) from error


def read_annotation(
    image_path: Path, image: StackImage, annotation: Annotation, complete: bool | None
) -> Iterator[Example]:
    """Yield the planes of an annotation: those with objects, or marked complete."""
    spacing = None if image.scale is None else image.scale
    name = stem_of(image_path)
    steps = each_plane(
        image.data,
        annotation.labels,
        annotation.objects,
        annotation.properties,
        name=name,
        spacing=spacing,
        complete=complete,
    )
    for one in steps:
        if isinstance(one, Example):
            yield replace(one, group=str(image_path), stack=stack_of(image_path, one))


def read_project_examples(
    path: Path, image_path: Path | None, complete: bool | None
) -> Iterator[Example]:
    """Yield the planes of a project; raises a ValueError as `project_with_image`."""
    yield from read_annotation(*project_with_image(path, image_path), complete)


def project_with_image(path: Path, image_path: Path | None) -> tuple[Path, StackImage, Annotation]:
    """Read a project and its image.

    Parameters
    ----------
    path : Path
    image_path : Path or None
        The image, where the project does not say where it lies.

    Returns
    -------
    Path
        Where the image lies.
    StackImage
    Annotation

    Raises
    ------
    ValueError
        If the project or its image cannot be read, or the image is another one.
    """
    annotation = read_project(path)
    reference = annotation.image
    beside = None if reference is None else image_beside(reference, path.absolute().parent)
    place = beside or image_path
    if place is None:
        raise ValueError(
            f"the image of {path.name} is not found; put the project beside its image and save it "
            "once more, or name the image after it"
        )
    image = read_image(place)
    if reference is not None and (reason := difference(reference, image.data, image.label_shape)):
        raise ValueError(f"{place.name} is not the image of {path.name}: {reason}")
    return place, image, annotation


def read_npz(path: Path, complete: bool | None) -> Iterator[Example]:
    """Yield the planes of a `.npz` with `image_000`, `labels_000` and so on.

    Each is a group, unless the file names the stacks that they are of, as `stack` and `z`.
    """
    stacks = _stacks(path)
    for one in read_source(path):
        labels = np.ascontiguousarray(one.labels, np.int32)
        key = key_of((), labels.shape)
        found = example_of(f"{one.source} {one.name}", key, to_rgb8(one.image), labels, {})
        ground = None if complete is not False else np.zeros(labels.shape, bool)
        stack, place = stacks.get(int(one.name), ("", 0))
        group = f"{one.source} {stack}" if stack else ""
        yield replace(found, complete=ground, group=group, place=place)


def _stacks(path: Path) -> dict[int, tuple[str, int]]:
    """Return the stack and the place in it of each image of a `.npz`, where it says so."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not {"stack", "z"} <= set(archive.files):
                return {}
            stacks, places = archive["stack"], archive["z"]
    except UNREADABLE:  # reading the images says so
        return {}
    if stacks.ndim != 1 or stacks.dtype.kind != "U" or places.dtype.kind not in "iu":
        return {}
    return {k: (str(a), int(b)) for k, (a, b) in enumerate(zip(stacks, places, strict=False))}


def read_zarr_labels(path: Path, complete: bool | None) -> Iterator[Example]:
    """Yield the planes of an OME-Zarr image with labels in its group `labels`."""
    for place in zarr_labels(path):
        yield from read_pair(path, place, complete)


def zarr_labels(path: Path) -> list[Path]:
    """Return the folders of the labels of an OME-Zarr image."""
    inner = path / "labels"
    if not inner.is_dir():
        return []
    return sorted(one for one in inner.iterdir() if one.is_dir() and holds_labels(one))


def stack_of(image_path: Path, one: Example) -> str:
    """Return the stack of a plane, which differs for files of one name in different folders."""
    return f"{image_path.resolve()} {one.stack}" if one.stack else ""


def known_of(path: Path, stored: StackImage) -> Annotation | None:
    """Return what a label file of ours says of its objects; None for others, which are not read.

    Raises
    ------
    ValueError
        If a TIFF, which is read as a whole for this, does not fit into the memory.
    """
    shape = tuple(stored.label_shape)
    if stored.axes != stored.label_axes or stored.data.dtype.kind not in "iu":
        return None
    is_tiff = path.suffix.lower() in (".tif", ".tiff")
    if is_tiff and not has_note(path):
        return None
    if is_tiff and isinstance(stored.data, PlaneStack):
        nbytes = math.prod(shape) * stored.data.dtype.itemsize
        check_memory(
            path, nbytes, "save the labels as OME-Zarr, of which one plane at a time is read"
        )
    try:
        if path.is_dir():
            return read_ome_zarr(path, shape) if holds_labels(path) else None
        return read_label_tiff(path, shape) if is_tiff else None
    except ValueError:  # it says nothing that is understood; the labels are read all the same
        return None


def check_memory(path: Path, nbytes: int, remedy: str) -> None:
    """Raise a ValueError if a file takes too much of the free memory."""
    free = int(psutil.virtual_memory().available)
    if nbytes > FREE_PART * free:
        raise ValueError(
            f"{path.name} takes {nbytes / 1e9:.2g} GB of memory, and {free / 1e9:.2g} GB are free; "
            f"{remedy}"
        )


def check_shapes(image_path: Path, image: StackImage, label_path: Path, labels: StackImage) -> None:
    """Raise a ValueError if labels have another shape than their image."""
    wanted, found = tuple(image.label_shape), tuple(labels.label_shape)
    if wanted == found:
        return
    sizes = f"{label_path.name} is {_text(found)}, but its image {image_path.name} {_text(wanted)}"
    if wanted[:-2] == found[:-2] and wanted[-2:] == found[:-3:-1]:
        raise ValueError(f"{sizes}: rows and columns look swapped; turn one of them")
    raise ValueError(f"{sizes}; save the labels at the size of the image")


def _text(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) + " pixels"


def stem_of(path: Path) -> str:
    """Return the name of a file without its ending, as without ".ome.tif" or ".labelmap.dcm".

    Points in the name of a folder part no ending, but for those of OME-Zarr and projects.
    """
    if path.is_dir() and not is_zarr(path) and path.suffix not in FOLDERS:
        return path.name
    name = path.name.removesuffix(".zarr") if path.name.endswith(".zarr") else path.stem
    return name.removesuffix(next((one for one in INNER if name.endswith(one)), ""))


def image_of(files: Mapping[str, Path], stem: str) -> Path | None:
    """Return the image of a stem among images by stem: its own, or one called "raw" or "img"."""
    endings = ("", "_img", "_image", "_raw")
    return next((files[stem + end] for end in endings if stem + end in files), None)
