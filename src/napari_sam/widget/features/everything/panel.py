"""The form of everything mode: buttons, thresholds that act at once, settings of the next run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from magicgui.widgets import create_widget
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from ....everything.amg_params import SELECT_FIELDS, AmgParams
from ....everything.rules import SIZES
from ....everything.spread import Spread
from ...controls import Chooser, Section, row
from ...histogram import Histogram
from .across import AcrossPlanes
from .rule_box import RuleBox
from .size_range import SizeRange
from .text_box import TextBox
from .verdict_box import VerdictBox


class Words(NamedTuple):
    """How a parameter is called in the dock, and what it does to the result."""

    label: str
    effect: str


WORDS = {
    "pred_iou_thresh": Words("Least quality", "Higher: fewer objects, those of the best score"),
    "stability_score_thresh": Words(
        "Least sharpness", "Higher: fewer objects, those with a distinct edge"
    ),
    "box_nms_thresh": Words(
        "Overlap allowed", "Lower: of two objects that overlap, only the better one stays"
    ),
    "crop_nms_thresh": Words(
        "Overlap between tiles", "The same for objects of two tiles; needs tiles"
    ),
    "min_mask_region_area": Words(
        "Smallest piece (px)", "Objects, loose pieces and holes of fewer pixels go"
    ),
    "seeds": Words(
        "Look for objects", "By the model itself, if it can, or at the points of a grid"
    ),
    "points_per_side": Words(
        "Points per side", "Of the grid. More: smaller objects are found, it takes longer"
    ),
    "skip_points": Words(
        "Points in objects", "Skip: faster; parts of an object that was found are not found"
    ),
    "look_closer": Words(
        "Small objects", "Look closer: if most objects are small, again at enlarged tiles; slower"
    ),
    "points_per_batch": Words(
        "Points at a time", "Fewer: less memory is needed; the result is the same"
    ),
    "stability_score_offset": Words(
        "Sharpness test", "Higher: edges have to be more distinct for the same sharpness"
    ),
    "crop_n_layers": Words(
        "Tile levels", "1: look at 4 enlarged tiles, too, 2: at 16 more; finds small objects"
    ),
    "crop_overlap_ratio": Words(
        "Tile overlap", "More: objects on the border of two tiles are found whole"
    ),
    "crop_n_points_downscale_factor": Words(
        "Fewer points in tiles", "2: half as many points per side in each level; faster"
    ),
}
"""In the order of the form; the tooltips have SAM's names, too."""
CHOICES = {
    "seeds": {"grid": "on a grid", "auto": "by the model"},
    "skip_points": {"nothing": "ask", "found": "skip"},
    "look_closer": {"auto": "look closer", "never": "do not"},
}
COMPARED = {"pred_iou_thresh": "ious", "stability_score_thresh": "stabilities"}
"""What a threshold is compared with: a field of `Spread`."""
LIVE = tuple(name for name in SELECT_FIELDS if name not in SIZES)
"""Parameters that act at once and have a control of their own."""
BETWEEN_TILES = "crop_nms_thresh"
FIRST = ("seeds", "points_per_side")
"""Parameters of a run that are always seen; the others are in a section of their own."""


