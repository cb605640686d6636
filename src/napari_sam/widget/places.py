"""Where a change lies in an image: the viewer moves there if it shows another plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..objects.boxes import Box
from ..stack.planes import plane_text
from .context import Context
from .placement import world_transform


def show_place(context: Context, boxes: Sequence[Box]) -> str:
    """Show a plane in which a change lies.

    Parameters
    ----------
    context : Context
    boxes : sequence of box
        Of the array of the image worked on.

    Returns
    -------
    str
        " in plane ..." where the plane shown was another one, else nothing, for the status line.
    """
    frame, dims, plane = context.bench.frame, context.viewer.dims, context.shown()
    if frame is None or plane is None:
        return ""
    hidden = dict(plane.key.fixed)
    here = [box for box in boxes if len(box) == len(frame.shape)]
    if not here or any(_meets(box, hidden) for box in here):
        return ""
    position = np.zeros(len(frame.shape))
    for axis, place in hidden.items():
        start, stop = here[0][axis]
        position[axis] = min(max(place, start), stop - 1)
    world = np.asarray(world_transform(frame.transform, dims)(position))
    offset = dims.ndim - len(frame.shape)
    for axis in hidden:
        dims.set_point(axis + offset, float(world[axis]))
    moved = context.shown()
    return "" if moved is None else f" in {plane_text(moved)}"


def _meets(box: Box, hidden: dict[int, int]) -> bool:
    return all(box[axis][0] <= place < box[axis][1] for axis, place in hidden.items())
