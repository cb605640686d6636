"""The next image of a series: read and encoded while the user works on the one before."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from qtpy.QtCore import QObject, QTimer

from ....images.readers import StackImage, read_image
from ....predict.session import Session
from ....types import Plane, SliceKey
from ...context import Context
from ...scheduler import Lane, Work

SETTLE_MS = 400
"""It begins once nothing else was asked of the model for this time."""
URGENT = (Lane.CLICK, Lane.PLANE, Lane.HOVER, Lane.PREFETCH, Lane.BULK)


class Ahead(QObject):  # type: ignore[misc]
    """Reads one image and puts the embedding of the plane that is shown first on the disk.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._path: Path | None = None
        self._image: StackImage | None = None
        self._encoded = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._on_timer_timeout)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        context.session_changed.connect(self._on_session_changed)

    @property
    def ready(self) -> bool:
        """Whether the image that was named is read and encoded."""
        return self._encoded

    def prepare(self, path: Path | None) -> None:
        """Read and encode another image from now on; None: none."""
        self.context.scheduler.cancel(Lane.NEXT)
        self._path, self._image, self._encoded = path, None, False
        self._timer.start(SETTLE_MS)

    def take(self, path: Path) -> StackImage | None:
        """Return an image if it has been read."""
        return self._image if path == self._path else None

    def close(self) -> None:
        """Do nothing any more."""
        self._timer.stop()
        self._path = self._image = None

    def _on_timer_timeout(self) -> None:
        path, session, scheduler = self._path, self.context.session, self.context.scheduler
        if path is None or session is None or self._encoded or scheduler.any_busy(URGENT):
            return
        known = self._image

        def steps() -> Generator[StackImage, None, None]:
            image = read_image(path) if known is None else known
            yield image
            # a session of its own: that of the dock goes on with the image that is shown
            Session(session.predictor, disk=session.disk).embedding(first_plane(image))

        work = Work(
            steps,
            on_step=self._keep,
            on_result=self._end,
            on_error=lambda text: None,  # said when it is opened
            text="encoding the next image",
        )
        scheduler.submit(work, Lane.NEXT)

    def _keep(self, image: StackImage) -> None:
        self._image = image

    def _end(self, result: None) -> None:
        self._encoded = True

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane in URGENT and not self._encoded:
            if busy:
                self.context.scheduler.cancel(Lane.NEXT)
            self._timer.start(SETTLE_MS)

    def _on_session_changed(self) -> None:
        self._encoded = False
        self._timer.start(SETTLE_MS)


def first_plane(image: StackImage) -> Plane:
    """Return the plane of an image that is shown first: the middle one."""
    shape = image.label_shape
    rows = len(shape) - 2
    data = image.data[..., 0] if image.axes.endswith("C") else image.data
    scale = image.scale or (1.0,) * len(shape)
    fixed = tuple((axis, shape[axis] // 2) for axis in range(rows))
    return Plane(
        data, SliceKey((rows, rows + 1), fixed), spacing=(float(scale[-2]), float(scale[-1]))
    )
