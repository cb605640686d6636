"""What is set once and seldom looked at: masks tidied or as they come, how much is kept on disk."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QVBoxLayout, QWidget


class SettingsPanel(QWidget):  # type: ignore[misc]
    """Whether masks are tidied; how much is kept of encoded planes, and a button that empties it.

    Parameters
    ----------
    folder : str
        Where they are kept, for the tooltip.

    Signals
    -------
    empty_asked : no argument
    forget_asked : no argument
        The user wants journals and planes deleted.
    tidy_changed : bool
        The user wants masks tidied, or as the model gives them.
    """

    empty_asked = Signal()
    forget_asked = Signal()
    tidy_changed = Signal(bool)

    def __init__(self, folder: str) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.tidy = QCheckBox("Tidy masks")
        self.tidy.setToolTip(
            "Remove loose pieces from what clicks and boxes give, fill small holes"
        )
        self.tidy.clicked.connect(self.tidy_changed)
        self.usage = QLabel("counting ...")
        self.usage.setWordWrap(True)
        self.usage.setToolTip(f"Planes that need not be encoded again; they lie in {folder}")
        self.empty = QPushButton("Empty the disk cache")
        self.empty.setToolTip("Remove the encoded planes; each is encoded again when it is needed")
        self.empty.clicked.connect(self.empty_asked)
        self.forget = QPushButton("Delete journals and encoded planes")
        self.forget.setToolTip(
            "Remove all that is kept of images outside your own files, as `napari-sam forget` does"
        )
        self.forget.clicked.connect(self.forget_asked)
        layout.addWidget(self.tidy)
        layout.addWidget(self.usage)
        layout.addWidget(self.empty)
        layout.addWidget(self.forget)

    def set_tidy(self, tidy: bool) -> None:
        """Show whether masks are tidied."""
        self.tidy.setChecked(tidy)

    def set_usage(self, text: str) -> None:
        """Show how much is kept."""
        self.usage.setText(text)

    def set_busy(self, busy: bool) -> None:
        """While it counts or empties there is nothing to press."""
        self.empty.setEnabled(not busy)
        self.forget.setEnabled(not busy)
