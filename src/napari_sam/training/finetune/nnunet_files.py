"""Data sets in nnU-Net's raw layout: cases, and their semantic labels as objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...checks import shown
from ...formats.found import key_of, read_json, whole
from ...formats.training_sets.nnunet import BORDER_NAME, DATASET, IGNORE_NAME
from ...images.readers import StackImage, read_image
from ...images.transforms import to_rgb8
from ...objects import SegmentedObject
from .examples import Example
from .layers import example_of
from .reading import check_memory, stack_of

PARTS = ("Tr", "Ts")
MOST = 255
"""The largest label."""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes
    ----------
    name : str
    channels : tuple of Path
        A file for each.
    labels : Path
    classes : mapping of int to str
        Names of the labels but the background.
    """

    name: str
    channels: tuple[Path, ...]
    labels: Path
    classes: Mapping[int, str]


def is_nnunet(folder: Path) -> bool:
    """Tell whether a folder is a data set of nnU-Net."""
    return (folder / DATASET).is_file() and (folder / "labelsTr").is_dir()


def nnunet_cases(folder: Path) -> list[Case]:
    """Return the cases with labels, those for testing last.

    Raises
    ------
    ValueError
        If `dataset.json` is none of nnU-Net v2.
    """
    data = read_json(folder / DATASET)
    labels = data.get("labels") if isinstance(data, dict) else None
    ending = data.get("file_ending") if isinstance(data, dict) else None
    if not isinstance(labels, dict) or not isinstance(ending, str):
        raise ValueError(
            f"{DATASET} of nnU-Net v2 has labels and a file_ending, but here it is {shown(data)}"
        )
    if any(isinstance(k, list) for k in labels.values()):
        raise ValueError(
            f"{DATASET} has regions, labels of several numbers, which are not read; give each "
            "label one number, and name what it stands for"
        )
    numbers = {name: whole(k, "a label of nnU-Net", 0, MOST) for name, k in labels.items()}
    classes = {k: str(name) for name, k in numbers.items() if k}
    found = []
    for part in PARTS:
        places = folder / f"labels{part}"
        for path in sorted(places.iterdir()) if places.is_dir() else ():
            if path.name.endswith(ending):
                name = path.name.removesuffix(ending)
                pattern = f"{escape(name)}_[0-9][0-9][0-9][0-9]{escape(ending)}"
                channels = tuple(sorted((folder / f"images{part}").glob(pattern)))
                found.append(Case(name, channels, path, classes))
    return found


def read_case_image(case: Case) -> tuple[StackImage, NDArray[Any]]:
    """Return the image of a case, its channels as a last axis, and its semantic labels.

    Raises
    ------
    ValueError
        If a file is missing or cannot be read, they do not fit together, or not into the memory.
    """
    if not case.channels:
        raise ValueError(f"{case.labels.name} has no image {case.name}_0000")
    images = [read_image(path) for path in case.channels]
    first = images[0]
    stored = read_image(case.labels)
    sizes = {tuple(one.label_shape) for one in images} | {tuple(stored.data.shape)}
    if len(sizes) > 1:
        raise ValueError(
            f"the images and labels of {case.name} do not fit: they are {shown(sizes)}"
        )
    check_memory(case.labels, _needed(case, images, stored), "cut the case into smaller ones")
    labels = _whole_labels(case, np.asarray(stored.data[...]))
    if len(images) == 1:
        return first, labels
    if any(one.axes != first.label_axes for one in images):
        raise ValueError(f"a channel of {case.name} has colours of its own")
    stacked = np.stack([np.asarray(one.data[...]) for one in images], axis=-1)
    return replace(first, data=stacked, axes=f"{first.axes}C"), labels


def _needed(case: Case, images: Sequence[StackImage], labels: StackImage) -> int:
    """Return the bytes that `read_case_image` and `objects_in` take at most."""
    each = labels.data.dtype.itemsize + 10  # objects, pieces of a class, two masks
    if BORDER_NAME in case.classes.values():
        each += 4 * len(labels.data.shape)  # the place of the nearest object
    if len(images) > 1:
        each += 2 * sum(one.data.dtype.itemsize for one in images)
    return each * prod(labels.data.shape)


