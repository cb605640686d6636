"""Class, status and attributes of objects: edits that change no pixel; deletion of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..types import SliceKey
from .edit import Change, Edit
from .edits import delete
from .segmented import Outline, SegmentedObject, Status
from .store import ObjectStore

Planes = Mapping[SliceKey, Outline]


def set_category(
    store: ObjectStore,
    labels: Iterable[int],
    name: str,
    found: Mapping[int, Planes] | None = None,
) -> Edit:
    """Make an edit that gives objects a class; empty: none.

    Parameters
    ----------
    store : ObjectStore
    labels : iterable of int
    name : str
    found : mapping of int to mapping of SliceKey to Outline, optional
        The outlines of labels that the store has no object of: each of them becomes one.

    Raises
    ------
    ValueError
        If a label has no object and no outlines.
    """
    text = f"class {name}" if name else "no class"
    return _edit(store, labels, found, text, lambda one: replace(one, category=name))


def set_categories(store: ObjectStore, names: Mapping[int, str]) -> Edit:
    """Make one edit that gives objects classes, by label.

    Raises
    ------
    ValueError
        If a label has no object.
    """
    edit = _edit(store, names, None, "class", lambda one: replace(one, category=names[one.label]))
    shared = set(names.values())
    text = f"class {shared.pop()}" if len(shared) == 1 else "classes"
    return replace(edit, text=f"{text}{edit.text.removeprefix('class')}")


def set_status(
    store: ObjectStore,
    labels: Iterable[int],
    status: Status,
    found: Mapping[int, Planes] | None = None,
) -> Edit:
    """Make an edit that gives objects a status; see `set_category`."""
    text = f"status {status or 'in progress'}"
    return _edit(store, labels, found, text, lambda one: replace(one, status=status))


def set_attributes(
    store: ObjectStore,
    labels: Iterable[int],
    attributes: Mapping[str, Any],
    found: Mapping[int, Planes] | None = None,
) -> Edit:
    """Make an edit that adds attributes to those of objects; None removes one."""

    def changed(one: SegmentedObject) -> SegmentedObject:
        merged = {**one.attributes, **attributes}
        kept = {name: value for name, value in merged.items() if value is not None}
        return replace(one, attributes=kept)

    return _edit(store, labels, found, f"attributes {', '.join(attributes)}", changed)


def add_planes(store: ObjectStore, found: Mapping[int, Planes]) -> Edit:
    """Make an edit that gives objects outlines in planes where they have none yet.

    Labels that are not, or no longer, objects of the store are left out.
    """
    objects: dict[int, Change] = {}
    for label, planes in found.items():
        one = store.objects.get(label)
        if one is not None and any(key not in one.outlines for key in planes):
            objects[label] = one, replace(one, outlines={**planes, **one.outlines})
    return Edit(f"planes of {_count(len(objects))}", objects=objects)


def delete_objects(store: ObjectStore, labels: Sequence[int]) -> Edit:
    """Make one edit that deletes several objects.

    Raises
    ------
    ValueError
        If there is none of them, or one is finished; see `edits.delete`.
    """
    parts = [delete(store, label) for label in labels]
    return Edit(
        f"the deletion of {_count(len(parts))}" if len(parts) != 1 else parts[0].text,
        tuple(patch for one in parts for patch in one.patches),
        {label: change for one in parts for label, change in one.objects.items()},
    )


def locked_labels(store: ObjectStore) -> frozenset[int]:
    """Return the labels of all objects whose pixels are to stay as they are."""
    return frozenset(label for label, one in store.objects.items() if one.locked)


def _edit(
    store: ObjectStore,
    labels: Iterable[int],
    found: Mapping[int, Planes] | None,
    text: str,
    change: Callable[[SegmentedObject], SegmentedObject],
) -> Edit:
    objects: dict[int, Change] = {}
    for label in labels:
        before = store.objects.get(label)
        if before is None and not (found and found.get(label)):
            raise ValueError(f"there is no object {label} in this plane")
        one = SegmentedObject(label, dict(found[label])) if before is None and found else before
        if one is not None:
            objects[label] = before, change(one)
    whose = f"object {next(iter(objects))}" if len(objects) == 1 else _count(len(objects))
    return Edit(f"{text} of {whose}", objects=objects)


def _count(n: int) -> str:
    return "1 object" if n == 1 else f"{n} objects"
