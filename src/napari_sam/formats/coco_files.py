"""Annotations as COCO files, and as those of SA-1B, which hold one image each."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..checks import shown
from ..files import replacing
from ..masks import to_rle
from ..objects import Outline, SegmentedObject
from ..objects.drawn import DrawnRow
from ..types import Mask, SliceKey
from .annotation import Annotation, AnnotationFormat
from .coco import sa1b_entry
from .coco_lengths import compressed, either, mask_of
from .found import (
    MOST_PLANES,
    Found,
    box_row,
    check_size,
    key_of,
    masks_of,
    planes_of,
    read_json,
    reals,
    size_of,
    whole,
)
from .losses import lost

Json = dict[str, Any]
UNNAMED = "object"
NO_CLASS = "none"
"""The name and the supercategory of the category of objects without a class."""


def coco_losses(annotation: Annotation) -> list[str]:
    """Return what a COCO file cannot hold of an annotation."""
    return lost(annotation, classes=True, objects=True, scale=False)


def write_coco(annotation: Annotation, path: Path) -> None:
    """Write labels as a COCO file: an image for each plane, run lengths for each object in it.

    Beside COCO's own entries, an image has its place on the leading axes as "plane", and an
    annotation the label of its object as "track_id" and the fields of SA-1B. Objects without a
    class are of the category "object", which is marked by the supercategory "none"; COCO has no
    others.

    Raises
    ------
    ValueError
        If the disk refuses it.
    """
    known = annotation.objects
    defined = [one["name"] for one in annotation.properties.get("classes") or ()]
    others = sorted({one.category for one in known.values()} - {"", *defined})
    names = ["", *dict.fromkeys([*defined, *others])]
    images: list[Json] = []
    annotations: list[Json] = []
    for number, (place, key, plane) in enumerate(planes_of(annotation.labels), 1):
        height, width = plane.shape
        name = annotation.name or "image"
        images.append(
            {
                "id": number,
                "file_name": name if not place else f"{name}#{','.join(map(str, place))}",
                "height": height,
                "width": width,
                "plane": list(place),
            }
        )
        for label, mask in masks_of(plane):
            one = known.get(label)
            entry = _entry(label, mask, None if one is None else one.outlines.get(key))
            entry["iscrowd"] = int(one is not None and bool(one.attributes.get("crowd")))
            category = "" if one is None else one.category
            entry |= {"id": len(annotations) + 1, "image_id": number}
            annotations.append(entry | {"category_id": names.index(category) + 1})
    categories = [{"id": 1, "name": UNNAMED, "supercategory": NO_CLASS}]
    categories += [{"id": k, "name": one} for k, one in enumerate(names[1:], 2)]
    shape = [int(n) for n in annotation.labels.shape]
    data = {
        "info": {"description": annotation.name, "shape": shape},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(data), encoding="utf-8")


def read_coco(path: Path, shape: tuple[int, ...] | None = None) -> Annotation:
    """Return the annotation of a COCO or SA-1B file; raises as `found_in_coco` does."""
    return found_in_coco(path, shape).annotation(path, shape)


def found_in_coco(path: Path, shape: tuple[int, ...] | None = None) -> Found:
    """Return what a COCO or SA-1B file holds.

    An image without a "plane" is the plane of its place in the list. Annotations that have
    polygons or run lengths are objects, those with a box alone are prompts. Several of one track in
    one plane are pieces of one outline. A crowd, several objects that nobody told apart, is one
    object with the attribute "crowd".

    Parameters
    ----------
    path : Path
    shape : tuple of int, optional
        Of the image that it is read for.

    Raises
    ------
    ValueError
        If it is no such file, or does not fit the image.
    """
    data = read_json(path)
    if isinstance(data, list):
        data = {"annotations": data, "image": _image_of_records(data)}
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} is no COCO file: it holds {shown(data)}")
    if "images" not in data and isinstance(data.get("image"), dict):
        data = {**data, "images": [data["image"]]}
    images, entries = _dictionaries(data, "images"), _dictionaries(data, "annotations")
    names: dict[Any, str] = {
        whole(one.get("id"), "a category's id", -(2**53), 2**53): _category(one)
        for one in (_dictionaries(data, "categories") if data.get("categories") else ())
    }
    if not images:
        raise ValueError(f"{path.name} names no image")
    shape = shape or _shape(data, images)
    keys = _planes(images, shape)
    return _found(entries, keys, names, shape)


def _entry(label: int, mask: Mask, outline: Outline | None) -> Json:
    lengths = to_rle(mask)
    score = 1.0 if outline is None else float(outline.score)
    prompts = None if outline is None else outline.prompts
    points = [] if prompts is None else prompts.point_coords.tolist()
    segmentation = {"size": lengths["size"], "counts": compressed(lengths["counts"])}
    score = score if math.isfinite(score) else 0.0
    height, width = mask.size
    entry = sa1b_entry(mask, segmentation, score, 1.0, points, (0, 0, width, height))
    return entry | {"track_id": label}


def _category(one: Json) -> str:
    name = one.get("name")
    unnamed = name == UNNAMED and one.get("supercategory") == NO_CLASS
    return name if isinstance(name, str) and name.strip() and not unnamed else ""


def _dictionaries(data: Json, name: str) -> list[Json]:
    values = data.get(name)
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise ValueError(f"a COCO file has a list of {name}, but here it is {shown(values)}")
    return values


def _image_of_records(records: list[Any]) -> Json:
    """Return the image of a bare list of masks, from the size of the first one."""
    first = records[0] if records else None
    segmentation = first.get("segmentation") if isinstance(first, dict) else None
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if not isinstance(size, list) or len(size) != 2:
        raise ValueError("a list of masks has run lengths with a size")
    return {"height": size[0], "width": size[1]}


def _shape(data: Json, images: list[Json]) -> tuple[int, ...]:
    size = size_of(images[0].get("height"), images[0].get("width"))
    info = data.get("info")
    lead = info.get("shape") if isinstance(info, dict) else None
    if isinstance(lead, list) and 2 <= len(lead) <= 8:
        sides = tuple(whole(one, "a side of the labels", 1, MOST_PLANES) for one in lead[:-2])
        return (*sides, *size)
    return size if len(images) == 1 else (len(images), *size)


def _planes(images: list[Json], shape: tuple[int, ...]) -> dict[Any, SliceKey]:
    keys: dict[Any, SliceKey] = {}
    count = math.prod(shape[:-2])
    for number, one in enumerate(images):
        check_size(size_of(one.get("height"), one.get("width")), shape, "an image of the file")
        place = one.get("plane")
        if isinstance(place, list):
            place = [whole(k, "a position of a plane", 0, MOST_PLANES) for k in place]
        elif number >= count:
            raise ValueError(f"the file names {len(images)} images, but there are {count} planes")
        else:
            place, rest = [], number
            for side in reversed(shape[:-2]):
                rest, k = divmod(rest, side)
                place.insert(0, k)
        keys[_name(one.get("id", one.get("image_id")))] = key_of(place, shape)
    return keys


def _found(
    entries: list[Json], keys: dict[Any, SliceKey], names: dict[Any, str], shape: tuple[int, ...]
) -> Found:
    size = shape[-2], shape[-1]
    outlines: dict[int, dict[SliceKey, Outline]] = {}
    categories: dict[int, str] = {}
    crowds: set[int] = set()
    prompts: list[DrawnRow] = []
    tracks = [one.get("track_id") for one in entries]
    used = {one for one in tracks if isinstance(one, int)}
    following = max([0, *(one for one in used if one < 2**53)]) + 1
    for one, track in zip(entries, tracks, strict=True):
        image = _name(one.get("image_id"))
        if image not in keys and (len(keys) > 1 or image is not None):
            raise ValueError(f"an annotation is of the image {shown(image)}, which is not there")
        key = keys[image] if image in keys else next(iter(keys.values()))
        if not one.get("segmentation"):
            x, y, w, h = _box(one.get("bbox"))
            prompts.append(box_row(key, (x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5)))
            continue
        label = following if track is None else whole(track, "a track id", 1, 2**53)
        following += track is None
        score = one.get("predicted_iou", 1.0)
        score = float(reals([score], "a predicted IoU")[0])
        mask = mask_of(one["segmentation"], size)
        planes = outlines.setdefault(label, {})
        if key in planes:
            mask = either(planes[key].mask, mask)
        planes[key] = Outline(mask, score=score, origin="imported")
        categories[label] = names.get(_name(one.get("category_id")), "")
        if one.get("iscrowd"):
            crowds.add(label)
    objects = (
        SegmentedObject(k, one, categories[k], attributes={"crowd": True} if k in crowds else {})
        for k, one in outlines.items()
    )
    return Found(tuple(objects), tuple(prompts), shape)


def _name(value: Any) -> int | str | None:
    if value is None or isinstance(value, int | str):
        return value
    raise ValueError(f"an id is a whole number or a text, but is {shown(value)}")


def _box(value: Any) -> tuple[float, float, float, float]:
    numbers = reals(value, "a box").tolist()
    if len(numbers) != 4 or min(numbers[2:]) < 0:
        raise ValueError(f"a box is x, y, width and height, but is {shown(value)}")
    x, y, w, h = numbers
    return x, y, w, h


COCO = AnnotationFormat("COCO", (".coco.json", ".json"), write_coco, read_coco, coco_losses)
