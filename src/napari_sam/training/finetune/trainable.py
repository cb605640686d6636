"""What every family provides that can be tuned, and the family's own found by its name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from ...models.contract import PromptableModel
from ...models.recognition import Checkpoint
from .examples import Example
from .tune_params import TuneParams

FAMILIES = {
    "pocket": "pocket_tuning",
    "vit": "sam_tuning",
    "mobile_sam": "sam_tuning",
}
"""Module whose function `build` returns the `Trainable` of each family."""


class Trainable(Protocol):
    """A model of one family that learns from examples; a step comes from the seed and its index.

    Attributes
    ----------
    complete : bool
        Whether `weights` is all of the model; see `Card`.
    learning_rate : float
        What suits what learns.
    part : str
        What learns; see `TuneParams`.
    """

    complete: bool
    learning_rate: float
    part: str

    def learnt(self) -> dict[str, nn.Parameter]:
        """Return the parameters that learn."""

    def loss(self, index: int) -> tuple[Tensor, float]:
        """Return the loss of a batch, and the IoU that its first prompts reached."""

    def weights(self) -> dict[str, Tensor]:
        """Return what the tuned file holds; see `write_tuned`."""

    def model(self) -> PromptableModel:
        """Return a model that answers with the weights of now."""

    def encodings(self, steps: int) -> float:
        """Return how often a frozen encoder runs in so many steps, about; 0 where it learns."""


def trainable(
    checkpoint: Checkpoint,
    learn: Sequence[Example],
    params: TuneParams,
    folder: Path,
    device: str = "auto",
) -> Trainable:
    """Return what learns: the family's own.

    Raises
    ------
    ValueError
        If the family cannot be tuned, or there is nothing to learn from.
    """
    if not any(example.objects for example in learn):
        raise ValueError("none of the images to learn from holds an object; label some first")
    if checkpoint.family not in FAMILIES:
        raise ValueError(f"models of the family {checkpoint.family} cannot be tuned")
    module: Any = import_module(f".{FAMILIES[checkpoint.family]}", __package__)
    made: Trainable = module.build(checkpoint, learn, params, folder, device)
    return made
