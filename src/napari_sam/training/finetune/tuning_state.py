"""The file that a training goes on from: weights, optimiser and numbers of one moment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...files import written_beside
from ...models.inert_pickle import READ_ERRORS
from .training_folder import STATE


@dataclass(frozen=True, eq=False)
class TuningState:
    """A training between two steps.

    Attributes
    ----------
    job : str
        What a training must agree in to go on from it.
    weights, average : dict of str to Tensor
        What learns, and its running average.
    optimiser : dict
        Of `torch.optim.Optimizer.state_dict`.
    numbers : list of number
        Counts and times of the training.
    """

    job: str
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    numbers: list[Any]

    def write(self, folder: Path) -> None:
        """Write it into the folder of a training; the file is replaced in one go."""
        state = {name: getattr(self, name) for name in self.__dataclass_fields__}
        with written_beside(folder / STATE) as partial:
            torch.save(state, partial)


def read_state(folder: Path, job: str) -> TuningState:
    """Read what was last written into the folder of a training.

    Raises
    ------
    ValueError
        If it is damaged or belongs to another training.
    """
    path = folder / STATE
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (*READ_ERRORS, RuntimeError) as error:
        raise ValueError(f"{path} is damaged; remove it to train anew") from error
    if state["job"] != job:
        raise ValueError(
            f"{folder} holds a training on other examples or with other settings; "
            "remove it, or choose another folder"
        )
    return TuningState(**state)
