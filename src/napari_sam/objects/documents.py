"""Objects and edits as values that JSON can hold: what projects and journals are made of.

Whatever is read may come from a stranger: each number is checked before memory is asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from operator import index
from typing import Any, TypeVar, get_args

import numpy as np

from ..checks import shown
from ..predict.prompt_kinds import LayerType
from ..types import Mask, Prompts, SliceKey, Stroke
from .boxes import Index
from .drawn import DrawnRow
from .edit import Edit
from .packed import PackedPixels
from .patch import Patch
from .segmented import Origin, Outline, SegmentedObject, Status

Json = dict[str, Any]
LARGEST_SIDE = 2**31
LARGEST_PIECE = 2**31
"""Pixels of a mask or a patch; no plane has more."""
LEVEL = 1
"""Of zlib."""

T = TypeVar("T")


def object_to_json(one: SegmentedObject) -> Json:
    """Return an object as a dictionary of JSON values.

    Logits and guides of its prompts are left out: they are of the model, not of the user.
    """
    return {
        "label": one.label,
        "category": one.category,
        "status": one.status,
        "annotator": one.annotator,
        "time": one.time,
        "attributes": dict(one.attributes),
        "outlines": [
            {"plane": key_to_json(key), **outline_to_json(outline)}
            for key, outline in one.outlines.items()
        ],
    }


def object_from_json(data: Any) -> SegmentedObject:
    """Return the object of such a dictionary.

    Raises
    ------
    ValueError
        If it is no such dictionary.
    """
    outlines = {
        key_from_json(_entry(one, "plane")): outline_from_json(one)
        for one in _sequence(data, "outlines")
    }
    return SegmentedObject(
        _whole(_entry(data, "label"), "a label", 1),
        outlines,
        _text(data, "category"),
        _choice(data, "status", get_args(Status)),
        _text(data, "annotator"),
        _real(data.get("time", 0.0), "a time"),
        checked_attributes(data.get("attributes", {})),
    )


def checked_attributes(data: Any) -> Json:
    """Return attributes of a file; ValueError if JSON cannot hold them, such as one that is NaN."""
    attributes = dict(_mapping(data, "attributes"))
    json.dumps(attributes, allow_nan=False)
    return attributes


def outline_to_json(outline: Outline) -> Json:
    """Return an outline as a dictionary of JSON values."""
    return {
        "mask": mask_to_json(outline.mask),
        "prompts": None if outline.prompts is None else prompts_to_json(outline.prompts),
        "candidate": outline.candidate,
        "score": outline.score,
        "origin": outline.origin,
        "model": outline.model,
        "model_hash": outline.model_hash,
    }


def outline_from_json(data: Any) -> Outline:
    """Return the outline of such a dictionary; raises as `object_from_json` does."""
    prompts = _mapping(data, "an outline").get("prompts")
    return Outline(
        mask_from_json(_entry(data, "mask")),
        None if prompts is None else prompts_from_json(prompts),
        _whole(data.get("candidate", 0), "a candidate"),
        _real(data.get("score", 1.0), "a score"),
        _choice(data, "origin", get_args(Origin)),
        _text(data, "model"),
        _text(data, "model_hash"),
    )


def mask_to_json(mask: Mask) -> Json:
    """Return a mask as its box, the plane's size, and the pixels of the box, packed."""
    bits = zlib.compress(mask.packed.tobytes(), LEVEL)
    return {"box": list(mask.box), "size": list(mask.size), "bits": _encoded(bits)}


