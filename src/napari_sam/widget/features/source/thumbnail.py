"""The small picture of what the model sees, drawn in the background."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ....images.thumbnail import thumbnail
from ....types import Plane
from ...context import Context
from ...scheduler import Lane, Work

SIDE = 64
"""Pixels of the longer side."""
LARGEST = 1 << 25
"""Pixels of a plane that is read as a whole for the picture; larger ones have none."""


class Thumbnail(QObject):  # type: ignore[misc]
    """Draws each plane that was encoded, once, while a picture is wanted.

    Parameters
    ----------
    context : Context

    Attributes
    ----------
    wanted : bool
        Set by `want`.

    Signals
    -------
    drawn : object
        (h, w, 3) uint8, or None where there is no picture.
    """

    drawn = Signal(object)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.wanted = False
        self._plane: Plane | None = None
        context.plane_encoded.connect(self._draw)
        context.bench.image_changed.connect(self._on_image_changed)

    def want(self, wanted: bool) -> None:
        """Draw planes from now on, or no more."""
        if wanted == self.wanted:
            return
        self.wanted = wanted
        if wanted:
            self._draw()
        else:
            self._on_image_changed()

    def _on_image_changed(self) -> None:
        self._plane = None
        self.context.scheduler.cancel(Lane.THUMBNAIL)
        self.drawn.emit(None)

    def _draw(self) -> None:
        session, plane = self.context.session, self.context.shown()
        if not self.wanted or session is None or plane is None or not session.ready(plane):
            return
        if self._plane is not None and plane.same_as(self._plane):
            return
        self._plane = plane
        rows, columns = plane.size
        if rows * columns > LARGEST:
            self.drawn.emit(None)
            return

        def steps() -> Generator[Any, None, NDArray[np.uint8]]:
            yield
            return thumbnail(plane, *session.read(plane), SIDE)

        work = Work(steps, on_result=self.drawn.emit, text="drawing what the model sees")
        self.context.scheduler.submit(work, Lane.THUMBNAIL)
