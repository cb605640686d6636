"""How long a run still takes, in words."""

from __future__ import annotations

import time
from collections.abc import Callable

AFTER = 3.0
"""Seconds of a run before which nothing is said."""
MINUTE, HOUR = 60.0, 3600.0


class TimeLeft:
    """Estimates from what is done how long the rest takes.

    Parameters
    ----------
    clock : callable
        Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start = clock()
        self._done = 0

    def text(self, done: int, total: int) -> str:
        """Return ", about 4 minutes left"; nothing as long as it cannot be known.

        Where less is done than before, another part of the work has begun, and its time counts.
        """
        if done < self._done:
            self._start = self._clock()
        self._done = done
        passed = self._clock() - self._start
        if passed < AFTER or not 0 < done < total:
            return ""
        return f", {in_words(passed * (total - done) / done)} left"


def in_words(seconds: float) -> str:
    """Return a duration as people say it."""
    if seconds < MINUTE:
        return "less than a minute"
    if seconds < 1.5 * HOUR:
        minutes = round(seconds / MINUTE)
        return "about a minute" if minutes == 1 else f"about {minutes} minutes"
    return f"about {round(seconds / HOUR)} hours"
