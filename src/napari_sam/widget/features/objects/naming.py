"""Classes are proposed for objects that have none, and keys accept or reject them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from ....everything.naming import UNNAMED, propose_classes
from ....objects import SegmentedObject
from ....objects.properties import set_categories
from ....types import Progress
from ...context import Context
from ...in_turn import in_turn
from ...labels_view import LabelsView
from ...looked_at import LookedAt
from ...scheduler import Lane, Work
from .described import LooksOfObjects, looks_of
from .naming_panel import count_text
from .panel import ObjectsPanel
from .table import ObjectTable

SOURCE = "classes"
"""The source of progress in the status line."""
NONE_NAMED = "give a few objects a class first; then classes of the others are proposed"
ALL_NAMED = "all objects have a class already"
NOTHING_YET = "press Shift+F first: it proposes classes for objects that have none"
NONE_SURE = "no class is sure enough; lower the least confidence, or name more objects"
ONLY_NEW = "only objects that are new have no class; Shift+F looks at them, too"
WRITING = "labels are being written; try again in a moment"
AT_ONCE = 500
"""Objects that are given their classes in one event."""
KEYS = "A accepts, X says it is none of them, Shift+A accepts all"


class ProposedClass(NamedTuple):
    """The class that is proposed for an object, and how likely it is, 0..1."""

    name: str
    confidence: float


class Naming:
    """Proposes classes from those that the user gave; a `ProposalSource` while it does.

    Proposals follow from the objects as they are: whatever gives an object a class, or takes it
    away, changes them at once. An object whose outline changed since is left out.

    Parameters
    ----------
    context : Context
    panel : ObjectsPanel
    table : ObjectTable
    point_out : callable
        Shows an object and lets keys mean it; None: no object.
    changed : callable
        Called when other classes are proposed.

    Attributes
    ----------
    proposals : mapping of int to ProposedClass
        By label, the likeliest first.
    """

    def __init__(
        self,
        context: Context,
        panel: ObjectsPanel,
        table: ObjectTable,
        point_out: Callable[[SegmentedObject | None], None],
        changed: Callable[[], None],
    ) -> None:
        self.context, self.status = context, context.status
        self.table, self._panel, self.panel = table, panel, panel.naming
        self._point_out, self._changed = point_out, changed
        self.proposals: Mapping[int, ProposedClass] = {}
        self._view: LabelsView | None = None
        self._objects: Mapping[int, SegmentedObject] = {}
        self._asked: Mapping[int, SegmentedObject] = {}  # the objects when Shift+F was pressed
        self._looks: LooksOfObjects | None = None
        self._refused: set[int] = set()
        self._looking = False
        self._going_on = False  # the next object is not shown yet
        self._before: LookedAt | None = None  # what was looked at before that
        self._pointed: LookedAt | None = None  # what was pointed out last
        self.panel.propose_asked.connect(self.propose_classes)
        self.panel.accept_asked.connect(self.accept)
        self.panel.reject_asked.connect(self.reject)
        self.panel.accept_all_asked.connect(self.accept_all)
        self.panel.forget_asked.connect(self.end)
        self.panel.least_changed.connect(self._on_least_changed)
        for changed_signal in (
            context.session_changed,
            context.pixels_changed,
            context.bench.image_changed,
        ):
            changed_signal.connect(self.end)
        context.search_began.connect(self._on_search_began)

    def propose_classes(self) -> None:
        """Propose classes for the objects that have none, like those that have one."""
        context, view, plane = self.context, self.context.listed, self.context.shown()
        self.status.acted()
        objects = {} if view is None else dict(view.store.objects)
        if context.session is None or plane is None:
            self.status.hint(context.hindrance() or context.absence)
        elif view is not None and view not in (context.bench.results, context.bench.everything):
            self.status.hint(
                f"{view.layer.name} belongs to another image; choose that image to work on it"
            )
        elif view is None or not any(one.category for one in objects.values()):
            self.status.hint(NONE_NAMED)
        elif all(one.category for one in objects.values()):
            self.status.hint(ALL_NAMED)
        else:
            self.end()
            context.search_began.emit(self)
            self._view, self._looking, context.proposals = view, True, self
            self._asked = objects
            work = Work(
                partial(looks_of, context.session, list(objects.values()), plane),
                on_step=self._on_step,
                on_result=self._on_looked,
                on_error=self._on_failed,
                text="looking at the objects",
            )
            self.status.progress(SOURCE, "classes: looking at the objects", cancel=self.cancel)
            context.scheduler.submit(work, Lane.SIMILAR)
            self._say_count()

    def cancel(self) -> None:
        """Stop looking at the objects; nothing is proposed."""
        self.end()
        self.status.hint("proposing classes was cancelled; Shift+F begins again")

    def end(self) -> None:
        """Propose no class any more; what was accepted stays."""
        if self._looking:
            self.context.scheduler.cancel(Lane.SIMILAR)
            self.status.progress(SOURCE)
        if self.context.proposals is self:
            self.context.proposals = None
        self.proposals = {}
        self._view = self._looks = None
        self._looking = self._going_on = False
        self._refused.clear()
        self._say_count()
        self._show_in_table()
        self._changed()
        self._leave()

    def follow(self, view: LabelsView | None, objects: Mapping[int, SegmentedObject]) -> None:
        """Propose for the objects as they are now; for those of another layer no more."""
        before = self._view
        if before is not None and view is not before:
            self.end()
            if before in self.context.bench.views:
                name = before.layer.name
                self.status.hint(f"classes were proposed for {name}; select it and press Shift+F")
        elif self._looks is not None and objects != self._objects:
            self._rank()

    # -- what keys do; see `ProposalSource` -----------------------------------------------------

    def accept(self) -> None:
        """Give the object under the pointer, else the current one, its proposed class."""
        labels = self._meant()
        if labels:
            self._write(labels)

    def reject(self) -> None:
        """Say that the object under the pointer, else the current one, is of no class."""
        labels = self._meant()
        if labels:
            self._refused.update(labels)
            self._rank(partial(self._go_on, "rejected"))

    def accept_all(self) -> None:
        """Give all objects the classes that are proposed, as one step."""
        self.status.acted()
        if self._looks is None:
            self.status.hint(NOTHING_YET)
        elif not self.proposals:
            self.status.hint(self._why_none())
        else:
            self._write(list(self.proposals))

    def _meant(self) -> list[int]:
        """Return the objects that a key means; says so if there is none."""
        self.status.acted()
        if self._looks is None:
            self.status.hint(NOTHING_YET)
            return []
        if self._going_on:
            return []  # nobody has seen the next one yet
        label = self.context.object_meant(self._view)[1]
        labels = [label] if label in self.proposals else self._panel.selected
        labels = [one for one in labels if one in self.proposals] or list(self.proposals)[:1]
        if not labels:
            self.status.hint(self._why_none())
        return labels

    # -- proposals ------------------------------------------------------------------------------

    def _rank(self, then: Callable[[], None] | None = None) -> None:
        """Propose anew, show that, and do something after that.

        Each in an event of its own: of thousands of objects all this takes too long for one.
        """
        looks, view = self._looks, self._view
        if looks is None or view is None:
            return
        self._objects = dict(view.store.objects)
        self.proposals = self._proposed(looks, self._objects)
        self._say_count()
        steps = [self._show_in_table, self._changed]
        if then is not None:
            self._going_on, self._before = True, self.context.looked_at
            steps.append(partial(self._then, then))
        in_turn(*(partial(self._unless_ended, looks, step) for step in steps))

    def _unless_ended(self, looks: LooksOfObjects, step: Callable[[], None]) -> None:
        if looks is self._looks:
            step()

    def _then(self, then: Callable[[], None]) -> None:
        self._going_on = False
        then()

    def _proposed(
        self, looks: LooksOfObjects, objects: Mapping[int, SegmentedObject]
    ) -> dict[int, ProposedClass]:
        """Return the classes that are sure enough, the surest first."""
        names = sorted({one.category for one in objects.values() if one.category})
        place = {name: k for k, name in enumerate(names)}
        known = np.full(len(looks.objects), UNNAMED)
        open_ones = []
        for row, (label, before) in enumerate(looks.objects.items()):
            one = objects.get(label)
            if one is None or one.outlines is not before.outlines:
                continue
            known[row] = place.get(one.category, UNNAMED)
            if not one.category and label in self._refused:
                known[row] = len(names)
            elif not one.category:
                open_ones.append((row, label))
        if not open_ones or not (known != UNNAMED).any():
            return {}
        found = propose_classes(looks.features, known)
        sure = found.confidence.round(4)
        best = sorted(open_ones, key=lambda pair: (-sure[pair[0]], pair[1]))
        return {
            label: ProposedClass(names[found.classes[row]], float(sure[row]))
            for row, label in best
            if found.classes[row] < len(names) and sure[row] >= self.panel.least
        }

    def _show_in_table(self) -> None:
        self.table.set_proposed(
            {label: f"{one.name}? {one.confidence:.2f}" for label, one in self.proposals.items()}
        )

    def _say_count(self) -> None:
        text = ""
        if self._looks is not None and self._view is not None:
            counts = Counter(one.name for one in self.proposals.values())
            text = count_text(counts.most_common(), *self._unnamed())
        elif self._looking:
            text = "looking at the objects"
        self.panel.set_count(text, bool(self.proposals), self._looking or self._looks is not None)

    def _unnamed(self) -> tuple[int, int]:
        """Return how many objects have no class, and how many more that are new or changed."""
        objects = {} if self._view is None else self._view.store.objects
        unnamed = [one for one in objects.values() if not one.category]
        asked = ((one, self._asked.get(one.label)) for one in unnamed)
        old = sum(before is not None and before.outlines is one.outlines for one, before in asked)
        return old, len(unnamed) - old

    def _why_none(self) -> str:
        """Say why no class is proposed."""
        left, new = self._unnamed()
        return NONE_SURE if left else ONLY_NEW if new else ALL_NAMED

    def _write(self, labels: Iterable[int]) -> None:
        """Give objects the classes that are proposed, as one step."""
        view, context = self._view, self.context
        if view is None:
            return
        if context.history.walking:
            self.status.hint(WRITING)
            return
        names = {label: self.proposals[label].name for label in labels}
        try:
            context.history.write(view, self._written(view, names), partial(self._on_kept, names))
        except ValueError as error:
            self.status.error(str(error))

    def _written(
        self, view: LabelsView, names: Mapping[int, str]
    ) -> Generator[Progress, None, None]:
        labels, step = list(names), None
        for start in range(0, len(labels), AT_ONCE):
            some = {label: names[label] for label in labels[start : start + AT_ONCE]}
            edit = set_categories(view.store, some)
            yield from self.context.recording.keep_outlines(edit)
            step = yield from view.make_or_join(edit, step, refresh=False)

    def _go_on(self, text: str) -> None:
        """Show the next proposal, and say what was done."""
        label = next(iter(self.proposals), 0)
        one = None if self._view is None else self._view.store.objects.get(label)
        looked = self.context.looked_at
        if one is None:
            self._leave()
            text += "; no proposal is left"
        elif looked is None or looked is self._before:  # nobody else shows an object by now
            self._point_out(one)
            self._pointed = self.context.looked_at
            text += f"; next: object {label}, {_words(self.proposals[label])}"
        self.status.hint(text)

    def _leave(self) -> None:
        """Point out no object any more, unless somebody else shows one by now."""
        pointed, self._pointed = self._pointed, None
        if pointed is not None and self.context.looked_at is pointed:
            self._point_out(None)

    # -- events ---------------------------------------------------------------------------------

    def _on_search_began(self, source: object) -> None:
        if source is not self:
            self.end()

    def _on_step(self, step: Progress) -> None:
        text = f"classes: {step.text}"
        self.status.progress(SOURCE, text, step.done, step.total, self.cancel)

    def _on_looked(self, looks: LooksOfObjects) -> None:
        self._looking = False
        self.status.progress(SOURCE)
        if not len(looks.features):
            self.end()
            self.status.hint("no object lies in a plane along these axes; show another side")
            return
        self._looks = looks
        self._rank(self._say_first)

    def _say_first(self) -> None:
        if self.proposals:
            self._go_on(f"{len(self.proposals):,} classes are proposed: {KEYS}")
        else:
            self.status.hint(self._why_none())

    def _on_least_changed(self) -> None:
        self._rank()

    def _on_kept(self, names: Mapping[int, str]) -> None:
        if len(names) == 1:
            label, name = next(iter(names.items()))
            text = f"object {label} is of the class {name}"
        else:
            text = f"{len(names):,} objects have a class now"
        self._rank(partial(self._go_on, f"{text} (Ctrl+Z undoes it)"))

    def _on_failed(self, sentence: str) -> None:
        self._looking = False
        self.status.progress(SOURCE)
        self.end()
        self.status.error(sentence)


def _words(one: ProposedClass) -> str:
    return f"{one.name} {one.confidence:.2f}"
