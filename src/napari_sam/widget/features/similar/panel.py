"""The form of the search for similar objects: buttons, a slider, counts."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from ....everything.exemplars import LIKELY
from ...controls import row

STEPS = 100
"""Of the slider."""
NOTHING = "Select objects in the list, or point at one, and press F: others like them are proposed."


class SimilarPanel(QWidget):  # type: ignore[misc]
    """Buttons that search, a slider, and buttons that accept and reject.

    Signals
    -------
    find_asked : bool
        In all planes, or in the one shown.
    accept_asked, reject_asked, accept_all_asked, forget_asked : no argument
    least_changed : no argument
        Fewer or more candidates are proposed; see `least`.
    """

    find_asked = Signal(bool)
    accept_asked = Signal()
    reject_asked = Signal()
    accept_all_asked = Signal()
    forget_asked = Signal()
    least_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.here = _button(
            "Find  F",
            "Propose what looks like the objects that are selected in the list, else like the one "
            "under the pointer, else like all kept objects of the plane",
        )
        self.everywhere = _button("In all planes", "Search all planes of the image")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(round(LIKELY * STEPS))
        tip = "Higher: only what is more alike is proposed"
        self.slider.setToolTip(tip)
        self.value = QLabel()
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight)
        caption = QLabel("Least similarity")
        caption.setToolTip(tip)
        self.count = QLabel()
        self.count.setWordWrap(True)
        self.accept = _button("Accept  A", "Keep the proposal under the pointer, else the current")
        self.reject = _button("Reject  X", "What looks like it is proposed later, or not at all")
        self.accept_all = _button(
            "Accept all  Shift+A", "Keep all proposals as one step; the slider says which they are"
        )
        self.forget = _button("End", "Propose nothing any more; what was accepted stays")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row(self.here, self.everywhere))
        layout.addWidget(row(caption, self.value))
        layout.addWidget(self.slider)
        layout.addWidget(self.count)
        grid = QGridLayout()
        grid.setSpacing(4)
        for place, button in enumerate((self.accept, self.reject, self.accept_all, self.forget)):
            grid.addWidget(button, *divmod(place, 2))
        layout.addLayout(grid)
        self.here.clicked.connect(lambda _: self.find_asked.emit(False))
        self.everywhere.clicked.connect(lambda _: self.find_asked.emit(True))
        self.accept.clicked.connect(lambda _: self.accept_asked.emit())
        self.reject.clicked.connect(lambda _: self.reject_asked.emit())
        self.accept_all.clicked.connect(lambda _: self.accept_all_asked.emit())
        self.forget.clicked.connect(lambda _: self.forget_asked.emit())
        self.slider.valueChanged.connect(self._on_slider_moved)
        self._on_slider_moved()
        self.set_count("", False, False)
        self.set_stack(False)

    @property
    def least(self) -> float:
        """Similarity from which on candidates are proposed, 0..1."""
        return float(self.slider.value() / STEPS)

    def set_stack(self, several: bool) -> None:
        """Offer to search all planes where there are several."""
        self.everywhere.setVisible(several)

    def set_count(self, text: str, some: bool, searching: bool) -> None:
        """Say how many are proposed; what cannot be done is disabled."""
        self.count.setText(text or NOTHING)
        for button in (self.accept, self.reject, self.accept_all):
            button.setEnabled(some)
        self.forget.setEnabled(some or searching)

    def _on_slider_moved(self) -> None:
        self.value.setText(f"{self.least:.2f}")
        self.least_changed.emit()


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
