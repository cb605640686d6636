"""From a click to a painted preview: builds requests, drops late answers, commits objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..predict.session import Session
from ..types import Prediction, PredictRequest, Prompts, SliceKey
from . import layers
from .corrections import going_on, ranked
from .folder import ResultsFolder
from .jobs import Job, Jobs
from .results import largest_label
from .workbench import Workbench

READY = "click an object, or drag a box around it; hold Shift to see what a click gives"

PATIENCE_MS = 50
"""A prompt is drawn together with its answer if that takes no longer."""

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
    plane_changed : no argument
        Another plane may be shown, by another model; or a new object begins.
    pixels_changed : no argument
        The image is another one, or holds other pixels.
    """

    status_changed = Signal(str)
    answer_changed = Signal(int, int, float, int)
    kind_changed = Signal(str)
    plane_changed = Signal()
    pixels_changed = Signal()

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
        self.counting = Jobs()
        for jobs in (self.jobs, self.counting):
            jobs.failed.connect(self.status_changed)
        self.session: Session | None = None
        self._absence = ""
        self.kind = layers.OBJECT
        self._newest: Request | None = None
        self._answers: tuple[Prediction, ...] = ()
        self._rank = 0
        self._closed = False
        self._dims = viewer.dims.events
        for emitter in (self._dims.current_step, self._dims.order, self._dims.ndisplay):
            emitter.connect(self._on_dims_changed)

    # -- model and image ----------------------------------------------------------------------

    def use_session(self, session: Session | None, reason: str = "") -> None:
        """Answer with another model from now on.

        Parameters
        ----------
        session : Session or None
            None while there is none; prompts wait for the next one.
        reason : str
            Why there is none, for the status line.
        """
        self.session, self._absence = session, reason
        if session is None:
            self.jobs.cancel()
            self._forget_answer()
        self.say_ready()
        if session is not None and self.bench.frame is not None:
            self.ask()

    def tidy(self, wanted: bool) -> None:
        """Tidy masks from now on, or leave them as the model gives them; asks again."""
        if self.session is not None:
            self.session.predictor.tidy_masks = wanted
            self.ask()

    def use_image(self, image: Image | None) -> None:
        """Work on another image layer; None lets go of the one there is."""
        self.jobs.cancel()
        self._forget_pixels()
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
        self.counting.submit(Job(lambda: largest_label(chosen.data), note, done, "counting labels"))

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
        if key is not None and self.folder.is_missing and not self.counting.busy:
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
        self.set_kind(layers.OBJECT)  # first: colours need the points that are still shown
        if key is not None and bench.points is not None and bench.boxes is not None:
            layers.remove_prompts(bench.points, bench.boxes, key)
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
        """Say what to do next."""
        if self._key() is not None:
            self.status_changed.emit(self._absence if self.session is None else READY)
        self.plane_changed.emit()

    def close(self) -> None:
        """Let go of the viewer: no answer will be painted any more."""
        if self._closed:
            return
        self._closed = True
        self.jobs.cancel()
        self.counting.cancel()
        self.folder.close()
        for emitter in (self._dims.current_step, self._dims.order, self._dims.ndisplay):
            emitter.disconnect(self._on_dims_changed)
        self.bench.close()
        self.session = self._newest = None
        self._answers = ()

    # -- the path of a click ------------------------------------------------------------------

    def shown(self) -> PredictRequest | None:
        """Return a request without prompts about the plane shown; None if there is none."""
        frame = self.bench.frame
        if frame is None:
            return None
        try:
            key = self.bench.key()
        except ValueError:
            return None
        return PredictRequest(key, frame.data, self.bench.contrast_limits(), Prompts())

    @property
    def asked(self) -> bool:
        """Whether there are prompts whose answer is shown or on its way."""
        return self._newest is not None

    def ask_again(self) -> None:
        """Ask about prompts that were left on this plane, unless that has been done."""
        if not self.asked:
            self.ask()

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
        limits = bench.contrast_limits()
        asked = [PredictRequest(key, frame.data, limits, one) for one in prompts]
        for k, answer in enumerate(self._answers[: len(asked)]):
            asked[k] = going_on(asked[k], answer, self._rank)
        request = tuple(asked)
        self._newest = request
        session = self.session
        if session is None:
            return  # asked again when the model is there
        if not session.ready(request[0]):
            self.status_changed.emit(f"encoding {layers.plane_text(key, frame)} ...")

        def steps() -> Iterator[Any]:
            yield request, tuple(session.predict(one) for one in request)

        self.jobs.submit(Job(steps, self._on_answer, text="predicting"))
        if session.ready(request[0]):
            self.jobs.wait(PATIENCE_MS)

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
        score = float(answer.iou_predictions[ranked(answer, self._rank)])
        area = int(sum(np.count_nonzero(mask) for mask in masks))
        doubt = "" if answer.present else "the model sees no object there; "
        self.status_changed.emit(f"{doubt}Enter keeps it, N shows another answer, Esc clears")
        self.answer_changed.emit(self._rank + 1, len(answer.masks), score, area)

    def _shown_masks(self) -> list[NDArray[np.bool_]]:
        return [a.masks[ranked(a, self._rank)] for a in self._answers]

    def _answered_key(self) -> SliceKey | None:
        """Return the plane that the shown answer belongs to."""
        if not self._answers or self._answers[0].request is None:
            return None
        return replace(self._answers[0].request.key, window=None)

    def _forget_answer(self) -> None:
        """Drop the answer shown and any that is still to come."""
        self._newest = None
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

    def _on_dims_changed(self, event: Any = None) -> None:
        self._forget_answer()  # prompts stay on their plane and are asked again there
        self.jobs.cancel()
        self.say_ready()

    def _on_pixels_changed(self) -> None:
        """Start afresh: the image layer holds other pixels now."""
        frame = self.bench.frame
        if frame is None:
            return
        if frame.shape != layers.frame_of(frame.layer).shape:
            self.use_image(frame.layer)
            return
        self._forget_pixels()
        self.say_ready()

    def _forget_pixels(self) -> None:
        """Drop what was made of the pixels there were."""
        self._forget_answer()
        if self.session is not None:
            self.session.clear()
        self.pixels_changed.emit()
