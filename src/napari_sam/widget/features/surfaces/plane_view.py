"""How a viewer shows its layers: taken down, and shown like that again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.components import Camera
from napari.layers import Layer
from napari.viewer import Viewer


@dataclass(frozen=True, eq=False)
class PlaneView:
    """The plane shown, the camera, and which layers are visible and active.

    Attributes
    ----------
    ndisplay : int
    order : tuple of int
    point : tuple of float
    center, angles : tuple of float
    zoom : float
        Of the camera.
    active : Layer or None
    visible : tuple of Layer
    """

    ndisplay: int
    order: tuple[int, ...]
    point: tuple[float, ...]
    center: tuple[float, ...]
    angles: tuple[float, ...]
    zoom: float
    active: Layer | None
    visible: tuple[Layer, ...]

    @classmethod
    def of(cls, viewer: Viewer) -> PlaneView:
        """Return how a viewer shows its layers now."""
        dims, camera = viewer.dims, camera_of(viewer)
        return cls(
            dims.ndisplay,
            tuple(dims.order),
            tuple(dims.point),
            tuple(camera.center),
            tuple(camera.angles),
            float(camera.zoom),
            viewer.layers.selection.active,
            tuple(layer for layer in viewer.layers if layer.visible),
        )

    def hide_layers(self) -> None:
        """Hide the layers: the 3-D view would read the whole of each that is visible."""
        for layer in self.visible:
            layer.visible = False

    def restore(self, viewer: Viewer) -> None:
        """Show the same again, as far as it is there."""
        dims, camera = viewer.dims, camera_of(viewer)
        if dims.ndim == len(self.order):
            dims.order = self.order
        dims.ndisplay = self.ndisplay
        if dims.ndim == len(self.point):
            dims.set_point(range(dims.ndim), self.point)
        camera.center, camera.angles, camera.zoom = self.center, self.angles, self.zoom
        self.show_layers(viewer)

    def show_layers(self, viewer: Viewer) -> None:
        """Show the layers again that were hidden and are still there."""
        for layer in self.visible:
            if layer in viewer.layers:
                layer.visible = True
        if self.active in viewer.layers:
            viewer.layers.selection.active = self.active


def look_at(viewer: Viewer, layer: Layer, angles: tuple[float, float, float]) -> None:
    """Fill the 3-D view with a layer, seen from some angles in degrees."""
    viewer.reset_view()  # fits all layers, the hidden ones too
    every, own = viewer.layers.extent.world, layer.extent.world
    camera = camera_of(viewer)
    camera.center = tuple(own.mean(0)[-3:])
    camera.zoom *= np.ptp(every, axis=0)[-2:].max() / np.linalg.norm(np.ptp(own, axis=0)[-3:])
    camera.angles = angles


def camera_of(viewer: Viewer) -> Camera:
    """Return the camera of a viewer."""
    camera: Camera = getattr(viewer, "scene", viewer).camera  # napari before 0.9 has no scene
    return camera
