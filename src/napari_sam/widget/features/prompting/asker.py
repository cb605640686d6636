"""The path of a click: the prompts of a plane, a question, its answers, a painted preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

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
from .work import Question, gone_on

ENCODING = "predicting"
"""The source of progress in the status line while a plane is encoded for a question."""
PATIENCE_MS = 50
"""A prompt is drawn together with its answer if that takes no longer."""

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
    """

    def __init__(self, context: Context, owners: Owners, panel: PromptPanel) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.owners, self.panel = owners, panel
        self.question: Question | None = None
        self.shown: Question | None = None
        self.then: Callable[[], None] | None = None
        self._failed: Question | None = None

    @property
    def pending(self) -> bool:
        """Whether an answer is on its way."""
        if self.question is None or self.question is self._failed:
            return False
        return bool(self.question.open)

    def ask(self, anew: bool = False) -> None:
        """Read the prompts of the plane and ask the model about those that are new, or about all.

        Parameters
        ----------
        anew : bool
            What is shown is out of date.
        """
        self.bench.ensure_layers()  # the user may have deleted one
        plane, bench = self.context.shown(), self.bench
        if plane is None or bench.points is None or bench.boxes is None:
            return
        try:
            drawn = layers.drawn_prompts(bench.points, bench.boxes, plane.key)
            placed = self._inside(self.owners.own(drawn, plane.key), plane)
            prompts = group_prompts(placed)
        except ValueError as error:
            self.forget()
            self.status.error(str(error))
            return
        if not prompts:
            self.forget()
            return
        fresh = not anew and self.shown is not None and self.shown.plane.same_as(plane)
        shown = self.shown.objects if self.shown is not None and fresh else {}
        objects = {number: gone_on(said, shown.get(number)) for number, said in prompts}
        self.question = Question(plane, objects)
        if not self.question.open:
            self._show(self.question)
        else:
            self._submit(self.question)

    def ask_again(self) -> None:
        """Ask about prompts that were left on this plane, unless that has been done."""
        if self.question is None:
            self.ask()

    def next_candidate(self) -> None:
        """Show the next of the masks that the model offers for the object prompted last."""
        self.status.acted()
        if self.shown is None or self.pending:
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
        self.status.progress(ENCODING)
        if self.shown is not None and self.bench.preview is not None:
            layers.clear_preview(self.bench.preview)
        self.shown = None
        self.panel.set_no_answer()

    def _submit(self, question: Question) -> None:
        session, scheduler = self.context.session, self.context.scheduler
        if session is None:
            return  # asked again when the model is there
        prompts, ready = question.open, session.ready(question.plane)
        if not ready:
            self.status.progress(ENCODING, f"encoding {plane_text(question.plane)} ...")

        def answered() -> Answers:
            answers = session.predict_many(question.plane, list(prompts.values()))
            return dict(zip(prompts, answers, strict=True))

        def done(answers: Answers) -> None:
            self.status.progress(ENCODING)
            self._on_answers(question, answers)

        def failed(text: str) -> None:
            self.then, self._failed = None, question
            self.status.progress(ENCODING)
            self.status.error(text)

        work = Work(partial(single, answered), on_result=done, on_error=failed, text="predicting")
        scheduler.submit(work, Lane.CLICK)
        if ready:
            scheduler.wait(PATIENCE_MS, Lane.CLICK)

    def _on_answers(self, question: Question, answers: Mapping[int, Prediction]) -> None:
        if question is not self.question:
            return  # late: another question has been asked since
        objects = {
            number: replace(one, answer=answers[number]) if number in answers else one
            for number, one in question.objects.items()
        }
        self.question = replace(question, objects=objects)
        self._show(self.question)
        then, self.then = self.then, None
        if then is not None:
            then()

    def _show(self, question: Question) -> None:
        """Paint the answers, and say what they are."""
        bench = self.bench
        if bench.preview is None or bench.frame is None:
            return
        self.shown = question
        first = bench.results.store.next_label if bench.results else 1
        masks: dict[int, Mask] = {}
        for label, (_, one) in enumerate(sorted(question.objects.items()), first):
            if one.mask is not None:
                masks[label] = one.mask
        layers.show_preview(bench.preview, bench.frame, question.plane.key, masks)
        one = question.objects[self._current(question)]
        if one.answer is not None and one.mask is not None:
            doubt = "" if one.answer.present else "the model sees no object there; "
            keeps = "Enter keeps it" if one.mask else "the answer is empty"
            self.status.hint(f"{doubt}{keeps}, N shows another answer, Esc clears")
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
