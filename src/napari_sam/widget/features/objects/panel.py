"""The list of objects, what can be done with them, and the list of classes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from ....objects.classes import ObjectClass
from ....objects.overlap import RULES
from ...controls import Chooser, Section
from .class_list import ClassList
from .table import ANY, COLOUR, LABEL, ObjectFilter, ObjectTable

LIST_HEIGHT = 100
STATUSES = ("", "finished", "to check")
STATUS_NAMES = ("in progress", "finished", "to check")


class ObjectsPanel(QWidget):  # type: ignore[misc]
    """Lists objects and says what the user wants with them.

    Parameters
    ----------
    table : ObjectTable

    Signals
    -------
    show_asked, reopen_asked : int
        The label of an object that was clicked, or clicked twice; 0 if none is selected.
    class_picked : str
        Of the selected objects; empty for none.
    next_class_picked : str
        Of the next objects.
    finish_asked, check_asked, delete_asked : no argument
        For the selected objects.
    complete_asked : no argument
        The plane shown is complete, or no longer.
    region_asked : no argument
        The next box that is drawn is complete.
    rule_picked : str
    colours_asked : bool
        Labels in the colours of their classes, or in their own.
    """

    show_asked = Signal(int)
    reopen_asked = Signal(int)
    class_picked = Signal(str)
    next_class_picked = Signal(str)
    finish_asked = Signal()
    check_asked = Signal()
    delete_asked = Signal()
    complete_asked = Signal()
    region_asked = Signal()
    rule_picked = Signal(str)
    colours_asked = Signal(bool)

    def __init__(self, table: ObjectTable) -> None:
        super().__init__()
        self._rows = ObjectFilter(table)
        self.list = self._make_list()
        self.only_class = Chooser("List only objects of this class", 4)
        self.only_status = Chooser("List only objects with this status", 4)
        self.give = Chooser("The class of the selected objects", 4)
        self.next_class = Chooser("The class that the next objects get", 4)
        self.rule = Chooser("Which pixels a new object gets where others are already", 4)
        self.count = QLabel("no objects yet")
        self.by_class = QCheckBox("By class")
        self.by_class.setToolTip("Show each object in the colour of its class; no label changes")
        self.complete = QLabel()
        self.complete.setWordWrap(True)
        self.classes = ClassList()
        self._lay_out()
        self.only_status.set_things(("any status", *STATUS_NAMES), (ANY, *STATUSES), ANY)
        names = [RULES[name].title for name in RULES]
        self.rule.set_things(names, list(RULES), next(iter(RULES)))
        self.set_classes(())
        self._connect()

    @property
    def selected(self) -> list[int]:
        """Labels of the selected rows, in their order."""
        rows = self.list.selectionModel().selectedRows()
        return [self._rows.object_at(one.row()).label for one in rows]

    def select(self, labels: Sequence[int]) -> None:
        """Select the rows of some labels, as far as they are listed."""
        model, wanted = self.list.selectionModel(), set(labels)
        model.clearSelection()
        flags = QItemSelectionModel.SelectionFlag
        for row in range(self._rows.rowCount()):
            if self._rows.object_at(row).label in wanted:
                index = self._rows.index(row, LABEL)
                model.select(index, flags.Select | flags.Rows)
                self.list.scrollTo(index)

    def set_count(self, text: str) -> None:
        """Say how many objects there are."""
        self.count.setText(text)

    def set_complete(self, text: str) -> None:
        """Say whether the plane shown is complete, and how many planes are."""
        self.complete.setText(text)

    def set_next_class(self, name: str) -> None:
        """Show which class the next objects get."""
        place = self.next_class.findText(name or "no class")
        self.next_class.setCurrentIndex(place)

    def set_classes(self, classes: Sequence[ObjectClass]) -> None:
        """Offer other classes."""
        names = [one.name for one in classes]
        self.only_class.set_things(("any class", "no class", *names), (ANY, "", *names), ANY)
        self._filter()
        self.give.set_things(("no class", *names), ("", *names), None)
        next_class = self.next_class.currentText()
        self.next_class.set_things(("no class", *names), ("", *names), "")
        self.set_next_class(next_class if next_class in names else "")
        self.classes.set_classes(classes)

    def _make_list(self) -> QTableView:
        view = QTableView()
        view.setModel(self._rows)
        view.setSortingEnabled(True)
        view.sortByColumn(LABEL, Qt.SortOrder.AscendingOrder)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.verticalHeader().hide()
        row = view.verticalHeader()
        row.setDefaultSectionSize(view.fontMetrics().height() + 6)
        view.horizontalHeader().setStretchLastSection(True)
        view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        for column, letters in enumerate((3, 6, 9, 6)):
            view.setColumnWidth(column, letters * view.fontMetrics().averageCharWidth() + 8)
        view.setColumnWidth(COLOUR, 26)
        view.setFixedHeight(LIST_HEIGHT)
        return view

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        filters = QHBoxLayout()
        filters.addWidget(self.only_class)
        filters.addWidget(self.only_status)
        layout.addLayout(filters)
        layout.addWidget(self.list)
        layout.addWidget(self.count)
        grid = QGridLayout()
        wanted = (
            ("Finished  K", self.finish_asked, "Lock the selected objects, or unlock them"),
            ("To check  Q", self.check_asked, "Mark the selected objects to be looked at again"),
            ("Reopen", None, "Work on the selected object again; a double click does the same"),
            ("Delete", self.delete_asked, "Delete the selected objects from all planes"),
            (
                "Complete  Y",
                self.complete_asked,
                "All objects of this plane are labelled, or not yet",
            ),
            ("Region", self.region_asked, "Drag a box in which all objects are labelled"),
        )
        for place, (text, signal, tip) in enumerate(wanted):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(self._on_reopen_clicked if signal is None else signal)
            grid.addWidget(button, 1 + place // 2, place % 2)
        both = QHBoxLayout()
        both.addWidget(QLabel("Class"))
        both.addWidget(self.give)
        grid.addLayout(both, 0, 0)
        grid.addWidget(self.by_class, 0, 1)
        layout.addLayout(grid)
        layout.addWidget(self.complete)
        form = QGridLayout()
        for row, (text, control) in enumerate(
            (("Next objects", self.next_class), ("Overlaps", self.rule))
        ):
            form.addWidget(QLabel(text), row, 0)
            form.addWidget(control, row, 1)
        form.setColumnStretch(1, 1)
        layout.addLayout(form)
        layout.addWidget(Section("Classes", self.classes))

    def _connect(self) -> None:
        self.list.clicked.connect(self._on_list_clicked)
        self.list.doubleClicked.connect(self._on_list_double_clicked)
        self.only_class.picked.connect(self._filter)
        self.only_status.picked.connect(self._filter)
        self.give.picked.connect(self._on_class_picked)
        self.next_class.picked.connect(self.next_class_picked.emit)
        self.rule.picked.connect(self.rule_picked.emit)
        self.by_class.clicked.connect(self.colours_asked)

    def _filter(self, thing: object = None) -> None:
        place = self.only_class.currentIndex()
        category = {0: ANY, 1: ""}.get(place, self.only_class.currentText())
        status = (ANY, *STATUSES)[max(self.only_status.currentIndex(), 0)]
        self._rows.set_filter(category, status)

    def _on_class_picked(self, name: str) -> None:
        self.give.setCurrentIndex(-1)
        self.class_picked.emit(name)

    def _on_list_clicked(self, index: QModelIndex) -> None:
        self.show_asked.emit(self._rows.object_at(index.row()).label)

    def _on_list_double_clicked(self, index: QModelIndex) -> None:
        self.reopen_asked.emit(self._rows.object_at(index.row()).label)

    def _on_reopen_clicked(self) -> None:
        self.reopen_asked.emit(next(iter(self.selected), 0))
