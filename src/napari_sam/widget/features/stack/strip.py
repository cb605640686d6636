"""A strip that shows every plane of a stack: how certain an object is there, and its keyframes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

HEIGHT = 28
TRIANGLE = 8
"""Height of the row of triangles that mark keyframes, pixels."""
LEAST_WIDTH = 2.0
"""Of the bar of a plane, pixels."""
UNCERTAIN, CERTAIN = 0.5, 0.95
"""Scores at which the colour is all red, and all green."""

Kind = Literal["keyframe", "found", "ended"]


class PlaceMark(NamedTuple):
    """What is known of an object in a plane.

    Attributes
    ----------
    kind : {"keyframe", "found", "ended"}
    score : float, 0..1
    """

    kind: Kind
    score: float = 1.0


class ConfidenceStrip(QWidget):  # type: ignore[misc]
    """One bar for each plane: higher and greener where the object is certain.

    Triangles mark keyframes, a flat grey line planes in which the object is not there, a frame the
    plane shown. A click goes to a plane.

    Signals
    -------
    place_picked : int
        The plane that was clicked.
    """

    place_picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.count, self.current = 0, 0
        self.marks: Mapping[int, PlaceMark] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)

    def sizeHint(self) -> QSize:
        """Be as wide as the dock lets it."""
        return QSize(120, HEIGHT)

    def set_marks(self, marks: Mapping[int, PlaceMark], count: int, current: int) -> None:
        """Show another object, or more of it.

        Parameters
        ----------
        marks : mapping of int to PlaceMark
            By number of the plane.
        count : int
            Planes in all.
        current : int
            The plane shown.
        """
        self.marks, self.count, self.current = marks, count, current
        self.update()

    def place_at(self, x: float) -> int:
        """Return the number of the plane at a place of the widget, pixels."""
        return min(max(0, int(x * self.count / max(1, self.width()))), max(0, self.count - 1))

    def mousePressEvent(self, event: Any) -> None:
        """Go to the plane that is clicked."""
        if self.count and event.button() == Qt.MouseButton.LeftButton:
            self.place_picked.emit(self.place_at(event.position().x()))

    def mouseMoveEvent(self, event: Any) -> None:
        """Follow a drag, and say in the tooltip what is under the pointer."""
        if not self.count:
            return
        place = self.place_at(event.position().x())
        self.setToolTip(f"plane {place}: {_words(self.marks.get(place))}")
        if event.buttons() & Qt.MouseButton.LeftButton and place != self.current:
            self.place_picked.emit(place)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw ground, bars, keyframes and the plane shown."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        top, bottom = TRIANGLE + 1.0, self.height() - 1.0
        painter.fillRect(QRectF(0, top, self.width(), bottom - top), QColor(128, 128, 128, 40))
        if self.count:
            width = self.width() / self.count
            for place, mark in sorted(self.marks.items(), key=lambda pair: -pair[1].score):
                self._paint_mark(painter, place * width, max(width, LEAST_WIDTH), mark)
            shown = QRectF(self.current * width, top, max(width, LEAST_WIDTH + 1), bottom - top)
            painter.setPen(self.palette().windowText().color())
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(shown.adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def _paint_mark(self, painter: QPainter, x: float, width: float, mark: PlaceMark) -> None:
        top, bottom = TRIANGLE + 1.0, self.height() - 1.0
        gap = 1.0 if width > 3 else 0.0
        if mark.kind == "ended":
            painter.fillRect(QRectF(x, bottom - 2, width - gap, 2), QColor(128, 128, 128))
            return
        share = 1.0 if mark.kind == "keyframe" else 0.15 + 0.85 * mark.score
        height = (bottom - top) * share
        painter.fillRect(QRectF(x, bottom - height, width - gap, height), colour_of(mark))
        if mark.kind == "keyframe":
            middle = x + width / 2
            corners = [(middle - 4, 0.0), (middle + 4, 0.0), (middle, TRIANGLE - 1.0)]
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour_of(mark))
            painter.drawPolygon(QPolygonF([QPointF(*corner) for corner in corners]))


def colour_of(mark: PlaceMark) -> QColor:
    """Return blue for a keyframe, else a colour from red to green by its score."""
    if mark.kind == "keyframe":
        return QColor(70, 140, 255)
    share = min(max((mark.score - UNCERTAIN) / (CERTAIN - UNCERTAIN), 0.0), 1.0)
    return QColor.fromHsvF(share / 3, 0.85, 0.85)


def _words(mark: PlaceMark | None) -> str:
    if mark is None:
        return "not looked at"
    if mark.kind == "found":
        return f"score {mark.score:.2f}"
    return "keyframe" if mark.kind == "keyframe" else "the object is not there"
