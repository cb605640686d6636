"""How the layer of boxes looks: whether it is shown, and how wide the edges are on the screen."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from napari.viewer import Viewer

from . import layers


class BoxDisplay:
    """Hides the layer of boxes while it is of no use, and gives edges their width at any zoom.

    For a Shapes layer that is shown, an empty one too, napari builds two shaders anew whenever the
    plane changes. So the layer is shown only if there are boxes, or some are to be drawn. What the
    user hides stays hidden.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    """

    def __init__(self, viewer: Viewer) -> None:
        self._selection = viewer.layers.selection
        self._camera = getattr(viewer, "scene", viewer).camera  # napari before 0.9 has no scene
        self._boxes: Shapes | None = None
        self._hidden = False  # by us
        self._drawing = False
        self._selection.events.active.connect(self.update_visibility)
        self._camera.events.zoom.connect(self.update_width)

    def follow(self, boxes: Shapes | None) -> None:
        """Take care of another layer, or of none."""
        self._boxes, self._hidden = boxes, False
        self.update_width()

    def hold(self, drawing: bool) -> None:
        """Show the layer, also if the user hid it, as long as something is drawn in it."""
        self._drawing = drawing
        if drawing and self._boxes is not None:
            self._boxes.visible, self._hidden = True, False
        self.update_visibility()

    def update_visibility(self, event: Any = None) -> None:
        """Show the layer or hide it, if that has become right."""
        boxes = self._boxes
        if boxes is None:
            return
        shown = self._drawing or bool(boxes.data) or self._selection.active is boxes
        if shown == self._hidden:
            boxes.visible, self._hidden = shown, not shown

    def update_width(self, event: Any = None) -> None:
        """Give edges their width at the zoom and the scale of now."""
        if self._boxes is not None:
            layers.set_edge_width(self._boxes, float(self._camera.zoom))

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._boxes = None
        self._selection.events.active.disconnect(self.update_visibility)
        self._camera.events.zoom.disconnect(self.update_width)
