"""Asks the user for the folder of results that are too large for memory."""

from __future__ import annotations

from ...context import Context
from ..feature import Feature
from .dialog import FolderDialog


class Saving(Feature):
    """Opens the dialog that a `ResultsFolder` asks for, without holding up the window."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._dialog: FolderDialog | None = None
        context.folder.asked.connect(self._on_folder_asked)
        context.bench.image_changed.connect(self.close)

    def close(self) -> None:
        """Ask no more."""
        if self._dialog is not None:
            self._dialog.reject()

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
