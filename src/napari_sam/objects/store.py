"""The objects of one canvas and the history of their edits."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from uuid import uuid4

from ..steps import drive
from ..types import Progress, SliceKey
from .canvas import Canvas
from .edit import Edit
from .recorder import TargetInfo
from .segmented import SegmentedObject

Pieces = Generator[Progress, None, Edit]
"""Yields between pieces of some milliseconds, so that a window stays alive; returns the edit.
Closed before its end, it leaves everything as it was."""
NEXT_LABEL = "next_label"
"""The property of an edit that holds the next label before and after it."""
PATCH_BYTES = 1000
"""What a patch takes beside its pixels, about."""


@dataclass(frozen=True, eq=False)
class _Step:
    """An edit as it was made.

    Attributes
    ----------
    edit : Edit
    first_label : int
        The next label before it.
    nbytes : int
        Bytes that the edit takes, about.
    """

    edit: Edit
    first_label: int
    nbytes: int


class ObjectStore:
    """Objects by label; every change is an edit that can be undone.

    Parameters
    ----------
    canvas : Canvas
    largest : int
        The largest label in it.

    Attributes
    ----------
    id : str
        Unique over all sessions.
    canvas : Canvas
    next_label : int
        Above all labels that were kept or painted; taking an edit back gives its labels free again.
    """

    def __init__(self, canvas: Canvas, largest: int = 0) -> None:
        self.id = uuid4().hex
        self.canvas = canvas
        self.next_label = largest + 1
        self._objects: dict[int, SegmentedObject] = {}
        self._properties: dict[str, Any] = {}
        self._done: list[_Step] = []
        self._undone: list[_Step] = []

    @property
    def objects(self) -> Mapping[int, SegmentedObject]:
        """Objects by label, to be read."""
        return MappingProxyType(self._objects)

    @property
    def properties(self) -> Mapping[str, Any]:
        """What holds for the whole annotation, to be read; see `Edit`."""
        return MappingProxyType(self._properties)

    @property
    def newest(self) -> Edit | None:
        """The edit that `undo` would undo; None if there is none."""
        return self._done[-1].edit if self._done else None

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._undone)

    @property
    def nbytes(self) -> int:
        """Bytes that all steps take, those that were taken back included."""
        return sum(step.nbytes for steps in (self._done, self._undone) for step in steps)

    def forget_oldest(self) -> None:
        """Drop the first step: it stays made and cannot be taken back any more."""
        if self._done:
            del self._done[0]

    def forget_undone(self) -> None:
        """Drop all that was taken back."""
        self._undone.clear()

    def apply(self, edit: Edit) -> None:
        """Make an edit: a new step, even if nothing differs.

        Raises
        ------
        ValueError
            If its objects are not those of the store, or the canvas cannot hold its labels.
        """
        drive(self.apply_in_pieces(edit))

    def apply_in_pieces(self, edit: Edit) -> Pieces:
        """Make an edit like `apply`, a piece at a time."""
        self._check(edit)
        yield from self.canvas.write_all(edit.patches, edit.text)
        self._add(edit)
        return edit

    def amend(self, edit: Edit) -> None:
        """Make an edit, and make it part of the newest step.

        Raises
        ------
        ValueError
            As `apply` does, or if there is no step.
        """
        if not self._done:
            raise ValueError("there is nothing to amend")
        self._check(edit)
        drive(self.canvas.write_all(edit.patches, edit.text))
        step = self._done.pop()
        self._replace_objects(edit)
        self.next_label = step.first_label
        self._push(step.edit.then(edit))

    def record(self, edit: Edit) -> None:
        """Record an edit whose pixels are already written, such as a stroke."""
        self._check(edit)
        self._add(edit)

    def undo(self) -> Edit:
        """Take back the newest step.

        Returns
        -------
        Edit, what was taken back

        Raises
        ------
        ValueError
            If there is nothing to take back.
        """
        return drive(self.undo_in_pieces())

    def undo_in_pieces(self) -> Pieces:
        """Take back the newest step like `undo`, a piece at a time."""
        if not self._done:
            raise ValueError("there is nothing to undo")
        step = self._done[-1]
        inverse = step.edit.inverse()
        yield from self.canvas.write_all(inverse.patches, inverse.text)
        self._replace_objects(inverse)
        if self._done[-1] is step:  # else a stroke came in between
            self.next_label = step.first_label
        self._done.remove(step)
        self._undone.append(step)
        return step.edit

    def redo(self) -> Edit:
        """Make the step again that was taken back last.

        Returns
        -------
        Edit, what was made again

        Raises
        ------
        ValueError
            If there is nothing to make again.
        """
        return drive(self.redo_in_pieces())

    def redo_in_pieces(self) -> Pieces:
        """Make the last undone step again like `redo`, a piece at a time."""
        if not self._undone:
            raise ValueError("there is nothing to redo")
        step = self._undone[-1]
        self._check(step.edit)
        yield from self.canvas.write_all(step.edit.patches, step.edit.text)
        self._replace_objects(step.edit)
        undone = [one for one in self._undone if one is not step]
        self._push(step.edit)
        self._undone = undone
        return step.edit

    # -- as a history asks for it; see `recorder.Target` ----------------------------------------

    def info(self) -> TargetInfo:
        """Describe the labels; the image is unknown here."""
        return TargetInfo("objects", self.canvas.shape, "", str(self.canvas.dtype))

    def image_hash(self, key: SliceKey) -> str:
        """Return nothing: the image is unknown here."""
        return ""

    def completed(self, edit: Edit, whole: Edit) -> Edit:
        """Return an edit with the next label before and after it."""
        properties = {name: pair for name, pair in edit.properties.items() if name != NEXT_LABEL}
        first = whole.properties.get(NEXT_LABEL, (self.next_label,))[0]
        following = max(first, whole.largest + 1)
        if following != self.next_label:
            properties[NEXT_LABEL] = (self.next_label, following)
        return replace(edit, properties=properties)

    def adopt(self, edit: Edit) -> None:
        """Take up an edit whose pixels are already written, such as a stroke."""
        self._check(edit)
        self._replace_objects(edit)
        before, after = edit.properties.get(NEXT_LABEL, (self.next_label, self.next_label))
        # somebody else may have raised it meanwhile
        self.next_label = after if before == self.next_label else max(self.next_label, after)
        self.next_label = max(self.next_label, edit.largest + 1)

    def write_in_pieces(self, edit: Edit) -> Generator[Progress, None, None]:
        """Write an edit, all or nothing, a piece at a time."""
        self._check(edit)
        yield from self.canvas.write_all(edit.patches, edit.text)
        self.adopt(edit)

    def _check(self, edit: Edit) -> None:
        for label, (before, _) in edit.objects.items():
            if (before is None) == (label in self._objects):
                there = "is no longer there" if before is not None else "is there already"
                raise ValueError(f"object {label} {there}; make the change anew")

    def _add(self, edit: Edit) -> None:
        self._replace_objects(edit)
        self._push(edit)

    def _push(self, edit: Edit) -> None:
        self._done.append(_Step(edit, self.next_label, _nbytes(edit)))
        self._undone.clear()
        self.next_label = max(self.next_label, edit.largest + 1)

    def _replace_objects(self, edit: Edit) -> None:
        for label, (_, after) in edit.objects.items():
            if after is None:
                del self._objects[label]
            else:
                self._objects[label] = after
        for name, (_, value) in edit.properties.items():
            if name == NEXT_LABEL:
                continue
            if value is None:
                self._properties.pop(name, None)
            else:
                self._properties[name] = value


def _nbytes(edit: Edit) -> int:
    """Return what an edit takes, about: pixels, outlines, and a fixed sum for each patch."""
    objects = (one for change in edit.objects.values() for one in change if one is not None)
    outlines = (outline for one in objects for outline in one.outlines.values())
    masks = sum(outline.mask.packed.nbytes for outline in outlines)
    return edit.nbytes + masks + PATCH_BYTES * (1 + len(edit.patches))
