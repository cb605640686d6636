"""Everything mode in napari: runs the generator, fills a layer, re-selects at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..everything.amg import AutomaticMaskGenerator, Candidates
from ..everything.amg_params import AmgParams
from ..stack import linked
from ..types import PredictRequest, Progress, Prompts, SliceKey
from . import layers
from .controller import Controller
from .folder import EVERYTHING
from .jobs import Job, Jobs
from .plane_result import Found, StoredPlanes, turned

KEPT_PLANES = 200
"""So many planes keep their candidates, of some 100 kB each; thresholds move only these."""


class Everything(QObject):  # type: ignore[misc]
    """Finds every object of a plane or of all planes.

    The labels are in the layer and nowhere else. While it is filled, the user cannot paint in it.

    Parameters
    ----------
    controller : Controller

    Signals
    -------
    status_changed : str
    busy_changed : bool
    progress_changed : (int, int)
        Done and total of a run.
    """

    status_changed = Signal(str)
    busy_changed = Signal(bool)
    progress_changed = Signal(int, int)

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.bench = controller.bench
        self.jobs = Jobs()
        self.jobs.failed.connect(self.status_changed)
        self.jobs.busy_changed.connect(self._on_jobs_busy_changed)
        self.layer: Labels | None = None
        self._frame: layers.Frame | None = None
        self._candidates: dict[SliceKey, Candidates] = {}
        self._values: dict[SliceKey, NDArray[np.int32]] = {}
        self._touched = False
        self._selecting = False
        self.bench.viewer.layers.events.removed.connect(self._on_layers_removed)
        self.bench.changed.connect(self._on_bench_changed)

    def run(self, params: AmgParams, all_planes: bool) -> None:
        """Start a run on the plane that is shown, or on all of its axis of planes."""
        session, frame = self.controller.session, self.bench.frame
        if session is None or frame is None:
            self.controller.say_ready()
            return
        try:
            key = self.bench.key()
        except ValueError as error:
            self.status_changed.emit(str(error))
            return
        if not self.controller.folder.ready(lambda: self.run(params, all_planes)):
            return
        try:
            self._prepare(frame, key)
        except ValueError as error:
            self.status_changed.emit(str(error))
            return
        keys = _all_keys(key, frame) if all_planes else [key]
        limits, image = self.bench.contrast_limits(), frame.data
        generator = AutomaticMaskGenerator(session.predictor, params)
        last = self._largest(keys)

        def steps() -> Iterator[Any]:
            largest = last
            for number, one in enumerate(keys):
                asked = PredictRequest(one, image, limits, Prompts())
                embed = partial(session.crop_embedding, asked)
                for step in generator.propose_on(session.plane_size(asked), embed):
                    if isinstance(step, Candidates):
                        found = Found.selected(one, generator, step, largest)
                        largest = max(largest, found.largest)
                        yield found
                    else:
                        yield _shifted(step, number, len(keys), one, frame)

        def done() -> None:
            if all_planes and len(frame.shape) > 2:
                self._link()
            else:
                self._say()

        self.status_changed.emit("everything: encoding ...")
        self._selecting = False
        self.jobs.submit(Job(steps, self._on_step, done, text="everything"))

    def cancel(self) -> None:
        """Stop; what was found stays."""
        if self.jobs.busy:
            self.jobs.cancel()
            self.status_changed.emit("everything: cancelled; what was found stays")

    def reselect(self, params: AmgParams) -> None:
        """Apply other thresholds to what the last run found."""
        if not self._candidates or self.layer is None or self._frame is None:
            return
        if self.jobs.busy and not self._selecting:
            return  # a run reads the thresholds it was started with
        if self._touched:
            self.status_changed.emit("you have edited the result; run again for other thresholds")
            return
        session = self.controller.session
        if session is None:
            return
        floor = max(candidates.floor for candidates in self._candidates.values())
        if params.pred_iou_thresh < floor:
            self.status_changed.emit(f"for scores under {floor:.2f} run again")
        generator = AutomaticMaskGenerator(session.predictor, params)
        kept = dict(self._candidates)
        last = self._largest(kept)

        def steps() -> Iterator[Any]:
            largest = last
            for key, candidates in kept.items():
                found = Found.selected(key, generator, candidates, largest)
                largest = max(largest, found.largest)
                yield found

        self._selecting = True
        done = self._link if len(self._values) > 1 else self._say
        self.jobs.submit(Job(steps, self._on_step, done, text="selecting"))

    def close(self) -> None:
        """Let go of viewer and layers."""
        self.jobs.cancel()
        self.bench.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self._forget()

    def _prepare(self, frame: layers.Frame, key: SliceKey) -> None:
        """Have a layer to fill: the last one, or a new one if its labels were edited."""
        if self.layer is None or self._touched or self._frame is not frame:
            self._forget()
            layer = self.controller.folder.new_labels(frame, EVERYTHING, key)
            self._frame, self.layer = frame, layer
            self.layer.events.paint.connect(self._on_layer_paint)
            self.bench.add_below_prompts(self.layer)

    def _forget(self) -> None:
        if self.layer is not None:
            self.layer.events.paint.disconnect(self._on_layer_paint)
        self.layer = None
        self._frame = None
        self._candidates, self._values = {}, {}
        self._touched = False

    def _largest(self, keys: Iterable[SliceKey]) -> int:
        """Return the largest label there is; that of a plane done anew alone does not count."""
        anew = set(keys)
        values = [v for key, v in self._values.items() if len(anew) > 1 or key not in anew]
        return max((int(one[-1]) for one in values if len(one)), default=0)

    def _on_step(self, value: Progress | Found) -> None:
        if isinstance(value, Progress):
            self.progress_changed.emit(value.done, value.total)
            self.status_changed.emit(f"everything: {value.text}")
            return
        if value.candidates is not None:
            self._candidates.pop(value.key, None)
            self._candidates[value.key] = value.candidates
            while len(self._candidates) > KEPT_PLANES:
                del self._candidates[next(iter(self._candidates))]
        self._values[value.key] = value.values
        if self.layer is not None:
            self.layer.data[value.key.index] = turned(value.labels, value.key)
            if self._is_shown(value.key):
                self.layer.refresh(highlight=False, extent=False)

    def _is_shown(self, key: SliceKey) -> bool:
        try:
            return self.bench.key() == key
        except ValueError:
            return True  # in the 3-D view every plane is

    def _link(self) -> None:
        """Give objects that go on in the next plane one label, along the first fixed axis."""
        if self.layer is None:
            return
        groups = [StoredPlanes(self.layer.data, keys) for keys in _runs(self._values)]

        def steps() -> Iterator[Any]:
            for planes in groups:
                for z, labels in linked(planes):
                    yield Found.of(planes.keys_by_place[z], labels)

        self.status_changed.emit("everything: linking the planes ...")
        self.jobs.submit(Job(steps, self._on_step, self._say, text="linking"))

    def _say(self) -> None:
        planes = list(self._values.values())
        objects = len(np.unique(np.concatenate(planes))) if planes else 0
        where = "1 plane" if len(planes) == 1 else f"{len(planes)} planes"
        kept = len(self._candidates)
        which = "" if kept == len(planes) else f" in the last {kept}"
        self.status_changed.emit(
            f"everything: {objects} objects in {where}; move a threshold to select anew{which}"
        )

    def _on_jobs_busy_changed(self, busy: bool) -> None:
        if self.layer is not None:
            self.layer.editable = not busy
        self.busy_changed.emit(busy)

    def _on_layer_paint(self, event: Any = None) -> None:
        self._touched = True

    def _on_bench_changed(self) -> None:
        if self._frame is not None and self.bench.frame is not self._frame:
            self.cancel()
            self._forget()

    def _on_layers_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self.jobs.cancel()
            self._forget()


def _all_keys(key: SliceKey, frame: layers.Frame) -> list[SliceKey]:
    """Return the planes along the first axis that is not displayed, others as they are."""
    if not key.fixed:
        return [key]
    (axis, _), *rest = key.fixed
    return [
        SliceKey(key.displayed, ((axis, index), *rest), None, key.level)
        for index in range(frame.shape[axis])
    ]


def _runs(planes: Iterable[SliceKey]) -> list[list[SliceKey]]:
    """Group planes that differ in the first fixed axis only."""
    groups: dict[Any, list[SliceKey]] = {}
    for key in planes:
        groups.setdefault((key.displayed, key.fixed[1:], key.fixed[0][0]), []).append(key)
    return list(groups.values())


def _shifted(
    step: Progress, number: int, planes: int, key: SliceKey, frame: layers.Frame
) -> Progress:
    fraction = step.done / max(step.total, 1)
    text = f"{layers.plane_text(key, frame)}, {step.text}"
    return Progress(int(100 * (number + fraction)), 100 * planes, text)
