"""Clicks that are for a tool and not for prompts, until it ends."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from ...context import Context

JITTER = 4
"""Screen pixels that the mouse may move during a click; a longer way moves the image."""


class ClickTool:
    """Takes clicks on the image while it is on; drags still move the image.

    The image layer is active meanwhile, so that no prompt is drawn. Choosing another layer, or
    another tool, ends it.

    Parameters
    ----------
    context : Context
    ended : callable
        Called when it has ended, whoever ended it.
    """

    def __init__(self, context: Context, ended: Callable[[], None]) -> None:
        self.context, self._ended = context, ended
        self._clicked: Callable[[Any], None] | None = None
        self._before: Any = None
        self._image: Any = None

    @property
    def is_on(self) -> bool:
        """Whether clicks are for a tool."""
        return self._clicked is not None

    def begin(self, clicked: Callable[[Any], None]) -> None:
        """Pass on clicks.

        Parameters
        ----------
        clicked : callable
            Called with the place of a click in the world.
        """
        self.end()
        frame, viewer = self.context.bench.frame, self.context.viewer
        if frame is None:
            return
        self._before = viewer.layers.selection.active
        self._image = frame.layer
        viewer.layers.selection.active = frame.layer
        self._clicked = clicked
        viewer.mouse_drag_callbacks.append(self._on_mouse_press)
        viewer.layers.selection.events.active.connect(self._on_active_changed)

    def end(self) -> None:
        """Let clicks do again what they did before."""
        if not self.is_on:
            return
        viewer, before = self.context.viewer, self._before
        self._clicked = self._before = None
        viewer.mouse_drag_callbacks.remove(self._on_mouse_press)
        viewer.layers.selection.events.active.disconnect(self._on_active_changed)
        if before is not None and before in viewer.layers and self._is_active:
            viewer.layers.selection.active = before
        self._image = None
        self._ended()

    @property
    def _is_active(self) -> bool:
        """Whether the layer is still active that clicks do not draw on."""
        return self.context.viewer.layers.selection.active is self._image

    def _on_active_changed(self, event: Any = None) -> None:
        if not self._is_active:
            self.end()

    def _on_mouse_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if event.button not in (None, 1):
            return
        start = np.array(event.pos)
        yield
        way = 0.0
        while event.type == "mouse_move":
            way = max(way, float(np.abs(np.array(event.pos) - start).max()))
            yield
        if way <= JITTER and self._clicked is not None:
            self._clicked(event.position)
