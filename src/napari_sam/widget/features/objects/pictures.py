"""Where an object of a review stands among all others: histograms of risk and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from ....objects.risk import Assessed
from ...histogram import BINS, Histogram


class Pictures(QWidget):  # type: ignore[misc]
    """Two histograms of all objects.

    Attributes
    ----------
    risk : Histogram
        What is still ahead in a review, up to the risk of the object that is shown, is blue.
    size : Histogram
        Logarithmic; the size of the object that is shown is blue.
    """

    def __init__(self) -> None:
        super().__init__()
        self.risk, self.size = Histogram(), Histogram()
        self.risk.setToolTip("Risk of all objects, from 0 to 1; blue: what is still ahead")
        self.size.setToolTip("Sizes of all objects, logarithmic; blue: the size of this one")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(1, 1)
        for row, (name, picture) in enumerate((("Risk", self.risk), ("Size", self.size))):
            grid.addWidget(QLabel(name), row, 0)
            grid.addWidget(picture, row, 1)
        self.hide()

    def show_among(self, one: Assessed, objects: Sequence[Assessed]) -> None:
        """Show where an object stands; sizes are compared with others of its class and kind."""
        self.risk.set_values(np.array([other.risk for other in objects]), 0.0, 1.0)
        self.risk.set_passing(0.0, one.risk)
        kind = one.sides, one.measured.one.category
        alike = [other for other in objects if (other.sides, other.measured.one.category) == kind]
        sizes = np.log([other.size for other in alike if other.size > 0])
        self.size.setEnabled(one.size > 0)
        if one.size > 0:
            low, high = float(sizes.min()), float(sizes.max())
            high = high if high > low else low + 1.0
            self.size.set_values(sizes, low, high)
            half = 0.5 * (high - low) / BINS
            place = min(max(float(np.log(one.size)), low + half), high - half)
            self.size.set_passing(place - half, place + half)
        self.show()
