"""Propagation in the background: what is left to do is done, what is found is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
from qtpy.QtCore import QObject, Signal

from ....objects.overlap import KEEP
from ....objects.segmented import Outline, upright
from ....stack.propagate import Found, FoundPlane
from ....types import Mask, Plane
from ...context import Context
from ...scheduler import Lane, Work
from .following import Followed, Line
from .run import Job, Occupied, Step, follow

FOLLOWING = "following"
"""The source of progress in the status line."""
NAMED = 3
"""More objects than these are counted in the status line."""
STOPPED = "stopped; what was found so far is kept, Esc takes it back"


class Propagation(QObject):  # type: ignore[misc]
    """Follows objects in work; what is found goes to `Context.work`.

    Parameters
    ----------
    context : Context

    Attributes
    ----------
    followed : dict of int to Followed
        By number of the object.
    running : bool
        Whether planes are being worked on.
    propagator : {"appearance", "memory"} or None
        How objects are found in the next plane; None is as it suits the model.

    Signals
    -------
    changed : no argument
        Something was found, or work begins or ends.
    finished : no argument
        All is done.
    stopped : no argument
        Work was cancelled, or failed.
    """

    changed = Signal()
    finished = Signal()
    stopped = Signal()

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context, self.work, self.status = context, context.work, context.status
        self.followed: dict[int, Followed] = {}
        self.running = False
        self.propagator: str | None = None
        self._done = self._total = 0
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def add(self, number: int, one: Followed) -> None:
        """Follow an object, or follow it otherwise; `run` begins."""
        self.followed[number] = one
        self.work.propagated.setdefault(number, {})

    def drop(self, number: int) -> None:
        """Follow an object no more, and forget what was found of it."""
        self.followed.pop(number, None)
        self.work.propagated.pop(number, None)

    def halt(self, shown: Plane) -> bool:
        """Leave undone what is not done, and go on later in the pixels that are shown now.

        What was found stays, but that of objects that are followed without having been asked for.

        Returns
        -------
        bool
            Whether objects were being followed that had been asked for.
        """
        asked = self.running and any(one.todo and not one.live for one in self.followed.values())
        self.running = False
        self.context.scheduler.cancel(Lane.FOLLOW)
        for number, one in self.followed.items():
            self.followed[number] = one.halted(shown)
            if one.live:
                self.work.propagated[number] = {}
        self._end()
        return asked

    def stop(self) -> None:
        """Stop because the user wants that; what was found stays."""
        self.context.scheduler.cancel(Lane.FOLLOW)
        self.status.hint(STOPPED)

    def clear(self) -> None:
        """Follow nothing any more."""
        self.running = False
        self.context.scheduler.cancel(Lane.FOLLOW)
        self.followed.clear()
        self._end()

    def run(self) -> None:
        """Work on what is left to do of all objects; they do not come to overlap."""
        session, scheduler = self.context.session, self.context.scheduler
        self.running = False  # what is cancelled now is gone on with
        scheduler.cancel(Lane.FOLLOW)
        jobs = self._jobs()
        if session is None or not jobs:
            self._end()
            return
        self.running = True
        self._done, self._total = 0, sum(len(job.places) for job in jobs)
        self._say_progress(jobs[0])
        work = Work(
            partial(follow, session, jobs),
            on_step=self._on_step,
            on_result=self._on_result,
            on_error=self._on_error,
            text="propagation",
        )
        scheduler.submit(work, Lane.FOLLOW)
        self.changed.emit()

    def _jobs(self) -> list[Job]:
        """Group the objects whose planes are the same; they are followed together."""
        groups: list[list[int]] = []
        for number, one in self.followed.items():
            if one.todo:
                alike = (g for g in groups if self.followed[g[0]].goes_with(one))
                group = next(alike, None)
                if group is None:
                    groups.append([number])
                else:
                    group.append(number)
        jobs = []
        for numbers in groups:
            line = self.followed[numbers[0]].line
            places = frozenset().union(*(self.followed[number].todo for number in numbers))
            keyframes = {number: self._anchors(number) for number in numbers}
            occupied = self._occupied(numbers, line)
            jobs.append(Job(line, keyframes, places, occupied, self.propagator))
        return jobs

    def _anchors(self, number: int) -> dict[int, Mask]:
        """Return the keyframes of an object, and what was found just beside its planes to do."""
        one = self.followed[number]
        found = {key: outline.mask for key, outline in self.work.outlines(number).items()}
        beside = {place + step for place in one.todo for step in (-1, 1)} - one.todo
        edges = {place: m for place, m in one.line.masks(found).items() if m and place in beside}
        return {**(edges if one.live else {}), **one.keyframes}

    def _occupied(self, numbers: list[int], line: Line) -> Occupied:
        """Return what others have: kept objects that keep their pixels, and others in work.

        What is to be done again of others does not count.
        """
        in_work = self.work.numbers()
        masks: dict[int, list[Mask]] = {}
        for number in in_work:
            if number not in numbers:
                one = self.followed.get(number)
                todo = one.todo if one is not None and one.line.same_as(line) else ()
                found = {key: one.mask for key, one in self.work.outlines(number).items()}
                for place, mask in line.masks(found | self.work.keyframes(number)).items():
                    if mask and place not in todo:
                        masks.setdefault(place, []).append(mask)
        results = self.context.bench.results
        labels = None
        if results is not None and self.context.overlap == KEEP:
            labels = results.layer.data
        return Occupied(labels, [-number for number in in_work if number < 0], masks)

    def _keep(self, job: Job, plane: FoundPlane, numbers: Iterable[int]) -> None:
        """Note what was found in a plane, and show it if that is the plane shown."""
        session, shown = self.context.session, self.context.shown()
        if session is None:
            return
        name, weights = session.predictor.model.name, session.predictor.model.fingerprint
        nothing = Found(Mask.of(np.zeros((1, 1), bool), size=job.line.plane.size), 0.0)
        key = upright(job.line.key(plane.place))
        for number in numbers:
            if number in self.followed and number in self.work.propagated:
                one = plane.found.get(number, nothing)
                outline = Outline(one.mask, None, 0, one.score, "propagated", name, weights)
                self.work.propagated[number][key] = job.line.oriented(outline)
                self.followed[number] = self.followed[number].without([plane.place])
        if shown is not None and upright(shown.key) == key:
            self.context.propagated.emit()
        self.changed.emit()

    def _say_progress(self, job: Job) -> None:
        numbers = list(job.keyframes)
        if all(self.followed[number].live for number in numbers if number in self.followed):
            return  # the user goes on with something else
        which = f"{len(numbers)} objects"
        if len(numbers) <= NAMED:
            labels = [str(self.work.label(number)) for number in numbers]
            which = f"object{'s' if len(labels) > 1 else ''} {', '.join(labels)}"
        text = f"following {which}: {self._done} of {self._total} planes (Esc stops)"
        self.status.progress(FOLLOWING, text, self._done, self._total, self.stop)

    def _end(self) -> None:
        self.running = False
        self.status.progress(FOLLOWING)
        self.changed.emit()

    def _stop(self) -> None:
        """Leave undone what is not done; what was found stays."""
        self.followed = {
            k: replace(one.without(one.todo), stopped=one.stopped or bool(one.todo))
            for k, one in self.followed.items()
        }
        self.stopped.emit()
        self._end()

    def _on_step(self, step: Step) -> None:
        job, value = step
        if isinstance(value, FoundPlane):
            self._done += 1
            self._say_progress(job)
            numbers = [n for n in job.keyframes if value.place in self._todo(n)]
            self._keep(job, value, numbers)
        elif value is None:  # objects are not in planes of which nothing was said
            for number in job.keyframes:
                for place in job.places & self._todo(number):
                    self._keep(job, FoundPlane(place, {}), [number])

    def _todo(self, number: int) -> frozenset[int]:
        one = self.followed.get(number)
        return frozenset() if one is None else one.todo

    def _on_result(self, _: None) -> None:
        self._end()
        self.finished.emit()

    def _on_error(self, text: str) -> None:
        self._stop()
        self.status.error(text)

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane is Lane.FOLLOW and not busy and self.running:
            self._stop()  # it was cancelled elsewhere
