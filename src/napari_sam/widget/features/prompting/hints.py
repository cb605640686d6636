"""What the status line says when the user has to do something next."""

from __future__ import annotations

from ...context import Context

POINTS = "click an object, or press W for boxes; hold Shift to preview a click"
BOXES = "drag a box around each object; W goes back to points"


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
        active = self.context.viewer.layers.selection.active
        boxes = self.context.bench.prompts.boxes
        return BOXES if boxes is not None and active is boxes else POINTS

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
