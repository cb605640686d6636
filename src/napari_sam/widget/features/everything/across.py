"""Controls of how objects are joined across planes."""

from __future__ import annotations

from math import ceil, log10

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSizePolicy,
)

from .voxels import VoxelSize

LARGEST_VOLUME = 1e12
MOST_DECIMALS = 12


class AcrossPlanes(QGroupBox):  # type: ignore[misc]
    """A stack or a time series; the smallest object, or a button that saves the table of parents.

    Signals
    -------
    changed : no argument
        Planes are to be joined in another way.
    table_asked : no argument
    """

    changed = Signal()
    table_asked = Signal()

    def __init__(self) -> None:
        super().__init__("Across planes")
        self.time_series = QCheckBox("Time series: objects divide")
        self.time_series.setToolTip(
            "Objects are followed from frame to frame. One that divides ends there, and its two "
            "daughters get labels of their own"
        )
        self.volume = QDoubleSpinBox()
        self.volume.setRange(0, LARGEST_VOLUME)
        self.volume.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.volume.setKeyboardTracking(False)  # a number counts when it is complete
        self.volume.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.volume.setToolTip("Objects of a smaller volume go")
        self.table = QPushButton("Save the table of parents ...")
        self.table.setToolTip(
            "One line for each object: label, first frame, last frame, parent or 0. This is the "
            "text format of the Cell Tracking Challenge"
        )
        self.volume_label = QLabel("Smallest volume")
        form = QFormLayout(self)
        form.setContentsMargins(6, 6, 6, 6)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        form.addRow(self.time_series)
        form.addRow(self.volume_label, self.volume)
        form.addRow(self.table)
        self.time_series.toggled.connect(self._on_time_series_toggled)
        self.volume.valueChanged.connect(lambda _: self.changed.emit())
        self.table.clicked.connect(self.table_asked)
        self._offered: tuple[bool, VoxelSize] | None = None
        self.offer(False, VoxelSize())

    @property
    def is_time_series(self) -> bool:
        """Whether objects are followed over time and may divide."""
        return bool(self.time_series.isChecked())

    @property
    def least_volume(self) -> float:
        """The smallest volume of an object, in the unit that was offered."""
        return float(self.volume.value())

    def offer(self, time_series: bool, voxel: VoxelSize) -> None:
        """Show what suits an axis, without a signal; what the user chose for such a one stays.

        Parameters
        ----------
        time_series : bool
            Whether the axis is time.
        voxel : VoxelSize
            Volumes are shown in its unit, with decimals enough for a single voxel.
        """
        before, self._offered = self._offered, (time_series, voxel)
        if before == self._offered:
            return
        self.blockSignals(True)
        if before is None or before[0] != time_series:
            self.time_series.setChecked(time_series)
        if before is None or before[1].unit != voxel.unit:
            self.volume.setValue(0)
            self.volume.setSuffix(f" {voxel.unit}")
        self.volume.setDecimals(min(max(1, ceil(-log10(voxel.volume))), MOST_DECIMALS))
        self.blockSignals(False)
        self._show_rows()

    def _show_rows(self) -> None:
        for row in (self.volume_label, self.volume):
            row.setVisible(not self.is_time_series)
        self.table.setVisible(self.is_time_series)

    def _on_time_series_toggled(self) -> None:
        self._show_rows()
        self.changed.emit()
