"""Clicks and boxes: what the user does with prompts, answers and objects in work."""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from qtpy.QtCore import QTimer

from ....types import Plane, Progress
from ... import layers
from ...context import Context
from ...history import Steps
from ...scheduler import Lane
from ..feature import Feature
from .asker import Asker
from .candidates import Candidates
from .changes import Changes
from .commits import Plan, ToCommit, outlines_to_commit, planned
from .hints import Hints
from .hover import Hover
from .new_prompts import NewPrompts
from .owners import Owners
from .panel import PromptPanel
from .preview_brush import PreviewBrush
from .prompt_log import PromptLog
from .reopener import Reopener
from .tools import Tools

AT_ONCE = 20
"""Outlines that are committed without a pause into an array in memory; more take their time."""
CHANGED = "prompts or objects were changed while they were committed; press Enter again"


class Prompting(Feature):
    """Prompts of the user, answers shown, objects kept.

    `Asker` has the path of a click, `Tools` what a click draws, `Changes` undo and deletion.
    """

    panel: PromptPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.owners = Owners()
        self.panel = PromptPanel()
        self.asker = Asker(context, self.owners, self.panel)
        self.hover = Hover(context, self.asker)
        self.log = PromptLog(self.bench, context.history)
        self.new = NewPrompts(context, self.asker, self.log)
        self.candidates = Candidates(context, self.asker, self.panel, self.new)
        self.brush = PreviewBrush(context, self.asker, self.new)
        self.hints = Hints(context)
        self.tools = Tools(context, self.panel, self.hints)
        self.reopener = Reopener(context, self.asker, self.log, self.tools)
        self.changes = Changes(context, self.asker, self.hover, self.new, self.hints)
        self.keys = {
            "Enter": self.commit,
            "Escape": self.clear,
            "N": self.candidates.next_candidate,
            "Shift-N": self.candidates.previous_candidate,
            "B": self.candidates.step_back,
            "O": self.begin_object,
            "E": self.reopener.reopen_here,
            "T": self.tools.toggle_kind,
            "W": self.tools.toggle,
            "L": self.tools.toggle_region,
            "Control-Z": self.changes.undo,
            "Control-Shift-Z": self.changes.redo,
            "Control-D": self.changes.delete,
        }
        self._asked_to_clear = False
        self._commit_later = False  # when propagation has ended
        self._committing: Steps | None = None  # the last commit
        context.answer_rest = self._answer_rest
        self._connect()

    def start(self) -> None:
        """Say what to do."""
        self.hints.ready()

    def close(self) -> None:
        """Disconnect from the viewer: no further answer is painted; what is committed, is."""
        if self._committing is not None:
            self.context.history.finish(self._committing)
        self.hover.close()
        self.candidates.close()
        self.brush.close()
        self.reopener.close()
        active = self.context.viewer.layers.selection.events.active
        active.disconnect(self._on_active_changed)
        self.asker.close()

    # -- what the user does -------------------------------------------------------------------

    def begin_object(self) -> None:
        """Let the next point begin another object beside those in work."""
        self.status.acted()
        plane = self.context.shown()
        if plane is not None:
            self.owners.begin(plane.key)
        self.tools.set_kind(layers.OBJECT)
        self.hints.say("the next point outside all boxes begins another object; Enter commits all")

    def commit(self) -> None:
        """Write the objects in work, with all their planes, and clear their prompts."""
        self.status.acted()
        if self.bench.prompts.end_drawing():
            return  # what was drawn is asked about first
        if self.context.session is None:
            self.hints.ready()
            return
        if self.asker.pending:
            self.asker.wait_for(self.commit)
            return
        self._commit_later = self.context.scheduler.is_busy(Lane.FOLLOW)
        if self._commit_later:
            self.status.hint("objects are being followed; they are committed after that")
            return
        if self.bench.counting or self.context.history.walking:
            self.status.hint("labels are being counted or written; press Enter again in a moment")
            return
        self.bench.ensure_layers()  # the user may have deleted the results
        results = self.bench.results
        plane, folder = self.context.shown(), self.context.folder
        work = self.asker.work
        if plane is None or self.asker.failed or not (work.drawing() or work.numbers()):
            self.hints.say(f"nothing to commit yet: {self.hints.next}")
            return
        opening = self.context.scheduler.is_busy(Lane.LABELS)
        if folder.is_missing and not opening:
            folder.open_objects(plane.key, self._commit_opened)
            return
        if results is None:
            self.status.hint("the folder of the labels is being opened; press Enter in a moment")
            return
        if self._answer_rest(self.commit):
            return
        try:
            to_commit = self._to_commit(plane)
        except ValueError as error:
            self.status.error(str(error))
            return
        outlines = to_commit.outlines
        few = AT_ONCE if isinstance(results.layer.data, np.ndarray) else 1
        at_once = sum(len(planes) for planes in outlines.values()) <= few
        reopened = (work.reopened.view(-number) for number in outlines if number < 0)
        also = [view for view in reopened if view is not None and view is not results]
        steps, done = self._commits(to_commit), lambda: None
        self._committing = steps
        self.context.history.write(results, steps, done, at_once=at_once, also=also)

    def _commit_opened(self) -> None:
        """Commit what waited for its folder, unless another Enter has done so."""
        work = self.asker.work
        if work.drawing() or work.numbers():
            self.commit()

    def _to_commit(self, plane: Plane) -> ToCommit:
        """Return what is to be committed; raises as `outlines_to_commit` does."""
        work = self.asker.work
        return outlines_to_commit(self.context, work, self.asker.questions(plane))

    def _commits(self, to_commit: ToCommit) -> Generator[Progress, None, None]:
        """Write objects in work as one step, a plane at a time, and end the work on them.

        Their prompts go first, so that the user can go on with other objects. If something cannot
        be written, all of it is undone.
        """
        context, work, image = self.context, self.asker.work, self.bench.image_prompts
        rows, known = work.drawing(), work.known()
        plan = yield from self._planned(to_commit)
        while not known.commits_as(work.known()):  # another answer was chosen, for one
            plane, known = context.shown(), work.known()
            if plane is None:
                raise ValueError(CHANGED)
            plan = yield from self._planned(self._to_commit(plane))
        self._end_work()
        step = None
        if not plan.edits:
            self.log.note(joined=True)
        elif self.log.note(text=plan.edits[0][1].text):
            step = context.history.steps.newest
        if step is not None:
            work.remember(step.number, known)
        self.status.hint(f"{plan.text}; {self.hints.next}")
        try:
            for view, edit in plan.edits:
                step = yield from view.make_or_join(edit, step)
        except (Exception, GeneratorExit) as error:  # the latter where a layer is removed
            if step is not None:
                soon = isinstance(error, GeneratorExit)
                self.changes.undo_down_to(step, rows, image, soon)
            raise

    def _planned(self, to_commit: ToCommit) -> Generator[Progress, None, Plan]:
        """Plan what is written; raises `ValueError` if there is more to wait for by then."""
        context, work, prompts = self.context, self.asker.work, self.bench.prompts
        rows, results = work.drawing(), self.bench.results
        plan = yield from planned(context, work, to_commit)
        for _, edit in plan.edits:
            yield from context.recording.keep_outlines(edit)
        changed = work.drawing() != rows or self.bench.results is not results
        following = context.scheduler.is_busy(Lane.FOLLOW)
        if changed or following or prompts.is_drawing or self.asker.pending:
            raise ValueError(CHANGED)
        return plan

    def _answer_rest(self, then: Callable[[], None]) -> bool:
        """Ask about a plane that was left before its answer came; see `Context.answer_rest`."""
        plane = self.context.shown()
        if plane is None:
            return False
        try:
            questions = self.asker.questions(plane)
        except ValueError as error:
            self.status.error(str(error))
            return True
        unanswered = next((one for one in questions if one.open), None)
        if unanswered is not None:
            self.asker.answer(unanswered, then)
        return unanswered is not None

    def clear(self) -> None:
        """Clear the prompts of this plane, or those of all others where there are none here.

        Propagation is stopped first, and what it found is taken back before any prompt.

        A kept object that is in work is closed and stays as it was. Before all of that, a tool that
        takes clicks for itself ends.
        """
        self.status.acted()
        if self.context.end_tool():
            return
        self.bench.prompts.end_drawing()
        if self._drop_propagated():
            return
        plane, work = self.context.shown(), self.asker.work
        here = () if plane is None else self.bench.prompts.drawn(plane.key)
        rows, numbers = work.drawing(), work.numbers()
        if any(number < 0 for number in numbers) or not here:
            kept = [row for row in rows if row.owner < 0]
            everywhere = not (here or kept or not rows)
            if everywhere and not self._asked_to_clear:
                self._asked_to_clear = True
                self.hints.say("there are no prompts here; Esc again clears those of other planes")
                return
            self.tools.set_kind(layers.OBJECT)
            self.bench.prompts.redraw(tuple(rows if everywhere else kept))
            work.close_kept()
        self._asked_to_clear = False
        self._clear_plane()
        if self.log.note() or numbers:
            closed = [f"{-number}" for number in numbers if number < 0]
            which = f"object {', '.join(closed)} stays as it was; " if closed else ""
            self.hints.say(f"{which}{self.hints.next}")
        else:
            self.hints.say(f"there are no prompts to clear here; {self.hints.next}")
        self.asker.ask()
        self.asker.show_work()

    def _drop_propagated(self) -> bool:
        """Stop propagation, or take back what it found; tells whether there was any."""
        work = self.asker.work
        self._commit_later = False
        if self.context.scheduler.is_busy(Lane.FOLLOW):
            self.context.scheduler.cancel(Lane.FOLLOW)
            self.status.hint("stopped; what was found so far is kept, Esc takes it back")
            return True
        if not (any(work.propagated.values()) or any(work.absent.values())):
            return False
        work.propagated.clear()
        work.absent.clear()
        self.asker.show_propagated()
        self.asker.show_work()
        self.status.hint("what was propagated is taken back; Esc again clears the prompts")
        return True

    def _end_work(self) -> None:
        """Remove the prompts of all planes, and the preview: no object is in work."""
        work = self.asker.work
        self.tools.set_kind(layers.OBJECT)  # before: napari colours points that are there
        self.bench.prompts.redraw(work.drawing())
        self._clear_plane()
        work.clear()
        self.owners.clear()
        self.asker.show_work()

    def _clear_plane(self) -> None:
        self.bench.ensure_layers()
        shown = self.asker.shown
        plane = self.context.shown() if shown is None else shown.plane
        self.asker.forget()
        self.hover.end()
        self.new.forget()
        self.tools.set_kind(layers.OBJECT)
        if plane is not None:
            self.asker.work.answers.pop(plane.key, None)
            self.owners.forget(plane.key)
            self.bench.prompts.clear(plane.key)

    # -- events -------------------------------------------------------------------------------

    def _connect(self) -> None:
        context, panel = self.context, self.panel
        context.plane_changed.connect(self._on_plane_changed)
        context.plane_encoded.connect(self.asker.ask_again)
        context.session_changed.connect(self._on_session_changed)
        context.settings_changed.connect(self.asker.ask_anew)
        context.pixels_changed.connect(self._on_pixels_changed)
        context.propagated.connect(self.asker.show_propagated)
        context.followed.connect(self._on_followed)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        self.bench.prompts.changed.connect(self._on_prompts_changed)
        self.bench.changed.connect(self._on_bench_changed)
        self.bench.image_changed.connect(self._on_image_changed)
        self.bench.prompts.pasted.connect(self._on_prompts_pasted)
        self.bench.prompts.clicks_changed.connect(self._on_clicks_changed)
        self.bench.moved.connect(self._on_bench_moved)
        panel.kind_picked.connect(self.tools.set_kind)
        panel.tool_picked.connect(self._on_tool_picked)
        panel.region_picked.connect(self._on_region_picked)
        panel.next_asked.connect(self.candidates.next_candidate)
        panel.begin_asked.connect(self.begin_object)
        panel.commit_asked.connect(self.commit)
        panel.clear_asked.connect(self.clear)
        panel.reopen_asked.connect(self.reopener.reopen_here)
        context.reopen_asked.connect(self.reopener.reopen)
        panel.undo_asked.connect(self.changes.undo)
        panel.redo_asked.connect(self.changes.redo)
        active = context.viewer.layers.selection.events.active
        active.connect(self._on_active_changed)

    def _on_tool_picked(self, tool: str) -> None:
        self.status.acted()
        self.tools.use(tool)
        self.hints.ready()

    def _on_region_picked(self, shape: str) -> None:
        self.status.acted()
        self.tools.use_region(shape)
        self.hints.ready()

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane is Lane.FOLLOW and not busy:
            self._commit_later = False  # cancelled or failed, or committed before this

    def _on_followed(self) -> None:
        if self._commit_later:
            self._commit_later = False
            self.commit()

    def _on_prompts_changed(self) -> None:
        self.status.acted()
        self._commit_later = False
        self._asked_to_clear = False
        self.hover.end()
        self.asker.then = None
        if self.new.select_kept():
            return
        self.new.forget()
        self.asker.ask()
        self.log.note()
        self.asker.show_work()
        if self.context.shown() is None:
            self.hints.ready()
        self.new.remove_strays()

    def _on_prompts_pasted(self) -> None:
        if self.log.is_behind and not self.new.is_removing:
            self._on_prompts_changed()

    def _on_plane_changed(self) -> None:
        self._asked_to_clear = False
        question, plane = self.asker.question, self.context.shown()
        if question is not None and plane is not None and question.plane.same_as(plane):
            return  # our own layers, or a box that reaches out of the image, moved napari's range
        self.new.forget()
        self.asker.forget()
        self.hover.end()
        self.hints.ready()
        self.asker.recall()  # prompts stay on their plane

    def _on_pixels_changed(self) -> None:
        self.asker.recent.clear()
        self.asker.work.forget_answers()

    def _on_image_changed(self) -> None:
        self._commit_later = False
        self.asker.recent.clear()
        self.asker.work.clear()
        self.asker.work.forget_committed()
        self.owners.clear()
        self.asker.forget()
        self._on_plane_changed()

    def _on_bench_changed(self) -> None:
        """Go on without a layer that the user deleted."""
        if self.asker.question is not None and not self.bench.prompts.are_complete:
            self.asker.forget()
            QTimer.singleShot(0, self._look_again)

    def _look_again(self) -> None:
        self.asker.ask()
        self.log.note()

    def _on_bench_moved(self) -> None:
        """Show the preview where the image lies now."""
        self.asker.forget()
        self.asker.ask()

    def _on_session_changed(self) -> None:
        self.asker.recent.clear()
        self.asker.work.forget_answers()
        self.asker.forget()
        self.hints.ready()
        if self.context.session is not None and self.bench.frame is not None:
            self.asker.ask()

    def _on_active_changed(self, event: object = None) -> None:
        if not self.bench.adding:
            self.tools.show_active()
            self._on_clicks_changed()

    def _on_clicks_changed(self) -> None:
        if not self.bench.prompts.opens_objects:
            self.tools.show_active()
        if self.asker.question is None or self.bench.prompts.hindrance():
            self.hints.ready()
