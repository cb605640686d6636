"""What came out of the comparison of two models: figures, a verdict, a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import report
from .changes import Change, draw_changes
from .paired import FEWEST, Difference
from .scores import ObjectScore

FEW = 20
"""Of fewer objects a rise by `SMALL` is asked: they may all miss what goes wrong with some."""
TOLERATED = {"NoC@85": 0.1}
"""How far a figure may fall for certain and still count as kept; `SMALL` for the others."""
SMALL = 0.01
"""Difference of a score that is not worth a decision."""
NEAR = 1.05
"""Where half an interval is at most so many times the rise, how many objects are missing is noise.
"""
MOST_WANTED = 9
"""A rise that so many times more objects could not tell from chance is none."""
AP50 = "everything AP50"


@dataclass(frozen=True)
class ObjectPair:
    """One object, answered by both models.

    Attributes
    ----------
    image : int
        Its image or plane; equal for equal images.
    group : int
        Its image or stack.
    track : int
        The object; equal in all planes that show it.
    category : str
        Its class; "" if it has none.
    before, after : ObjectScore
    turned : float
        IoU of what the later model answers to one click where its image is turned by 180 degrees.
    """

    image: int
    group: int
    track: int
    category: str
    before: ObjectScore
    after: ObjectScore
    turned: float


@dataclass(frozen=True, eq=False)
class Versus:
    """Two models compared.

    Attributes
    ----------
    rows : tuple of Difference
        Of all objects; the first is the one that has to rise.
    classes : mapping of str to tuple of Difference
        Of the objects of each class; "" is no class. Empty if no object has a class.
    control : Difference
        IoU after one click of the later model: its image turned by 180 degrees, and as it is.
    pairs : tuple of ObjectPair
        The objects, each in all planes that show it.
    changes : tuple of Change
        The objects that changed most, better ones first.
    """

    rows: tuple[Difference, ...]
    classes: Mapping[str, tuple[Difference, ...]]
    control: Difference
    pairs: tuple[ObjectPair, ...]
    changes: tuple[Change, ...]

    @property
    def objects(self) -> int:
        """How many objects were compared; one that several planes show counts once."""
        return len({one.track for one in self.pairs})

    @property
    def images(self) -> int:
        """How many images were compared, planes of stacks being images of their own."""
        return len({one.image for one in self.pairs})

    @property
    def groups(self) -> int:
        """How many images and stacks were compared."""
        return len({one.group for one in self.pairs})

    @property
    def better(self) -> bool:
        """Whether the later model is better beyond the noise, and worse in nothing."""
        return not self._reasons()

    @property
    def verdict(self) -> str:
        """One sentence that says so, or why not."""
        first = self.rows[0]
        reasons = self._reasons()
        if reasons:
            return f"The trained model is not taken: {reasons[0]}."
        return (
            f"The trained model is better: IoU after 1 click rises from {first.before:.3f} to "
            f"{first.after:.3f} ({_interval(first)}) on {self._measured()} that it did not "
            "learn from."
        )

    def as_text(self) -> str:
        """Return a table of all objects and of each class, how it was measured, and the verdict."""
        head = ("", "objects", "before", "after", "difference", "95 % interval", "")
        rows = [head, *(_row(row.figure, row) for row in self.rows)]
        for name, found in self.classes.items():
            rows += [_row(f"{name or 'no class'}: {row.figure}", row) for row in found]
        control = self.control
        lines = [report.table(rows), "", *self._notes()]
        lines.append(
            f"Control: with the image turned round, one click gives the trained model an IoU of "
            f"{control.before:.3f} instead of {control.after:.3f}."
        )
        return "\n".join([*lines, self.verdict])

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON can hold them: each as before, after, and its interval."""
        shown = {row.figure: _numbers(row) for row in self.rows}
        shown |= {
            f"{name or 'no class'}, {row.figure}": _numbers(row)
            for name, rows in self.classes.items()
            for row in rows
        }
        return {
            "verdict": self.verdict,
            "better": self.better,
            "objects": self.objects,
            "images": self.images,
            "images and stacks": self.groups,
            "columns": ["before", "after", "low", "high"],
            **shown,
            self.control.figure: _numbers(self.control),
        }

    def objects_as_dicts(self) -> list[dict[str, Any]]:
        """Return the scores of each object in each plane as JSON can hold them."""
        return [asdict(one) for one in self.pairs]

    def picture(self) -> NDArray[np.uint8]:
        """Return the objects that changed most, (H, W, 3); see `changes.draw_changes`."""
        return draw_changes(self.changes)

    def _notes(self) -> list[str]:
        if self.images == self.groups:
            several, single = "images", "image"
        else:
            several, single = "images or stacks", "stack"
        drawn = f"{several} and their objects"
        if self.groups == 1:
            drawn = f"objects, as there is one {single}"
        notes = [f"Intervals are those of a paired bootstrap over {drawn}."]
        if self.groups == 2:
            notes.append(
                f"How much {several} differ is hardly known from two: the intervals tell little "
                "beyond their own objects."
            )
        if all(row.figure != AP50 for row in self.rows):
            notes.append(f"{AP50} is not measured: no image is known to be labelled completely.")
        return notes

    def _measured(self) -> str:
        """Return in words what was compared."""
        objects, images = counted(self.objects, "object"), counted(self.images, "image")
        if self.images == self.groups:
            return f"{objects} of {images}"
        if self.groups == 1:
            return f"{objects} of a stack, in {counted(self.images, 'plane')},"
        return f"{objects} of {self.groups} images or stacks, in {self.images} planes,"

    def _reasons(self) -> list[str]:
        """Return why the later model is not taken."""
        first, *others = self.rows
        count = self.objects
        if count < FEWEST:
            return [
                f"only {counted(count, 'object')} could be compared, at least {FEWEST} are "
                f"needed to tell a gain from chance; hold out {FEWEST - count} more, and label "
                "more images for that"
            ]
        reasons = []
        if self.control.low <= SMALL:
            reasons.append(
                "it answers as well where the image is turned round, so it does not look at the "
                "image; check that the labels belong to these images"
            )
        if first.loses:
            reasons.append(f"IoU after 1 click falls ({_interval(first)})")
        elif not first.gains:
            reasons.append(
                f"IoU after 1 click does not rise beyond the noise ({_interval(first)})"
                f"{_wanted(first, count, self.groups == 1)}"
            )
        elif count < FEW and first.difference <= SMALL:
            reasons.append(
                f"IoU after 1 click rises by less than {SMALL} ({_interval(first)}), which "
                f"{counted(count, 'object')} cannot tell from chance"
                f"{_wanted(first, count, self.groups == 1)}"
            )
        for row in others:
            if row.loses and abs(row.difference) > TOLERATED.get(row.figure, SMALL):
                reasons.append(f"{row.figure} gets worse ({_interval(row)})")
        return reasons


