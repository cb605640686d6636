"""Saving: where the annotation of each image goes, and whether all of it is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Image
from qtpy.QtCore import QObject, QTimer, Signal

from ..files import same_file
from ..formats.annotation import Annotation, AnnotationFormat, Geometry
from ..formats.exchange import FORMATS, format_of
from ..formats.image_reference import reference_to
from ..formats.snapshot import writer_of
from ..images.scan import METADATA as SCAN
from ..images.scan import Scan
from ..types import Progress
from .frame import Frame
from .history import History
from .labels_view import LabelsView
from .live_save import LiveSave
from .results_folder import safe_name
from .scheduler import Scheduler
from .status import Status
from .unsaved import State, counted, unsaved_text
from .workbench import Workbench

SAVING = "saving"
"""The source of progress in the status line."""
LOOK_MS = 500
"""Between two looks at what is unsaved."""
Then = Callable[[], None]


@dataclass(frozen=True, eq=False)
class Job:
    """One annotation on its way to a file.

    Attributes
    ----------
    frame : Frame
    view : LabelsView
    path : Path
    format : AnnotationFormat
    then : callable
        Called when it is written.
    keeps : bool
        Whether the next save goes there, too; an export does not count as saved.
    """

    frame: Frame
    view: LabelsView
    path: Path
    format: AnnotationFormat
    then: Then
    keeps: bool


class Saves(QObject):  # type: ignore[misc]
    """Writes annotations in the background and knows what is not written yet.

    Parameters
    ----------
    bench : Workbench
    history : History
    scheduler : Scheduler
    status : Status

    Attributes
    ----------
    image_paths : mapping of Image to Path
        Files of images that napari did not open itself.
    awaited : callable
        Returns whether objects that the user has accepted are still to be written into the labels;
        a save waits for them.
    proposed : callable
        Returns whether the layer of everything mode holds what is nowhere else.

    Signals
    -------
    asked : no argument
        The image has no place yet; `save_as` takes the answer.
    changed : no argument
        Something else is unsaved, or the place is another one.
    saved : int
        All steps up to this number are in files; not emitted while labels or prompts of other
        images, or labels of everything mode, are in none.
    """

    asked = Signal()
    changed = Signal()
    saved = Signal(int)

    def __init__(
        self, bench: Workbench, history: History, scheduler: Scheduler, status: Status
    ) -> None:
        super().__init__()
        self.bench, self.history = bench, history
        self.scheduler, self.status = scheduler, status
        self.image_paths: WeakKeyDictionary[Image, Path] = WeakKeyDictionary()
        self.awaited: Callable[[], bool] = lambda: False
        self.proposed: Callable[[], bool] = lambda: True
        self._places: WeakKeyDictionary[Image, Path] = WeakKeyDictionary()
        self._states: WeakKeyDictionary[Image, State] = WeakKeyDictionary()
        self._saved_steps: WeakKeyDictionary[LabelsView, int] = WeakKeyDictionary()
        self._then: Then = _nothing
        self._saving = False
        self._text = ""
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        self._timer.start(LOOK_MS)
        bench.image_changed.connect(self._look)

    @property
    def place(self) -> Path | None:
        """Where the annotation of the image goes; None if nobody has said yet."""
        frame = self.bench.frame
        return None if frame is None else self._places.get(frame.layer)

    @property
    def unsaved(self) -> str:
        """What of the image's annotation is in no file: "3 objects, 2 prompts"; or empty."""
        frame, view = self.bench.frame, self.bench.results
        if frame is None:
            return ""
        return unsaved_text(self._states.get(frame.layer, State()), self._state(view))

    @property
    def busy(self) -> bool:
        """Whether something is being saved."""
        return self._saving

    def image_path(self, image: Image) -> Path | None:
        """Return the file of an image; None if it came from none."""
        path = self.image_paths.get(image, image.source.path)
        return None if path is None else Path(path).absolute()

    def is_image(self, path: Path) -> bool:
        """Tell whether a place is the file of the image, which is never written to."""
        frame = self.bench.frame
        source = None if frame is None else self.image_path(frame.layer)
        return source is not None and same_file(path, source)

    @property
    def folder(self) -> Path:
        """Where files of the image are looked for: beside it, or in the home folder."""
        frame = self.bench.frame
        path = None if frame is None else self.image_path(frame.layer)
        return Path.home() if path is None else path.parent

    def suggestion(self, kind: AnnotationFormat) -> Path:
        """Return a place for the image's annotation: beside its file, or in the home folder."""
        frame = self.bench.frame
        path = None if frame is None else self.image_path(frame.layer)
        layer_name = "annotation" if frame is None else frame.layer.name
        name = safe_name(layer_name if path is None else path.stem)
        return self.folder / f"{name}{kind.suffixes[0]}"

    def save(self, then: Then | None = None) -> None:
        """Save the annotation of the image where it goes; asks where if that is unknown.

        Parameters
        ----------
        then : callable, optional
            Called when it is written.
        """
        self.status.acted()
        if self.bench.frame is None:
            self.status.hint("open an image to begin")
            return
        place = self.place
        if place is None:
            self._then = then or _nothing
            self.asked.emit()
            return
        self._begin(place, then or _nothing, keeps=True)

    def save_as(self, path: Path, kind: AnnotationFormat | None = None) -> None:
        """Save to the place that the user named, and there again from now on.

        A format that cannot be read, such as a table, is an export: what is unsaved stays so.
        """
        kind = kind or format_of(path)
        keeps = kind is not None and kind is FORMATS[0]
        then, self._then = self._then, _nothing
        self._begin(path, then, keeps)

    def decline(self) -> None:
        """Note that the user named no place."""
        self._then = _nothing
        self.status.hint("nothing was saved; everything stays as it is")

    def adopt(self, image: Image, place: Path) -> None:
        """Note that all of an image's annotation was just read from a place.

        Saves go there only if it is a project: no other format holds all that is to come.
        """
        if format_of(place) is FORMATS[0]:
            self._places[image] = place
            self._states[image] = self._state(self.bench.results)
        self._look()

    def use_place(self, image: Image, place: Path) -> None:
        """Save the annotation of an image to a place, which need not exist yet."""
        self._places[image] = place

    def annotation(self) -> Annotation | None:
        """Return the annotation of the image as it is now; None if there is no image.

        Its labels are the array itself, which goes on changing.
        """
        frame, view = self.bench.frame, self.bench.results
        if frame is None or view is None:
            return None
        return Annotation(
            view.layer.data,
            dict(view.store.objects),
            geometry_of(frame),
            dict(view.store.properties),
            frame.layer.name,
            self.bench.prompts.drawing(),
        )

    def close(self) -> None:
        """Look no more."""
        self._timer.stop()

    # -- one job --------------------------------------------------------------------------------

    def _begin(self, path: Path, then: Then, keeps: bool) -> None:
        frame, view, kind = self.bench.frame, self.bench.results, format_of(path)
        if frame is None or view is None:
            self.status.error("there is nothing to save yet: no object was kept")
            return
        if kind is None or kind.write is None:
            endings = ", ".join(one.suffixes[0] for one in FORMATS if one.write is not None)
            self.status.error(f"{path.name} has none of these endings: {endings}; name another one")
            return
        if self.is_image(path):
            self.status.error(f"{path.name} is the image itself; choose another name")
            return
        if self.busy:
            self.status.hint("the last save is still being written; press again when it has ended")
            return
        self._run(Job(frame, view, path, kind, then, keeps))

    def _run(self, job: Job) -> None:
        annotation = self.annotation()
        if annotation is None:
            return
        begun, state = time.perf_counter(), State()

        def moment() -> Callable[[], Annotation] | None:
            nonlocal annotation, state
            frame = self.bench.frame
            if frame is None or frame.layer is not job.frame.layer:
                return None
            now = self.annotation() if self.bench.results is job.view else None
            if now is None:
                return None
            annotation, state = now, self._state(job.view)
            image, path = image_array(job.frame), self.image_path(job.frame.layer)
            return partial(with_reference, now, image, path, job.path)

        def done(written: bool) -> None:
            if not written:
                self._end(
                    "another image or layer was chosen before all was saved; go back and save it"
                )
                return
            self._saving = False
            self.status.progress(SAVING)
            text = f"saved {counted(len(annotation.objects), 'object')} to {job.path}"
            self.status.hint(f"{text} ({time.perf_counter() - begun:.1f} s){self._left_out(job)}")
            if job.keeps:
                self._places[job.frame.layer] = job.path
                self._states[job.frame.layer] = state
                self._saved_steps[job.view] = state.step
                if self._others_saved():
                    self.saved.emit(state.step)
            self._look()
            job.then()

        def told(step: Progress) -> None:
            text = f"saving {job.path.name} ..."
            self.status.progress(SAVING, text, step.done, step.total if step.total > 1 else 0)

        self._saving = True
        self.status.progress(SAVING, f"saving {job.path.name} ...")
        begin = partial(writer_of, job.format, annotation, job.path)
        busy = self._awaits
        LiveSave(job.view, busy, self.scheduler, begin, moment, done, self._end, told)

    def _awaits(self) -> bool:
        return self.history.walking or self.awaited()

    def _left_out(self, job: Job) -> str:
        """Say that labels of everything mode are in no file, if there are any."""
        found = self.bench.everything
        newest = None if found is None or found is job.view else self._unsaved_step(found)
        if newest is None:
            return ""
        return "; the labels of everything mode are not in it: accept them first"

    def _end(self, text: str) -> None:
        self._saving = False
        self.status.progress(SAVING)
        self.status.error(text)

    def _state(self, view: LabelsView | None) -> State:
        if view is None:
            return State(prompts=self.bench.prompts.drawing())
        store = view.store
        return State(
            self.history.number,
            dict(store.objects),
            dict(store.properties),
            self.bench.prompts.drawing(),
        )

    def _others_saved(self) -> bool:
        """Whether the newest step of all other labels, and prompts, is in a file, too."""
        others = (view for view in self.bench.views if view is not self.bench.results)
        if any(self._unsaved_step(view) is not None for view in others):
            return False
        for one in self.bench.prompts_elsewhere():
            newest = self.history.steps.newest_of(one)
            saved = self._states.get(one.frame.layer, State()).step
            if newest is not None and newest.number > saved:
                return False
        return True

    def _unsaved_step(self, view: LabelsView) -> int | None:
        """Return the number of the newest step of a layer; None if it is in a file.

        Nothing has to be in a file of a layer whose proposals were all accepted or rejected.
        """
        if view is self.bench.everything and not self.proposed():
            return None
        newest = self.history.steps.newest_of(view)
        if newest is None or newest.number <= self._saved_steps.get(view, 0):
            return None
        return newest.number

    def _look(self) -> None:
        frame = self.bench.frame
        text = f"{id(frame and frame.layer)} {self.place} {self.unsaved}"
        if text != self._text:
            self._text = text
            self.changed.emit()


def with_reference(
    annotation: Annotation, image: Any, image_path: Path | None, path: Path
) -> Annotation:
    """Return an annotation that goes to a path with a reference to its image."""
    shape = annotation.labels.shape
    reference = reference_to(image, shape, image_path, path.absolute().parent)
    return replace(annotation, image=reference)


def geometry_of(frame: Frame) -> Geometry:
    """Return where the labels of an image lie."""
    transform = frame.transform
    units = tuple(str(unit) for unit in transform["units"])
    scan = frame.layer.metadata.get(SCAN)
    return Geometry(
        tuple(str(name) for name in frame.layer.axis_labels),
        tuple(float(size) for size in transform["scale"]),
        units,
        tuple(float(place) for place in transform["translate"]),
        scan if isinstance(scan, Scan) else None,
    )


def image_array(frame: Frame) -> Any:
    """Return the array of an image at the level that is worked on."""
    return frame.pixels


def _nothing() -> None:
    """Do nothing after saving."""
