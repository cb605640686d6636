"""Undo and redo in the dock: long steps are written in pieces, and the window stays alive."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, Protocol

from qtpy.QtCore import QTimer

from ..objects import history
from ..objects.boxes import Box
from ..objects.edit import Edit
from ..objects.recorder import Recorder, Target

SLICE = 0.03
"""Seconds that a long step is written for before the window gets its turn."""

Happened = Literal["made", "undone", "redone"]
"""What became of an edit."""
Done = Callable[[str, tuple[Box, ...]], None]
"""Called when something was taken back, or made again: what it was, in words, and where it lies,
as boxes of the image's array."""


class ShownTarget(Target, Protocol):
    """A target in the window."""

    def hold(self, held: bool) -> None:
        """Let nobody change it while a step is being written, or let them again."""

    def walked(self, edit: Edit, happened: Happened) -> None:
        """Show that an edit was taken back or made again."""


class History:
    """The steps of all targets in the dock; one at a time is taken back or made again.

    Attributes
    ----------
    steps : napari_sam.objects.history.History
    on_failed : callable
        Called with a sentence if something could not be written or recorded.
    """

    def __init__(self) -> None:
        self.steps = history.History()
        self.on_failed: Callable[[str], None] = lambda text: None
        self._walk: history.Walk | None = None
        self._held: list[Target] = []

    @property
    def number(self) -> int:
        """Number of the newest step; 0 if there is none."""
        return 0 if self.steps.newest is None else self.steps.newest.number

    @property
    def walking(self) -> bool:
        """Whether something is being taken back or made again."""
        return self._walk is not None

    def use(self, recorder: Recorder) -> None:
        """Record all steps from now on; see `objects.history.History.use`."""
        self.steps.use(recorder)

    def note(self, target: ShownTarget, edit: Edit, joined: bool = False) -> None:
        """Take up an edit that is written already; says so where it cannot be recorded."""
        try:
            (self.steps.note_joined if joined else self.steps.note)(target, edit)
        except OSError as error:
            self.on_failed(str(error))

    def drop(self, target: ShownTarget) -> None:
        """Forget a target that is gone; what is being written in it is taken back."""
        step = self.steps.walked
        if self._walk is not None and step is not None and target in step.targets:
            walk = self._end()
            walk.close()
        self.steps.drop(target)

    def undo(self, done: Done) -> None:
        """Take back what came last.

        Raises
        ------
        ValueError
            If there is nothing to take back, or the last change is still being written.
        """
        self._begin(self.steps.undo_in_pieces, self.steps.newest, "undone", done)

    def redo(self, done: Done) -> None:
        """Make again what was taken back last; raises as `undo` does."""
        self._begin(self.steps.redo_in_pieces, self.steps.next_undone, "redone", done)

    def _begin(
        self,
        walk: Callable[[], history.Walk],
        step: history.Step | None,
        happened: Happened,
        done: Done,
    ) -> None:
        if self.walking:
            raise ValueError("wait until the last change is written")
        self._walk = walk() if step is not None else None
        if step is None or self._walk is None:
            walk()  # it says why there is none
            return
        self._go_on(self._walk, step, happened, done)

    def _go_on(
        self, walk: history.Walk, step: history.Step, happened: Happened, done: Done
    ) -> None:
        """Write for a moment; go on after the window had its turn, until all is written."""
        if walk is not self._walk:
            return  # a target was dropped meanwhile
        end = time.perf_counter() + SLICE
        try:
            next(walk)
            while time.perf_counter() < end:
                next(walk)
        except StopIteration as stop:
            self._end()
            written: list[history.Part] = stop.value
            parts = [(one, edit.inverse()) for one, edit in reversed(written)]
            if happened == "redone":
                parts = written
            for target, edit in parts:
                _shown(target).walked(edit, happened)
            done(step.text, parts[0][1].boxes if parts else ())
        except (ValueError, OSError) as error:
            self._end()
            self.on_failed(str(error))
        else:
            if not self._held:
                self._held = list(step.targets)
                for target in self._held:
                    _shown(target).hold(True)  # nobody paints where it is still being written
            QTimer.singleShot(0, lambda: self._go_on(walk, step, happened, done))

    def _end(self) -> history.Walk:
        walk, self._walk = self._walk, None
        held, self._held = self._held, []
        for target in held:
            _shown(target).hold(False)
        if walk is None:
            raise RuntimeError("no step is being written")
        return walk


def _shown(target: Target) -> ShownTarget:
    """Return a target of the dock, which are all shown."""
    shown: ShownTarget = target  # type: ignore[assignment]
    return shown
