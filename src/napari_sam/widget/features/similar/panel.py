"""The form of the search for similar objects: buttons, a slider, counts."""

from __future__ import annotations

from qtpy.QtCore import Signal

from ....everything.exemplars import LIKELY
from ...controls import row
from ...proposal_controls import ProposalControls, button

NOTHING = "Select objects in the list, or point at one, and press F: others like them are proposed."
TIPS = (
    "Higher: only what is more alike is proposed",
    "Keep the proposal under the pointer, else the current",
    "What looks like it is proposed later, or not at all",
    "Keep all proposals as one step; the slider says which they are",
    "Propose nothing any more; what was accepted stays",
)


class SimilarPanel(ProposalControls):
    """Buttons that search, a slider, and buttons that accept and reject.

    Signals
    -------
    find_asked : bool
        In all planes, or in the one shown.
    """

    find_asked = Signal(bool)

    def __init__(self) -> None:
        super().__init__("Least similarity", LIKELY, TIPS)
        self.here = button(
            "Find  F",
            "Propose what looks like the objects that are selected in the list, else like the one "
            "under the pointer, else like all kept objects of the plane",
        )
        self.everywhere = button("In all planes", "Search all planes of the image")
        self.layout().insertWidget(0, row(self.here, self.everywhere))
        self.here.clicked.connect(lambda _: self.find_asked.emit(False))
        self.everywhere.clicked.connect(lambda _: self.find_asked.emit(True))
        self.set_count("", False, False)
        self.set_stack(False)

    def set_stack(self, several: bool) -> None:
        """Offer to search all planes where there are several."""
        self.everywhere.setVisible(several)

    def set_count(self, text: str, some: bool, searching: bool) -> None:
        """Say how many are proposed; what cannot be done is disabled."""
        super().set_count(text or NOTHING, some, searching)
