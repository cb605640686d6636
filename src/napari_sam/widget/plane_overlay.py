"""A layer that only shows something, in one plane of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from napari.layers import Labels
from napari.utils import CyclicLabelColormap
from numpy.typing import NDArray

from ..types import SliceKey
from . import layers
from .context import Context
from .frame import Frame
from .placement import inner_transform

Colour = tuple[float, float, float, float]


def empty_plane(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the pixels (H + 1, W + 1) of an overlay of a plane (H, W).

    With a row and a column more than the plane it is not taken for labels of the image.
    """
    return np.zeros((size[0] + 1, size[1] + 1), np.uint8)


class PlaneOverlay:
    """Makes its layer when it is first needed; the user may delete it.

    Parameters
    ----------
    context : Context
    name : str
        Of the layer.
    colours : sequence of (r, g, b, a) float
        Of the pixels 1, 2, ...
    opacity : float

    Attributes
    ----------
    layer : napari.layers.Labels or None
    """

    def __init__(
        self, context: Context, name: str, colours: Sequence[Colour], opacity: float
    ) -> None:
        self.context = context
        self.layer: Labels | None = None
        self._name, self._opacity = name, opacity
        self._colours = np.array([(0, 0, 0, 0), *colours], np.float32)

    def make(self, frame: Frame, then: Callable[[], object] = lambda: None) -> None:
        """Make the layer if there is none.

        Parameters
        ----------
        frame : Frame
        then : callable
            Called when the layer is there: at once, or in a later event where it has to be made.
        """
        if self.layer is not None and self.layer in self.context.viewer.layers:
            then()
            return
        self.layer = Labels(
            np.zeros([1] * len(frame.shape), np.uint8),
            name=self._name,
            opacity=self._opacity,
            colormap=CyclicLabelColormap(colors=self._colours, background_value=0),
            **frame.drawing,
        )
        self.layer.editable = False
        self.context.bench.add_below_prompts(self.layer, overlay=True, then=then)

    def paint(self, frame: Frame, key: SliceKey, pixels: NDArray[np.uint8]) -> None:
        """Show pixels (H + 1, W + 1) in their plane; the layer has been made."""
        layer = self.layer
        if layer is None:
            return
        if key.displayed[0] > key.displayed[1]:
            pixels = pixels.T
        shape = [1] * len(frame.shape)
        corner = np.zeros(len(frame.shape))
        for side, axis in zip(pixels.shape, sorted(key.displayed), strict=True):
            shape[axis] = side
        for axis, index in key.fixed:
            corner[axis] = index
        data = pixels.reshape(shape)
        if layer.data.shape == data.shape:
            layer.data[...] = data
            layer.refresh(thumbnail=False, highlight=False, extent=False)
        else:
            layer.data = data
        place = np.asarray(inner_transform(frame.drawing)(corner))
        layers.set_transform(layer, {**frame.drawing, "translate": place})

    def clear(self) -> None:
        """Take all pixels away."""
        if self.layer is not None and self.layer.data.any():
            self.layer.data[...] = 0
            self.layer.refresh(thumbnail=False, highlight=False, extent=False)

    def set_visible(self, visible: bool) -> None:
        """Show or hide the layer; it stays, for napari removes layers slowly."""
        if self.layer is not None:
            self.layer.visible = visible

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.context.viewer.layers:
            self.context.viewer.layers.remove(layer)
