"""What the model sees: a small picture of it, a choice, and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from ...controls import Chooser

COLOURS = ("Red", "Green", "Blue")


class ViewPanel(QWidget):  # type: ignore[misc]
    """What the model sees; hidden while there is nothing to say.

    Attributes
    ----------
    choice : Chooser
        Layer alone, all on screen, or channels.
    colours : tuple of Chooser
        The channels that are red, green and blue.

    Signals
    -------
    colours_picked : no argument
        The user chose another channel for one of the colours.
    """

    colours_picked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.picture = QLabel()
        self.picture.setToolTip("The plane as the model sees it")
        self.choice = Chooser("What the model sees of the image")
        self.colours = tuple(Chooser(f"What the model sees in {c.lower()}", 2) for c in COLOURS)
        self.note = QLabel()
        self.note.setWordWrap(True)
        self._channels = QWidget()
        row = QHBoxLayout(self._channels)
        row.setContentsMargins(0, 0, 0, 0)
        for chooser in self.colours:
            row.addWidget(chooser)
            chooser.picked.connect(lambda _: self.colours_picked.emit())
        self._things: list[Any] = []
        column = QVBoxLayout()
        column.addWidget(self.choice)
        column.addWidget(self.note)
        beside = QHBoxLayout()
        beside.addWidget(self.picture, 0, Qt.AlignmentFlag.AlignTop)
        beside.addLayout(column, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addLayout(beside)
        whole.addWidget(self._channels)
        for layout in (column, whole, row):
            layout.setSpacing(2)
        self.set_picture(None)
        self.set_choices([], [], None)
        self.set_channels([], [], None)
        self.set_note("")

    def set_picture(self, picture: NDArray[np.uint8] | None) -> None:
        """Show a picture (h, w, 3), or none."""
        if picture is None:
            self.picture.setPixmap(QPixmap())
        else:
            h, w = picture.shape[:2]
            rgb = np.ascontiguousarray(picture)
            image = QImage(rgb.data, w, h, 3 * w, QImage.Format.Format_RGB888)
            self.picture.setPixmap(QPixmap.fromImage(image))  # which copies the pixels
        self._show(self.picture, picture is not None)

    def set_choices(self, names: Sequence[str], things: Sequence[Any], current: Any) -> None:
        """Offer what can be seen; a single thing is no choice."""
        self.choice.set_things(names, things, current)
        self._show(self.choice, len(things) > 1)

    def set_channels(
        self, names: Sequence[str], things: Sequence[Any], current: Sequence[Any] | None
    ) -> None:
        """Offer channels for the three colours; hide these where `current` is None."""
        self._things = [*things, None]
        for chooser, thing in zip(self.colours, current or [None] * 3, strict=True):
            chooser.set_things([*names, "none"], self._things, thing)
        self._show(self._channels, current is not None)

    def chosen_channels(self) -> tuple[Any, ...]:
        """Return the channels that are chosen as red, green and blue; None for none."""
        return tuple(self._things[chooser.currentIndex()] for chooser in self.colours)

    def set_note(self, text: str) -> None:
        """Say something of it; nothing takes no room."""
        self.note.setText(text)
        self._show(self.note, bool(text))

    def _show(self, widget: QWidget, shown: bool) -> None:
        """Show a part, and all of it if any part is shown."""
        widget.setVisible(shown)
        parts = (self.picture, self.choice, self._channels, self.note)
        self.setVisible(any(not part.isHidden() for part in parts))
