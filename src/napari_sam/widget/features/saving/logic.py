"""Asks the user for the folder of results that are too large for memory."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from ...context import Context
from ..feature import Feature


class Saving(Feature):
    """Opens the dialog that a `ResultsFolder` asks for, without holding up the window."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        context.folder.asked.connect(self._on_folder_asked)

    def _on_folder_asked(self) -> None:
        folder = self.context.folder
        dialog = QFileDialog(self.parent(), "A folder for the labels of this stack")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(folder.use)
        dialog.rejected.connect(folder.decline)
        dialog.open()
