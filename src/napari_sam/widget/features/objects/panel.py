"""The list of objects, what can be done with them, and the list of classes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, Qt, Signal
from qtpy.QtGui import QAction
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
from .naming_panel import NamingPanel
from .pictures import Pictures
from .table import ANY, HEADINGS, LABEL, ObjectTable

LIST_HEIGHT = 150
WIDTHS = (1, 6, 12, 6, 18, 8, 7, 10, 13, 9, 11)
"""Of the columns, in letters."""
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
    review_asked : bool
        Go on to the next object to look at, or back to the one before (True).
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
    review_asked = Signal(bool)
    colours_asked = Signal(bool)

    def __init__(self, table: ObjectTable) -> None:
        super().__init__()
        self._table = table
        self._kept: tuple[list[int], int] = [], 0  # the selection and the scroll bar in a reset
        self.list = self._make_list()
        self.only_class = Chooser("List only objects of this class", 4)
        self.only_status = Chooser("List only objects with this status", 4)
        self.give = Chooser("The class of the selected objects", 4)
        self.next_class = Chooser("The class that the next objects get", 4)
        self.rule = Chooser("Which pixels a new object gets where others are already", 4)
        self.next = QPushButton("Look at next  R")
        self.next.setToolTip("Go to the riskiest object that was not looked at yet")
        self.back = QPushButton("Back  Shift+R")
        self.back.setToolTip("Go to the object that was looked at before")
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.reason.hide()
        self.looked = QLabel()
        self.pictures = Pictures()
        self.count = QLabel("no objects yet")
        self.by_class = QCheckBox("By class")
        self.by_class.setToolTip("Show each object in the colour of its class; no label changes")
        self.complete = QLabel()
        self.complete.setWordWrap(True)
        self.classes = ClassList()
        self.naming = NamingPanel()
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
        return [self._table.label_at(one.row()) for one in rows]

    def select(self, labels: Sequence[int], show: bool = True) -> None:
        """Select the rows of some labels, as far as they are listed; show the last of them."""
        rows, table = self._table.rows_of(labels), self._table
        chosen = QItemSelection()
        for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0]):
            places = [row for _, row in run]
            chosen.select(table.index(places[0], 0), table.index(places[-1], LABEL))
        flags = QItemSelectionModel.SelectionFlag
        self.list.selectionModel().select(chosen, flags.ClearAndSelect | flags.Rows)
        if rows and show:
            self.list.scrollTo(table.index(rows[-1], LABEL))

    def set_rule(self, name: str) -> None:
        """Show which rule of overlaps is in use."""
        self.rule.setCurrentIndex(list(RULES).index(name))

    def set_count(self, text: str) -> None:
        """Say how many objects there are."""
        self.count.setText(text)

    def set_review(self, reason: str, looked: str) -> None:
        """Say why an object is looked at, and how many were."""
        self.reason.setText(reason)
        self.reason.setVisible(bool(reason))
        self.pictures.setVisible(bool(looked))
        self.looked.setText(looked)

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
        view.setModel(self._table)
        view.setSortingEnabled(True)
        view.sortByColumn(LABEL, Qt.SortOrder.AscendingOrder)
        view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        view.verticalHeader().hide()
        letter = view.fontMetrics().averageCharWidth()
        view.verticalHeader().setDefaultSectionSize(view.fontMetrics().height() + 6)
        for column, letters in enumerate(WIDTHS):
            view.setColumnWidth(column, letters * letter + 16)
        header = view.horizontalHeader()
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        for column, name in enumerate(HEADINGS):
            if column > LABEL:
                action = QAction(name, header, checkable=True, checked=True)
                action.toggled.connect(partial(self._on_column_toggled, column))
                header.addAction(action)
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
        counts = QHBoxLayout()
        counts.addWidget(self.count)
        counts.addStretch(1)
        counts.addWidget(self.looked)
        layout.addLayout(counts)
        review = QHBoxLayout()
        review.addWidget(self.next)
        review.addWidget(self.back)
        layout.addLayout(review)
        layout.addWidget(self.reason)
        layout.addWidget(self.pictures)
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
        layout.addWidget(Section("Propose classes", self.naming))

    def _connect(self) -> None:
        self._table.modelAboutToBeReset.connect(self._on_table_about_to_be_reset)
        self._table.modelReset.connect(self._on_table_reset)
        self.list.clicked.connect(self._on_list_clicked)
        self.list.doubleClicked.connect(self._on_list_double_clicked)
        self.only_class.picked.connect(self._filter)
        self.only_status.picked.connect(self._filter)
        self.give.picked.connect(self._on_class_picked)
        self.next_class.picked.connect(self.next_class_picked.emit)
        self.rule.picked.connect(self.rule_picked.emit)
        self.by_class.clicked.connect(self.colours_asked)
        self.next.clicked.connect(lambda: self.review_asked.emit(False))
        self.back.clicked.connect(lambda: self.review_asked.emit(True))

    def _filter(self, thing: object = None) -> None:
        place = self.only_class.currentIndex()
        category = {0: ANY, 1: ""}.get(place, self.only_class.currentText())
        status = (ANY, *STATUSES)[max(self.only_status.currentIndex(), 0)]
        self._table.set_filter(category, status)

    def _on_column_toggled(self, column: int, shown: bool) -> None:
        self.list.setColumnHidden(column, not shown)

    def _on_table_about_to_be_reset(self) -> None:
        self._kept = self.selected, self.list.verticalScrollBar().value()

    def _on_table_reset(self) -> None:
        """Select what was selected, and stay in the same place."""
        labels, place = self._kept
        self.select(labels, show=False)
        self.list.verticalScrollBar().setValue(place)

    def _on_class_picked(self, name: str) -> None:
        self.give.setCurrentIndex(-1)
        self.class_picked.emit(name)

    def _on_list_clicked(self, index: QModelIndex) -> None:
        self.show_asked.emit(self._table.label_at(index.row()))

    def _on_list_double_clicked(self, index: QModelIndex) -> None:
        self.reopen_asked.emit(self._table.label_at(index.row()))

    def _on_reopen_clicked(self) -> None:
        self.reopen_asked.emit(next(iter(self.selected), 0))
