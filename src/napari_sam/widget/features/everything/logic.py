"""Everything mode in napari: runs the generator, fills a layer, selects anew at once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

from ....everything.accepting import not_covered
from ....everything.amg_params import AmgParams
from ....stack.planes import PlaneResult, plane_text
from ....stack.tracks import Track
from ....steps import mapped
from ....types import Progress, SliceKey
from ...context import Context
from ...frame import Frame
from ...labels_view import LabelsView
from ...results_folder import EVERYTHING
from ...scheduler import Lane, Work
from ..feature import Feature
from .extent import Extent
from .extent_choice import ExtentChoice
from .filled_layer import Filled, FilledLayer, Lineage
from .joining import Joining, joined, save_table
from .panel import EverythingPanel
from .rules import Rules
from .selection import LiveSelection
from .table import ask_for_table
from .text_choice import TextChoice
from .verdicts import VerdictControls
from .words import found_text

Steps = Generator[Progress | Filled, None, Any]

NO_LINEAGE = "run everything on all planes of the time series first"


class Everything(Feature):
    """Finds every object of a plane or of all planes.

    While its layer is filled, the user cannot paint in it. What the user changes there, by strokes,
    commits or deletions, stays when a threshold moves and when a plane is done again.
    """

    title = "Everything"
    panel: EverythingPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.panel = EverythingPanel(AmgParams())
        self._filled: FilledLayer | None = None
        self._thresholds = self.panel.params()  # also read by the worker
        self._model = ""
        self.choice = ExtentChoice(context, self.panel)
        self._link_along: Extent | None = None
        self._joining: Joining | None = None
        self._read_joining: Callable[[], Joining | None] = lambda: None
        self._exposure: tuple[Any, LiveSelection] | None = None  # of the last run on a stack
        self._selecting = False
        self._only_new = True  # as in the last selection
        self._then: Callable[[], None] = lambda: None  # once what runs is done
        self.verdicts = VerdictControls(context, self.panel, self.reselect)
        self.proposals = self.verdicts.proposals
        self.text = TextChoice(context, self.panel.text, self.proposals, lambda: self._filled)
        self.verdicts.settled = self.text.settled
        self.rules = Rules(context, self.panel, self.run_and_accept)
        self.keys = {
            "A": self.verdicts.accept,
            "X": self.verdicts.reject,
            "Shift-A": self.verdicts.accept_all,
        }
        self._connect()

    @property
    def view(self) -> LabelsView | None:
        """The layer that is filled."""
        return self.bench.everything

    # -- what the user does -------------------------------------------------------------------

    def start(self) -> None:
        """Let Escape end the tool of clicks."""
        self.verdicts.start()

    def opened(self) -> None:
        """Show which rules there are, and which models know words."""
        self.rules.list()
        self.text.opened()

    def run_and_accept(self, all_planes: bool = False) -> None:
        """Start a run, and make objects of all that it finds."""
        self.run(all_planes, self.proposals.accept_all)

    def run(self, all_planes: bool = False, then: Callable[[], None] = lambda: None) -> None:
        """Start a run on the plane that is shown, or on all that were chosen.

        Parameters
        ----------
        all_planes : bool
        then : callable
            Called when it is done; not if it is cancelled.
        """
        self.status.acted()
        session, frame = self.context.session, self.bench.frame
        if session is None or frame is None:
            self.status.hint(self.context.absence if frame else "open an image to begin")
            return
        if self.context.history.walking or self.proposals.busy:
            self.status.hint("wait until the last change is written")
            return
        if not self.context.folder.ready(lambda: self.run(all_planes, then)):
            return
        try:
            plane = self.bench.plane()
            filled = self._prepared(frame, plane.key)
        except ValueError as error:
            self.status.error(str(error))
            return
        planes = self.choice.planes(plane, frame, all_planes)
        if all_planes or self._link_along is None:
            along = self._link_along = self.choice.extent
            self._read_joining = partial(self.choice.joining, along, frame, plane.key)
            self._joining = self._read_joining()
        self._then = then
        self._thresholds = self.panel.params()
        self.context.proposals, self.rules.all_planes = self.proposals, len(planes) > 1
        live = self._live(filled, [one.key for one in planes])
        seen = filled, self._model, plane.contrast, plane.channels, self._thresholds.seeds
        if len(planes) > 1:
            self._exposure = seen, live
        elif self._exposure is not None and self._exposure[0] == seen:
            live.share = self._exposure[1].share
        text = f"everything in {plane_text(plane)}" if len(planes) == 1 else "everything"

        def done(moved: bool) -> None:
            if moved or len(planes) > 1:
                self._link(filled)
            else:
                self._say_found(filled)

        self.text.hold()
        self.status.progress(EVERYTHING, "everything: encoding ...")
        self._selecting, self._only_new = False, self.proposals.only_new
        filled.begin()
        found = partial(live.found, session, planes)
        steps = partial(self._written, filled, found, text, self.verdicts.kept())
        self._submit(steps, done, "everything")

    def cancel(self) -> None:
        """Stop; what was found stays."""
        if self.context.scheduler.is_busy(Lane.BULK):
            self.context.scheduler.cancel(Lane.BULK)
            self._then = lambda: None
            self.status.progress(EVERYTHING)
            self.verdicts.show()
            self.status.hint("everything: cancelled; what was found stays")

    def reselect(self) -> None:
        """Apply other thresholds to what was found, during a run, too."""
        self.status.acted()
        self._thresholds = params = self.panel.params()
        filled = self._filled
        if filled is None or self.view is None or self.context.session is None:
            return
        if self.verdicts.wait() or self.context.history.walking or not filled.candidates:
            return
        floor = max(candidates.floor for candidates in filled.candidates.values())
        if params.pred_iou_thresh < floor:
            self.status.hint(f"objects of a quality under {floor:.2f} need a new run")
        if self.context.scheduler.is_busy(Lane.BULK) and not self._selecting:
            return  # the run looks at the thresholds itself
        self.text.hold()
        live = self._live(filled, list(filled.candidates))
        self._selecting, self._only_new = True, self.proposals.only_new
        steps = partial(self._written, filled, live.anew, EVERYTHING, self.verdicts.kept())
        self._submit(steps, lambda _: self._link(filled), "selecting")

    def close(self) -> None:
        """Disconnect from viewer and layers."""
        self.bench.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self.text.close()
        self._forget()
        self.verdicts.close()

    # -- long work ----------------------------------------------------------------------------

    def _live(self, filled: FilledLayer, anew: list[SliceKey]) -> LiveSelection:
        """Return a selection whose first new labels are for some planes."""
        first = filled.largest(anew if len(anew) == 1 else ())
        image, candidates = filled.frame.data, filled.candidates
        return LiveSelection(image, candidates, lambda: self._thresholds, first)

    def _submit(self, steps: Callable[[], Steps], done: Callable[[Any], None], text: str) -> None:
        def failed(sentence: str) -> None:
            self._then = lambda: None
            self.status.progress(EVERYTHING)
            self.status.error(sentence)

        work = Work(steps, self._on_step, done, failed, text)
        self.context.scheduler.submit(work, Lane.BULK)

    def _written(
        self, filled: FilledLayer, results: Callable[[], Any], text: str, kept: Any
    ) -> Generator[Progress | Filled, None, Any]:
        """Yield steps with the edits that write them; in the worker.

        Parameters
        ----------
        filled : FilledLayer
        results : callable
            Returns the steps.
        text : str
            Of the edits.
        kept : array or None
            Labels of the objects that hide proposals.
        """

        def made(step: Progress | PlaneResult) -> Progress | Filled:
            if isinstance(step, Progress):
                return step
            if step.candidates is not None:
                self.verdicts.spreads.look(step.candidates, self._thresholds)
            if kept is not None:
                labels = not_covered(step.labels, step.plane.key.read_labels(kept))
                step = PlaneResult.of(step.plane, labels, step.candidates)
            return filled.filled(step, text, self._thresholds.min_mask_region_area)

        return (yield from mapped(results(), made))

    def _link(self, filled: FilledLayer) -> None:
        """Give objects that go on in the next plane one label."""
        along, joining = self._link_along, self._joining
        axis = None if joining is None else joining.axis
        keys = [key for key in filled.values if axis in dict(key.fixed)]
        if self.view is None or joining is None or len(keys) < 2:
            self._say_found(filled)
            return
        self._selecting = True  # what is changed from now on needs another selection

        def done(lineage: Lineage | None) -> None:
            filled.lineage = lineage
            self._say_found(filled, along)

        self.status.progress(EVERYTHING, "everything: linking the planes ...")
        self._submit(partial(joined, filled, keys, joining), done, "linking")

    def _save_table(self) -> None:
        """Ask where the table of parents goes, and write it."""
        self.status.acted()
        if self._filled is None or self._filled.lineage is None:
            self.status.hint(NO_LINEAGE)
            return
        ask_for_table(self.panel.window(), self.context.saves.folder, self.save_table)

    def save_table(self, path: Path) -> None:
        """Write the table of parents of the time series that was found last."""
        filled = self._filled
        if filled is None or filled.lineage is None:  # it may have gone while the dialog was open
            self.status.hint(NO_LINEAGE)
            return
        if self.context.scheduler.is_busy(Lane.BULK):
            self.status.hint("the table is not saved: wait until everything mode is done")
            return
        keys = [key for key in filled.values if filled.lineage.axis in dict(key.fixed)]

        def done(tracks: list[Track]) -> None:
            daughters = sum(track.parent > 0 for track in tracks)
            self.status.progress(EVERYTHING)
            self.status.hint(f"{path.name}: {len(tracks)} tracks, {daughters} with a parent")

        self._selecting = True  # what is changed from now on needs a selection afterwards
        steps = partial(save_table, filled, keys, filled.lineage, path)
        self._submit(steps, done, "saving the table of parents")

    def _prepared(self, frame: Frame, key: SliceKey) -> FilledLayer:
        """Return the layer to fill: the last one, or a new one for another image."""
        filled = self._filled
        if filled is None or self.view is not filled.view or not filled.fits(frame):
            self._forget()
            layer = self.context.folder.new_labels(frame, EVERYTHING, key)
            view = self.bench.everything = self.bench.view_of(layer)
            view.kind = "everything"
            filled = self._filled = FilledLayer(view, frame)
            view.on_deleted = self._on_deleted
            self.verdicts.watch(filled)
            filled.on_changed = self._on_filled_changed
            self.bench.add_below_prompts(layer)
        return filled

    def _on_filled_changed(self) -> None:
        self.verdicts.show()
        self.text.look_again()

    def _forget(self) -> None:
        self.text.pause()
        if self._filled is not None:
            self._filled.close()
        self.bench.everything = self._filled = None
        self._link_along = self._joining = self._exposure = None
        self._read_joining = lambda: None
        self._then = lambda: None
        self.verdicts.watch(None)

    def _on_step(self, value: Progress | Filled) -> None:
        if isinstance(value, Progress):
            text = f"everything: {value.text}"
            self.status.progress(EVERYTHING, text, value.done, value.total, self.cancel)
            return
        if self._filled is None or self.view is None:
            return
        try:
            self._filled.write(value, self._is_shown(value.result.plane.key))
        except (ValueError, OSError) as error:
            self.cancel()
            self.status.error(str(error))

    def _is_shown(self, key: SliceKey) -> bool:
        shown = self.context.shown()
        return shown is None or shown.key == key  # in the 3-D view every plane is

    def _say_found(self, filled: FilledLayer, linked_along: Extent | None = None) -> None:
        self.status.progress(EVERYTHING)
        if self._only_new != self.proposals.only_new:  # changed during the run
            self.reselect()
            if self.context.scheduler.is_busy(Lane.BULK):
                return
        self.status.hint(found_text(filled, linked_along))
        self.verdicts.show()
        then, self._then = self._then, lambda: None
        self.text.renew(then)

    # -- events -------------------------------------------------------------------------------

    def _connect(self) -> None:
        context, panel = self.context, self.panel
        panel.run_asked.connect(self.run)
        panel.cancel_asked.connect(self.cancel)
        panel.thresholds_changed.connect(self.reselect)
        panel.across.changed.connect(self._on_joining_changed)
        panel.across.table_asked.connect(self._save_table)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        context.session_changed.connect(self._on_session_changed)
        context.pixels_changed.connect(self._on_pixels_changed)
        self.bench.changed.connect(self._on_bench_changed)
        self.bench.image_changed.connect(self._on_image_changed)
        self.bench.viewer.layers.events.removed.connect(self._on_layers_removed)

    def _on_joining_changed(self) -> None:
        """Join what was found in another way, unless what was changed is for another run."""
        if self.choice.extent == self._link_along:
            self._joining = self._read_joining()
            self.reselect()

    def _on_deleted(self, label: int, key: SliceKey) -> None:
        """Delete an object that was found in several planes from all of them."""
        filled = self._filled
        if filled is None or self.context.scheduler.is_busy(Lane.BULK):
            return
        filled.judge([label], "rejected")
        filled.erase(label, [one for one in filled.planes_of(label) if one != key])

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane != Lane.BULK:
            return
        if self.view is not None:
            self.view.hold(busy, "everything")
        self.panel.set_busy(busy)

    def _on_session_changed(self) -> None:
        """Show what suits the model in use, unless the user has been choosing for it."""
        if self.context.scheduler.is_busy(Lane.BULK):
            self.cancel()
            self.status.error("everything: cancelled, the model changed; what was found stays")
        session = self.context.session
        if session is not None and session.predictor.model.name != self._model:
            self._model = session.predictor.model.name
            self.panel.set_params(AmgParams(**session.predictor.model.amg_defaults))

    def _on_pixels_changed(self) -> None:
        """Stop: what a run would find is not in the image any more."""
        self.cancel()
        self._forget()

    def _on_image_changed(self) -> None:
        frame, filled = self.bench.frame, self._filled
        if filled is not None and (frame is None or not filled.fits(frame)):
            self.cancel()
            self._forget()
        self.choice.show()

    def _on_bench_changed(self) -> None:
        """Stop if the layer that is filled was given other data."""
        filled = self._filled
        if filled is None or filled.view is self.view:
            return
        self.cancel()
        self._forget()
        if filled.view.layer in self.bench.viewer.layers:
            self.status.error(
                f"{filled.view.layer.name} holds other data now and is no longer filled; run again "
                "for a new layer"
            )

    def _on_layers_removed(self, event: Any) -> None:
        if self._filled is not None and event.value is self._filled.view.layer:
            self.cancel()
            self._forget()
