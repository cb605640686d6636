"""The layer that shows the proposals of the plane on screen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.layers import Labels
from napari.utils import CyclicLabelColormap

from ....types import Mask, SliceKey
from ... import layers
from ...context import Context
from ...frame import Frame
from ...placement import inner_transform

CURRENT = (0.93, 0.2, 0.55, 1.0)
"""Colour of the current proposal."""
OTHERS = (
    (0.2, 0.75, 0.95, 1.0),
    (0.1, 0.6, 0.85, 1.0),
    (0.4, 0.85, 0.95, 1.0),
    (0.15, 0.7, 0.75, 1.0),
)
"""Of the others in turn, so that those that touch are told apart."""


class ShownProposals:
    """Makes the layer when it is first needed, and paints masks into it.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.layer: Labels | None = None

    def prepare(self, frame: Frame) -> None:
        """Make the layer, or show it again, before there is something to be seen."""
        self._made(frame).visible = True

    def show(self, frame: Frame, key: SliceKey, masks: Sequence[Mask]) -> None:
        """Show proposals in their plane, the current one first; those before lie on top.

        Parameters
        ----------
        frame : Frame
        key : SliceKey
        masks : sequence of Mask
        """
        # a row more than the plane, or a layer of one plane could be taken for labels of the image
        sides = [frame.shape[axis] for axis in key.displayed]
        pixels = np.zeros((sides[0] + 1, sides[1] + 1), np.uint8)
        for rank, mask in reversed(list(enumerate(masks))):
            pixels[mask.part][mask.bits] = 1 if rank == 0 else 2 + (rank - 1) % len(OTHERS)
        if key.displayed[0] > key.displayed[1]:
            pixels = pixels.T
        shape = [1] * len(frame.shape)
        corner = np.zeros(len(frame.shape))
        for side, axis in zip(pixels.shape, sorted(key.displayed), strict=True):
            shape[axis] = side
        for axis, index in key.fixed:
            corner[axis] = index
        data = pixels.reshape(shape)
        layer = self._made(frame)
        if layer.data.shape == data.shape:
            layer.data[...] = data
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        else:
            layer.data = data
        place = np.asarray(inner_transform(frame.drawing)(corner))
        layers.set_transform(layer, {**frame.drawing, "translate": place})

    def clear(self) -> None:
        """Show nothing."""
        if self.layer is not None and self.layer.data.any():
            self.layer.data[...] = 0
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def hide(self) -> None:
        """Show nothing until `prepare` is called; the layer stays, for napari removes it slowly."""
        self.clear()
        if self.layer is not None:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.context.viewer.layers:
            self.context.viewer.layers.remove(layer)

    def _made(self, frame: Frame) -> Labels:
        """Return the layer; the user may have deleted it."""
        if self.layer is None or self.layer not in self.context.viewer.layers:
            colours = np.array([(0, 0, 0, 0), CURRENT, *OTHERS], np.float32)
            self.layer = Labels(
                np.zeros([1] * len(frame.shape), np.uint8),
                name="SAM similar",
                opacity=0.6,
                colormap=CyclicLabelColormap(colors=colours, background_value=0),
                **frame.drawing,
            )
            self.layer.editable = False
            self.context.bench.add_below_prompts(self.layer, overlay=True)
        return self.layer
