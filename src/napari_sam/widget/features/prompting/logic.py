"""Clicks and boxes: what the user does with prompts, answers and objects."""

from __future__ import annotations

from collections.abc import Callable

from ....objects import edits
from ....objects.segmented import Outline
from ... import layers
from ...context import Context
from ...history import Done
from ...scheduler import Lane
from ..feature import Feature
from .asker import Asker
from .hover import Hover
from .owners import Owners
from .panel import PromptPanel
from .work import ObjectInWork

READY = "click an object, or drag a box around it; hold Shift to see what a click gives"


class Prompting(Feature):
    """Prompts of the user, answers shown, objects kept; `Asker` has the path of a click."""

    panel: PromptPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.owners = Owners()
        self.panel = PromptPanel()
        self.asker = Asker(context, self.owners, self.panel)
        self.hover = Hover(context, self.asker)
        self._tool = "points"
        self.keys = {
            "Enter": self.commit,
            "Escape": self.clear,
            "N": self.asker.next_candidate,
            "O": self.begin_object,
            "T": self.toggle_kind,
            "W": self.toggle_tool,
            "Control-Z": self.undo,
            "Control-Shift-Z": self.redo,
            "Control-D": self.delete,
        }
        self._connect()

    def start(self) -> None:
        """Say what to do."""
        self._say_ready()

    def close(self) -> None:
        """Let go of the viewer: no answer will be painted any more."""
        self.hover.close()
        active = self.context.viewer.layers.selection.events.active
        active.disconnect(self._on_active_changed)
        self.asker.question = self.asker.shown = None

    # -- what the user does -------------------------------------------------------------------

    def use_tool(self, tool: str) -> None:
        """Let clicks make points, or boxes."""
        self.bench.ensure_layers()
        self.bench.activate(tool)

    def toggle_tool(self) -> None:
        """Swap points and boxes."""
        self.status.acted()
        self.use_tool("boxes" if self._tool == "points" else "points")

    def set_kind(self, kind: str) -> None:
        """Make the next points object or background points."""
        self.bench.set_kind(kind)
        self.panel.set_kind(kind)

    def toggle_kind(self) -> None:
        """Let the next point be of the next kind: object, background."""
        self.status.acted()
        kinds = list(layers.POINT_KINDS)
        self.set_kind(kinds[(kinds.index(self.bench.kind) + 1) % len(kinds)])

    def begin_object(self) -> None:
        """Let the next point begin another object beside those in work."""
        self.status.acted()
        plane = self.context.shown()
        if plane is not None:
            self.owners.begin(plane.key)
        self.set_kind(layers.OBJECT)
        self.status.hint("the next point outside all boxes begins another object; Enter keeps all")

    def commit(self) -> None:
        """Write the shown objects as the next labels, and clear the prompts of this plane."""
        self.status.acted()
        if self.asker.pending:
            self.asker.then = self.commit
            self.status.hint("it is kept as soon as the answer is there")
            return
        if self.bench.counting or self.context.history.walking:
            self.status.hint("labels are being counted or written; press Enter again in a moment")
            return
        shown, folder = self.asker.shown, self.context.folder
        if shown is not None and folder.is_missing and not self._counting:
            folder.open_objects(shown.plane.key, self.commit)
            return
        if shown is None or self.bench.results is None:
            self.status.hint(f"nothing to commit yet: {READY}")
            return
        view, model = self.bench.results, self._model_name()
        outlines = [
            {shown.plane.key: _outline(one, model)} for _, one in sorted(shown.objects.items())
        ]
        try:
            edit = edits.keep(view.store, outlines)
            view.apply(edit)
        except (ValueError, OSError) as error:
            self.status.error(str(error))
            return
        self._clear_plane()
        covered = len(outlines) - len(edit.objects)
        rest = f", {covered} covered by others" if covered else ""
        self.status.hint(f"{edit.text} committed{rest} (Ctrl+Z takes it back); {READY}")

    def clear(self) -> None:
        """Remove the prompts of this plane and the preview."""
        self.status.acted()
        self._clear_plane()
        self._say_ready()

    def undo(self) -> None:
        """Take back what came last, a commit, a stroke or a run, in any layer of ours."""
        self._walk(self.context.history.undo, "took back")

    def redo(self) -> None:
        """Do again what was taken back last."""
        self._walk(self.context.history.redo, "did again:")

    def delete(self) -> None:
        """Remove the kept object under the pointer."""
        self.status.acted()
        view, plane, viewer = self.bench.results, self.context.shown(), self.context.viewer
        label = 0
        if view is not None and plane is not None and viewer.mouse_over_canvas:
            label = layers.label_at(view.layer, viewer)
        if view is None or plane is None or not label:
            self.status.hint("point at a kept object to delete it")
            return
        try:
            view.apply(edits.delete(view.store, label, plane.key))
        except (ValueError, OSError) as error:
            self.status.error(str(error))
            return
        self.status.hint(f"object {label} deleted (Ctrl+Z takes it back)")

    def _clear_plane(self) -> None:
        self.bench.ensure_layers()
        shown = self.asker.shown
        plane = self.context.shown() if shown is None else shown.plane
        self.asker.forget()
        self.hover.end()
        if plane is not None:
            self.owners.forget(plane.key)
        self.set_kind(layers.OBJECT)  # first: colours need the points that are still shown
        if plane is not None:
            self.bench.clear_prompts(plane.key)

    def _walk(self, step: Callable[[Done], None], words: str) -> None:
        self.status.acted()
        if self.context.scheduler.is_busy(Lane.BULK):
            self.status.hint("everything mode is at work; cancel it first")
            return
        try:
            step(lambda text: self.status.hint(f"{words} {text}"))
        except ValueError as error:
            self.status.error(str(error))

    def _say_ready(self) -> None:
        try:
            self.bench.plane()
        except ValueError as error:
            self.status.hint(str(error))
            return
        self.status.hint(READY if self.context.session is not None else self.context.absence)

    def _model_name(self) -> str:
        session = self.context.session
        return "" if session is None else session.predictor.model.name

    @property
    def _counting(self) -> bool:
        return self.context.scheduler.is_busy(Lane.LABELS)

    # -- events -------------------------------------------------------------------------------

    def _connect(self) -> None:
        context, panel = self.context, self.panel
        context.plane_changed.connect(self._on_plane_changed)
        context.plane_encoded.connect(self.asker.ask_again)
        context.session_changed.connect(self._on_session_changed)
        context.settings_changed.connect(self._on_settings_changed)
        self.bench.prompts_changed.connect(self._on_prompts_changed)
        self.bench.preview_lost.connect(self.asker.forget)
        self.bench.image_changed.connect(self._on_plane_changed)
        self.bench.moved.connect(self._on_bench_moved)
        panel.kind_picked.connect(self.set_kind)
        panel.tool_picked.connect(self.use_tool)
        panel.next_asked.connect(self.asker.next_candidate)
        panel.begin_asked.connect(self.begin_object)
        panel.commit_asked.connect(self.commit)
        panel.clear_asked.connect(self.clear)
        panel.undo_asked.connect(self.undo)
        panel.redo_asked.connect(self.redo)
        active = context.viewer.layers.selection.events.active
        active.connect(self._on_active_changed)

    def _on_prompts_changed(self) -> None:
        self.status.acted()
        self.hover.end()
        self.asker.ask()

    def _on_plane_changed(self) -> None:
        self.asker.forget()  # prompts stay on their plane and are asked again there
        self.hover.end()
        self._say_ready()

    def _on_bench_moved(self) -> None:
        """Show the preview where the image lies now."""
        self.asker.forget()
        self.asker.ask()

    def _on_session_changed(self) -> None:
        self.asker.forget()
        self._say_ready()
        if self.context.session is not None and self.bench.frame is not None:
            self.asker.ask()

    def _on_settings_changed(self) -> None:
        self.asker.ask(anew=True)

    def _on_active_changed(self, event: object = None) -> None:
        active = self.context.viewer.layers.selection.active
        if active is not None and active in (self.bench.points, self.bench.boxes):
            self._tool = "points" if active is self.bench.points else "boxes"
            self.panel.set_tool(self._tool)


def _outline(one: ObjectInWork, model: str) -> Outline:
    """Return an object in work as it is kept."""
    if one.answer is None or one.mask is None:
        raise ValueError("the object has no answer yet; wait a moment")
    score = float(one.answer.iou_predictions[one.shown])
    return Outline(one.mask, one.prompts, one.shown, score, "prompted", model)
