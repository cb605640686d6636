"""Find all like these: a search in the background, proposals that keys accept or reject."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

from qtpy.QtCore import QTimer

from ....everything.similar import PlaneCandidates
from ....stack.planes import all_planes
from ....types import Progress, SliceKey
from ... import layers
from ...context import Context
from ...frame import Frame
from ...in_turn import in_turn
from ...places import bring_into_view, show_place
from ...scheduler import Lane, Work
from ..feature import Feature
from .accepting import Chosen, accepted_in_pieces, all_ranked
from .given import class_of, objects_given
from .panel import SimilarPanel
from .search import Learnt, Ranked, Search, searched
from .shown import ShownProposals

SOURCE = "similar"
"""The source of progress in the status line."""
NOTHING_YET = "press F first: it proposes what looks like kept objects"
NONE_HERE = "no proposal here; lower the least similarity, or press F for other objects"
WRITING = "labels are being written; try again in a moment"
LOOK_MS = 30
"""How long changes of labels are waited for before proposals are ranked anew."""


class Similar(Feature):
    """Proposes what looks like kept objects; a `ProposalSource` while it does."""

    title = "Find similar"
    panel: SimilarPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.panel = SimilarPanel()
        self.shown = ShownProposals(context)
        self.keys = {"F": self.find}
        self.search: Search | None = None
        self.ranked: list[Ranked] = []
        self._counts: dict[SliceKey, int] = {}
        self._watched: Any = None
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(LOOK_MS)
        self._later.timeout.connect(self.rank)
        self._to_count: list[SliceKey] = []
        self._counter = QTimer(self)
        self._counter.timeout.connect(self._on_counter)
        self._connect()

    def start(self) -> None:
        """Show what can be searched."""
        self._on_plane_changed()

    def close(self) -> None:
        """Disconnect from the viewer, and take the layer out of it."""
        self.context.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self._on_image_changed()

    # -- what the user does -------------------------------------------------------------------

    def find(self, everywhere: bool = False) -> None:
        """Propose what looks like the objects selected, the one under the pointer, or all kept."""
        context = self.context
        self.status.acted()
        session, view, frame = context.session, self.bench.results, self.bench.frame
        plane = context.shown()
        if session is None or plane is None or frame is None:
            self.status.hint(context.hindrance() or context.absence)
            return
        if view is None or context.history.walking or self.bench.counting:
            self.status.hint(WRITING if view else "keep an object or two by clicks first")
            return
        try:
            given = objects_given(context, view, plane)
        except ValueError as error:
            self.status.hint(str(error))
            return
        self.end()
        context.search_began.emit(self)
        model = session.predictor.model
        category = class_of(view, given, context.category)
        search = self.search = Search(view, given, category, model.name, model.fingerprint)
        keys = all_planes(frame.shape, plane.key) if everywhere else [plane.key]
        planes = [replace(plane, key=key) for key in _nearest_first(keys, plane.key)]
        context.proposals = self
        self._watched = view.layer
        view.layer.events.set_data.connect(self._on_labels_drawn)
        work = Work(
            partial(searched, session, given, planes, view.layer.data),
            on_step=partial(self._on_step, search),
            on_result=lambda _: self._on_done(search),
            on_error=self._on_failed,
            text="looking for similar objects",
        )
        self.status.progress(SOURCE, "similar objects: looking ...", cancel=self.cancel)
        context.scheduler.submit(work, Lane.SIMILAR)
        self._say_count()
        in_turn(partial(self._prepare, search, frame))

    def _prepare(self, search: Search, frame: Frame) -> None:
        """Make the layer of proposals, unless the search was ended meanwhile."""
        if search is self.search:
            self.shown.prepare(frame)

    def cancel(self) -> None:
        """Stop searching; what was found stays proposed."""
        if self.search is not None and self.context.scheduler.is_busy(Lane.SIMILAR):
            self.context.scheduler.cancel(Lane.SIMILAR)
            self.status.progress(SOURCE)
            self.status.hint("the search was cancelled; what was found stays proposed")
            self._say_count()

    def end(self) -> None:
        """Propose nothing any more; what was accepted stays."""
        if self.search is not None:
            self.context.scheduler.cancel(Lane.SIMILAR)
            self.status.progress(SOURCE)
        if self._watched is not None:
            self._watched.events.set_data.disconnect(self._on_labels_drawn)
            self._watched = None
        if self.context.proposals is self:
            self.context.proposals = None
        self.search, self.ranked = None, []
        self._counts.clear()
        self._later.stop()
        self._counter.stop()
        self.shown.hide()
        self._say_count()

    def accept(self) -> None:
        """Make a kept object of the proposal under the pointer, else of the current one."""
        plane, one = self._meant()
        search = self.search
        if search is None or plane is None or one is None:
            return
        steps = self._kept(search, [(plane, one)])
        self.context.history.write(search.view, steps, lambda: None)

    def reject(self) -> None:
        """Take the proposal under the pointer, else the current one, from the proposals."""
        plane, one = self._meant()
        if self.search is None or plane is None or one is None:
            return
        self.search.reject(plane, one)
        self._go_on("rejected")

    def accept_all(self) -> None:
        """Make kept objects of all proposals in all planes, as one step."""
        search = self.search
        self.status.acted()
        if search is None:
            self.status.hint(NOTHING_YET)
        elif self.context.history.walking:
            self.status.hint(WRITING)
        else:
            self.cancel()
            steps = self._all_kept(search, self.panel.least)
            self.context.history.write(search.view, steps, lambda: None)

    def rank(self) -> None:
        """Rank the proposals of the plane shown anew, and show them."""
        search, plane, frame = self.search, self.context.shown(), self.bench.frame
        if search is None or plane is None or frame is None:
            self.ranked = []
            self.shown.clear()
            return
        self.ranked = []
        if plane.key in search.found:
            self.ranked = search.ranked(plane.key, self.panel.least)
            self._counts[plane.key] = len(self.ranked)
        if self.ranked or self.shown.layer is not None:
            self.shown.show(frame, plane.key, [one.mask for one in self.ranked])
        self._say_count()

    # -- proposals ----------------------------------------------------------------------------

    def _meant(self) -> tuple[SliceKey | None, Ranked | None]:
        """Return the proposal under the pointer, else the current one; says so if there is none."""
        self.status.acted()
        plane, viewer, points = self.context.shown(), self.context.viewer, self.bench.prompts.points
        if self.search is None or plane is None:
            self.status.hint(NOTHING_YET)
            return None, None
        if self.context.history.walking:
            self.status.hint(WRITING)
            return None, None
        if viewer.mouse_over_canvas and points is not None:
            place = layers.place_in_plane(points, viewer.cursor.position, plane.key)
            x, y = (round(v) for v in place)
            for one in self.ranked:
                x0, y0, x1, y1 = one.mask.box
                if x0 <= x <= x1 and y0 <= y <= y1 and one.mask.bits[y - y0, x - x0]:
                    return plane.key, one
        if not self.ranked:
            self.status.hint(NONE_HERE)
            return None, None
        return plane.key, self.ranked[0]

    def _go_on(self, text: str) -> None:
        """Show the next proposal, in another plane if this one has none any more."""
        self.rank()
        self._later.stop()
        search, plane = self.search, self.context.shown()
        if search is None or plane is None:
            return
        if not self.ranked:
            left = [key for key, count in self._counts.items() if count and key != plane.key]
            if left:
                self._show_plane(_nearest_first(left, plane.key)[0])
        if self.ranked:
            bring_into_view(self.context, self.ranked[0].mask.box)
            text = f"{text}; next: similarity {self.ranked[0].likeness:.2f}"
        elif not self.context.scheduler.is_busy(Lane.SIMILAR):
            text = f"{text}; no proposal is left"
        self.status.hint(text)

    def _all_kept(self, search: Search, least: float) -> Generator[Progress, None, None]:
        """Keep all proposals that are similar enough."""
        chosen = yield from all_ranked(search, least)
        if chosen:
            yield from self._kept(search, chosen)
        else:
            self.status.hint(NONE_HERE)

    def _kept(self, search: Search, chosen: Chosen) -> Generator[Progress, None, None]:
        """Keep proposals as one step, then go on."""
        labels = yield from accepted_in_pieces(self.context, search, chosen)
        if len(chosen) > 1:
            self._counts.clear()
            self._count_anew()
        what = f"object {labels[0]}" if len(labels) == 1 else f"{len(labels):,} objects"
        self._go_on(f"accepted as {what} (Ctrl+Z takes it back)")

    # -- showing --------------------------------------------------------------------------------

    def _show_plane(self, key: SliceKey) -> None:
        frame = self.bench.frame
        if frame is None:
            return
        fixed = dict(key.fixed)
        sides = enumerate(frame.shape)
        box = tuple((fixed[k], fixed[k] + 1) if k in fixed else (0, side) for k, side in sides)
        show_place(self.context, [box])
        self.rank()

    def _say_count(self) -> None:
        searching = self.context.scheduler.is_busy(Lane.SIMILAR)
        if self.search is None:
            self.panel.set_count("", False, False)
            return
        like = _counted(len(self.search.given), "object")
        kind = f" of class {self.search.category}" if self.search.category else ""
        text = f"{_counted(len(self.ranked), 'proposal')} here, like {like}{kind}"
        total, planes = sum(self._counts.values()), sum(map(bool, self._counts.values()))
        if len(self.search.found) > 1:
            text += f"; {total:,} in {_counted(planes, 'plane')}"
        self.panel.set_count(text, total > 0, searching)

    # -- events ---------------------------------------------------------------------------------

    def _connect(self) -> None:
        panel, context = self.panel, self.context
        panel.find_asked.connect(self.find)
        panel.accept_asked.connect(self.accept)
        panel.reject_asked.connect(self.reject)
        panel.accept_all_asked.connect(self.accept_all)
        panel.forget_asked.connect(self.end)
        panel.least_changed.connect(self._on_least_changed)
        context.plane_changed.connect(self._on_plane_changed)
        context.session_changed.connect(self.end)
        context.pixels_changed.connect(self.end)
        context.search_began.connect(self._on_search_began)
        self.bench.image_changed.connect(self._on_image_changed)
        self.bench.moved.connect(self._later.start)
        self.bench.changed.connect(self._on_bench_changed)
        context.viewer.layers.events.removed.connect(self._on_layers_removed)

    def _on_search_began(self, source: object) -> None:
        if source is not self:
            self.end()

    def _on_step(self, search: Search, step: Progress | Learnt | PlaneCandidates) -> None:
        if search is not self.search:
            return
        if isinstance(step, Learnt):
            search.learnt.update(step.features)
        elif isinstance(step, Progress):
            text = f"similar objects: {step.text}"
            self.status.progress(SOURCE, text, step.done, step.total, self.cancel)
        else:
            key = step.plane.key
            search.found[key] = step.candidates
            shown = self.context.shown()
            if shown is not None and shown.key == key:
                self.rank()
            else:
                self._count(search, key)

    def _on_done(self, search: Search) -> None:
        self.status.progress(SOURCE)
        if search is not self.search:
            return
        self._say_count()
        total = sum(self._counts.values())
        if total:
            text = f"{_counted(total, 'proposal')}: A accepts, X rejects, Shift+A accepts all"
        else:
            text = "nothing is similar enough; lower the least similarity"
        self.status.hint(text)
        if self.ranked:
            bring_into_view(self.context, self.ranked[0].mask.box)

    def _on_failed(self, sentence: str) -> None:
        self.end()
        self.status.error(sentence)

    def _on_least_changed(self) -> None:
        self.rank()
        self._count_anew()

    def _count_anew(self) -> None:
        """Count the proposals of the other planes, one plane at a time."""
        shown = self.context.shown()
        here = None if shown is None else shown.key
        self._to_count = [] if self.search is None else [k for k in self.search.found if k != here]
        self._counter.start()

    def _on_counter(self) -> None:
        if self.search is None or not self._to_count:
            self._counter.stop()
            return
        self._count(self.search, self._to_count.pop(0))

    def _count(self, search: Search, key: SliceKey) -> None:
        """Count the proposals of a plane that is not shown."""
        self._counts[key] = len(search.ranked(key, self.panel.least))
        self._say_count()

    def _on_plane_changed(self) -> None:
        frame, plane = self.bench.frame, self.context.shown()
        if frame is not None and plane is not None:
            self.panel.set_stack(any(frame.shape[axis] > 1 for axis, _ in plane.key.fixed))
        if self.search is not None:
            self.rank()

    def _on_labels_drawn(self, event: Any = None) -> None:
        """Rank anew: an object may have been kept, taken back or painted."""
        self._later.start()

    def _on_bench_changed(self) -> None:
        if self.search is None:
            self._on_plane_changed()
        elif self.bench.results is not self.search.view:
            self.end()  # objects go elsewhere now

    def _on_image_changed(self) -> None:
        self.end()
        self.shown.remove()

    def _on_layers_removed(self, event: Any) -> None:
        if self.shown.layer is not None and event.value is self.shown.layer:
            self.shown.layer = None
            self.end()


def _nearest_first(keys: list[SliceKey], here: SliceKey) -> list[SliceKey]:
    """Return planes by their distance from one of them."""
    places = dict(here.fixed)
    return sorted(keys, key=lambda key: sum(abs(k - places[axis]) for axis, k in key.fixed))


def _counted(number: int, what: str) -> str:
    return f"1 {what}" if number == 1 else f"{number:,} {what}s"
