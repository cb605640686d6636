"""Asks where an annotation goes and in which format, and says what that cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ....formats.annotation import AnnotationFormat
from ...controls import Chooser


class SaveDialog(QDialog):  # type: ignore[misc]
    """A format, a place, and a sentence on what the format cannot hold.

    Parameters
    ----------
    formats : sequence of AnnotationFormat
        Those that can be written, the suggested one first.
    place : Path
        The place that is shown first; its ending follows the format.
    parent : QWidget

    Signals
    -------
    picked : AnnotationFormat
        Another format is shown: `set_losses`.
    named : Path
        The user has named a place; `accept`, or `refuse` with the reason.
    """

    picked = Signal(object)
    named = Signal(object)

    def __init__(self, formats: Sequence[AnnotationFormat], place: Path, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Save the annotation")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.format = formats[0]
        self.formats = Chooser("What the file is for", letters=24)
        self.formats.set_things([one.title for one in formats], formats, self.format)
        self.formats.picked.connect(self._on_format_picked)
        self.name = QLineEdit(str(place))
        self.name.setMinimumWidth(420)
        self.name.textChanged.connect(self._on_name_changed)
        browse = QPushButton("Browse ...")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        self.note = QLabel()
        self.note.setWordWrap(True)
        kinds = QDialogButtonBox.StandardButton.Save | QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(kinds)
        self.buttons.accepted.connect(self._on_buttons_accepted)
        self.buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.name)
        row.addWidget(browse)
        form = QFormLayout()
        form.addRow("Format", self.formats)
        form.addRow("Place", row)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.note)
        layout.addWidget(self.buttons)

    def set_losses(self, losses: Sequence[str]) -> None:
        """Say what the format cannot hold."""
        self.note.setText(losses_text(self.format.title, losses))

    def refuse(self, reason: str) -> None:
        """Say why the place cannot be used; the user may name another one."""
        self.note.setText(reason)

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Save the annotation", self.name.text())
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.name.setText)
        dialog.open()

    def _on_format_picked(self, kind: AnnotationFormat) -> None:
        before, self.format = self.format, kind
        path = Path(self.name.text().strip())
        ending = next((one for one in before.suffixes if path.name.lower().endswith(one)), "")
        stem = path.name.removesuffix(path.name[len(path.name) - len(ending) :]) or "annotation"
        self.name.setText(str(path.with_name(f"{stem}{kind.suffixes[0]}")))
        self.picked.emit(kind)

    def _on_buttons_accepted(self) -> None:
        path = Path(self.name.text().strip())
        if not path.name.lower().endswith(self.format.suffixes):
            path = path.with_name(f"{path.name}{self.format.suffixes[0]}")
        self.named.emit(path)

    def _on_name_changed(self, text: str) -> None:
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Save)
        ok.setEnabled(bool(Path(text.strip()).name))


def losses_text(title: str, losses: Sequence[str]) -> str:
    """Return what a format cannot hold, in a sentence."""
    if not losses:
        return f"{title} holds all of it."
    *most, last = losses
    clauses = f"{', '.join(most)} and {last}" if most else last
    return f"{title} cannot hold {clauses}; save a project as well to keep them."
