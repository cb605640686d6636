"""Which model is used: picks, offers to download, loads, goes back where that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from ..models.registry import available, fetching, find_spec, is_path, label, loading
from ..models.specs import BUNDLED, SPECS, ModelSpec
from ..predict.cache import DiskCache
from ..predict.predictor import SamPredictor
from ..predict.session import Session
from ..types import Progress
from .controller import Controller
from .jobs import Job, Jobs
from .model_panel import ModelItem

OPEN_FILE = ""
"""The line of the list that asks for a file."""


class Models(QObject):  # type: ignore[misc]
    """Puts the model that the user picks behind the controller.

    Parameters
    ----------
    controller : Controller
    disk : DiskCache
        Where the sessions keep planes.

    Signals
    -------
    status_changed : str
    listed : no argument
        The list of models, or the one in use, has changed.
    model_changed : (str, str)
        Name and device of the model that has been loaded; empty while it loads.
    offered : object
        The `ModelSpec` that could be downloaded, or None.
    downloading : bool
    """

    status_changed = Signal(str)
    listed = Signal()
    model_changed = Signal(str, str)
    offered = Signal(object)
    downloading = Signal(bool)

    def __init__(self, controller: Controller, disk: DiskCache) -> None:
        super().__init__()
        self.controller = controller
        self.disk = disk
        self.current = BUNDLED
        self.device = "auto"
        self._former = (self.current, self.device)
        self._former_session: Session | None = None
        self._notice = ""
        self._files: list[str] = []
        self._offer: ModelSpec | None = None
        self._jobs = Jobs()
        self._jobs.busy_changed.connect(self.downloading)
        self._jobs.failed.connect(self.status_changed)
        self.loading = Jobs()
        self.loading.failed.connect(self._on_loading_failed)
        controller.pixels_changed.connect(self._on_pixels_changed)
        controller.answer_changed.connect(self._on_answer_changed)

    def items(self) -> list[ModelItem]:
        """Return the lines of the list: known models, files that were opened, another file."""
        known = [_item(spec) for spec in SPECS]
        files = [
            ModelItem(path, label(path), "/".join(Path(path).parts[-2:]), path)
            for path in self._files
        ]
        more = ModelItem(OPEN_FILE, "a file ...", "a file ...", "Load a checkpoint that you have")
        return [*known, *files, more]

    def pick(self, name: str) -> None:
        """Use a model; one that is not on this machine is offered for download first."""
        self._withdraw()
        if is_path(name) or available(find_spec(name)):
            self._use(name)
            return
        self._offer = find_spec(name)
        self.status_changed.emit(f"{name} is not on this machine: download it, or use a file")
        self.offered.emit(self._offer)

    def pick_device(self, device: str) -> None:
        """Run the model elsewhere."""
        self._withdraw()
        self.device = device
        self._use(self.current)

    def open_file(self, path: str) -> None:
        """Use a checkpoint of the user's."""
        self._withdraw()
        if path not in self._files:
            self._files.append(path)
        self._use(path)

    def download(self) -> None:
        """Fetch the model that is offered, then use it."""
        spec, device = self._offer, self.device
        if spec is None or self._jobs.busy:
            return

        def steps() -> Iterator[Any]:
            yield from fetching(spec, device)

        self._jobs.submit(Job(steps, self._on_progress, self._on_downloaded, "the download"))

    def cancel(self) -> None:
        """Stop a download, or turn an offer down; the model in use stays."""
        self._withdraw()
        self.controller.say_ready()

    def close(self) -> None:
        """Stop whatever runs."""
        self._jobs.cancel()
        self.loading.cancel()
        self._former_session = None

    def _use(self, name: str) -> None:
        """Load a model in the background; prompts wait for it."""
        self.current, device = name, self.device
        self.listed.emit()
        if self.controller.session is not None:
            self._former_session = self.controller.session
        self.model_changed.emit("", "")
        self._say_loading(f"loading {label(name)} ...")

        def steps() -> Iterator[Any]:
            yield (yield from loading(name, device))

        self.loading.cancel()
        self.loading.submit(Job(steps, self._on_loading_step, text=f"loading {label(name)}"))

    def _say_loading(self, text: str) -> None:
        self.controller.use_session(None, text)
        self.status_changed.emit(text)

    def _withdraw(self) -> None:
        self._jobs.cancel()
        self._offer = None
        self.offered.emit(None)
        self.listed.emit()

    def _on_progress(self, progress: Progress) -> None:
        self.status_changed.emit(progress.text)

    def _on_downloaded(self) -> None:
        spec = self._offer
        if spec is not None:
            self._withdraw()
            self._use(spec.name)

    def _on_loading_step(self, value: Any) -> None:
        if isinstance(value, Progress):
            self._say_loading(f"{value.text} ...")
            return
        self._former = (self.current, self.device)
        self._notice = value.notice
        self._put_in_use(Session(SamPredictor(value), disk=self.disk))
        if value.notice:
            self.status_changed.emit(value.notice)

    def _put_in_use(self, session: Session) -> None:
        self._former_session = None
        self.controller.use_session(session)
        self.model_changed.emit(session.predictor.model.name, session.predictor.model.device)

    def _on_loading_failed(self, text: str) -> None:
        """Go on with the model that was there before."""
        if self.current in self._files and self.current != self._former[0]:
            self._files.remove(self.current)
        failed = (self.current, self.device)
        self.current, self.device = self._former
        self.listed.emit()
        if self._former_session is not None:
            text = f"{text}; going on with {label(self.current)}"
            self._notice = text
            self._put_in_use(self._former_session)
        elif failed != self._former:  # it was picked while the first one loaded
            self._use(self.current)
            text = f"{text}; loading {label(self.current)} instead ..."
        else:
            self.controller.use_session(None, text)
        self.status_changed.emit(text)

    def _on_pixels_changed(self) -> None:
        """Forget the embeddings that a failed load would bring back."""
        if self._former_session is not None:
            self._former_session.clear()

    def _on_answer_changed(self, rank: int, total: int, score: float, pixels: int) -> None:
        """Say the notice of a load once more: the answer to prompts that were there hid it."""
        if total and self._notice:
            self.status_changed.emit(self._notice)
        self._notice = ""


def _item(spec: ModelSpec) -> ModelItem:
    state = "here" if available(spec) else "to download"
    full = f"{spec.name}   {spec.size_text}   {spec.licence}   {state}"
    return ModelItem(spec.name, spec.name, full, f"{spec.architecture}; {spec.note}")
