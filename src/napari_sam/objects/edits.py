"""Functions that make edits; none of them writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..types import Mask, SliceKey
from .boxes import Index
from .canvas import Canvas
from .draft import Draft
from .edit import Change, Edit
from .overlap import OverlapRule, free_pixels
from .patch import patches_between
from .segmented import Outline, SegmentedObject
from .store import ObjectStore
from .strokes import stroke_pixels

LISTED = 5
"""So many objects are named one by one in a text."""


def keep(
    store: ObjectStore,
    outlines: Sequence[Mapping[SliceKey, Outline]],
    rule: OverlapRule = free_pixels,
) -> Edit:
    """Make objects of outlines, each under the next label.

    Parameters
    ----------
    store : ObjectStore
    outlines : sequence of mapping of SliceKey to Outline
        One mapping for each object, with its outline in each of its planes, in displayed
        orientation. Only the boxes of the masks are read.
    rule : OverlapRule
        Which pixels an object gets; by default those of other objects stay theirs. Objects that
        come first have theirs already when the next one is looked at.

    Returns
    -------
    Edit
        Planes in which an object gets no pixel are left out, and so are objects without planes.

    Raises
    ------
    ValueError
        If nothing would be written, an outline is of another size than the planes, or the canvas
        cannot hold the labels.
    """
    draft = Draft(store.canvas)
    objects: dict[int, Change] = {}
    label = store.next_label
    for one in outlines:
        kept = {
            key: outline
            for key, outline in one.items()
            if outline.mask and _paint(draft, key, outline.mask, label, rule)
        }
        if kept:
            objects[label] = None, SegmentedObject(label, kept)
            label += 1
    if not objects:
        empty = not any(outline.mask for one in outlines for outline in one.values())
        why = "the answer is empty" if empty else "other objects cover all of it"
        raise ValueError(f"nothing to commit here: {why}")
    return Edit(_names(list(objects)), draft.patches, objects)


def delete(store: ObjectStore, label: int, key: SliceKey | None = None) -> Edit:
    """Remove an object.

    Parameters
    ----------
    store : ObjectStore
    label : int
    key : SliceKey, optional
        A plane of which all pixels with the label are removed: those of an unknown object, or
        what was painted beyond the outlines of a known one.

    Returns
    -------
    Edit
        A known object goes from all its planes, wherever pixels of its boxes have its label.

    Raises
    ------
    ValueError
        If there is no such object.
    """
    known = store.objects.get(label)
    draft = Draft(store.canvas)
    if known is not None:
        for plane, outline in known.outlines.items():
            _erase(draft, _box(plane, outline.mask), label)
    if key is not None:
        _erase(draft, key.index, label)
    if known is None and not draft.patches:
        where = "" if key is None else " in this plane"
        raise ValueError(f"there is no object {label}{where}")
    objects: dict[int, Change] = {} if known is None else {label: (known, None)}
    return Edit(f"the deletion of object {label}", draft.patches, objects)


def replace_plane(
    store: ObjectStore, key: SliceKey, labels: NDArray[np.integer[Any]], text: str
) -> Edit:
    """Give one plane other labels.

    Parameters
    ----------
    store : ObjectStore
        Its objects are left as they are.
    key : SliceKey
    labels : (H, W) int, in displayed orientation
        Of the plane, or of the key's window.
    text : str

    Returns
    -------
    Edit
        Without patches where nothing differs.

    Raises
    ------
    ValueError
        If the labels have another size than the plane, or the canvas cannot hold them.
    """
    before = store.canvas.read(key.index)
    after = _turned(labels, key)
    if after.shape != before.shape:
        size = _turned(before, key).shape
        raise ValueError(f"the plane has the size {size}, but its new labels {labels.shape}")
    store.canvas.check_labels(int(after.min(initial=0)), int(after.max(initial=0)))
    after = after.astype(before.dtype, copy=False)
    return Edit(text, tuple(patches_between(key.index, before, after)))


def stroke(canvas: Canvas, atoms: Iterable[Any]) -> Edit:
    """Make an edit of what somebody paints, for `ObjectStore.record`.

    Parameters
    ----------
    canvas : Canvas
        The pixels may be painted already, or not yet.
    atoms : iterable
        The value of a napari `paint` event; see `strokes`.
    """
    pieces = stroke_pixels(canvas, atoms)
    patches = (patch for piece in pieces for patch in patches_between(*piece))
    return Edit("the last stroke", tuple(patches))


def _paint(draft: Draft, key: SliceKey, mask: Mask, label: int, rule: OverlapRule) -> bool:
    """Give a mask's pixels to a label as far as the rule allows; tells whether there are any."""
    canvas = draft.canvas
    size = tuple(canvas.shape[axis] for axis in key.displayed)
    if mask.size != size:
        raise ValueError(f"{canvas.name} has planes of {size}, but an outline is of {mask.size}")
    index = _box(key, mask)
    before = draft.read(index)
    own = rule(_turned(mask.bits, key), before)
    if not own.any():
        return False
    canvas.check_labels(label, label)
    return draft.set(index, before, np.where(own, label, before).astype(before.dtype))


def _erase(draft: Draft, index: Index, label: int) -> None:
    before = draft.read(index)
    draft.set(index, before, np.where(before == label, 0, before).astype(before.dtype))


def _box(key: SliceKey, mask: Mask) -> Index:
    """Return the index of a mask's box in the array."""
    x0, y0, x1, y1 = mask.box
    return replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index


def _turned(pixels: NDArray[Any], key: SliceKey) -> NDArray[Any]:
    """Turn pixels as displayed to the order of the array's axes, or the other way round."""
    return pixels.T if key.displayed[0] > key.displayed[1] else pixels


def _names(labels: list[int]) -> str:
    if len(labels) == 1:
        return f"object {labels[0]}"
    if len(labels) > LISTED:
        return f"objects {labels[0]} to {labels[-1]}"
    return "objects " + ", ".join(str(label) for label in labels)
