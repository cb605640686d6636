"""The list of models, and the offer to download one that is not on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QWidget

from ...controls import Chooser

FRAME = 24  # pixels of the open list beside its text: scroll bar and margins


@dataclass(frozen=True)
class ModelItem:
    """One line of the list.

    Attributes
    ----------
    thing : str
        What is picked: a model's name, or the path of a file.
    short, full : str
        Shown in the closed and in the open list.
    tooltip : str
    """

    thing: str
    short: str
    full: str
    tooltip: str


class ModelChooser(Chooser):
    """A list of models that says more of each while it is open."""

    def __init__(self) -> None:
        super().__init__("The model that answers your prompts", 4)
        self._items: Sequence[ModelItem] = ()

    def set_items(self, items: Sequence[ModelItem], current: str) -> None:
        """Show these models, without a signal."""
        self._items = items
        things = [item.thing for item in items]
        place = things.index(current) if current in things else -1
        self.set_things([item.short for item in items], things, None)
        self.setCurrentIndex(place)
        for row, item in enumerate(items):
            self.setItemData(row, item.tooltip, Qt.ItemDataRole.ToolTipRole)

    def showPopup(self) -> None:
        """Open the list with the full text of each line."""
        for row, item in enumerate(self._items):
            self.setItemText(row, item.full)
        self.view().setMinimumWidth(self.view().sizeHintForColumn(0) + FRAME)
        super().showPopup()

    def hidePopup(self) -> None:
        """Close the list; what stays visible is short."""
        super().hidePopup()
        for row, item in enumerate(self._items):
            self.setItemText(row, item.short)


class OfferPanel(QWidget):  # type: ignore[misc]
    """Describes a model that is not on this machine and offers its download; hidden otherwise.

    Signals
    -------
    download_asked, file_asked, cancel_asked : no argument
    """

    download_asked = Signal()
    file_asked = Signal()
    cancel_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.text = QLabel()
        self.text.setWordWrap(True)
        grid.addWidget(self.text, 0, 0, 1, 2)
        self.download = QPushButton("Download")
        self.download.setToolTip("Fetch the file from its publisher; it is checked and kept")
        self.file = QPushButton("Use a file ...")
        self.file.setToolTip("Load a checkpoint that you have")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("What was received is kept; a later download goes on from there")
        for button, signal, place in (
            (self.download, self.download_asked, (1, 0, 1, 2)),
            (self.file, self.file_asked, (2, 0)),
            (self.cancel, self.cancel_asked, (2, 1)),
        ):
            button.clicked.connect(signal)
            grid.addWidget(button, *place)
        self.withdraw()

    def offer(self, text: str, size: str) -> None:
        """Offer a download of `size`."""
        self.text.setText(text)
        self.download.setText(f"Download {size}")
        self.set_busy(False)
        self.show()

    def set_busy(self, busy: bool) -> None:
        """While a download runs there is nothing but to cancel it."""
        self.download.setVisible(not busy)
        self.file.setVisible(not busy)
        self.cancel.setText("Cancel" if busy else "Not now")

    def withdraw(self) -> None:
        """Offer nothing."""
        self.hide()
