"""The mask that a click would give, shown under the pointer while Shift is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from ..types import Prediction, PredictRequest, Prompts
from . import layers
from .controller import Controller
from .jobs import Job, Jobs

MODIFIER = "Shift"
"""Adding points pays no heed to it, and adding boxes only during a drag; Ctrl and Alt are taken
by napari's wheel, Alt by its brush and by the windows of some desktops."""
THROTTLE_MS = 30
ENDS = (QEvent.Type.Leave, QEvent.Type.MouseButtonPress, QEvent.Type.WindowDeactivate)


class Hover(QObject):  # type: ignore[misc]
    """Shows the mask under the pointer in the preview; it belongs to no object.

    One question runs at a time. A plane that is not encoded yet shows nothing, nor does one whose
    prompts have an answer. The whole plane is looked at, as there is no time for a closer look.

    Parameters
    ----------
    controller : Controller
    """

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.jobs = Jobs()  # what fails here is said when it is asked by a click
        self.jobs.failed.connect(self._on_done)
        self._newest: PredictRequest | None = None
        self._sent: PredictRequest | None = None
        self._painted = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timer_timeout)
        controller.viewer.mouse_move_callbacks.append(self._on_mouse_move)
        controller.viewer.bind_key(MODIFIER, self._on_key, overwrite=True)
        controller.plane_changed.connect(self.end)
        controller.bench.prompts_changed.connect(self.end)

    def end(self) -> None:
        """Take the mask away; an answer that is on its way is dropped."""
        if self._newest is None:
            return
        self._newest = None
        self._timer.stop()
        QApplication.instance().removeEventFilter(self)
        preview = self.controller.bench.preview
        if self._painted and preview is not None:
            layers.clear_preview(preview)
        self._painted = False

    def close(self) -> None:
        """Let go of the viewer."""
        self.end()
        self.jobs.cancel()
        self.controller.viewer.mouse_move_callbacks.remove(self._on_mouse_move)
        self.controller.viewer.bind_key(MODIFIER, None, overwrite=True)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice what napari does not tell of: the key let go, the canvas left."""
        released = event.type() == QEvent.Type.KeyRelease and event.key() == Qt.Key.Key_Shift
        if released or event.type() in ENDS:
            self.end()
        return False

    def _on_mouse_move(self, viewer: Viewer, event: Any) -> None:
        self._ask(self._question(event.position) if MODIFIER in event.modifiers else None)

    def _on_key(self, viewer: Viewer) -> None:
        if viewer.mouse_over_canvas:
            self._ask(self._question(viewer.cursor.position))

    def _ask(self, request: PredictRequest | None) -> None:
        if request is None:
            self.end()
            return
        if self._newest is None:
            QApplication.instance().installEventFilter(self)
        self._newest = request
        if not self._timer.isActive():
            self._timer.start(THROTTLE_MS)

    def _question(self, position: Sequence[float]) -> PredictRequest | None:
        """Return what a click at a place in the world would ask, if it can be answered at once."""
        controller = self.controller
        shown, session, frame = controller.shown(), controller.session, controller.bench.frame
        points = controller.bench.points
        if shown is None or session is None or frame is None or points is None:
            return None
        if controller.asked or controller.kind != layers.OBJECT or not session.ready(shown):
            return None
        x, y = layers.place_in_plane(points, position, shown.key)
        height, width = (frame.shape[axis] for axis in shown.key.displayed)
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            return None
        return replace(shown, prompts=Prompts([(x, y)], [1]))

    def _on_timer_timeout(self) -> None:
        request, session = self._newest, self.controller.session
        if request is None or session is None or self.jobs.busy:
            return

        def steps() -> Iterator[Any]:
            yield request, session.predictor.predict(session.embedding(request), request.prompts)

        self._sent = request
        self.jobs.submit(Job(steps, self._on_answer, self._on_done, "the preview"))

    def _on_answer(self, value: tuple[PredictRequest, Prediction]) -> None:
        request, answer = value
        bench = self.controller.bench
        if self._newest is None or request.key != self._newest.key:
            return  # the key was let go, or another plane is shown
        if bench.preview is None or bench.frame is None:
            return
        label = bench.results.next_label if bench.results else 1
        mask = answer.masks[answer.best]
        layers.show_preview(bench.preview, bench.frame, request.key, [mask], label)
        self._painted = True

    def _on_done(self) -> None:
        """Ask about where the pointer is now, if it went on."""
        if self._newest is not None and self._newest is not self._sent:
            self._timer.start(THROTTLE_MS)
