"""Long work asks here, between two of its units, whether anybody still waits for it.

What runs the work says how to tell (`stoppable`), and nothing in between has to pass that on. Where
nobody says, nothing stops. It holds for one thread, so another one's work is not concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_stop: ContextVar[Callable[[], bool]] = ContextVar("stop", default=lambda: False)


class Stopped(BaseException):
    """Nobody waits for the result any more; no error, so no handler of errors takes it for one."""


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
    """Go on, unless nobody waits any more.

    Raises
    ------
    Stopped
    """
    if _stop.get()():
        raise Stopped
