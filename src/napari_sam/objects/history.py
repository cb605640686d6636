"""Undo and redo of steps over several targets, beyond the memory where a recorder keeps them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from ..steps import drive
from ..types import Progress
from .edit import Edit
from .recorded_steps import RecordedSteps
from .recorder import Recorder, Target
from .step import Part, Step, size_of

LIMIT_BYTES = 64 * 2**20
"""Where all steps take more, the oldest are left to the recorder; without one they are dropped."""
Walk = Generator[Progress, None, list[Part]]
"""Yields between pieces of some milliseconds; returns the edits as they were written. Closed before
its end, it leaves everything as it was."""


class History:
    """Makes edits, and takes them back in the order of the steps.

    Parameters
    ----------
    recorder : Recorder, optional
        Has each step before it is written.
    limit_bytes : int
        What all steps may take in memory; the newest is always kept.
    """

    def __init__(self, recorder: Recorder | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self._records = RecordedSteps()
        self._done: list[Step] = []
        self._undone: list[Step] = []
        self._walked: Step | None = None
        self._count = 0
        self._dropped = False
        if recorder is not None:
            self.use(recorder)

    @property
    def newest(self) -> Step | None:
        """The step that `undo` takes back; None if there is none."""
        return self._done[-1] if self._done else None

    @property
    def next_undone(self) -> Step | None:
        """The step that `redo` makes again; None if there is none."""
        return self._undone[-1] if self._undone else None

    @property
    def walked(self) -> Step | None:
        """The step that is being taken back or made again; None if there is none."""
        return self._walked

    def newest_of(self, target: Target) -> Step | None:
        """Return the newest step that has a part of a target; None if there is none."""
        return next((step for step in reversed(self._done) if target in step.targets), None)

    @property
    def walking(self) -> bool:
        """Whether something is being taken back or made again."""
        return self._walked is not None

    @property
    def nbytes(self) -> int:
        """Bytes that all steps take in memory, about."""
        return sum(step.nbytes for step in (*self._done, *self._undone))

    def use(self, recorder: Recorder) -> None:
        """Record from now on; steps made before are handed over.

        Raises
        ------
        OSError
            If the recorder cannot keep them; it is not used then.
        """
        self._records.use(recorder, self._done, reversed(self._undone))
        self._trim()

    def stop_recording(self) -> None:
        """Go on without the recorder: it cannot keep anything."""
        self._records.recorder = None

    def make(self, target: Target, edit: Edit) -> None:
        """Write an edit as a new step.

        Raises
        ------
        ValueError
            If the target cannot take it; nothing changes then.
        OSError
            If the disk is full or protected; nothing changes then.
        """
        drive(self.make_in_pieces(target, edit))

    def make_in_pieces(self, target: Target, edit: Edit) -> Generator[Progress, None, Step]:
        """Write an edit like `make`, a piece at a time; returns the step."""
        edit = target.completed(edit, edit)
        number = self._next_number()  # another step may be made between two pieces
        self._records.make(number, target, edit, self._done)
        yield from self._write_recorded(number, target, edit)
        step = self._add(number, target, edit)
        step.is_recorded = self._records.recorder is not None
        return step

    def join(self, target: Target, edit: Edit, to: Step | None = None) -> None:
        """Write an edit as a part of a step; raises as `make` does, or without a step.

        Parameters
        ----------
        target : Target
        edit : Edit
        to : Step, optional
            The newest one of the target; otherwise the newest of all.
        """
        drive(self.join_in_pieces(target, edit, to))

    def join_in_pieces(
        self, target: Target, edit: Edit, to: Step | None = None
    ) -> Generator[Progress, None, None]:
        """Write an edit like `join`, a piece at a time."""
        step, edit, whole = self._joined(target, edit, to)
        self._records.join(step, target, edit, self._done)
        yield from self._write_recorded(step.number, target, edit)
        self._put(step, target, whole)

    def note(self, target: Target, edit: Edit) -> None:
        """Take up an edit as a new step that somebody else has written, such as a stroke.

        It is a step even where the recorder cannot keep it.

        Raises
        ------
        OSError
            If the recorder cannot keep it.
        """
        edit = target.completed(edit, edit)
        target.adopt(edit)
        step = self._add(self._next_number(), target, edit)
        self._records.note(step, target, edit, self._done)

    def note_joined(self, target: Target, edit: Edit) -> None:
        """Take up an edit like `note`, as a part of the newest step."""
        step, edit, whole = self._joined(target, edit)
        target.adopt(edit)
        self._put(step, target, whole)
        self._records.note(step, target, edit, self._done)

    def undo(self) -> list[Part]:
        """Take back the newest step.

        Returns
        -------
        list of (Target, Edit), what was written, in that order

        Raises
        ------
        ValueError
            If there is nothing to take back, or a target cannot be written to.
        OSError
            If the disk is full or protected.
        """
        return drive(self.undo_in_pieces())

    def redo(self) -> list[Part]:
        """Make the step again that was taken back last; returns and raises as `undo` does."""
        return drive(self.redo_in_pieces())

    def undo_in_pieces(self) -> Walk:
        """Take back the newest step like `undo`, a piece at a time."""
        if not self._done:
            more = ": earlier changes are no longer kept" if self._dropped else ""
            raise ValueError(f"there is nothing to undo{more}")
        return self._walk(self._done[-1], self._done, self._undone)

    def redo_in_pieces(self) -> Walk:
        """Make the last undone step again like `redo`, a piece at a time."""
        if not self._undone:
            raise ValueError("there is nothing to redo")
        return self._walk(self._undone[-1], self._undone, self._done)

    def forget_undone(self, step: Step) -> None:
        """Forget a step that was taken back: it is not to be made again."""
        self._undone[:] = [one for one in self._undone if one is not step]

    def drop(self, target: Target) -> None:
        """Forget a target that is gone; what it shared steps with keeps its parts."""
        for steps in (self._done, self._undone):
            for step in steps:
                step.targets = [one for one in step.targets if one is not target]
                if step.parts is not None:
                    step.parts = [part for part in step.parts if part[0] is not target]
                step.refused = [part for part in step.refused if part[0] is not target]
            steps[:] = [step for step in steps if step.targets]

    # -- walking --------------------------------------------------------------------------------

    def _walk(self, step: Step, source: list[Step], goal: list[Step]) -> Walk:
        if self.walking:
            raise ValueError("wait until the last change is written")
        back = source is self._done
        self._walked = step
        written: list[Part] = []
        whole = False
        try:
            parts = self._records.parts(step)
            step.parts, step.nbytes = parts, size_of(parts)
            todo = [(one, edit.inverse()) for one, edit in reversed(parts)] if back else parts
            self._records.walk(step, back)
            try:
                for target, edit in todo:
                    yield from target.write_in_pieces(edit)
                    written.append((target, edit))
                whole = True
            finally:
                if not whole:
                    self._records.stay(step, back)
                    for target, edit in reversed(written):
                        drive(target.write_in_pieces(edit.inverse()))
        finally:
            self._walked = None
        if step in source:  # a target may have been dropped meanwhile
            source.remove(step)
            goal.append(step)
        self._trim()
        return written

    # -- new steps ------------------------------------------------------------------------------

    def _write_recorded(
        self, number: int, target: Target, edit: Edit
    ) -> Generator[Progress, None, None]:
        whole = False
        try:
            yield Progress(0, 1, edit.text)  # the record was work already
            yield from target.write_in_pieces(edit)
            whole = True
        finally:
            if not whole:
                self._records.withdraw(number)

    def _joined(
        self, target: Target, edit: Edit, to: Step | None = None
    ) -> tuple[Step, Edit, Edit]:
        """Return the step of a new part, its edit, and that of the whole of its target."""
        step = self.newest if to is None else to
        if step is None:
            raise ValueError("there is no step to join")
        parts = self._records.parts(step)
        last = parts[-1][1] if parts and parts[-1][0] is target else None
        whole = edit if last is None else last.then(edit)
        edit = target.completed(edit, whole)
        if last is None:
            whole = edit
        else:
            properties = Edit("", properties=last.properties).then(
                Edit("", properties=edit.properties)
            )
            whole = replace(whole, properties=properties.properties)
        step.parts = parts
        return step, edit, whole

    def _put(self, step: Step, target: Target, whole: Edit) -> None:
        parts = list(step.parts or ())
        if parts and parts[-1][0] is target:
            parts.pop()
        step.parts = [*parts, (target, whole)]
        step.nbytes = size_of(step.parts)
        if target not in step.targets:
            step.targets.append(target)
        if step.parts[0][0] is target:
            step.text = whole.text
        self._forget_undone()
        self._trim()

    def _add(self, number: int, target: Target, edit: Edit) -> Step:
        self._forget_undone()
        parts = [(target, edit)]
        step = Step(number, edit.text, [target], parts, size_of(parts))
        later = sum(one.number > number for one in self._done)  # made while it was written
        self._done.insert(len(self._done) - later, step)
        self._trim()
        return step

    def _next_number(self) -> int:
        self._count += 1
        return self._count

    def _forget_undone(self) -> None:
        """Drop what was taken back; what is being made again stays until it is."""
        self._undone[:] = [step for step in self._undone if step is self._walked]

    def _trim(self) -> None:
        total = self.nbytes
        for step in (*self._done[:-1], *self._undone[:-1]):
            if total <= self.limit_bytes or self.walking:
                return
            if self._records.releases(step):
                total -= step.nbytes
                step.parts, step.nbytes = None, 0
            elif self._records.recorder is None and step in self._done:
                total -= step.nbytes
                self._done.remove(step)
                self._dropped = True
