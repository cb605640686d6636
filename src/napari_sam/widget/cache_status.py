"""What is kept on disk of encoded planes: counts it, empties it, tells of trouble."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from ..predict.cache import DiskCache, Usage
from .jobs import Job, Jobs

LOOK_MS = 500
"""How often the cache, which writes in a thread of its own, is asked whether it is in trouble."""


class Kept(QObject):  # type: ignore[misc]
    """Holds the cache that all sessions of one dock share; nothing here waits for the disk.

    Signals
    -------
    status_changed : str
        What was removed, or why nothing is kept; once for each new reason.
    usage_changed : str
        How much is kept.
    """

    status_changed = Signal(str)
    usage_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.disk = DiskCache()
        self.jobs = Jobs()
        self.jobs.failed.connect(self.status_changed)
        self._told = ""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._on_timer_timeout)
        self._timer.start(LOOK_MS)

    def count(self) -> None:
        """Find out how much is kept."""
        disk = self.disk

        def steps() -> Iterator[Any]:
            yield disk.usage()

        self.jobs.submit(Job(steps, self._on_counted, text="counting what is kept"))

    def empty(self) -> None:
        """Remove all that is kept, then count anew."""
        disk = self.disk

        def steps() -> Iterator[Any]:
            yield disk.clear()

        self.jobs.submit(Job(steps, self._on_emptied, self.count, "emptying what is kept"))

    def close(self) -> None:
        """Ask no more; what waits to be written is written."""
        self._timer.stop()
        self.jobs.cancel()

    def _on_counted(self, usage: Usage) -> None:
        self.usage_changed.emit(self.disk.notice or f"{amount(usage)} kept on disk")

    def _on_emptied(self, removed: Usage) -> None:
        if not self.disk.notice:
            self.status_changed.emit(f"{amount(removed)} removed; they are encoded anew if needed")

    def _on_timer_timeout(self) -> None:
        notice = self.disk.notice
        if notice and notice != self._told:
            self.status_changed.emit(notice)
        self._told = notice


def amount(usage: Usage) -> str:
    """Return a usage as people read it."""
    planes = "1 plane" if usage.planes == 1 else f"{usage.planes:,} planes"
    return f"{planes}, {math.ceil(usage.nbytes / 1e6):,} MB"
