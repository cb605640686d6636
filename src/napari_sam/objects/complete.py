"""Planes and regions marked complete: everything in them that is an object is labelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..types import SliceKey
from .classes import changed_property
from .documents import key_from_json, key_to_json
from .edit import Edit
from .store import ObjectStore

Region = tuple[int, int, int, int]
"""A box (x0, y0, x1, y1) of a plane, inclusive pixel centres."""
COMPLETE = "complete"
"""Name of the regions in `ObjectStore.properties`."""


def mark_complete(store: ObjectStore, key: SliceKey, box: Region | None = None) -> Edit:
    """Make an edit that says that all objects of a plane, or of a box in it, are labelled."""
    kept = [one for one in regions_of(store.properties) if one != (key, box)]
    if box is None:  # boxes of the plane say no more than that
        kept = [one for one in kept if one[0] != key]
    where = "a plane" if box is None else "a region"
    return _with_regions(store, [*kept, (key, box)], f"{where} marked complete")


def mark_incomplete(store: ObjectStore, key: SliceKey) -> Edit:
    """Make an edit that takes back all marks of a plane, those of its boxes, too."""
    kept = [one for one in regions_of(store.properties) if one[0] != key]
    return _with_regions(store, kept, "a plane no longer complete")


def is_complete(store: ObjectStore, key: SliceKey, box: Region | None = None) -> bool:
    """Tell whether a plane is marked complete, or a box as part of a marked region."""
    return any(
        one == key and (region is None or (box is not None and _holds(region, box)))
        for one, region in regions_of(store.properties)
    )


def complete_planes(store: ObjectStore) -> tuple[SliceKey, ...]:
    """Return the planes that are marked complete as a whole."""
    return tuple(key for key, region in regions_of(store.properties) if region is None)


def complete_boxes(store: ObjectStore, key: SliceKey) -> tuple[Region, ...]:
    """Return the boxes of a plane that are marked complete."""
    return tuple(box for one, box in regions_of(store.properties) if one == key and box is not None)


def regions_of(properties: Mapping[str, Any]) -> list[tuple[SliceKey, Region | None]]:
    """Return all that is marked complete: planes, and boxes of them; None is a whole plane."""
    found: list[tuple[SliceKey, Region | None]] = []
    for one in properties.get(COMPLETE) or ():
        box = None
        if one["box"] is not None:
            x0, y0, x1, y1 = (int(n) for n in one["box"])
            box = x0, y0, x1, y1
        found.append((key_from_json(one["plane"]), box))
    return found


def _with_regions(
    store: ObjectStore, regions: Iterable[tuple[SliceKey, Region | None]], text: str
) -> Edit:
    value = [
        {"plane": key_to_json(key), "box": None if box is None else list(box)}
        for key, box in regions
    ]
    return Edit(text, properties=changed_property(store, COMPLETE, value))


def _holds(region: Region, box: Region) -> bool:
    x0, y0, x1, y1 = region
    return x0 <= box[0] and y0 <= box[1] and box[2] <= x1 and box[3] <= y1
