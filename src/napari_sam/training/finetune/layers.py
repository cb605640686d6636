"""Examples from the values of layers: an image, its labels and the objects known of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...formats.found import planes_of
from ...images.transforms import resize, scaled_size, to_rgb8
from ...objects import SegmentedObject
from ...objects.complete import Region, regions_of
from ...objects.segmented import upright
from ...types import Contrast, Progress, Prompts, SliceKey
from .examples import Example

SQUARE = 0.02
"""Pixels whose sides differ by no larger part are taken as square."""
Marks = Mapping[SliceKey, Sequence[Region | None]]


def each_plane(
    image: Any,
    labels: Any,
    objects: Mapping[int, SegmentedObject] | None = None,
    properties: Mapping[str, Any] | None = None,
    *,
    name: str = "image",
    contrast: Contrast | None = None,
    channels: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    complete: bool | None = None,
    most: int | None = None,
) -> Iterator[Progress | Example]:
    """Make an example of each plane in which something is known, one at a time.

    Objects marked "to check", and crowds, are not learnt, nor are objects in planes that cross
    those they were drawn in: what is in their place counts as unknown. A plane in which nothing is
    left, and nothing is marked complete, is passed over; its image is not read.

    Parameters
    ----------
    image : (...) or (..., C) real array
        Or a list of levels of a pyramid, of which the first counts.
    labels : (...) int array
    objects : mapping of int to SegmentedObject, optional
        What is known of labels, as `ObjectStore.objects`: classes, prompts, and the planes that
        they were drawn in, which may lie along any two axes.
    properties : mapping, optional
        As `ObjectStore.properties`: the planes and boxes marked complete.
    name : str
        Of the image.
    contrast : see `types.Plane`, optional
    channels : sequence of int, optional
        See `transforms.to_rgb8`.
    spacing : sequence of float, optional
        Size of a pixel along each axis of the labels. Planes are brought to square pixels, as the
        model sees them.
    complete : bool, optional
        True: all planes are complete; false: none is, whatever is marked. By default as marked.
    most : int, optional
        Planes at most, spread evenly.

    Yields
    ------
    Progress
        After each plane.
    Example
        In the order of the planes; labels have their numbers in `labels`. So whoever takes them can
        stop before they fill the memory.

    Raises
    ------
    ValueError
        If image and labels do not fit, or labels are negative or above 2147483647.
    """
    array = image[0] if isinstance(image, list | tuple) else image
    shape = tuple(int(side) for side in labels.shape)
    if tuple(array.shape[: len(shape)]) != shape or array.ndim - len(shape) not in (0, 1):
        raise ValueError(
            f"the labels of {name} have the shape {shape}, but the image has {tuple(array.shape)}; "
            "choose the labels that were made for it"
        )
    known = objects or {}
    marks: dict[SliceKey, list[Region | None]] = {}
    for key, box in regions_of(properties or {}):
        marks.setdefault(upright(key), []).append(_turned(key, box))
    keys = yield from _planes(labels, known, marks)
    if most is not None and most < len(keys):
        keys = [keys[k] for k in np.linspace(0, len(keys) - 1, most).astype(int)]
    for number, key in enumerate(keys, 1):
        plane = _int32(key.read_labels(labels), name)
        left_out = _left_out(known, plane, key)
        own = None if complete is not None else marks.get(key, [])
        if complete or own or not np.isin(plane, [0, *left_out]).all():
            rgb = to_rgb8(replace(key, level=None).read(array), contrast, channels)
            one = example_of(name, key, rgb, plane, known)
            one = replace(one, complete=_complete(one, own, complete)).without(left_out)
            pixel = (1.0, 1.0) if spacing is None else tuple(spacing[k] for k in key.displayed)
            yield _square(one, (float(pixel[0]), float(pixel[1])))
        yield Progress(number, len(keys), f"reading plane {number} of {len(keys)}")


def gathered(steps: Iterable[Progress | Example]) -> Generator[Progress, None, list[Example]]:
    """Gather the examples that `each_plane` makes.

    Yields
    ------
    Progress

    Returns
    -------
    list of Example
    """
    found: list[Example] = []
    for step in steps:
        if isinstance(step, Example):
            found.append(step)
        else:
            yield step
    return found


def _planes(
    labels: Any, objects: Mapping[int, SegmentedObject], marks: Marks
) -> Generator[Progress, None, list[SliceKey]]:
    """Return the planes in which objects are, and those marked complete.

    Objects lie in the planes in which they were drawn. Labels without an outline are looked for in
    the planes of the last two axes.
    """
    drawn = {upright(key) for one in objects.values() for key in one.outlines}
    known = np.array([k for k, one in objects.items() if one.outlines], np.int64)
    keys = drawn | set(marks)
    total = int(np.prod(labels.shape[:-2], dtype=np.int64))
    for number, (_, key, plane) in enumerate(planes_of(labels), 1):
        if key not in keys and plane.any():
            values = np.unique(plane)
            if not np.isin(values[values != 0], known).all():
                keys.add(key)
        yield Progress(number, total, "looking for labels")
    return sorted(keys, key=lambda key: (key.displayed, key.fixed))


def example_of(
    name: str,
    key: SliceKey,
    rgb: NDArray[np.uint8],
    labels: NDArray[np.int32],
    objects: Mapping[int, SegmentedObject],
) -> Example:
    """Return the example of a plane in which everything is labelled.

    Parameters
    ----------
    name : str
        Of the image.
    key : SliceKey
    rgb : (H, W, 3) uint8
    labels : (H, W) int32
    objects : mapping of int to SegmentedObject
        What is known of labels.
    """
    grey = bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 0] == rgb[..., 2]).all())
    places = [at for _, at in key.fixed]
    inside = [int(k) for k in np.unique(labels) if k]
    known = {k: objects[k] for k in inside if k in objects}
    lead = " ".join(map(str, [*key.displayed, *places[:-1]]))
    return Example(
        " ".join([name, *map(str, places)]),
        np.ascontiguousarray(rgb[..., 0]) if grey else rgb,
        labels,
        classes={k: one.category for k, one in known.items() if one.category},
        group=name,
        stack=f"{name} {lead}" if places else "",
        place=places[-1] if places else 0,
        prompts={
            k: (said,) for k, one in known.items() if (said := _said(one, key)) and not said.empty
        },
    )


def _said(one: SegmentedObject, key: SliceKey) -> Prompts | None:
    """Return what the user said of an object in a plane; logits and guides are the model's."""
    outline = one.outlines.get(key)
    if outline is None or outline.prompts is None:
        return None
    return replace(outline.prompts, mask_input=None, guide=None)


