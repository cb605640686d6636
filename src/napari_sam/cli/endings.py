"""How a command ends when it is stopped from outside: a signal, or a pipe that was closed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, TextIO

CLOSED_PIPE = 128 + 13
"""Exit status of a program whose reader has gone, as shells state it (SIGPIPE)."""
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class TerminatedError(BaseException):
    """The process was asked to end; what it was writing is removed on the way out.

    Attributes
    ----------
    status : int
        The exit status, as shells state it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Declined(str):
    """A result that is printed, and says why what was asked for was not done."""

    __slots__ = ()


def is_memory(error: RuntimeError) -> bool:
    """Tell whether torch ran out of memory; it has no error of its own for that on all devices."""
    return "out of memory" in str(error) or "allocate memory" in str(error)


@contextmanager
def signals_raised() -> Iterator[None]:
    """Raise TerminatedError at SIGTERM and SIGHUP; only the main thread can."""
    before = {}
    with suppress(ValueError):  # another thread
        before = {number: signal.signal(number, _raise) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interruption_noted(note: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Let the first Ctrl+C be noted, so that a step can end; the second one raises as always.

    Parameters
    ----------
    note : callable
        Called at the first one.

    Yields
    ------
    callable returning bool
        Tells whether there was one. Never, in another thread than the main one.
    """
    noted = False

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal noted
        if noted:
            raise KeyboardInterrupt
        noted = True
        note()

    before: Any = None
    with suppress(ValueError):  # another thread
        before = signal.signal(signal.SIGINT, handler)
    try:
        yield lambda: noted
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminatedError(number)


def written(text: str, stream: TextIO | None) -> OSError | None:
    """Write and flush a text; return the error of a stream that takes none any more.

    Such a stream, of a closed pipe or on a full disk, is redirected to the null device, so that
    what Python flushes at its end raises nothing. A stream that was closed from the start is None.
    Characters that the stream cannot encode are escaped.
    """
    if stream is None:
        return None
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        lost = os.open(os.devnull, os.O_WRONLY)
        os.dup2(lost, stream.fileno())
        os.close(lost)
        return error
    return None
