"""What happens to the image layer that is worked on."""

from __future__ import annotations

from typing import Any

from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")
"""Events of an image layer that lies elsewhere in the world."""


class ImageWatch(QObject):  # type: ignore[misc]
    """Follows one image layer of a viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Attributes
    ----------
    revision : int
        Grows when pixels of the layer may have changed in place: napari has drawn the same plane
        anew, as after `layer.refresh()`.

    Signals
    -------
    moved : no argument
        It lies elsewhere in the world.
    replaced : no argument
        It holds another array.
    looks_changed : no argument
        The plane shown may look otherwise: other contrast limits, another projection, or pixels
        changed in place.
    """

    moved = Signal()
    replaced = Signal()
    looks_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.revision = 0
        self._layer: Image | None = None
        self._drawn: object = None  # the array, and which part of the world it was drawn for

    def watch(self, layer: Image | None) -> None:
        """Follow another layer, or none."""
        if self._layer is not None:
            for emitter, callback in self._connections(self._layer):
                emitter.disconnect(callback)
        self._layer = layer
        if layer is not None:
            self._drawn = self._view(layer)
            for emitter, callback in self._connections(layer):
                emitter.connect(callback)

    def _connections(self, layer: Image) -> list[tuple[Any, Any]]:
        events = layer.events
        return [
            *((getattr(events, name), self._on_layer_transform) for name in TRANSFORM),
            (events.data, self._on_layer_data),
            (events.contrast_limits, self._on_layer_looks),
            (events.projection_mode, self._on_layer_looks),
            (events.set_data, self._on_layer_drawn),
        ]

    def _view(self, layer: Image) -> object:
        """Return what decides which pixels are drawn."""
        dims = self.viewer.dims
        view = (dims.ndisplay, dims.order, dims.point, dims.margin_left, dims.margin_right)
        part: tuple[Any, ...] = ()
        if layer.multiscale:  # napari reads another part, or another level, as the user zooms
            part = (layer.data_level, layer.corner_pixels.tobytes())
        place = (layer.affine.affine_matrix.tobytes(), *map(tuple, (layer.scale, layer.translate)))
        return (id(layer.data), layer.visible, str(layer.projection_mode), *view, *part, *place)

    def _on_layer_transform(self, event: Any = None) -> None:
        self.moved.emit()

    def _on_layer_data(self, event: Any = None) -> None:
        self.replaced.emit()

    def _on_layer_looks(self, event: Any = None) -> None:
        self.looks_changed.emit()

    def _on_layer_drawn(self, event: Any = None) -> None:
        if self._layer is None:
            return
        view = self._view(self._layer)
        if view == self._drawn:
            self.revision += 1
            self.looks_changed.emit()
        self._drawn = view
