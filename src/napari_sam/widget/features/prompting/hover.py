"""The mask that a click would give, shown under the pointer while Shift is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from ....steps import single
from ....types import Plane, Prediction, Prompts
from ... import layers
from ...context import Context
from ...scheduler import Lane, Work
from .asker import Asker

MODIFIER = "Shift"
"""Adding points pays no heed to it, and adding boxes only during a drag; Ctrl and Alt are taken
by napari's wheel, Alt by its brush and by the windows of some desktops."""
THROTTLE_MS = 30
ENDS = (QEvent.Type.Leave, QEvent.Type.MouseButtonPress, QEvent.Type.WindowDeactivate)


@dataclass(frozen=True, eq=False)
class Place:
    """Where the pointer is.

    Attributes
    ----------
    plane : Plane
    xy : (x, y) float, pixels of the plane
    """

    plane: Plane
    xy: tuple[float, float]


class Hover(QObject):  # type: ignore[misc]
    """Shows the mask under the pointer in the preview; it belongs to no object.

    One question runs at a time. A plane that is not encoded yet shows nothing, nor does one whose
    prompts have an answer. The whole plane is looked at, as there is no time for a closer look.

    Parameters
    ----------
    context : Context
    asker : Asker
        Whose question goes first.
    """

    def __init__(self, context: Context, asker: Asker) -> None:
        super().__init__()
        self.context = context
        self.asker = asker
        self._newest: Place | None = None
        self._sent: Place | None = None
        self._painted = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timer_timeout)
        context.viewer.mouse_move_callbacks.append(self._on_mouse_move)
        context.viewer.bind_key(MODIFIER, self._on_key, overwrite=True)

    def end(self) -> None:
        """Take the mask away; an answer that is on its way is dropped."""
        if self._newest is None:
            return
        self._newest = None
        self._timer.stop()
        QApplication.instance().removeEventFilter(self)
        preview = self.context.bench.prompts.preview
        if self._painted and preview is not None:
            layers.clear_preview(preview)
        self._painted = False

    def close(self) -> None:
        """Let go of the viewer."""
        self.end()
        self.context.viewer.mouse_move_callbacks.remove(self._on_mouse_move)
        self.context.viewer.bind_key(MODIFIER, None, overwrite=True)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Notice what napari has no event for: the key released, the pointer outside the canvas."""
        released = event.type() == QEvent.Type.KeyRelease and event.key() == Qt.Key.Key_Shift
        if released or event.type() in ENDS:
            self.end()
        return False

    def _on_mouse_move(self, viewer: Viewer, event: Any) -> None:
        self._ask(self._place(event.position) if MODIFIER in event.modifiers else None)

    def _on_key(self, viewer: Viewer) -> None:
        if viewer.mouse_over_canvas:
            self._ask(self._place(viewer.cursor.position))

    def _ask(self, place: Place | None) -> None:
        if place is None:
            self.end()
            return
        if self._newest is None:
            QApplication.instance().installEventFilter(self)
        self._newest = place
        if not self._timer.isActive():
            self._timer.start(THROTTLE_MS)

    def _place(self, position: Sequence[float]) -> Place | None:
        """Return a place in the world, if a click there could be answered at once."""
        context, prompts = self.context, self.context.bench.prompts
        plane, session, points = context.shown(), context.session, prompts.points
        if plane is None or session is None or points is None:
            return None
        asked = self.asker.question is not None
        if asked or prompts.kind != layers.OBJECT or not session.ready(plane):
            return None
        x, y = layers.place_in_plane(points, position, plane.key)
        height, width = plane.size
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            return None
        return Place(plane, (x, y))

    def _on_timer_timeout(self) -> None:
        place, session = self._newest, self.context.session
        scheduler = self.context.scheduler
        if place is None or session is None or scheduler.is_busy(Lane.HOVER):
            return

        def answered() -> Prediction:
            prompts = Prompts([place.xy], [1])
            return session.predictor.predict(session.embedding(place.plane), prompts)

        def done(answer: Prediction) -> None:
            self._on_answer(place, answer)
            self._go_on()

        self._sent = place  # what fails is said when it is asked by a click
        work = Work(
            partial(single, answered),
            on_result=done,
            on_error=lambda text: self._go_on(),
            text="the preview",
        )
        scheduler.submit(work, Lane.HOVER)

    def _on_answer(self, place: Place, answer: Prediction) -> None:
        bench, preview = self.context.bench, self.context.bench.prompts.preview
        if self._newest is None or not place.plane.same_as(self._newest.plane):
            return  # the key was released, or another plane is shown
        if preview is None or bench.frame is None:
            return
        label = bench.results.store.next_label if bench.results else 1
        mask = answer.masks[self.asker.preference.first(answer)]
        layers.show_preview(preview, bench.frame, place.plane.key, {label: mask})
        self._painted = True

    def _go_on(self) -> None:
        """Ask about where the pointer is now, if it went on."""
        if self._newest is not None and self._newest is not self._sent:
            self._timer.start(THROTTLE_MS)
