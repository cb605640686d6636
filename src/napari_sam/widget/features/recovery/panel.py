"""The bar that offers unsaved work: a picture, a sentence, three buttons."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

SIDE = 96
DELETE, REALLY = "Delete", "Really delete"


class RecoveryPanel(QFrame):  # type: ignore[misc]
    """Hidden until there is something to offer.

    Signals
    -------
    restore_asked, later_asked, delete_asked : no argument
        Deletion is asked for when its button was pressed twice.
    """

    restore_asked = Signal()
    later_asked = Signal()
    delete_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.picture = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.restore = QPushButton("Restore")
        self.restore.setToolTip("Bring labels, objects and prompts back; each step can be undone")
        self.later = QPushButton("Not now")
        self.later.setToolTip("It is offered again when the image is opened the next time")
        self.delete = QPushButton(DELETE)
        self.delete.setToolTip("Remove what was not saved for good")
        self.restore.clicked.connect(self.restore_asked)
        self.later.clicked.connect(self.later_asked)
        self.delete.clicked.connect(self._on_delete_clicked)
        buttons = QHBoxLayout()
        for button in (self.restore, self.later, self.delete):
            buttons.addWidget(button)
        above = QHBoxLayout()
        above.addWidget(self.picture)
        above.addWidget(self.text, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(above)
        layout.addLayout(buttons)
        self.setVisible(False)

    def offer(self, text: str, picture: NDArray[np.uint8]) -> None:
        """Show what can be restored.

        Parameters
        ----------
        text : str
        picture : (h, w, 3) uint8
        """
        height, width = picture.shape[:2]
        image = QImage(picture.data, width, height, 3 * width, QImage.Format.Format_RGB888)
        pixmap = QPixmap.fromImage(image.copy())  # Qt does not keep the array
        self.picture.setPixmap(pixmap.scaled(SIDE, SIDE, Qt.AspectRatioMode.KeepAspectRatio))
        self.text.setText(f"Restore {text}?")
        self.delete.setText(DELETE)
        self.set_busy(False)
        self.setVisible(True)

    def set_busy(self, busy: bool) -> None:
        """While it is restored there is nothing to press."""
        for button in (self.restore, self.later, self.delete):
            button.setEnabled(not busy)

    def _on_delete_clicked(self) -> None:
        if self.delete.text() == DELETE:
            self.delete.setText(REALLY)
        else:
            self.delete_asked.emit()
