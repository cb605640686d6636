"""Objects in work are followed through a stack, corrected, and followed again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from qtpy.QtCore import QTimer

from ....objects.drawn import Drawing
from ....objects.segmented import upright
from ....predict.session import Session
from ....stack.propagate import MEMORY, propagator_of
from ....stack.small import advice
from ....types import Mask, Plane
from ...context import Context
from ...scheduler import Lane
from ..feature import Feature
from .following import BOTH, Followed, Line, direction_of, places_beside
from .panel import StackPanel
from .propagation import Propagation
from .view import StackView

STRIP_MS = 50
"""The strip shows what was found so often, at most."""
LOOKS_CHANGED = "the image looks otherwise now"
MODEL_CHANGED = "another model answers now"
PROPAGATOR_CHANGED = "objects are found otherwise now"
HALTED = "{}: following was stopped, what was found so far is kept; P follows the objects anew"
OUTDATED = "{}: what was propagated before is kept; P follows the objects anew"
DONE = (
    "propagated: move the slider, or press U for the least certain plane; a prompt corrects it, "
    "Enter commits all planes"
)


class Stack(Feature):
    """Follows the objects in work along an axis, and again from where they are corrected.

    A prompt in a plane makes it a keyframe; only the planes up to the keyframes beside it are
    worked on again.
    """

    panel: StackPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.status, self.work = context.status, context.work
        self.panel = StackPanel()
        self.view = StackView(context, self.panel)
        self.propagation = Propagation(context)
        self.keys = {
            "P": self.propagate,
            "Shift-P": self.mark_absent,
            "U": self.go_to_uncertain,
        }
        self._strip = QTimer(self)
        self._strip.setSingleShot(True)
        self._strip.timeout.connect(self.view.show)
        self._wanted = False  # as soon as an answer is there
        self._chosen: str | None = None  # propagator that the user picked, for models with a memory
        self._dropped: dict[int, Mapping[int, Mask]] = {}  # keyframes that the user stopped at
        panel = self.panel
        panel.propagate_asked.connect(self.propagate)
        panel.absent_asked.connect(self.mark_absent)
        panel.uncertain_asked.connect(self.go_to_uncertain)
        panel.place_picked.connect(self.view.go_to)
        panel.axis.picked.connect(self.view.use_axis)
        panel.propagator.picked.connect(self._on_propagator_picked)
        panel.live_changed.connect(self._on_work_changed)
        self.propagation.changed.connect(self._on_propagation_changed)
        self.propagation.finished.connect(self._on_propagation_finished)
        self.propagation.stopped.connect(self._on_propagation_stopped)
        context.plane_changed.connect(self._on_plane_changed)
        context.plane_encoded.connect(self._follow_live)
        context.work_changed.connect(self._on_work_changed)
        context.session_changed.connect(self._on_session_changed)
        context.bench.image_changed.connect(self._on_image_changed)
        context.scheduler.busy_changed.connect(self._on_busy_changed)

    def start(self) -> None:
        """Show the axes of the image."""
        self.view.show_axes()
        self._show_propagator()

    def close(self) -> None:
        """Follow nothing any more."""
        self.propagation.clear()
        self._strip.stop()

    # -- what the user does -------------------------------------------------------------------

    def propagate(self) -> None:
        """Follow all objects in work that are not followed yet, or all anew; or stop that."""
        self.status.acted()
        if self.propagation.running and not self._is_live():
            self.propagation.stop()
            return
        line = self._line()
        if line is None:
            return
        self._wanted = self.context.scheduler.is_busy(Lane.CLICK)
        if self._wanted:
            self.status.hint("the objects are followed as soon as the answer is there")
            return
        if self.context.answer_rest(self.propagate):
            return  # other planes with prompts have no answer yet
        known = self._known(line)
        if not known:
            self.status.hint("prompt an object in one plane first; P follows it into the others")
            return
        direction = self.panel.direction.currentText()
        new = [number for number in known if not self._is_done(number, line, direction)]
        for number in new or known:
            self.propagation.add(number, Followed(line, direction, known[number]).begun())
        self.propagation.run()
        self._advise(line, {number: known[number] for number in new or known})

    def mark_absent(self) -> None:
        """Say that the object in work is not in the plane shown, or take that back."""
        self.status.acted()
        number, plane = self.work.current, self.context.shown()
        if number is None or plane is None:
            self.status.hint("there is no object in work")
            return
        key = upright(plane.key)
        if key in self.work.prompted(number, plane.key):
            self.status.hint("it has prompts in this plane; Esc clears them")
            return
        absent = self.work.absent.setdefault(number, set())
        absent.symmetric_difference_update({key})
        self.context.propagated.emit()
        self.context.work_changed.emit()
        label = self.work.label(number)
        text = "is not in this plane" if key in absent else "may be in this plane again"
        self.status.hint(f"object {label} {text}; Shift+P takes that back")

    def go_to_uncertain(self) -> None:
        """Show the plane in which the object in work is least certain, then the next ones."""
        self.status.acted()
        line, number = self.view.line(), self.work.current
        marks = {} if line is None or number is None else self.view.marks(number, line)
        places = [place for place, mark in marks.items() if mark.kind == "found"]
        if line is None or not places:
            self.status.hint("no plane was propagated to yet; P does that")
            return
        places.sort(key=lambda place: (marks[place].score, place))
        here = line.place(line.plane.key)
        after = places.index(here) + 1 if here in places else 0
        place = places[after % len(places)]
        self.view.go_to(place)
        score = f"plane {place}, score {marks[place].score:.2f}"
        self.status.hint(
            f"{score}: a prompt corrects it, Shift+P if the object is not there, U goes on"
        )

    # -- what is followed ---------------------------------------------------------------------

    def _line(self) -> Line | None:
        """Return the planes along the chosen axis; or say what is missing."""
        try:
            self.context.bench.plane()
        except ValueError as error:
            self.status.hint(str(error))
            return None
        if self.context.session is None:
            self.status.hint(self.context.absence)
            return None
        line = self.view.line()
        if line is None:
            self.status.hint("the image has one plane only: there is nothing to follow through")
        return line

    def _known(self, line: Line) -> dict[int, dict[int, Mask]]:
        """Return the keyframes of the objects in work that are somewhere on a line."""
        masks = {number: line.masks(self.work.keyframes(number)) for number in self.work.numbers()}
        return {number: known for number, known in masks.items() if any(known.values())}

    def _is_done(self, number: int, line: Line, direction: str) -> bool:
        """Tell whether an object was followed just so."""
        one = self.propagation.followed.get(number)
        if one is None or one.todo or one.live or one.stopped or one.direction != direction:
            return False
        return one.line.axis == line.axis and one.line.place(line.plane.key) is not None

    def _is_live(self) -> bool:
        """Tell whether all that is being followed is so without having been asked for."""
        return all(one.live for one in self.propagation.followed.values() if one.todo)

    def _keyframes(self, number: int, one: Followed, drawn: Drawing) -> dict[int, Mask]:
        """Return the keyframes of an object, those that wait for an answer as they were."""
        keyframes = one.line.masks(self.work.keyframes(number, drawn))
        for key in self.work.prompted(number, one.line.plane.key, drawn):
            place = one.line.place(key)
            if place is not None and place in one.keyframes:
                keyframes.setdefault(place, one.keyframes[place])
        return keyframes

    def _take_up(self, number: int) -> None:
        """Go on with an object that was propagated before, kept, and taken up again."""
        line = self.view.line()
        if line is None or number in self.propagation.followed:
            return
        kept = self.work.reopened.outlines(-number) if number < 0 else {}
        found = [line.place(key) for key, one in kept.items() if one.origin == "propagated"]
        again = [line.place(key) for key in self.work.propagated.get(number, ())]
        if any(place is not None for place in (*found, *again)):
            keyframes = line.masks(self.work.keyframes(number))
            places = [place for place in again if place is not None]
            there = [place for place, mask in keyframes.items() if mask]
            direction = direction_of(places, there) if places else BOTH
            self.propagation.add(number, Followed(line, direction, keyframes))

    def _follow_live(self) -> None:
        """Follow into planes that are encoded, if the user wants that."""
        line, session = self.view.line(), self.context.session
        if line is None or session is None or not self.panel.live.isChecked():
            return
        if self.propagation.running or self.context.scheduler.is_busy(Lane.CLICK):
            return
        for number, keyframes in self._known(line).items():
            one = self.propagation.followed.get(number)
            if one is None or (one.live and not one.line.same_as(line)):
                one = Followed(line, BOTH, keyframes, live=True)
            dropped = self._dropped.get(number)
            if not one.live or (dropped is not None and not one.changed(dropped)):
                continue
            found = {key: outline.mask for key, outline in self.work.outlines(number).items()}
            known = {place: bool(m) for place, m in line.masks(found).items()}
            known |= {place: bool(m) for place, m in keyframes.items()}
            todo = places_beside(known, line.count, partial(_is_ready, session, line))
            if todo:
                self._dropped.pop(number, None)
                self.propagation.add(number, replace(one, line=line, todo=todo))
        if any(one.todo for one in self.propagation.followed.values()):
            self.propagation.run()

    # -- events -------------------------------------------------------------------------------

    def _on_work_changed(self) -> None:
        """Follow again where keyframes are others than before."""
        numbers, drawn, again = self.work.numbers(), self.work.drawing(), False
        for number in numbers:
            self._take_up(number)
        for number, one in list(self.propagation.followed.items()):
            if number not in numbers or number not in self.work.propagated:
                if number in numbers:
                    self._dropped[number] = one.keyframes
                again = again or bool(one.todo)
                self.propagation.drop(number)
                continue
            now = one.with_keyframes(self._keyframes(number, one, drawn))
            if now is not one and one.live:
                self._forget(number, now)
                now = now.without(now.todo)
            again = again or (now is not one and bool(now.todo))
            self.propagation.followed[number] = now
        if again:
            self.propagation.run()
        self._dropped = {k: one for k, one in self._dropped.items() if k in numbers}
        self.view.show()
        self._follow_live()
        if self._wanted and not self.context.scheduler.is_busy(Lane.CLICK):
            self.propagate()

    def _forget(self, number: int, one: Followed) -> None:
        """Forget what was found of an object in the planes that are to be done again."""
        found = self.work.propagated[number]
        for key in [key for key in found if one.line.place(key) in one.todo]:
            del found[key]

    def _on_propagation_changed(self) -> None:
        running = self.propagation.running
        self.panel.set_running(running and not self._is_live())
        if not running:
            self.view.show()
        elif not self._strip.isActive():  # a strip of 1,000 planes takes some milliseconds
            self._strip.start(STRIP_MS)

    def _on_propagation_finished(self) -> None:
        self.context.propagated.emit()
        if any(not one.live for one in self.propagation.followed.values()):
            self.status.hint(DONE)
        self.context.followed.emit()
        self._follow_live()

    def _on_propagation_stopped(self) -> None:
        followed = self.propagation.followed.items()
        self._dropped |= {number: one.keyframes for number, one in followed if one.live}

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane is Lane.CLICK and not busy:
            self._wanted = False  # an answer has used it before this
        if lane in (Lane.PREFETCH, Lane.CLICK) and not busy:
            self._follow_live()

    def _on_plane_changed(self) -> None:
        shown = self.context.shown()
        followed = self.propagation.followed.values()
        if shown is not None and not all(one.line.looks_as(shown) for one in followed):
            self._halt(shown, LOOKS_CHANGED)
        self.view.follow_slider()

    def _on_session_changed(self) -> None:
        self._show_propagator()
        shown = self.context.shown()
        if shown is not None and self.context.session is not None:
            self._halt(shown, MODEL_CHANGED)

    def _on_propagator_picked(self, propagator: str) -> None:
        self._chosen = self.propagation.propagator = propagator
        shown = self.context.shown()
        if shown is not None:
            self._halt(shown, PROPAGATOR_CHANGED)

    def _advise(self, line: Line, known: Mapping[int, Mapping[int, Mask]]) -> None:
        """Say where objects are small for the model's memory."""
        session = self.context.session
        if session is None:
            return
        model = session.predictor.model
        if propagator_of(model, self.propagation.propagator) == MEMORY:
            text = advice(model, line.plane, known)
            if text:
                self.status.hint(text)

    def _show_propagator(self) -> None:
        """Let the user choose the propagator where the model has a memory; else there is one."""
        session = self.context.session
        if session is None:
            return  # another model is being loaded
        model = session.predictor.model
        self.propagation.propagator = self._chosen if model.remembers else None
        self.panel.set_propagator(propagator_of(model, self._chosen) if model.remembers else None)

    def _halt(self, shown: Plane, why: str) -> None:
        """Stop: what was computed does not fit any more what the model would answer now."""
        if self.propagation.halt(shown):
            self.status.hint(HALTED.format(why))
        elif any(not one.live for one in self.propagation.followed.values()):
            self.status.hint(OUTDATED.format(why))
        self.context.propagated.emit()

    def _on_image_changed(self) -> None:
        self._wanted = False
        self._dropped.clear()
        self.propagation.clear()
        self.view.use_axis(None)
        self.view.show_axes()


def _is_ready(session: Session, line: Line, place: int) -> bool:
    return session.ready(replace(line.plane, key=line.key(place)))
