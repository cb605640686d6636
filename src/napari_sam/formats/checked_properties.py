"""Checks of what a file says of a whole annotation: its classes, and what is marked complete."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..checks import shown
from ..objects.classes import CLASSES, classes_of
from ..objects.complete import COMPLETE
from ..objects.documents import key_from_json, key_to_json

_COLOUR = re.compile("#[0-9a-fA-F]{6}")


def checked_properties(properties: Any, shape: Sequence[int]) -> dict[str, Any]:
    """Return the properties of an annotation, each class and region checked.

    Parameters
    ----------
    properties : mapping of str
        As a file of a stranger holds them; see `objects.edit.Edit`.
    shape : sequence of int
        Of the labels.

    Raises
    ------
    ValueError
        If they are no dictionary, a class has no name, colour and key of its own, or a region lies
        in no plane.
    """
    if not isinstance(properties, Mapping):
        raise ValueError(f"the properties are a dictionary, but are {shown(properties)}")
    checked = dict(properties)
    if CLASSES in checked:
        checked[CLASSES] = _classes(checked)
    if COMPLETE in checked:
        checked[COMPLETE] = [_region(one, shape) for one in _list(checked[COMPLETE], COMPLETE)]
    return checked


def _classes(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    _list(properties[CLASSES], CLASSES)
    found = classes_of(properties)
    names = [one.name for one in found]
    keys = [one.key for one in found if one.key]
    if not all(name.strip() for name in names) or len(set(names)) < len(names):
        raise ValueError(f"each class has a name of its own, but they are {shown(names)}")
    if len(set(keys)) < len(keys):
        raise ValueError(f"each class has a key of its own, but they are {shown(keys)}")
    wrong = next((one.colour for one in found if _COLOUR.fullmatch(one.colour) is None), None)
    if wrong is not None:
        raise ValueError(f"the colour of a class is #rrggbb, but one is {shown(wrong)}")
    return [asdict(one) for one in found]


def _region(data: Any, shape: Sequence[int]) -> dict[str, Any]:
    if not isinstance(data, Mapping) or "plane" not in data:
        raise ValueError(f"a complete region has a plane and a box, but one is {shown(data)}")
    key, box = key_from_json(data["plane"]), data.get("box")
    axes = {*key.displayed, *(axis for axis, _ in key.fixed)}
    inside = all(0 <= at < shape[axis] for axis, at in key.fixed if axis < len(shape))
    if axes != set(range(len(shape))) or not inside:
        raise ValueError("a complete region lies in no plane of the labels")
    if box is not None:
        numbers = isinstance(box, list) and len(box) == 4 and all(type(n) is int for n in box)
        if not numbers or not 0 <= box[0] <= box[2] or not 0 <= box[1] <= box[3]:
            raise ValueError(f"the box of a complete region is [x0, y0, x1, y1], not {shown(box)}")
    return {"plane": key_to_json(key), "box": box}


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} are a list, but are {shown(value)}")
    return value