def _whole_labels(case: Case, labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as whole numbers, which some programs save as real ones."""
    if labels.dtype.kind in "bui":
        return labels
    fits = labels.dtype.kind == "f" and ((labels >= 0) & (labels <= MOST)).all()
    if not fits or (labels != np.floor(labels)).any():
        raise ValueError(
            f"the labels of {case.name} are {labels.dtype}, and not all are whole numbers from 0 "
            f"to {MOST}"
        )
    return labels.astype(np.uint8)


def objects_in(
    labels: NDArray[Any], classes: Mapping[int, str]
) -> tuple[NDArray[np.int32], dict[int, str], NDArray[np.bool_] | None]:
    """Return each connected piece of a class as an object.

    Pixels of a class "border" go to the nearest object, and "ignore" is ground of which nothing is
    known. Pieces are connected along edges, corners and between planes.

    Returns
    -------
    labels : int32 of the same shape
    names : dict of int to str
        The class of each; none where the only class is "object".
    unknown : bool of the same shape, or None
    """
    known = {name: k for k, name in classes.items()}
    border, ignore = known.get(BORDER_NAME), known.get(IGNORE_NAME)
    found = np.zeros(labels.shape, np.int32)
    names: dict[int, str] = {}
    count = 0
    structure = np.ones((3,) * labels.ndim)
    for k, name in sorted(classes.items()):
        if k in (border, ignore):
            continue
        pieces, number = ndimage.label(labels == k, structure)
        inside = pieces > 0
        found[inside] = pieces[inside] + count
        names.update(dict.fromkeys(range(count + 1, count + number + 1), name))
        count += number
    if border is not None and count:
        _fill(found, labels == border)
    if {*classes.values()} <= {"object", classes.get(border or 0), classes.get(ignore or 0)}:
        names = {}
    return found, names, None if ignore is None else labels == ignore


def _fill(found: NDArray[np.int32], edge: NDArray[np.bool_]) -> None:
    """Give the pixels of an edge to the nearest object around, in the box that holds them all."""
    (box,) = ndimage.find_objects(edge.astype(np.uint8)) or (None,)
    if box is None:
        return
    wider = tuple(slice(max(0, one.start - 1), one.stop + 1) for one in box)
    if not found[wider].any():
        wider = (slice(None),) * found.ndim
    near, own = found[wider], edge[wider]
    nearest = ndimage.distance_transform_edt(near == 0, return_distances=False, return_indices=True)
    near[own] = near[tuple(axis[own] for axis in nearest)]


def read_case(case: Case, complete: bool | None) -> Iterator[Example]:
    """Yield the planes of a case; those of a stack in which nothing is labelled are left out."""
    image, semantic = read_case_image(case)
    labels, names, unknown = objects_in(semantic, case.classes)
    objects = {k: SegmentedObject(k, {}, name) for k, name in names.items()}
    notice = _notice(case)
    for place in np.ndindex(*labels.shape[:-2]):
        if place and not labels[place].any():
            continue
        key = key_of(place, labels.shape)
        rgb = to_rgb8(image.data[place])
        one = example_of(case.name, key, rgb, np.ascontiguousarray(labels[place]), objects)
        ground = None if unknown is None else ~unknown[place]
        ground = np.zeros(labels[place].shape, bool) if complete is False else ground
        stack = stack_of(case.labels, one)
        yield replace(one, complete=ground, group=str(case.labels), stack=stack, notice=notice)


def _notice(case: Case) -> str:
    """Return what classes were taken as that are none of objects."""
    meanings = {BORDER_NAME: "edges of objects", IGNORE_NAME: "ground of which nothing is known"}
    found = [
        f'the class "{name}" was taken as {meaning}'
        for name, meaning in meanings.items()
        if name in case.classes.values()
    ]
    return "; ".join(found)
