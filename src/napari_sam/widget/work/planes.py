"""The objects in work over all planes: their prompts, their answers, their labels."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...objects.drawn import Drawing, DrawnRow
from ...objects.segmented import Outline, upright
from ...types import Mask, Plane, SliceKey
from ..workbench import Workbench
from .question import RECENT_BYTES, ObjectInWork, Question, as_kept
from .reopening import Reopened

REMEMBERED = 10
"""Commits of which it is kept what was propagated, so that undo brings it back."""


@dataclass(frozen=True)
class InWork:
    """The objects in work on all planes, as a plane sees them.

    Attributes
    ----------
    elsewhere : collection of int
        Numbers of those that have prompts on other planes, or are kept objects opened again.
    outlined : collection of int
        Numbers of those that have a kept or a propagated outline on this plane.
    holds : callable of (int, (2,) float)
        Tells whether the outline of an object, on the plane nearest to this one, contains a place
        (x, y).
    covers : callable of (int, (2,) float)
        Tells whether the outline of an object on this plane contains a place (x, y).
    """

    elsewhere: Collection[int] = ()
    outlined: Collection[int] = ()
    holds: Callable[[int, NDArray[np.float64]], bool] = lambda number, xy: False
    covers: Callable[[int, NDArray[np.float64]], bool] = lambda number, xy: False


@dataclass(frozen=True, eq=False)
class Committed:
    """What was known of objects in work when they were committed, to go on when that is undone.

    Attributes
    ----------
    answers : mapping of SliceKey to Question
        Empty where they do not hold any more, or take too much memory.
    propagated : mapping of int to mapping of SliceKey to Outline
    absent : mapping of int to set of SliceKey
    """

    answers: Mapping[SliceKey, Question]
    propagated: Mapping[int, Mapping[SliceKey, Outline]]
    absent: Mapping[int, Collection[SliceKey]]

    @property
    def nbytes(self) -> int:
        """Bytes of the logits of the answers."""
        return sum(question.nbytes for question in self.answers.values())

    def commits_as(self, other: Committed) -> bool:
        """Tell whether the same masks are known of the same objects in the same planes."""
        return _masks_of(self) == _masks_of(other)


class WorkOnPlanes:
    """Knows the planes on which there are prompts, and what was answered or found there.

    Parameters
    ----------
    bench : Workbench

    Attributes
    ----------
    current : int or None
        Number of the object that the dock names; None if none is in work.
    reopened : Reopened
        The kept objects among them.
    answers : dict of SliceKey to Question
        The newest question of each plane; those without prompts any more are left aside.
    propagated : dict of int to dict of SliceKey to Outline
        By number, the outlines that were found by propagation, in upright planes. An empty one
        says that the object is not there. Where an object has prompts, these count instead.
    absent : dict of int to set of SliceKey
        By number, the upright planes in which the user said that the object is not there.
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.current: int | None = None
        self.reopened = Reopened(bench)
        self.answers: dict[SliceKey, Question] = {}
        self.propagated: dict[int, dict[SliceKey, Outline]] = {}
        self.absent: dict[int, set[SliceKey]] = {}
        self._committed: dict[int, Committed] = {}  # by number of the step

    def known(self) -> Committed:
        """Return what is known of the objects in work."""
        return Committed(
            dict(self.answers),
            {number: dict(found) for number, found in self.propagated.items()},
            {number: set(keys) for number, keys in self.absent.items()},
        )

    def remember(self, step: int, known: Committed) -> None:
        """Keep what was known of objects that were committed in a step, for some steps.

        Answers that take too much memory are asked for again after undo; those of the last commit
        are kept.
        """
        self._committed[step] = known
        for old in sorted(self._committed)[:-REMEMBERED]:
            del self._committed[old]
        nbytes = 0
        for number in sorted(self._committed, reverse=True):
            one = self._committed[number]
            nbytes += one.nbytes
            if nbytes > RECENT_BYTES and number != step:
                self._committed[number] = replace(one, answers={})

    def forget_committed(self) -> None:
        """Forget what was known of committed objects: another image is worked on."""
        self._committed.clear()

    def bring_back(self, step: int) -> None:
        """Go on with the objects of a step that was undone, with all that was propagated."""
        known = self._committed.get(step)
        if known is None:
            return
        self.answers |= known.answers
        self.propagated |= {number: dict(found) for number, found in known.propagated.items()}
        self.absent |= {number: set(keys) for number, keys in known.absent.items()}

    def prune(self) -> None:
        """Forget what was propagated of objects that are not in work any more."""
        numbers = self.numbers()
        for found in (self.propagated, self.absent):
            for number in [one for one in found if one not in numbers]:
                del found[number]

    def clear(self) -> None:
        """Forget all answers, and close what was opened again."""
        self.answers.clear()
        self.propagated.clear()
        self.absent.clear()
        self.reopened.clear()

    def close_kept(self, label: int | None = None) -> None:
        """Close an object that was opened again, or all, and forget what it would have become."""
        self.reopened.clear(label)
        for known in (self.propagated, self.absent):
            for number in [one for one in known if one < 0 and label in (None, -one)]:
                del known[number]
        for key, question in self.answers.items():
            stay = {
                number: one
                for number, one in question.objects.items()
                if number > 0 or (label is not None and number != -label)
            }
            self.answers[key] = replace(question, objects=stay)

    def forget_answers(self) -> None:
        """Forget what was answered; it is known still how the planes with prompts are displayed."""
        for key, question in self.answers.items():
            self.answers[key] = replace(question, objects={})
        for step, known in self._committed.items():
            self._committed[step] = replace(known, answers={})

    def drawing(self) -> Drawing:
        """Return the prompts that count, on all planes."""
        drawn = self.bench.prompts.drawing()
        stray = set(stray_rows(self.bench, drawn))
        return tuple(row for row in drawn if row not in stray)

    def numbers(self) -> list[int]:
        """Return the numbers of all objects in work: kept ones first, new ones in their order."""
        owners = {row.owner for row in self.drawing()} - {0}
        labels = self.reopened.labels(owners)
        return [*(-label for label in labels), *sorted(owner for owner in owners if owner > 0)]

    def label(self, number: int) -> int:
        """Return the label of an object in work; that of a new one holds until another is kept."""
        if number < 0:
            return -number
        first = self.bench.results.store.next_label if self.bench.results else 1
        new = [one for one in self.numbers() if one > 0]
        return first + (new.index(number) if number in new else len(new))

    def planes(self, shown: Plane) -> list[Plane]:
        """Return the planes with prompts, displayed as they were when they were asked about.

        Parameters
        ----------
        shown : Plane
            The one shown; others that were not asked about yet are displayed like it.
        """
        rows = self.drawing()
        asked = {key.fixed: _asked(one, shown) for key, one in self.answers.items()}
        if shown.key in self.answers:  # it may have been asked about with its axes swapped, too
            asked[shown.key.fixed] = _asked(self.answers[shown.key], shown)
        planes = {
            plane.key: plane
            for plane in asked.values()
            if any(_lies_in(row, plane.key) for row in rows)
        }
        for row in rows:
            if not any(_lies_in(row, key) for key in planes):
                key = _plane_of(row, shown.key)
                planes[key] = replace(shown, key=key)
        return [planes[key] for key in sorted(planes, key=lambda key: key.fixed)]

    def keys(self, number: int) -> list[SliceKey]:
        """Return the planes in which an object has prompts or an outline, in their order."""
        keys = {
            key
            for key, question in self.answers.items()
            if number in question.objects and not question.objects[number].propagated
        }
        found = self.propagated.get(number, {}).items()
        alike = {upright(key) for key in keys} | self.absent.get(number, set())
        keys |= {key for key, outline in found if outline.mask and key not in alike}
        if number < 0:
            alike = {upright(key) for key in keys}
            keys |= {key for key in self.reopened.outlines(-number) if key not in alike}
        return sorted(keys, key=lambda key: key.fixed)

    def seen_from(self, key: SliceKey) -> InWork:
        """Return the objects in work as a plane sees them."""
        rows = [row for row in self.drawing() if row.owner > 0 and not _lies_in(row, key)]
        numbers = self.numbers()
        kept = [number for number in numbers if number < 0]
        elsewhere = sorted({*kept, *(row.owner for row in rows)})
        outlines = {number: self.start(number, key) for number in numbers}
        outlined = [number for number, one in outlines.items() if one is not None]

        def holds(number: int, xy: NDArray[np.float64]) -> bool:
            return _contains(self._nearest(number, key), xy)

        def covers(number: int, xy: NDArray[np.float64]) -> bool:
            one = outlines.get(number)
            return one is not None and _contains(one.mask, xy.reshape(-1))

        return InWork(elsewhere, outlined, holds, covers)

    def before(self, number: int, plane: Plane) -> ObjectInWork | None:
        """Return an object as it was answered on a plane, or as it is known there."""
        question = self.answers.get(plane.key)
        if question is not None and question.plane.same_as(plane) and number in question.objects:
            one = question.objects[number]
            if not one.propagated:  # there may be a newer one
                return one
        return self.start(number, plane.key)

    def start(self, number: int, key: SliceKey) -> ObjectInWork | None:
        """Return an object on a plane as it was propagated to it, or as it is kept there.

        A new object that has ended is not there; a kept one has an empty outline then.
        """
        outline = self.propagated.get(number, {}).get(upright(key))
        if upright(key) in self.absent.get(number, ()):
            outline = self._empty(upright(key))
        if outline is None:
            return self.reopened.start(-number, key) if number < 0 else None
        if number > 0 and not outline.mask:
            return None
        return as_kept(outline if upright(key) == key else outline.turned(), propagated=True)

    def keyframes(self, number: int, drawn: Drawing | None = None) -> dict[SliceKey, Mask]:
        """Return the outlines of an object that others follow from, by upright plane.

        They are those with prompts, those that were kept and not propagated, and empty ones where
        the user said that the object is not there.

        Parameters
        ----------
        number : int
        drawn : Drawing, optional
            `drawing()`, if it is known.
        """
        absent = self.absent.get(number, ())
        masks = {key: self._empty(key).mask for key in absent}
        kept = self.reopened.outlines(-number) if number < 0 else {}
        for key, outline in kept.items():
            if outline.prompts is not None or outline.origin != "propagated":
                masks.setdefault(key, outline.mask)
        drawn = self.drawing() if drawn is None else drawn
        rows = [row for row in drawn if row.owner == number]
        for key, question in self.answers.items():
            one = question.objects.get(number)
            if one is None or one.mask is None or one.kept:
                continue
            if any(_lies_in(row, key) for row in rows):
                masks[upright(key)] = one.mask if upright(key) == key else _turned(one.mask)
        return masks

    def prompted(self, number: int, shown: SliceKey, drawn: Drawing | None = None) -> set[SliceKey]:
        """Return the upright planes in which an object has prompts.

        Parameters
        ----------
        number : int
        shown : SliceKey
            Others are displayed like it.
        drawn : Drawing, optional
            `drawing()`, if it is known.
        """
        drawn = self.drawing() if drawn is None else drawn
        rows = [row for row in drawn if row.owner == number]
        return {upright(_plane_of(row, shown)) for row in rows}

    def outlines(self, number: int) -> dict[SliceKey, Outline]:
        """Return what propagation found of an object, by upright plane, apart from its keyframes.

        Where it is not there, its outline is empty.
        """
        keyframes = self.keyframes(number)
        found = self.propagated.get(number, {})
        outlines = {key: outline for key, outline in found.items() if key not in keyframes}
        gone = self.absent.get(number, ())
        return outlines | {key: self._empty(key) for key in gone if not keyframes[key]}

    def _empty(self, key: SliceKey) -> Outline:
        """Return the outline of an object that is not in a plane."""
        shape = () if self.bench.frame is None else self.bench.frame.shape
        rows, columns = (shape[axis] for axis in key.displayed)
        nothing = Mask.of(np.zeros((1, 1), bool), size=(rows, columns))
        return Outline(nothing, origin="propagated")

    def _nearest(self, number: int, key: SliceKey) -> Mask | None:
        """Return the outline of an object on the plane nearest to another."""
        masks: dict[SliceKey, Mask] = {}
        if number < 0:
            masks = {k: outline.mask for k, outline in self.reopened.outlines(-number).items()}
        for other, outline in self.propagated.get(number, {}).items():
            masks[other] = outline.mask
        for other, question in self.answers.items():
            one = question.objects.get(number)
            if one is not None and one.mask is not None and not one.propagated:
                masks[other] = one.mask
        alike = [other for other in masks if other.displayed == key.displayed and other != key]
        nearest = min(alike, key=lambda other: _distance(other, key), default=None)
        return None if nearest is None else masks[nearest]


