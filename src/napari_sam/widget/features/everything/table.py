"""Asks where the table of parents of a time series goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QWidget

NAME = "res_track.txt"
"""What the Cell Tracking Challenge calls it."""


def ask_for_table(parent: QWidget, folder: Path, named: Callable[[Path], None]) -> None:
    """Open a dialog and call `named` with the place that the user chooses."""
    dialog = QFileDialog(parent, "Save the table of parents")
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setNameFilter("Tables (*.txt)")
    dialog.setDefaultSuffix("txt")
    dialog.setDirectory(str(folder))
    dialog.selectFile(NAME)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.fileSelected.connect(lambda name: named(Path(name)))
    dialog.open()
