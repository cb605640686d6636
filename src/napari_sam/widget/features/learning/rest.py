"""When the user rests, and how much there is to learn since the last time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from qtpy.QtCore import QObject, QTimer, Signal

from ...context import Context
from ...scheduler import Lane

LOOK_MS = 1000
REST = 8.0
"""Seconds without a click after which the user rests."""
NEW = 5
"""New objects after which it is worth training again."""
FEWEST = 24
"""Objects below which too few can be held out to tell whether a model is better."""
BUSY = (Lane.CLICK, Lane.EDIT, Lane.FOLLOW, Lane.BATCH, Lane.SIMILAR, Lane.BULK, Lane.LEARN)
"""What the user waits for, and our own lane."""

Counts = Mapping[str, int]
"""How many labels there are, by the ids of layers."""


class Rest(QObject):  # type: ignore[misc]
    """Tells when the user rests, and how many objects are new since the last training.

    Parameters
    ----------
    context : Context
    clock : callable
        Returns seconds.

    Signals
    -------
    looked : no argument
        Now and then, between `start` and `close`.
    """

    looked = Signal()

    def __init__(self, context: Context, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._context, self._clock = context, clock
        self._acted = clock()
        self._seen: Counts = {}
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self.looked)
        for signal in (context.work_changed, context.plane_changed, context.pixels_changed):
            signal.connect(self.acted)

    @property
    def free(self) -> bool:
        """Whether nothing runs that another model would interrupt."""
        context = self._context
        return not context.scheduler.any_busy(BUSY) and not context.history.walking

    @property
    def rests(self) -> bool:
        """Whether nothing was clicked for a while either, and no object is in work."""
        quiet = self._clock() - self._acted >= REST
        return quiet and self.free and not self._context.work.numbers()

    def start(self) -> None:
        """Begin to look."""
        self._timer.start()

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()

    def acted(self) -> None:
        """Note that the user did something."""
        self._acted = self._clock()

    def learnt(self, counts: Counts) -> None:
        """Note how many objects there are when a training begins."""
        self._seen = dict(counts)

    def missing(self, counts: Counts) -> int:
        """Return how many objects are to be kept still before it is worth training again."""
        new = sum(count - self._seen.get(view, 0) for view, count in counts.items())
        return max(0, NEW - new, FEWEST - sum(counts.values()))
