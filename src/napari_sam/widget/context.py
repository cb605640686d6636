"""What the features of one dock share: viewer, layers, model, background work and status."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import unwrap
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from ..predict.cache import DiskCache, default_folder
from ..predict.session import Session
from ..preferences import Preferences, disk_cache
from ..types import Plane
from .actions import Keymap
from .history import History, ShownTarget
from .labels_view import LabelsView
from .layers import label_at
from .looked_at import LookedAt
from .opening import Opening
from .proposals import ProposalSource
from .recording import Recording
from .results_folder import ResultsFolder
from .saves import Saves
from .scheduler import Scheduler
from .status import Status
from .work.planes import WorkOnPlanes
from .workbench import Workbench


class Context(QObject):  # type: ignore[misc]
    """All that a feature may need; features do not know each other.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Attributes
    ----------
    preferences : Preferences
        What the user chose, now and in earlier sessions.
    keymap : Keymap
        Which action has which key.
    bench : Workbench
        The image worked on, and our layers beside it.
    work : WorkOnPlanes
        The objects in work on all planes.
    folder : ResultsFolder
        Where results go that are too large for memory.
    saves : Saves
        Where the annotation of each image is saved.
    opening : Opening
        Reads annotations, and images that they name.
    disk : DiskCache
        Where the sessions keep planes.
    session : Session or None
        Answers prompts; None while no model is loaded.
    absence : str
        Why there is no session.
    model : str
        Name or path of the model that answers, or did last; empty before the first.
    history : History
        What can be undone, in all layers of ours.
    recording : Recording
        Keeps all steps in a journal.
    overlap : str
        Which pixels a new object gets where others are: the name of a rule of `objects.overlap`.
    category : str
        The class of the next objects; empty for none.
    selected : callable
        Returns the labels of the objects that are selected in the list.
    proposals : ProposalSource or None
        Whose proposals were shown last; the keys that accept and reject act on it.
    end_tool : callable
        Ends the tool that clicks are for, if it is not a prompt; returns whether there was one.
    looked_at : LookedAt or None
        The object of a review, which keys act on; see `object_meant`.
    answer_rest : callable
        Asks about a plane with prompts that have no answer, if there is one, and calls what it is
        given when that is answered. Returns whether there is one, or prompts cannot be asked about.

    Signals
    -------
    plane_changed : no argument
        Another plane may be shown.
    plane_encoded : no argument
        The plane shown has been encoded in the background, or need not be: it is very large.
    session_changed : no argument
        Another model answers from now on, or none for a while.
    work_changed : no argument
        The objects in work, or their answers, may be others.
    propagated : no argument
        Propagation found something in the plane shown, or took it back.
    followed : no argument
        All planes that were asked for have been followed; nothing was cancelled.
    settings_changed : no argument
        The same model answers otherwise: what is shown is out of date.
    pixels_changed : no argument
        The image is another one, or holds other pixels.
    saved : int
        All steps up to this number are in files.
    reopen_asked : int, LabelsView
        The user wants to work again on the object of a label, in this layer.
    model_asked : str
        The model of this name or path is to be used.
    search_began : object
        What looks for proposals in `Lane.SIMILAR` from now on; whatever else did so ends.
    """

    plane_changed = Signal()
    plane_encoded = Signal()
    session_changed = Signal()
    work_changed = Signal()
    propagated = Signal()
    followed = Signal()
    settings_changed = Signal()
    pixels_changed = Signal()
    saved = Signal(int)
    reopen_asked = Signal(int, object)
    model_asked = Signal(str)
    search_began = Signal(object)

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer = unwrap(viewer)  # napari passes a proxy to docks of plugins
        self.scheduler = Scheduler()
        self.status = Status()
        self.preferences = Preferences()
        self.keymap = Keymap(self.preferences)
        self.history = History()
        self.history.on_failed = self.status.error
        self.recording = Recording(self.history, self.scheduler, self.status)
        self.saved.connect(self.recording.saved)
        self.bench = Workbench(viewer, self.history, self.status)
        self.work = WorkOnPlanes(self.bench)
        self.folder = ResultsFolder(self.bench, self.scheduler, self.status)
        self.saves = Saves(self.bench, self.history, self.scheduler, self.status)
        self.saves.saved.connect(self.saved)
        self.opening = Opening(self)
        try:
            self.disk = disk_cache(self.preferences.chosen)
        except ValueError as error:  # of the user's environment; no reason not to open
            self.disk = DiskCache(default_folder())
            self.status.error(str(error))
        self.session: Session | None = None
        self.absence = ""
        self.model = ""
        self.overlap = self.preferences.chosen.overlap
        self.category = ""
        self.selected: Callable[[], Sequence[int]] = lambda: ()
        self.proposals: ProposalSource | None = None
        self.end_tool: Callable[[], bool] = lambda: False
        self.looked_at: LookedAt | None = None
        self.answer_rest: Callable[[Callable[[], None]], bool] = lambda then: False
        self.scheduler.failed.connect(self.status.error)
        self.bench.pixels_changed.connect(self._on_bench_pixels_changed)
        self.bench.view_changed.connect(self.plane_changed)
        dims = viewer.dims.events
        self._turned = (dims.order, dims.ndisplay, dims.units)
        self._sliced = (dims.current_step, dims.margin_left, dims.margin_right)
        for emitter in self._turned:
            emitter.connect(self._on_dims_turned)
        for emitter in self._sliced:
            emitter.connect(self._on_dims_sliced)

    @property
    def prompt_log(self) -> ShownTarget | None:
        """What changes of prompts of the image are written to; None if there is no image."""
        return self.bench.image_prompts

    def use_session(self, session: Session | None, absence: str = "") -> None:
        """Answer with another model from now on.

        Parameters
        ----------
        session : Session or None
        absence : str
            Why there is none, for the status line.
        """
        self.session, self.absence = session, absence
        self.session_changed.emit()

    def shown(self) -> Plane | None:
        """Return the plane shown now; None if there is none."""
        try:
            return self.bench.plane()
        except ValueError:
            return None

    def hindrance(self) -> str:
        """Return why no plane is shown, in one sentence; empty if one is."""
        try:
            self.bench.plane()
        except ValueError as error:
            return str(error)
        return ""

    @property
    def listed(self) -> LabelsView | None:
        """The layer whose objects the list shows: the active one, or else that of commits."""
        active = self.viewer.layers.selection.active
        chosen = next((one for one in self.bench.views if one.layer is active), None)
        return chosen or self.bench.results

    def object_meant(self, *views: LabelsView | None) -> tuple[LabelsView | None, int]:
        """Return the object that a key acts on: that under the pointer, or that of a review.

        That of a review is meant until the pointer is moved onto another object.

        Parameters
        ----------
        *views : LabelsView or None
            Which are searched under the pointer, in this order.

        Returns
        -------
        (LabelsView, label), or (None, 0) where there is none
        """
        looked, points = self.looked_at, self.bench.prompts.points
        resting = looked is not None and looked.resting
        pointer = self.viewer.cursor.position
        if not resting and points is not None and self.viewer.mouse_over_canvas and self.shown():
            for view in dict.fromkeys(views):
                label = 0 if view is None else label_at(view.layer, points, pointer)
                if view is not None and label:
                    return view, label
        if looked is None or looked.view not in self.bench.views:
            return None, 0
        return looked.view, looked.label

    def close(self) -> None:
        """Disconnect from the viewer."""
        self.scheduler.close()
        self.history.stop()
        for emitter in self._turned:
            emitter.disconnect(self._on_dims_turned)
        for emitter in self._sliced:
            emitter.disconnect(self._on_dims_sliced)
        self.saves.close()
        self.bench.close()
        self.recording.close()
        self.session = None

    def _on_dims_turned(self, event: Any = None) -> None:
        self.bench.follow_view()
        self._on_dims_sliced()

    def _on_dims_sliced(self, event: Any = None) -> None:
        self.status.acted()
        self.plane_changed.emit()

    def _on_bench_pixels_changed(self) -> None:
        if self.session is not None:
            self.session.clear()
        self.pixels_changed.emit()
        self.plane_changed.emit()
