"""Logits of a mask that was kept without them, so that a correction goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..types import Mask, MaskLogits, Prompts
from .upsampling import LOW_RES_STRIDE, coverage, frame_of
from .windows import input_size_of, window_about

if TYPE_CHECKING:
    from ..models.contract import PromptableModel

CERTAIN = 8.0
"""Logit of a cell that lies in the mask; one outside has its negative."""


def logits_of(
    mask: Mask,
    model: PromptableModel,
    prompts: Prompts | None = None,
    spacing: tuple[float, float] = (1.0, 1.0),
    closer_look: bool = True,
) -> MaskLogits:
    """Return logits that stand for those a mask was made of.

    They lie in the field of view in which a session looks at such an object: a window about a
    small one, else the whole plane. `Session.predict_many` then goes on there.

    Parameters
    ----------
    mask : Mask
    model : PromptableModel
        That will be asked.
    prompts : Prompts, optional
        What it will be asked, in pixels of the plane, the correction among it: the window holds
        all of it.
    spacing : (float, float)
        See `Plane.spacing`.
    closer_look : bool
        That of the session.

    Returns
    -------
    MaskLogits

    Raises
    ------
    ValueError
        If the mask has no pixel.
    """
    if not mask:
        raise ValueError("an empty mask has no logits: ask the prompts without it")
    size = mask.size
    window = None
    if closer_look:
        points = _corners(prompts, size)
        box = np.array(mask.box, np.float64)
        window = window_about(
            box, points, size, input_size_of(size, model, spacing), model, spacing
        )
    x, y, right, bottom = window or (0, 0, size[1], size[0])
    seen = bottom - y, right - x
    inner = input_size_of(seen, model, spacing)
    padded = model.padded_size(inner)
    x0, y0, x1, y1 = frame_of(seen, inner, padded)
    frame = x0 + x, y0 + y, x1 + x, y1 + y
    cells = padded[0] // LOW_RES_STRIDE, padded[1] // LOW_RES_STRIDE
    share = coverage(mask, frame, cells)
    share /= share.max()  # what is smaller than a cell is still seen
    values = CERTAIN * (2 * share - 1)
    return MaskLogits(values + model.mask_threshold, frame, window)


def _corners(prompts: Prompts | None, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the points of prompts, their scribbles and the corners of their box, (N, 2)."""
    if prompts is None:
        return np.zeros((0, 2))
    box = np.zeros((0, 2)) if prompts.extent is None else prompts.extent.reshape(2, 2)
    paths = [one.path for one in prompts.strokes]
    last = np.array([size[1], size[0]]) - 1
    return np.concatenate([prompts.point_coords, *(np.clip(one, 0, last) for one in [box, *paths])])