def mask_from_json(data: Any) -> Mask:
    """Return the mask of such a dictionary; raises as `object_from_json` does."""
    box = [_whole(n, "a side of a box", -1) for n in _sequence(data, "box", 4)]
    size = [_whole(n, "a side of a plane", 0) for n in _sequence(data, "size", 2)]
    pixels = max(box[2] - box[0] + 1, 0) * max(box[3] - box[1] + 1, 0)
    packed = _inflated(_entry(data, "bits"), -(-_at_most(pixels) // 8))
    return Mask(
        (box[0], box[1], box[2], box[3]), np.frombuffer(packed, np.uint8), (size[0], size[1])
    )


def prompts_to_json(prompts: Prompts) -> Json:
    """Return what was said of an object as a dictionary of JSON values.

    These are points, (x, y, label), and the box; only where they were drawn, also the vertices of
    the region, (x, y), and the scribbles, each with its path and its label.
    """
    points = zip(prompts.point_coords.tolist(), prompts.point_labels.tolist(), strict=True)
    box = None if prompts.box is None else prompts.box.tolist()
    data: Json = {"points": [[x, y, label] for (x, y), label in points], "box": box}
    if prompts.region is not None:
        data["region"] = prompts.region.tolist()
    if prompts.strokes:
        data["strokes"] = [
            {"path": one.path.tolist(), "label": one.label} for one in prompts.strokes
        ]
    return data


def prompts_from_json(data: Any) -> Prompts:
    """Return the prompts of such a dictionary; raises as `object_from_json` does."""
    points = _sequence(data, "points")
    if not all(isinstance(one, list | tuple) and len(one) == 3 for one in points):
        raise ValueError("a point is x, y and a label")
    strokes = _sequence(data, "strokes") if "strokes" in data else ()
    return Prompts(
        [one[:2] for one in points],
        [one[2] for one in points],
        box=data.get("box"),
        region=data.get("region"),
        strokes=[
            Stroke(_entry(one, "path"), _whole(_entry(one, "label"), "a label")) for one in strokes
        ],
    )


def key_to_json(key: SliceKey) -> Json:
    """Return the key of a plane as a dictionary of JSON values."""
    window = None if key.window is None else list(key.window)
    return {
        "displayed": list(key.displayed),
        "fixed": [list(pair) for pair in key.fixed],
        "window": window,
        "level": key.level,
    }


def key_from_json(data: Any) -> SliceKey:
    """Return the key of such a dictionary; raises as `object_from_json` does."""
    rows, columns = (_whole(axis, "an axis") for axis in _sequence(data, "displayed", 2))
    fixed = [
        (_whole(pair[0], "an axis"), _whole(pair[1], "a position"))
        for pair in _sequence(data, "fixed")
        if _sequence({"pair": pair}, "pair", 2)
    ]
    if sorted((rows, columns, *(axis for axis, _ in fixed))) != list(range(2 + len(fixed))):
        raise ValueError(f"a plane names each axis once, but has {shown(data)}")
    window, level = data.get("window"), data.get("level")
    if window is not None:
        x0, y0, x1, y1 = (_whole(n, "a window") for n in _sequence(data, "window", 4))
        window = x0, y0, x1, y1
    level = None if level is None else _whole(level, "a level")
    return SliceKey((rows, columns), tuple(fixed), window, level)


def edit_to_json(edit: Edit) -> Json:
    """Return an edit as a dictionary of JSON values."""
    return {
        "text": edit.text,
        "patches": [
            {
                "index": [_slice_to_json(one) for one in patch.index],
                "before": _pixels_to_json(patch.before),
                "after": _pixels_to_json(patch.after),
            }
            for patch in edit.patches
        ],
        "objects": [
            [label, *(None if one is None else object_to_json(one) for one in change)]
            for label, change in edit.objects.items()
        ],
        "properties": {name: list(change) for name, change in edit.properties.items()},
        "removed": [row_to_json(row) for row in edit.removed],
        "added": [row_to_json(row) for row in edit.added],
    }


def edit_from_json(data: Any) -> Edit:
    """Return the edit of such a dictionary; raises as `object_from_json` does."""
    objects = {}
    for change in _sequence(data, "objects"):
        label, *sides = _sequence({"change": change}, "change", 3)
        before, after = (None if one is None else object_from_json(one) for one in sides)
        objects[_whole(label, "a label", 1)] = before, after
    properties = {
        name: tuple(_sequence({"change": change}, "change", 2))
        for name, change in _mapping(data.get("properties", {}), "properties").items()
    }
    return Edit(
        _text(data, "text"),
        tuple(_patch_from_json(one) for one in _sequence(data, "patches")),
        objects,
        {name: (before, after) for name, (before, after) in properties.items()},
        tuple(row_from_json(one) for one in _sequence(data, "removed")),
        tuple(row_from_json(one) for one in _sequence(data, "added")),
    )


def _pixels_to_json(pixels: PackedPixels) -> Json:
    return {
        "packed": _encoded(pixels.packed),
        "shape": list(pixels.shape),
        "dtype": pixels.dtype,
        "bounds": list(pixels.bounds),
    }


def _patch_from_json(data: Any) -> Patch:
    entries: list[int | slice] = []
    for one in _sequence(data, "index"):
        if isinstance(one, list):
            start, stop = (_whole(n, "a position") for n in _sequence({"s": one}, "s", 2))
            entries.append(slice(start, stop))
        else:
            entries.append(_whole(one, "a position"))
    before, after = (_pixels_from_json(_entry(data, side)) for side in ("before", "after"))
    extent = tuple(one.stop - one.start for one in entries if isinstance(one, slice))
    if not (extent == before.shape == after.shape and before.dtype == after.dtype):
        raise ValueError("the pixels of a patch do not fill its box")
    found: Index = tuple(entries)
    return Patch(found, before, after)


def _pixels_from_json(data: Any) -> PackedPixels:
    shape = tuple(_whole(n, "a side of a patch") for n in _sequence(data, "shape"))
    low, high = (_whole(n, "a label", -(2**63)) for n in _sequence(data, "bounds", 2))
    kind = _text(data, "dtype")
    try:
        dtype = np.dtype(kind)
    except TypeError:
        raise ValueError(f"{shown(kind)} is no type of labels") from None
    if dtype.kind not in "biu":
        raise ValueError(f"labels are integers, but these are {dtype}")
    pixels = PackedPixels(_decoded(_entry(data, "packed")), shape, dtype.str, (low, high))
    pixels.check(_at_most(math.prod(shape)))
    return pixels


def row_to_json(row: DrawnRow) -> Json:
    """Return a prompt as drawn as a dictionary of JSON values."""
    return {
        "layer": row.layer,
        "mark": row.mark,
        "vertices": [list(place) for place in row.vertices],
        "owner": row.owner,
    }


def row_from_json(data: Any) -> DrawnRow:
    """Return the prompt of such a dictionary; raises as `object_from_json` does."""
    vertices = tuple(
        tuple(_real(n, "a coordinate") for n in _sequence({"place": place}, "place"))
        for place in _sequence(data, "vertices")
    )
    if not vertices or len({len(place) for place in vertices}) > 1:
        raise ValueError("the vertices of a prompt have one number for each axis")
    layer = _choice(data, "layer", get_args(LayerType))
    owner = _whole(data.get("owner", 0), "an owner", -(2**62))
    return DrawnRow(layer, _text(data, "mark"), vertices, owner)


def _slice_to_json(one: int | slice) -> int | list[int]:
    return [int(one.start), int(one.stop)] if isinstance(one, slice) else int(one)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("packed pixels are a text in base 64") from None


def _inflated(text: Any, size: int) -> bytes:
    """Return bytes that are compressed, exactly so many."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(_decoded(text), size + 1)
    except zlib.error:
        raise ValueError("packed pixels are damaged") from None
    if len(data) != size:
        raise ValueError(f"there are {size} bytes of packed pixels, but more or less were given")
    return data


def _at_most(pixels: int) -> int:
    if pixels > LARGEST_PIECE:
        raise ValueError(f"{pixels} pixels are more than a plane has")
    return pixels


def _mapping(data: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{name} must be a dictionary, but is {shown(data)}")
    return data


def _entry(data: Any, name: str) -> Any:
    entries = _mapping(data, f"what holds {name}")
    if name not in entries:
        raise ValueError(f"there is no {name}")
    return entries[name]


def _sequence(data: Any, name: str, length: int | None = None) -> Sequence[Any]:
    values = _entry(data, name)
    if not isinstance(values, list | tuple) or length not in (None, len(values)):
        raise ValueError(f"{name} is a list, but is {shown(values)}")
    return values


def _whole(value: Any, name: str, least: int = 0) -> int:
    try:
        number = index(value)
    except TypeError:
        raise ValueError(f"{name} is a whole number, but is {shown(value)}") from None
    if not least <= number < 2**63:
        raise ValueError(f"{name} is at least {least}, but is {shown(value)}")
    return number


def _real(value: Any, name: str) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is a number, but is {shown(value)}")
    return float(value)


def _text(data: Any, name: str) -> str:
    value = _mapping(data, "an object").get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"{name} is a text, but is {shown(value)}")
    return value


def _choice(data: Any, name: str, choices: tuple[T, ...]) -> T:
    value = _mapping(data, "an object").get(name, choices[0])
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}, but is {shown(value)}")
    return choices[choices.index(value)]
