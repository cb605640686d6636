"""What is set once and seldom looked at: masks, keys, name, what is kept on disk."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from ....preferences import LEAST_QUOTA

GIGABYTE = 1e9
MOST_GIGABYTES = 10_000.0


class SettingsPanel(QWidget):  # type: ignore[misc]
    """Whether masks are tidied, keys, the user's name; what is kept of encoded planes, and where.

    Signals
    -------
    empty_asked : no argument
    forget_asked : no argument
        The user wants journals and planes deleted.
    tidy_changed : bool
        The user wants masks tidied, or as the model gives them.
    keys_asked, folder_asked : no argument
        The user wants to change keys, or the folder of the encoded planes.
    annotator_changed : str
    quota_changed : int
        Bytes.
    """

    empty_asked = Signal()
    forget_asked = Signal()
    tidy_changed = Signal(bool)
    keys_asked = Signal()
    folder_asked = Signal()
    annotator_changed = Signal(str)
    quota_changed = Signal("qint64")

    def __init__(self) -> None:
        super().__init__()
        self.tidy = QCheckBox("Tidy masks")
        self.tidy.setToolTip(
            "Remove loose pieces from what clicks and boxes give, fill small holes"
        )
        self.keys = QPushButton("Keys ...")
        self.keys.setToolTip("See all keys, and change them")
        self.annotator = QLineEdit()
        self.annotator.setPlaceholderText("not noted")
        self.annotator.setToolTip("Your name, noted with each object that you commit")
        self.usage = QLabel("counting ...")
        self.usage.setWordWrap(True)
        self.quota = QDoubleSpinBox()
        self.quota.setRange(LEAST_QUOTA / GIGABYTE, MOST_GIGABYTES)
        self.quota.setDecimals(1)
        self.quota.setSuffix(" GB")
        self.quota.setKeyboardTracking(False)
        self.quota.setToolTip(
            "How much of encoded planes is kept on disk; beyond that, those used longest ago go"
        )
        self.folder = QPushButton("Folder ...")
        self.empty = QPushButton("Empty the disk cache")
        self.empty.setToolTip("Remove the encoded planes; each is encoded again when it is needed")
        self.forget = QPushButton("Delete journals and encoded planes")
        self.forget.setToolTip(
            "Remove all that is kept of images outside your own files, as `napari-sam forget` does"
        )
        self._lay_out()
        self._connect()

    def set_tidy(self, tidy: bool) -> None:
        """Show whether masks are tidied."""
        self.tidy.setChecked(tidy)

    def set_annotator(self, name: str) -> None:
        """Show the user's name."""
        self.annotator.setText(name)

    def set_cache(self, folder: str, quota: int, fixed_by: str = "") -> None:
        """Show where encoded planes are kept, and how many bytes at most.

        Parameters
        ----------
        folder : str
        quota : int
        fixed_by : str
            The environment variable that names the folder; empty if it can be chosen.
        """
        self.usage.setToolTip(f"Planes that need not be encoded again; they lie in {folder}")
        self.folder.setEnabled(not fixed_by)
        self.folder.setToolTip(
            f"{fixed_by} names the folder: {folder}"
            if fixed_by
            else f"Where encoded planes are kept; now {folder}"
        )
        self.quota.blockSignals(True)
        self.quota.setValue(quota / GIGABYTE)
        self.quota.blockSignals(False)

    def set_usage(self, text: str) -> None:
        """Show how much is kept."""
        self.usage.setText(text)

    def set_busy(self, busy: bool) -> None:
        """While it counts or empties there is nothing to press."""
        self.empty.setEnabled(not busy)
        self.forget.setEnabled(not busy)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.tidy, 0, 0, 1, 2)
        grid.addWidget(self.keys, 0, 2)
        grid.addWidget(QLabel("Annotator"), 1, 0)
        grid.addWidget(self.annotator, 1, 1, 1, 2)
        grid.addWidget(QLabel("Disk cache"), 2, 0)
        grid.addWidget(self.quota, 2, 1)
        grid.addWidget(self.folder, 2, 2)
        for row, wide in enumerate((self.usage, self.empty, self.forget), 3):
            grid.addWidget(wide, row, 0, 1, 3)
        grid.setColumnStretch(1, 1)

    def _connect(self) -> None:
        self.tidy.clicked.connect(self.tidy_changed)
        self.keys.clicked.connect(self.keys_asked)
        self.annotator.editingFinished.connect(
            lambda: self.annotator_changed.emit(self.annotator.text().strip())
        )
        self.quota.valueChanged.connect(
            lambda value: self.quota_changed.emit(round(value * GIGABYTE))
        )
        self.folder.clicked.connect(self.folder_asked)
        self.empty.clicked.connect(self.empty_asked)
        self.forget.clicked.connect(self.forget_asked)
