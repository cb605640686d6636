"""The choice of a model: download on request, loading, and return to the last one on failure."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal

from ....models.contract import PromptableModel
from ....models.registry import (
    available,
    devices_of,
    fetching,
    file_of,
    find_spec,
    is_path,
    label,
    loading,
    needs_torch,
    state_text,
)
from ....models.specs import BUNDLED, SPECS, ModelSpec
from ....predict.predictor import SamPredictor
from ....predict.session import Session
from ....types import Progress
from ...context import Context
from ...scheduler import Lane, Work
from .model_panel import ModelItem

OPEN_FILE = ""
"""The line of the list that asks for a file."""


class ModelLoader(QObject):  # type: ignore[misc]
    """Puts the model that the user picks in use.

    Parameters
    ----------
    context : Context

    Signals
    -------
    listed : no argument
        The list of models, or the one in use, has changed.
    offered : object
        The `ModelSpec` that could be downloaded, or None.
    downloading : bool
    """

    listed = Signal()
    offered = Signal(object)
    downloading = Signal(bool)

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.status = context.status
        chosen = context.preferences.chosen
        self.current = chosen.model if _is_here(chosen.model) else BUNDLED
        self.device = chosen.device
        self._former = (BUNDLED, "auto")
        self._wanted = (chosen.model or BUNDLED, self.device)  # as the user picked it
        self._former_session: Session | None = None
        self._files = [self.current] if is_path(self.current) else []
        self._offer: ModelSpec | None = None
        context.pixels_changed.connect(self._on_pixels_changed)
        context.bench.image_changed.connect(self._on_pixels_changed)

    def items(self) -> list[ModelItem]:
        """Return the lines of the list: known models, files that were opened, another file."""
        known = [_item(spec) for spec in SPECS]
        files = [
            ModelItem(path, label(path), "/".join(Path(path).parts[-2:]), path)
            for path in self._files
        ]
        more = ModelItem(OPEN_FILE, "a file ...", "a file ...", "Load a checkpoint that you have")
        return [*known, *files, more]

    def begin(self) -> None:
        """Load the model of the last session, or the bundled one where that is gone."""
        if self.current != self._wanted[0]:
            lost = label(self._wanted[0])
            self.status.error(
                f"{lost} of the last session is not on this machine any more; "
                f"{label(self.current)} is used"
            )
        self._use(self.current)

    def pick(self, name: str) -> None:
        """Use a model; one that could run here but is not here is offered for download first."""
        self._withdraw()
        if is_path(name) or needs_torch(find_spec(name)) or available(find_spec(name)):
            self._use_as_wanted(name)
            return
        self._offer = find_spec(name)
        self.status.hint(f"{name} is not on this machine: download it, or use a file")
        self.offered.emit(self._offer)

    @property
    def devices(self) -> tuple[str, ...]:
        """What the model in use may run on."""
        return devices_of(self.current)

    @property
    def device_in_use(self) -> str:
        """The device that was picked, or "auto" where the model in use cannot run on it."""
        return self._device_for(self.current)

    def pick_device(self, device: str) -> None:
        """Run the model elsewhere."""
        self._withdraw()
        self.device = device
        self._use_as_wanted(self.current)

    def open_file(self, path: str) -> None:
        """Use a checkpoint of the user's."""
        self._withdraw()
        if path not in self._files:
            self._files.append(path)
        self._use_as_wanted(path)

    def use(self, name: str) -> None:
        """Use a model by its name, or a checkpoint."""
        (self.open_file if is_path(name) else self.pick)(name)

    def download(self) -> None:
        """Fetch the model that is offered, then use it."""
        spec = self._offer
        if spec is None or self._is_busy:
            return
        device = self._device_for(spec.name)
        work = Work(
            lambda: fetching(spec, device),
            on_step=lambda progress: self._say(progress.text),
            on_result=lambda _: self._on_downloaded(spec),
            on_error=self._on_download_failed,
            text="the download",
        )
        self.downloading.emit(True)
        self.context.scheduler.submit(work, Lane.MODEL)

    def cancel(self) -> None:
        """Stop a download, or turn an offer down; the model in use stays."""
        self._withdraw()
        self.status.hint(f"{label(self.current)} stays in use")

    def close(self) -> None:
        """Forget what could be gone back to."""
        self._former_session = None

    def _device_for(self, name: str) -> str:
        return self.device if self.device.partition(":")[0] in devices_of(name) else "auto"

    @property
    def _is_busy(self) -> bool:
        return self.context.scheduler.is_busy(Lane.MODEL)

    def _use_as_wanted(self, name: str) -> None:
        """Load the model that the user picked; once it is in use, later sessions begin with it."""
        self._wanted = (name, self.device)
        self._use(name)

    def _use(self, name: str) -> None:
        """Load a model in the background; prompts wait for it."""
        self.current = name
        device = self.device_in_use
        self.listed.emit()
        if self.context.session is not None:
            self._former_session = self.context.session
        text = f"loading {label(name)} ..."
        self.context.use_session(None, text)
        self._say(text)
        work = Work(
            lambda: loading(name, device),
            on_step=self._on_loading_step,
            on_result=self._on_loaded,
            on_error=self._on_loading_failed,
            text=f"loading {label(name)}",
        )
        self.context.scheduler.cancel(Lane.MODEL)
        self.context.scheduler.submit(work, Lane.MODEL)

    def _say(self, text: str = "") -> None:
        self.status.progress("model", text)

    def _withdraw(self) -> None:
        self.context.status.acted()
        if self._offer is not None:
            self.context.scheduler.cancel(Lane.MODEL)
            self._say()
            self.downloading.emit(False)
        self._offer = None
        self.offered.emit(None)
        self.listed.emit()

    def _on_downloaded(self, spec: ModelSpec) -> None:
        self._withdraw()
        self._use_as_wanted(spec.name)

    def _on_download_failed(self, text: str) -> None:
        self._say()
        self.downloading.emit(False)
        self.status.error(text)

    def _on_loading_step(self, progress: Progress) -> None:
        self.context.absence = f"{progress.text} ..."
        self._say(self.context.absence)

    def _on_loaded(self, model: PromptableModel) -> None:
        self._say()
        self._former = (self.current, self.device)
        if self._former == self._wanted:
            self.context.preferences.set(model=_kept_name(self.current), device=self.device)
        self._put_in_use(Session(SamPredictor(model), disk=self.context.disk))
        if model.notice:
            self.status.error(model.notice)

    def _put_in_use(self, session: Session) -> None:
        self._former_session = None
        self.context.model = self.current
        self.context.use_session(session)

    def _on_loading_failed(self, text: str) -> None:
        """Continue with the model used before."""
        self._say()
        if self.current in self._files and self.current != self._former[0]:
            self._files.remove(self.current)
        failed = (self.current, self.device)
        self.current, self.device = self._former
        self.listed.emit()
        if self._former_session is not None:
            self._put_in_use(self._former_session)
            text = f"{text}; {label(self.current)} stays in use"
        elif failed != self._former:  # it was picked while the first one loaded
            self._use(self.current)
            text = f"{text}; loading {label(self.current)} instead ..."
        else:
            self.context.use_session(None, text)
        self.status.error(text)

    def _on_pixels_changed(self) -> None:
        """Forget the embeddings that a failed load would bring back."""
        if self._former_session is not None:
            self._former_session.clear()


def _is_here(name: str) -> bool:
    """Tell whether a model that was used in an earlier session can be loaded without a download."""
    if is_path(name):
        return file_of(name).is_file()
    return any(spec.name == name and available(spec) for spec in SPECS)


def _kept_name(name: str) -> str:
    """Return the name under which later sessions find a model; empty for the bundled one."""
    return "" if name == BUNDLED else str(Path(name).resolve()) if is_path(name) else name


def _item(spec: ModelSpec) -> ModelItem:
    full = f"{spec.name}   {spec.size_text}   {spec.licence}   {state_text(spec)}"
    return ModelItem(spec.name, spec.name, full, f"{spec.architecture}; {spec.note}")
