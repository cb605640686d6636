"""What fine-tuning will take, told from a few steps of it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from ...models.registry import reading
from ...steps import drive
from .examples import Example
from .memory_peak import MemoryPeak
from .trainable import Trainable
from .tune_params import Estimate, TuneParams
from .tuning import Tuner

SECONDS = 3.0
"""How long steps are measured; they differ in length."""
FEWEST, MOST = 2, 8
"""Steps that are measured."""


@dataclass(frozen=True, eq=False)
class Pace:
    """How long steps take.

    Attributes
    ----------
    trained : Trainable
    step : float
        Seconds of a step, without what is done once for an image.
    encoding : float
        Seconds of a run of a frozen encoder.
    """

    trained: Trainable
    step: float
    encoding: float

    def seconds(self, steps: int) -> float:
        """Return how long so many steps take together."""
        return steps * self.step + self.trained.encodings(steps) * self.encoding

    def steps(self, seconds: float) -> int:
        """Return how many steps fit into a time, at least 1."""
        most = int(seconds / self.step)
        return max(1, bisect_right(range(1, most + 1), seconds, key=self.seconds))


def estimate(
    base: str | Path,
    learn: Sequence[Example],
    params: TuneParams,
    *,
    device: str = "auto",
    offline: bool | None = None,
) -> Estimate:
    """Tell what fine-tuning will take, from a few steps of it; see `tuning`.

    Raises
    ------
    ValueError
        As `tuning`.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(params.threads or threads)
    try:
        with TemporaryDirectory() as folder, MemoryPeak() as memory:
            checkpoint: Any = drive(reading(base, device, offline))
            tuner = Tuner(checkpoint, learn, (), params, Path(folder), str(base), device=device)
            pace = pace_of(tuner)
    finally:
        torch.set_num_threads(threads)
    images = sum(one.nbytes for one in learn)
    if params.steps is not None:
        return Estimate(pace.seconds(params.steps), params.steps, memory.nbytes, images)
    seconds = 60 * params.minutes
    return Estimate(seconds, pace.steps(seconds), memory.nbytes, images)


def pace_of(tuner: Tuner) -> Pace:
    """Measure the first steps of a training.

    With a frozen encoder each is done twice: the second time its image is known. Else the first
    does not count, as it prepares what all others use.
    """
    trained = tuner.trained
    frozen = bool(trained.encodings(1))
    took: list[float] = []
    encoding = 0.0
    if not frozen:
        tuner.step()
    begin = time.perf_counter()
    while len(took) < FEWEST or (len(took) < MOST and time.perf_counter() - begin < SECONDS):
        index = tuner.done
        first = _timed(tuner)
        if frozen:
            tuner.done = index
            took.append(_timed(tuner))
            if trained.encodings(index + 1) - trained.encodings(index) > 0.5:
                encoding = max(0.0, first - took[-1])  # of the last one: torch is warm then
        else:
            took.append(first)
    return Pace(trained, float(np.mean(took)), encoding)


def _timed(tuner: Tuner) -> float:
    start = time.perf_counter()
    tuner.step()
    return time.perf_counter() - start
