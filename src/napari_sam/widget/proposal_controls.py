"""Controls of proposals: how likely they must be, how many there are, accepted and rejected."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSlider, QVBoxLayout, QWidget

from .controls import row

STEPS = 100
"""Of the slider."""


class ProposalControls(QWidget):  # type: ignore[misc]
    """A slider, a count, and buttons that accept and reject.

    Parameters
    ----------
    caption : str
        Of the slider.
    least : float
        Where the slider stands at first, 0..1.
    tips : (str, str, str, str, str)
        Of the slider, and of the buttons that accept, reject, accept all and end.

    Signals
    -------
    accept_asked, reject_asked, accept_all_asked, forget_asked : no argument
    least_changed : no argument
        Fewer or more are proposed; see `least`.
    """

    accept_asked = Signal()
    reject_asked = Signal()
    accept_all_asked = Signal()
    forget_asked = Signal()
    least_changed = Signal()

    def __init__(self, caption: str, least: float, tips: tuple[str, str, str, str, str]) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setValue(round(least * STEPS))
        self.value = QLabel()
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.count = QLabel()
        self.count.setWordWrap(True)
        label = QLabel(caption)
        for control in (label, self.slider):
            control.setToolTip(tips[0])
        self.accept = button("Accept  A", tips[1])
        self.reject = button("Reject  X", tips[2])
        self.accept_all = button("Accept all  Shift+A", tips[3])
        self.forget = button("End", tips[4])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(row(label, self.value))
        layout.addWidget(self.slider)
        layout.addWidget(self.count)
        grid = QGridLayout()
        grid.setSpacing(4)
        for place, one in enumerate((self.accept, self.reject, self.accept_all, self.forget)):
            grid.addWidget(one, *divmod(place, 2))
        layout.addLayout(grid)
        self.accept.clicked.connect(lambda _: self.accept_asked.emit())
        self.reject.clicked.connect(lambda _: self.reject_asked.emit())
        self.accept_all.clicked.connect(lambda _: self.accept_all_asked.emit())
        self.forget.clicked.connect(lambda _: self.forget_asked.emit())
        self.slider.valueChanged.connect(self._on_slider_moved)
        self._on_slider_moved()

    @property
    def least(self) -> float:
        """How likely a proposal must be, 0..1."""
        return float(self.slider.value() / STEPS)

    def set_count(self, text: str, some: bool, searching: bool) -> None:
        """Say how many are proposed; what cannot be done is disabled."""
        self.count.setText(text)
        for one in (self.accept, self.reject, self.accept_all):
            one.setEnabled(some)
        self.forget.setEnabled(some or searching)

    def _on_slider_moved(self) -> None:
        self.value.setText(f"{self.least:.2f}")
        self.least_changed.emit()


def button(text: str, tip: str) -> QPushButton:
    """Return a button with a tooltip."""
    made = QPushButton(text)
    made.setToolTip(tip)
    return made
