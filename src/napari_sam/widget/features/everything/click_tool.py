"""The mouse on the layer of proposals: a click selects one, accepts it or rejects it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from napari.layers import Labels

from ... import layers
from ...context import Context
from .proposals import NONE_HERE, Proposals
from .verdict_box import ACCEPT, REJECT

CLICK = 4
"""Pixels of the screen that the mouse moves in a click at most."""


class ClickTool:
    """Listens to clicks on one layer; only the active layer of the viewer is clicked on.

    Parameters
    ----------
    context : Context
    proposals : Proposals
    ended : callable
        Called when another layer is made active, so that clicks are for something else.
    """

    def __init__(self, context: Context, proposals: Proposals, ended: Callable[[], None]) -> None:
        self.context, self.proposals, self._ended = context, proposals, ended
        self.tool = ""
        self._layer: Labels | None = None
        self._before: Any = None
        context.viewer.layers.selection.events.active.connect(self._on_active_changed)

    def watch(self, layer: Labels | None) -> None:
        """Listen to the clicks on another layer of proposals; None: on none."""
        self.use("")
        if self._layer is not None:
            self._layer.mouse_drag_callbacks.remove(self._on_mouse_drag)
        self._layer = layer
        if layer is not None:
            layer.mouse_drag_callbacks.append(self._on_mouse_drag)

    def use(self, tool: str) -> None:
        """Let a click accept or reject; with "" clicks do what they did before."""
        selection, layer = self.context.viewer.layers.selection, self._layer
        before, self._before = self._before, None
        was, self.tool = self.tool, ""  # none while another layer becomes active
        if tool and layer is not None:
            self._before = before if was else selection.active
            layer.visible = True
            layer.mode = "pan_zoom"
            selection.active = layer
            self.tool = tool
            what = "accepts" if tool == ACCEPT else "rejects"
            self.context.status.hint(f"a click on a proposal {what} it; Escape ends this")
        elif was and before in self.context.viewer.layers:
            selection.active = before

    def close(self) -> None:
        """Listen no more."""
        self.watch(None)
        self.context.viewer.layers.selection.events.active.disconnect(self._on_active_changed)

    def _on_active_changed(self, event: Any) -> None:
        if self.tool and event.value is not self._layer:
            self.tool, self._before = "", None
            self._ended()

    def _on_mouse_drag(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        if str(layer.mode) != "pan_zoom" or event.button != 1:
            return
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        if max(abs(a - b) for a, b in zip(start, event.pos, strict=True)) > CLICK:
            return  # the view was moved
        points, viewer = self.context.bench.prompts.points, self.context.viewer
        label = 0 if points is None else layers.label_at(layer, points, viewer.cursor.position)
        if not label:
            self.context.status.hint(NONE_HERE)
        elif self.tool == ACCEPT:
            self.proposals.accept_label(label)
        elif self.tool == REJECT:
            self.proposals.reject_label(label)
        else:
            self.proposals.select(label)
