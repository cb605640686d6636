"""Changes of what is there already: a kept object deleted, undo and redo."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from qtpy.QtCore import QTimer

from ....objects.boxes import Box
from ....objects.drawn import Drawing, without
from ....objects.step import Step
from ....types import SliceKey
from ...context import Context
from ...history import Done
from ...image_prompts import ImagePrompts
from ...labels_view import LabelsView
from ...places import show_place
from ...scheduler import Lane
from .asker import Asker
from .hints import Hints
from .hover import Hover
from .new_prompts import NewPrompts


class Changes:
    """Deletes the kept object under the pointer, and walks the history.

    Parameters
    ----------
    context : Context
    asker : Asker
    hover : Hover
    new : NewPrompts
    hints : Hints
    """

    def __init__(
        self, context: Context, asker: Asker, hover: Hover, new: NewPrompts, hints: Hints
    ) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.asker, self.hover, self.new, self.hints = asker, hover, new, hints

    def undo(self) -> None:
        """Undo the last step: a prompt, a commit, a stroke or a run, in any layer of ours."""
        step = self.context.history.number
        self._walk(self.context.history.undo, "undone:", partial(self.asker.work.bring_back, step))

    def redo(self) -> None:
        """Redo the step undone last."""
        self._walk(self.context.history.redo, "redone:", self.asker.work.prune)

    def undo_down_to(
        self, step: Step, rows: Drawing, image: ImagePrompts | None, soon: bool = False
    ) -> None:
        """Undo a step that could not be written as a whole, and those after it.

        Parameters
        ----------
        step : Step
        rows : Drawing
            The prompts that went with it; they come back in any case.
        image : ImagePrompts or None
            The prompts of the image that they are drawn on, which may be another one now.
        soon : bool
            Show the answers when napari has handled its events: it may be removing a layer now.
        """
        history, prompts = self.context.history, self.bench.prompts
        prompts.end_drawing()
        with suppress(OSError, ValueError):  # the reason for it is what the user must hear of
            while history.number >= step.number:
                for target, edit in history.steps.undo():
                    if isinstance(target, LabelsView):
                        target.walked(edit.inverse(), "undone")
        history.steps.forget_undone(step)
        if image is not None and image is self.bench.image_prompts:
            prompts.redraw((), without(rows, prompts.drawing()))
            self.new.log.note()
            self.asker.work.bring_back(step.number)
            if soon:
                QTimer.singleShot(0, self._look_again)
            else:
                self._look_again()

    def _look_again(self) -> None:
        self.asker.ask()
        self.asker.show_work()

    def delete(self) -> None:
        """Remove the kept object under the pointer, or that of a review."""
        self.status.acted()
        plane = self.context.shown()
        view, label = self.context.object_meant(self.bench.results, self.bench.everything)
        if plane is None or view is None:
            self.hints.say("point at a finished object to delete it")
        else:
            self._delete(view, label, plane.key)

    def _delete(self, view: LabelsView, label: int, key: SliceKey) -> None:
        everywhere = label in view.store.objects or len(view.store.canvas.shape) == 2
        known = view.store.objects.get(label)
        if known is None or not known.locked:
            self._take_out_of_work(view, label)
        try:
            view.delete(label, key)
        except (ValueError, OSError) as error:
            self.status.error(str(error))
            return
        self.new.forget()
        where = "" if everywhere else " in this plane"
        self.status.hint(f"object {label} deleted{where} (Ctrl+Z undoes it)")

    def _take_out_of_work(self, view: LabelsView, label: int) -> None:
        """Remove the prompts of an object that is open, or they would begin another one."""
        work = self.asker.work
        if -label not in work.numbers() or work.reopened.view(label) is not view:
            return
        self.bench.prompts.redraw(tuple(row for row in work.drawing() if row.owner == -label))
        self.new.log.note(text=f"closing object {label}")
        work.close_kept(label)
        self.asker.ask()
        self.asker.show_work()

    def _walk(self, step: Callable[[Done], None], words: str, then: Callable[[], None]) -> None:
        self.status.acted()
        self.bench.prompts.end_drawing()
        if self.context.scheduler.is_busy(Lane.BULK):
            self.status.hint("everything mode is running; cancel it first")
            return
        self.asker.then = None
        try:
            step(partial(self._on_walked, words, then))
        except ValueError as error:
            self.status.error(str(error))

    def _on_walked(
        self, words: str, then: Callable[[], None], text: str, boxes: tuple[Box, ...]
    ) -> None:
        """Show where something was undone or redone, and the prompts that are there now."""
        then()
        self.hover.end()
        self.new.forget()
        where = show_place(self.context, boxes)
        self.asker.ask()
        self.asker.show_work()
        self.status.hint(f"{words} {text}{where}")
