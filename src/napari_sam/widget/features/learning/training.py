"""One training: what it was asked for, its process, and what that tells."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from ....training.finetune.audit import Audit
from ....training.finetune.findings import Finding
from ....training.finetune.request import RESULT, Request, new_folder
from ....types import Progress
from ...context import Context
from ...scheduler import Lane, Work
from .child import Child
from .sources import asking


@dataclass(eq=False)
class Job:
    """A training, or only the estimate of one.

    Attributes
    ----------
    folder : Path
    request : Request
    automatic : bool
        Whether the user did not ask for it.
    learnt : bool
        Whether a step was made.
    ending : bool
        Whether it learns no more: both models are being compared.
    """

    folder: Path
    request: Request
    automatic: bool
    learnt: bool = False
    ending: bool = False


class Training(QObject):  # type: ignore[misc]
    """Runs one training at a time; its folder is removed when the next one begins, or at the end.

    Parameters
    ----------
    context : Context

    Attributes
    ----------
    job : Job or None
        What runs, or has ended last.

    Signals
    -------
    changed : no argument
        It runs, is paused or ending, or does no more.
    told : dict
        An event of the process; see `training.finetune.process`.
    failed : str
        Why it has ended; `resumable` says whether it can go on.
    """

    changed = Signal()
    told = Signal(object)
    failed = Signal(str)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._child = Child()
        self._child.told.connect(self._on_told)
        self._child.ended.connect(self._on_ended)
        self.job: Job | None = None
        self.paused = self.resumable = self._preparing = False

    @property
    def runs(self) -> bool:
        """Whether it trains, compares, or is about to."""
        return self._training or self._preparing

    @property
    def result(self) -> Path | None:
        """The trained model of the last job; None if there is none."""
        path = None if self.job is None else self.job.folder / RESULT
        return path if path is not None and path.is_file() else None

    def begin(
        self, audit: Audit, left_out: Sequence[Finding], request: Request, automatic: bool = False
    ) -> None:
        """Write what is asked for in the background, then begin; what runs is ended."""
        self._child.kill()
        earlier = self.job
        job = self.job = Job(new_folder(self._context.disk.folder), request, automatic)
        self.paused = self.resumable = False
        self._preparing = not request.estimate
        self.changed.emit()

        def steps() -> Generator[Progress, None, None]:
            if earlier is not None:
                shutil.rmtree(earlier.folder, ignore_errors=True)
            return (yield from asking(audit, left_out, job.folder, request))

        work = Work(
            steps,
            on_result=lambda _: self._start(job),
            on_error=partial(self._fail, job),
            text="preparing the training",
        )
        self._context.scheduler.submit(work, Lane.LEARN)

    def go_on(self) -> None:
        """Go on with a training whose process has ended unexpectedly."""
        if self.job is not None:
            self.job.learnt = self.job.ending = False
            self._start(self.job)

    def pause(self, paused: bool) -> None:
        """Stand still, or go on."""
        self.paused = paused
        self._child.say("pause" if paused else "resume")
        self.changed.emit()

    def stop(self) -> None:
        """Compare the best so far; where it is being compared already, or nothing, give up."""
        job = self.job
        if job is not None and self._training and job.learnt and not job.ending:
            job.ending = True
            self.pause(False)
            self._child.say("stop")
        else:
            self.give_up()

    def give_up(self) -> None:
        """End the process; nothing comes of it."""
        if self._preparing:
            self._context.scheduler.cancel(Lane.LEARN)
        self._child.kill()
        self.paused = self.resumable = self._preparing = False
        self.changed.emit()

    def close(self) -> None:
        """End the process and remove its folder."""
        self._child.close()
        if self.job is not None:
            shutil.rmtree(self.job.folder, ignore_errors=True)

    @property
    def _training(self) -> bool:
        """Whether there is a process that does more than to estimate."""
        return self._child.runs and self.job is not None and not self.job.request.estimate

    def _start(self, job: Job) -> None:
        if job is self.job:
            self._preparing = self.resumable = False
            self._child.start(job.folder)
            self.changed.emit()

    def _fail(self, job: Job, text: str) -> None:
        if job is self.job:
            self.give_up()
            self.failed.emit(text)

    def _on_told(self, event: dict[str, Any]) -> None:
        job = self.job
        if job is None:
            return
        kind = event["event"]
        if kind == "step" and event["index"]:
            job.learnt = True
        elif kind == "progress" and job.learnt and not job.ending:
            job.ending = True
            self.changed.emit()
        if kind == "error":
            self._fail(job, f"training failed: {event['text']}")
            return
        if kind == "verdict":  # nothing more comes
            self._child.kill()
            self.changed.emit()
        self.told.emit(event)

    def _on_ended(self, text: str) -> None:
        job = self.job
        self.resumable = bool(text) and job is not None and job.learnt
        self.paused = False
        self.changed.emit()
        if text:
            hope = "; Go on begins again at its last checkpoint" if self.resumable else ""
            self.failed.emit(f"{text}{hope}")
