"""Everything mode in napari: runs the generator, fills a layer, selects anew at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray

from ....everything.amg_params import AmgParams
from ....everything.amg_select import Candidates
from ....objects import edits
from ....objects.edit import Edit
from ....stack.join import PlaneLabels, StoredPlanes, linked
from ....stack.planes import PlaneResult, everything_in, plane_text
from ....steps import mapped
from ....types import Plane, Progress, SliceKey
from ...context import Context
from ...frame import Frame
from ...labels_view import LabelsView
from ...results_folder import EVERYTHING
from ...scheduler import Lane, Work
from ..feature import Feature
from .panel import EverythingPanel

KEPT_PLANES = 200
"""So many planes keep their candidates, of some 100 kB each; thresholds move only these."""


@dataclass(frozen=True, eq=False)
class Filled:
    """The labels of one plane, and the edit that writes them.

    Attributes
    ----------
    result : PlaneResult
    edit : Edit
    """

    result: PlaneResult
    edit: Edit


class Everything(Feature):
    """Finds every object of a plane or of all planes.

    The labels are in the layer and nowhere else. While it is filled, the user cannot paint in it.
    """

    title = "Everything"
    panel: EverythingPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status = context.bench, context.status
        self.panel = EverythingPanel(AmgParams())
        self._frame: Frame | None = None
        self._layer: Labels | None = None
        self._model = ""
        self._candidates: dict[SliceKey, Candidates] = {}
        self._values: dict[SliceKey, NDArray[np.int32]] = {}
        self._touched = self._selecting = False
        self._edit: Edit | None = None  # what the last run made of its layer
        self.panel.run_asked.connect(self.run)
        self.panel.cancel_asked.connect(self.cancel)
        self.panel.thresholds_changed.connect(self.reselect)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        context.session_changed.connect(self._on_session_changed)
        self.bench.viewer.layers.events.removed.connect(self._on_layers_removed)
        self.bench.image_changed.connect(self._on_image_changed)
        context.pixels_changed.connect(self._on_pixels_changed)

    @property
    def view(self) -> LabelsView | None:
        """The layer that is filled."""
        return self.bench.everything

    def run(self, all_planes: bool = False) -> None:
        """Start a run on the plane that is shown, or on all of its axis of planes."""
        self.status.acted()
        session, frame = self.context.session, self.bench.frame
        if session is None or frame is None:
            self.status.hint(self.context.absence if frame else "open an image to begin")
            return
        if self.context.history.walking:
            self.status.hint("wait until the last change is written")
            return
        if not self.context.folder.ready(lambda: self.run(all_planes)):
            return
        try:
            plane = self.bench.plane()
            view = self._prepared(frame, plane.key)
        except ValueError as error:
            self.status.error(str(error))
            return
        params = self.panel.params()
        planes = _all_planes(plane, frame) if all_planes else [plane]
        last = self._largest(one.key for one in planes)
        text = f"everything in {plane_text(plane)}" if len(planes) == 1 else "everything"

        def steps() -> Generator[Any, None, None]:
            for step in everything_in(session, planes, params, last):
                yield _filled(view, step, text) if isinstance(step, PlaneResult) else step

        def done(_: None) -> None:
            if all_planes and len(frame.shape) > 2:
                self._link()
            else:
                self._say_found()

        self.status.progress(EVERYTHING, "everything: encoding ...")
        self._selecting, self._edit = False, None
        self._submit(steps, done, "everything")

    def cancel(self) -> None:
        """Stop; what was found stays."""
        if self.context.scheduler.is_busy(Lane.BULK):
            self.context.scheduler.cancel(Lane.BULK)
            self.status.progress(EVERYTHING)
            self.status.hint("everything: cancelled; what was found stays")

    def reselect(self) -> None:
        """Apply other thresholds to what the last run found."""
        self.status.acted()
        view, session, params = self.view, self.context.session, self.panel.params()
        if not self._candidates or view is None or session is None:
            return
        if self.context.history.walking:
            return
        if self.context.scheduler.is_busy(Lane.BULK) and not self._selecting:
            return  # a run reads the thresholds it was started with
        if self._touched:
            self.status.hint("you have edited the result; run again for other thresholds")
            return
        floor = max(candidates.floor for candidates in self._candidates.values())
        if params.pred_iou_thresh < floor:
            self.status.hint(f"for scores under {floor:.2f} run again")
        kept = dict(self._candidates)
        last = self._largest(kept)
        image = None if self._frame is None else self._frame.data

        def steps() -> Generator[Filled, None, None]:
            largest = last
            for key, candidates in kept.items():
                found = PlaneResult.selected(Plane(image, key), candidates, params, largest)
                largest = max(largest, found.largest)
                yield _filled(view, found, EVERYTHING)

        def done(_: None) -> None:
            if len(self._values) > 1:
                self._link()
            else:
                self._say_found()

        self._selecting = True
        self._submit(steps, done, "selecting")

    def close(self) -> None:
        """Let go of viewer and layers."""
        self.bench.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self._forget()

    def _submit(self, steps: Any, done: Any, text: str) -> None:
        def failed(sentence: str) -> None:
            self.status.progress(EVERYTHING)
            self.status.error(sentence)

        work = Work(steps, self._on_step, done, failed, text)
        self.context.scheduler.submit(work, Lane.BULK)

    def _prepared(self, frame: Frame, key: SliceKey) -> LabelsView:
        """Return the layer to fill: the last one, or a new one if its labels were edited."""
        view = self.view
        if view is None or self._touched or self._frame is not frame:
            self._forget()
            layer = self.context.folder.new_labels(frame, EVERYTHING, key)
            view = self.bench.everything = self.bench.view_of(layer)
            view.on_other_edit = self._on_other_edit
            self._layer = layer
            self._frame = frame
            self.bench.add_below_prompts(layer)
        return view

    def _forget(self) -> None:
        if self.view is not None:
            self.view.on_other_edit = lambda: None
        self.bench.everything = self._layer = self._frame = None
        self._candidates, self._values = {}, {}
        self._touched = False

    def _largest(self, keys: Iterable[SliceKey]) -> int:
        """Return the largest label there is; that of a plane done anew alone does not count."""
        anew = set(keys)
        values = [v for key, v in self._values.items() if len(anew) > 1 or key not in anew]
        return max((int(one[-1]) for one in values if len(one)), default=0)

    def _on_step(self, value: Progress | Filled) -> None:
        if isinstance(value, Progress):
            self.panel.set_progress(value.done, value.total)
            self.status.progress(EVERYTHING, f"everything: {value.text}")
            return
        result, view = value.result, self.view
        key = result.plane.key
        if result.candidates is not None:
            self._candidates.pop(key, None)
            self._candidates[key] = result.candidates
            while len(self._candidates) > KEPT_PLANES:
                del self._candidates[next(iter(self._candidates))]
        self._values[key] = result.values
        if view is None:
            return
        if self._edit is not None and view.store.newest is self._edit:
            view.amend(value.edit, self._is_shown(key))  # all of a run is taken back together
        else:
            view.apply(value.edit, self._is_shown(key))
        self._edit = view.store.newest

    def _is_shown(self, key: SliceKey) -> bool:
        shown = self.context.shown()
        return shown is None or shown.key == key  # in the 3-D view every plane is

    def _link(self) -> None:
        """Give objects that go on in the next plane one label, along the first fixed axis."""
        view, frame = self.view, self._frame
        if view is None or frame is None:
            return
        groups = [StoredPlanes(view.layer.data, keys) for keys in _runs(self._values)]

        def steps() -> Generator[Progress | Filled, None, None]:
            largest = 0
            for planes in groups:
                made = partial(self._linked, view, frame, planes)
                largest = yield from mapped(linked(planes, largest=largest), made)

        def done(_: None) -> None:
            self._say_found()

        self.status.progress(EVERYTHING, "everything: linking the planes ...")
        self._submit(steps, done, "linking")

    @staticmethod
    def _linked(
        view: LabelsView, frame: Frame, planes: StoredPlanes, step: Progress | PlaneLabels
    ) -> Progress | Filled:
        """Return a step of linking with the edit that writes it; made in the worker."""
        if isinstance(step, Progress):
            return step
        z, labels = step
        plane = Plane(frame.data, planes.keys_by_place[z])
        return _filled(view, PlaneResult.of(plane, labels), EVERYTHING)

    def _say_found(self) -> None:
        planes = list(self._values.values())
        objects = len(np.unique(np.concatenate(planes))) if planes else 0
        where = "1 plane" if len(planes) == 1 else f"{len(planes)} planes"
        kept = len(self._candidates)
        which = "" if kept == len(planes) else f" in the last {kept}"
        self.status.progress(EVERYTHING)
        self.status.hint(
            f"everything: {objects} objects in {where}; move a threshold to select anew{which}"
        )

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane != Lane.BULK:
            return
        if self.view is not None:
            self.view.layer.editable = not busy
        self.panel.set_busy(busy)

    def _on_session_changed(self) -> None:
        """Show what suits the model in use, unless the user has been choosing for it."""
        if self.context.scheduler.is_busy(Lane.BULK):
            self.cancel()
            self.status.error("everything: cancelled for the other model; what was found stays")
        session = self.context.session
        if session is not None and session.predictor.model.name != self._model:
            self._model = session.predictor.model.name
            self.panel.set_params(AmgParams(**session.predictor.model.amg_defaults))

    def _on_other_edit(self) -> None:
        self._touched = True

    def _on_pixels_changed(self) -> None:
        """Stop: what a run would find is not in the image any more."""
        self.cancel()
        self._forget()

    def _on_image_changed(self) -> None:
        if self._frame is not None and self.bench.frame is not self._frame:
            self.cancel()
            self._forget()

    def _on_layers_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            self.cancel()
            self._forget()


def _filled(view: LabelsView, result: PlaneResult, text: str) -> Filled:
    """Return a plane's labels with the edit that writes them; made in the worker."""
    return Filled(result, edits.replace_plane(view.store, result.plane.key, result.labels, text))


def _all_planes(plane: Plane, frame: Frame) -> list[Plane]:
    """Return the planes along the first axis that is not displayed, others as they are."""
    if not plane.key.fixed:
        return [plane]
    (axis, _), *rest = plane.key.fixed
    return [
        replace(plane, key=replace(plane.key, fixed=((axis, index), *rest)))
        for index in range(frame.shape[axis])
    ]


def _runs(planes: Iterable[SliceKey]) -> list[list[SliceKey]]:
    """Group planes that differ in the first fixed axis only."""
    groups: dict[Any, list[SliceKey]] = {}
    for key in planes:
        groups.setdefault((key.displayed, key.fixed[1:], key.fixed[0][0]), []).append(key)
    return list(groups.values())
