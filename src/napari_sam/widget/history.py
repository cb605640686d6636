"""Undo and redo in the dock: long steps are written in pieces, and the window stays alive."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any, Literal, Protocol

from qtpy.QtCore import QTimer

from ..objects import history
from ..objects.boxes import Box
from ..objects.edit import Edit
from ..objects.recorder import Recorder, Target
from ..objects.step import Part, Step
from ..types import Progress

SLICE = 0.03
"""Seconds that a long step is written for before the window gets its turn."""

Steps = Generator[Progress, None, Any]
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
    elsewhere : callable
        Returns " on NAME" for a target of an image that is not worked on, else nothing.
    """

    def __init__(self) -> None:
        self.steps = history.History()
        self.on_failed: Callable[[str], None] = lambda text: None
        self.elsewhere: Callable[[Target], str] = lambda target: ""
        self._walk: history.Walk | None = None
        self._work: Steps | None = None
        self._done: Callable[[str], None] = lambda failed: None  # called when it ends
        self._held: list[Target] = []

    @property
    def number(self) -> int:
        """Number of the newest step; 0 if there is none."""
        return 0 if self.steps.newest is None else self.steps.newest.number

    @property
    def walking(self) -> bool:
        """Whether something is being taken back, made again or restored."""
        return self._walk is not None or self._work is not None

    def use(self, recorder: Recorder) -> None:
        """Record all steps from now on; see `objects.history.History.use`."""
        self.steps.use(recorder)

    def note(self, target: ShownTarget, edit: Edit, joined: bool = False) -> None:
        """Take up an edit that is written already; says so where it cannot be recorded."""
        try:
            (self.steps.note_joined if joined else self.steps.note)(target, edit)
        except OSError as error:
            self.on_failed(f"{edit.text} stays, but is not in the journal yet: {error}")

    def run(self, steps: Steps, done: Callable[[str], None], at_once: bool = False) -> None:
        """Make steps in pieces, such as those of a journal; until the end nothing is taken back.

        Parameters
        ----------
        steps : generator
        done : callable
            Called at the end; with a sentence if something could not be written or recorded.
        at_once : bool
            Make all of them before this returns: they are short.

        Raises
        ------
        ValueError
            If the last change is still being written.
        """
        if self.walking:
            raise ValueError("wait until the last change is written")
        self._work, self._done = steps, done
        self._run_on(steps, math.inf if at_once else SLICE)

    def write(
        self,
        target: ShownTarget,
        steps: Steps,
        done: Callable[[], None],
        at_once: bool = False,
        also: Sequence[ShownTarget] = (),
    ) -> None:
        """Make or join an edit in pieces; nobody changes the target until it is written.

        Parameters
        ----------
        target : ShownTarget
        steps : generator
            Of `steps.make_in_pieces`, for one. A short one is at its end when this returns.
        done : callable
            Called at the end; `on_failed` instead if something could not be written or recorded.
        at_once : bool
            Make all of them before this returns: they are short.
        also : sequence of ShownTarget
            Others that are written to.

        Raises
        ------
        ValueError
            If the last change is still being written.
        """

        def ended(failed: str) -> None:
            if failed:
                self.on_failed(failed)
            else:
                done()

        self.run(steps, ended, at_once)
        if self._work is steps:
            self._hold([target, *also])

    def finish(self, steps: Steps) -> None:
        """Do all the rest of some steps, if they are what is being written."""
        self._run_on(steps, math.inf)

    def stop(self) -> None:
        """Leave what `run` and `write` have begun."""
        work, self._work = self._work, None
        if work is not None:
            self._leave(work)
            self._release()

    def drop(self, target: ShownTarget) -> None:
        """Forget a target that is gone; what is being written in it is taken back."""
        if self._work is not None and target in self._held:
            self.stop()
        step = self.steps.walked
        if self._walk is not None and step is not None and target in step.targets:
            self._leave(self._end())
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
        step: Step | None,
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

    def _go_on(self, walk: history.Walk, step: Step, happened: Happened, done: Done) -> None:
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
            written: list[Part] = stop.value
            parts = [(one, edit.inverse()) for one, edit in reversed(written)]
            if happened == "redone":
                parts = written
            for target, edit in parts:
                _shown(target).walked(edit, happened)
            elsewhere = self.elsewhere(parts[0][0]) if parts else ""
            boxes = () if elsewhere else tuple(box for _, edit in parts for box in edit.boxes)
            done(step.text + elsewhere, boxes)
        except (ValueError, OSError) as error:
            self._end()
            self.on_failed(str(error))
        except Exception:
            self._end()
            raise  # a fault of the program; the user can go on
        else:
            if not self._held:
                self._hold(step.targets)
            QTimer.singleShot(0, lambda: self._go_on(walk, step, happened, done))

    def _run_on(self, steps: Steps, seconds: float) -> None:
        if steps is not self._work:
            return
        failed = ""
        end = time.perf_counter() + seconds
        try:
            next(steps)
            while time.perf_counter() < end:
                next(steps)
        except StopIteration:
            pass
        except (ValueError, OSError) as error:
            failed = str(error)
        except Exception:
            self._work = None
            self._release()
            raise  # a fault of the program; the user can go on
        else:
            QTimer.singleShot(0, lambda: self._run_on(steps, SLICE))
            return
        self._work = None
        self._release()
        self._done(failed)

    def _leave(self, steps: Steps) -> None:
        """Let something take back what it has written; says so where it cannot."""
        try:
            steps.close()
        except (ValueError, OSError) as error:
            self.on_failed(str(error))

    def _end(self) -> history.Walk:
        walk, self._walk = self._walk, None
        self._release()
        if walk is None:
            raise RuntimeError("no step is being written")
        return walk

    def _hold(self, targets: Sequence[Target]) -> None:
        """Let nobody paint where it is still being written."""
        self._held = list(targets)
        for target in self._held:
            _shown(target).hold(True)

    def _release(self) -> None:
        held, self._held = self._held, []
        for target in held:
            _shown(target).hold(False)


def _shown(target: Target) -> ShownTarget:
    """Return a target of the dock, which are all shown."""
    shown: ShownTarget = target  # type: ignore[assignment]
    return shown
