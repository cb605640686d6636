"""Functions that make edits; none of them writes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..steps import drive
from ..types import Mask, Progress, SliceKey
from .boxes import Index
from .canvas import Canvas
from .draft import Draft
from .edit import Change, Edit
from .overlap import OverlapRule, free_pixels, sparing
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
    *,
    category: str = "",
    annotator: str = "",
    time: float = 0.0,
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
        come first have theirs already when the next one is looked at. Finished objects lose none.
    category, annotator : str
        Of the objects; empty for none.
    time : float
        Seconds since 1970; 0 if unknown.

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
    return commit(store, outlines, {}, rule, category=category, annotator=annotator, time=time)


def commit(
    store: ObjectStore,
    new: Sequence[Mapping[SliceKey, Outline]],
    changed: Mapping[int, Mapping[SliceKey, Outline | None]],
    rule: OverlapRule = free_pixels,
    *,
    found: Mapping[int, SegmentedObject] = MappingProxyType({}),
    category: str = "",
    annotator: str = "",
    time: float = 0.0,
) -> Edit:
    """Make new objects and change kept ones, in one edit; see `commit_in_pieces`."""
    steps = commit_in_pieces(
        store, new, changed, rule, found=found, category=category, annotator=annotator, time=time
    )
    return drive(steps)


def commit_in_pieces(
    store: ObjectStore,
    new: Sequence[Mapping[SliceKey, Outline]],
    changed: Mapping[int, Mapping[SliceKey, Outline | None]],
    rule: OverlapRule = free_pixels,
    *,
    found: Mapping[int, SegmentedObject] = MappingProxyType({}),
    category: str = "",
    annotator: str = "",
    time: float = 0.0,
    keep_covered: bool = False,
) -> Generator[Progress, None, Edit]:
    """Make new objects and change kept ones, in one edit, a plane at a time.

    Parameters
    ----------
    store : ObjectStore
    new : sequence of mapping of SliceKey to Outline
        See `keep`.
    changed : mapping of int to mapping of SliceKey to (Outline or None)
        By label, the outlines of kept objects that change, in displayed orientation; None takes an
        object out of a plane. Its other planes stay.
    rule : OverlapRule
        Which pixels of others they get; finished objects lose none.
    found : mapping of int to SegmentedObject
        Objects as their labels are now, by label: those that the store does not know, and those
        that somebody painted.
    category : str
        Of new objects; empty for none.
    annotator : str
        Empty leaves the one that a changed object has.
    time : float
        Seconds since 1970; 0 leaves the one that a changed object has.
    keep_covered : bool
        Whether a changed object stays as it is in planes where it gets no pixel of its new outline.

    Yields
    ------
    Progress
        Before each plane.

    Returns
    -------
    Edit
        Pixels of a changed object inside an old outline go where they are not in the new one. What
        was painted beyond the old outline stays. Planes in which an object gets no pixel are left
        out.

    Raises
    ------
    ValueError
        As `keep` does, or if a changed object is not there, is finished, or nothing of it would be
        left.
    """
    draft, rule = Draft(store.canvas), _sparing_finished(store, rule)
    objects: dict[int, Change] = {}
    for label, outlines in changed.items():
        known = found.get(label) or store.objects.get(label)
        kept = yield from _revised(draft, label, known, outlines, rule, keep_covered)
        kept = replace(kept, annotator=annotator or kept.annotator, time=time or kept.time)
        objects[label] = store.objects.get(label), kept
    label = store.next_label
    for one in new:
        gets = {}
        for place, (key, outline) in enumerate(one.items()):
            yield Progress(place, len(one), f"object {label}")
            if outline.mask and _paint(draft, key, outline.mask, label, rule):
                gets[key] = outline
        if gets:
            objects[label] = None, SegmentedObject(label, gets, category, "", annotator, time)
            label += 1
    if not objects:
        empty = not any(outline.mask for one in new for outline in one.values())
        why = "the answer is empty" if empty else "other objects cover all of it"
        raise ValueError(f"nothing to commit here: {why}")
    text = _names(list(objects))
    return Edit(f"the change of {text}" if not new else text, draft.patches, objects)


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
        If there is no such object, or it is finished.
    """
    known = store.objects.get(label)
    if known is not None and known.locked:
        raise ValueError(f"object {label} is finished; unlock it before you delete it")
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
    _check_size(canvas, key, mask)
    index = _box(key, mask)
    before = draft.read(index)
    own = rule(_turned(mask.bits, key), before)
    if not own.any():
        return False
    canvas.check_labels(label, label)
    return draft.set(index, before, np.where(own, label, before).astype(before.dtype))


