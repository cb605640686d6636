"""Tool, kind of the next prompt, answer shown, and what can be done with it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QWidget,
)
from superqt import QElidingLabel

from ....predict.prompt_kinds import PROMPT_KINDS
from .candidate_list import CandidateList

NO_WORK = "no object in work"
OBJECTS = "objects"
"""The tool that opens finished objects again."""
TOOLS = {
    "prompt": "points",
    "region": "region",
    "scribble": "scribble",
    OBJECTS: OBJECTS,
}
"""Names of tools on their buttons, and elsewhere; see `PromptLayers.activate`."""
REGIONS = {
    "lasso": "Drag once around an object, roughly: the outline snaps to it",
    "polygon": "Click corners around an object; double-click or Enter ends",
    "ellipse": "Drag an ellipse over an object",
}
"""Shapes of regions, and what to do."""
LISTED = 5
"""Planes of an object that are named one by one."""
SWATCH = 12
"""Side of the patch of colour, pixels."""


class PromptPanel(QWidget):  # type: ignore[misc]
    """Tool, kind of the next prompt, candidate, commit, clear and undo.

    Signals
    -------
    kind_picked : str
    tool_picked : str
    region_picked : str
    next_asked, begin_asked, reopen_asked, commit_asked, clear_asked : no argument
    undo_asked, redo_asked : no argument
    """

    kind_picked = Signal(str)
    tool_picked = Signal(str)
    region_picked = Signal(str)
    next_asked = Signal()
    commit_asked = Signal()
    clear_asked = Signal()
    undo_asked = Signal()
    redo_asked = Signal()
    begin_asked = Signal()
    reopen_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self._kinds, kinds = _choice(
            {kind.button: kind.tip for kind in PROMPT_KINDS.values() if kind.layer == "points"}
        )
        self._tools, tools = _choice(
            {
                "prompt": "Click on an object for a point, drag around it for a box; Space and a "
                "drag move the image, Shift shows what a click would give",
                "region": PROMPT_KINDS["region"].tip,
                "scribble": PROMPT_KINDS["scribble"].tip,
                OBJECTS: "Click a finished object to work on it again; E does so under the pointer",
            }
        )
        self._regions, regions = _choice(REGIONS)
        self.region_row, key = regions, QLabel("L")
        self._of_regions = regions, key
        rows = (tools, QLabel("W")), self._of_regions, (kinds, QLabel("T"))
        for row, (box, key) in enumerate(rows):
            grid.addWidget(box, row, 0)
            grid.addWidget(key, row, 1, Qt.AlignmentFlag.AlignRight)
        self._kinds.buttonClicked.connect(lambda b: self.kind_picked.emit(b.text()))
        self._tools.buttonClicked.connect(lambda b: self.tool_picked.emit(TOOLS[b.text()]))
        self._regions.buttonClicked.connect(lambda b: self.region_picked.emit(b.text()))
        self.set_tool("points")
        self.work = QElidingLabel(NO_WORK)  # its text never widens the dock
        self.work.setToolTip("The object that the next prompt goes on with, and its planes")
        self.swatch = QLabel()
        self.swatch.setFixedSize(SWATCH, SWATCH)
        row = QHBoxLayout()
        row.addWidget(self.swatch)
        row.addWidget(self.work, 1)
        grid.addLayout(row, 3, 0, 1, 2)
        self.set_work(None)
        self.answer = QElidingLabel("no object yet")
        self.answer.setToolTip("Answer shown, score from the model, size of the object")
        grid.addWidget(self.answer, 4, 0, 1, 2)
        buttons = QGridLayout()
        wanted = (
            ("Commit  Enter", self.commit_asked, "Write the objects in work, all their planes"),
            (
                "Clear  Esc",
                self.clear_asked,
                "Remove the prompts of this plane; an object that was opened again stays as it was",
            ),
            ("Next answer  N", self.next_asked, "Show another outline for the same prompts"),
            ("New object  O", self.begin_asked, "The next point begins another object"),
            (
                "Undo  Ctrl+Z",
                self.undo_asked,
                "Undo the last step: a prompt, a commit, a deletion, a stroke or a run",
            ),
            ("Redo  Ctrl+Shift+Z", self.redo_asked, "Redo the step that was undone last"),
        )
        for place, (text, signal, tip) in enumerate(wanted):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(signal)
            buttons.addWidget(button, place // 2, place % 2)
        self.candidates = CandidateList()
        grid.addWidget(self.candidates, 5, 0, 1, 2)
        grid.addLayout(buttons, 6, 0, 1, 2)

    def set_kind(self, kind: str) -> None:
        """Show which kind the next points and scribbles are."""
        _check(self._kinds, kind)

    def set_tool(self, tool: str) -> None:
        """Show what clicks are for; those that draw boxes only belong to prompts."""
        names = {one: name for name, one in TOOLS.items()}
        _check(self._tools, names.get(tool, "prompt"))
        for widget in self._of_regions:
            widget.setVisible(tool == "region")

    @property
    def tool(self) -> str:
        """What the button that is down says."""
        return str(self._tools.checkedButton().text())

    def set_region(self, shape: str) -> None:
        """Show which shape the next regions have."""
        _check(self._regions, shape)

    def set_answer(self, rank: int, total: int, score: float, size: str, objects: int) -> None:
        """Show which answer of how many is seen, its score and size, and how many objects are."""
        several = f", {objects} objects" if objects > 1 else ""
        self.answer.setText(f"answer {rank}/{total}, score {score:.2f}, {size}{several}")

    def set_work(
        self,
        label: int | None,
        colour: Sequence[float] = (),
        state: str = "",
        planes: Sequence[str] = (),
        others: int = 0,
    ) -> None:
        """Show which object is in work.

        Parameters
        ----------
        label : int or None
            None if there is none.
        colour : sequence of float
            Red, green, blue from 0 to 1.
        state : str
            "new" or "reopened".
        planes : sequence of str
            Places of its planes.
        others : int
            How many other objects are in work.
        """
        self.swatch.setVisible(label is not None)
        if label is None:
            self.work.setText(NO_WORK)
            return
        image = QPixmap(SWATCH, SWATCH)
        image.fill(QColor.fromRgbF(*(float(c) for c in colour[:3])))
        self.swatch.setPixmap(image)
        listed = _listed(planes)
        where = f", {listed}" if listed else ""
        more = f", {others} more in work" if others else ""
        self.work.setText(f"object {label}, {state}{where}{more}")

    def set_computing(self) -> None:
        """Show that an answer is on its way."""
        self.answer.setText("computing ...")

    def set_no_answer(self) -> None:
        """Show that nothing is being worked on."""
        self.answer.setText("no object yet")
        self.candidates.show_rows((), 0)


def _listed(planes: Sequence[str]) -> str:
    """Return the places of several planes, or the first and the last of many; "" for one."""
    if len(planes) > LISTED:
        return f"{len(planes)} planes, {planes[0]} to {planes[-1]}"
    return f"planes {'; '.join(planes)}" if len(planes) > 1 else ""


def _choice(options: dict[str, str]) -> tuple[QButtonGroup, QWidget]:
    """Return buttons side by side, of which one is down: they need less room than radio buttons."""
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(1)
    group = QButtonGroup(box)
    for text, tip in options.items():
        button = QPushButton(text)
        button.setCheckable(True)
        button.setToolTip(tip)
        group.addButton(button)
        layout.addWidget(button)
    group.buttons()[0].setChecked(True)
    return group, box


def _check(group: QButtonGroup, text: str) -> None:
    for button in group.buttons():
        if button.text() == text:
            button.setChecked(True)
