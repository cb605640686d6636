"""Propagation: its direction and axis, what can be done with it, the strip of planes."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QPushButton, QWidget

from ....stack.propagate import PROPAGATORS
from ...controls import Chooser
from .following import BOTH, DIRECTIONS
from .strip import ConfidenceStrip

START, STOP = "Propagate  P", "Stop  P"


class StackPanel(QWidget):  # type: ignore[misc]
    """Buttons of propagation above the strip.

    Signals
    -------
    propagate_asked, absent_asked, uncertain_asked : no argument
    live_changed : bool
    place_picked : int
        Number of the plane to go to.
    """

    propagate_asked = Signal()
    absent_asked = Signal()
    uncertain_asked = Signal()
    live_changed = Signal(bool)
    place_picked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        self.go = QPushButton(START)
        self.go.setToolTip(
            "Follow the objects in work into the other planes; Enter commits all of them. "
            "A prompt in one of these planes corrects it, and the planes beside it follow"
        )
        self.go.clicked.connect(self.propagate_asked)
        self.direction = Chooser("Into which planes the objects are followed")
        self.direction.set_things(DIRECTIONS, DIRECTIONS, BOTH)
        self.axis = Chooser("The axis along which objects are followed")
        self.propagator = Chooser(
            "How objects are found in the next plane: by what the model remembers of them, or by "
            "how they look in the planes with prompts"
        )
        self.absent = QPushButton("Not here  Shift+P")
        self.absent.setToolTip(
            "The object in work is not in this plane; planes beyond follow. Again takes it back"
        )
        self.absent.clicked.connect(self.absent_asked)
        self.uncertain = QPushButton("Least certain  U")
        self.uncertain.setToolTip("Go to the plane with the lowest score; again: to the next one")
        self.uncertain.clicked.connect(self.uncertain_asked)
        self.live = QCheckBox("live")
        self.live.setToolTip(
            "After each prompt, follow the object into neighbouring planes that are encoded"
        )
        self.live.toggled.connect(self.live_changed)
        self.strip = ConfidenceStrip()
        self.strip.place_picked.connect(self.place_picked)
        planes = QHBoxLayout()
        planes.addWidget(self.live)
        planes.addWidget(self.strip, 1)
        grid.addWidget(self.go, 0, 0)
        grid.addWidget(self.direction, 0, 1)
        grid.addWidget(self.absent, 1, 0)
        grid.addWidget(self.uncertain, 1, 1)
        grid.addWidget(self.propagator, 2, 0, 1, 2)
        grid.addWidget(self.axis, 3, 0, 1, 2)
        grid.addLayout(planes, 4, 0, 1, 2)
        grid.setVerticalSpacing(3)
        self.set_axes((), (), None)
        self.set_propagator(None)

    def set_axes(self, names: Sequence[str], axes: Sequence[int], current: int | None) -> None:
        """Show the axes to choose from; nothing of the panel is seen where there is none."""
        self.axis.set_things(names, axes, current)
        self.axis.setVisible(len(axes) > 1)
        self.setVisible(bool(axes))

    def set_propagator(self, current: str | None) -> None:
        """Show how objects are found in the next plane; None: there is nothing to choose."""
        names = [f"by {name}" for name in PROPAGATORS]
        self.propagator.set_things(names, PROPAGATORS, current)
        self.propagator.setVisible(current is not None)

    def set_running(self, running: bool) -> None:
        """Show whether objects are being followed."""
        self.go.setText(STOP if running else START)
