"""Changes of the prompts of an image, for undo and redo."""

from __future__ import annotations

from dataclasses import dataclass

from ....objects.drawn import Drawing, sentence, without
from ...history import Done, History
from ...workbench import Workbench

ROW_BYTES = 500
"""What a prompt takes in the log, about."""


@dataclass(frozen=True)
class _Change:
    removed: Drawing
    added: Drawing

    @property
    def rows(self) -> Drawing:
        return (*self.removed, *self.added)


class PromptLog:
    """Compares the prompts with what they were, and notes each change as a step of the history.

    Parameters
    ----------
    bench : Workbench
        Its prompt layers are read and drawn in.
    history : History
    """

    def __init__(self, bench: Workbench, history: History) -> None:
        self.bench, self.history = bench, history
        self._drawn: Drawing = ()
        self._done: list[_Change] = []
        self._undone: list[_Change] = []

    def added(self) -> Drawing:
        """Return the prompts that are new since the last step."""
        return without(self._usable(), self._drawn)

    @property
    def is_behind(self) -> bool:
        """Whether prompts were changed since the last step."""
        drawn = self._usable()
        return bool(without(drawn, self._drawn) or without(self._drawn, drawn))

    def note(self, joined: bool = False) -> bool:
        """Note what was changed since the last step; tells whether anything was.

        Parameters
        ----------
        joined : bool
            Whether it belongs to the newest step of the history.
        """
        before, self._drawn = self._drawn, self._usable()
        change = _Change(without(before, self._drawn), without(self._drawn, before))
        if not change.rows:
            return False
        self._done.append(change)
        self._undone.clear()
        (self.history.join if joined else self.history.note)(self)
        return True

    def begin(self) -> None:
        """Begin anew with what is drawn now: the prompts are those of another image."""
        self.history.drop(self)
        self._done.clear()
        self._undone.clear()
        self._drawn = self._usable()

    # -- as the history asks for it -----------------------------------------------------------

    @property
    def nbytes(self) -> int:
        """Bytes that the steps take, about."""
        steps = (*self._done, *self._undone)
        return ROW_BYTES * sum(1 + len(change.rows) for change in steps)

    def undo(self, done: Done) -> None:
        """Take back the newest change."""
        change = self._done.pop()
        self._undone.append(change)
        self._draw(change.added, change.removed)
        done(sentence(change.removed, change.added), tuple(row.box for row in change.rows))

    def redo(self, done: Done) -> None:
        """Make the change again that was taken back last."""
        change = self._undone.pop()
        self._done.append(change)
        self._draw(change.removed, change.added)
        done(sentence(change.removed, change.added), tuple(row.box for row in change.rows))

    def forget_oldest(self) -> None:
        """Drop the first step."""
        if self._done:
            del self._done[0]

    def forget_undone(self) -> None:
        """Drop what was taken back."""
        self._undone.clear()

    def _draw(self, remove: Drawing, add: Drawing) -> None:
        self.bench.prompts.redraw(remove, add)
        self._drawn = self._usable()

    def _usable(self) -> Drawing:
        """Return what is drawn and counts: see `stray_rows`."""
        drawn = self.bench.prompts.drawing()
        return without(drawn, stray_rows(self.bench, drawn))


def stray_rows(bench: Workbench, drawn: Drawing) -> Drawing:
    """Return what is drawn beside the image, and boxes that are only begun."""
    if bench.frame is None:
        return ()
    shape = bench.frame.shape
    return tuple(row for row in drawn if row.is_begun or row.lies_beside(shape))
