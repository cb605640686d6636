"""Controls of text: what to look for, which model knows the words, how many of the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGroupBox, QLabel, QLineEdit, QSlider, QVBoxLayout, QWidget

from ....everything.worded import SHARE
from ...controls import Chooser, row

EXAMPLE = "for example: round dark cell"
WEAK = (
    "Text alone is weak on microscopy. An example often finds more: keep an object like those you "
    "look for, and use Find similar."
)


class TextBox(QGroupBox):  # type: ignore[misc]
    """A line of words, a list of models, a slider, and a sentence on what was chosen.

    Signals
    -------
    asked : str
        Words were entered; empty ones end the choice.
    share_changed : no argument
        See `share`.
    model_picked : object
        A thing of the list.
    """

    asked = Signal(str)
    share_changed = Signal()
    model_picked = Signal(object)

    def __init__(self) -> None:
        super().__init__("Text (experimental)")
        self.words = QLineEdit()
        self.words.setPlaceholderText(EXAMPLE)
        self.words.setClearButtonEnabled(True)
        self.words.setToolTip(
            "Enter: of the proposals, those that fit the words best are shown, and the words are "
            "the class of what you accept; without words all are shown again"
        )
        self.models = Chooser("The model of images and words: a CLIP or a SigLIP")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(1, 100)
        self.slider.setValue(round(100 * SHARE))
        self.slider.setToolTip("How many of the proposals are shown, those that fit best first")
        self._share = QLabel()
        self._share.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.count = QLabel(WEAK)
        self.count.setWordWrap(True)
        self._refused = False
        self._parts: tuple[QWidget, ...] = (
            self.words, row(QLabel("Model"), self.models), row(QLabel("Best"), self._share),
            self.slider,
        )  # fmt: skip
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.setSpacing(4)
        for part in (*self._parts, self.count):
            layout.addWidget(part)
        self.words.returnPressed.connect(lambda: self.asked.emit(self.words.text()))
        self.words.textChanged.connect(self._on_text_changed)
        self.models.picked.connect(self.model_picked)
        self.slider.valueChanged.connect(self._on_slider_moved)
        self._on_slider_moved()

    @property
    def share(self) -> float:
        """Share of the proposals that is shown, above 0 and up to 1."""
        return float(self.slider.value() / 100)

    def set_models(self, names: Sequence[str], things: Sequence[Any], current: Any) -> None:
        """Show which models there are, without a signal."""
        self.models.set_things(names, things, current)

    def set_count(self, text: str) -> None:
        """Say what was chosen; nothing says what text is good for."""
        if not self._refused:
            self.count.setText(f"{text}. {WEAK}" if text else WEAK)

    def refuse(self, sentence: str) -> None:
        """Show why there is no text, in place of the controls."""
        self._refused = True
        for part in self._parts:
            part.hide()
        self.count.setText(sentence)

    def _on_text_changed(self, text: str) -> None:
        if not text:
            self.asked.emit("")

    def _on_slider_moved(self) -> None:
        self._share.setText(f"{self.slider.value()} %")
        self.share_changed.emit()
