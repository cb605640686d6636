"""Controls that several parts of the dock use."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QScrollBar,
    QSizePolicy,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

STATUS_LINES = 4
"""So many lines of the status are seen at once; longer texts are scrolled."""
PASSING = (Qt.FocusReason.ActiveWindowFocusReason, Qt.FocusReason.PopupFocusReason)
"""Why a control loses the focus that it gets back."""
LONGEST_WORD = 24
"""Letters of a word that fit a narrow dock."""


class Chooser(QComboBox):  # type: ignore[misc]
    """A list of named things that shrinks to a narrow column; long names lose their middle.

    Parameters
    ----------
    tooltip : str
        What is chosen; the full name of the current thing is shown above it.
    letters : int
        Width of the narrowest column, in letters.

    Signals
    -------
    picked : object
        The thing that the user chose.
    """

    picked = Signal(object)

    def __init__(self, tooltip: str, letters: int = 6) -> None:
        super().__init__()
        self._help = tooltip
        self.setToolTip(tooltip)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(letters)
        adjust = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.setSizeAdjustPolicy(adjust)
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.activated.connect(lambda index: self.picked.emit(self._things[index]))
        self._things: list[Any] = []

    def set_things(self, names: Sequence[str], things: Sequence[Any], current: Any) -> None:
        """Show other things, without a signal."""
        self.blockSignals(True)
        self.clear()
        self._things = list(things)
        self.addItems(list(names))
        for row, name in enumerate(names):
            self.setItemData(row, name, Qt.ItemDataRole.ToolTipRole)
        places = [k for k, thing in enumerate(things) if thing is current]
        self.setCurrentIndex(places[0] if places else -1)
        self.blockSignals(False)

    def event(self, event: QEvent) -> bool:
        """Show the full name of the current thing in the tooltip."""
        if event.type() == QEvent.Type.ToolTip and self.shown_name() != self.currentText():
            self.setToolTip(f"{self.currentText()}\n{self._help}")
        handled: bool = super().event(event)
        return handled

    def set_help(self, tooltip: str) -> None:
        """Say something else in the tooltip."""
        self._help = tooltip
        self.setToolTip(tooltip)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the current name without its middle where it is too long."""
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.shown_name()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def shown_name(self) -> str:
        """Return the current name as far as there is room for it."""
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        field = self.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, self)
        name: str = self.fontMetrics().elidedText(
            self.currentText(), Qt.TextElideMode.ElideMiddle, field.width() - 2
        )
        return name


class Section(QWidget):  # type: ignore[misc]
    """A part of the dock under a heading that opens and closes it.

    Parameters
    ----------
    title : str
    content : QWidget

    Signals
    -------
    toggled : bool
        Opened, or closed.
    """

    toggled = Signal(bool)

    def __init__(self, title: str, content: QWidget) -> None:
        super().__init__()
        self._content = content
        self._heading = QToolButton()
        self._heading.setText(title)
        font = self._heading.font()
        font.setBold(True)
        self._heading.setFont(font)
        self._heading.setCheckable(True)
        self._heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._heading.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._heading.toggled.connect(self._on_heading_toggled)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._heading)
        layout.addWidget(content)
        self._show(False)

    @property
    def is_expanded(self) -> bool:
        """Whether the content is seen."""
        return bool(self._heading.isChecked())

    @property
    def arrow(self) -> Qt.ArrowType:
        """Where the arrow of the heading points."""
        return self._heading.arrowType()

    def expand(self) -> None:
        """Show the content."""
        self._heading.setChecked(True)

    def collapse(self) -> None:
        """Hide the content."""
        self._heading.setChecked(False)

    def _show(self, opened: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self._heading.setArrowType(arrow)
        self._content.setVisible(opened)

    def _on_heading_toggled(self, opened: bool) -> None:
        self._show(opened)
        self.toggled.emit(opened)


class StatusArea(QScrollArea):  # type: ignore[misc]
    """Text of any length in an area of a fixed height: it scrolls; the tooltip has all of it."""

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self._lines = QLabel("\n".join("|" * STATUS_LINES), self)  # as high as so many are
        self._lines.hide()
        self._label = QLabel()
        for label in (self._label, self._lines):
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setWordWrap(True)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
            label.setContentsMargins(0, 0, 0, 0)
        self.setWidget(self._label)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # keys stay with the image
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    def text(self) -> str:
        """Return all of the text."""
        return self._text

    def setText(self, text: str) -> None:
        """Show another text from its beginning."""
        if text != self._text:
            self._text = text
            self._label.setText(breakable(text))
            self.setToolTip(text)
            self.verticalScrollBar().setValue(0)

    def sizeHint(self) -> QSize:
        """Take the height of some lines in the font of the theme, with the margins of labels."""
        return QSize(0, self._lines.sizeHint().height() + 4)

    def minimumSizeHint(self) -> QSize:
        """Be no smaller than that: a longer text moves nothing."""
        return self.sizeHint()


def breakable(text: str) -> str:
    """Return a text whose long words, such as paths, can be broken where a line ends."""
    return re.sub(rf"\S{{{LONGEST_WORD}}}(?=\S)", "\\g<0>\u200b", text)


class ChoiceGuard(QObject):  # type: ignore[misc]
    """Keeps wheel and keys from changing choosers, sliders and numbers that were not clicked.

    The wheel then scrolls the dock, and keys go on to the image. That a control has the focus does
    not count, since Qt gives it away by itself: when a window becomes active, and when the control
    that had it is hidden or disabled. Without a mouse, Tab and then Space choose a control.
    """

    def __init__(self) -> None:
        super().__init__()
        self._chosen: QObject | None = None

    def watch(self, root: QWidget) -> None:
        """Guard all controls in a widget that hold a value."""
        for child in root.findChildren(QWidget):
            is_value = isinstance(child, QComboBox | QAbstractSpinBox | QAbstractSlider)
            if is_value and not isinstance(child, QScrollBar):
                child.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                child.installEventFilter(self)

    def eventFilter(self, control: QObject, event: QEvent) -> bool:
        """Note which control was chosen, and stop wheel and keys on their way to others."""
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress or (
            kind == QEvent.Type.FocusIn and event.reason() == Qt.FocusReason.MouseFocusReason
        ):
            self._chosen = control
        elif kind == QEvent.Type.FocusOut and event.reason() not in PASSING:
            self._chosen = None
        elif self._chosen is not control and kind == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Space and control.hasFocus():
                self._chosen = control
            elif event.key() not in (Qt.Key.Key_Tab, Qt.Key.Key_Backtab):
                event.ignore()  # goes on to the widget around it
                return True
        elif self._chosen is not control and kind == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


def row(*parts: QWidget) -> QWidget:
    """Return widgets side by side."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return box
