"""An image file with its objects, plane by plane."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...formats.training_sets.contract import SetObject
from ...images.readers import StackImage

Place = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PlaneObjects:
    """What is known of a plane.

    Attributes
    ----------
    objects : tuple of SetObject
    unknown : (H, W) bool or None
        Ground of which nothing is known.
    """

    objects: tuple[SetObject, ...]
    unknown: NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class LabelledStack:
    """An image file with its objects, read when a plane is asked for.

    Attributes
    ----------
    name : str
    path : Path
        Of the image.
    image : StackImage
    places : tuple of tuple of int
        The planes that are labelled, as positions on the leading axes.
    plane : callable of a place
        Returns its PlaneObjects.
    classes : tuple of str
        Those that the file defines, in their order.
    marked : frozenset of places, or None
        Those marked complete, as a whole or in part; None where nothing is marked.
    notice : str
        What was changed when it was read, a clause; empty if nothing was.
    group : str
        Images of one group are never divided; that of the file by default.
    """

    name: str
    path: Path
    image: StackImage
    places: tuple[Place, ...]
    plane: Callable[[Place], PlaneObjects]
    classes: tuple[str, ...] = ()
    marked: frozenset[Place] | None = None
    notice: str = ""
    group: str = ""

    @property
    def family(self) -> str:
        """The group, or the image file."""
        return self.group or str(self.path)
