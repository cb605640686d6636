"""Which part of a plane is on screen."""

from __future__ import annotations

import numpy as np

from ..types import SliceKey, Window
from .frame import Frame


def visible_window(frame: Frame, key: SliceKey) -> Window | None:
    """Return the part of a plane that the canvas shows.

    Parameters
    ----------
    frame : Frame
    key : SliceKey
        The plane shown.

    Returns
    -------
    (x0, y0, x1, y1) int, end exclusive, in pixels of the frame; None before anything was drawn
    """
    layer = frame.layer
    corners = np.array(layer.corner_pixels, float)
    if layer.multiscale and frame.level is not None:
        factors = np.asarray(layer.downsample_factors)
        corners *= factors[layer.data_level] / factors[frame.level]
    sides = np.array([frame.shape[axis] for axis in key.displayed])
    low, high = corners[:, list(key.displayed)]
    low = np.clip(np.floor(low), 0, sides).astype(int)
    high = np.clip(np.ceil(high) + 1, 0, sides).astype(int)
    if (high - low).min() < 2:
        return None
    return int(low[1]), int(low[0]), int(high[1]), int(high[0])
