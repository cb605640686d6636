"""Which objects others are to be like: those selected, the one under the pointer, or all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ....objects.search import outlines_in
from ....objects.segmented import SegmentedObject, largest_outline, upright
from ....types import Plane
from ...context import Context
from ...labels_view import LabelsView
from .search import Given

MOST_GIVEN = 50
"""So many objects are looked at at most."""
NONE_GIVEN = (
    "keep an object or two by clicks first, then press F; others like them are proposed then"
)


def objects_given(context: Context, view: LabelsView, plane: Plane) -> list[Given]:
    """Return the objects that others are to be like.

    Those selected in the list; else the one under the pointer; else those of the next class in the
    plane, or all kept objects of the plane, at most `MOST_GIVEN`.

    Raises
    ------
    ValueError
        If there is none; it says what to do.
    """
    store = view.store
    labels = [label for label in context.selected() if label in store.objects]
    if not labels:
        meant, label = context.object_meant(view)
        labels = [label] if meant is view and label else []
    if not labels:
        here = upright(plane.key)
        own = [k for k, one in store.objects.items() if here in one.outlines]
        of_class = [k for k in own if store.objects[k].category == context.category]
        labels = of_class or own
    found = _outlined(view, plane, labels[-MOST_GIVEN:])
    if not found:
        raise ValueError(NONE_GIVEN)
    return found


def class_of(view: LabelsView, given: Sequence[Given], otherwise: str) -> str:
    """Return the class that all given objects share; else another one."""
    objects = view.store.objects
    classes = {objects[one.label].category if one.label in objects else "" for one in given}
    shared = classes.pop() if len(classes) == 1 else ""
    return shared or otherwise


def _outlined(view: LabelsView, plane: Plane, labels: Sequence[int]) -> list[Given]:
    """Return objects with one of their outlines: in the plane shown, else where it is largest."""
    found, unknown = [], []
    for label in labels:
        one = view.store.objects.get(label)
        given = None if one is None else _given(one, plane)
        if given is None:
            unknown.append(label)
        else:
            found.append(given)
    for label, outline in outlines_in(view.layer.data, plane.key, unknown).items():
        found.append(Given(label, plane, outline.mask))
    return found


def _given(one: SegmentedObject, plane: Plane) -> Given | None:
    here = one.outlines.get(upright(plane.key))
    outlines = {upright(plane.key): here} if here is not None and here.mask else one.outlines
    found = largest_outline(outlines, plane.key)
    if found is None:
        return None
    return Given(one.label, replace(plane, key=found[0]), found[1].mask)
