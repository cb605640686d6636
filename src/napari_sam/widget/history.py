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
    """The order of edits over several layers; one at a time is taken back or made again."""

    def __init__(self) -> None:
        self._done: list[Undoable] = []
        self._undone: list[Undoable] = []
        self._walked: Undoable | None = None

    @property
    def walking(self) -> bool:
        """Whether something is being taken back or made again."""
        return self._walked is not None

    def note(self, owner: Undoable) -> None:
        """Note that a layer was edited."""
        self._done.append(owner)
        self._undone.clear()

    def drop(self, owner: Undoable) -> None:
        """Forget a layer that is gone."""
        self._done = [one for one in self._done if one is not owner]
        self._undone = [one for one in self._undone if one is not owner]
        if self._walked is owner:
            self._walked = None

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
            raise ValueError("there is nothing to undo")
        owner = self._begin(self._done)
        owner.undo(lambda text: self._moved(owner, self._done, self._undone, text, done))

    def redo(self, done: Done) -> None:
        """Make again what was taken back last.

        Raises
        ------
        ValueError
            If there is nothing to make again, or the last change is still being written.
        """
        if not self._undone:
            raise ValueError("there is nothing to do again")
        owner = self._begin(self._undone)
        owner.redo(lambda text: self._moved(owner, self._undone, self._done, text, done))

    def _begin(self, source: list[Undoable]) -> Undoable:
        if self.walking:
            raise ValueError("wait until the last change is written")
        self._walked = source[-1]
        return source[-1]

    def _moved(
        self,
        owner: Undoable,
        source: list[Undoable],
        target: list[Undoable],
        text: str,
        done: Done,
    ) -> None:
        """Move the newest entry of an owner; a stroke may have been noted since."""
        self._walked = None
        places = [place for place, one in enumerate(source) if one is owner]
        if places:
            target.append(source.pop(places[-1]))
        done(text)
