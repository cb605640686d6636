"""Kept objects are given other outlines: read as their labels are, planned, and made one edit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..types import Mask, Progress, SliceKey
from .canvas import Canvas
from .draft import Draft
from .edit import Change, Edit
from .edits import commit_in_pieces
from .islands import without_islands
from .overlap import OverlapRule
from .reshape import cut_out, join, window_about
from .segmented import Origin, Outline, SegmentedObject
from .store import ObjectStore

Outlines = Mapping[SliceKey, Outline]
Changed = Mapping[SliceKey, Outline | None]
Reshape = Callable[[Outlines], Generator[Progress, None, tuple[Changed, Outlines]]]
"""From the outlines of an object as its labels are, to those that it shall have, None where nothing
is left of it, and those of a new object that is cut off from it."""

OF_THE_ANSWER = "stability"
"""The attribute that holds for the outline as the model gave it."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Other outlines of some objects.

    Attributes
    ----------
    known : mapping of int to (SegmentedObject or None)
        As the store knew them when they were read, by label; None where it did not.
    found : mapping of int to SegmentedObject
        As their labels were.
    changed : mapping of int to mapping of SliceKey to (Outline or None)
        Only planes in which something differs; objects without such a plane are left out.
    new : sequence of mapping of SliceKey to Outline
        Of objects that are cut off from the first of them.
    """

    known: Mapping[int, SegmentedObject | None]
    found: Mapping[int, SegmentedObject]
    changed: Mapping[int, Changed]
    new: Sequence[Outlines] = ()


@dataclass(frozen=True, eq=False)
class Merge:
    """Several objects as one.

    Attributes
    ----------
    known, found
        See `Plan`; the first one of `found` keeps its label.
    outlines : mapping of SliceKey to Outline
        Of the one object.
    """

    known: Mapping[int, SegmentedObject | None]
    found: Mapping[int, SegmentedObject]
    outlines: Outlines


def planned(
    canvas: Canvas,
    known: Mapping[int, SegmentedObject | None],
    keys: Sequence[SliceKey],
    reshape: Reshape,
    origin: Origin = "painted",
    search: Sequence[SliceKey] = (),
) -> Generator[Progress, None, Plan]:
    """Plan how some objects change in some planes. Only reads, so it may run in a worker.

    Parameters
    ----------
    canvas : Canvas
    known : mapping of int to (SegmentedObject or None)
        The objects to change, by label.
    keys : sequence of SliceKey
        Upright planes. The other planes of an object stay as they are.
    reshape : callable
        See `Reshape`.
    origin : {"prompted", "propagated", "everything", "painted", "imported"}
        Where pixels come from of which no outline is known.
    search : sequence of SliceKey
        Further planes, in which objects lie perhaps that the store does not know.

    Yields
    ------
    Progress

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If an object has no pixel in these planes, or `reshape` refuses.
    """
    found = yield from _read(canvas, known, keys, origin, search)
    changed: dict[int, Changed] = {}
    new: list[Outlines] = []
    for label, one in found.items():
        before = {key: one.outlines[key] for key in keys if key in one.outlines}
        after, beside = yield from reshape(before)
        differing = {
            key: outline
            for key, outline in after.items()
            if outline is None or not _same(outline.mask, before[key].mask)
        }
        if differing:
            changed[label] = differing
        if beside:
            new.append(beside)
    return Plan(known, found, changed, new)


def each_plane(change: Callable[[Mask], Mask]) -> Reshape:
    """Return a `Reshape` that changes the mask of each plane by itself."""

    def reshape(outlines: Outlines) -> Generator[Progress, None, tuple[Changed, Outlines]]:
        after: dict[SliceKey, Outline | None] = {}
        for done, (key, outline) in enumerate(outlines.items()):
            yield Progress(done, len(outlines))
            mask = change(outline.mask)
            after[key] = replace(outline, mask=mask) if mask else None
        return after, {}

    return reshape


def removing_islands(size: float | None) -> Reshape:
    """Return a `Reshape` that removes pieces apart from larger ones; see `without_islands`."""

    def reshape(outlines: Outlines) -> Generator[Progress, None, tuple[Changed, Outlines]]:
        masks = {key: outline.mask for key, outline in outlines.items()}
        left = yield from without_islands(masks, size)
        after = {
            key: replace(outline, mask=left[key]) if left[key] else None
            for key, outline in outlines.items()
        }
        return after, {}

    return reshape


def reshape_in_pieces(
    store: ObjectStore, plan: Plan, rule: OverlapRule, text: str
) -> Generator[Progress, None, Edit]:
    """Make an edit of a plan; see `edits.commit_in_pieces`.

    Parameters
    ----------
    store : ObjectStore
    plan : Plan
    rule : OverlapRule
        Which pixels of others the objects get; finished objects lose none.
    text : str
        Of the edit.

    Raises
    ------
    ValueError
        If an object is finished, was changed since the plan was made, or nothing of it would be
        left.
    """
    _check_unchanged(store, plan.known)
    first = next(iter(plan.found.values()))
    found = {label: plan.found[label] for label in plan.changed}
    edit = yield from commit_in_pieces(
        store,
        plan.new,
        plan.changed,
        rule,
        found=found,
        category=first.category,
        annotator=first.annotator if plan.new else "",
        time=first.time if plan.new else 0.0,
    )
    return replace(edit, text=text)


def planned_merge(
    canvas: Canvas,
    known: Mapping[int, SegmentedObject | None],
    keys: Sequence[SliceKey],
    gap: int,
    origin: Origin = "painted",
) -> Generator[Progress, None, Merge]:
    """Plan how some objects become one. Only reads, so it may run in a worker.

    Parameters
    ----------
    canvas, known, keys, origin
        See `planned`.
    gap : int
        Half the width of the widest gap between them that is closed, in pixels.

    Yields
    ------
    Progress

    Returns
    -------
    Merge
    """
    found = yield from _read(canvas, known, keys, origin)
    outlines = dict(next(iter(found.values())).outlines)
    for one in list(found.values())[1:]:
        for done, (key, outline) in enumerate(one.outlines.items()):
            yield Progress(done, len(one.outlines))
            mine = outlines.get(key)
            if mine is None:
                outlines[key] = outline
            else:
                joined = _joined(mine.mask, outline.mask, gap)
                outlines[key] = replace(mine, mask=joined, prompts=None)
    return Merge(known, found, outlines)


def merge_in_pieces(store: ObjectStore, merge: Merge) -> Generator[Progress, None, Edit]:
    """Make an edit that gives several objects one label, a plane at a time.

    Yields
    ------
    Progress
        Before each plane.

    Returns
    -------
    Edit
        The first object keeps its label, and takes the class of another one if it has none.

    Raises
    ------
    ValueError
        If an object is finished, or was changed since the plan was made.
    """
    _check_unchanged(store, merge.known)
    label, *others = merge.found
    for one in merge.found:
        known = merge.known[one]
        if known is not None and known.locked:
            raise ValueError(f"object {one} is finished; unlock it before you merge it")
    draft = Draft(store.canvas)
    for done, (key, outline) in enumerate(merge.outlines.items()):
        yield Progress(done, len(merge.outlines), f"object {label}")
        x0, y0, x1, y1 = outline.mask.box
        index = replace(key, window=(x0, y0, x1 + 1, y1 + 1)).index
        before = draft.read(index)
        own = before == 0
        for one in others:
            own |= before == one
        after = np.where(own & outline.mask.bits, label, before)
        draft.set(index, before, after.astype(before.dtype))
    categories = [one.category for one in merge.found.values() if one.category]
    kept = replace(merge.found[label], outlines=merge.outlines, category=next(iter(categories), ""))
    objects: dict[int, Change] = {label: (merge.known[label], kept)}
    for one in others:
        known = merge.known[one]
        if known is not None:
            objects[one] = known, None
    text = f"the merging of objects {', '.join(str(one) for one in merge.found)}"
    return Edit(text, draft.patches, objects)


def _read(
    canvas: Canvas,
    known: Mapping[int, SegmentedObject | None],
    keys: Sequence[SliceKey],
    origin: Origin,
    search: Sequence[SliceKey] = (),
) -> Generator[Progress, None, dict[int, SegmentedObject]]:
    """Return objects as their labels are in some planes; see `planned`."""
    found: dict[int, dict[SliceKey, Outline]] = {
        label: {} if one is None else dict(one.outlines) for label, one in known.items()
    }
    there = set()
    wanted = set(keys)
    places = list(dict.fromkeys((*keys, *search)))
    for done, key in enumerate(places):
        yield Progress(done, len(places))
        plane = canvas.read(key.index)
        for label, outlines in found.items():
            if known[label] is not None and key not in wanted:
                continue
            before = outlines.pop(key, None)
            mask = Mask.of(plane == label)
            if mask:
                if key in wanted:
                    there.add(label)
                seen = Outline(mask, origin=origin) if before is None else before
                outlines[key] = replace(seen, mask=mask)
    for label in found:
        if label not in there:
            raise ValueError(
                f"object {label} is not in this plane; show one of its planes, or choose all planes"
            )
    return {label: _as_found(label, known[label], outlines) for label, outlines in found.items()}


def _as_found(label: int, known: SegmentedObject | None, outlines: Outlines) -> SegmentedObject:
    if known is None:
        return SegmentedObject(label, outlines)
    rest = {name: one for name, one in known.attributes.items() if name != OF_THE_ANSWER}
    return replace(known, outlines=outlines, attributes=rest)


def _joined(one: Mask, other: Mask, gap: int) -> Mask:
    """Return two masks of a plane as one; see `reshape.join`."""
    window = window_about([one, other], gap + 1)
    pixels = join(cut_out(one, window), cut_out(other, window), gap)
    return Mask.of(pixels, window[:2], one.size)


def _same(one: Mask, other: Mask) -> bool:
    return one.box == other.box and np.array_equal(one.packed, other.packed)


def _check_unchanged(store: ObjectStore, known: Mapping[int, SegmentedObject | None]) -> None:
    for label, one in known.items():
        if store.objects.get(label) is not one:
            raise ValueError(f"object {label} was changed meanwhile; try again")
