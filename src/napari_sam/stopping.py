"""Cooperative stopping: long work checks here whether its result is still needed.

What runs the work says how to tell (`stoppable`), and nothing in between has to pass that on. Where
nobody says, nothing stops. It holds for one thread, so another one's work is not concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_stop: ContextVar[Callable[[], bool]] = ContextVar("stop", default=lambda: False)


class Stopped(BaseException):
    """The result is no longer needed; no `Exception`, so error handlers do not catch it."""


@contextmanager
def stoppable(stop: Callable[[], bool]) -> Iterator[None]:
    """Let work that runs inside end in `Stopped` once `stop()` is true.

    Parameters
    ----------
    stop : callable returning bool
        Asked often, so it should be quick.
    """
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


def check() -> None:
    """Raise `Stopped` if the result is no longer needed.

    Raises
    ------
    Stopped
    """
    if _stop.get()():
        raise Stopped
