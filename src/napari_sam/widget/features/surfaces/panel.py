"""A button that shows objects in 3-D, and goes back."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

SHOW, STOP, BACK = "Show in 3-D  G", "Stop  G", "Back to the plane  G"
TIPS = {
    SHOW: "Show the objects in work as surfaces, or those selected in the list, or all",
    STOP: "Make no surfaces; the plane stays shown",
    BACK: "Remove the surfaces and show the plane as it was",
}


class SurfacesPanel(QWidget):  # type: ignore[misc]
    """One button.

    Signals
    -------
    pressed : no argument
    """

    pressed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.button = QPushButton()
        self.button.clicked.connect(lambda _: self.pressed.emit())
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.button)
        self.set_text(SHOW)

    def set_text(self, text: str) -> None:
        """Show what the button does: `SHOW`, `STOP` or `BACK`."""
        self.button.setText(text)
        self.button.setToolTip(TIPS[text])
