"""The editing tools as buttons, and what they are set to."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from .lengths import PixelSize

LARGEST = 1e9

ACTIONS = {
    "split": ("Split  I", "Click twice in one object: it becomes two, divided by the model"),
    "merge": ("Merge  M", "Make the selected objects one, with the one under the pointer"),
    "absorb": ("Absorb", "Click an object, then fragments that belong to it"),
    "delete": ("Delete", "Delete each object that is clicked, until Esc"),
    "grow": ("Grow  .", "Make the object larger all around"),
    "shrink": ("Shrink  ,", "Make the object smaller all around"),
    "smooth": ("Smooth  J", "Smooth the outline; the area stays"),
    "fill": ("Fill holes  H", "Fill the holes of the object"),
    "islands": ("Islands", "Remove what lies apart from the largest piece of the object"),
    "snap": ("Snap", "Replace a rough outline by the one that the model sees there"),
}
"""Caption and tooltip of each button, by what it does."""
TOOLS = ("split", "absorb", "delete")
"""Those that wait for clicks, and stay pressed meanwhile."""


class EditingPanel(QWidget):  # type: ignore[misc]
    """Buttons, and lengths and areas in the unit of the image.

    Attributes
    ----------
    buttons : dict of str to QPushButton
        By what they do; see `ACTIONS`.
    everywhere : QCheckBox
        All planes of an object, or the one that is shown.
    radius, smoothing, hole, island : QDoubleSpinBox
        0 is what they say instead of a number.

    Signals
    -------
    asked : str
        What is to be done; see `ACTIONS`.
    """

    asked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.buttons = {name: self._button(name) for name in ACTIONS}
        self.everywhere = QCheckBox("All planes of the object")
        self.everywhere.setToolTip("Tools change all planes of an object, or only the one shown")
        self.radius = _spin("1 pixel", "How far Grow and Shrink move the outline")
        self.smoothing = _spin("2 pixels", "Bumps and notches smaller than this go")
        self.hole = _spin("all", "The largest hole that is filled")
        self.island = _spin("all but the largest", "The smallest piece that stays")
        self._tool = ""
        self._pixel = PixelSize()
        self._lay_out()
        self.set_pixel(self._pixel)

    def set_pixel(self, pixel: PixelSize) -> None:
        """Show lengths and areas in the unit of an image; in another unit they start anew."""
        before, self._pixel = self._pixel, pixel
        if pixel.unit == before.unit and self.radius.suffix():
            return
        for spin, power in ((self.radius, ""), (self.smoothing, ""), (self.hole, "²"),
                            (self.island, "²")):  # fmt: skip
            spin.setValue(0)
            spin.setSuffix(f" {pixel.unit}{power if pixel.unit != 'px' else ''}")

    def length(self, spin: QDoubleSpinBox, pixels: int) -> tuple[tuple[float, float], float]:
        """Return the sides of a pixel, and a length in their unit; 0 is so many pixels."""
        return self._pixel.sides, spin.value() or pixels * self._pixel.side

    def area(self, spin: QDoubleSpinBox) -> float | None:
        """Return an area in pixels; None for what 0 stands for."""
        return spin.value() / self._pixel.area or None

    @property
    def tool(self) -> str:
        """The tool that waits for clicks; empty for none."""
        return self._tool

    def set_tool(self, name: str) -> None:
        """Show which tool waits for clicks; empty for none."""
        self._tool = name
        for tool in TOOLS:
            self.buttons[tool].setChecked(tool == name)

    def set_stack(self, several: bool) -> None:
        """Show whether the image has several planes."""
        self.everywhere.setVisible(several)

    def _button(self, name: str) -> QPushButton:
        text, tip = ACTIONS[name]
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setCheckable(name in TOOLS)
        button.clicked.connect(lambda _=False: self.asked.emit(name))
        return button

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        grid = QGridLayout()
        for place, button in enumerate(self.buttons.values()):
            grid.addWidget(button, place // 2, place % 2)
        layout.addLayout(grid)
        layout.addWidget(self.everywhere)
        form = QFormLayout()
        form.addRow("Grow, shrink by", self.radius)
        form.addRow("Smooth over", self.smoothing)
        form.addRow("Fill holes up to", self.hole)
        form.addRow("Islands below", self.island)
        layout.addLayout(form)


def _spin(zero: str, tip: str) -> QDoubleSpinBox:
    """Return a field for a length or an area; 0 stands for something said in words."""
    spin = QDoubleSpinBox()
    spin.setRange(0, LARGEST)
    spin.setDecimals(3)
    spin.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    spin.setSpecialValueText(zero)
    spin.setToolTip(tip)
    spin.setMinimumWidth(60)
    return spin
