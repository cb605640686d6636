"""Examples from COCO files, whose images may differ in size, and from the records of SA-1B."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import shown
from ...formats.coco_lengths import either, mask_of
from ...formats.found import MOST_PLANES, key_of, read_json, whole
from ...images.readers import read_image
from ...images.transforms import to_rgb8
from ...masks import to_labels
from ...masks.outlines import shared_pixels
from ...objects import SegmentedObject
from ...types import Mask
from .examples import Example
from .layers import example_of
from .reading import stem_of

Json = Mapping[str, Any]
LAYERS = 3
"""An image whose masks overlap becomes so many examples at most: SAM, too, answers with three."""
SHARED = 0.1
"""Masks that share less than this part of the smaller one touch; the pixels go to the smaller."""


@dataclass(frozen=True, eq=False)
class CocoImage:
    """One image of a COCO file with its annotations.

    Attributes
    ----------
    file : Path
        The COCO file.
    name : str
        Of the image file, as the COCO file gives it; it may hold folders.
    place : tuple of int
        Of the plane in the image file; empty where that has one.
    entries : list of dict
    classes : mapping
        Names of the categories by their id.
    exhaustive : bool
        Whether every object is annotated. SA-1B says nothing of the ground.
    size : (object, object)
        Height and width as the file gives them; None where it does not.
    others : int
        Image files that the COCO file names beside this one.
    namesakes : int
        Those of them that differ in their folders or their ending only.
    """

    file: Path
    name: str
    place: tuple[int, ...]
    entries: list[Json]
    classes: Mapping[int | str | None, str]
    exhaustive: bool
    size: tuple[Any, Any] = (None, None)
    others: int = 0
    namesakes: int = 0

    @property
    def relative(self) -> PurePosixPath:
        """The name as a path."""
        return PurePosixPath(self.name.replace("\\", "/"))


def coco_images(path: Path) -> list[CocoImage]:
    """Return the images of a COCO file, or the one of a record of SA-1B; no image is read.

    Raises
    ------
    ValueError
        If it is neither.
    """
    data = read_json(path)
    if isinstance(data, list):  # the masks of one image, as everything mode writes them
        data = {"image": {}, "annotations": data}
    if not isinstance(data, dict) or not (data.keys() & {"image", "images"}):
        raise ValueError(f"{path.name} is no COCO file and no record of SA-1B: it names no image")
    entries = _rows(data.get("annotations"), path)
    if "images" not in data:
        own = data["image"] if isinstance(data["image"], dict) else {}
        title = str(own.get("file_name") or path.stem)
        return [CocoImage(path, title, (), entries, {}, False, _size(own))]
    categories, images = _rows(data.get("categories", []), path), _rows(data["images"], path)
    classes = {_id(one): _category(one) for one in categories}
    by_image: dict[int | str | None, list[Json]] = {_id(one): [] for one in images}
    for one in entries:
        image = one.get("image_id", next(iter(by_image), None) if len(images) == 1 else None)
        if not isinstance(image, int | str) or image not in by_image:
            raise ValueError(f"{path.name} has an annotation of image {shown(image)}, not there")
        by_image[image].append(one)
    found = []
    for one in images:
        place = one.get("plane")
        places = place if isinstance(place, list) else []
        numbers = tuple(whole(k, "a position of a plane", 0, MOST_PLANES) for k in places)
        name = str(one.get("file_name") or path.stem).rsplit("#", 1)[0] if numbers else None
        name = name or str(one.get("file_name") or path.stem)
        rows = by_image[_id(one)]
        found.append(CocoImage(path, name, numbers, rows, classes, True, _size(one)))
    names = {one.relative for one in found}
    stems = Counter(name.stem for name in names)
    return [
        replace(one, others=len(names) - 1, namesakes=stems[one.relative.stem] - 1) for one in found
    ]


def read_coco_image(
    one: CocoImage, find: Callable[[CocoImage], Path | None], complete: bool | None
) -> Iterator[Example]:
    """Yield the examples of an image: several where its masks overlap.

    A small mask lies on top of a large one that it shares some pixels with. Masks that share more
    are parts of each other, or one is a part of the other: they come into different examples of
    the same image. What lies in a crowd is unknown.

    Parameters
    ----------
    one : CocoImage
    find : callable
        Returns the file of an image; None if there is none.
    complete : bool or None

    Raises
    ------
    ValueError
        If the image is not found or has another size, or an annotation does not fit.
    """
    place = find(one)
    if place is None:
        raise ValueError(
            f"{one.file.name} names the image {one.name}, which is not found; put it beside the "
            "file, or name its folder as well"
        )
    image = read_image(place)
    shape = tuple(image.label_shape)
    key = key_of(one.place, shape)
    size = shape[-2], shape[-1]
    if None not in one.size and one.size != size:
        raise ValueError(
            f"{one.file.name} says that {one.name} is {shown(one.size[0])} x {shown(one.size[1])} "
            f"pixels, but {place.name} is {size[0]} x {size[1]}; name the image that was annotated"
        )
    masks, names, crowd = _masks(one, size)
    rgb = to_rgb8(image.data[one.place])
    known = bool(complete) or (complete is None and one.exhaustive)
    layers = layered(masks) or [[]]
    for number, layer in enumerate(layers):
        labels = to_labels([masks[k] for k in layer], size)
        objects = {n: SegmentedObject(n, {}, names[k]) for n, k in enumerate(layer, 1)}
        found = example_of(stem_of(place), key, rgb, labels, objects)
        ground: NDArray[np.bool_] | None = None
        if not known:
            ground = np.zeros(size, bool)
        elif len(layers) > 1 or crowd is not None:
            ground = np.ones(size, bool) if crowd is None else ~crowd
            for k in set(range(len(masks))) - set(layer):  # in another layer
                ground[masks[k].part] &= ~masks[k].bits
        layer_name = f"{found.name}, layer {number + 1}" if len(layers) > 1 else found.name
        yield replace(found, name=layer_name, group=str(place), stack="", complete=ground)


def layered(masks: Sequence[Mask]) -> list[list[int]]:
    """Divide masks that overlap into layers in which they hardly do.

    Large ones come into the first layers. What fits into none of `LAYERS` layers lies on top in
    the last one.

    Parameters
    ----------
    masks : sequence of Mask
        Of one plane.

    Returns
    -------
    list of list of int
        Which masks are in each layer, ascending.
    """
    order = sorted(range(len(masks)), key=lambda k: (-masks[k].area, k))
    layers: list[list[int]] = []
    for k in order:
        fits = (
            layer
            for layer in layers
            if all(
                shared_pixels(masks[k], masks[other])
                < SHARED * min(masks[k].area, masks[other].area)
                for other in layer
            )
        )
        layer = next(fits, None)
        if layer is not None:
            layer.append(k)
        elif len(layers) < LAYERS:
            layers.append([k])
        else:
            layers[-1].append(k)
    return [sorted(layer) for layer in layers]


def _masks(
    one: CocoImage, size: tuple[int, int]
) -> tuple[list[Mask], list[str], NDArray[np.bool_] | None]:
    """Return the masks of an image, their classes, and where crowds are."""
    masks: list[Mask] = []
    names: list[str] = []
    tracks: dict[int, int] = {}
    crowd: NDArray[np.bool_] | None = None
    for entry in one.entries:
        segmentation = entry.get("segmentation")
        if not segmentation:  # a box alone is no outline to learn
            continue
        mask = mask_of(segmentation, size)
        if not mask:
            continue
        if entry.get("iscrowd"):
            crowd = np.zeros(size, bool) if crowd is None else crowd
            crowd[mask.part] |= mask.bits
            continue
        track = entry.get("track_id")
        if isinstance(track, int) and track in tracks:  # another piece of the same object
            masks[tracks[track]] = either(masks[tracks[track]], mask)
            continue
        if isinstance(track, int):
            tracks[track] = len(masks)
        masks.append(mask)
        category = entry.get("category_id")
        names.append(one.classes.get(category, "") if isinstance(category, int | str) else "")
    return masks, names, crowd


def _rows(value: Any, path: Path) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"{path.name} is no COCO file: a list in it is {shown(value)}")
    return value


def _id(one: Json) -> int | str | None:
    value = one.get("id")
    if value is None or isinstance(value, int | str):
        return value
    raise ValueError(f"an id is a whole number or a text, but is {shown(value)}")


def _size(one: Json) -> tuple[Any, Any]:
    return one.get("height"), one.get("width")


def _category(one: Json) -> str:
    name = one.get("name")
    return name.strip() if isinstance(name, str) and one.get("supercategory") != "none" else ""
