"""Times of torch and of ONNX Runtime, with the same threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..models.contract import PromptableModel
from ..models.onnx_sessions import threads
from ..models.pocket import PocketModel
from ..models.sam import SamModel
from ..models.threads import ThreadLimit
from .report import Times

REPEATS = 3
QUICK = 1.0
"""A computation that takes longer than this is not repeated, s."""


class AllThreads(ThreadLimit):
    """Takes the threads that a graph runs in, whatever other programs do."""

    def free(self) -> int:
        """Return how many threads a graph runs in."""
        return threads()


@contextmanager
def same_threads(model: PromptableModel) -> Iterator[None]:
    """Let a model compute in as many threads as a graph; what was set before is set again."""
    if not isinstance(model, PocketModel | SamModel):
        raise ValueError(f"{model.name} does not run on torch; compare an export with what does")
    most, limit = torch.get_num_threads(), model.threads
    torch.set_num_threads(threads())
    model.threads = AllThreads()
    try:
        yield
    finally:
        model.threads = limit
        torch.set_num_threads(most)


def in_turn(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[tuple[Any, Any], Times]:
    """Run two computations in turn; return what they give and the least time of each."""
    least = [float("inf"), float("inf")]
    answers: list[Any] = [None, None]
    for _ in range(REPEATS):
        for index, run in enumerate((one, other)):
            start = time.perf_counter()
            answers[index] = run()
            least[index] = min(least[index], time.perf_counter() - start)
        if max(least) > QUICK:
            break
    return (answers[0], answers[1]), Times(*least)


def mean(times: Sequence[Times]) -> Times:
    """Return the mean times of several images."""
    return Times(*(float(np.mean(part)) for part in zip(*times, strict=True)))
