"""What is unsaved, a button that saves, and a menu of what else there is with files."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget
from superqt import QElidingLabel


class SavingPanel(QWidget):  # type: ignore[misc]
    """One line.

    Signals
    -------
    save_asked, save_as_asked, open_asked, import_asked, import_prompts_asked : no argument
    stop_asked : no argument
        What is being read shall be left.
    """

    save_asked = Signal()
    save_as_asked = Signal()
    open_asked = Signal()
    import_asked = Signal()
    import_prompts_asked = Signal()
    stop_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.state = QElidingLabel()
        self.save = QPushButton("Save")
        self.save.setToolTip("Save the labels, objects and prompts of this image (S)")
        self.save.clicked.connect(lambda _: self.save_asked.emit())
        self.menu = QMenu(self)
        for text, signal in (
            ("Save as, or export ...", self.save_as_asked),
            ("Open a project ...", self.open_asked),
            ("Import objects ...", self.import_asked),
            ("Import prompts ...", self.import_prompts_asked),
        ):
            self.menu.addAction(text).triggered.connect(lambda _, signal=signal: signal.emit())
        self.more = QPushButton("Files")
        self.more.setToolTip("Save elsewhere, export, open, import")
        self.more.setMenu(self.menu)
        self.stop = QPushButton("Stop")
        self.stop.setToolTip("Leave what is being opened; everything stays as it is")
        self.stop.clicked.connect(lambda _: self.stop_asked.emit())
        self.stop.hide()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.state, 1)
        layout.addWidget(self.stop)
        layout.addWidget(self.save)
        layout.addWidget(self.more)

    def set_state(self, text: str, place: str) -> None:
        """Show what is unsaved, and where it goes."""
        self.state.setText(text)
        self.state.setToolTip(f"{text}\n{place}" if place else text)
