"""Controls that several parts of the dock use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy


class Chooser(QComboBox):  # type: ignore[misc]
    """A list of named things that shrinks to a narrow column.

    Signals
    -------
    picked : object
        The thing that the user chose.
    """

    picked = Signal(object)

    def __init__(self, tooltip: str, letters: int = 6) -> None:
        super().__init__()
        self.setToolTip(tooltip)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumContentsLength(letters)
        adjust = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.setSizeAdjustPolicy(adjust)
        self.activated.connect(lambda index: self.picked.emit(self._things[index]))
        self._things: list[Any] = []

    def set_things(self, names: Sequence[str], things: Sequence[Any], current: Any) -> None:
        """Show other things, without a signal."""
        self.blockSignals(True)
        self.clear()
        self._things = list(things)
        self.addItems(list(names))
        places = [k for k, thing in enumerate(things) if thing is current]
        self.setCurrentIndex(places[0] if places else -1)
        self.blockSignals(False)
