"""What the next click does: it draws an object or background point or a box, or opens an object."""

from __future__ import annotations

from ... import layers
from ...context import Context
from .hints import Hints
from .panel import OBJECTS, PromptPanel


class Tools:
    """Chooses between points and boxes, and between the kinds of point.

    Parameters
    ----------
    context : Context
    panel : PromptPanel
        Shows both.
    hints : Hints
    """

    def __init__(self, context: Context, panel: PromptPanel, hints: Hints) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.panel, self.hints = panel, hints
        self._tool = "points"

    @property
    def tool(self) -> str:
        """What clicks are for: points, boxes or objects."""
        return self._tool

    def use(self, tool: str) -> None:
        """Let clicks make points or boxes, or open kept objects again."""
        self.bench.ensure_layers()
        self.bench.prompts.activate("points" if tool == OBJECTS else tool)
        self._tool = tool
        self.bench.prompts.opens_objects = tool == OBJECTS
        if tool == OBJECTS and self.bench.prompts.points is not None:
            self.bench.prompts.points.mode = "pan_zoom"
        self.panel.set_tool(tool)

    def toggle(self) -> None:
        """Swap points and boxes."""
        self.status.acted()
        self.use("boxes" if self._tool == "points" else "points")
        self.hints.ready()

    def set_kind(self, kind: str) -> None:
        """Make the next points object or background points."""
        self.bench.prompts.set_kind(kind)
        self.panel.set_kind(kind)

    def toggle_kind(self) -> None:
        """Let the next point be of the next kind: object, background."""
        self.status.acted()
        kinds = list(layers.POINT_KINDS)
        kind = kinds[(kinds.index(self.bench.prompts.kind) + 1) % len(kinds)]
        self.set_kind(kind)
        self.hints.say(layers.POINT_KINDS[kind].tip)

    def show_active(self) -> None:
        """Show which tool is in use, if one of our layers is active."""
        active, prompts = self.context.viewer.layers.selection.active, self.bench.prompts
        if active is not None and active in (prompts.points, prompts.boxes):
            self._tool = "points" if active is prompts.points else "boxes"
            prompts.opens_objects = False
            self.panel.set_tool(self._tool)
