"""The list of candidates in the dock: colour, size, predicted IoU, area."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...work.candidates import SIZES

BEST = "best score"
"""What is shown first of a click where no size is preferred."""
ROWS = 3
"""Candidates there are at most; the list has room for so many."""
SWATCH = 12
"""Side of a patch of colour, pixels."""


class CandidateRow(NamedTuple):
    """One candidate.

    Attributes
    ----------
    name : str
    score : float
        Predicted IoU.
    area : str
        With its unit.
    colour : (red, green, blue) float from 0 to 1
        Of its outline; of its pixels if it is chosen.
    """

    name: str
    score: float
    area: str
    colour: Sequence[float]


class CandidateList(QWidget):  # type: ignore[misc]
    """The candidates from small to large, and which size a click shows first.

    Signals
    -------
    picked : int
        The place of a candidate in the list.
    size_picked : object
        Place of a size from small to large; None is the best score.
    """

    picked = Signal(int)
    size_picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self.rows = QTreeWidget()
        self.rows.setColumnCount(3)
        self.rows.setHeaderHidden(True)
        self.rows.setRootIsDecorated(False)
        self.rows.setUniformRowHeights(True)
        self.rows.setIconSize(QSize(SWATCH, SWATCH))
        self.rows.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys are for the image
        self.rows.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.rows.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.rows.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.rows.setToolTip(
            "Outlines that the model offers: the one chosen is filled, the others are drawn as "
            "lines. N, Shift+N, Shift+wheel or a click choose another one"
        )
        self.rows.itemClicked.connect(lambda item: self.picked.emit(self._place(item)))
        column.addWidget(self.rows)
        self.first = QComboBox()
        self.first.addItems([BEST, *SIZES])
        self.first.setToolTip(
            "What a single click shows first: the size that you chose last, until you choose "
            "another one"
        )
        self.first.activated.connect(lambda row: self.size_picked.emit(row - 1 if row else None))
        line = QHBoxLayout()
        line.addWidget(QLabel("a click shows first"))
        line.addWidget(self.first, 1)
        column.addLayout(line)
        self._make_room(max(SWATCH, self.rows.fontMetrics().height()) + 4)

    def show_rows(self, rows: Sequence[CandidateRow], chosen: int) -> None:
        """Show candidates, from small to large, and which of them is chosen."""
        self.rows.clear()
        for place, row in enumerate(rows):
            item = QTreeWidgetItem([row.name, f"IoU {row.score:.2f}", row.area])
            item.setIcon(0, _swatch(row.colour, filled=place == chosen))
            self.rows.addTopLevelItem(item)
            item.setSelected(place == chosen)
        for column in range(3):
            self.rows.resizeColumnToContents(column)
        if rows:
            self._make_room(self.rows.sizeHintForRow(0) + 1)

    def show_size(self, size: int | None) -> None:
        """Show which size is shown first; None is the best score."""
        self.first.setCurrentIndex(0 if size is None else min(size, len(SIZES) - 1) + 1)

    def _make_room(self, height: int) -> None:
        """Leave room for all rows, so that what lies below never moves."""
        self.rows.setFixedHeight(ROWS * height + 2 * self.rows.frameWidth())

    def _place(self, item: QTreeWidgetItem) -> int:
        place: int = self.rows.indexOfTopLevelItem(item)
        return place


def _swatch(colour: Sequence[float], filled: bool) -> QIcon:
    """Return a square of a colour, or its outline alone."""
    image = QPixmap(SWATCH, SWATCH)
    image.fill(Qt.GlobalColor.transparent)
    shade = QColor.fromRgbF(*(float(c) for c in colour[:3]))
    painter = QPainter(image)
    pen = painter.pen()
    pen.setColor(shade)
    pen.setWidth(3)
    painter.setPen(pen)
    painter.setBrush(QBrush(shade) if filled else QBrush(Qt.BrushStyle.NoBrush))
    painter.drawRect(1, 1, SWATCH - 3, SWATCH - 3)
    painter.end()
    icon = QIcon(image)
    icon.addPixmap(image, QIcon.Mode.Selected)  # or Qt tints it
    return icon
