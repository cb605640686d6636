"""How well a mask agrees with the fields of an instance head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .instances import FlowFields

Part = tuple[slice, slice]

MARGIN = 3
"""Cells about a mask that count as beside it."""
EDGE = 2
"""Cells from its outline that count as its edge, on either side."""


def fit_of(fields: FlowFields, mask: NDArray[np.bool_]) -> float:
    """Return how well a mask agrees with fields, 0..1.

    The geometric mean of five parts: how much of the mask is foreground; whether it is as deep as
    the field says; whether the field leads into it nowhere along its edge (where a mask cuts an
    object it does); whether no object goes on beside it; and whether the paths from its cells end
    together inside it (from two objects in one mask they do not).

    Parameters
    ----------
    fields : FlowFields
    mask : (h, w) bool, on the grid of the fields

    Returns
    -------
    float, 0 for an empty mask
    """
    part = part_about(mask)
    if part is None:
        return 0.0
    padding = [(MARGIN, MARGIN)] * 2  # beyond the plane there is no edge, and nothing beside it
    own = np.pad(mask[part], padding)
    foreground = np.pad(fields.foreground[part], padding)
    depth = np.pad(fields.depth[part], padding)[own]
    x, y = np.pad(fields.field[:, *part], [(0, 0), *padding])
    inward = _edge_distance(np.pad(mask[part], padding, mode="edge"))
    radius = float(inward[own].max())
    expected = ndimage.gaussian_filter(inward / radius, 1.0)[own]
    slope_y, slope_x = np.gradient(-ndimage.gaussian_filter(own.astype(np.float32), 1.0))
    outward = (x * slope_x + y * slope_y) / np.maximum(np.hypot(slope_x, slope_y), 1e-6)
    edge = own & (inward <= EDGE)
    beside = ndimage.binary_dilation(own, iterations=EDGE) & ~own
    along = max(float(np.hypot(x, y)[edge].sum()), 1e-6)
    parts = (
        foreground[own].mean(),
        np.minimum(depth, expected).sum() / np.maximum(depth, expected).sum(),
        1 - np.maximum(-outward, 0)[edge].sum() / along,
        1 - (foreground * np.maximum(outward, 0))[beside].sum() / along,
        _share_together(fields.ends[part], mask[part], part, mask.shape[1], radius),
    )
    return float(np.clip(parts, 0, 1).prod() ** (1 / len(parts)))


def part_about(mask: NDArray[np.bool_], margin: int = MARGIN) -> Part | None:
    """Return the rows and columns of a mask and `margin` cells about it; None if it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    h, w = mask.shape
    return (
        slice(max(int(rows[0]) - margin, 0), min(int(rows[-1]) + margin + 1, h)),
        slice(max(int(columns[0]) - margin, 0), min(int(columns[-1]) + margin + 1, w)),
    )


def _edge_distance(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far each cell of a mask lies from its edge; all the same if it has none."""
    if mask.all():
        return np.full(mask.shape, float(max(mask.shape)))
    return np.asarray(ndimage.distance_transform_edt(mask))


def _share_together(
    ends: NDArray[np.int32], mask: NDArray[np.bool_], part: Part, width: int, radius: float
) -> float:
    """Return the share of cells whose paths end in their mask, within `radius` of most ends."""
    h, w = mask.shape
    rows, columns = np.divmod(ends[mask], width)
    rows, columns = rows - part[0].start, columns - part[1].start
    inside = (rows >= 0) & (columns >= 0) & (rows < h) & (columns < w)
    inside[inside] = mask[rows[inside], columns[inside]]
    rows, columns = rows[inside], columns[inside]
    count = np.bincount(rows * w + columns, minlength=h * w).reshape(h, w).astype(np.float32)
    crowd = ndimage.uniform_filter(count, 3, mode="constant")
    row, column = np.unravel_index(int(crowd.argmax()), crowd.shape)
    near = np.hypot(rows - row, columns - column) <= max(radius, MARGIN)
    return float(np.count_nonzero(near) / np.count_nonzero(mask))
