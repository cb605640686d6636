"""Long work as generators: they yield how far they are and return their result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from .types import Progress

Result = TypeVar("Result")
Step = TypeVar("Step")
Other = TypeVar("Other")


def drive(
    steps: Generator[Any, None, Result], say: Callable[[str], None] = lambda text: None
) -> Result:
    """Run a generator to its end, report its progress, and return its result.

    Parameters
    ----------
    steps : generator
        Of `Progress`; other values that it yields are passed over.
    say : callable, optional
        Called with the text of each `Progress`.
    """
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        if isinstance(step, Progress):
            say(step.text)


def mapped(
    steps: Generator[Step, None, Result], change: Callable[[Step], Other]
) -> Generator[Other, None, Result]:
    """Yield what `change` makes of each step, and return what the steps return."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result
        yield change(step)


def single(function: Callable[[], Result]) -> Generator[None, None, Result]:
    """Return a generator for work that cannot be divided: it yields nothing before its result."""
    yield from ()
    return function()
