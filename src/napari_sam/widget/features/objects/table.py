"""The objects of a store as rows of a table, sorted and filtered by Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtGui import QColor

from ....objects import SegmentedObject

HEADINGS = ("", "Label", "Class", "Planes", "Status")
COLOUR, LABEL, CLASS, PLANES, STATUS = range(len(HEADINGS))
ANY = "*"
"""A filter that lets all through; "" asks for objects without a class or status."""
Role = Qt.ItemDataRole


class ObjectTable(QAbstractTableModel):  # type: ignore[misc]
    """A row for each object.

    Parameters
    ----------
    colour_of : callable
        From a label to its colour, (r, g, b) from 0 to 255.
    """

    def __init__(self, colour_of: Callable[[int], tuple[int, int, int]]) -> None:
        super().__init__()
        self._colour_of = colour_of
        self._objects: list[SegmentedObject] = []

    def set_objects(self, objects: Mapping[int, SegmentedObject]) -> bool:
        """Show other objects; tells whether rows came or went.

        Rows that stay are kept, so that their selection does.
        """
        after = [objects[label] for label in sorted(objects)]
        before = self._objects
        if [one.label for one in after] == [one.label for one in before]:
            changed = [
                k
                for k, pair in enumerate(zip(before, after, strict=True))
                if pair[0] is not pair[1]
            ]
            self._objects = after
            if changed:
                last = self.index(changed[-1], len(HEADINGS) - 1)
                self.dataChanged.emit(self.index(changed[0], 0), last)
            return False
        self.beginResetModel()
        self._objects = after
        self.endResetModel()
        return True

    def recolour(self) -> None:
        """Show the colours as they are now."""
        if self._objects:
            last = self.index(len(self._objects) - 1, COLOUR)
            self.dataChanged.emit(self.index(0, COLOUR), last, [Role.DecorationRole])

    def object_at(self, row: int) -> SegmentedObject:
        """Return the object of a row."""
        return self._objects[row]

    def row_of(self, label: int) -> int:
        """Return the row of a label; -1 if there is none."""
        return next((k for k, one in enumerate(self._objects) if one.label == label), -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many objects there are."""
        return 0 if parent is not None and parent.isValid() else len(self._objects)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = Role.DisplayRole) -> Any:
        """Return the heading of a column."""
        if orientation == Qt.Orientation.Horizontal and role == Role.DisplayRole:
            return HEADINGS[section]
        return None

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return the text of a cell, or the colour of a label."""
        one, column = self._objects[index.row()], index.column()
        if role == Role.DecorationRole and column == COLOUR:
            return QColor(*self._colour_of(one.label))
        if role == Role.DisplayRole:
            return _value(one, column)
        return None


class ObjectFilter(QSortFilterProxyModel):  # type: ignore[misc]
    """The rows of some class and status, in any order.

    Parameters
    ----------
    table : ObjectTable
    """

    def __init__(self, table: ObjectTable) -> None:
        super().__init__()
        self._table = table
        self._category = self._status = ANY
        self.setSourceModel(table)
        self.setDynamicSortFilter(True)

    def set_filter(self, category: str, status: str) -> None:
        """Let only objects of a class and a status through; `ANY` lets all through."""
        if (category, status) != (self._category, self._status):
            self._category, self._status = category, status
            self.invalidateFilter()

    def object_at(self, row: int) -> SegmentedObject:
        """Return the object of a row that is shown."""
        return self._table.object_at(self.mapToSource(self.index(row, 0)).row())

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        """Tell whether an object is shown."""
        one = self._table.object_at(row)
        return self._category in (ANY, one.category) and self._status in (ANY, one.status)

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        """Order numbers by value and text by its letters; equal ones by label."""
        column = left.column()
        a, b = (self._table.object_at(one.row()) for one in (left, right))
        if column in (COLOUR, LABEL):
            return a.label < b.label
        return (_value(a, column), a.label) < (_value(b, column), b.label)


def _value(one: SegmentedObject, column: int) -> int | str | None:
    if column == LABEL:
        return one.label
    if column == CLASS:
        return one.category
    if column == PLANES:
        return len(one.outlines)
    return str(one.status) if column == STATUS else None
