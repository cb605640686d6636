"""Undo and redo over all layers of the dock, in the order of the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ..objects.boxes import Box

LIMIT_BYTES = 64 * 2**20
"""The oldest steps are dropped where all take more."""

Done = Callable[[str, tuple[Box, ...]], None]
"""Called when something was taken back, or made again: what it was, in words, and where it lies,
as boxes of the image's array."""


class Undoable(Protocol):
    """Something with steps of its own: the labels of a layer, the prompts of an image."""

    @property
    def nbytes(self) -> int:
        """Bytes that its steps take."""

    def undo(self, done: Done) -> None:
        """Take back what came last."""

    def redo(self, done: Done) -> None:
        """Make again what was taken back last."""

    def forget_oldest(self) -> None:
        """Drop the oldest step: it can no longer be undone."""

    def forget_undone(self) -> None:
        """Drop all undone steps: they can no longer be redone."""


@dataclass(eq=False)
class _Step:
    """A step of one owner, or of several at once.

    Attributes
    ----------
    owners : list of Undoable
        Those after the first are changed with it, at once: the prompts that went when an object
        was kept.
    """

    owners: list[Undoable]


class History:
    """The order of steps over several owners; one at a time is taken back or made again.

    Parameters
    ----------
    limit : int
        Bytes that all steps may take; the newest is always kept.
    """

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self.limit = limit
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._walked: _Step | None = None
        self._dropped = False

    @property
    def walking(self) -> bool:
        """Whether something is being taken back or made again."""
        return self._walked is not None

    @property
    def nbytes(self) -> int:
        """Bytes that all steps take."""
        return sum(owner.nbytes for owner in _distinct([*self._done, *self._undone]))

    def note(self, owner: Undoable) -> None:
        """Note that an owner made a step."""
        self._forget_undone()
        self._done.append(_Step([owner]))
        self._trim()

    def join(self, owner: Undoable) -> None:
        """Note that an owner made a step that belongs to the newest one."""
        if not self._done:
            raise ValueError("there is no step to join")
        self._done[-1].owners.append(owner)

    def drop(self, owner: Undoable) -> None:
        """Forget an owner that is gone; what it took with it is a step of its own then."""
        if self._walked is not None and self._walked.owners[0] is owner:
            self._walked = None
        for steps in (self._done, self._undone):
            for step in steps:
                step.owners[:] = [one for one in step.owners if one is not owner]
            steps[:] = [step for step in steps if step.owners]

    def stop_walking(self) -> None:
        """Note that nothing was taken back after all."""
        self._walked = None

    def undo(self, done: Done) -> None:
        """Take back what came last.

        Raises
        ------
        ValueError
            If there is nothing to take back, or the last change is still being written.
        """
        if not self._done:
            more = ": earlier changes are no longer kept" if self._dropped else ""
            raise ValueError(f"there is nothing to undo{more}")
        step = self._begin(self._done)

        def undone(text: str, boxes: tuple[Box, ...]) -> None:
            for follower in step.owners[1:]:
                follower.undo(_unsaid)
            self._moved(step, self._done, self._undone)
            done(text, boxes)

        step.owners[0].undo(undone)

    def redo(self, done: Done) -> None:
        """Make again what was taken back last.

        Raises
        ------
        ValueError
            If there is nothing to make again, or the last change is still being written.
        """
        if not self._undone:
            raise ValueError("there is nothing to redo")
        step = self._begin(self._undone)

        def redone(text: str, boxes: tuple[Box, ...]) -> None:
            for follower in step.owners[1:]:
                follower.redo(_unsaid)
            self._moved(step, self._undone, self._done)
            done(text, boxes)

        step.owners[0].redo(redone)

    def _begin(self, source: list[_Step]) -> _Step:
        if self.walking:
            raise ValueError("wait until the last change is written")
        self._walked = source[-1]
        return source[-1]

    def _moved(self, step: _Step, source: list[_Step], target: list[_Step]) -> None:
        """Move a step to the other list; a stroke may have been noted since it was begun."""
        self._walked = None
        if step in source:
            source.remove(step)
            target.append(step)

    def _forget_undone(self) -> None:
        """Drop what was taken back; what is being made again stays until it is."""
        kept = [step for step in self._undone if step is self._walked]
        if not kept:
            for owner in _distinct(self._undone):
                owner.forget_undone()
        self._undone[:] = kept

    def _trim(self) -> None:
        while len(self._done) > 1 and not self.walking and self.nbytes > self.limit:
            for owner in self._done.pop(0).owners:
                owner.forget_oldest()
            self._dropped = True


def _distinct(steps: Iterable[_Step]) -> list[Undoable]:
    return list({id(owner): owner for step in steps for owner in step.owners}.values())


def _unsaid(text: str, boxes: tuple[Box, ...]) -> None:
    """Say nothing of a step that another one took with it."""
