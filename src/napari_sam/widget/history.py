"""What came last in any of our layers, so that one key takes it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Done = Callable[[str], None]
"""Called when something was taken back, or made again, with what it was, in words."""


class Undoable(Protocol):
    """A layer's labels with a history of their own."""

    def undo(self, done: Done) -> None:
        """Take back what came last."""

    def redo(self, done: Done) -> None:
        """Make again what was taken back last."""


class History:
    """The order of edits over several layers."""

    def __init__(self) -> None:
        self._done: list[Undoable] = []
        self._undone: list[Undoable] = []

    def note(self, owner: Undoable) -> None:
        """Note that a layer was edited."""
        self._done.append(owner)
        self._undone.clear()

    def drop(self, owner: Undoable) -> None:
        """Forget a layer that is gone."""
        self._done = [one for one in self._done if one is not owner]
        self._undone = [one for one in self._undone if one is not owner]

    def undo(self, done: Done) -> None:
        """Take back what came last.

        Raises
        ------
        ValueError
            If there is nothing to take back.
        """
        if not self._done:
            raise ValueError("there is nothing to undo")
        self._done[-1].undo(lambda text: self._moved(self._done, self._undone, text, done))

    def redo(self, done: Done) -> None:
        """Make again what was taken back last.

        Raises
        ------
        ValueError
            If there is nothing to make again.
        """
        if not self._undone:
            raise ValueError("there is nothing to do again")
        self._undone[-1].redo(lambda text: self._moved(self._undone, self._done, text, done))

    def _moved(self, source: list[Undoable], target: list[Undoable], text: str, done: Done) -> None:
        target.append(source.pop())
        done(text)
