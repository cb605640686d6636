"""What is kept on disk of encoded planes: counts it, empties it, reports problems."""

from __future__ import annotations

import math
from functools import partial

from qtpy.QtCore import QObject, QTimer, Signal

from ....predict.cache import Usage
from ....steps import single
from ...context import Context
from ...scheduler import Lane, Work

LOOK_MS = 500
"""How often the cache, which writes in a thread of its own, is checked for a problem."""


class CacheStatus(QObject):  # type: ignore[misc]
    """Watches the cache that all sessions of one dock share; nothing here waits for the disk.

    Parameters
    ----------
    context : Context

    Signals
    -------
    usage_changed : str
        How much is kept.
    """

    usage_changed = Signal(str)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self._told = ""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._on_timer_timeout)
        self._timer.start(LOOK_MS)

    def count(self) -> None:
        """Find out how much is kept."""
        disk = self.context.disk

        def done(usage: Usage) -> None:
            self.usage_changed.emit(disk.notice or f"{amount(usage)} kept on disk")

        work = Work(partial(single, disk.usage), on_result=done, text="counting the encoded planes")
        self.context.scheduler.submit(work, Lane.CACHE)

    def empty(self) -> None:
        """Remove all that is kept, then count anew."""
        disk = self.context.disk

        def done(removed: Usage) -> None:
            if not disk.notice:
                text = f"{amount(removed)} removed; they are encoded anew if needed"
                self.context.status.hint(text)
            self.count()

        work = Work(partial(single, disk.clear), on_result=done, text="emptying the disk cache")
        self.context.scheduler.submit(work, Lane.CACHE)

    def close(self) -> None:
        """Ask no more; what waits to be written is written."""
        self._timer.stop()

    def _on_timer_timeout(self) -> None:
        notice = self.context.disk.notice
        if notice and notice != self._told:
            self.context.status.error(notice)
        self._told = notice


def amount(usage: Usage) -> str:
    """Return a usage as people read it."""
    planes = "1 plane" if usage.planes == 1 else f"{usage.planes:,} planes"
    return f"{planes}, {math.ceil(usage.nbytes / 1e6):,} MB"
