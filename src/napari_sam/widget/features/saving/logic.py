"""Saving, exporting, opening and importing; and the folder of results too large for memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from napari.utils.notifications import show_info
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QMessageBox

from ....formats.annotation import AnnotationFormat
from ....formats.exchange import FORMATS
from ....formats.prompt_files.known import FOREIGN
from ....types import Progress
from ...context import Context
from ...scheduler import Lane, Work
from ..feature import Feature
from .dialog import FolderDialog
from .panel import SavingPanel
from .save_dialog import SaveDialog

SAVED = "all saved"
NOTHING = "nothing to save yet"
PATIENCE_MS = 500
"""Until what is being opened can be stopped by a button."""


class Saving(Feature):
    """The line that says what is unsaved, with its button and menu; asks without holding up.

    It also opens the dialog that a `ResultsFolder` asks for.
    """

    panel: SavingPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.panel = SavingPanel()
        self.keys = {"S": context.saves.save}
        self._title = context.viewer.title
        self._dialog: FolderDialog | None = None
        self._save_dialog: SaveDialog | None = None
        self._confirmed: Path | None = None
        self._patience = QTimer(self.panel)
        self._patience.setSingleShot(True)
        self._patience.timeout.connect(self.panel.stop.show)
        self._connect()

    def start(self) -> None:
        """Say what is unsaved."""
        self._show_state()

    def close(self) -> None:
        """Ask no more, and say once what is in no file."""
        for dialog in (self._dialog, self._save_dialog):
            if dialog is not None:
                dialog.reject()
        unsaved = self.context.saves.unsaved
        if unsaved and self.context.bench.frame is not None:
            name = self.context.bench.frame.layer.name
            show_info(f"{name}: {unsaved} not saved")
        self.context.viewer.title = self._title

    def save_as(self) -> None:
        """Ask for a place and a format."""
        if self.context.bench.frame is None:
            self.context.status.hint("open an image to begin")
            return
        if self._save_dialog is None:
            formats = [one for one in FORMATS if one.write is not None]
            if not formats:
                return
            place = self.context.saves.place or self.context.saves.suggestion(formats[0])
            self._save_dialog = dialog = SaveDialog(formats, place, self.panel.window())
            dialog.picked.connect(self._say_losses)
            dialog.named.connect(self._on_place_named)
            dialog.finished.connect(self._on_save_dialog_finished)
            self._say_losses(formats[0])
        self._save_dialog.open()
        self._save_dialog.raise_()

    def open_project(self) -> None:
        """Ask for a project or labels and go on with them."""
        self.ask_for_file("Open a project or labels", self.context.opening.open)

    def ask_for_file(
        self, title: str, then: Callable[[Path], None], more: Sequence[str] = ()
    ) -> None:
        """Let the user choose what to read; a project is chosen by its project.json.

        Parameters
        ----------
        title : str
        then : callable of Path
        more : sequence of str
            Endings of further files that can be read.
        """
        dialog = QFileDialog(self.panel.window(), title, str(self._folder()), _readable(more))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: then(Path(name)))
        dialog.open()

    def _connect(self) -> None:
        context, panel = self.context, self.panel
        context.folder.asked.connect(self._on_folder_asked)
        context.bench.image_changed.connect(self._on_image_changed)
        context.saves.asked.connect(self.save_as)
        context.saves.changed.connect(self._show_state)
        context.opening.asked.connect(self._ask)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        panel.stop_asked.connect(context.opening.cancel)
        panel.save_asked.connect(context.saves.save)
        panel.save_as_asked.connect(self.save_as)
        panel.open_asked.connect(self.open_project)
        panel.import_asked.connect(
            lambda: self.ask_for_file("Import objects", context.opening.import_objects)
        )
        panel.import_prompts_asked.connect(
            lambda: self.ask_for_file("Import prompts", context.opening.import_prompts, FOREIGN)
        )

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane is not Lane.FILES:
            return
        if busy:
            self._patience.start(PATIENCE_MS)
        else:
            self._patience.stop()
            self.panel.stop.hide()

    def _show_state(self) -> None:
        frame, saves = self.context.bench.frame, self.context.saves
        if frame is None:
            self.panel.set_state("", "")
            self.context.viewer.title = self._title
            return
        unsaved = saves.unsaved
        text = f"* {unsaved} not saved" if unsaved else SAVED if saves.place else NOTHING
        self.panel.set_state(text, str(saves.place or ""))
        name = frame.layer.name
        said = f"* {name}: {unsaved} not saved" if unsaved else f"{name}: {text}"
        self.context.viewer.title = f"{said} - {self._title}"

    def _folder(self) -> Path:
        return self.context.saves.place or self.context.saves.folder

    def _say_losses(self, kind: AnnotationFormat) -> None:
        """Look in the background for what a format cannot hold."""
        annotation = self.context.saves.annotation()
        if annotation is None:
            return

        def steps() -> Generator[Progress, None, Sequence[str]]:
            yield Progress(0, 1, "looking")
            return kind.losses(annotation)

        def done(losses: Sequence[str]) -> None:
            dialog = self._save_dialog
            if dialog is not None and dialog.format is kind:
                dialog.set_losses(losses)

        self.context.scheduler.submit(Work(steps, on_result=done, text="saving"), Lane.FILES)

    def _ask(self, question: str, yes: str, then: Callable[[], None]) -> None:
        """Ask before something is done; the window stays alive meanwhile."""
        box = QMessageBox(self.panel.window())
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setText(question)
        agree = box.addButton(yes, QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.buttonClicked.connect(lambda button: then() if button is agree else None)
        box.open()

    def _on_place_named(self, path: Path) -> None:
        dialog, saves = self._save_dialog, self.context.saves
        if dialog is None:
            return
        path = saves.suggestion(dialog.format).parent / path.expanduser()
        if not path.parent.is_dir():
            dialog.refuse(f"there is no folder {path.parent}; name a place in one that is there")
        elif saves.is_image(path):
            dialog.refuse(f"{path.name} is the image itself; choose another name")
        elif path.exists() and path not in (saves.place, self._confirmed):
            self._confirmed = path
            dialog.refuse(f"{path.name} is there already; press Save again to replace it")
        else:
            dialog.accept()
            saves.save_as(path, dialog.format)

    def _on_save_dialog_finished(self, result: int) -> None:
        self._save_dialog = self._confirmed = None
        if result == SaveDialog.DialogCode.Rejected:
            self.context.saves.decline()

    def _on_image_changed(self) -> None:
        for dialog in (self._dialog, self._save_dialog):
            if dialog is not None:
                dialog.reject()

    def _on_folder_asked(self) -> None:
        if self._dialog is None:
            self._dialog = FolderDialog(self.context.folder.suggestion, self.parent())
            self._dialog.named.connect(self._on_folder_named)
            self._dialog.finished.connect(self._on_dialog_finished)
        self._dialog.open()
        self._dialog.raise_()

    def _on_folder_named(self, path: str) -> None:
        dialog = self._dialog
        if dialog is None:
            return
        try:
            self.context.folder.check(path)
        except ValueError as error:
            dialog.refuse(str(error))
            return
        dialog.accept()
        self.context.folder.use(path)

    def _on_dialog_finished(self, result: int) -> None:
        self._dialog = None
        if result == FolderDialog.DialogCode.Rejected:
            self.context.folder.decline()


def _readable(more: Sequence[str]) -> str:
    """Return the formats that can be read, for a dialog; of a folder, a file in it is chosen."""
    kinds = [one for one in FORMATS if one.read is not None]
    suffixes = [suffix for one in kinds for suffix in one.suffixes]
    every = " ".join(f"*{suffix}" for suffix in (*suffixes, *more))
    return f"Annotations ({every} project.json zarr.json .zattrs);;All files (*)"
