"""What a model does beyond its contract if it remembers objects; numpy, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .contract import Answers, PromptableModel


class RememberingModel(PromptableModel, Protocol):
    """A model that follows objects through planes; its `remembers` is True."""

    def memory_of(
        self, features: Any, masks: NDArray[np.float32], place: int, length: int
    ) -> list[Any]:
        """Return what is remembered of objects whose outlines in a plane are known.

        Parameters
        ----------
        features : object
            What `encode` returned for that plane.
        masks : (P, h, w) float32, 0 or 1, in pixels of the padded input
        place : int
            Number of the plane.
        length : int
            Planes of the stack.

        Returns
        -------
        list of P values that `follow` takes
            They do not change, and do not grow beyond a bound.
        """

    def follow(
        self, features: Any, memories: Sequence[Any], place: int
    ) -> tuple[Answers, list[Any]]:
        """Look for objects in the next plane on their way.

        Parameters
        ----------
        features : object
            What `encode` returned for that plane.
        memories : sequence of P values
            Of each object, what `memory_of` or the last call of `follow` returned.
        place : int
            Number of the plane.

        Returns
        -------
        answers : Answers, one mask for each object
        memories : list of P values
            With this plane.
        """