def lost_masks(question: Question, reopened: Reopened) -> Mapping[int, Mask]:
    """Return the kept outlines of the objects of a plane that are changed, by number."""
    masks = {}
    for number, one in question.objects.items():
        start = reopened.start(-number, question.plane.key) if number < 0 else None
        if start is not None and start.mask is not None and (one.propagated or not one.kept):
            masks[number] = start.mask
    return masks


def _masks_of(known: Committed) -> object:
    """Return what is known of objects in work, to be compared."""
    answers = {
        (key, number): (id(one.answer), id(one.candidate))
        for key, question in known.answers.items()
        for number, one in question.objects.items()
        if not one.kept
    }
    propagated = {
        number: {key: id(outline) for key, outline in found.items()}
        for number, found in known.propagated.items()
        if found
    }
    return answers, propagated, {number: keys for number, keys in known.absent.items() if keys}


def _asked(question: Question, shown: Plane) -> Plane:
    """Return the plane of a question; where its answers are forgotten, as the image is seen now."""
    if question.objects:
        return question.plane
    return replace(shown, key=question.plane.key, spacing=question.plane.spacing)


def _turned(mask: Mask) -> Mask:
    """Return a mask with rows and columns swapped."""
    return Outline(mask).turned().mask


def _lies_in(row: DrawnRow, key: SliceKey) -> bool:
    return all(
        round(vertex[axis]) == position for vertex in row.vertices for axis, position in key.fixed
    )


