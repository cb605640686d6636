"""Controls of the classes that are proposed."""

from __future__ import annotations

from collections.abc import Sequence

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


def count_text(proposed: Sequence[tuple[str, int]], left: int, new: int) -> str:
    """Say how many objects of each class are proposed, and how many have no class.

    Parameters
    ----------
    proposed : sequence of (str, int)
        Classes, and how many of each.
    left : int
        Objects without a class.
    new : int
        Others without a class, which were not looked at.
    """
    each = [f"{count:,} {name}" for name, count in proposed]
    parts = []
    if each:
        listed = " and ".join(filter(None, (", ".join(each[:-1]), each[-1])))
        parts.append(f"{listed} proposed")
    if left:
        parts.append("1 object has no class" if left == 1 else f"{left:,} objects have no class")
    elif not new:
        parts.append("all objects have a class")
    if new:
        are, it = ("1 is", "it") if new == 1 else (f"{new:,} are", "them")
        parts.append(f"{are} new: Shift+F looks at {it}, too")
    return "; ".join(parts)
