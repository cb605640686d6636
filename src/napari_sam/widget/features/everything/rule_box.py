"""Controls of rules: thresholds under a name, applied to this image or to each new one."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QGroupBox,
    QInputDialog,
    QPushButton,
)

from ...controls import Chooser


class RuleBox(QGroupBox):  # type: ignore[misc]
    """A list of rules, buttons that save and apply one, and a choice to apply it to each image.

    Signals
    -------
    save_asked : str
        Under this name.
    apply_asked : no argument
    """

    save_asked = Signal(str)
    apply_asked = Signal()

    def __init__(self) -> None:
        super().__init__("Rule")
        self.rules = Chooser("Thresholds and sizes that were saved under a name")
        self.rules.picked.connect(self._on_rule_picked)
        self.save = QPushButton("Save as rule ...")
        self.save.setToolTip("Keep thresholds, sizes and seeds under a name, for other images")
        self.apply = QPushButton("Apply rule")
        self.apply.setToolTip("Run on this image as the rule says, and accept all that passes")
        self.to_each = QCheckBox("Apply to each image that is opened")
        self.to_each.setToolTip(
            "As soon as a new image is encoded and has no objects yet, the rule is applied to it; "
            "Ctrl+Z takes its objects back"
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setSpacing(4)
        grid.addWidget(self.rules, 0, 0, 1, 2)
        grid.addWidget(self.save, 1, 0)
        grid.addWidget(self.apply, 1, 1)
        grid.addWidget(self.to_each, 2, 0, 1, 2)
        self.save.clicked.connect(lambda _: self._ask_for_name())
        self.apply.clicked.connect(lambda _: self.apply_asked.emit())
        self._name = ""
        self.set_rules([], "")

    @property
    def name(self) -> str:
        """The rule that is chosen; empty if there is none."""
        return self._name

    def set_rules(self, names: Sequence[str], current: str) -> None:
        """Show the rules that there are; a current one that is not among them is none."""
        things = list(names)
        chosen = next((one for one in things if one == current), things[0] if things else "")
        self._name = chosen
        self.rules.set_things(things or ["no rule yet"], things or [None], chosen or None)
        for part in (self.rules, self.apply, self.to_each):
            part.setEnabled(bool(things))

    def _on_rule_picked(self, name: str) -> None:
        self._name = name

    def _ask_for_name(self) -> None:
        dialog = QInputDialog(self.window())
        dialog.setWindowTitle("Save as rule")
        dialog.setLabelText("Name of the rule")
        dialog.setTextValue(self._name)
        dialog.textValueSelected.connect(self.save_asked)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
