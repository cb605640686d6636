"""Accepts and rejects proposals of everything mode: they become kept objects, or they go."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

from qtpy.QtCore import QTimer

from ....everything.amg_select import Candidates
from ....objects.overlap import RULES, free_pixels
from ....types import Progress, SliceKey
from ... import layers
from ...context import Context
from ...labels_view import LabelsView
from ...scheduler import Lane, Work
from .accepted import Target, Verdicts, accepted, rejected
from .filled_layer import FilledLayer, Verdict

SOURCE = "proposals"
"""The source of progress in the status line."""
NONE_HERE = "point at a proposal, or click on one in the layer of proposals"
NO_PROPOSALS = "there are no proposals yet: run everything mode first"
NONE_SHOWN = "no proposal is shown: lower the thresholds, or run everything mode again"
SAME_LAYER = (
    "objects go into the layer of the proposals itself, so there is nothing to accept; choose "
    "another layer under Into to accept them one by one"
)
GONE = "another image or layer was chosen meanwhile; go back and do it again"
BUSY = "wait until everything mode is done, or cancel it"
Plan = Callable[[], Generator[Progress, None, Verdicts]]


class Proposals:
    """The proposals that everything mode has left in its layer; see `ProposalSource`.

    Parameters
    ----------
    context : Context
    filled : callable
        Returns the layer of the proposals; None if there is none.
    only_new : callable
        Returns whether proposals that lie on kept objects are left out, and others get free pixels
        only.

    Attributes
    ----------
    settled : callable
        Called when nothing is being accepted any more.
    hidden : frozenset of int
        Labels that are not shown; they are neither accepted nor rejected.
    category : str
        The class of accepted proposals; empty: that which the user chose for new objects.
    hindrance : str
        Why none can be accepted or rejected now; empty if they can.
    """

    def __init__(
        self,
        context: Context,
        filled: Callable[[], FilledLayer | None],
        only_new: Callable[[], bool],
    ) -> None:
        self.context, self._filled, self._only_new = context, filled, only_new
        self.settled: Callable[[], None] = lambda: None
        self.hidden: frozenset[int] = frozenset()
        self.category = self.hindrance = ""
        self._waiting: list[Callable[[], None]] = []
        self._busy = self._writing = False
        self._run: object = None  # of what was begun last; None once it is cancelled

    @property
    def only_new(self) -> bool:
        """Whether proposals are left out where objects are kept."""
        return self._only_new()

    @property
    def busy(self) -> bool:
        """Whether some are being accepted or rejected."""
        return self._busy

    def accept(self) -> None:
        """Make a kept object of the proposal under the pointer, else of the selected one."""
        self._do(partial(self._accept, self._current()))

    def reject(self) -> None:
        """Take the proposal under the pointer, else the selected one, from the proposals."""
        self._do(partial(self._reject, self._current()))

    def accept_all(self) -> None:
        """Make kept objects of all proposals, as one step."""
        self._do(lambda: self._accept(None))

    def accept_label(self, label: int) -> None:
        """Make a kept object of a proposal."""
        self._do(lambda: self._accept(label))

    def reject_label(self, label: int) -> None:
        """Take a proposal from the proposals."""
        self._do(lambda: self._reject(label))

    def select(self, label: int) -> None:
        """Make a proposal the current one, and say what is known of it."""
        filled, plane, frame = self._filled(), self.context.shown(), self.context.bench.frame
        if filled is None or plane is None or frame is None or self._is_hidden(label):
            return
        filled.view.layer.selected_label = label
        pixels = int((plane.key.read_labels(filled.view.layer.data) == label).sum())
        size = layers.area_text(pixels, frame, plane.key)
        self.context.status.hint(f"proposal {label}, {size}: A accepts it, X rejects it")

    # -- planning and writing -------------------------------------------------------------------

    def _do(self, action: Callable[[], None]) -> None:
        """Begin, or wait for what was begun before."""
        self.context.status.acted()
        if self._busy:
            self._waiting.append(action)
        else:
            action()

    def _current(self) -> int:
        """Return the label under the pointer, else the selected one; 0 if there is none."""
        filled, viewer = self._filled(), self.context.viewer
        points = self.context.bench.prompts.points
        if filled is None or points is None or self.context.shown() is None:
            return 0
        layer = filled.view.layer
        if viewer.mouse_over_canvas:
            label = layers.label_at(layer, points, viewer.cursor.position)
            if not self._is_hidden(label):
                return label
        selected = int(layer.selected_label)
        known = any(selected in values for values in filled.values.values())
        judged = selected in filled.verdicts
        return selected if known and not judged and not self._is_hidden(selected) else 0

    def _is_hidden(self, label: int) -> bool:
        return not label or label in self.hidden

    def _accept(self, label: int | None) -> None:
        context, filled = self.context, self._filled()
        if filled is None:
            context.status.hint(NO_PROPOSALS)
            return
        hidden = label is not None and self._is_hidden(label)
        if hidden or (label is None and filled.settled):
            context.status.hint(NONE_SHOWN if label is None else NONE_HERE)
            return
        if label in filled.verdicts or not self._may_write(filled):
            return  # a second click or key was for the same one
        again = partial(self._accept, label)
        results = self._results(filled, again)
        if results is None:
            return
        results.look_again()
        session = context.session
        model = None if session is None else session.predictor.model
        target = Target(
            results.store,
            free_pixels if self.only_new else RULES[context.overlap].rule,
            self.only_new,
            self.category or context.category,
            "" if model is None else model.name,
            "" if model is None else model.fingerprint,
            self.hidden,
        )
        keys = list(filled.values) if label is None else filled.planes_of(label)
        planes: dict[SliceKey, Candidates | None] = {k: filled.candidates.get(k) for k in keys}
        wanted = None if label is None else {label}
        plan = partial(accepted, filled.view.store, planes, wanted, target)
        self._begin(plan, filled, results, again)

    def _reject(self, label: int) -> None:
        filled = self._filled()
        if filled is None or self._is_hidden(label):
            self.context.status.hint(NO_PROPOSALS if filled is None else NONE_HERE)
            return
        if label not in filled.verdicts and self._may_write(filled):
            plan = partial(rejected, filled.view.store, filled.planes_of(label), label)
            self._begin(plan, filled, filled.view, partial(self._reject, label))

    def _may_write(self, filled: FilledLayer) -> bool:
        if self.context.scheduler.is_busy(Lane.BULK):
            self.context.status.hint(BUSY)
        elif self.hindrance:
            self.context.status.hint(self.hindrance)
        elif self.context.bench.counting or self.context.history.walking:
            self.context.status.hint("labels are being counted or written; try again in a moment")
        else:
            return True
        return False

    def _results(self, filled: FilledLayer, then: Callable[[], None]) -> LabelsView | None:
        """Return where objects go; None if they cannot, which is said, or not yet."""
        bench, folder, plane = self.context.bench, self.context.folder, self.context.shown()
        bench.ensure_layers()
        if bench.results is filled.view:
            self.context.status.hint(SAME_LAYER)
        elif folder.is_missing and plane is not None:
            folder.open_objects(plane.key, then)
        elif bench.results is None:
            self.context.status.hint(self.context.hindrance() or "try again in a moment")
        else:
            return bench.results
        return None

    def _begin(
        self, plan: Plan, filled: FilledLayer, into: LabelsView, again: Callable[[], None]
    ) -> None:
        """Plan in the background and write then, unless something was changed meanwhile."""
        history, status = self.context.history, self.context.status
        number, seen = history.number, filled.edits
        run = self._run = object()

        def planned(verdicts: Verdicts) -> None:
            if run is not self._run:
                return  # it was cancelled
            if filled is not self._filled() or into not in (
                filled.view,
                self.context.bench.results,
            ):
                self._end()
                status.error(f"not {_done(verdicts)}: {GONE}")
            elif history.walking:
                QTimer.singleShot(0, partial(planned, verdicts))
            elif (history.number, filled.edits) != (number, seen):
                self._busy = False
                again()
                if not self._busy:
                    self._end()  # it cannot be done any more, which is said
            else:
                steps = self._written(verdicts, filled, into)
                history.write(into, steps, lambda: None, also=[filled.view])

        def failed(sentence: str) -> None:
            self._end()
            status.error(sentence)

        def told(step: Progress) -> None:
            if step.total > 1:
                status.progress(SOURCE, "proposals ...", step.done, step.total, self.cancel)

        self._busy = True
        work = Work(plan, on_step=told, on_result=planned, on_error=failed, text=SOURCE)
        self.context.scheduler.submit(work, Lane.ACCEPT)

    def _written(
        self, verdicts: Verdicts, filled: FilledLayer, into: LabelsView
    ) -> Generator[Progress, None, None]:
        """Write what was planned as one step."""
        step, self._writing = None, True
        try:
            if verdicts.kept is not None:
                yield from self.context.recording.keep_outlines(verdicts.kept)
                step = yield from into.make_or_join(verdicts.kept, None)
                yield Progress(1, 2)  # each layer is drawn in a turn of its own
            yield from filled.view.make_or_join(verdicts.gone, step)
            filled.judge(verdicts.labels, _done(verdicts))
            self.context.status.hint(said(verdicts, into))
        finally:
            QTimer.singleShot(0, self._end)  # once the history is free again

    def cancel(self) -> None:
        """Accept nothing that is not written yet; what is being written goes on to its end."""
        self.forget_waiting()
        if self._writing:
            return
        self._run = None
        self.context.scheduler.cancel(Lane.ACCEPT)
        self._end()

    def forget_waiting(self) -> None:
        """Leave out what was asked for, but not begun."""
        self._waiting.clear()

    def _end(self) -> None:
        self._busy = self._writing = False
        self.context.status.progress(SOURCE)
        while self._waiting and not self._busy:
            self._waiting.pop(0)()
        if not self._busy:
            self.settled()


def _done(verdicts: Verdicts) -> Verdict:
    return "rejected" if verdicts.kept is None else "accepted"


def said(verdicts: Verdicts, into: LabelsView) -> str:
    """Return what was done, for the status line."""
    if verdicts.kept is None:
        return f"proposal {verdicts.labels[0]} rejected (Ctrl+Z brings it back)"
    count = len(verdicts.labels)
    text = "1 proposal" if count == 1 else f"{count} proposals"
    rest = f", {verdicts.covered} lie on kept objects" if verdicts.covered else ""
    hidden = "" if into.layer.visible else ", which is hidden"
    return f"{text} accepted into {into.layer.name}{hidden}{rest} (Ctrl+Z takes it back)"
