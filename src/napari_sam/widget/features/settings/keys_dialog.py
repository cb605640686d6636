"""All keys in a table, to be changed; what else has the same key is said at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...actions import Action, key_of, key_text, sequence_of, shared_keys
from .napari_keys import napari_keys

HEADINGS = ("What it does", "Key", "Default")
TITLE, KEY, DEFAULT = range(len(HEADINGS))
SIZE = (660, 560)
HELP = (
    "Click a key and press another one; the cross in its field leaves the action without a key. "
    "A button under Default brings back the key that the action had at first."
)


class KeyEdit(QKeySequenceEdit):  # type: ignore[misc]
    """Takes one key, with Ctrl, Shift and the like.

    Signals
    -------
    picked : str
        The name of the key.
    refused : str
        Why it cannot be used, in a sentence.
    """

    picked = Signal(str)
    refused = Signal(str)

    def __init__(self, key: str) -> None:
        super().__init__()
        self._key = key
        self.setClearButtonEnabled(True)
        self.setMaximumSequenceLength(1)
        self.show_key(key)
        self.keySequenceChanged.connect(self._on_sequence_changed)

    def show_key(self, key: str) -> None:
        """Show another key, without a signal."""
        self._key = key
        self.blockSignals(True)
        self.setKeySequence(sequence_of(key))
        self.blockSignals(False)

    def _on_sequence_changed(self, sequence: QKeySequence) -> None:
        try:
            key = key_of(sequence)
        except ValueError as error:
            self.refused.emit(str(error))
            QTimer.singleShot(0, lambda: self.show_key(self._key))
            return
        self._key = key
        self.picked.emit(key)


class KeysDialog(QDialog):  # type: ignore[misc]
    """The table of all keys.

    Parameters
    ----------
    actions : sequence of Action
    keys : mapping of str to str
        The keys in use, by the ids of actions.
    parent : QWidget

    Attributes
    ----------
    keys : dict of str to str
        As they are shown.
    """

    def __init__(self, actions: Sequence[Action], keys: Mapping[str, str], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        self._actions = list(actions)
        self.keys = dict(keys)
        self._napari = napari_keys()
        self.edits: list[KeyEdit] = []
        self.defaults: list[QPushButton] = []
        self.table = self._make_table()
        self.notes = QLabel()
        self.notes.setWordWrap(True)
        help_text = QLabel(HELP)
        help_text.setWordWrap(True)
        box = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(box.Ok | box.Cancel | box.RestoreDefaults)
        self.restore = self.buttons.button(box.RestoreDefaults)
        self.restore.setText("Reset all")
        self.restore.clicked.connect(self.reset)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        for button in self.buttons.buttons():
            button.setAutoDefault(False)  # Enter is a key like others here
        layout = QVBoxLayout(self)
        for widget in (help_text, self.table, self.notes, self.buttons):
            layout.addWidget(widget)
        self.resize(*SIZE)
        self._say()

    def reset(self) -> None:
        """Show the default keys of all actions."""
        for row, action in enumerate(self._actions):
            self.edits[row].show_key(action.default)
            self.keys[action.id] = action.default
        self._say()

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(len(self._actions), len(HEADINGS))
        table.setHorizontalHeaderLabels(HEADINGS)
        table.verticalHeader().hide()
        table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        for row, action in enumerate(self._actions):
            title = QTableWidgetItem(action.title)
            title.setToolTip(action.title)
            table.setItem(row, TITLE, title)
            edit, default = KeyEdit(self.keys[action.id]), QPushButton(key_text(action.default))
            edit.picked.connect(lambda key, row=row: self._on_key_picked(row, key))
            edit.refused.connect(self._say)
            default.setAutoDefault(False)
            default.setToolTip("Give the action this key again")
            default.clicked.connect(lambda _, row=row: self._on_default_clicked(row))
            table.setCellWidget(row, KEY, edit)
            table.setCellWidget(row, DEFAULT, default)
            self.edits.append(edit)
            self.defaults.append(default)
        header = table.horizontalHeader()
        header.setSectionResizeMode(TITLE, QHeaderView.ResizeMode.Stretch)
        header.resizeSection(KEY, 150)
        header.resizeSection(DEFAULT, 110)
        table.resizeRowsToContents()
        return table

    def _on_key_picked(self, row: int, key: str) -> None:
        self.keys[self._actions[row].id] = key
        self._say()

    def _on_default_clicked(self, row: int) -> None:
        action = self._actions[row]
        self.edits[row].show_key(action.default)
        self._on_key_picked(row, action.default)

    def _say(self, refused: str = "") -> None:
        """Say which keys do several things, and which of the changed ones napari uses."""
        shared = shared_keys(self._actions, self.keys)
        lines = [refused] if refused else []
        for key, titles in shared.items():
            lines.append(f"{key_text(key)} would do several things: {'; '.join(titles)}.")
        for action in self._actions:
            key = self.keys[action.id]
            if key != action.default and key in self._napari:
                lines.append(
                    f"{key_text(key)} is napari's key for “{self._napari[key]}”, which it does "
                    "not do while this dock is open."
                )
        for row, action in enumerate(self._actions):
            font = self.table.item(row, TITLE).font()
            font.setBold(self.keys[action.id] in shared)
            self.table.item(row, TITLE).setFont(font)
            self.defaults[row].setEnabled(self.keys[action.id] != action.default)
        self.notes.setText("\n".join(lines))
        self.buttons.button(QDialogButtonBox.StandardButton.Ok).setEnabled(not shared)
