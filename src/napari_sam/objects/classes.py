"""Classes that objects may be of: their names, colours and keys, and labels by class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .edit import Change, Edit
from .segmented import SegmentedObject
from .store import ObjectStore

CLASSES = "classes"
"""Name of the classes in `ObjectStore.properties`."""
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#ee8866", "#bbbbbb")
"""Of new classes, in turn; told apart by colour-blind people, too (Tol, "bright")."""
LARGEST_TABLE = 2**24
"""Entries of a table from labels to classes; larger labels are searched."""


@dataclass(frozen=True)
class ObjectClass:
    """A class that objects may be of.

    Attributes
    ----------
    name : str
    colour : str
        "#rrggbb".
    key : str
        Of the keyboard, as napari names it; empty for none.
    """

    name: str
    colour: str = COLOURS[0]
    key: str = ""


def classes_of(properties: Mapping[str, Any]) -> tuple[ObjectClass, ...]:
    """Return the classes that are defined, in their order.

    Raises
    ------
    ValueError
        If they are not what `Edit.properties` says.
    """
    try:
        return tuple(
            ObjectClass(str(one["name"]), str(one["colour"]), str(one.get("key", "")))
            for one in properties.get(CLASSES) or ()
        )
    except (AttributeError, KeyError, TypeError):
        raise ValueError("a class has a name, a colour and a key") from None


def define_classes(store: ObjectStore, classes: Sequence[ObjectClass], text: str = "") -> Edit:
    """Make an edit that defines these classes instead of those there are.

    Raises
    ------
    ValueError
        If a class has no name, or two have the same name or key.
    """
    names = [one.name for one in classes]
    keys = [one.key for one in classes if one.key]
    if not all(name.strip() for name in names):
        raise ValueError("a class needs a name")
    for values, what in ((names, "name"), (keys, "key")):
        double = next((one for one in values if values.count(one) > 1), None)
        if double is not None:
            raise ValueError(f"two classes have the {what} {double}; choose another one")
    return Edit(
        text or "the list of classes",
        properties=changed_property(store, CLASSES, [asdict(one) for one in classes]),
    )


def add_class(store: ObjectStore, name: str) -> Edit:
    """Make an edit that adds a class, with a colour and a key that are free."""
    if any(one.name == name for one in classes_of(store.properties)):
        raise ValueError(f"there is a class {name} already")
    return add_classes(store, [name], f"the class {name}")


def add_classes(store: ObjectStore, names: Iterable[str], text: str = "") -> Edit:
    """Make an edit that adds classes as `add_class` does; those that are there stay."""
    classes = list(classes_of(store.properties))
    for name in names:
        if all(one.name != name for one in classes):
            used, taken = {one.colour for one in classes}, {one.key for one in classes}
            free = (one for one in COLOURS if one not in used)
            colour = next(free, COLOURS[len(classes) % len(COLOURS)])
            key = next((f"Control-{n}" for n in range(1, 10) if f"Control-{n}" not in taken), "")
            classes.append(ObjectClass(name, colour, key))
    return define_classes(store, classes, text)


def rename_class(store: ObjectStore, old: str, new: str) -> Edit:
    """Make an edit that gives a class another name; one that exists gets all its objects.

    Raises
    ------
    ValueError
        If there is no class of the old name.
    """
    classes = classes_of(store.properties)
    if all(one.name != old for one in classes):
        raise ValueError(f"there is no class {old}")
    if any(one.name == new for one in classes):
        left = [one for one in classes if one.name != old or old == new]
    else:
        left = [replace(one, name=new) if one.name == old else one for one in classes]
    edit = define_classes(store, left, f"{old} renamed to {new}")
    return replace(edit, objects=_moved(store, old, new))


def remove_class(store: ObjectStore, name: str) -> Edit:
    """Make an edit that removes a class; its objects stay and are of no class."""
    left = [one for one in classes_of(store.properties) if one.name != name]
    edit = define_classes(store, left, f"the removal of the class {name}")
    return replace(edit, objects=_moved(store, name, ""))


def class_image(
    labels: NDArray[np.integer[Any]],
    objects: Mapping[int, SegmentedObject],
    classes: Sequence[ObjectClass],
) -> NDArray[np.integer[Any]]:
    """Return the class of each pixel: semantic labels beside those of instances.

    Parameters
    ----------
    labels : (...) int
    objects : mapping of int to SegmentedObject
    classes : sequence of ObjectClass

    Returns
    -------
    (...) uint8, or uint16 from 256 classes on
        1 for the first class; 0 is background, and what is of no class.
    """
    values = {one.name: k for k, one in enumerate(classes, 1)}
    dtype = np.uint8 if len(classes) < 256 else np.uint16
    known = sorted(label for label, one in objects.items() if one.category in values)
    result = np.array([values[objects[label].category] for label in known], dtype)
    if not known or not labels.size:
        return np.zeros(labels.shape, dtype)
    low, high = int(labels.min()), int(labels.max())
    if low >= 0 and high < LARGEST_TABLE:
        table = np.zeros(max(high, known[-1] if known[-1] < LARGEST_TABLE else 0) + 1, dtype)
        inside = [k for k, label in enumerate(known) if label < len(table)]
        table[np.array(known)[inside]] = result[inside]
        image: NDArray[np.integer[Any]] = table[labels]
        return image
    places = np.searchsorted(known, labels).clip(max=len(known) - 1)
    return np.where(np.array(known)[places] == labels, result[places], 0).astype(dtype)


def changed_property(store: ObjectStore, name: str, value: list[Any]) -> dict[str, tuple[Any, Any]]:
    """Return what an edit says of a property that becomes another list; an empty one is none."""
    before, after = store.properties.get(name), value or None
    return {} if before == after else {name: (before, after)}


def _moved(store: ObjectStore, old: str, new: str) -> dict[int, Change]:
    if old == new:
        return {}
    return {
        label: (one, replace(one, category=new))
        for label, one in store.objects.items()
        if one.category == old
    }
