"""Text and a picture in a window of its own."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontDatabase, QPixmap
from qtpy.QtWidgets import (
    QDialog,
    QLabel,
    QPlainTextEdit,
    QScrollArea,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

MOST_LINES = 24
"""Of the text that are seen at once at first."""


class PictureWindow(QDialog):  # type: ignore[misc]
    """Shows text above a picture; deleted when it is closed.

    Parameters
    ----------
    parent : QWidget
    title, text : str
    picture : QPixmap
    """

    def __init__(self, parent: QWidget, title: str, text: str, picture: QPixmap) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(title)
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.picture = QLabel()
        self.picture.setPixmap(picture)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        area = QScrollArea()
        area.setWidget(self.picture)
        area.setWidgetResizable(True)
        parts = QSplitter(Qt.Orientation.Vertical)
        for part in (self.text, area):
            parts.addWidget(part)
        QVBoxLayout(self).addWidget(parts)
        self.resize(1000, 800)
        lines = min(MOST_LINES, 3 + text.count("\n"))
        high = lines * self.text.fontMetrics().lineSpacing()
        parts.setSizes([high, 800 - high])
