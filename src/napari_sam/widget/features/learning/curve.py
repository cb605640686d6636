"""The curve of a training: the loss of each step, and the IoU on the held-out part."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

HEIGHT = 96
"""Pixels."""
SMOOTH = 0.9
"""Decay of the running mean of the loss; that of single steps jumps."""
MOST = 400
"""Points of a curve; beyond, every other one is dropped."""
MARGIN = 4.0
LEAST_RANGE = 0.05
"""IoU between bottom and top at least: what is less is no change worth looking at."""
LOSS, HELD_OUT, AXIS = QColor(150, 150, 150), QColor(70, 140, 255), QColor(128, 128, 128, 130)


class Curve(QWidget):  # type: ignore[misc]
    """Two lines over the time; the loss is grey, the held-out IoU blue, each in its own range.

    Attributes
    ----------
    losses, scores : list of (float, float)
        Seconds, and the running mean of the loss; seconds, and the IoU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[tuple[float, float]] = []
        self.scores: list[tuple[float, float]] = []
        self._end = 1.0
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Grey: the loss, which falls while the model learns. Blue: the IoU after one click on "
            "objects that it does not learn from"
        )

    def clear(self) -> None:
        """Show nothing."""
        self.losses.clear()
        self.scores.clear()
        self.update()

    def add(self, seconds: float, left: float, loss: float | None, score: float | None) -> None:
        """Add a step.

        Parameters
        ----------
        seconds, left : float
            Spent so far, and left: the right end of the widget is their sum.
        loss, score : float or None
            What is known of it.
        """
        self._end = max(seconds + left, 1e-6)
        if loss is not None and np.isfinite(loss):
            mean = self.losses[-1][1] if self.losses else loss
            self.losses.append((seconds, SMOOTH * mean + (1 - SMOOTH) * loss))
            if len(self.losses) > MOST:
                self.losses = self.losses[::2]
        if score is not None:
            self.scores.append((seconds, score))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw both lines, and the first and the last score in figures."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), AXIS)
        top, base = float(painter.fontMetrics().height()), float(painter.fontMetrics().ascent())
        if self.losses:
            self._draw(painter, np.array(self.losses), LOSS, top, 0.0)
        if self.scores:
            self._draw(painter, np.array(self.scores), HELD_OUT, top, LEAST_RANGE)
            best = max(score for _, score in self.scores)
            painter.setPen(QPen(HELD_OUT))
            text = f"held-out IoU {best:.3f}"
            width = painter.fontMetrics().horizontalAdvance(text)
            painter.drawText(QPointF(self.width() - MARGIN - width, base), text)
        if self.losses:
            painter.setPen(QPen(LOSS))
            painter.drawText(QPointF(MARGIN, base), f"loss {self.losses[-1][1]:.2f}")
        painter.end()

    def _draw(
        self,
        painter: QPainter,
        points: NDArray[np.float64],
        colour: QColor,
        top: float,
        least: float,
    ) -> None:
        """Draw a line through points (seconds, value) from below the text to the bottom."""
        low, high = float(points[:, 1].min()), float(points[:, 1].max())
        middle, span = (low + high) / 2, max(high - low, least, 1e-9)
        high_place, low_place = top + MARGIN, self.height() - 2 * MARGIN
        width = self.width() - 2 * MARGIN
        x = MARGIN + width * np.clip(points[:, 0] / self._end, 0, 1)
        y = low_place - (low_place - high_place) * (points[:, 1] - middle + span / 2) / span
        places = [QPointF(*place) for place in np.stack([x, y], axis=1).tolist()]
        painter.setPen(QPen(colour, 1.5))
        for start, stop in pairwise(places):
            painter.drawLine(start, stop)
        if colour is HELD_OUT:
            painter.setBrush(colour)
            for place in places:
                painter.drawEllipse(place, 2.5, 2.5)
