"""The dock's parts: setters in, signals out; they know no model, layer or file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ..everything.amg_params import SELECT_FIELDS, AmgParams

SHORT = {
    "min_mask_region_area": "min region area",
    "stability_score_offset": "stability offset",
    "crop_overlap_ratio": "crop overlap",
    "crop_n_layers": "crop layers",
    "crop_n_points_downscale_factor": "crop points ÷",
}
"""Labels that fit a narrow column; the tooltip has SAM's name."""


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


class SourcePanel(QWidget):  # type: ignore[misc]
    """Image, model, device and the Labels layer that objects go to.

    Parameters
    ----------
    model, offer : QWidget
        The list of models, and what appears under it.
    devices : sequence of str
    """

    def __init__(self, model: QWidget, offer: QWidget, devices: Sequence[str]) -> None:
        super().__init__()
        self.image = Chooser("The image layer to segment; it is never changed")
        self.device = Chooser("Where the model runs; auto takes the fastest there is", 3)
        self.results = Chooser("The Labels layer that committed objects are written to")
        self.device.set_things(devices, devices, devices[0])
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        both = QHBoxLayout()
        both.addWidget(model, 3)
        both.addWidget(self.device, 2)
        form.addRow("Image", self.image)
        form.addRow("Model", both)
        form.addRow(offer)
        form.addRow("Into", self.results)


class PromptPanel(QWidget):  # type: ignore[misc]
    """Kind of the next point, tool, candidate, commit, clear and undo.

    Signals
    -------
    kind_picked : str
    tool_picked : str
    next_asked, commit_asked, clear_asked, undo_asked : no argument
    """

    kind_picked = Signal(str)
    tool_picked = Signal(str)
    next_asked = Signal()
    commit_asked = Signal()
    clear_asked = Signal()
    undo_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self._kinds, kinds = _choice(
            {
                "object": "The next point lies on the object",
                "background": "The next point lies beside it",
            }
        )
        self._tools, tools = _choice(
            {
                "points": "Click on the image to add a point; hold Shift to see the object first",
                "boxes": "Drag a box around an object",
            }
        )
        for row, (box, key) in enumerate(((kinds, "T"), (tools, "W"))):
            grid.addWidget(box, row, 0)
            grid.addWidget(QLabel(key), row, 1, Qt.AlignmentFlag.AlignRight)
        self._kinds.buttonClicked.connect(lambda b: self.kind_picked.emit(b.text()))
        self._tools.buttonClicked.connect(lambda b: self.tool_picked.emit(b.text()))
        self.answer = QLabel("no object yet")
        self.answer.setToolTip("Candidate shown, score the model gives it, size of the object")
        grid.addWidget(self.answer, 2, 0, 1, 2)
        buttons = QGridLayout()
        wanted = (
            ("Commit  Enter", self.commit_asked, "Write the object into the Labels layer"),
            ("Clear  Esc", self.clear_asked, "Remove the prompts of this plane"),
            ("Next answer  N", self.next_asked, "Show another mask for the same prompts"),
            ("Undo  Ctrl+Z", self.undo_asked, "Take the last committed object back"),
        )
        for place, (text, signal, tip) in enumerate(wanted):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(signal)
            buttons.addWidget(button, place // 2, place % 2)
        grid.addLayout(buttons, 3, 0, 1, 2)

    def set_kind(self, kind: str) -> None:
        """Show which kind the next points are."""
        _check(self._kinds, kind)

    def set_tool(self, tool: str) -> None:
        """Show whether clicks make points or boxes."""
        _check(self._tools, tool)

    def set_answer(self, text: str) -> None:
        """Show candidate, score and size."""
        self.answer.setText(text)


class EverythingPanel(QWidget):  # type: ignore[misc]
    """The form of `AmgParams` and its buttons.

    Signals
    -------
    run_asked : bool
        All planes, or the one that is shown.
    cancel_asked : no argument
    thresholds_changed : no argument
        One of the parameters that need no new run.
    """

    run_asked = Signal(bool)
    cancel_asked = Signal()
    thresholds_changed = Signal()

    def __init__(self, defaults: AmgParams) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.widgets = params_widgets(defaults)
        for name in SELECT_FIELDS:
            self.widgets[name].changed.connect(lambda _: self.thresholds_changed.emit())
        row = QHBoxLayout()
        self.plane_button = QPushButton("This plane")
        self.stack_button = QPushButton("All planes")
        self.cancel_button = QPushButton("Cancel")
        tips = (
            "Find every object of the plane shown",
            "Find every object of every plane, and link them",
            "Stop; what was found stays",
        )
        buttons = (self.plane_button, self.stack_button, self.cancel_button)
        for button, tip in zip(buttons, tips, strict=True):
            button.setToolTip(tip)
            row.addWidget(button)
        self.plane_button.clicked.connect(lambda: self.run_asked.emit(False))
        self.stack_button.clicked.connect(lambda: self.run_asked.emit(True))
        self.cancel_button.clicked.connect(self.cancel_asked)
        layout.addLayout(row)
        self.progress = QProgressBar()
        layout.addWidget(self.progress)
        form = QFormLayout()
        for name, widget in self.widgets.items():
            label = QLabel(SHORT.get(name, name.removesuffix("_thresh").replace("_", " ")))
            label.setToolTip(widget.tooltip)
            form.addRow(label, widget.native)
        layout.addLayout(form)
        self.set_busy(False)

    def set_busy(self, busy: bool) -> None:
        """Enable the buttons that make sense."""
        self.plane_button.setEnabled(not busy)
        self.stack_button.setEnabled(not busy)
        self.cancel_button.setEnabled(busy)
        if not busy:
            self.progress.hide()

    def set_progress(self, done: int, total: int) -> None:
        """Show how far a run is."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.show()

    def set_params(self, params: AmgParams) -> None:
        """Show other parameters, without a signal."""
        for name, widget in self.widgets.items():
            with widget.changed.blocked():
                widget.value = getattr(params, name)

    def params(self) -> AmgParams:
        """Return what the form says."""
        return AmgParams(**{name: widget.value for name, widget in self.widgets.items()})


def params_widgets(defaults: AmgParams) -> dict[str, Any]:
    """Make a widget for each field of `AmgParams`; those that re-select at once come first."""
    options = [option for option in fields(AmgParams) if option.metadata]
    options.sort(key=lambda option: option.name not in SELECT_FIELDS)
    widgets = {}
    for option in options:
        limits = {k: v for k, v in option.metadata.items() if k != "help"}
        value = getattr(defaults, option.name)
        kinds = {int: "SpinBox", float: "FloatSlider", str: "ComboBox"}
        widgets[option.name] = create_widget(
            value=value,
            name=option.name,
            widget_type=kinds[type(value)],
            options={**limits, "tooltip": f"{option.name}: {option.metadata['help']}"},
        )
    return widgets


def _choice(options: dict[str, str]) -> tuple[QButtonGroup, QWidget]:
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    group = QButtonGroup(box)
    for text, tip in options.items():
        button = QRadioButton(text)
        button.setToolTip(tip)
        group.addButton(button)
        layout.addWidget(button)
    group.buttons()[0].setChecked(True)
    return group, box


def _check(group: QButtonGroup, text: str) -> None:
    for button in group.buttons():
        if button.text() == text:
            button.setChecked(True)
