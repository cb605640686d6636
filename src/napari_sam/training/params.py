"""Settings of a training run, and what each of its steps does."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import NamedTuple

from ..models.pocket_decoder import POSITION_SIZE
from .prompts import STROKE

STROKES = 0.1
"""Share of steps whose first prompts are strokes."""


@dataclass(frozen=True)
class TrainParams:
    """Settings of a training run.

    Attributes
    ----------
    steps : int
        Steps in all; the learning rate falls to its end over them, or over the time that a run is
        given.
    learning_rate : float
        After the warm-up.
    weight_decay : float
    warmup : int
        Steps until the learning rate is reached.
    rounds, round_odds : tuple
        How many times an object is prompted in a step, the first and the corrections that follow
        it, and how often each is drawn. Of many rounds the first, the last and one between learn.
    crops : int
        Crops of 128 pixels in a step; of larger ones so many as have the same area.
    sizes, size_odds : tuple
        Sides of the crops and how often each is drawn.
    average : float
        Decay of the running average of the weights, which is what is kept in the end.
    drawn : float
        Share of crops that show drawn scenes.
    earlier : float
        Share of crops that come with an earlier plane.
    seed : int
    """

    steps: int = field(default=6000, metadata={"min": 1, "help": "steps in all"})
    learning_rate: float = field(default=1e-3, metadata={"min": 0.0, "help": "after the warm-up"})
    weight_decay: float = 0.02
    warmup: int = 150
    rounds: tuple[int, ...] = (1, 2, 3, 5, 8)
    round_odds: tuple[float, ...] = (0.3, 0.3, 0.2, 0.12, 0.08)
    crops: int = 20
    sizes: tuple[int, ...] = (128, 192, 256, 384)
    size_odds: tuple[float, ...] = (0.35, 0.2, 0.3, 0.15)
    average: float = 0.999
    drawn: float = 0.2
    earlier: float = 0.2
    seed: int = 0


class StepPlan(NamedTuple):
    """What the host must know of a step: sizes and counts.

    Attributes
    ----------
    seed : int
        Of all that is drawn on the device.
    size, crops, drawn, earlier : int
        Side of the crops; how many, how many of them drawn, how many with an earlier plane.
    rounds : int
        Of prompts.
    learning : frozenset of int
        Rounds that learn.
    slots : int
        Points of a first prompt.
    origin : (x, y) float
        Of the crops in the frame of the position code, pixels.
    offset : int
        See `instance_targets`.
    """

    seed: int
    size: int
    crops: int
    drawn: int
    earlier: int
    rounds: int
    learning: frozenset[int]
    slots: int
    origin: tuple[float, float]
    offset: int


def plan_step(params: TrainParams, index: int) -> StepPlan:
    """Return the plan of a step; the same step of the same run always has the same."""
    host = random.Random(f"{params.seed} {index}")
    size = host.choices(params.sizes, params.size_odds)[0]
    rounds = host.choices(params.rounds, params.round_odds)[0]
    slots = STROKE if host.random() < STROKES else 1
    count = max(1, round(params.crops * (128 / size) ** 2))
    earlier = min(int(count * params.earlier + host.random()), count) if slots == 1 else 0
    room = max(0, POSITION_SIZE - size)
    return StepPlan(
        seed=host.getrandbits(62),
        size=size,
        crops=count,
        drawn=min(int(count * params.drawn + host.random()), count - 1),
        earlier=earlier,
        rounds=rounds,
        learning=frozenset((0, host.randrange(rounds), rounds - 1)),
        slots=slots,
        origin=(host.uniform(0, room), host.uniform(0, room)),
        offset=host.randrange(2),
    )
