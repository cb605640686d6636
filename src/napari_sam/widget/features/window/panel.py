"""The choice of a window, seen only where an image is in Hounsfield units."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QWidget

from ...controls import Chooser


class WindowPanel(QWidget):  # type: ignore[misc]
    """One list.

    Signals
    -------
    picked : str, the name of a window
    """

    picked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.choice = Chooser("Which Hounsfield units are black and white; Shift+W: the next")
        self.choice.picked.connect(self.picked)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Window", self.choice)

    def set_windows(self, texts: Sequence[str], names: Sequence[str], current: str | None) -> None:
        """Show the windows that there are; None for limits that are none of them."""
        self.choice.set_things(texts, names, current)
