"""How many threads a computation takes: those that other programs leave free.

Two threads of torch wait for each other after every small operation, and keep their cores busy
while they wait. Where another program has taken one of the cores, each of these waits lasts until
the system's scheduler comes round, and both together are slower than one thread alone
(`benchmarks/loaded_machine.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Lock
from typing import Concatenate, ParamSpec, Protocol, TypeVar

import psutil
import torch

SHORTEST = 0.1
"""Seconds that the use of processors is averaged over at least; it is counted in steps of 0.01."""


Inputs = ParamSpec("Inputs")
Answer = TypeVar("Answer")
Model = TypeVar("Model", bound="Limited")


class ThreadLimit:
    """Watches other programs from one computation to the next."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._since = _used()
        self._taken = 0.0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Compute with as many threads as there are free processors, at least one.

        What torch is set to is the most, and is set again afterwards.
        """
        most = torch.get_num_threads()
        threads = min(most, self.free()) if most > 1 else most
        if threads == most:
            yield
            return
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(most)

    def free(self) -> int:
        """Return how many processors other programs left free lately, at least 1."""
        with self._lock:
            now = _used()
            passed, others = now[0] - self._since[0], now[1] - self._since[1]
            if passed >= SHORTEST:
                self._since, self._taken = now, max(0.0, others / passed)
            return max(1, round((psutil.cpu_count() or 1) - self._taken))


class Limited(Protocol):
    """What computes with a limit.

    Attributes
    ----------
    threads : ThreadLimit
    """

    @property
    def threads(self) -> ThreadLimit:
        """The limit."""


def limited(
    method: Callable[Concatenate[Model, Inputs], Answer],
) -> Callable[Concatenate[Model, Inputs], Answer]:
    """Return a method of a model that computes within the limit of its `threads`."""

    @wraps(method)
    def within_limit(model: Model, /, *given: Inputs.args, **named: Inputs.kwargs) -> Answer:
        with model.threads.applied():
            return method(model, *given, **named)

    return within_limit


def _used() -> tuple[float, float]:
    """Return the time, and the processor time of all other programs, in seconds."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted twice
    return time.perf_counter(), sum(times) - idle - guests - time.process_time()
