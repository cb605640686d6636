"""From a click to a painted preview: builds requests, drops late answers, commits objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from ..models.registry import label, loading
from ..predictor import SamPredictor
from ..session import Session, replace_mask
from ..types import Prediction, PredictRequest, Progress, Prompts, SliceKey
from . import layers
from .folder import ResultsFolder
from .jobs import Job, Jobs
from .results import largest_label
from .workbench import Workbench

SETTLE_MS = 150
"""A plane is encoded ahead of the first click once it has been shown for so long."""
READY = "click an object, or drag a box around it"

Request = tuple[PredictRequest, ...]


class Controller(QObject):  # type: ignore[misc]
    """Holds what belongs to one dock: workbench, session, newest request, shown answer.

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
    """

    status_changed = Signal(str)
    answer_changed = Signal(int, int, float, int)
    kind_changed = Signal(str)
    model_changed = Signal(str, str)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.bench = Workbench(viewer)
        self.bench.prompts_changed.connect(self.ask)
        self.bench.preview_lost.connect(self._forget_answer)
        self.bench.image_lost.connect(lambda: self.use_image(None))
        self.bench.pixels_changed.connect(self._on_pixels_changed)
        self.folder = ResultsFolder(self.bench)
        self.folder.status_changed.connect(self.status_changed)
        self.jobs = Jobs()
        self.loading = Jobs()
        for jobs in (self.jobs, self.loading):
            jobs.failed.connect(self.status_changed)
        self.session: Session | None = None
        self._former: Session | None = None
        self._notice = ""
        self.kind = layers.OBJECT
        self._newest: Request | None = None
        self._answers: tuple[Prediction, ...] = ()
        self._rank = 0
        self._closed = False
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.timeout.connect(self._on_settle_timeout)
        self._dims = viewer.dims.events
        for emitter in (self._dims.current_step, self._dims.order, self._dims.ndisplay):
            emitter.connect(self._on_dims_changed)

    # -- model and image ----------------------------------------------------------------------

    def load(self, name: str, device: str) -> None:
        """Load a model in the background; prompts wait for it."""
        self.jobs.cancel()
        if self.session is not None:
            self._former = self.session
        self.session = None
        self.model_changed.emit("", "")
        self._forget_answer()
        self.status_changed.emit(f"loading {label(name)} ...")

        def steps() -> Iterator[Any]:
            yield (yield from loading(name, device))

        self.loading.cancel()
        self.loading.submit(Job(steps, self._on_loading_step, text=f"loading {label(name)}"))

    def restore(self, text: str) -> bool:
        """Go back to the model before the last `load`, which failed, and say so.

        Returns
        -------
        bool
            Whether there was one.
        """
        self.session, self._former = self._former, None
        if self.session is None:
            return False
        model = self.session.predictor.model
        self.model_changed.emit(model.name, model.device)
        self.status_changed.emit(text)
        if self.bench.frame is not None:
            self._notice = text  # the answer would hide it
            self.ask()
        return True

    def use_image(self, image: Image | None) -> None:
        """Work on another image layer; None lets go of the one there is."""
        self.jobs.cancel()
        self._forget_answer()
        self._clear_sessions()
        self.bench.use_image(image, self.kind)
        self.say_ready()

    def use_results(self, layer: Labels | None) -> None:
        """Commit to another Labels layer of the same shape; None makes a new one or asks for it.

        Its labels are counted in the background; until then nothing is committed.
        """
        bench = self.bench
        if bench.frame is None or (bench.results and layer is bench.results.layer):
            return
        bench.use_results(None)
        if layer is None:
            self.folder.forget()
            bench.ensure_layers(self.kind)
            return
        chosen = layer
        largest = 0

        def note(value: int) -> None:
            nonlocal largest
            largest = value

        def done() -> None:
            if chosen in self.viewer.layers:
                bench.use_results(chosen, largest)
            bench.changed.emit()
            self.say_ready()

        self.status_changed.emit(f"counting the labels of {layer.name} ...")
        self.loading.submit(Job(lambda: largest_label(chosen.data), note, done, "counting labels"))

    # -- what the user does -------------------------------------------------------------------

    def set_kind(self, kind: str) -> None:
        """Make the next points object or background points."""
        self.kind = kind
        if self.bench.points is not None:
            layers.set_label_kind(self.bench.points, kind)
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
        if key is not None and self.folder.is_missing and not self.loading.busy:
            self.folder.open_objects(key, self.commit)
            return
        if key is None or self.bench.results is None:
            self.status_changed.emit(f"nothing to commit yet: {READY}")
            return
        try:
            written = self.bench.results.commit(key, self._shown_masks())
        except (ValueError, OSError) as error:
            self.status_changed.emit(str(error))
            return
        self.clear()
        names = ", ".join(str(label) for label in written)
        self.status_changed.emit(f"object {names} committed (Ctrl+Z takes it back); {READY}")

    def clear(self) -> None:
        """Remove the prompts of this plane and the preview."""
        bench = self.bench
        bench.ensure_layers(self.kind)
        key = self._key()
        self._forget_answer()
        if key is not None and bench.points is not None and bench.boxes is not None:
            layers.remove_prompts(bench.points, bench.boxes, key)
        self.set_kind(layers.OBJECT)
        self.say_ready()

    def undo(self) -> None:
        """Take back the last commit (or the last stroke in the result layer)."""
        if self.bench.results is None:
            return
        try:
            self.status_changed.emit(f"took back {self.bench.results.undo()}")
        except ValueError as error:
            self.status_changed.emit(str(error))

    def say_ready(self) -> None:
        """Say what to do next, and encode the plane shown once it has settled."""
        frame, key = self.bench.frame, self._key()
        if frame is None or key is None:
            return
        if self.session is None:
            if self.loading.busy:
                self.status_changed.emit("loading the model ...")
            return
        self.status_changed.emit(f"{layers.plane_text(key, frame)}: {READY}")
        self._settle.start(SETTLE_MS)

    def close(self) -> None:
        """Let go of the viewer: no answer will be painted any more."""
        if self._closed:
            return
        self._closed = True
        self._settle.stop()
        self.jobs.cancel()
        self.loading.cancel()
        self.folder.close()
        for emitter in (self._dims.current_step, self._dims.order, self._dims.ndisplay):
            emitter.disconnect(self._on_dims_changed)
        self.bench.close()
        self.session = self._former = self._newest = None
        self._answers = ()

    # -- the path of a click ------------------------------------------------------------------

    def ask(self) -> None:
        """Read the prompts of the plane and ask the model about them."""
        bench = self.bench
        bench.ensure_layers(self.kind)  # the user may have deleted one
        frame, key = bench.frame, self._key()
        if frame is None or key is None or bench.points is None or bench.boxes is None:
            return
        try:
            prompts = layers.read_prompts(bench.points, bench.boxes, key)
        except ValueError as error:
            self._forget_answer()
            self.status_changed.emit(str(error))
            return
        if not prompts:
            self._forget_answer()
            return
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
        fresh = PredictRequest(key, frame.data, self.bench.contrast_limits(), prompts)
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
        key, bench = self._answered_key(), self.bench
        if key is None or bench.preview is None or bench.frame is None:
            return
        masks = self._shown_masks()
        first = bench.results.next_label if bench.results else 1
        layers.show_preview(bench.preview, bench.frame, key, masks, first)
        answer = self._answers[0]
        score = float(answer.iou_predictions[_ranked(answer, self._rank)])
        area = int(sum(np.count_nonzero(mask) for mask in masks))
        self.answer_changed.emit(self._rank + 1, len(answer.masks), score, area)
        self.status_changed.emit(
            self._notice or "Enter keeps it, N shows another answer, Esc clears"
        )
        self._notice = ""

    def _shown_masks(self) -> list[NDArray[np.bool_]]:
        return [a.masks[_ranked(a, self._rank)] for a in self._answers]

    def _answered_key(self) -> SliceKey | None:
        """Return the plane that the shown answer belongs to."""
        if not self._answers or self._answers[0].request is None:
            return None
        return replace(self._answers[0].request.key, window=None)

    def _forget_answer(self) -> None:
        """Drop the answer shown and any that is still to come."""
        self._newest, self._notice = None, ""
        if self._answers and self.bench.preview is not None:
            layers.clear_preview(self.bench.preview)
        self._answers = ()
        self._rank = 0
        self.answer_changed.emit(0, 0, 0.0, 0)

    def _key(self) -> SliceKey | None:
        """Return the plane shown now; None, and a word in the status, if there is none."""
        try:
            return self.bench.key()
        except ValueError as error:
            self.status_changed.emit(str(error))
            return None

    # -- events -------------------------------------------------------------------------------

    def _on_loading_step(self, value: Any) -> None:
        if isinstance(value, Progress):
            self.status_changed.emit(f"{value.text} ...")
            return
        model = value
        self.session, self._former = Session(SamPredictor(model)), None
        self.model_changed.emit(model.name, model.device)
        self.say_ready()
        if self.bench.frame is not None:
            self.ask()

    def _on_dims_changed(self, event: Any = None) -> None:
        self._forget_answer()  # prompts stay on their plane and are asked again there
        self.say_ready()

    def _on_settle_timeout(self) -> None:
        """Encode the plane that is shown, so that the first click on it is quick."""
        session, frame, key = self.session, self.bench.frame, self._key()
        if session is None or frame is None or key is None or self._answers:
            return
        if self.jobs.busy:
            self._settle.start(SETTLE_MS)
            return
        request = PredictRequest(key, frame.data, self.bench.contrast_limits(), Prompts())
        if session.ready(request):
            self.ask()  # prompts that were left on this plane
            return

        def steps() -> Iterator[Any]:
            yield session.embedding(request)

        self.jobs.submit(Job(steps, lambda _: self.ask(), text="encoding"))

    def _on_pixels_changed(self) -> None:
        """Start afresh: the image layer holds other pixels now."""
        frame = self.bench.frame
        if frame is None:
            return
        if frame.shape != layers.frame_of(frame.layer).shape:
            self.use_image(frame.layer)
            return
        self._forget_answer()
        self._clear_sessions()
        self.say_ready()

    def _clear_sessions(self) -> None:
        """Forget embeddings, those too that a failed load would bring back."""
        for session in (self.session, self._former):
            if session is not None:
                session.clear()


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
