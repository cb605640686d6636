"""Encoding of planes in advance: the one shown, then its neighbours in the direction of travel."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace

from qtpy.QtCore import QTimer
from superqt import QElidingLabel

from ....predict.image_cache import nbytes
from ....predict.session import Session
from ....stack.planes import plane_text
from ....types import Plane, SliceKey
from ...context import Context
from ...scheduler import Lane, Work
from ..feature import Feature

SETTLE_MS = 150
"""A plane is encoded once it has been shown, and there was no input, for this time."""
AHEAD, BEHIND = 3, 1
"""Neighbours that are encoded in the direction of travel, and against it."""
ASKED = (Lane.CLICK, Lane.HOVER, Lane.FOLLOW, Lane.BULK)
"""What the user asks for; no neighbour is begun while any of it runs."""

Travel = tuple[int, int]
"""The axis of the slider that was moved last, and in which direction: 1 or -1."""


class Prefetch(Feature):
    """Encodes the plane shown, then neighbours that are not ready, one at a time.

    Its panel says which plane is shown, and which ones are ready.
    """

    panel: QElidingLabel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.panel = QElidingLabel()  # always one line: nothing below it moves
        self.panel.setToolTip("The plane shown, and which planes will answer a click at once")
        self._session: Session | None = None
        self._shown: Plane | None = None
        self._begun: Plane | None = None
        self._failed: set[SliceKey] = set()
        self._travel: Travel = (0, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timer_timeout)
        for signal in (
            context.plane_changed,
            context.session_changed,
            context.pixels_changed,
            context.bench.image_changed,
        ):
            signal.connect(self._on_plane_changed)
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def start(self) -> None:
        """Begin with the plane shown."""
        self._on_plane_changed()

    def close(self) -> None:
        """Begin nothing any more."""
        self._timer.stop()
        self._session = None

    def _settle(self) -> None:
        """Begin no other neighbour; start again after a while without input."""
        self._timer.start(SETTLE_MS)

    def _make_way(self) -> None:
        """Stop the plane that is being encoded if the one shown would have to wait for it."""
        shown, session = self.context.shown(), self._session
        if self._begun is None or shown is None or session is None:
            return
        if not self._begun.same_as(shown) and not session.ready(shown):
            self._stop()

    def _stop(self) -> None:
        self._begun = None
        self.context.scheduler.cancel(Lane.PLANE)
        self.context.scheduler.cancel(Lane.PREFETCH)

    def _encode(self, session: Session, plane: Plane, lane: Lane) -> None:
        shown = self._shown

        def steps() -> Generator[None, None, None]:
            if shown is not None and plane is not shown:
                session.embedding(shown)  # used last, so a neighbour cannot drop it
                yield
            session.embedding(plane)

        def done(_: None) -> None:
            self._failed.discard(plane.key)
            self._go_on(plane)

        def failed(text: str) -> None:
            self._failed.add(plane.key)
            if self._shown is not None and plane.key == self._shown.key:
                self.context.status.error(text)
            self._go_on(plane)

        self._begun = plane
        work = Work(steps, on_result=done, on_error=failed, text="encoding")
        self.context.scheduler.submit(work, lane)

    def _go_on(self, plane: Plane) -> None:
        self._begun = None
        self._say()
        if plane is self._shown:
            self.context.plane_encoded.emit()
        self._next()

    def _next(self) -> None:
        """Encode the next neighbour that is not ready, if nothing else is to be done."""
        session, scheduler = self._session, self.context.scheduler
        if session is None or self._timer.isActive() or scheduler.any_busy(ASKED):
            return
        missing = [one for one in self._planned(session) if not session.ready(one)]
        if missing:
            self._encode(session, missing[0], Lane.PREFETCH)

    def _planned(self, session: Session) -> list[Plane]:
        """Return neighbours, no more than the session keeps along with the plane shown."""
        frame, shown = self.context.bench.frame, self._shown
        if frame is None or shown is None or not session.ready(shown):
            return []
        bytes_each = nbytes(session.embedding(shown).features)
        room = max(0, session.max_bytes // max(1, bytes_each) - 1)
        keys = neighbours(shown.key, self._travel, frame.shape, AHEAD, BEHIND)[:room]
        planes = [replace(shown, key=key) for key in keys if key not in self._failed]
        for one in planes:
            if session.ready(one):  # it counts as used now, so that others do not push it out
                session.embedding(one)
        return planes

    def _say(self) -> None:
        session, frame, shown = self._session, self.context.bench.frame, self._shown
        if frame is None or shown is None:
            self.panel.setText("")
            return
        text = plane_text(shown)
        if session is None:
            self.panel.setText(text)
            return
        if not session.ready(shown):
            if session.follows_view(shown):
                self.panel.setText(f"{text} - very large: the model looks at what is on screen")
                return
            failed = shown.key in self._failed
            self.panel.setText(f"{text} - {'not encoded' if failed else 'encoding ...'}")
            return
        keys = neighbours(shown.key, self._travel, frame.shape, AHEAD, 0)
        places = [
            str(dict(key.fixed)[_axis(key, self._travel)])
            for key in keys
            if session.ready(replace(shown, key=key))
        ]
        following = f" (next {', '.join(places)})" if places else ""
        self.panel.setText(f"{text} - ready{following}")

    def _on_plane_changed(self) -> None:
        before, shown = self._shown, self.context.shown()
        same_image = before is not None and shown is not None and before.image is shown.image
        if not same_image or self._session is not self.context.session:
            self._stop()
            self._failed.clear()
        if before is not None and shown is not None:
            self._travel = travelled(before.key, shown.key) or self._travel
        self._shown, self._session = shown, self.context.session
        self._make_way()
        self._settle()
        self._say()

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane in ASKED:
            if busy:
                self._make_way()
            self._settle()

    def _on_timer_timeout(self) -> None:
        self._shown = self.context.shown()  # with the contrast limits of now
        session, shown = self._session, self._shown
        if session is None or shown is None:
            return
        if session.ready(shown) or session.follows_view(shown):
            self._go_on(shown)
        else:
            self._encode(session, shown, Lane.PLANE)


def travelled(before: SliceKey, after: SliceKey) -> Travel | None:
    """Return the slider that was moved, and where to; None if none was."""
    if before.displayed != after.displayed:
        return None
    for (axis, old), (_, new) in zip(before.fixed, after.fixed, strict=True):
        if new != old:
            return axis, 1 if new > old else -1
    return None


def neighbours(
    key: SliceKey, travel: Travel, shape: Sequence[int], ahead: int, behind: int
) -> list[SliceKey]:
    """Return the planes beside one, first those ahead, none beyond an array of `shape`."""
    if not key.fixed:
        return []
    axis, sign = _axis(key, travel), travel[1]
    here = dict(key.fixed)[axis]
    steps = [*range(1, ahead + 1), *range(-1, -behind - 1, -1)]
    places = [here + sign * step for step in steps]
    return [
        replace(key, fixed=tuple((a, place if a == axis else at) for a, at in key.fixed))
        for place in places
        if 0 <= place < shape[axis]
    ]


def _axis(key: SliceKey, travel: Travel) -> int:
    """Return the axis of travel, or the first with a slider if that one has none."""
    axes = [axis for axis, _ in key.fixed]
    return travel[0] if travel[0] in axes else axes[0]
