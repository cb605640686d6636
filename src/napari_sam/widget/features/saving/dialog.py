"""Asks for a folder by its name, which may be new."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

QUESTION = (
    "The labels of this stack are too large for memory. Name a folder for them: a new one, an "
    "empty one, or the folder of an earlier session to continue that."
)


class FolderDialog(QDialog):  # type: ignore[misc]
    """A line for the name and a button to look for it; stays open until the name is accepted.

    Qt's own dialog for folders takes none that does not exist.

    Parameters
    ----------
    suggestion : str
        The name that is shown first.
    parent : QWidget

    Signals
    -------
    named : str
        The user has named a folder; `accept`, or `refuse` with the reason.
    """

    named = Signal(str)

    def __init__(self, suggestion: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("A folder for the labels")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question = QLabel(QUESTION)
        question.setWordWrap(True)
        self.name = QLineEdit(suggestion)
        self.name.setMinimumWidth(360)
        self.name.textChanged.connect(self._on_name_changed)
        browse = QPushButton("Browse ...")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        self.problem = QLabel()
        self.problem.setWordWrap(True)
        buttons = QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(buttons)
        self.buttons.accepted.connect(lambda: self.named.emit(self.name.text().strip()))
        self.buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.name)
        row.addWidget(browse)
        layout = QVBoxLayout(self)
        layout.addWidget(question)
        layout.addLayout(row)
        layout.addWidget(self.problem)
        layout.addWidget(self.buttons)

    def refuse(self, reason: str) -> None:
        """Say why the folder cannot be used; the user may name another one."""
        self.problem.setText(reason)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "A folder for the labels", self.name.text())
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.name.setText)
        dialog.open()

    def _on_name_changed(self, text: str) -> None:
        self.problem.clear()
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        ok.setEnabled(bool(text.strip()))
