"""Everything mode in napari: runs the generator, fills a layer, re-selects at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils import progress
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..amg import AmgParams, AutomaticMaskGenerator, Candidates
from ..masks import to_labels
from ..stack import linked
from ..types import Progress, SliceKey
from . import layers
from .controller import Controller
from .folder import EVERYTHING
from .jobs import Job, Jobs


class Everything(QObject):  # type: ignore[misc]
    """Finds every object of a plane or of all planes.

    Parameters
    ----------
    controller : Controller

    Signals
    -------
    status_changed : str
    busy_changed : bool
    """

    status_changed = Signal(str)
    busy_changed = Signal(bool)

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self.controller = controller
        self.bench = controller.bench
        self.jobs = Jobs()
        self.jobs.failed.connect(self._on_jobs_failed)
        self.jobs.busy_changed.connect(self.busy_changed)
        self.layer: Labels | None = None
        self._frame: layers.Frame | None = None
        self._found: dict[SliceKey, Candidates] = {}
        self._planes: dict[SliceKey, NDArray[np.int32]] = {}
        self._touched = False
        self._selecting = False
        self._bar: Any = None
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
        predictor, limits, image = session.predictor, self.bench.contrast_limits(), frame.data
        generator = AutomaticMaskGenerator(predictor, params)
        self._close_bar()
        self._bar = progress(total=100 * len(keys), desc="everything")

        def steps() -> Iterator[Any]:
            for number, one in enumerate(keys):
                plane = one.read(image)
                for step in generator.propose(plane, limits):
                    if isinstance(step, Candidates):
                        yield one, step, to_labels(generator.select(step), step.size)
                    else:
                        yield _shifted(step, number, len(keys), one, frame)

        def done() -> None:
            self._close_bar()
            if all_planes and len(frame.shape) > 2:
                self._link()
            self._say()

        self.status_changed.emit("everything: encoding ...")
        self._selecting = False
        self.jobs.submit(Job(steps, self._on_step, done, text="everything"))

    def cancel(self) -> None:
        """Stop; what was found stays."""
        if self.jobs.busy:
            self.jobs.cancel()
            self._close_bar()
            self.status_changed.emit("everything: cancelled; what was found stays")

    def reselect(self, params: AmgParams) -> None:
        """Apply other thresholds to what the last run found."""
        if not self._found or self.layer is None or self._frame is None:
            return
        if self.jobs.busy and not self._selecting:
            return  # a run reads the thresholds it was started with
        if self._touched:
            self.status_changed.emit("you have edited the result; run again for other thresholds")
            return
        session = self.controller.session
        if session is None:
            return
        floor = max(found.floor for found in self._found.values())
        if params.pred_iou_thresh < floor:
            self.status_changed.emit(f"for scores under {floor:.2f} run again")
        generator = AutomaticMaskGenerator(session.predictor, params)
        found = dict(self._found)

        def steps() -> Iterator[Any]:
            for key, candidates in found.items():
                yield key, candidates, to_labels(generator.select(candidates), candidates.size)

        def done() -> None:
            if len(found) > 1:
                self._link()
            self._say()

        self._selecting = True
        self.jobs.submit(Job(steps, self._on_step, done, text="selecting"))

    def close(self) -> None:
        """Let go of viewer and layers."""
        self.jobs.cancel()
        self._close_bar()
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
        self._found, self._planes = {}, {}
        self._touched = False

    def _on_step(self, value: Any) -> None:
        if isinstance(value, Progress):
            if self._bar is not None:
                self._bar.n = value.done
                self._bar.refresh()
            self.status_changed.emit(f"everything: {value.text}")
            return
        key, candidates, labels = value
        self._found[key] = candidates
        self._planes.pop(key, None)
        if len(self._planes):  # labels of other planes are taken
            start = max(int(plane.max(initial=0)) for plane in self._planes.values())
            labels = np.where(labels > 0, labels + start, 0).astype(np.int32)
        self._paint(key, labels)

    def _paint(self, key: SliceKey, labels: NDArray[np.int32]) -> None:
        if self.layer is None:
            return
        self._planes[key] = labels
        oriented = labels.T if key.displayed[0] > key.displayed[1] else labels
        self.layer.data[key.index] = oriented
        self.layer.refresh()

    def _link(self) -> None:
        """Give objects that go on in the next plane one label, along the first fixed axis."""
        for run in _runs(self._planes):
            planes = {key.fixed[0][1]: self._planes[key] for key in run}
            names = {key.fixed[0][1]: key for key in run}
            for z, labels in linked(planes):
                self._paint(names[z], labels)

    def _say(self) -> None:
        objects = {int(k) for plane in self._planes.values() for k in np.unique(plane) if k}
        where = "1 plane" if len(self._planes) == 1 else f"{len(self._planes)} planes"
        self.status_changed.emit(
            f"everything: {len(objects)} objects in {where}; move a threshold to select anew"
        )

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _on_jobs_failed(self, text: str) -> None:
        self._close_bar()
        self.status_changed.emit(text)

    def _on_layer_paint(self, event: Any = None) -> None:
        self._touched = True

    def _on_bench_changed(self) -> None:
        if self._frame is not None and self.bench.frame is not self._frame:
            self.cancel()
            self._forget()

    def _on_layers_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self.jobs.cancel()
            self._close_bar()
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


def _runs(planes: dict[SliceKey, NDArray[np.int32]]) -> list[list[SliceKey]]:
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