def _revised(
    draft: Draft,
    label: int,
    known: SegmentedObject | None,
    outlines: Mapping[SliceKey, Outline | None],
    rule: OverlapRule,
    keep_covered: bool,
) -> Generator[Progress, None, SegmentedObject]:
    """Repaint an object, and return it with its new outlines."""
    if known is None:
        raise ValueError(f"there is no object {label}; it may have been deleted")
    if known.locked:
        raise ValueError(f"object {label} is finished; unlock it before you change it")
    kept = dict(known.outlines)
    for place, (key, outline) in enumerate(outlines.items()):
        yield Progress(place, len(outlines), f"object {label}")
        before = kept.pop(key, None)
        old = None if before is None else before.mask
        new = None if outline is None else outline.mask
        stays = keep_covered and new is not None
        if _repaint(draft, key, old, new, label, rule, stays) and outline is not None:
            kept[key] = outline
        elif stays and before is not None:
            kept[key] = before
    if not kept:
        raise ValueError(f"nothing of object {label} would be left; delete it instead")
    return replace(known, outlines=kept)


def _repaint(
    draft: Draft,
    key: SliceKey,
    old: Mask | None,
    new: Mask | None,
    label: int,
    rule: OverlapRule,
    keep_covered: bool = False,
) -> bool:
    """Move a label from an old mask to a new one; tells whether it has a pixel in the new one."""
    masks = [mask for mask in (old, new) if mask is not None and mask]
    if not masks:
        return False
    for mask in masks:
        _check_size(draft.canvas, key, mask)
    corners = np.array([mask.box for mask in masks])
    (x0, y0), (x1, y1) = corners[:, :2].min(0).tolist(), corners[:, 2:].max(0).tolist()
    index = replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index
    before = draft.read(index)
    was, wanted = (_turned(_within(mask, (x0, y0, x1, y1)), key) for mask in (old, new))
    mine = before == label
    # its own pixels are as good as free
    own = rule(wanted, np.where(mine, 0, before).astype(before.dtype))
    if keep_covered and not own.any():
        return False
    after = np.where(mine & was & ~wanted, 0, before)
    if own.any():
        draft.canvas.check_labels(label, label)
        after = np.where(own, label, after)
    draft.set(index, before, after.astype(before.dtype))
    return bool(own.any())


def _within(mask: Mask | None, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Return the pixels of a mask in a box (x0, y0, x1, y1), inclusive, that holds all of it."""
    x0, y0, x1, y1 = box
    pixels = np.zeros((y1 - y0 + 1, x1 - x0 + 1), bool)
    if mask:
        left, top, right, bottom = mask.box
        pixels[top - y0 : bottom - y0 + 1, left - x0 : right - x0 + 1] = mask.bits
    return pixels


def _check_size(canvas: Canvas, key: SliceKey, mask: Mask) -> None:
    size = tuple(canvas.shape[axis] for axis in key.displayed)
    if mask.size != size:
        raise ValueError(f"{canvas.name} has planes of {size}, but an outline is of {mask.size}")


def _sparing_finished(store: ObjectStore, rule: OverlapRule) -> OverlapRule:
    return sparing(rule, [label for label, one in store.objects.items() if one.locked])


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
