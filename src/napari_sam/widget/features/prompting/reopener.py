"""Opens kept objects again: by a key under the pointer, by a click with the tool, from the list."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ....objects.boxes import Box
from ....objects.drawn import rows_of
from ....objects.search import outlines_in
from ....objects.segmented import Outline, SegmentedObject, upright
from ....types import SliceKey
from ...context import Context
from ...labels_view import LabelsView
from ...layers import label_at
from ...places import show_place
from .asker import Asker
from .panel import OBJECTS
from .prompt_log import PromptLog
from .tools import Tools


class Reopener:
    """Brings the prompts of a kept object back, with its outline as it is.

    Parameters
    ----------
    context : Context
    asker : Asker
    log : PromptLog
    tools : Tools
    """

    def __init__(self, context: Context, asker: Asker, log: PromptLog, tools: Tools) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.asker, self.log, self.tools = asker, log, tools
        context.viewer.mouse_drag_callbacks.append(self._on_mouse_press)

    def close(self) -> None:
        """Let go of the viewer."""
        self.context.viewer.mouse_drag_callbacks.remove(self._on_mouse_press)

    def reopen_here(self) -> None:
        """Open the object under the pointer, or that of a review, or else the selected one."""
        self.status.acted()
        view, label = self.context.object_meant(self.bench.results, self.bench.everything)
        if view is None and self.bench.results is not None:
            view, label = self.bench.results, int(self.bench.results.layer.selected_label)
            if label not in view.store.objects:
                view = None
        if view is None:
            self.tools.use(OBJECTS)
            hint = "click a finished object to work on it again; W goes back to points"
            self.status.hint(self.context.hindrance() or hint)
            return
        self.reopen(label, view)

    def reopen(self, label: int, view: LabelsView) -> None:
        """Open an object: its prompts are drawn again, its outline is shown as it is.

        Parameters
        ----------
        label : int
        view : LabelsView
            Of the layer that it is in.
        """
        plane = self.context.shown()
        if plane is None:
            self.status.hint(self.context.hindrance())
            return
        if view not in (self.bench.results, self.bench.everything):
            self.status.error(
                f"{view.layer.name} belongs to another image; choose that image to work on it"
            )
            return
        work, known = self.asker.work, view.store.objects.get(label)
        if known is not None and known.locked:
            self.status.error(f"object {label} is finished; K unlocks it")
            return
        if -label in work.numbers():
            self.status.hint(f"object {label} is open already")
            return
        found = None
        if known is None:
            key = upright(plane.key)
            outlines = outlines_in(view.layer.data, key, [label])
            if not outlines:
                self.status.error(f"there is no object {label} in this plane")
                return
            found = known = SegmentedObject(label, {key: outlines[label]})
        rows = tuple(
            row
            for key, outline in known.outlines.items()
            if outline.prompts is not None
            for row in rows_of(outline.prompts, key, -label)
        )
        work.reopened.open(label, view, found, bool(rows))
        self.bench.ensure_layers()
        self.bench.prompts.redraw((), rows)
        self.log.note(text=f"opening object {label}")
        self.asker.owners.take_up(-label)
        self.tools.use("points")
        if upright(plane.key) not in known.outlines:
            show_place(self.context, [_box(*one) for one in known.outlines.items()])
        self.asker.ask()
        self.asker.show_work()
        self.status.hint(f"object {label} is in work again: {self._advice(known)}")

    def _advice(self, known: SegmentedObject) -> str:
        """Say what can be done with it, and whether another model made it."""
        session = self.context.session
        made = {one.model_hash: one.model for one in known.outlines.values() if one.model_hash}
        if session is not None and made and session.predictor.model.fingerprint not in made:
            names = ", ".join(sorted(set(made.values())))
            return (
                f"{names} made it, which is not the model in use; its pixels stay until you "
                "change it"
            )
        return "add or remove prompts, Enter keeps it, Esc leaves it as it was"

    def _at(self, position: Any) -> tuple[LabelsView | None, int]:
        """Return the object at a place of the world, and the view of its layer."""
        points = self.bench.prompts.points
        for view in (self.bench.results, self.bench.everything):
            if view is not None and points is not None:
                label = label_at(view.layer, points, position)
                if label:
                    return view, label
        return None, 0

    def _on_mouse_press(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Open the object that is clicked with the tool; a drag moves the image."""
        if self.tools.tool != OBJECTS:
            return
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if dragged:
            return
        view, label = self._at(event.position)
        if view is None:
            self.status.hint("there is no finished object here; click one to work on it again")
        else:
            self.reopen(label, view)


def _box(key: SliceKey, outline: Outline) -> Box:
    """Return where an outline lies in the array."""
    x0, y0, x1, y1 = outline.mask.box
    sides = {axis: (position, position + 1) for axis, position in key.fixed}
    sides |= {key.displayed[0]: (y0, y1 + 1), key.displayed[1]: (x0, x1 + 1)}
    return tuple(sides[axis] for axis in sorted(sides))
