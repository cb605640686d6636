"""Controls of what becomes of the proposals: accepted, rejected, or hidden by kept objects."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QGroupBox, QLabel, QPushButton

ACCEPT, REJECT = "accept", "reject"


class VerdictBox(QGroupBox):  # type: ignore[misc]
    """A count, buttons that accept and reject, and tools that make a click do so.

    Signals
    -------
    accept_asked, reject_asked, accept_all_asked : no argument
    tool_changed : str
        What a click does from now on: "accept", "reject", or "" as before.
    only_new_changed : bool
    sheet_asked : no argument
    """

    accept_asked = Signal()
    reject_asked = Signal()
    accept_all_asked = Signal()
    tool_changed = Signal(str)
    only_new_changed = Signal(bool)
    sheet_asked = Signal()

    def __init__(self) -> None:
        super().__init__("Proposals")
        self.count = QLabel()
        self.count.setWordWrap(True)
        self.accept = _button(
            "Accept", "Make an object of the proposal under the pointer, or of the one selected (A)"
        )
        self.reject = _button(
            "Reject", "The proposal under the pointer, or the one selected, goes for good (X)"
        )
        self.accept_all = _button(
            "Accept all", "Make objects of all proposals that are shown, in one step (Shift+A)"
        )
        self.click_accepts = _button("Click accepts", "Each click on a proposal accepts it")
        self.click_rejects = _button("Click rejects", "Each click on a proposal rejects it")
        for button in (self.click_accepts, self.click_rejects):
            button.setCheckable(True)
        self.only_new = QCheckBox("Only where nothing is labelled yet")
        self.only_new.setChecked(True)
        self.only_new.setToolTip(
            "Proposals that lie on objects of the layer named by Into, by more than half, are not "
            "shown; others get free pixels only"
        )
        grid = QGridLayout(self)
        grid.setContentsMargins(6, 6, 6, 6)
        grid.setSpacing(4)
        grid.addWidget(self.count, 0, 0, 1, 6)
        for place, button in enumerate((self.accept, self.reject, self.accept_all)):
            grid.addWidget(button, 1, 2 * place, 1, 2)
        for place, button in enumerate((self.click_accepts, self.click_rejects)):
            grid.addWidget(button, 2, 3 * place, 1, 3)
        grid.addWidget(self.only_new, 3, 0, 1, 6)
        self.sheet = _button("Contact sheet ...", "Look at small pictures of the kept objects")
        grid.addWidget(self.sheet, 4, 0, 1, 6)
        self.sheet.clicked.connect(lambda _: self.sheet_asked.emit())
        self.accept.clicked.connect(lambda _: self.accept_asked.emit())
        self.reject.clicked.connect(lambda _: self.reject_asked.emit())
        self.accept_all.clicked.connect(lambda _: self.accept_all_asked.emit())
        self.click_accepts.clicked.connect(lambda on: self._choose(ACCEPT if on else ""))
        self.click_rejects.clicked.connect(lambda on: self._choose(REJECT if on else ""))
        self.only_new.toggled.connect(self.only_new_changed)
        self.set_count("", False)

    @property
    def tool(self) -> str:
        """What a click does: "accept", "reject", or "" as usual."""
        if self.click_accepts.isChecked():
            return ACCEPT
        return REJECT if self.click_rejects.isChecked() else ""

    def set_tool(self, tool: str) -> None:
        """Show which tool is in use, without a signal."""
        self.click_accepts.setChecked(tool == ACCEPT)
        self.click_rejects.setChecked(tool == REJECT)

    def set_only_new(self, wanted: bool) -> None:
        """Show whether kept objects hide proposals, without a signal."""
        self.only_new.blockSignals(True)
        self.only_new.setChecked(wanted)
        self.only_new.blockSignals(False)

    def set_count(self, text: str, enabled: bool) -> None:
        """Say how many proposals are shown; without any there is nothing to accept."""
        self.count.setText(text or "none yet: run on this plane or on all planes")
        for button in (
            self.accept,
            self.reject,
            self.accept_all,
            self.click_accepts,
            self.click_rejects,
        ):
            button.setEnabled(enabled)

    def _choose(self, tool: str) -> None:
        self.set_tool(tool)
        self.tool_changed.emit(tool)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
