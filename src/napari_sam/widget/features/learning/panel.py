"""What is learnt from, how far the training is, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ....training.finetune.findings import REMOVABLE, Finding
from ...controls import Chooser, row
from .curve import Curve

THIS_IMAGE, ALL_IMAGES = "objects of this image", "objects of all images"
LIST_HEIGHT = 96
"""Pixels."""
MOST_LISTED = 200
"""Findings; Details has all of them."""
MINUTES = 5.0
ROLE = Qt.ItemDataRole.UserRole


class LearningPanel(QWidget):  # type: ignore[misc]
    """Starts a training, shows it, and offers what can be done with its result.

    Signals
    -------
    look_asked, picture_asked, start_asked, stop_asked, details_asked, back_asked, save_asked :
        no argument
    pause_asked : bool
    compare_asked : bool
        To show both models' answers, or no more.
    learn_changed : bool
        To learn as the user goes, or not.
    source_changed : no argument
    """

    look_asked = Signal()
    picture_asked = Signal()
    start_asked = Signal()
    pause_asked = Signal(bool)
    stop_asked = Signal()
    details_asked = Signal()
    compare_asked = Signal(bool)
    back_asked = Signal()
    save_asked = Signal()
    learn_changed = Signal(bool)
    source_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.source = Chooser("Which kept objects the model learns from")
        names = [THIS_IMAGE, ALL_IMAGES]
        self.source.set_things(names, names, THIS_IMAGE)
        self.minutes = QDoubleSpinBox()
        self.minutes.setRange(0.5, 600.0)
        self.minutes.setDecimals(1)
        self.minutes.setValue(MINUTES)
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip("How long it trains; the comparison afterwards comes on top")
        self.look = _button("Look over", "Read the objects, and look for what is wrong with them")
        self.picture = _button("Details ...", "See what is learnt from, and the places to look at")
        self.findings = QListWidget()
        self.findings.setFixedHeight(LIST_HEIGHT)
        self.findings.setWordWrap(True)
        self.findings.setToolTip("Tick what is to be left out of the training")
        self.summary, self.estimate = _text(), _text()
        self.start = _button("Start", "Train a copy of the model in the background")
        self.pause = _button("Pause", "Leave the processor to others for a while")
        self.pause.setCheckable(True)
        self.stop = _button("Stop", "End the training now; the best so far is compared")
        self.curve = Curve()
        self.left, self.verdict = _text(), _text()
        self.details = _button("Figures ...", "See all figures, and the objects that changed most")
        self.save = _button("Save model ...", "Write the trained model into a file of yours")
        self.compare = _button("Compare on this plane", "")
        self.compare.setCheckable(True)
        self.compare.setToolTip("Outline what both models answer in the plane shown")
        self.legend = _text()
        self.back = _button("Back", "Use the model again that was in use before")
        self.learn = QCheckBox("Learn as I go")
        self.learn.setToolTip(
            "Train in the background when enough objects are new and you rest; the result is "
            "used only if it is better"
        )
        self.learning, self.hindrance = _text(), _text()
        self._lay_out()
        self._connect()
        self.set_findings("", [])
        self.set_running(False)
        self.set_hindrance("")
        self.set_result("", False, False)
        self.set_back("")

    @property
    def everything(self) -> bool:
        """Whether the objects of all images are learnt from."""
        return bool(self.source.currentText() == ALL_IMAGES)

    @property
    def left_out(self) -> list[Finding]:
        """The findings that are ticked."""
        items = [self.findings.item(place) for place in range(self.findings.count())]
        ticked = Qt.CheckState.Checked
        return [item.data(ROLE) for item in items if item.checkState() == ticked]

    def set_findings(
        self, summary: str, findings: Sequence[Finding], left_out: Sequence[Finding] = ()
    ) -> None:
        """Show what is learnt from, and list what was found in it; some is to be left out."""
        _say(self.summary, summary)
        self.findings.clear()
        for one in findings[:MOST_LISTED]:
            item = QListWidgetItem(one.sentence)
            item.setData(ROLE, one)
            item.setToolTip(one.sentence)
            if one.kind in REMOVABLE:
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
                ticked = one in left_out
                item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
            self.findings.addItem(item)
        self.findings.setVisible(bool(findings))
        self.picture.setVisible(bool(summary))
        self.set_estimate("")

    def set_estimate(self, text: str) -> None:
        """Say what a training will take."""
        _say(self.estimate, text)

    def set_running(self, running: bool, paused: bool = False) -> None:
        """While it trains there is something to pause and to stop, and nothing to start."""
        self._running = running
        self._enable()
        self.start.setVisible(not running)
        self.pause.setVisible(running)
        self.stop.setVisible(running)
        self.pause.setChecked(paused)
        self.pause.setText("Go on" if paused else "Pause")
        if running:
            self.curve.show()
        else:
            self.set_left("")

    def set_hindrance(self, text: str) -> None:
        """Say why the model in use cannot be trained; with an empty text it can."""
        _say(self.hindrance, text)
        self._enable()

    def set_left(self, text: str) -> None:
        """Say how long it still takes."""
        _say(self.left, text)

    def set_resumable(self, resumable: bool) -> None:
        """Offer to go on with a training that has ended unexpectedly."""
        self.start.setText("Go on" if resumable else "Start")

    def set_result(self, text: str, details: bool, model: bool) -> None:
        """Say what came of it.

        Parameters
        ----------
        text : str
        details : bool
            Whether there are figures.
        model : bool
            Whether there is a trained model, to be saved and compared.
        """
        _say(self.verdict, text)
        self.details.setVisible(details)
        self.save.setVisible(model)
        self.compare.setVisible(model)
        if not model:
            self.set_compared(False)

    def set_back(self, name: str) -> None:
        """Offer to go back to a model; to none if it has no name."""
        self.back.setText(f"Back to {name}")
        self.back.setVisible(bool(name))

    def set_compared(self, shown: bool, legend: str = "") -> None:
        """Show whether both models' answers are outlined, and in which colours."""
        self.compare.setChecked(shown)
        _say(self.legend, legend)

    def set_learning(self, on: bool, text: str) -> None:
        """Show whether it learns as the user goes, and what it waits for."""
        self.learn.setChecked(on)
        _say(self.learning, text)

    def _enable(self) -> None:
        """Let a training be started where one can be."""
        free = not self._running and not self.hindrance.text()
        for control in (self.look, self.start, self.minutes, self.source, self.findings):
            control.setEnabled(free)
        off = not self.hindrance.text() or self.learn.isChecked()  # ticked, it can be switched off
        self.learn.setEnabled(off)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.addWidget(QLabel("From"), 0, 0)
        grid.addWidget(self.source, 0, 1, 1, 2)
        grid.addWidget(QLabel("Train for"), 1, 0)
        grid.addWidget(self.minutes, 1, 1)
        grid.addWidget(self.look, 1, 2)
        grid.setColumnStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(grid)
        for part in (
            self.hindrance,
            self.summary,
            self.findings,
            self.picture,
            self.estimate,
            row(self.start, self.pause, self.stop),
            self.curve,
            self.left,
            self.verdict,
            row(self.details, self.save),
            self.compare,
            self.legend,
            self.back,
            self.learn,
            self.learning,
        ):
            column.addWidget(part)
        self.curve.hide()

    def _connect(self) -> None:
        for button, signal in (
            (self.look, self.look_asked),
            (self.picture, self.picture_asked),
            (self.start, self.start_asked),
            (self.stop, self.stop_asked),
            (self.details, self.details_asked),
            (self.back, self.back_asked),
            (self.save, self.save_asked),
        ):
            button.clicked.connect(lambda checked=False, signal=signal: signal.emit())
        for box, changed in (
            (self.pause, self.pause_asked),
            (self.compare, self.compare_asked),
            (self.learn, self.learn_changed),
        ):
            box.clicked.connect(changed)
        self.learn.toggled.connect(lambda on: self._enable())
        self.source.picked.connect(lambda name: self.source_changed.emit())


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button


def _text() -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    return label


def _say(label: QLabel, text: str) -> None:
    """Show a text; without one the label takes no room."""
    label.setText(text)
    label.setVisible(bool(text))
