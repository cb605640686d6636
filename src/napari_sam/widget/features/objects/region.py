"""One box that the user drags on the image, for a region that is complete."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from ....objects.complete import Region
from ....types import SliceKey
from ... import layers
from ...context import Context


class RegionDrag:
    """Waits for one drag over the image; meanwhile the mouse neither draws nor moves the view.

    Parameters
    ----------
    context : Context
    drawn : callable
        Called with the plane and the box, as far as it lies in the plane.
    """

    def __init__(self, context: Context, drawn: Callable[[SliceKey, Region], None]) -> None:
        self.context, self._drawn = context, drawn
        self._before: Any = None

    @property
    def waiting(self) -> bool:
        """Whether the next drag is a region."""
        return self._before is not None

    def begin(self) -> None:
        """Take the next drag."""
        frame, viewer = self.context.bench.frame, self.context.viewer
        if frame is None or self.waiting:
            return
        self._before = viewer.layers.selection.active or frame.layer
        viewer.layers.selection.active = frame.layer  # a layer that clicks do not draw on
        viewer.camera.mouse_pan = False
        viewer.mouse_drag_callbacks.append(self._on_mouse_drag)

    def end(self) -> None:
        """Take no drag any more."""
        if not self.waiting:
            return
        viewer, before = self.context.viewer, self._before
        self._before = None
        viewer.mouse_drag_callbacks.remove(self._on_mouse_drag)
        viewer.camera.mouse_pan = True
        if before in viewer.layers:
            viewer.layers.selection.active = before

    def _on_mouse_drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        plane, points = self.context.shown(), self.context.bench.prompts.points
        if plane is None or points is None:
            self.end()
            return
        start = layers.place_in_plane(points, event.position, plane.key)
        stop = start
        yield
        while event.type == "mouse_move":
            stop = layers.place_in_plane(points, event.position, plane.key)
            wide, high = (abs(round(b - a)) + 1 for a, b in zip(start, stop, strict=True))
            self.context.status.hint(f"a region of {wide} x {high} pixels")
            yield
        self.end()
        height, width = plane.size
        x0, x1 = sorted(min(max(round(x), 0), width - 1) for x in (start[0], stop[0]))
        y0, y1 = sorted(min(max(round(y), 0), height - 1) for y in (start[1], stop[1]))
        if x1 > x0 and y1 > y0:
            self._drawn(plane.key, (x0, y0, x1, y1))
        else:
            self.context.status.hint("no region was drawn: press the button again and drag a box")