def _row(name: str, row: Difference) -> tuple[str, ...]:
    change = "better" if row.gains else "worse" if row.loses else ""
    values = (f"{row.before:.3f}", f"{row.after:.3f}", f"{row.difference:+.3f}")
    chance = f"{row.low:+.3f} to {row.high:+.3f}" if row.tells else "too few to tell"
    return (name, str(row.objects), *values, chance, change)


def _numbers(row: Difference) -> list[float]:
    return [round(value, 4) for value in (row.before, row.after, row.low, row.high)]


def _interval(row: Difference) -> str:
    return f"{row.difference:+.3f}, 95 % interval {row.low:+.3f} to {row.high:+.3f}"


def _wanted(row: Difference, count: int, single: bool) -> str:
    """Return how many objects more would tell this rise from chance; "" if that is not known.

    Only those of a single image or stack make its interval narrower; else images would.
    """
    if row.difference <= 0:
        return ""
    width = (row.difference - row.low) / row.difference
    more = FEW - count if row.difference <= SMALL else 0
    if single and width > NEAR:
        more = max(more, math.ceil(count * (width**2 - 1)))
    if not 0 < more <= MOST_WANTED * count:
        return ""
    return f"; about {counted(more, 'more held-out object')} like these would tell"


def counted(count: int, name: str) -> str:
    """Return a number of things in words."""
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
