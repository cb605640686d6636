"""The objects in work over all planes: their prompts, their answers, their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ....objects.drawn import Drawing, DrawnRow
from ....objects.segmented import upright
from ....types import Mask, Plane, SliceKey
from ...context import Context
from .owners import InWork
from .prompt_log import stray_rows
from .reopening import Reopened
from .work import ObjectInWork, Question


class WorkOnPlanes:
    """Knows the planes on which there are prompts, and what was answered there.

    Parameters
    ----------
    context : Context

    Attributes
    ----------
    reopened : Reopened
        The kept objects among them.
    answers : dict of SliceKey to Question
        The newest question of each plane; those without prompts any more are left aside.
    """

    def __init__(self, context: Context) -> None:
        self.context, self.bench = context, context.bench
        self.reopened = Reopened(context.bench)
        self.answers: dict[SliceKey, Question] = {}

    def clear(self) -> None:
        """Forget all answers, and close what was opened again."""
        self.answers.clear()
        self.reopened.clear()

    def close_kept(self, label: int | None = None) -> None:
        """Close an object that was opened again, or all, and forget what it would have become."""
        self.reopened.clear(label)
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
        asked = {question.plane.key.fixed: question.plane for question in self.answers.values()}
        if shown.key in self.answers:  # it may have been asked about with its axes swapped, too
            asked[shown.key.fixed] = self.answers[shown.key].plane
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
        keys = {key for key, question in self.answers.items() if number in question.objects}
        if number < 0:
            kept = self.reopened.outlines(-number)
            keys |= {key for key in kept if all(upright(other) != key for other in keys)}
        return sorted(keys, key=lambda key: key.fixed)

    def seen_from(self, key: SliceKey) -> InWork:
        """Return the objects in work as a plane sees them."""
        rows = [row for row in self.drawing() if row.owner > 0 and not _lies_in(row, key)]
        kept = [number for number in self.numbers() if number < 0]
        elsewhere = sorted({*kept, *(row.owner for row in rows)})
        outlined = [number for number in kept if self.reopened.start(-number, key) is not None]

        def holds(number: int, xy: NDArray[np.float64]) -> bool:
            return _contains(self._nearest(number, key), xy)

        return InWork(elsewhere, outlined, holds)

    def before(self, number: int, plane: Plane) -> ObjectInWork | None:
        """Return an object as it was answered on a plane, or as it is kept there."""
        question = self.answers.get(plane.key)
        if question is not None and question.plane.same_as(plane) and number in question.objects:
            return question.objects[number]
        return self.reopened.start(-number, plane.key) if number < 0 else None

    def _nearest(self, number: int, key: SliceKey) -> Mask | None:
        """Return the outline of an object on the plane nearest to another."""
        masks: dict[SliceKey, Mask] = {}
        if number < 0:
            masks = {k: outline.mask for k, outline in self.reopened.outlines(-number).items()}
        for other, question in self.answers.items():
            one = question.objects.get(number)
            if one is not None and one.mask is not None:
                masks[other] = one.mask
        alike = [other for other in masks if other.displayed == key.displayed and other != key]
        nearest = min(alike, key=lambda other: _distance(other, key), default=None)
        return None if nearest is None else masks[nearest]


def lost_masks(question: Question, reopened: Reopened) -> Mapping[int, Mask]:
    """Return the kept outlines of the objects of a plane that are changed, by number."""
    masks = {}
    for number, one in question.objects.items():
        start = reopened.start(-number, question.plane.key) if number < 0 else None
        if start is not None and start.mask is not None and not one.kept:
            masks[number] = start.mask
    return masks


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
