"""A small histogram over a slider: how a score is spread, and which part passes its threshold."""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF
from qtpy.QtGui import QColor, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

BINS = 50
HEIGHT = 28
"""Pixels."""
PASSING, FAILING = QColor(70, 140, 255), QColor(128, 128, 128, 130)


class Histogram(QWidget):  # type: ignore[misc]
    """Bars; those of values that pass are blue, all others grey.

    Attributes
    ----------
    counts : (BINS,) int
    passing : (float, float)
        The least and the greatest value that pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: NDArray[np.intp] = np.zeros(BINS, np.intp)
        self.passing = (-inf, inf)
        self._range = (0.0, 1.0)
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def set_values(self, values: NDArray[np.float64], low: float, high: float) -> None:
        """Show other values.

        Parameters
        ----------
        values : (N,) float64
            Those beyond the ends are shown in the first or the last bar.
        low, high : float
            Left and right end of the widget.
        """
        self._range = (low, high)
        self.counts, _ = np.histogram(np.clip(values, low, high), BINS, (low, high))
        self.update()

    def set_passing(self, low: float, high: float = inf) -> None:
        """Show which values pass."""
        self.passing = (low, high)
        self.update()

    @property
    def middles(self) -> NDArray[np.float64]:
        """The value in the middle of each bar, (BINS,)."""
        low, high = self._range
        return low + (np.arange(BINS) + 0.5) * (high - low) / BINS

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars; the height is the root of the count, so that rare values are seen."""
        painter = QPainter(self)
        width, height = self.width() / BINS, float(self.height())
        painter.fillRect(QRectF(0, height - 1, self.width(), 1), FAILING)
        tallest = max(1, int(self.counts.max()))
        low, high = self.passing
        for place, (count, value) in enumerate(zip(self.counts, self.middles, strict=True)):
            if count:
                tall = max(2.0, (height - 2) * float(np.sqrt(count / tallest)))
                bar = QRectF(place * width, height - tall, max(width - 1, 1.0), tall)
                painter.fillRect(bar, PASSING if low <= value <= high else FAILING)
        painter.end()
