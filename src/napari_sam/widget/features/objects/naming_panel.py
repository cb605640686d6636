"""Controls of the classes that are proposed."""

from __future__ import annotations

from qtpy.QtCore import Signal

from ....everything.naming import LIKELY
from ...proposal_controls import ProposalControls, button

NOTHING = "Give a few objects of each class their class: the classes of the others are proposed."
TIPS = (
    "Higher: only what is surer is proposed",
    "Give the object under the pointer, else the current one, the class that is proposed",
    "The object is of none of the classes; others that look like it are proposed less",
    "Give all objects the classes that are proposed, as one step; the slider says which they are",
    "Propose nothing any more; what was accepted stays",
)


class NamingPanel(ProposalControls):
    """A button that proposes classes, a slider, and buttons that accept and reject.

    Signals
    -------
    propose_asked : no argument
    """

    propose_asked = Signal()

    def __init__(self) -> None:
        super().__init__("Least confidence", LIKELY, TIPS)
        self.propose = button(
            "Propose  Shift+F",
            "Propose a class for each object that has none, from those that have one",
        )
        self.layout().insertWidget(0, self.propose)
        self.propose.clicked.connect(lambda _: self.propose_asked.emit())
        self.set_count("", False, False)

    def set_count(self, text: str, some: bool, searching: bool) -> None:
        """Say how many are proposed; what cannot be done is disabled."""
        super().set_count(text or NOTHING, some, searching)
