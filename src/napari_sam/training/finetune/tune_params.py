"""Settings of fine-tuning, and what it tells of itself while it runs; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal["heads", "all", "lora"]


@dataclass(frozen=True)
class TuneParams:
    """Settings of fine-tuning.

    Attributes
    ----------
    minutes : float
        How long it lasts; the learning rate falls over this time.
    steps : int, optional
        How many steps it takes, in place of the time. Only then does the same seed give the same
        weights, since how many steps fit into a time is not the same twice.
    part : {"heads", "all", "lora"}, optional
        What learns; by default what suits the family.
    learning_rate : float, optional
        By default what suits the family.
    replay : float
        Factor of the weight of what keeps the model from forgetting, where the family has it; 0
        leaves it out.
    seed : int
    threads : int, optional
        Of the processor; by default as many as torch takes.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    minutes: float = 5.0
    steps: int | None = None
    part: Part | None = None
    learning_rate: float | None = None
    replay: float = 1.0
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.minutes < 1e6:
            raise ValueError(
                "training lasts more than 0 and less than a million minutes, but minutes is "
                f"{self.minutes}"
            )
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"training takes at least 1 step, but steps is {self.steps}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"the learning rate is above 0, but is {self.learning_rate}")
        if not self.replay >= 0:
            raise ValueError(f"the weight of the replay is at least 0, but is {self.replay}")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"training takes at least 1 thread, but threads is {self.threads}")


@dataclass(frozen=True)
class TuneStep:
    """One step of fine-tuning.

    Attributes
    ----------
    index : int
        Steps done so far; 0 before the first, when the held-out part was measured.
    loss, iou : float
        Of this step's batch: the IoU that its first prompts reached.
    seconds : float
        Spent so far, pauses left out.
    left : float
        Seconds that it will go on for, about.
    held_out : float or None
        Mean IoU after one click on held-out objects, where it was just measured.
    """

    index: int
    loss: float
    iou: float
    seconds: float
    left: float
    held_out: float | None = None


@dataclass(frozen=True)
class Estimate:
    """What fine-tuning will take.

    Attributes
    ----------
    seconds : float
    steps : int
    bytes : int
        Memory of the process while it trains. All images to learn from are in memory. The
        comparison afterwards is not measured and may take more.
    images : int
        What of it these images and their labels take.
    """

    seconds: float
    steps: int
    bytes: int
    images: int