def _plane_of(row: DrawnRow, shown: SliceKey) -> SliceKey:
    """Return the plane that a prompt is drawn in, displayed like another one if that may be."""
    box = row.box
    wide = tuple(axis for axis, (start, stop) in enumerate(box) if stop - start > 1)
    if len(wide) == 2 and set(wide) != set(shown.displayed):
        shown = replace(shown, displayed=wide)
    fixed = tuple((axis, box[axis][0]) for axis in range(len(box)) if axis not in shown.displayed)
    return replace(shown, fixed=fixed)


def _distance(key: SliceKey, other: SliceKey) -> int:
    there = dict(other.fixed)
    return sum(abs(position - there.get(axis, position)) for axis, position in key.fixed)


def _contains(mask: Mask | None, xy: NDArray[np.float64]) -> bool:
    if mask is None or not mask:
        return False
    x, y = (int(n) for n in np.round(xy))
    x0, y0, x1, y1 = mask.box
    return x0 <= x <= x1 and y0 <= y <= y1 and bool(mask.bits[y - y0, x - x0])


def stray_rows(bench: Workbench, drawn: Drawing) -> Drawing:
    """Return what is drawn beside the image, and boxes that are only begun."""
    if bench.frame is None:
        return ()
    shape = bench.frame.shape
    return tuple(row for row in drawn if row.is_begun or row.lies_beside(shape))