def _complete(
    one: Example, marks: Sequence[Region | None] | None, complete: bool | None
) -> NDArray[np.bool_] | None:
    if complete or (marks is not None and None in marks):
        return None
    known = np.zeros(one.labels.shape, bool)
    for box in marks or ():
        if box is not None:
            x0, y0, x1, y1 = box
            known[y0 : y1 + 1, x0 : x1 + 1] = True
    return known


def _left_out(
    objects: Mapping[int, SegmentedObject], plane: NDArray[np.int32], key: SliceKey
) -> list[int]:
    """Return the objects in a plane that are not learnt.

    They are in doubt, or crowds, or were drawn in other planes only.
    """
    found = []
    for k in map(int, np.unique(plane)):
        one = objects.get(k)
        if one is None:
            continue
        doubtful = one.status == "to check" or one.attributes.get("crowd")
        if doubtful or (one.outlines and key not in map(upright, one.outlines)):
            found.append(k)
    return found


def _square(one: Example, spacing: tuple[float, float]) -> Example:
    """Return an example with square pixels; then its prompts, which would move, are left out."""
    if abs(spacing[0] / spacing[1] - 1) <= SQUARE:
        return one
    height, width = one.labels.shape
    size = scaled_size((height, width), 2**31 - 1, 1.0, spacing)
    colours = one.image if one.image.ndim == 3 else np.stack([one.image] * 3, axis=-1)
    image = resize(colours, size)
    rows = (np.arange(size[0]) + 0.5) * height / size[0]
    columns = (np.arange(size[1]) + 0.5) * width / size[1]
    index = np.ix_(rows.astype(int), columns.astype(int))
    return replace(
        one,
        image=image if one.image.ndim == 3 else np.ascontiguousarray(image[..., 0]),
        labels=one.labels[index],
        complete=None if one.complete is None else one.complete[index],
        prompts={},
    )


def _int32(plane: NDArray[Any], name: str) -> NDArray[np.int32]:
    low, high = (int(plane.min()), int(plane.max())) if plane.size else (0, 0)
    if plane.dtype.kind not in "bui" or low < 0 or high > np.iinfo(np.int32).max:
        raise ValueError(
            f"the labels of {name} are {plane.dtype} from {low} to {high}, but labels are whole "
            "numbers from 0 to 2147483647"
        )
    return np.ascontiguousarray(plane, np.int32)


def _turned(key: SliceKey, box: Region | None) -> Region | None:
    """Return a box in the upright plane of a key."""
    if box is None or key.displayed[0] < key.displayed[1]:
        return box
    x0, y0, x1, y1 = box
    return y0, x0, y1, x1
