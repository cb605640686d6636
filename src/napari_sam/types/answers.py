"""Requests, predictions, and the progress of long work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .masks import Mask, MaskLogits
from .planes import Plane, Window
from .prompts import Prompts


@dataclass(frozen=True, eq=False)
class PredictRequest:
    """A plane and prompts, to be answered.

    Attributes
    ----------
    plane : Plane
        Its window is left aside: the session chooses the field of view.
    prompts : Prompts, in pixels of the whole plane
    multimask_output : bool or None
        See `SamPredictor.predict`.
    """

    plane: Plane
    prompts: Prompts
    multimask_output: bool | None = None


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one prompt.

    Attributes
    ----------
    masks : C times Mask
    iou_predictions : (C,) float32
    low_res_logits : (C, h, w) float32
    frame : (x0, y0, x1, y1) float
        What the logits cover; see `MaskLogits`.
    window : (x0, y0, x1, y1) int or None
        The part of the plane that was looked at.
    presence : float
        Probability that there is an object at all where the prompts ask for one; 1 where the model
        does not tell.
    """

    masks: tuple[Mask, ...]
    iou_predictions: NDArray[np.float32]
    low_res_logits: NDArray[np.float32]
    frame: tuple[float, float, float, float]
    window: Window | None = None
    presence: float = 1.0

    def logits(self, index: int) -> MaskLogits:
        """Return the logits of a mask, which go back in as `Prompts.mask_input`."""
        return MaskLogits(self.low_res_logits[index], self.frame, self.window)

    @property
    def best(self) -> int:
        """Index of the mask with the highest predicted IoU."""
        return int(np.argmax(self.iou_predictions))

    @property
    def present(self) -> bool:
        """Whether the model sees an object where the prompts ask for one."""
        return self.presence >= 0.5


@dataclass(frozen=True)
class Progress:
    """What a generator yields when it has nothing else to show.

    Attributes
    ----------
    done, total : int
    text : str
    """

    done: int
    total: int
    text: str = ""
