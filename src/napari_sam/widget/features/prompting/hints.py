"""What the status line says when the user has to do something next."""

from __future__ import annotations

from ...context import Context

NEXT = {
    "": "click an object, or drag a box around it",
    "points": "click an object, or drag a box around it; hold Shift to preview a click",
    "boxes": "drag a box around each object; W goes back to points",
    "lasso": "drag once around an object, roughly; L for a polygon or an ellipse, W for scribbles",
    "polygon": "click corners around an object, double-click ends; L for ellipses, W for scribbles",
    "ellipse": "drag an ellipse over an object; L for a lasso, W for scribbles",
    "objects": "click a finished object to work on it again; W goes back to points",
    "scribble": "drag along an object, after T along the background; W goes back to points",
}
"""What to do next, by tool; of regions by their shape."""


class Hints:
    """Says what can be done next, or why nothing can: no plane, no model, clicks that go elsewhere.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    @property
    def next(self) -> str:
        """What to do next with the tool in use."""
        prompts = self.context.bench.prompts
        if prompts.opens_objects:
            return NEXT["objects"]
        return NEXT[prompts.region if prompts.tool == "region" else prompts.tool]

    def ready(self) -> None:
        """Say that an object can be prompted."""
        self.say(self.next)

    def say(self, text: str) -> None:
        """Say what can be done next, or why nothing can."""
        context = self.context
        try:
            context.bench.plane()
        except ValueError as error:
            context.status.hint(str(error))
            return
        if context.session is None:
            text = context.absence
        context.status.hint(context.bench.prompts.hindrance() or text)
