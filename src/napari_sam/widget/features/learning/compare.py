"""Compares two models on the plane that is shown."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from ....types import Prompts, SliceKey
from ...context import Context
from ...scheduler import Lane, Work
from .outlines import Compared, ShownOutlines, comparing_here
from .panel import LearningPanel

SOURCE = "comparing models"
LEGEND = "{}: blue before, pink after, white both"


class ComparedHere(QObject):  # type: ignore[misc]
    """Asks both models in the background, and outlines their answers until the plane changes.

    Parameters
    ----------
    context : Context
    panel : LearningPanel
    """

    def __init__(self, context: Context, panel: LearningPanel) -> None:
        super().__init__()
        self._context, self._panel = context, panel
        self._outlines = ShownOutlines(context)
        self._asked = False
        context.plane_changed.connect(self.hide)
        context.bench.image_changed.connect(self.hide)

    def show(self, other: str, later: bool) -> None:
        """Compare the model in use with another one.

        Parameters
        ----------
        other : str
            Name or path.
        later : bool
            Whether the one in use is the later one.
        """
        context = self._context
        session, plane = context.session, context.shown()
        if session is None or plane is None:
            self.hide()
            context.status.hint(context.hindrance() or context.absence)
            return
        question = context.work.answers.get(plane.key)
        objects = () if question is None else question.objects.values()
        prompts: list[Prompts] = [one.prompts for one in objects if not one.prompts.empty]
        there = partial(_labels_at, None if context.bench.results is None else self._labels())
        device = context.preferences.chosen.device
        self._asked = True
        work = Work(
            partial(comparing_here, session, other, device, later, plane, prompts, there),
            on_step=lambda step: context.status.progress(SOURCE, f"{step.text} ..."),
            on_result=self._on_compared,
            on_error=self._on_failed,
            text="comparing both models",
        )
        context.scheduler.submit(work, Lane.LEARN)

    def hide(self) -> None:
        """Show no outlines."""
        if self._asked:
            self._asked = False
            self._context.status.progress(SOURCE)
            self._outlines.hide()
            self._panel.set_compared(False)

    def close(self) -> None:
        """Take the layer out of the viewer."""
        self._outlines.remove()

    def _labels(self) -> Any:
        results = self._context.bench.results
        return None if results is None else results.layer.data

    def _on_compared(self, compared: Compared) -> None:
        frame = self._context.bench.frame
        self._context.status.progress(SOURCE)
        if self._asked and frame is not None:
            self._outlines.show(frame, compared)
            self._panel.set_compared(True, LEGEND.format(compared.what))

    def _on_failed(self, text: str) -> None:
        self.hide()
        self._context.status.error(text)


def _labels_at(labels: Any, key: SliceKey) -> NDArray[np.integer[Any]]:
    """Return the labels of an upright plane; in the worker."""
    return np.zeros((1, 1), np.uint8) if labels is None else np.asarray(labels[key.index])
