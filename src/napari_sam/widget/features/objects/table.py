"""The objects of a store as rows of a table, sorted and filtered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtGui import QColor

from ....objects import SegmentedObject
from ....objects.risk import Assessed

HEADINGS = (
    "", "Label", "Class", "Risk", "Flags", "Status", "Planes", "Size", "Predicted IoU", "Stability",
    "Agreement",
)  # fmt: skip
COLOUR, LABEL, CLASS, RISK, FLAGS, STATUS, PLANES, SIZE, IOU, STABILITY, AGREEMENT = range(
    len(HEADINGS)
)
TIPS = (
    "The colour of the object",
    "The value of the object in the labels",
    "",
    "How likely it is that something is wrong, from 0 to 1: all flags together, and weaker signs",
    "What may be wrong, the riskiest first; the tooltip of a cell has the reasons",
    "",
    "How many planes it lies in",
    "Area of an object in one plane, volume of one in several",
    "The least of its outlines, as the model predicts it",
    "How little its outline depends on the threshold of the mask",
    "The least IoU of its outlines in two neighbouring planes; it may shrink at its ends",
)
NUMBERS = (LABEL, RISK, PLANES, SIZE, IOU, STABILITY, AGREEMENT)
OF_OBJECT: Mapping[int, Callable[[SegmentedObject], int | str]] = {
    LABEL: lambda one: one.label,
    CLASS: lambda one: one.category,
    STATUS: lambda one: one.status,
    PLANES: lambda one: len(one.outlines),
}
OF_ASSESSED: Mapping[int, Callable[[Assessed], float | str | None]] = {
    RISK: lambda one: one.risk,
    FLAGS: lambda one: ", ".join(flag.name for flag in one.flags) or None,
    SIZE: lambda one: one.size,
    IOU: lambda one: one.measured.score,
    STABILITY: lambda one: one.measured.stability,
    AGREEMENT: lambda one: one.measured.agreement,
}
"""What a column is sorted by."""
ANY = "*"
"""A filter that lets all through; "" asks for objects without a class or status."""
Role = Qt.ItemDataRole


class ObjectTable(QAbstractTableModel):  # type: ignore[misc]
    """A row for each object of some class and status.

    Parameters
    ----------
    colour_of : callable
        From a label to its colour, (r, g, b) from 0 to 255.
    """

    def __init__(self, colour_of: Callable[[int], tuple[int, int, int]]) -> None:
        super().__init__()
        self._colour_of = colour_of
        self._objects: Mapping[int, SegmentedObject] = {}
        self._assessed: Mapping[int, Assessed] = {}
        self._proposed: Mapping[int, str] = {}
        self._rows: list[int] = []
        self._column, self._descending = LABEL, False
        self._category = self._status = ANY
        self._units = "px", "voxels"

    def set_objects(self, objects: Mapping[int, SegmentedObject]) -> None:
        """Show other objects."""
        self._objects = objects
        self._arrange()

    def set_assessed(self, assessed: Mapping[int, Assessed], units: tuple[str, str]) -> None:
        """Show what is known of the objects now, with the units of areas and volumes."""
        self._assessed, self._units = assessed, units
        self._arrange()

    def set_proposed(self, classes: Mapping[int, str]) -> None:
        """Show classes that are proposed for objects, by label, where they have none."""
        if classes != self._proposed:
            self._proposed = classes
            self._arrange()

    def set_filter(self, category: str, status: str) -> None:
        """Show only objects of a class and a status; `ANY` lets all through."""
        if (category, status) != (self._category, self._status):
            self._category, self._status = category, status
            self._arrange()

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Order the rows by a column; equal ones by label, unknown ones last."""
        self._column, self._descending = column, order == Qt.SortOrder.DescendingOrder
        self._arrange()

    def recolour(self) -> None:
        """Show the colours as they are now."""
        if self._rows:
            last = self.index(len(self._rows) - 1, COLOUR)
            self.dataChanged.emit(self.index(0, COLOUR), last, [Role.DecorationRole])

    def label_at(self, row: int) -> int:
        """Return the label of a row."""
        return self._rows[row]

    def rows_of(self, labels: Sequence[int]) -> list[int]:
        """Return the rows of some labels, as far as they are listed, ascending."""
        wanted = set(labels)
        return [row for row, label in enumerate(self._rows) if label in wanted] if wanted else []

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many objects are shown."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return how many columns there are."""
        return 0 if parent is not None and parent.isValid() else len(HEADINGS)

    def headerData(self, section: int, orientation: Any, role: int = Role.DisplayRole) -> Any:
        """Return the heading of a column, its explanation, or how it is sorted at first."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return HEADINGS[section]
        if role == Role.ToolTipRole:
            return TIPS[section] or None
        if role == Role.InitialSortOrderRole and section in (RISK, SIZE, PLANES):
            return Qt.SortOrder.DescendingOrder
        return None

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return the text of a cell, the reasons of flags, or the colour of a label."""
        label, column = self._rows[index.row()], index.column()
        if role == Role.DecorationRole and column == COLOUR:
            return QColor(*self._colour_of(label))
        if role == Role.DisplayRole:
            return self._text(label, column)
        if role == Role.TextAlignmentRole and column in NUMBERS:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Role.ToolTipRole and column in (RISK, FLAGS):
            known = self._assessed.get(label)
            return "\n".join(flag.text for flag in known.flags) or None if known else None
        return None

    def _arrange(self) -> None:
        """Filter and sort the rows; only if they become others, the view starts afresh."""
        shown = [
            label
            for label, one in self._objects.items()
            if self._category in (ANY, one.category) and self._status in (ANY, one.status)
        ]
        rows = sorted(shown)
        if self._column not in (COLOUR, LABEL):
            values = {label: self._value(label, self._column) for label in rows}
            known = [label for label in rows if values[label] is not None]
            known.sort(key=lambda label: values[label], reverse=self._descending)
            rows = known + [label for label in rows if values[label] is None]
        elif self._descending:
            rows.reverse()
        if rows != self._rows:
            self.beginResetModel()
            self._rows = rows
            self.endResetModel()
        elif rows:
            self.dataChanged.emit(self.index(0, 0), self.index(len(rows) - 1, len(HEADINGS) - 1))

    def _value(self, label: int, column: int) -> Any:
        """Return what a column is sorted by; None where it is unknown."""
        if column in OF_OBJECT:
            own = OF_OBJECT[column](self._objects[label])
            return own or self._proposed.get(label, "") if column == CLASS else own
        known = self._assessed.get(label)
        return OF_ASSESSED[column](known) if known is not None and column in OF_ASSESSED else None

    def _text(self, label: int, column: int) -> str | int | None:
        value = self._value(label, column)
        if column == SIZE and value is not None:
            return f"{value:.4g} {self._units[self._assessed[label].sides - 2]}"
        return f"{value:.2f}" if isinstance(value, float) else value
