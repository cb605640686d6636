"""Where a change lies in an image: the viewer moves there if it shows another plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..objects.boxes import Box
from ..stack.planes import plane_text
from .context import Context
from .placement import world_transform
from .visible import visible_window


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


def bring_into_view(context: Context, box: tuple[int, int, int, int]) -> None:
    """Move the view onto a part of the plane shown, only if it is not all on screen.

    Parameters
    ----------
    context : Context
    box : (x0, y0, x1, y1) int, inclusive
        In pixels of the plane.
    """
    frame, plane, viewer = context.bench.frame, context.shown(), context.viewer
    window = None if frame is None or plane is None else visible_window(frame, plane.key)
    if frame is None or plane is None or window is None:
        return
    x0, y0, x1, y1 = box
    if window[0] <= x0 and window[1] <= y0 and x1 < window[2] and y1 < window[3]:
        return
    place = np.zeros(len(frame.shape))
    for axis, index in plane.key.fixed:
        place[axis] = index
    place[list(plane.key.displayed)] = (y0 + y1) / 2, (x0 + x1) / 2
    world = np.asarray(world_transform(frame.transform, viewer.dims)(place))
    offset = viewer.dims.ndim - len(frame.shape)
    shown = [float(world[axis - offset]) for axis in viewer.dims.displayed]
    viewer.camera.center = (*viewer.camera.center[: 3 - len(shown)], *shown)


def _meets(box: Box, hidden: dict[int, int]) -> bool:
    return all(box[axis][0] <= place < box[axis][1] for axis, place in hidden.items())
