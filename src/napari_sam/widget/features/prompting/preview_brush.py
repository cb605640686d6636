"""Painting into the preview is a scribble along the object, erasing is one beside it."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QTimer

from ....objects.drawn import NOBODY, rows_of
from ....types import Plane, Prompts, Stroke
from ... import layers
from ...context import Context
from .asker import Asker
from .new_prompts import NewPrompts

LABELS = {"paint": 1, "erase": 0}
"""What a stroke of a tool of napari says: object or background."""
NO_OUTLINE = "there is no outline to erase yet: click an object first"
ONLY_BRUSHES = "only napari's paint brush and eraser change the preview; the model draws the rest"


class PreviewBrush:
    """Takes what the user paints into the preview as a prompt; the model answers with an outline.

    Parameters
    ----------
    context : Context
    asker : Asker
    new : NewPrompts
    """

    def __init__(self, context: Context, asker: Asker, new: NewPrompts) -> None:
        self.context, self.asker, self.new = context, asker, new
        self._layer: Labels | None = None
        self._drawing = False  # a stroke that becomes a prompt
        context.bench.changed.connect(self._watch)
        self._watch()

    def close(self) -> None:
        """Let go of the preview."""
        if self._layer is not None:
            self._layer.mouse_drag_callbacks.remove(self._on_drag)
            self._layer.events.paint.disconnect(self._on_paint)
        self._layer, self._drawing = None, False

    def _watch(self) -> None:
        """Listen to the preview that there is now."""
        preview = self.context.bench.prompts.preview
        if preview is self._layer:
            return
        self.close()
        if preview is not None:
            preview.mouse_drag_callbacks.append(self._on_drag)
            preview.events.paint.connect(self._on_paint)
        self._layer = preview

    def _on_drag(self, layer: Labels, event: Any) -> Generator[None, None, None]:
        """Follow a stroke of the brush; napari has other uses of the mouse beside it.

        The right button encircles what is filled, a button pressed meanwhile pans, and one pressed
        while the brush is resized does nothing.
        """
        self._drawing = False
        label, plane = LABELS.get(layer.mode), self.context.shown()
        draws = event.button == 1 and layer.cursor != "circle_frozen" and not layer.mouse_pan
        if label is None or plane is None or not draws:
            return
        if layer.selected_label == 0:
            label = 0  # napari's brush erases
        self._drawing = True
        path = [event.position]
        yield
        while event.type == "mouse_move":
            path.append(event.position)
            yield
        if layer.mouse_pan:
            self._drawing = False
            return
        # napari ends its own stroke first
        QTimer.singleShot(0, partial(self._said, plane, path, label))

    def _on_paint(self, event: Any) -> None:
        """Undo what is painted into the preview and becomes no prompt."""
        if not self._drawing:
            self.asker.repaint()
            self.context.status.error(self.context.hindrance() or ONLY_BRUSHES)

    def _said(self, plane: Plane, path: list[Any], label: int) -> None:
        """Ask the model with one more scribble, or with a point where nothing was dragged."""
        self._drawing = False
        prompts, shown = self.context.bench.prompts, self.context.shown()
        if prompts.points is None or shown is None or not plane.same_as(shown):
            return
        self.context.status.acted()
        number = self.asker.current_number
        if number is None and not label:
            self.asker.repaint()
            self.context.status.hint(NO_OUTLINE)
            return
        places = [layers.place_in_plane(prompts.points, one, plane.key) for one in path]
        xy = np.array([place for k, place in enumerate(places) if not k or place != places[k - 1]])
        said = Prompts(strokes=[Stroke(xy, label)]) if len(xy) > 1 else Prompts(xy, [label])
        self.asker.then = None
        prompts.redraw((), rows_of(said, plane.key, NOBODY if number is None else number))
        self.new.forget()
        self.asker.repaint()
        self.asker.ask()
        self.new.log.note()
        self.asker.show_work()
        self.new.remove_strays()
