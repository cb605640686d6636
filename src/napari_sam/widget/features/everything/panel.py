"""The form of everything mode."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ....everything.amg_params import SELECT_FIELDS, AmgParams

SHORT = {
    "min_mask_region_area": "min region area",
    "stability_score_offset": "stability offset",
    "crop_overlap_ratio": "crop overlap",
    "crop_n_layers": "crop layers",
    "crop_n_points_downscale_factor": "crop points ÷",
}
"""Labels that fit a narrow column; the tooltip has SAM's name."""


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
