"""Saves labels that the user goes on with: what changes meanwhile is written again."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from functools import partial
from itertools import product

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from ..formats.annotation import Annotation
from ..formats.project import Place
from ..formats.snapshot import Writer
from ..objects.edit import Edit
from ..types import Progress
from .labels_view import LabelsView
from .scheduler import Lane, Scheduler, Work

WAIT_MS = 50
"""Until it is looked again whether a step, or a stroke, has ended."""


class LiveSave:
    """Writes the planes of a layer until none has changed, and then what belongs to them.

    Parameters
    ----------
    view : LabelsView
    busy : callable
        Returns whether something is being written into the layer, or soon will be.
    scheduler : Scheduler
    begin : callable
        Called in the worker; returns what writes.
    moment : callable
        Called on the main thread as soon as all planes are written as they are at that moment;
        returns what makes the annotation of that moment, in the worker. None if nobody can tell.
    done : callable
        Called at the end on the main thread; with False if `moment` returned None.
    failed : callable
        Called with a sentence instead.
    told : callable
        Called with the progress.
    """

    def __init__(
        self,
        view: LabelsView,
        busy: Callable[[], bool],
        scheduler: Scheduler,
        begin: Callable[[], Writer],
        moment: Callable[[], Callable[[], Annotation] | None],
        done: Callable[[bool], None],
        failed: Callable[[str], None],
        told: Callable[[Progress], None],
    ) -> None:
        self._view, self._busy, self._scheduler = view, busy, scheduler
        self._begin, self._moment = begin, moment
        self._done, self._failed, self._told = done, failed, told
        self._writer: Writer | None = None
        self._touched: set[Place] = set()
        view.store.watchers.append(self._on_touched)
        self._write(np.ndindex(*view.store.canvas.shape[:-2]))

    def _write(self, places: Iterable[Place]) -> None:
        steps = partial(self._planes, places)
        work = Work(steps, self._told, self._check, self._fail, "saving")
        self._scheduler.submit(work, Lane.SAVE)

    def _planes(self, places: Iterable[Place]) -> Generator[Progress, None, None]:
        """Write planes; the first time, begin the file."""
        ended = False
        try:
            if self._writer is None:
                self._writer = self._begin()
            yield from self._writer.write_planes(places)
            ended = True
        finally:
            if not ended:
                self._close()

    def _check(self, result: None = None) -> None:
        """Write again what was touched; else end. While somebody writes or paints, wait."""
        painting = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        if self._busy() or painting:
            # napari paints at once and tells of a stroke at its end
            QTimer.singleShot(WAIT_MS, self._check)
            return
        if self._touched:
            touched, self._touched = sorted(self._touched), set()
            self._write(touched)
            return
        annotation = self._moment()
        self._let_go()
        if annotation is None:
            self._close()
            self._done(False)
            return
        steps = partial(self._rest, annotation)
        work = Work(steps, on_result=self._done, on_error=self._failed, text="saving")
        self._scheduler.submit(work, Lane.SAVE)

    def _rest(self, annotation: Callable[[], Annotation]) -> Generator[Progress, None, bool]:
        try:
            yield Progress(0, 1, "saving")
            if self._writer is not None:
                self._writer.finish(annotation())
        finally:
            self._close()
        return True

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _fail(self, text: str) -> None:
        self._let_go()
        self._failed(text)

    def _let_go(self) -> None:
        self._view.store.watchers.remove(self._on_touched)

    def _on_touched(self, edit: Edit) -> None:
        for patch in edit.patches:
            ranges = [range(start, stop) for start, stop in patch.box[:-2]]
            self._touched.update(product(*ranges))
