"""What the recorder of a history has of its steps, and what it has refused so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from .edit import Edit
from .recorder import Recorder, Target
from .step import Part, Step


class RecordedSteps:
    """Tells the recorder of each step, in order, and only of steps that it knows.

    Strokes and prompts are done before they can be recorded. What the recorder refuses of them is
    handed over before the next new part; if it is refused again, so is the new part. Notes on
    what could not be written, or not be walked, come even before that.

    Attributes
    ----------
    recorder : Recorder or None
        None: nothing is recorded.
    """

    def __init__(self) -> None:
        self.recorder: Recorder | None = None
        self._owed: list[Callable[[Recorder], None]] = []

    def use(self, recorder: Recorder, done: Iterable[Step], undone: Iterable[Step]) -> None:
        """Record from now on; steps made before are handed over.

        Parameters
        ----------
        recorder : Recorder
        done, undone : iterable of Step
            In the order in which they were made.

        Raises
        ------
        OSError
            If the recorder cannot keep them; it is not used then.
        """
        done, undone = list(done), list(undone)
        for step in (*done, *undone):
            for place, (target, edit) in enumerate(self.parts(step)):
                (recorder.joined if place else recorder.made)(step.number, target, edit)
        for step in reversed(undone):
            recorder.undone(step.number)
        for step in (*done, *undone):
            step.is_recorded, step.refused = True, []
        self.recorder = recorder

    def make(self, number: int, target: Target, edit: Edit, done: Iterable[Step]) -> None:
        """Record a new step before it is written.

        Parameters
        ----------
        number : int
        target : Target
        edit : Edit
        done : iterable of Step
            All that were made before.

        Raises
        ------
        OSError
            If the recorder cannot keep it, or what it has refused before.
        """
        if self.recorder is not None:
            self._catch_up(done)
            self.recorder.made(number, target, edit)

    def join(self, step: Step, target: Target, edit: Edit, done: Iterable[Step]) -> None:
        """Record a further part of a step before it is written; raises as `make` does."""
        if self.recorder is not None:
            self._catch_up(done)
            self.recorder.joined(step.number, target, edit)

    def note(self, step: Step, target: Target, edit: Edit, done: Iterable[Step]) -> None:
        """Record a part that is done already; it stays in memory if it is refused.

        Parameters
        ----------
        step : Step
            The newest one.
        target : Target
        edit : Edit
        done : iterable of Step
            All that are made, this one included.

        Raises
        ------
        OSError
            If the recorder cannot keep it, or what it has refused before.
        """
        if self.recorder is not None:
            step.refused.append((target, edit))
            self._catch_up(done)

    def withdraw(self, number: int) -> None:
        """Record that the newest part of a step could not be written after all, now or later."""
        self._owe(lambda recorder: recorder.withdrawn(number))

    def walk(self, step: Step, back: bool) -> None:
        """Record that a step is taken back, or made again.

        Raises
        ------
        OSError
            If the recorder cannot keep it, or what it has refused before.
        """
        if self.recorder is not None and step.is_recorded:
            self._pay(self.recorder)
            (self.recorder.undone if back else self.recorder.redone)(step.number)

    def stay(self, step: Step, back: bool) -> None:
        """Record that a step could not be taken back, or made again, after all, now or later."""
        if step.is_recorded:
            number = step.number
            self._owe(lambda one: (one.redone if back else one.undone)(number))

    def releases(self, step: Step) -> bool:
        """Tell whether the recorder has all of a step, so that memory need not."""
        return self.recorder is not None and step.is_recorded and not step.refused

    def parts(self, step: Step) -> list[Part]:
        """Return the parts of a step, from the recorder where they are no longer in memory.

        Raises
        ------
        ValueError
            If nobody has them any more.
        OSError
            If the recorder cannot read them.
        """
        if step.parts is not None:
            return step.parts
        if self.recorder is None:
            raise ValueError(f"{step.text} is no longer kept")
        targets = {target.id: target for target in step.targets}
        parts: list[Part] = []
        for name, edit in self.recorder.parts(step.number):
            if name not in targets:
                continue  # of a layer that is gone
            if parts and parts[-1][0].id == name:
                parts[-1] = (parts[-1][0], parts[-1][1].then(edit))
            else:
                parts.append((targets[name], edit))
        return parts

    def _catch_up(self, done: Iterable[Step]) -> None:
        """Hand over what the recorder has refused before, the oldest first."""
        recorder = self.recorder
        if recorder is not None:
            self._pay(recorder)
        for step in done:
            while recorder is not None and step.refused:
                target, edit = step.refused[0]
                (recorder.joined if step.is_recorded else recorder.made)(step.number, target, edit)
                step.is_recorded = True
                step.refused.pop(0)

    def _owe(self, note: Callable[[Recorder], None]) -> None:
        """Make a note; the reason for it is what the user must hear of, and not that it waits."""
        if self.recorder is not None:
            self._owed.append(note)
            with suppress(OSError):
                self._pay(self.recorder)

    def _pay(self, recorder: Recorder) -> None:
        """Make the notes that the recorder has refused before, the oldest first."""
        while self._owed:
            self._owed[0](recorder)
            self._owed.pop(0)
