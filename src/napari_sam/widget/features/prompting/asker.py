"""The path of a click: the prompts of a plane, a question, its answers, a painted preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from qtpy.QtCore import QTimer

from ....predict.grouping import group_prompts
from ....predict.prompt_kinds import PlacedPrompt
from ....predict.windows import check_inside
from ....stack.planes import plane_text
from ....steps import single
from ....types import Mask, Plane, Prediction, Prompts
from ... import layers
from ...context import Context
from ...scheduler import Lane, Work
from .owners import Owners
from .panel import PromptPanel
from .work import Question, RecentAnswers, gone_on

COMPUTING = "predicting"
"""The source of progress in the status line while an answer is on its way."""
PATIENCE_MS = 50
"""A prompt is drawn together with its answer if that takes no longer."""
SLOW_MS = 100
"""An answer that takes longer is announced."""

Answers = dict[int, Prediction]


class Asker:
    """Asks the model about the prompts of the plane shown, and shows what it answers.

    Parameters
    ----------
    context : Context
    owners : Owners
    panel : PromptPanel
        Shows which answer is seen, and its score.

    Attributes
    ----------
    question : Question or None
        The newest one; None where there are no prompts, or they have not been asked about.
    shown : Question or None
        The one whose answers are painted.
    then : callable or None
        What waits for the answer that is on its way.
    recent : RecentAnswers
        Answers of this and other planes that still hold.
    """

    def __init__(self, context: Context, owners: Owners, panel: PromptPanel) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.owners, self.panel = owners, panel
        self.question: Question | None = None
        self.shown: Question | None = None
        self.then: Callable[[], None] | None = None
        self.recent = RecentAnswers()
        self._failed: Question | None = None
        self._slow = QTimer()
        self._slow.setSingleShot(True)
        self._slow.timeout.connect(self._on_slow_timeout)

    @property
    def pending(self) -> bool:
        """Whether an answer is on its way."""
        if self.question is None or self.question is self._failed:
            return False
        return bool(self.question.open)

    def ask(self) -> None:
        """Read the prompts of the plane and ask the model about those that are new."""
        question = self._read()
        if question is None or (self.pending and question.asks_as(self.question)):
            return
        self.question = question
        if question.open:
            self._submit(question)
        else:
            self._show(question)

    def ask_anew(self) -> None:
        """Ask about all prompts of the plane: what was answered does not hold any more."""
        self.recent.clear()
        self.shown = None
        self.ask()

    def ask_again(self) -> None:
        """Ask about prompts that were left on this plane, unless that has been done."""
        if self.question is None:
            self.ask()

    def recall(self) -> None:
        """Show what was answered on this plane before; what is new waits for `ask_again`."""
        question = self._read()
        if question is not None and not question.open:
            self.question = question
            self._show(question)

    def next_candidate(self) -> None:
        """Show the next of the masks that the model offers for the object prompted last."""
        self.status.acted()
        if self.pending:
            self.status.hint("another answer can be shown as soon as the first is there")
            return
        if self.shown is None:
            self.status.hint("there is no answer yet to show another one: click an object first")
            return
        objects = dict(self.shown.objects)
        number = self._current(self.shown)
        one = objects[number]
        if one.answer is not None:
            objects[number] = replace(one, rank=(one.rank + 1) % len(one.answer.masks))
            self.question = replace(self.shown, objects=objects)
            self._show(self.question)

    def forget(self) -> None:
        """Drop the answers shown and any that is still to come."""
        self.question = self.then = None
        self.context.scheduler.cancel(Lane.CLICK)
        self._clear()

    def wait_for(self, then: Callable[[], None]) -> None:
        """Do something as soon as the answer is there that is on its way."""
        self.then = then
        self.status.progress(
            COMPUTING, "computing ...; the object is committed as soon as the answer is there"
        )

    def close(self) -> None:
        """Paint no answer any more."""
        self._slow.stop()
        self.question = self.shown = self.then = None
        self.recent.clear()

    def _read(self) -> Question | None:
        """Return the prompts of the plane with the answers known; None, and none shown, if none."""
        self.bench.ensure_layers()  # the user may have deleted one
        plane = self.context.shown()
        if plane is None:
            return None
        try:
            drawn = self.bench.prompts.drawn(plane.key)
            placed = self._inside(self.owners.own(drawn, plane.key), plane)
            prompts = group_prompts(placed)
        except ValueError as error:
            self.forget()
            self.status.error(str(error))
            return None
        if not prompts:
            self.forget()
            return None
        fresh = self.shown is not None and self.shown.plane.same_as(plane)
        shown = self.shown.objects if self.shown is not None and fresh else {}
        objects = {
            number: self.recent.find(plane, said) or gone_on(said, shown.get(number))
            for number, said in prompts
        }
        return Question(plane, objects)

    def _submit(self, question: Question) -> None:
        session, scheduler = self.context.session, self.context.scheduler
        if session is None:
            return  # asked again when the model is there
        prompts, ready = question.open, session.ready(question.plane)
        if not ready:
            self.status.progress(COMPUTING, f"encoding {plane_text(question.plane)} ...")
        self._slow.start(SLOW_MS)

        def answered() -> Answers:
            answers = session.predict_many(question.plane, list(prompts.values()))
            return dict(zip(prompts, answers, strict=True))

        def done(answers: Answers) -> None:
            if question is self.question:  # else another one has been asked since
                self._end_computing()
                self._on_answers(question, answers)

        def failed(text: str) -> None:
            if question is self.question:
                self.then, self._failed = None, question
                self._clear()  # what was shown answers earlier prompts
                self.status.error(text)

        work = Work(partial(single, answered), on_result=done, on_error=failed, text="predicting")
        scheduler.submit(work, Lane.CLICK)
        if ready:
            scheduler.wait(PATIENCE_MS, Lane.CLICK)

    def _on_slow_timeout(self) -> None:
        """Say that an answer is on its way, unless more is said already."""
        if not self.pending or self.question is None or self.context.session is None:
            return
        self.panel.set_computing()
        if self.then is None and self.context.session.ready(self.question.plane):
            self.status.progress(COMPUTING, "computing ...")

    def _clear(self) -> None:
        """Take the preview away."""
        self._end_computing()
        preview = self.bench.prompts.preview
        if self.shown is not None and preview is not None:
            layers.clear_preview(preview)
        self.shown = None
        self.panel.set_no_answer()

    def _end_computing(self) -> None:
        self._slow.stop()
        self.status.progress(COMPUTING)

    def _on_answers(self, question: Question, answers: Mapping[int, Prediction]) -> None:
        objects = {
            number: replace(one, answer=answers[number]) if number in answers else one
            for number, one in question.objects.items()
        }
        self.question = replace(question, objects=objects)
        self._show(self.question)
        then, self.then = self.then, None
        if then is not None and not self.bench.prompts.is_drawing:  # the next prompt is begun
            then()

    def _show(self, question: Question) -> None:
        """Paint the answers, and say what they are."""
        bench, preview = self.bench, self.bench.prompts.preview
        if preview is None or bench.frame is None:
            return
        self._end_computing()
        self.shown = question
        self.recent.keep(question)
        first = bench.results.store.next_label if bench.results else 1
        masks: dict[int, Mask] = {}
        for label, (_, one) in enumerate(sorted(question.objects.items()), first):
            if one.mask is not None:
                masks[label] = one.mask
        layers.show_preview(preview, bench.frame, question.plane.key, masks)
        one = question.objects[self._current(question)]
        if one.answer is not None and one.mask is not None:
            doubt = "" if preview.visible else "the preview is hidden; "
            doubt += "" if one.answer.present else "the model sees no object there; "
            commits = "Enter commits it" if one.mask else "the answer is empty"
            other = "N shows another answer, " if len(one.answer.masks) > 1 else ""
            self.status.hint(f"{doubt}{commits}, more points correct it, {other}Esc clears")
            score = float(one.answer.iou_predictions[one.shown])
            size = layers.area_text(one.mask.area, bench.frame, question.plane.key)
            self.panel.set_answer(one.rank + 1, len(one.answer.masks), score, size, len(masks))

    def _current(self, question: Question) -> int:
        current, objects = self.owners.current(question.plane.key), question.objects
        return current if current is not None and current in objects else max(objects)

    def _inside(self, placed: Sequence[PlacedPrompt], plane: Plane) -> list[PlacedPrompt]:
        """Return the prompts that lie in the plane, and say of others that they do not count."""
        inside = []
        for one in placed:
            try:
                check_inside(one.kind.give(Prompts(), one.values), plane.size)
            except ValueError as error:
                self.status.error(f"{error}; it does not count")
            else:
                inside.append(one)
        return inside
