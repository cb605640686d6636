"""The layer that everything mode fills: what was found in it, and what the user changed since."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....everything.amg_select import Candidates
from ....objects import edits
from ....objects.edit import Edit
from ....stack.planes import PlaneResult
from ....types import Progress, SliceKey
from ...frame import Frame
from ...history import Happened
from ...labels_view import LabelsView
from .edited import UserEdits
from .selection import remember

Verdict = Literal["accepted", "rejected"]


@dataclass(frozen=True, eq=False)
class Filled:
    """The labels of one plane, and the edit that writes them.

    Attributes
    ----------
    result : PlaneResult
    edit : Edit
    seen : UserEdits
        What was the user's when it was made.
    """

    result: PlaneResult
    edit: Edit
    seen: UserEdits


class Lineage(NamedTuple):
    """Which objects of a time series divided.

    Attributes
    ----------
    axis : int
        The axis of time.
    parents : mapping of int to int
        The labels of objects that divided, by the labels of their daughters.
    """

    axis: int
    parents: Mapping[int, int]


@dataclass(eq=False)
class _Findings:
    """What is known of the planes: candidates of some, the labels that occur of all.

    The lineage is None unless they were joined as a time series.
    """

    candidates: dict[SliceKey, Candidates]
    values: dict[SliceKey, NDArray[np.int32]]
    lineage: Lineage | None = None

    def copy(self) -> _Findings:
        return _Findings(dict(self.candidates), dict(self.values), self.lineage)


@dataclass(eq=False)
class _Step:
    """An edit of the layer; `other_side` is what was known before it, or after it once undone.

    It is None for the user's own edits. Verdicts are what the user said of proposals by it.
    """

    edit: Edit | None
    other_side: _Findings | None = None
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)


class FilledLayer:
    """Writes what was found; keeps apart what the user changes in the same layer.

    The labels are in the layer and nowhere else.

    Parameters
    ----------
    view : LabelsView
    frame : Frame
        The image that it lies on.

    Attributes
    ----------
    edits : UserEdits
        What is the user's.
    verdicts : dict of int to {"accepted", "rejected"}
        What the user said of proposals, by the labels that they had; to be read.
    on_changed : callable
        Called when something was taken back or made again, or the user has changed something.
    """

    def __init__(self, view: LabelsView, frame: Frame) -> None:
        self.view, self.frame = view, frame
        self.edits = UserEdits()
        self.verdicts: dict[int, Verdict] = {}
        self._judged: NDArray[np.int32] = np.zeros(0, np.int32)  # their labels, ascending
        self._findings = _Findings({}, {})
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._writing = False
        self._open_step: Edit | None = None
        self.on_changed: Callable[[], None] = lambda: None
        view.on_edit = self._on_edit

    @property
    def candidates(self) -> dict[SliceKey, Candidates]:
        """Of the planes that have been done last; to be read."""
        return self._findings.candidates

    @property
    def values(self) -> dict[SliceKey, NDArray[np.int32]]:
        """The labels that occur in each plane that was done, ascending; to be read."""
        return self._findings.values

    @property
    def lineage(self) -> Lineage | None:
        """Which objects divided; None unless the planes were joined as a time series."""
        return self._findings.lineage

    @lineage.setter
    def lineage(self, lineage: Lineage | None) -> None:
        self._findings.lineage = lineage

    @property
    def strokes(self) -> tuple[Edit, ...]:
        """What the user has painted or otherwise made here, in its order."""
        own = (one.edit for one in self._done if one.other_side is None and not one.verdicts)
        return tuple(edit for edit in own if edit is not None)

    @property
    def settled(self) -> bool:
        """Whether no proposal is shown, and nothing was painted or otherwise made here."""
        own = (step for step in self._done if step.other_side is None)
        return all(step.verdicts for step in own) and not any(map(self.shown_in, self.values))

    def close(self) -> None:
        """Release the layer; its labels stay, and the user may paint in it."""
        self.view.hold(False, "everything")
        self.view.on_edit = lambda edit, happened: None
        self.view.on_deleted = lambda label, key: None

    def fits(self, frame: Frame) -> bool:
        """Tell whether results of an image go into this layer."""
        mine = self.frame
        return (mine.layer, mine.shape, mine.level) == (frame.layer, frame.shape, frame.level)

    def largest(self, beside: Collection[SliceKey] = ()) -> int:
        """Return the largest label that was found beside some planes, or changed by the user."""
        values = [v for key, v in self.values.items() if key not in beside]
        return max((*(int(one[-1]) for one in values if len(one)), self.edits.largest))

    def planes_of(self, label: int) -> list[SliceKey]:
        """Return the planes in which a label was found."""
        return [key for key, values in self.values.items() if label in values]

    def shown_in(self, key: SliceKey) -> int:
        """Return how many proposals are left in a plane that was done."""
        values = self.values.get(key)
        if values is None:
            return 0
        left, right = (np.searchsorted(self._judged, values, side) for side in ("left", "right"))
        return len(values) - int((right - left).sum())

    def judge(self, labels: Collection[int], verdict: Verdict) -> None:
        """Note what the user's last edit of the layer, which took labels out, says of them."""
        self._done[-1].verdicts = dict.fromkeys(labels, verdict)
        self._collect()

    def filled(self, result: PlaneResult, text: str, least_area: int = 0) -> Filled:
        """Return labels of a plane, with what the user changed there, and their edit.

        For workers: nothing is written.
        """
        key, store, seen = result.plane.key, self.view.store, self.edits
        if seen:
            turn = key.displayed[0] > key.displayed[1]
            now = store.canvas.read(key.index)
            merged = seen.merged(key, now.T if turn else now, result.labels, least_area)
            result = PlaneResult.of(result.plane, merged, result.candidates)
        return Filled(result, edits.replace_plane(store, key, result.labels, text), seen)

    def begin(self) -> None:
        """Let what is written from now on be a step of its own, to be taken back at once."""
        self._open_step = None

    def write(self, filled: Filled, refresh: bool) -> None:
        """Write the labels of a plane, as a part of the step that was begun."""
        if filled.seen is not self.edits:  # the user has changed something since
            filled = self.filled(filled.result, filled.edit.text)
        if self._open_step is None or self.view.newest is not self._open_step:
            step = _Step(None, self._findings.copy())
            self._writing = True
            try:
                self.view.apply(filled.edit, refresh)
            finally:
                self._writing = False
            self._add(step)
        else:
            self.view.amend(filled.edit, refresh)
        self._open_step = self._done[-1].edit = self.view.newest
        result = filled.result
        self._findings.lineage = None  # that of other labels, until they are joined again
        self._findings.values[result.plane.key] = result.values
        if result.candidates is not None:
            remember(self._findings.candidates, result.plane.key, result.candidates)

    def erase(self, label: int, keys: Collection[SliceKey]) -> None:
        """Delete an object in further planes, as a part of the user's last edit."""
        view, steps = self.view, self.view.history.steps
        step = steps.newest_of(view)

        def erased() -> Generator[Progress, None, None]:
            for key in keys:
                part = edits.delete(view.store, label, key)
                yield from steps.join_in_pieces(view, part, step)
                yield Progress(0, 0, part.text)

        def done() -> None:
            self._done[-1].edit = view.newest
            self._collect()

        view.history.write(view, erased(), done)

    def _on_edit(self, edit: Edit, happened: Happened) -> None:
        if self._writing:
            return
        if happened == "made":
            self._add(_Step(edit))
        else:
            source, target = self._done, self._undone
            if happened == "redone":
                source, target = target, source
            if source:
                step = source.pop()
                target.append(step)
                if step.other_side is not None:
                    step.other_side, self._findings = self._findings, step.other_side
        self._collect()

    def _add(self, step: _Step) -> None:
        self._done.append(step)
        self._undone.clear()

    def _collect(self) -> None:
        """Find out what is the user's; a new value, which workers can go on reading."""
        self.verdicts = {k: one for step in self._done for k, one in step.verdicts.items()}
        self._judged = np.array(sorted(self.verdicts), np.int32)
        own = (step.edit for step in self._done if step.other_side is None)
        edits = tuple(edit for edit in own if edit is not None)
        self.edits = UserEdits(edits, frozenset(self.view.store.objects))
        self.on_changed()
