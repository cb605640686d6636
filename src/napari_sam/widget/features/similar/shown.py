"""The layer that shows the proposals of the plane on screen."""

from __future__ import annotations

from collections.abc import Sequence

from ....types import Mask, SliceKey
from ...context import Context
from ...frame import Frame
from ...plane_overlay import PlaneOverlay, empty_plane

CURRENT = (0.93, 0.2, 0.55, 1.0)
"""Colour of the current proposal."""
OTHERS = (
    (0.2, 0.75, 0.95, 1.0),
    (0.1, 0.6, 0.85, 1.0),
    (0.4, 0.85, 0.95, 1.0),
    (0.15, 0.7, 0.75, 1.0),
)
"""Of the others in turn, so that those that touch are told apart."""


class ShownProposals(PlaneOverlay):
    """Paints proposals into its layer.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context, "SAM similar", (CURRENT, *OTHERS), 0.6)

    def prepare(self, frame: Frame) -> None:
        """Make the layer, or show it again, before there is something to be seen."""
        self.make(frame)
        self.set_visible(True)

    def show(self, frame: Frame, key: SliceKey, masks: Sequence[Mask]) -> None:
        """Show proposals in their plane, the current one first; those before lie on top.

        Parameters
        ----------
        frame : Frame
        key : SliceKey
        masks : sequence of Mask
        """
        height, width = (frame.shape[axis] for axis in key.displayed)
        pixels = empty_plane((height, width))
        for rank, mask in reversed(list(enumerate(masks))):
            pixels[mask.part][mask.bits] = 1 if rank == 0 else 2 + (rank - 1) % len(OTHERS)
        self.make(frame)
        self.paint(frame, key, pixels)

    def hide(self) -> None:
        """Show nothing until `prepare` is called."""
        self.clear()
        self.set_visible(False)
