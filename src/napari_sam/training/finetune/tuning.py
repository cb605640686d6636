"""Fine-tuning as a generator of steps: resumable, and the best weights so far are in a file."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ... import __version__
from ...models.adapters import fingerprint_of, write_tuned
from ...models.cards import Card
from ...models.recognition import Checkpoint
from ...models.registry import is_path, reading
from ...types import Progress
from .examples import Example, fingerprint
from .held_out import held_out_iou
from .trainable import trainable
from .training_folder import BEST, STATE
from .tune_params import TuneParams, TuneStep
from .tuning_state import TuningState, read_state

__all__ = ["BEST", "STATE", "TuneParams", "TuneStep", "tuning"]

KEPT = "kept_after_step"
"""Name in the card of the step after which the weights were the best; 0 is the base."""
WARMUP = 20
"""Steps until the learning rate is reached."""
AVERAGE = 0.98
"""Decay of the running average of the weights, which is what is kept."""
SAVING = 0.02
"""Part of the time that may go into checkpoints,"""
SOONEST, LATEST = 30.0, 120.0
"""and from one to the next so many seconds at least and at most."""
PATIENCE = 5
"""Looks at the held-out part without a new best after which training ends."""


def tuning(
    base: str | Path,
    learn: Sequence[Example],
    held_out: Sequence[Example],
    params: TuneParams,
    folder: Path,
    clock: Callable[[], float] = time.perf_counter,
    *,
    device: str = "auto",
    offline: bool | None = None,
) -> Generator[TuneStep | Progress, None, Path]:
    """Fine-tune a model on examples.

    Training goes on from a checkpoint that is in the folder. To pause, do not advance the
    generator; to end early, close it: the best weights so far are in the folder then.

    Parameters
    ----------
    base : str or Path
        Name or file of a model.
    learn : sequence of Example
    held_out : sequence of Example
        Which weights are the best is decided on these, and those of the base are kept where none
        are better; without them the last ones are the best.
    params : TuneParams
    folder : Path
        Made if it is not there.
    clock : callable
        Seconds; the time that training takes is measured by it.
    device, offline
        See `models.registry.loading`. `pocket` always learns on the processor.

    Yields
    ------
    TuneStep, and Progress of what comes before the first

    Returns
    -------
    Path
        The tuned model.

    Raises
    ------
    ValueError
        If the model cannot be loaded or tuned, there is nothing to learn from, or the folder
        holds another training.
    """
    checkpoint: Any = yield from reading(base, device, offline)
    yield Progress(0, 0, "preparing the images")
    folder.mkdir(parents=True, exist_ok=True)
    tuner = Tuner(checkpoint, learn, held_out, params, folder, str(base), clock, device)
    if (folder / STATE).exists():
        tuner.resume()
    threads = torch.get_num_threads()
    torch.set_num_threads(params.threads or threads)
    try:
        yield from tuner.run()
    finally:
        torch.set_num_threads(threads)
        tuner.close()
    return folder / BEST


class Tuner:
    """What learns, its optimiser, the average of its weights, and the best ones so far."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        learn: Sequence[Example],
        held_out: Sequence[Example],
        params: TuneParams,
        folder: Path,
        base: str,
        clock: Callable[[], float] = time.perf_counter,
        device: str = "auto",
    ) -> None:
        torch.manual_seed(params.seed)
        self.params = params
        self.held_out = [example for example in held_out if example.objects]
        self.folder = folder
        self.clock = clock
        self.trained = trainable(checkpoint, learn, params, folder, device)
        self.rate = params.learning_rate or self.trained.learning_rate
        self.weights = self.trained.learnt()
        self.average = {name: value.detach().clone() for name, value in self.weights.items()}
        self.optimiser = torch.optim.AdamW(
            list(self.weights.values()), self.rate, (0.9, 0.99), weight_decay=0.0
        )
        self.done, self.spent, self.saved, self.took = 0, 0.0, 0.0, 0.0
        self.best, self.misses, self.looks = -1.0, 0, 0
        self.whole = True  # not within a step
        settings = asdict(params) | {"part": self.trained.part, "learning_rate": self.rate}
        if params.steps is not None:
            del settings["minutes"]
        self.card = Card(
            base=str(Path(base).resolve()) if is_path(base) else base,
            base_fingerprint=fingerprint_of(checkpoint),
            data_fingerprint=fingerprint(learn),
            settings={name: value for name, value in settings.items() if value is not None},
            version=__version__,
            complete=self.trained.complete,
        )

    def run(self) -> Generator[TuneStep, None, None]:
        """Yield after every step to the end; the last best weights are written then."""
        if not self.done and self.held_out:
            self._keep(self._score())
            yield self._seen(0.0, 0.0, self.best)
        while self.passed < 1 and self.misses < PATIENCE:
            start = self.clock()
            loss, iou = self.step()
            self._count(start)
            score = None
            if self.held_out and self.passed * self._checks >= self.looks + 1:
                start = self.clock()
                score = self._look()
                self._count(start)
                self.save()
            elif self.spent - self.saved > min(LATEST, max(SOONEST, self.took / SAVING)):
                self.save()
            yield self._seen(loss, iou, score)

    @property
    def passed(self) -> float:
        """Which part of the training is done, 0..1 and a little more."""
        if self.params.steps is not None:
            return self.done / self.params.steps
        return self.spent / (60 * self.params.minutes)

    def step(self) -> tuple[float, float]:
        """Learn from one batch; returns the loss and the IoU."""
        self.whole = False
        rise = min(1.0, (self.done + 1) / WARMUP)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.passed)))
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * rise * max(fall, 0.01)
        loss, iou = self.trained.loss(self.done)
        self.optimiser.zero_grad(set_to_none=True)
        if torch.isfinite(loss):  # or else the batch is passed over
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
            self.optimiser.step()
        self.done += 1
        decay = min(AVERAGE, self.done / (9 + self.done))
        own = [value.detach() for value in self.weights.values()]
        torch._foreach_lerp_(list(self.average.values()), own, 1 - decay)
        self.whole = True
        return float(loss.detach()), iou

    def save(self) -> None:
        """Write all that `resume` needs, and measure how long that takes."""
        start = self.clock()
        TuningState(
            self._job(),
            {name: value.detach() for name, value in self.weights.items()},
            self.average,
            self.optimiser.state_dict(),
            [self.done, self.spent, self.best, self.misses, self.looks],
        ).write(self.folder)
        self.saved, self.took = self.spent, self.clock() - start

    def resume(self) -> None:
        """Go on from what `save` wrote.

        Raises
        ------
        ValueError
            If it is damaged or belongs to another training.
        """
        state = read_state(self.folder, self._job())
        if self.held_out and not state.numbers[-1]:
            self._keep(state.numbers[2])  # what `close` kept was not looked at; the base was
        with torch.no_grad():
            for name, value in self.weights.items():
                value.copy_(state.weights[name])
                self.average[name].copy_(state.average[name])
        self.optimiser.load_state_dict(state.optimiser)
        self.done, self.spent, self.best, self.misses, self.looks = state.numbers
        self.saved = self.spent

    def close(self) -> None:
        """Write the weights of now where no others were looked at, and a checkpoint.

        A step that was interrupted is in no checkpoint: the last one stays, and what came after it
        is done again.
        """
        if not self.done:
            (self.folder / BEST).unlink(missing_ok=True)  # only the base is in it
            return
        if not self.held_out or not self.looks:
            self._keep(self.best)
        if self.whole:
            self.save()

    @property
    def _checks(self) -> int:
        """How often the held-out part is looked at."""
        if self.params.steps is not None:
            return min(8, max(1, self.params.steps // 50))
        return min(8, max(2, int(self.params.minutes)))

    def _look(self) -> float:
        """Measure on the held-out part, and keep what is the best so far."""
        self.looks = int(self.passed * self._checks)
        score = self._score()
        if score > self.best:
            self._keep(score)
            self.misses = 0
        else:
            self.misses += 1
        return score

    def _score(self) -> float:
        self._swap()
        try:
            return held_out_iou(self.trained.model(), self.held_out)
        finally:
            self._swap()

    def _keep(self, score: float) -> None:
        """Write the averaged weights as the best ones."""
        self.best = score
        made = datetime.now(UTC).isoformat(timespec="seconds")
        settings = {**self.card.settings, KEPT: self.done}
        card = replace(self.card, made=made, settings=settings)
        self._swap()
        try:
            write_tuned(self.folder / BEST, self.trained.weights(), card)
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchange the weights and their average."""
        for name, value in self.weights.items():
            own = value.detach().clone()
            value.copy_(self.average[name])
            self.average[name].copy_(own)

    def _count(self, start: float) -> None:
        self.spent += self.clock() - start

    def _seen(self, loss: float, iou: float, score: float | None) -> TuneStep:
        if self.params.steps is None:
            left = 60 * self.params.minutes - self.spent
        else:
            left = self.spent / max(1, self.done) * (self.params.steps - self.done)
        return TuneStep(self.done, loss, iou, self.spent, max(0.0, left), score)

    def _job(self) -> str:
        """Return a hash of what a checkpoint must agree in."""
        part = {name: self.card.settings[name] for name in ("part", "replay", "seed")}
        known = [self.card.base_fingerprint, self.card.data_fingerprint, self.rate, part]
        return hashlib.blake2b(json.dumps(known).encode(), digest_size=16).hexdigest()
