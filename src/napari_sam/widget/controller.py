"""From a click to a painted preview: builds requests, drops late answers, commits objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points, Shapes
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ..models.registry import load_model
from ..predictor import SamPredictor
from ..session import Session, replace_mask
from ..types import Prediction, PredictRequest, Prompts, SliceKey
from . import layers
from .jobs import Job, Jobs
from .results import Results, largest_label

SETTLE_MS = 150
"""A plane is encoded ahead of the first click once it has been shown for so long."""
READY = "click an object, or drag a box around it"
DONE_ACTIONS = ("added", "changed", "removed")

Request = tuple[PredictRequest, ...]


class Controller(QObject):  # type: ignore[misc]
    """Holds what belongs to one dock: frame, session, our layers, newest request.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Signals
    -------
    status_changed : str
        What is happening and what to do next.
    answer_changed : (int, int, float, int)
        Candidate shown (from 1), candidates in all, its predicted IoU, its pixels; zeros if none.
    kind_changed : str
        Whether the next points are object or background.
    model_changed : (str, str)
        Name and device of the model that has been loaded; empty while it loads.
    frame_changed : no argument
        The image or one of our layers is another one.
    """

    status_changed = Signal(str)
    answer_changed = Signal(int, int, float, int)
    kind_changed = Signal(str)
    model_changed = Signal(str, str)
    frame_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.jobs = Jobs()
        self.jobs.failed.connect(self.status_changed)
        self.loading = Jobs()
        self.loading.failed.connect(self.status_changed)
        self.session: Session | None = None
        self.frame: layers.Frame | None = None
        self.points: Points | None = None
        self.boxes: Shapes | None = None
        self.preview: Labels | None = None
        self.results: Results | None = None
        self._parked: list[tuple[Image, Results]] = []  # of images worked on before
        self.kind = layers.OBJECT
        self._newest: Request | None = None
        self._answers: tuple[Prediction, ...] = ()
        self._rank = 0
        self._closed = False
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self._on_settle_timeout)
        viewer.dims.events.current_step.connect(self._on_dims_changed)
        viewer.dims.events.order.connect(self._on_dims_changed)
        viewer.dims.events.ndisplay.connect(self._on_dims_changed)
        viewer.layers.events.removed.connect(self._on_layers_removed)

    # -- model and image ----------------------------------------------------------------------

    def load(self, name: str, device: str) -> None:
        """Load a model in the background."""
        self.jobs.cancel()
        self.session = None
        self.model_changed.emit("", "")
        self._forget_answer()
        self.status_changed.emit(f"loading {name} ...")

        def steps() -> Iterator[Any]:
            yield load_model(name, device)

        self.loading.cancel()
        self.loading.submit(Job(steps, self._on_model_loaded, text=f"loading {name}"))

    def use_image(self, image: Image | None) -> None:
        """Work on another image layer: its own prompt, preview and result layers are made."""
        self.jobs.cancel()
        self._forget_answer()
        if self.frame is not None:
            self.frame.layer.events.data.disconnect(self._on_image_data)
            if self.results is not None:
                self._parked.append((self.frame.layer, self.results))
                self.results = None
        self._remove_prompt_layers()
        self.frame = None if image is None else layers.frame_of(image)
        if self.session is not None:
            self.session.clear()
        if self.frame is None:
            self.status_changed.emit("open an image to begin")
        else:
            self.frame.layer.events.data.connect(self._on_image_data)
            self.results = self._unparked(self.frame)
            self.ensure_layers()
            self.activate("points")
            self.say_ready()
        self.frame_changed.emit()

    def ensure_layers(self) -> None:
        """Make those of our layers that are missing."""
        have = (self.results, self.preview, self.boxes, self.points)
        if self.frame is None or all(one is not None for one in have):
            return
        active = self.viewer.layers.selection.active
        if self.results is None:
            layer = layers.make_labels(self.frame, f"{self.frame.layer.name} objects")
            self._use_results(layer, 0)
            self.add_below_prompts(layer)
        if self.preview is None:
            self.preview = self._add(layers.make_preview(self.frame))
        if self.boxes is None:
            self.boxes = self._add(layers.make_boxes(self.frame))
            self.boxes.events.data.connect(self._on_prompts_data)
        if self.points is None:
            self.points = self._add(layers.make_points(self.frame))
            self.points.events.data.connect(self._on_prompts_data)
            layers.set_label_kind(self.points, self.kind)
        if active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        self.frame_changed.emit()

    def activate(self, tool: str) -> None:
        """Make the points or the boxes the layer that clicks go to."""
        layer = self.points if tool == "points" else self.boxes
        if layer is None:
            return
        self.viewer.layers.selection.active = layer
        layer.mode = "add" if tool == "points" else "add_rectangle"

    def use_results(self, layer: Labels | None) -> None:
        """Commit to another Labels layer of the same shape; None makes a new one.

        Its labels are counted in the background; until then nothing is committed.
        """
        if self.frame is None or (self.results and layer is self.results.layer):
            return
        if layer is None:
            self._use_results(None)
            self.ensure_layers()
            return
        chosen = layer
        largest = 0

        def note(value: int) -> None:
            nonlocal largest
            largest = value

        def done() -> None:
            self._use_results(chosen, largest)
            self.say_ready()
            self.frame_changed.emit()

        self._use_results(None)
        self.status_changed.emit(f"counting the labels of {layer.name} ...")
        self.loading.submit(Job(lambda: largest_label(chosen.data), note, done, "counting labels"))

    # -- what the user does -------------------------------------------------------------------

    def set_kind(self, kind: str) -> None:
        """Make the next points object or background points."""
        self.kind = kind
        if self.points is not None:
            layers.set_label_kind(self.points, kind)
        self.kind_changed.emit(kind)

    def toggle_kind(self) -> None:
        """Swap object and background."""
        swap = {layers.OBJECT: layers.BACKGROUND, layers.BACKGROUND: layers.OBJECT}
        self.set_kind(swap[self.kind])

    def next_candidate(self) -> None:
        """Show the next of the masks that the model offers."""
        if self._answers:
            self._rank = (self._rank + 1) % len(self._answers[0].masks)
            self._paint()

    def commit(self) -> None:
        """Write the shown objects as the next labels, and clear the prompts of this plane."""
        key = self._answered_key()
        if key is None or self.results is None:
            self.status_changed.emit(f"nothing to commit yet: {READY}")
            return
        try:
            written = self.results.commit(key, self._shown_masks())
        except ValueError as error:
            self.status_changed.emit(str(error))
            return
        self.clear()
        names = ", ".join(str(label) for label in written)
        self.status_changed.emit(f"object {names} committed (Ctrl+Z takes it back); {READY}")
        self.frame_changed.emit()

    def clear(self) -> None:
        """Remove the prompts of this plane and the preview."""
        self.ensure_layers()
        key = self.key()
        self._forget_answer()
        if key is not None and self.points is not None and self.boxes is not None:
            layers.remove_prompts(self.points, self.boxes, key)
        self.set_kind(layers.OBJECT)
        self.say_ready()

    def undo(self) -> None:
        """Take back the last commit (or the last stroke in the result layer)."""
        if self.results is None:
            return
        try:
            self.status_changed.emit(f"took back {self.results.undo()}")
        except ValueError as error:
            self.status_changed.emit(str(error))
        self.frame_changed.emit()

    def key(self) -> SliceKey | None:
        """Return the plane shown now; None, and a word in the status, if there is none."""
        if self.frame is None:
            return None
        try:
            return layers.current_key(self.viewer, self.frame)
        except ValueError as error:
            self.status_changed.emit(str(error))
            return None

    def say_ready(self) -> None:
        """Say what to do next."""
        if self.frame is None:
            self.status_changed.emit("open an image to begin")
        elif self.session is None:
            self.status_changed.emit("loading the model ...")
        else:
            key = self.key()
            if key is not None:
                self.status_changed.emit(f"{layers.plane_text(key, self.frame)}: {READY}")
                self._settle.start(SETTLE_MS)

    def contrast_limits(self) -> tuple[float, float] | None:
        """Return the image layer's contrast limits; None for colour."""
        if self.frame is None or self.frame.layer.rgb:
            return None
        low, high = self.frame.layer.contrast_limits
        return float(low), float(high)

    def close(self) -> None:
        """Let go of the viewer: no answer will be painted any more."""
        if self._closed:
            return
        self._closed = True
        self._settle.stop()
        self.jobs.cancel()
        self.loading.cancel()
        events = self.viewer.dims.events
        for emitter in (events.current_step, events.order, events.ndisplay):
            emitter.disconnect(self._on_dims_changed)
        self.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        if self.frame is not None:
            self.frame.layer.events.data.disconnect(self._on_image_data)
        self._use_results(None)
        for _, results in self._parked:
            results.close()
        self._parked.clear()
        self._remove_prompt_layers()
        self.frame = self.session = self._newest = None
        self._answers = ()

    # -- the path of a click ------------------------------------------------------------------

    def ask(self) -> None:
        """Read the prompts of the plane and ask the model about them."""
        self.ensure_layers()  # the user may have deleted one
        key = self.key()
        if key is None or self.points is None or self.boxes is None or self.frame is None:
            return
        try:
            prompts = layers.read_prompts(self.points, self.boxes, key)
        except ValueError as error:
            self._forget_answer()
            self.status_changed.emit(str(error))
            return
        if not prompts:
            self._forget_answer()
            return
        frame = self.frame
        request = tuple(self._request(frame, key, p, k) for k, p in enumerate(prompts))
        self._newest = request
        session = self.session
        if session is None:
            return  # asked again when the model is there
        if not session.ready(request[0]):
            self.status_changed.emit(f"encoding {layers.plane_text(key, frame)} ...")

        def steps() -> Iterator[Any]:
            yield request, tuple(session.predict(one) for one in request)

        self.jobs.submit(Job(steps, self._on_answer, text="predicting"))

    def _request(
        self, frame: layers.Frame, key: SliceKey, prompts: Prompts, position: int
    ) -> PredictRequest:
        """Build a request that goes on from the answer shown, if it is about the same object."""
        fresh = PredictRequest(key, frame.data, self.contrast_limits(), prompts)
        if position >= len(self._answers):
            return fresh
        answer = self._answers[position]
        asked = answer.request
        if asked is None or not _extends(prompts, asked.prompts):
            return fresh
        if replace(asked.key, window=None) != key or asked.contrast_limits != fresh.contrast_limits:
            return fresh
        logits = answer.low_res_logits[_ranked(answer, self._rank)]
        return replace(fresh, key=asked.key, prompts=replace_mask(prompts, logits))

    def _on_answer(self, value: tuple[Request, tuple[Prediction, ...]]) -> None:
        request, answers = value
        if request is not self._newest:
            return  # late: another question has been asked since
        self._answers = answers
        self._rank = 0
        self._paint()

    def _paint(self) -> None:
        key = self._answered_key()
        if key is None or self.preview is None or self.frame is None:
            return
        masks = self._shown_masks()
        first = self.results.next_label if self.results else 1
        layers.show_preview(self.preview, self.frame, key, masks, first)
        answer = self._answers[0]
        score = float(answer.iou_predictions[_ranked(answer, self._rank)])
        area = int(sum(np.count_nonzero(mask) for mask in masks))
        self.answer_changed.emit(self._rank + 1, len(answer.masks), score, area)
        self.status_changed.emit("Enter keeps it, N shows another answer, Esc clears")

    def _shown_masks(self) -> list[NDArray[np.bool_]]:
        return [a.masks[_ranked(a, self._rank)] for a in self._answers]

    def _answered_key(self) -> SliceKey | None:
        """Return the plane that the shown answer belongs to."""
        if not self._answers or self._answers[0].request is None:
            return None
        return replace(self._answers[0].request.key, window=None)

    def _forget_answer(self) -> None:
        """Drop the answer shown and any that is still to come."""
        self._newest = None
        if self._answers and self.preview is not None:
            layers.clear_preview(self.preview)
        self._answers = ()
        self._rank = 0
        self.answer_changed.emit(0, 0, 0.0, 0)

    # -- our layers ---------------------------------------------------------------------------

    def add_below_prompts(self, layer: Labels) -> None:
        """Add a layer to the viewer underneath the preview; clicks go where they went before."""
        stack = self.viewer.layers
        active = stack.selection.active
        place = len(stack) if self.preview is None else stack.index(self.preview)
        stack.insert(place, layer)
        stack.selection.active = active

    def _add(self, layer: Any) -> Any:
        self.viewer.add_layer(layer)
        return layer

    def _use_results(self, layer: Labels | None, largest: int = 0) -> None:
        if self.results is not None:
            self.results.close()
        self.results = None if layer is None else Results(layer, largest)

    def _unparked(self, frame: layers.Frame) -> Results | None:
        """Return the results of an earlier time with this image, if they fit and are still there."""
        for pair in self._parked:
            image, results = pair
            if image is frame.layer and results.layer.data.shape == frame.shape:
                self._parked.remove(pair)
                return results
        return None

    def _remove_prompt_layers(self) -> None:
        ours = [layer for layer in (self.points, self.boxes, self.preview) if layer is not None]
        for layer in (self.points, self.boxes):
            if layer is not None:
                layer.events.data.disconnect(self._on_prompts_data)
        self.points = self.boxes = self.preview = None
        for layer in ours:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    # -- events -------------------------------------------------------------------------------

    def _on_prompts_data(self, event: Any) -> None:
        if str(getattr(event.action, "value", event.action)) in DONE_ACTIONS:
            self.ask()

    def _on_model_loaded(self, model: Any) -> None:
        self.session = Session(SamPredictor(model))
        self.model_changed.emit(model.name, model.device)
        self.say_ready()
        self.ask()

    def _on_dims_changed(self, event: Any = None) -> None:
        if self._answers:  # the preview stays on its plane, the question does not
            self._forget_answer()
        self._newest = None
        self.say_ready()

    def _on_settle_timeout(self) -> None:
        """Encode the plane that is shown, so that the first click on it is quick."""
        session, key = self.session, self.key()
        if session is None or key is None or self.frame is None or self.jobs.busy:
            return
        request = PredictRequest(key, self.frame.data, self.contrast_limits(), Prompts())
        if session.ready(request):
            self.ask()  # prompts that were left on this plane
            return

        def steps() -> Iterator[Any]:
            yield session.embedding(request)

        self.jobs.submit(Job(steps, lambda _: self.ask(), text="encoding"))

    def _on_image_data(self, event: Any = None) -> None:
        """Start afresh: the image layer holds other pixels now."""
        if self.frame is None:
            return
        image, shape = self.frame.layer, self.frame.shape
        self._forget_answer()
        if self.session is not None:
            self.session.clear()
        frame = layers.frame_of(image)
        if frame.shape != shape:
            self.use_image(image)
        else:
            self.frame = frame
            self.say_ready()

    def _on_layers_removed(self, event: Any) -> None:
        gone: Layer = event.value
        if self.frame is not None and gone is self.frame.layer:
            self.use_image(None)
            return
        if self.results is not None and gone is self.results.layer:
            self._use_results(None)
        self._parked = [
            (image, results)
            for image, results in self._parked
            if gone is not image and gone is not results.layer
        ]
        if gone is self.preview:
            self.preview = None
            self._forget_answer()
        if gone is self.points:
            self.points = None
        if gone is self.boxes:
            self.boxes = None
        self.frame_changed.emit()


def _ranked(answer: Prediction, rank: int) -> int:
    """Return the index of the mask at a rank, the highest predicted IoU first."""
    order = np.argsort(-answer.iou_predictions, kind="stable")
    return int(order[min(rank, len(order) - 1)])


def _extends(new: Prompts, old: Prompts) -> bool:
    """Tell whether `new` is `old` with further points."""
    same_box = (new.box is None) == (old.box is None) and (
        new.box is None or old.box is None or np.array_equal(new.box, old.box)
    )
    before, after = _points(old), _points(new)
    return same_box and before < after and not (new.box is None and not before)


def _points(prompts: Prompts) -> set[tuple[float, float, int]]:
    pairs = zip(prompts.point_coords, prompts.point_labels, strict=True)
    return {(float(x), float(y), int(label)) for (x, y), label in pairs}
