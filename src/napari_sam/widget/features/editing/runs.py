"""Edits of kept objects: planned in the background, written as one step, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from ....objects import Edit
from ....types import Progress
from ...context import Context
from ...labels_view import LabelsView
from ...scheduler import Lane, Work

COMPUTING = "editing"
"""The source of progress in the status line."""
MOST_WAITING = 10
"""So many edits wait for their turn, as when a key is held down; more are left out."""
WRITING = "labels are being written; try again in a moment"

Planning = Generator[Progress, None, Any]
Making = Generator[Progress, None, Edit]


@dataclass(frozen=True, eq=False)
class Job:
    """An edit that is to be made.

    Attributes
    ----------
    view : LabelsView
    prepare : callable
        Returns what begins to plan it in a worker, where it only reads. Called when it is the job's
        turn; raises ValueError if the edit cannot be made.
    make : callable
        From the plan to what makes the edit, a piece at a time; None if nothing would change.
        Raises ValueError if the edit cannot be made any longer.
    said : callable
        From the edit to what the status line says, or from None if there is none.
    text : str
        What is done, for the status line: "smoothing object 3".
    """

    view: LabelsView
    prepare: Callable[[], Callable[[], Planning]]
    make: Callable[[Any], Making | None]
    said: Callable[[Edit | None], str]
    text: str


class Runs:
    """Does one job after the other.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.context, self.status = context, context.status
        self._waiting: deque[Job] = deque()
        self._writing = False

    @property
    def busy(self) -> bool:
        """Whether an edit is being planned or written."""
        return self._writing or self.context.scheduler.is_busy(Lane.EDIT)

    def do(self, job: Job) -> None:
        """Do a job now, or when those before it are done."""
        if self.busy:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(job)
        elif self.context.history.walking:
            self.status.hint(WRITING)
        else:
            self._begin(job)

    def stop(self) -> bool:
        """Leave what is being planned, and what waits; tells whether there was any."""
        if not self.context.scheduler.is_busy(Lane.EDIT):
            return False
        self._waiting.clear()
        self.context.scheduler.cancel(Lane.EDIT)
        self.status.progress(COMPUTING)
        self.status.hint("stopped; nothing was changed")
        return True

    def _begin(self, job: Job) -> None:
        try:
            plan = job.prepare()
        except ValueError as error:
            self._waiting.clear()
            self.status.error(str(error))
            return

        def failed(text: str) -> None:
            self._waiting.clear()
            self.status.progress(COMPUTING)
            self.status.error(text)

        def stepped(progress: Progress) -> None:
            if progress.total > 1:
                text = f"{job.text} ({progress.done} of {progress.total} planes; Esc stops it)"
                self.status.progress(COMPUTING, text, progress.done, progress.total, self.stop)

        def planned(result: Any) -> None:
            self.status.progress(COMPUTING)
            self._write(job, result)

        work = Work(plan, stepped, planned, failed, job.text)
        self.context.scheduler.submit(work, Lane.EDIT)

    def _write(self, job: Job, plan: Any) -> None:
        history, view = self.context.history, job.view
        if not any(one is view for one in self.context.bench.views):
            self._waiting.clear()
            self.status.error("the Labels layer was removed; nothing was changed")
            return
        if history.walking:
            self._waiting.clear()
            self.status.hint(WRITING)
            return
        view.look_again()  # a new object gets a label that nothing in the array has
        try:
            making = job.make(plan)
        except ValueError as error:
            self._waiting.clear()
            self.status.error(str(error))
            return
        if making is None:
            self.status.hint(job.said(None))
            self._next()
            return
        made: list[Edit] = []

        def steps() -> Generator[Progress, None, None]:
            try:
                edit = yield from making
                yield from self.context.recording.keep_outlines(edit)
                yield from view.make_or_join(edit, None)
                made.append(edit)
            finally:
                self._writing = False
                if not made:
                    self._waiting.clear()

        def written() -> None:
            self.status.hint(f"{job.said(made[0])} (Ctrl+Z undoes it)")
            self._next()

        self._writing = True
        history.write(view, steps(), written)

    def _next(self) -> None:
        """Do what waits, once what has just ended is out of the way."""
        if self._waiting:
            self._begin(self._waiting.popleft())
