"""A drag in the layer of points draws a box, a press makes a point: there is no tool to choose."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from napari.layers import Points, Shapes
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)

from ..predict.prompt_kinds import PROMPT_KINDS
from .box_display import BoxDisplay

LEAST_DRAG = 5.0
"""Pixels on the screen. napari's layer of points takes what is shorter for a click."""
LEFT = 1


class DragBox:
    """Draws boxes from drags in a layer of points that is in its mode for adding.

    napari's own callbacks for rectangles draw them, in the layer of boxes, which need not be
    selected. So a box comes about, is shown and is announced as one that is drawn there.

    Parameters
    ----------
    points : napari.layers.Points
        Its drags are followed.
    boxes : napari.layers.Shapes
    display : BoxDisplay
        Shows the layer of boxes: napari draws in no layer that is hidden.
    """

    def __init__(self, points: Points, boxes: Shapes, display: BoxDisplay) -> None:
        self._points, self._boxes, self._display = points, boxes, display
        points.mouse_drag_callbacks.append(self._on_press)

    def close(self) -> None:
        """Let go of the layer of points."""
        self._points.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, points: Points, event: Any) -> Generator[None, None, None]:
        if str(points.mode) != "add" or event.button != LEFT:
            return
        pressed = _Newest(event.__wrapped__)
        start, before = np.array(event.pos), ""
        yield
        try:
            # the release goes to another layer if one is selected meanwhile
            while event.type == "mouse_move" and event.is_dragging:
                event.handled = True  # or the image would move
                if not before and np.linalg.norm(event.pos - start) >= LEAST_DRAG:
                    before = str(self._boxes.mode)
                    self._display.hold(True)
                    self._boxes.mode = PROMPT_KINDS["box"].mode
                    mouse_press_callbacks(self._boxes, pressed)
                if before:
                    mouse_move_callbacks(self._boxes, event)
                yield
        finally:
            if before:
                self._end(event, before)

    def _end(self, event: Any, before: str) -> None:
        """Finish the box, and leave the layer of boxes in the mode that it had."""
        mouse_release_callbacks(self._boxes, event)
        self._boxes.selected_data = set()
        if str(self._boxes.mode) == PROMPT_KINDS["box"].mode:  # else a tool was chosen meanwhile
            self._boxes.mode = before
        self._display.hold(False)


class _Newest:
    """The newest event of a drag: napari puts each into the one that began it."""

    def __init__(self, event: Any) -> None:
        self.__wrapped__ = event

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)
