"""The path of a click: the prompts of a plane, a question, its answers, a painted preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from qtpy.QtCore import QTimer

from ....predict.grouping import group_prompts
from ....predict.prompt_kinds import PlacedPrompt
from ....predict.windows import check_inside
from ....stack.planes import plane_text
from ....steps import single
from ....types import Plane, Prediction, Prompts
from ... import layers
from ...context import Context
from ...scheduler import Lane, Work
from ...visible import visible_window
from ...work.candidates import SizePreference
from ...work.question import ObjectInWork, Question, RecentAnswers, gone_on
from .answer_view import AnswerView
from .owners import Owners
from .panel import PromptPanel

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
        Answers to earlier prompts that still hold.
    work : WorkOnPlanes
        The objects in work on all planes.
    preference : SizePreference
        Which size is shown first of a single click.
    """

    def __init__(self, context: Context, owners: Owners, panel: PromptPanel) -> None:
        self.context, self.bench, self.status = context, context.bench, context.status
        self.owners, self.panel = owners, panel
        self.view = AnswerView(context, panel)
        self.question: Question | None = None
        self.shown: Question | None = None
        self.then: Callable[[], None] | None = None
        self.recent = RecentAnswers()
        self.preference = SizePreference()
        self.work = context.work
        self._failed: Question | None = None
        self._slow = QTimer()
        self._slow.setSingleShot(True)
        self._slow.timeout.connect(self._on_slow_timeout)

    @property
    def pending(self) -> bool:
        """Whether an answer is on its way."""
        if self.question is None or self.failed:
            return False
        return bool(self.question.open)

    @property
    def failed(self) -> bool:
        """Whether the newest question could not be answered."""
        return self.question is not None and self.question is self._failed

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
        self.work.forget_answers()
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

    def show_propagated(self) -> None:
        """Show what propagation found in the plane shown."""
        if not (self.pending or self.failed):
            self.recall()
        if self.shown is None:
            self.show_work()

    @property
    def current(self) -> ObjectInWork | None:
        """The object prompted last, as it is shown; None if none is."""
        return None if self.shown is None else self.shown.objects[self._current(self.shown)]

    @property
    def current_number(self) -> int | None:
        """The number of that object."""
        return None if self.shown is None else self._current(self.shown)

    def repaint(self) -> None:
        """Paint the preview as it was: somebody painted into it."""
        preview = self.bench.prompts.preview
        if self.shown is not None:
            self.view.paint(self.shown, self._current(self.shown))
        elif preview is not None:
            layers.clear_preview(preview)

    def show_instead(self, one: ObjectInWork) -> None:
        """Show another outline of the object prompted last, or ask about it anew."""
        if self.shown is None:
            return
        objects = {**self.shown.objects, self._current(self.shown): one}
        self.question = replace(self.shown, objects=objects)
        if one.answer is None:
            self._submit(self.question)
        else:
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
        self.work.clear()
        self.work.forget_committed()

    def questions(self, shown: Plane) -> list[Question]:
        """Return what is asked of each plane with prompts, with the answers that are known.

        Parameters
        ----------
        shown : Plane

        Raises
        ------
        ValueError
            If the prompts of a plane cannot be asked about; it names the plane.
        """
        questions = []
        for plane in self.work.planes(shown):
            try:
                question = self._question(plane)
            except ValueError as error:
                raise ValueError(f"{plane_text(plane)}: {error}") from error
            if question.objects:
                questions.append(question)
        return questions

    def answer(self, question: Question, then: Callable[[], None]) -> None:
        """Ask about another plane than the one shown, and do something when that is answered.

        What waits for another such answer is done first.
        """
        session = self.context.session
        if session is None:
            return
        self.status.progress(COMPUTING, f"computing {plane_text(question.plane)} first ...")
        self.then = _in_turn(self.then, then)

        def done(answers: Answers) -> None:
            self.status.progress(COMPUTING)
            self.work.answers[question.plane.key] = question.answered(
                answers, self.preference.first
            )
            then, self.then = self.then, None
            if then is not None:  # else prompts were changed meanwhile
                then()

        def failed(text: str) -> None:
            self.then = None
            self.status.progress(COMPUTING)
            self.status.error(text)

        work = Work(
            partial(single, partial(question.ask, session)),
            on_result=done,
            on_error=failed,
            text="predicting",
        )
        self.context.scheduler.submit(work, Lane.CLICK)

    def _read(self) -> Question | None:
        """Return the question of the plane shown; None, and none shown, if there is none."""
        self.bench.ensure_layers()  # the user may have deleted one
        plane = self.context.shown()
        if plane is None:
            return None
        try:
            question = self._question(plane)
        except ValueError as error:
            self.forget()
            self.status.error(str(error))
            return None
        if not question.objects:
            self.work.answers.pop(plane.key, None)
            self.forget()
            return None
        return question

    def _question(self, plane: Plane) -> Question:
        """Return the prompts of a plane with the answers that are known."""
        work = self.work.seen_from(plane.key)
        drawn = self.bench.prompts.drawn(plane.key)
        placed = self._inside(self.owners.own(drawn, plane.key, work), plane)
        prompts = dict(group_prompts(placed, work.outlined))
        objects = {number: self._known(number, said, plane) for number, said in prompts.items()}
        for number in work.outlined:
            start = self.work.start(number, plane.key)
            if number not in objects and start is not None:
                objects[number] = start
        frame = self.bench.frame
        view = None if frame is None else visible_window(frame, plane.key)
        return Question(plane, objects, view)

    def _known(self, number: int, said: Prompts, plane: Plane) -> ObjectInWork:
        """Return an object of a plane with the answer that is known, or what it goes on from."""
        fresh = self.shown is not None and self.shown.plane.same_as(plane)
        before = self.shown.objects.get(number) if self.shown is not None and fresh else None
        before = before or self.work.before(number, plane)
        start = self.work.start(number, plane.key)
        known = [gone_on(said, one) for one in (before, start) if one is not None]
        same = next((one for one in known if one.answer is not None), None)
        same = same or self.recent.find(plane, said)
        if same is not None:
            return same
        further = (one for one in known if one.start or one.asked.mask_input is not None)
        return next(further, None) or gone_on(said, None)

    def _submit(self, question: Question) -> None:
        session, scheduler = self.context.session, self.context.scheduler
        if session is None:
            return  # asked again when the model is there
        ready = session.ready(question.plane)
        if not ready:
            self.status.progress(COMPUTING, f"encoding {plane_text(question.plane)} ...")
        self._slow.start(SLOW_MS)

        def done(answers: Answers) -> None:
            if question is self.question:  # else another one has been asked since
                self._end_computing()
                self._on_answers(question, answers)

        def failed(text: str) -> None:
            if question is self.question:
                self.then, self._failed = None, question
                self._clear()  # what was shown answers earlier prompts
                self.status.error(text)

        work = Work(
            partial(single, partial(question.ask, session)),
            on_result=done,
            on_error=failed,
            text="predicting",
        )
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
        self.question = question.answered(answers, self.preference.first)
        self._show(self.question)
        then, self.then = self.then, None
        if then is not None and not self.bench.prompts.is_drawing:  # the next prompt is begun
            then()

    def _show(self, question: Question) -> None:
        """Paint the answers, and say what they are."""
        if self.bench.prompts.preview is None or self.bench.frame is None:
            return
        self._end_computing()
        self.shown = question
        self.recent.keep(question)
        self.work.answers[question.plane.key] = question
        number = self._current(question)
        self.view.paint(question, number)
        self.show_work()
        self.view.say(question, number, self.preference.size)

    def show_work(self) -> None:
        """Say which object is in work."""
        self._say_work(self.work.numbers())
        self.context.work_changed.emit()

    def _say_work(self, numbers: Sequence[int]) -> None:
        self.work.current = None
        if not numbers:
            self.panel.set_work(None)
            return
        number = self.owners.current
        if number not in numbers or number is None:
            number = numbers[-1]
        self.work.current = number
        view = self.work.reopened.view(-number) if number < 0 else None
        label = self.work.label(number)
        colour = layers.preview_colour(label)
        if view is not None:
            colour = layers.colour_of(view.layer, label)
        planes = [", ".join(str(n) for _, n in key.fixed) for key in self.work.keys(number)]
        state = "reopened" if number < 0 else "new"
        self.panel.set_work(label, colour, state, [one for one in planes if one], len(numbers) - 1)

    def _current(self, question: Question) -> int:
        current, objects = self.owners.current, question.objects
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


@dataclass(frozen=True)
class _InTurn:
    """Several things that wait for an answer; each is done once."""

    what: tuple[Callable[[], None], ...]

    def __call__(self) -> None:
        for one in self.what:
            one()


def _in_turn(waiting: Callable[[], None] | None, then: Callable[[], None]) -> Callable[[], None]:
    """Return what does all that waits and then something else, unless it waits already."""
    what = waiting.what if isinstance(waiting, _InTurn) else (waiting,) if waiting else ()
    return _InTurn(what if then in what else (*what, then))
