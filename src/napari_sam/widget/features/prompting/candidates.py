"""The candidates of the object prompted last: chosen by key, wheel or row; a click taken back."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer

from ....objects.drawn import DrawnRow, rows_of
from ....predict.grouping import group_prompts
from ....types import Plane, Prompts
from ...context import Context
from ...layers import DrawnPrompt
from ...work.candidates import by_size
from ...work.question import ObjectInWork
from .asker import Asker
from .hover import MODIFIER
from .new_prompts import NewPrompts
from .panel import PromptPanel

NO_CLICK = "there is no click here to take back: click an object first"


class Candidates:
    """Chooses between the outlines that the model offers for the object prompted last.

    Parameters
    ----------
    context : Context
    asker : Asker
    panel : PromptPanel
        Has the list of candidates.
    new : NewPrompts
    """

    def __init__(self, context: Context, asker: Asker, panel: PromptPanel, new: NewPrompts) -> None:
        self.context, self.status, self.asker, self.new = context, context.status, asker, new
        self.panel = panel
        self._turned = 0.0  # of the wheel, in notches
        context.viewer.mouse_wheel_callbacks.append(self._on_mouse_wheel)
        panel.candidates.picked.connect(self._on_picked)
        panel.candidates.size_picked.connect(self._on_size_picked)

    def close(self) -> None:
        """Let go of the viewer."""
        self.context.viewer.mouse_wheel_callbacks.remove(self._on_mouse_wheel)

    def next_candidate(self) -> None:
        """Show the next candidate, which is larger."""
        self._step(1)

    def previous_candidate(self) -> None:
        """Show the candidate before, which is smaller."""
        self._step(-1)

    def step_back(self) -> None:
        """Take the last click back: the answer before it is shown."""
        self.status.acted()
        prompts, plane = self.context.bench.prompts, self.context.shown()
        prompts.end_drawing()
        newest = None if plane is None else self._newest(plane)
        if newest is None:
            self.status.hint(self.context.hindrance() or NO_CLICK)
            return
        self.asker.then = None
        prompts.redraw((self._row(newest),))
        self.new.forget()
        self.asker.ask()
        self.new.log.note(text="taking the last click back")
        self.asker.show_work()
        again = "; Ctrl+Z brings it back"
        if self.asker.question is None:
            again += "; there is no prompt left here"
        self.status.hint(f"the last click is taken back{again}")

    def _newest(self, plane: Plane) -> DrawnPrompt | None:
        """Return the newest prompt of the object in work on a plane.

        It is the one without which the answer is that which came last of all, as far as such
        answers are remembered; else the last that is drawn.
        """
        number, work = self.asker.owners.current, self.asker.work
        drawn = self.context.bench.prompts.drawn(plane.key)
        owners = {one.placed.owner for one in drawn}
        if number not in owners:
            number = max((owner for owner in owners if owner is not None), default=None)
        mine = [one for one in drawn if one.placed.owner == number]
        if number is None or not mine:
            return None
        outlined = work.seen_from(plane.key).outlined

        def age(one: DrawnPrompt) -> tuple[int, int]:
            rest = [other.placed for other in mine if other is not one]
            try:
                said = dict(group_prompts(rest, outlined)).get(number)
            except ValueError:  # what is left could not be asked
                return -1, mine.index(one)
            found = -1 if said is None else self.asker.recent.age(plane, said)
            return found, mine.index(one)

        return max(mine, key=age)

    def _row(self, one: DrawnPrompt) -> DrawnRow:
        """Return a prompt as it is drawn."""
        prompts = self.context.bench.prompts
        rows = [row for row in prompts.drawing() if row.layer == one.placed.kind.layer]
        return rows[one.row]

    def _shown(self) -> ObjectInWork | None:
        """Return the object whose candidates can be chosen now; says why if there is none."""
        self.status.acted()
        if self.asker.pending:
            self.status.hint("another answer can be shown as soon as the first is there")
            return None
        one = self.asker.current
        if one is None:
            hint = "there is no answer yet to show another one: click an object first"
            self.status.hint(self.context.hindrance() or hint)
        return one

    def _step(self, step: int) -> None:
        """Show a candidate that is larger or smaller, or what the model makes of a kept object.

        The object of a review is opened for that.
        """
        if self.context.looked_at is not None and self.asker.current is None:
            view, label = self.context.object_meant(*self.context.bench.views)
            if view is not None and not self.asker.pending:
                self.context.reopen_asked.emit(label, view)
                if self.asker.current is None:
                    return  # the status line says why
        one = self._shown()
        if one is None:
            return
        if not one.kept:
            order = by_size(one.candidates)
            self._choose(one, order[(order.index(one.shown) + step) % len(order)])
        elif one.prompts.empty and not one.mask:
            self.status.hint("add a click first: there is nothing to ask the model about")
        else:
            prompts = self._boxed(one) if one.prompts.empty else one.prompts
            self.asker.show_instead(ObjectInWork(prompts, prompts, all_sizes=True))

    def _boxed(self, one: ObjectInWork) -> Prompts:
        """Draw the box of an outline that has no prompts, and return it."""
        question, number, mask = self.asker.shown, self.asker.current_number, one.mask
        if question is None or number is None or mask is None:
            return one.prompts
        prompts = Prompts(box=mask.box)
        rows = rows_of(prompts, question.plane.key, number)
        self.context.bench.prompts.redraw((), rows)
        self.new.log.note(text="the box of the object")
        return prompts

    def _choose(self, one: ObjectInWork, index: int) -> None:
        if one.answer is not None and one.several_sizes:
            self.asker.preference.choose(one.answer, index)
        self.asker.show_instead(one.choosing(index))

    def _on_picked(self, place: int) -> None:
        one = self._shown()
        if one is not None and not one.kept:
            self._choose(one, by_size(one.candidates)[place])

    def _on_size_picked(self, size: int | None) -> None:
        """Show another size first, also of the click that is shown."""
        self.status.acted()
        preference, one = self.asker.preference, self.asker.current
        preference.prefer(size)
        if one is not None and one.answer is not None and one.several_sizes:
            self.asker.show_instead(one.choosing(preference.first(one.answer)))

    def _on_mouse_wheel(self, viewer: Viewer, event: Any) -> None:
        """Choose with Shift and the wheel; some systems turn the wheel sideways then."""
        one = self.asker.current
        alone = len(event.modifiers) == 1 and MODIFIER in event.modifiers
        if not alone or one is None or one.kept or len(one.candidates) < 2:
            self._turned = 0.0
            return
        event.handled = True
        self._turned += float(event.delta[0] + event.delta[1])
        if abs(self._turned) >= 1:
            step, self._turned = (1 if self._turned > 0 else -1), 0.0
            self._step(step)
