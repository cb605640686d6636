"""Objects that a model sees too small to remember them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..models.contract import PromptableModel
from ..predict.windows import input_size_of
from ..types import Mask, Plane

LEAST_WIDTH = 8
"""In pixels of the input: two cells of the masks that a model answers with."""


def advice(
    model: PromptableModel, plane: Plane, keyframes: Mapping[int, Mapping[int, Mask]]
) -> str:
    """Return what to do about objects that are small for the memory of a model.

    Parameters
    ----------
    model : PromptableModel
        With a memory.
    plane : Plane
        Any of the stack: they have one size.
    keyframes : mapping of int to mapping of int to Mask
        For each object its outlines by place.

    Returns
    -------
    str
        A sentence; empty if no object is narrower than `LEAST_WIDTH` in all its keyframes.
    """
    reduced = np.divide(input_size_of(plane.size, model, plane.spacing), plane.size)
    areas = (
        max((one.area for one in known.values()), default=0) * np.prod(reduced)
        for known in keyframes.values()
    )
    small = sum(0 < area < LEAST_WIDTH**2 for area in areas)
    if not small:
        return ""
    return (
        f"{small} object{'s are' if small > 1 else ' is'} less than {LEAST_WIDTH} pixels wide as "
        f"{model.name} sees the planes, little for its memory: "
        "following by appearance may do better"
    )
