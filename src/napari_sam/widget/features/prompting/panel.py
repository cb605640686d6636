"""Kind of the next point, tool, answer shown, and what can be done with it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QWidget,
)
from superqt import QElidingLabel

from ....predict.prompt_kinds import PROMPT_KINDS


class PromptPanel(QWidget):  # type: ignore[misc]
    """Kind of the next point, tool, candidate, commit, clear and undo.

    Signals
    -------
    kind_picked : str
    tool_picked : str
    next_asked, begin_asked, commit_asked, clear_asked, undo_asked, redo_asked : no argument
    """

    kind_picked = Signal(str)
    tool_picked = Signal(str)
    next_asked = Signal()
    commit_asked = Signal()
    clear_asked = Signal()
    undo_asked = Signal()
    redo_asked = Signal()
    begin_asked = Signal()

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self._kinds, kinds = _choice(
            {kind.button: kind.tip for kind in PROMPT_KINDS.values() if kind.layer == "points"}
        )
        self._tools, tools = _choice(
            {
                "points": "Click on the image to add a point; hold Shift to see the outline first",
                "boxes": PROMPT_KINDS["box"].tip,
            }
        )
        for row, (box, key) in enumerate(((kinds, "T"), (tools, "W"))):
            grid.addWidget(box, row, 0)
            grid.addWidget(QLabel(key), row, 1, Qt.AlignmentFlag.AlignRight)
        self._kinds.buttonClicked.connect(lambda b: self.kind_picked.emit(b.text()))
        self._tools.buttonClicked.connect(lambda b: self.tool_picked.emit(b.text()))
        self.answer = QElidingLabel("no object yet")  # its text never widens the dock
        self.answer.setToolTip("Answer shown, score from the model, size of the object")
        grid.addWidget(self.answer, 2, 0, 1, 2)
        buttons = QGridLayout()
        wanted = (
            ("Commit  Enter", self.commit_asked, "Write the previewed objects into the labels"),
            ("Clear  Esc", self.clear_asked, "Remove the prompts of this plane"),
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
        grid.addLayout(buttons, 3, 0, 1, 2)

    def set_kind(self, kind: str) -> None:
        """Show which kind the next points are."""
        _check(self._kinds, kind)

    def set_tool(self, tool: str) -> None:
        """Show whether clicks make points or boxes."""
        _check(self._tools, tool)

    def set_answer(self, rank: int, total: int, score: float, size: str, objects: int) -> None:
        """Show which answer of how many is seen, its score and size, and how many objects are."""
        several = f", {objects} objects" if objects > 1 else ""
        self.answer.setText(f"answer {rank}/{total}, score {score:.2f}, {size}{several}")

    def set_computing(self) -> None:
        """Show that an answer is on its way."""
        self.answer.setText("computing ...")

    def set_no_answer(self) -> None:
        """Show that nothing is being worked on."""
        self.answer.setText("no object yet")


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
