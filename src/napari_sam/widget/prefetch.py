"""Planes encoded before anybody asks: the one shown, then its neighbours along the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..predict.session import Session, nbytes
from ..types import PredictRequest, SliceKey
from . import layers
from .controller import Controller
from .jobs import Job, Jobs

SETTLE_MS = 150
"""A plane is encoded once it has been shown, and the user has been quiet, for so long."""
AHEAD, BEHIND = 3, 1
"""Neighbours that are encoded in the direction of travel, and against it."""

Travel = tuple[int, int]
"""The axis of the slider that was moved last, and in which direction: 1 or -1."""


class Ahead(QObject):  # type: ignore[misc]
    """Encodes the plane shown, then its neighbours, one at a time, while nothing else runs.

    Parameters
    ----------
    controller : Controller
    others : sequence of Jobs
        What the user asks for; no neighbour is begun while any of it runs.

    Signals
    -------
    status_changed : str
        Why the plane shown could not be encoded; a neighbour fails without a word.
    text_changed : str
        Which plane is shown, and which are ready.
    """

    status_changed = Signal(str)
    text_changed = Signal(str)

    def __init__(self, controller: Controller, others: Sequence[Jobs]) -> None:
        super().__init__()
        self.controller = controller
        self.jobs = Jobs()
        self.jobs.failed.connect(self._on_jobs_failed)
        self._others = others
        self._session: Session | None = None
        self._shown: PredictRequest | None = None
        self._begun: PredictRequest | None = None
        self._wanted: list[PredictRequest] = []
        self._failed: set[SliceKey] = set()
        self._travel: Travel = (0, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timer_timeout)
        controller.plane_changed.connect(self._on_plane_changed)
        for jobs in others:
            jobs.busy_changed.connect(self._on_others_busy_changed)

    def close(self) -> None:
        """Begin nothing any more."""
        self._timer.stop()
        self._wanted.clear()
        self.jobs.cancel()

    def _settle(self) -> None:
        """Begin no other neighbour; start afresh when the user has been quiet for a while."""
        self._wanted.clear()
        self._timer.start(SETTLE_MS)

    def _make_way(self) -> None:
        """Stop the plane that is being encoded if the one shown would have to wait for it."""
        shown, session = self.controller.shown(), self._session
        if self._begun is None or shown is None or session is None:
            return
        if not same_plane(self._begun, shown) and not session.ready(shown):
            self._begun = None
            self.jobs.cancel()

    def _submit(self, session: Session, shown: PredictRequest, request: PredictRequest) -> None:
        def steps() -> Iterator[Any]:
            yield request, None
            embedding = session.embedding(shown)  # used last, so a neighbour cannot drop it
            if request is not shown:
                session.embedding(request)
            yield request, nbytes(embedding.features)

        self.jobs.submit(Job(steps, self._on_step, self._next, "encoding"))

    def _next(self) -> None:
        """Encode the next neighbour, if nothing else is to be done."""
        self._say()
        if self._session is None or self._shown is None or not self._wanted:
            return
        if not any(jobs.busy for jobs in self._others):
            self._submit(self._session, self._shown, self._wanted.pop(0))

    def _plan(self, bytes_each: int) -> None:
        """Choose neighbours, no more than the session keeps along with the plane shown."""
        session, frame, shown = self._session, self.controller.bench.frame, self._shown
        if session is None or frame is None or shown is None:
            return
        room = max(0, session.max_bytes // max(1, bytes_each) - 1)
        keys = neighbours(shown.key, self._travel, frame.shape, AHEAD, BEHIND)[:room]
        wanted = [replace(shown, key=key) for key in keys if key not in self._failed]
        # those that are there count as used now, so that the others do not push them out
        self._wanted = sorted(wanted, key=lambda one: not session.ready(one))

    def _say(self) -> None:
        session, frame, shown = self._session, self.controller.bench.frame, self._shown
        if frame is None or shown is None:
            self.text_changed.emit("")
            return
        text = layers.plane_text(shown.key, frame)
        if session is None:
            self.text_changed.emit(text)
            return
        if not session.ready(shown):
            failed = shown.key in self._failed
            self.text_changed.emit(f"{text} - {'not encoded' if failed else 'encoding ...'}")
            return
        keys = neighbours(shown.key, self._travel, frame.shape, AHEAD, 0)
        places = [
            str(dict(key.fixed)[_axis(key, self._travel)] + 1)
            for key in keys
            if session.ready(replace(shown, key=key))
        ]
        following = f" (next {', '.join(places)})" if places else ""
        self.text_changed.emit(f"{text} - ready{following}")

    def _on_plane_changed(self) -> None:
        before, shown = self._shown, self.controller.shown()
        same_image = before is not None and shown is not None and before.image is shown.image
        if not same_image or self._session is not self.controller.session:
            self.jobs.cancel()
            self._failed.clear()
        if before is not None and shown is not None:
            self._travel = travelled(before.key, shown.key) or self._travel
        self._shown, self._session = shown, self.controller.session
        self._make_way()
        self._settle()
        self._say()

    def _on_others_busy_changed(self, busy: bool) -> None:
        if busy:
            self._make_way()
        self._settle()

    def _on_timer_timeout(self) -> None:
        self._shown = self.controller.shown()  # with the contrast limits of now
        if self._session is not None and self._shown is not None:
            self._submit(self._session, self._shown, self._shown)

    def _on_step(self, value: tuple[PredictRequest, int | None]) -> None:
        self._begun, bytes_each = value
        if bytes_each is None:
            return
        self._failed.discard(self._begun.key)
        if self._begun is self._shown:
            self._plan(bytes_each)
            self.controller.ask_again()

    def _on_jobs_failed(self, text: str) -> None:
        if self._begun is None or self._shown is None:
            return
        self._failed.add(self._begun.key)
        if self._begun.key == self._shown.key:
            self.status_changed.emit(text)
        self._next()


def same_plane(one: PredictRequest, other: PredictRequest) -> bool:
    """Tell whether two requests have one embedding."""
    same_image = one.image is other.image
    return same_image and (one.key, one.contrast_limits) == (other.key, other.contrast_limits)


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
