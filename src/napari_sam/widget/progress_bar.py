"""One thin bar for all long work, with a button that cancels it."""

from __future__ import annotations

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QToolButton, QWidget

from .status import Status

SHOW_MS = 100
"""Between two changes of what is shown; work that ends sooner is not shown at all."""
HEIGHT = 16
"""Pixels; its room stays free while nothing runs, so that nothing moves."""


class LongWork(QWidget):  # type: ignore[misc]
    """Shows how far work with a known end is, the newest first; hidden while there is none.

    Qt's bar is made once. It paints itself at once whenever its value changes, so that is changed
    a few times a second only.

    Parameters
    ----------
    status : Status
    """

    def __init__(self, status: Status) -> None:
        super().__init__()
        self._status = status
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(HEIGHT // 2)
        self.button = QToolButton()
        self.button.setText("✕")
        self.button.setToolTip("Cancel; what was done stays")
        self.button.setFixedSize(HEIGHT + 4, HEIGHT)
        self.button.clicked.connect(self._on_button_clicked)
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.bar)
        layout.addWidget(self.button)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._show_value)
        status.progressed.connect(self._on_status_progressed)
        self.hide()

    def _on_status_progressed(self) -> None:
        runs = self._status.measured is not None
        if runs and not self._timer.isActive():
            self._timer.start(SHOW_MS)
        elif not runs and not self.isHidden():
            self.hide()

    def _show_value(self) -> None:
        now = self._status.measured
        if now is not None:
            self.bar.setRange(0, now.total)
            self.bar.setValue(now.done)
            self.bar.setToolTip(now.text)
            self.button.setEnabled(now.cancel is not None)
            self.show()

    def _on_button_clicked(self) -> None:
        now = self._status.measured
        if now is not None and now.cancel is not None:
            now.cancel()
