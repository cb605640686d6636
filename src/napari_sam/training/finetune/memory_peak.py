"""How much memory this process takes at most while something runs."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

EVERY = 0.01
"""Seconds from one look to the next; what is held for a shorter time may be missed."""


class MemoryPeak:
    """A context whose largest memory is measured.

    The system's own record is not used: it also counts what was freed before, and in a new process
    may be that of the program which began it.

    Attributes
    ----------
    nbytes : int
        The largest resident size so far.
    """

    def __init__(self) -> None:
        self.nbytes = 0
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryPeak:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(EVERY)
            self.nbytes = max(self.nbytes, int(self._process.memory_info().rss))
