"""The classes of objects: added, renamed, removed, with a colour and a key each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ....objects.classes import ObjectClass

HEADINGS = ("", "Class", "Key")
COLOUR, NAME, KEY = range(len(HEADINGS))
KEYS = tuple(f"Control-{n}" for n in range(1, 10))
"""Keys that classes may have: free in napari, and the same on every keyboard."""
NO_CLASS_KEY = "Control-0"
HEIGHT = 110


class ClassList(QWidget):  # type: ignore[misc]
    """A table of classes; a click on a colour chooses another one, names and keys are typed.

    Signals
    -------
    add_asked, remove_asked : str
    rename_asked : str, str
        The old and the new name; a name that exists merges both classes.
    change_asked : ObjectClass
        Another colour or key for the class of that name.
    """

    add_asked = Signal(str)
    remove_asked = Signal(str)
    rename_asked = Signal(str, str)
    change_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._classes: tuple[ObjectClass, ...] = ()
        self.table = QTableWidget(0, len(HEADINGS))
        self.table.setHorizontalHeaderLabels(HEADINGS)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(self.table.fontMetrics().height() + 6)
        self.table.setColumnWidth(COLOUR, 26)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(HEIGHT)
        self.table.setToolTip(
            "Double click a name to change it (an existing name merges both classes), a key (a "
            "digit from 1 to 9, pressed with Ctrl), or a colour"
        )
        self.name = QLineEdit()
        self.name.setPlaceholderText("new class")
        self.add = QPushButton("Add")
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Remove the selected class; its objects stay")
        row = QHBoxLayout()
        for control in (self.name, self.add, self.remove):
            row.addWidget(control)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)
        layout.addLayout(row)
        self.add.clicked.connect(self._on_add_clicked)
        self.name.returnPressed.connect(self._on_add_clicked)
        self.remove.clicked.connect(self._on_remove_clicked)
        self.table.itemChanged.connect(self._on_item_changed)
        self.table.doubleClicked.connect(self._on_double_clicked)

    def set_classes(self, classes: Sequence[ObjectClass]) -> None:
        """Show other classes, without a signal."""
        self._classes = tuple(classes)
        self.table.blockSignals(True)
        self.table.setRowCount(len(classes))
        for row, one in enumerate(classes):
            swatch = QTableWidgetItem()
            swatch.setBackground(QColor(one.colour))
            swatch.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.table.setItem(row, COLOUR, swatch)
            self.table.setItem(row, NAME, QTableWidgetItem(one.name))
            self.table.setItem(row, KEY, QTableWidgetItem(one.key.replace("Control-", "Ctrl+")))
        self.table.blockSignals(False)

    def _on_add_clicked(self) -> None:
        name = self.name.text().strip()
        if name:
            self.name.clear()
            self.add_asked.emit(name)

    def _on_remove_clicked(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self._classes):
            self.remove_asked.emit(self._classes[row].name)

    def _on_item_changed(self, item: QTableWidgetItem) -> None:
        one, text = self._classes[item.row()], item.text().strip()
        if item.column() == NAME and text and text != one.name:
            self.rename_asked.emit(one.name, text)
        elif item.column() == KEY:
            key = f"Control-{text[-1:]}" if text else ""
            self.change_asked.emit(replace(one, key=key if key in KEYS else ""))
        self.set_classes(self._classes)  # what was refused is shown as it is

    def _on_double_clicked(self, index: QModelIndex) -> None:
        if index.column() != COLOUR:
            return
        one = self._classes[index.row()]
        colour = QColorDialog.getColor(QColor(one.colour), self, f"Colour of {one.name}")
        if colour.isValid():
            self.change_asked.emit(replace(one, colour=colour.name()))
