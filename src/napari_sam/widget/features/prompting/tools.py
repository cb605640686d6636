"""What clicks and drags do: they draw prompts, or open an object."""

from __future__ import annotations

from ... import layers
from ...context import Context
from .hints import Hints
from .panel import OBJECTS, PromptPanel

SCRIBBLES = {
    layers.OBJECT: "The next scribble lies on the object",
    layers.BACKGROUND: "The next scribble lies beside it",
}
CYCLE = ("points", "region", "scribble")
"""The tools that a key chooses in turn."""


class Tools:
    """Chooses what is drawn, the shape of regions, and whether points and scribbles are objects'.

    Parameters
    ----------
    context : Context
    panel : PromptPanel
        Shows all three.
    hints : Hints
    """

    def __init__(self, context: Context, panel: PromptPanel, hints: Hints) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.panel, self.hints = panel, hints
        self._tool = "points"

    @property
    def tool(self) -> str:
        """What clicks are for: see `PromptLayers.activate`, or objects."""
        return self._tool

    def use(self, tool: str) -> None:
        """Let clicks draw prompts, or open kept objects again."""
        self.bench.ensure_layers()
        self.bench.prompts.activate("points" if tool == OBJECTS else tool)
        self._tool = tool
        self.bench.prompts.opens_objects = tool == OBJECTS
        if tool == OBJECTS and self.bench.prompts.points is not None:
            self.bench.prompts.points.mode = "pan_zoom"
        self.panel.set_tool(tool)

    def toggle(self) -> None:
        """Draw points and boxes, regions, or scribbles in turn."""
        self.status.acted()
        here = CYCLE.index(self._tool) if self._tool in CYCLE else -1
        self.use(CYCLE[(here + 1) % len(CYCLE)])
        self.hints.ready()

    def use_region(self, shape: str) -> None:
        """Draw regions of a shape."""
        self.bench.prompts.region = shape
        self.panel.set_region(shape)
        self.use("region")

    def toggle_region(self) -> None:
        """Draw regions; of the next shape if regions are drawn already."""
        self.status.acted()
        shapes = list(layers.REGION_MODES)
        here = shapes.index(self.bench.prompts.region)
        self.use_region(shapes[(here + (self._tool == "region")) % len(shapes)])
        self.hints.ready()

    def set_kind(self, kind: str) -> None:
        """Let the next points and scribbles lie on the object or the background."""
        self.bench.prompts.set_kind(kind)
        self.panel.set_kind(kind)

    def toggle_kind(self) -> None:
        """Let the next point or scribble be of the next kind: object, background."""
        self.status.acted()
        kinds = list(layers.POINT_KINDS)
        kind = kinds[(kinds.index(self.bench.prompts.kind) + 1) % len(kinds)]
        self.set_kind(kind)
        tips = SCRIBBLES if self._tool == "scribble" else {}
        tip = tips.get(kind) or layers.POINT_KINDS[kind].tip
        self.hints.say(tip[0].lower() + tip[1:])

    def show_active(self) -> None:
        """Show which tool is in use, if one of our layers is active."""
        tool = self.bench.prompts.tool
        if tool:
            self._tool = tool
            self.bench.prompts.opens_objects = False
            self.panel.set_tool(tool)
