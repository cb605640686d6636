"""Which layer holds the prompts, what is one object, and what became of each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QSpinBox,
    QWidget,
)

from ...controls import Chooser
from .reading import EACH, Grouping

EACH_NAME = "each prompt"
FAR = 10_000.0
"""The largest distance in which points are merged, pixels."""
LIST_HEIGHT = 110


class BatchPanel(QWidget):  # type: ignore[misc]
    """Chooses a layer and starts a run; lists the prompts that gave no object.

    Signals
    -------
    layer_picked : object
    run_asked : bool
        On all planes, or the one shown.
    cancel_asked, import_asked : no argument
    show_asked : object
        The user wants to see the place of a prompt: what was given to `set_failed` with it.
    """

    layer_picked = Signal(object)
    run_asked = Signal(bool)
    cancel_asked = Signal()
    import_asked = Signal()
    show_asked = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.layer = Chooser("The Points, Shapes or Labels layer whose contents are prompts")
        self.group = Chooser(
            "What is one object: each point or shape, or all that have the same value in a column "
            "of the layer's features"
        )
        self.radius = QDoubleSpinBox()
        self.radius.setRange(0, FAR)
        self.radius.setDecimals(1)
        self.radius.setSuffix(" px")
        self.radius.setSpecialValueText("not")
        self.radius.setToolTip(
            "Merge points that follow each other within this distance, as those of a gaze do, "
            "into one at their mean"
        )
        self.least = QSpinBox()
        self.least.setRange(1, 1000)
        self.least.setSuffix(" points")
        self.least.setSpecialValueText("1 point")
        self.least.setToolTip("Pass over places at which fewer points follow each other")
        self.file = QPushButton("Import prompts ...")
        self.file.setToolTip(
            "Draw the prompts of a file in a layer: COCO results, YOLO, a table (CSV) of points, "
            "boxes or a gaze, ImageJ ROIs, GeoJSON of QuPath"
        )
        self.here = QPushButton("This plane")
        self.here.setToolTip("Make an object of each prompt in the plane shown")
        self.all = QPushButton("All planes")
        self.all.setToolTip("Make an object of each prompt of the layer")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop; what was found in planes that are done is kept")
        self.summary = QLabel()
        self.summary.setWordWrap(True)
        self.failed = QListWidget()
        self.failed.setFixedHeight(LIST_HEIGHT)
        self.failed.setToolTip("Prompts that gave no object; a click shows the place")
        self._lay_out()
        self._connect()
        self.set_busy(False)
        self.set_layer_kind("", ())
        self.set_summary("")
        self.set_failed([])

    @property
    def grouping(self) -> Grouping:
        """Which prompts are one object."""
        name = self.group.currentText()
        column = EACH if name in ("", EACH_NAME) or self.group.isHidden() else name
        if self.radius.isHidden():
            return Grouping(column)
        return Grouping(column, self.radius.value(), self.least.value())

    def set_layer_kind(self, kind: str, columns: Sequence[str], keep: bool = False) -> None:
        """Offer what can be chosen for a layer.

        Parameters
        ----------
        kind : {"points", "shapes", "labels", ""}
        columns : sequence of str
            That can tell which prompts are one object, the likeliest first; `EACH` for none.
        keep : bool
            Whether the column that is chosen stays, if it is still there.
        """
        names = [name or EACH_NAME for name in columns]
        chosen = self.group.currentText() if keep else ""
        first = names[0] if names else None
        self.group.set_things(names, names, next((n for n in names if n == chosen), first))
        for control in (self.group, self._group):
            control.setVisible(len(names) > 1)
        for control in (self.radius, self._radius):
            control.setVisible(kind == "points")
        self.here.setEnabled(bool(kind))
        self.all.setEnabled(bool(kind))
        self._show_least()

    def set_stack(self, several: bool) -> None:
        """Offer all planes, where there are several."""
        self.all.setVisible(several and not self.cancel.isVisibleTo(self))
        self.here.setText("This plane" if several else "Make objects")
        self._several = several

    def set_busy(self, busy: bool) -> None:
        """While a run goes on there is nothing but to cancel it."""
        self.here.setVisible(not busy)
        self.all.setVisible(not busy and self._several)
        self.cancel.setVisible(busy)
        self.file.setEnabled(not busy)

    def set_summary(self, text: str) -> None:
        """Say how many prompts gave an object."""
        self.summary.setText(text)
        self.summary.setVisible(bool(text))

    def set_failed(self, rows: Sequence[tuple[str, Any]]) -> None:
        """List prompts that gave no object: what is said of each, and what is emitted for it."""
        self.failed.clear()
        for text, thing in rows:
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, thing)
            self.failed.addItem(item)
        self.failed.setVisible(bool(rows))

    def _lay_out(self) -> None:
        self._several = True
        self._group, self._radius = QLabel("One object"), QLabel("Merge within")
        self._least = QLabel("at least")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        rows = (
            (QLabel("Layer"), self.layer),
            (self._group, self.group),
            (self._radius, self.radius),
            (self._least, self.least),
        )
        for row, (label, control) in enumerate(rows):
            grid.addWidget(label, row, 0)
            grid.addWidget(control, row, 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.here)
        buttons.addWidget(self.all)
        grid.addLayout(buttons, 4, 0, 1, 2)
        for row, wide in enumerate((self.cancel, self.file, self.summary, self.failed), 5):
            grid.addWidget(wide, row, 0, 1, 2)
        grid.setColumnStretch(1, 1)

    def _connect(self) -> None:
        self.layer.picked.connect(self.layer_picked)
        self.radius.valueChanged.connect(self._show_least)
        self.here.clicked.connect(lambda: self.run_asked.emit(False))
        self.all.clicked.connect(lambda: self.run_asked.emit(True))
        self.cancel.clicked.connect(self.cancel_asked)
        self.file.clicked.connect(lambda _: self.import_asked.emit())
        self.failed.itemClicked.connect(
            lambda item: self.show_asked.emit(item.data(Qt.ItemDataRole.UserRole))
        )

    def _show_least(self) -> None:
        """Offer how many points make a place only where points are merged."""
        for control in (self.least, self._least):
            control.setVisible(not self.radius.isHidden() and self.radius.value() > 0)