class EverythingPanel(QWidget):  # type: ignore[misc]
    """The form of `AmgParams` and its buttons.

    Parameters
    ----------
    defaults : AmgParams

    Attributes
    ----------
    widgets : dict of str to magicgui widget
        By the name of their parameter.
    size : SizeRange
        Of an object, in the plane.
    histograms : dict of str to Histogram
        By the name of the parameter that they stand over.
    verdicts : VerdictBox
    text : TextBox
    rule : RuleBox

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
        self.widgets = params_widgets(defaults)
        self._readouts: dict[str, QLabel] = {}
        self.histograms = {name: Histogram() for name in COMPARED}
        self.size = SizeRange()
        self.size.changed.connect(self.thresholds_changed)
        for name in LIVE:
            self.widgets[name].changed.connect(lambda _: self.thresholds_changed.emit())
        self.planes = Chooser('Which planes "All planes" means')
        self.planes_row = row(QLabel("Planes"), self.planes)
        more = [name for name in WORDS if name not in (*SELECT_FIELDS, *FIRST)]
        self.more = Section("More settings", self._form(more))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.planes_row)
        layout.addWidget(self._buttons())
        self.verdicts = VerdictBox()
        layout.addWidget(self.verdicts)
        self.text = TextBox()
        layout.addWidget(self.text)
        tiles = self._tiles = self._form([BETWEEN_TILES])
        shown = self._form([name for name in LIVE if name != BETWEEN_TILES])
        layout.addWidget(_group("Change the result at once", self.size, shown, tiles))
        self.across = AcrossPlanes()
        layout.addWidget(self.across)
        self.rule = RuleBox()
        layout.addWidget(self.rule)
        layout.addWidget(_group("For the next run", self._form(FIRST), self.more))
        self._show_values()
        self.set_extents([], [], None)
        self.set_busy(False)

    def set_extents(self, names: Sequence[str], things: Sequence[Any], current: Any) -> None:
        """Offer several meanings of "all planes"; none hides the choice."""
        self.planes.set_things(names, things, current)
        self.planes_row.setVisible(bool(names))

    def set_all_tip(self, text: str) -> None:
        """Say what the button for all planes does."""
        self.stack_button.setToolTip(text)

    def set_busy(self, busy: bool) -> None:
        """Enable the buttons that make sense."""
        self.plane_button.setEnabled(not busy)
        self.stack_button.setEnabled(not busy)
        self.planes.setEnabled(not busy)
        self.across.table.setEnabled(not busy)
        self.cancel_button.setEnabled(busy)
        self.rule.apply.setEnabled(not busy and bool(self.rule.name))

    def set_spread(self, spread: Spread, divided: bool) -> None:
        """Show what was found, whatever the thresholds are.

        Parameters
        ----------
        spread : Spread
        divided : bool
            Whether a plane was looked at in tiles.
        """
        for name, histogram in self.histograms.items():
            histogram.set_values(getattr(spread, COMPARED[name]), 0.0, 1.0)
        self.size.set_areas(spread.areas)
        self._tiles.setVisible(divided)

    def set_params(self, params: AmgParams) -> None:
        """Show other parameters, without a signal."""
        self.size.set_limits(params.min_area, params.max_area)
        for name, widget in self.widgets.items():
            with widget.changed.blocked():
                widget.value = getattr(params, name)
        self._show_values()

    def params(self) -> AmgParams:
        """Return what the form says."""
        least, greatest = self.size.limits
        params = AmgParams(**{name: widget.value for name, widget in self.widgets.items()})
        return replace(params, min_area=least, max_area=greatest)

    def _buttons(self) -> QWidget:
        self.plane_button = QPushButton("This plane")
        self.plane_button.setToolTip("Find every object of the plane shown")
        self.plane_button.clicked.connect(lambda: self.run_asked.emit(False))
        self.stack_button = QPushButton("All planes")
        self.stack_button.clicked.connect(lambda: self.run_asked.emit(True))
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; what was found stays")
        self.cancel_button.clicked.connect(self.cancel_asked)
        return row(self.plane_button, self.stack_button, self.cancel_button)

    def _readout(self, name: str) -> QLabel:
        """Return a label that shows the value of a slider."""
        label = self._readouts[name] = QLabel()
        label.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.widgets[name].changed.connect(self._show_values)
        return label

    def _show_values(self) -> None:
        for name, label in self._readouts.items():
            label.setText(f"{self.widgets[name].value:.2f}")
        for name, histogram in self.histograms.items():
            histogram.set_passing(self.widgets[name].value)

    def _form(self, names: Iterable[str]) -> QWidget:
        """Return a form of some parameters; a slider has the full width below its label."""
        box = QWidget()
        form = QFormLayout(box)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name in names:
            widget, label = self.widgets[name], QLabel(WORDS[name].label)
            label.setToolTip(widget.tooltip)
            if widget.widget_type == "FloatSlider":
                form.addRow(row(label, self._readout(name)))
                if name in self.histograms:
                    form.addRow(self.histograms[name])
                form.addRow(widget.native)
            else:
                widget.native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
                form.addRow(label, widget.native)
        return box


def params_widgets(defaults: AmgParams) -> dict[str, Any]:
    """Make a widget for each field of `AmgParams` that has limits or choices, sizes apart."""
    widgets = {}
    for option in fields(AmgParams):
        if not option.metadata or option.name in SIZES:
            continue
        name, value = option.name, getattr(defaults, option.name)
        options = {key: limit for key, limit in option.metadata.items() if key != "help"}
        if isinstance(value, float):
            options["readout"] = False  # the form has it beside the label
        if name in CHOICES:
            options["choices"] = [(CHOICES[name][one], one) for one in options["choices"]]
        label, effect = WORDS[name]
        kinds = {int: "SpinBox", float: "FloatSlider", str: "ComboBox"}
        widgets[name] = create_widget(
            value=value,
            name=name,
            label=label,
            widget_type=kinds[type(value)],
            options={**options, "tooltip": f"{effect}.\n{name}: {option.metadata['help']}"},
        )
    return widgets


def _group(title: str, *parts: QWidget) -> QGroupBox:
    group = QGroupBox(title)
    layout = QVBoxLayout(group)
    layout.setContentsMargins(6, 6, 6, 6)
    layout.setSpacing(4)
    for part in parts:
        layout.addWidget(part)
    return group
