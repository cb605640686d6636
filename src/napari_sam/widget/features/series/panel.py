"""The images of a series with their states, and buttons that go through them."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .files import State

MARKS: dict[State, str] = {"": "    ", "started": "…  ", "done": "✓  ", "unreadable": "✗  "}
LINES = 6
"""Images that are seen at once."""


class SeriesPanel(QWidget):  # type: ignore[misc]
    """Buttons, "n of m", and a list.

    Signals
    -------
    folder_asked, files_asked, results_asked : no argument
        The user wants to choose images, or the folder of results.
    next_asked, previous_asked : no argument
    save_and_next_asked : no argument
    picked : int
        The user wants this image.
    """

    folder_asked = Signal()
    files_asked = Signal()
    results_asked = Signal()
    previous_asked = Signal()
    next_asked = Signal()
    save_and_next_asked = Signal()
    picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.where = QLabel("Open a folder of images, or several files")
        self.where.setWordWrap(True)
        self.folder = _button("Folder ...", "All images of a folder, one after the other")
        self.files = _button("Files ...", "Chosen images, one after the other")
        self.results = _button("Results ...", "Save beside each image, or in one folder")
        self.previous = _button("Previous", "Save, and go back one image")
        self.next = _button("Next", "Save, and go on to the next image, done or not")
        self.save_and_next = _button(
            "Done, next", "Save, note the image as done, open the next unfinished one (Shift+S)"
        )
        self.list = QListWidget()
        self.list.setFixedHeight(LINES * self.list.fontMetrics().lineSpacing() + 8)
        self.list.itemActivated.connect(lambda item: self.picked.emit(self.list.row(item)))
        for button, signal in (
            (self.folder, self.folder_asked),
            (self.files, self.files_asked),
            (self.results, self.results_asked),
            (self.previous, self.previous_asked),
            (self.next, self.next_asked),
            (self.save_and_next, self.save_and_next_asked),
        ):
            button.clicked.connect(lambda _, signal=signal: signal.emit())
        grid = QGridLayout()
        for column, button in enumerate((self.folder, self.files, self.results)):
            grid.addWidget(button, 0, column)
        for column, button in enumerate((self.previous, self.next, self.save_and_next)):
            grid.addWidget(button, 1, column)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.where)
        layout.addWidget(self.list)
        self.set_busy(True)

    def set_images(self, names: Sequence[str], states: Sequence[State], current: int) -> None:
        """Show the images; `current` is -1 where none is open."""
        if self.list.count() != len(names):
            self.list.clear()
            self.list.addItems([""] * len(names))
        for row, (name, state) in enumerate(zip(names, states, strict=True)):
            item: QListWidgetItem = self.list.item(row)
            item.setText(f"{MARKS[state]}{name}")
            item.setToolTip(f"{name}: {state or 'not begun'}")
        self.list.setCurrentRow(current)
        done = sum(state == "done" for state in states)
        here = f"{current + 1} of {len(names)}" if current >= 0 else f"{len(names)} images"
        self.where.setText(f"{here}, {done} done" if names else "")

    def set_busy(self, busy: bool) -> None:
        """While an image is saved or opened, or there is none, there is nowhere to go."""
        for button in (self.previous, self.next, self.save_and_next, self.list):
            button.setEnabled(not busy)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
