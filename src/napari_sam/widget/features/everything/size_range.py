"""The smallest and the largest size of an object: a slider with two handles on a log axis."""

from __future__ import annotations

from math import exp, inf, log

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget
from superqt import QRangeSlider

from ...histogram import Histogram

STEPS = 100
"""Places of a handle. At both ends there is no limit."""
ROUNDED = 100
"""Larger areas are shown without decimals."""
TIP = (
    "Objects that are smaller than the left handle says, or larger than the right one, go. At the "
    "ends of the slider there is no limit.\nmin_area, max_area: in pixels"
)


class SizeRange(QWidget):  # type: ignore[misc]
    """Limits of size in pixels, shown as areas.

    Attributes
    ----------
    limits : (int, int)
        The smallest and the largest size, pixels; 0: no limit.

    Signals
    -------
    changed : no argument
        The user has set other limits.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.limits = (0, 0)
        self.pixel, self.unit = 1.0, "px"
        self._ends = (1.0, 10_000.0)
        self.readout = QLabel()
        self.readout.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.histogram = Histogram()
        self.slider = QRangeSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]
        self.slider.setRange(0, STEPS)
        self.slider.valueChanged.connect(self._on_slider_value_changed)
        label = QLabel("Size")
        top = QHBoxLayout()
        top.addWidget(label)
        top.addWidget(self.readout)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(top)
        layout.addWidget(self.histogram)
        layout.addWidget(self.slider)
        for part in (label, self.slider, self.histogram):
            part.setToolTip(TIP)
        self._show_limits()

    def set_unit(self, pixel: float, unit: str) -> None:
        """Show areas in another unit: the area of a pixel, and the name of the unit."""
        self.pixel, self.unit = pixel, unit
        self._show_limits()

    def set_areas(self, areas: NDArray[np.float64]) -> None:
        """Show how the sizes of objects are spread, in pixels."""
        if len(areas):
            self._ends = (max(1.0, 0.8 * float(areas.min())), 1.25 * float(areas.max()))
        low, high = (log(end) for end in self._ends)
        self.histogram.set_values(np.log(np.maximum(areas, 1)), low, high)
        self._show_limits()

    def set_limits(self, least: int, greatest: int) -> None:
        """Show other limits, without a signal."""
        self.limits = (least, greatest)
        self._show_limits()

    def _show_limits(self) -> None:
        least, greatest = self.limits
        places = (self._place(least) if least else 0, self._place(greatest) if greatest else STEPS)
        self.slider.blockSignals(True)
        self.slider.setValue(places)
        self.slider.blockSignals(False)
        self.histogram.set_passing(log(max(least, 1e-9)), log(greatest) if greatest else inf)
        low = self._text(least) if least else "any"
        high = self._text(greatest) if greatest else "any"
        both = f"{low} to {high} {self.unit}"
        self.readout.setText("any" if not (least or greatest) else both)

    def _place(self, area: float) -> int:
        """Return the place of a handle, which is at an end only where there is no limit."""
        low, high = (log(end) for end in self._ends)
        place = round(STEPS * (log(max(area, 1)) - low) / (high - low))
        return min(max(place, 1), STEPS - 1)

    def _area(self, place: int) -> int:
        low, high = (log(end) for end in self._ends)
        return max(1, round(exp(low + place / STEPS * (high - low))))

    def _text(self, pixels: int) -> str:
        area = pixels * self.pixel
        return f"{area:.3g}" if self.unit != "px" and area < ROUNDED else f"{area:.0f}"

    def _on_slider_value_changed(self, value: tuple[int, int]) -> None:
        old = self.limits
        low, high = value
        least = 0 if low == 0 else old[0] if old[0] and low == self._place(old[0]) else None
        greatest = (
            0 if high == STEPS else old[1] if old[1] and high == self._place(old[1]) else None
        )
        self.limits = (
            self._area(low) if least is None else least,
            self._area(high) if greatest is None else greatest,
        )
        if self.limits != old:
            self._show_limits()
            self.changed.emit()
