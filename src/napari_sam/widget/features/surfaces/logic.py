"""One key shows objects as surfaces in the 3-D view, and goes back to the plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Surface
from qtpy.QtCore import QTimer

from ....objects.surfaces import Surfaces, Volume
from ....types import Progress
from ...context import Context
from ...frame import Frame
from ...placement import world_transform
from ...scheduler import Lane, Work
from ..feature import Feature
from .chosen import Chosen, choose
from .panel import BACK, SHOW, STOP, SurfacesPanel
from .plane_view import PlaneView, look_at

SURFACES = "surfaces"
"""The source of progress in the status line."""
LAYER_NAME = "SAM surfaces"
ANGLES = (0.0, -30.0, -30.0)
"""Of the camera, degrees: from the side a little, where napari lights the surfaces best."""
NO_OBJECT = "there is no object to show in 3-D yet; commit one first"
ONE_PLANE = "the image has no third axis, so there is nothing to show in 3-D"
OUTSIDE = "what is shown lies outside the image; move the slider"
BACK_HINT = "drag turns the view, G goes back to the plane"


class SurfacesInSpace(Feature):
    """Objects as surfaces: those in work, those selected in the list, or all."""

    panel: SurfacesPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.bench, self.status, self.viewer = context.bench, context.status, context.viewer
        self.panel = SurfacesPanel()
        self.panel.setVisible(False)  # until there is a stack
        self.keys = {"G": self.toggle}
        self.layer: Surface | None = None
        self._before: PlaneView | None = None
        self._moving = False  # the view, by us
        self._open = True
        self.panel.pressed.connect(self.toggle)
        context.scheduler.busy_changed.connect(self._on_busy_changed)
        self.bench.image_changed.connect(self._on_image_changed)
        self.viewer.layers.events.removed.connect(self._on_layers_removed)
        self.viewer.dims.events.ndisplay.connect(self._on_ndisplay)

    # -- what the user does -------------------------------------------------------------------

    def toggle(self) -> None:
        """Show the surfaces, stop making them, or go back to the plane."""
        self.status.acted()
        if self.context.scheduler.is_busy(Lane.SURFACES):
            self.stop()
            self.status.hint("stopped; no surfaces are shown")
        elif self.layer is not None:
            self.go_back()
        else:
            self.show()

    def show(self) -> None:
        """Make surfaces in the background, and show them."""
        frame = self.bench.frame
        if frame is None:
            self.status.hint("open an image to begin")
            return
        try:
            volume = self._volume(frame)
        except ValueError as error:
            self.status.hint(str(error))
            return
        chosen = choose(self.context, volume)
        if chosen is None:
            self.status.hint(NO_OBJECT)
            return

        def step(progress: Progress) -> None:
            text = f"3-D: {progress.text}; G stops it"
            self.status.progress(SURFACES, text, progress.done, progress.total, self.stop)

        def done(made: Surfaces) -> None:
            self.status.progress(SURFACES)
            if self.bench.frame is not None and self.bench.frame.layer is frame.layer:
                self._enter(made, chosen)

        def failed(text: str) -> None:
            self.status.progress(SURFACES)
            self.status.error(text)

        self.status.progress(SURFACES, "3-D: looking for the objects ...; G stops it")
        work = Work(chosen.steps, step, done, failed, "making surfaces")
        self.context.scheduler.submit(work, Lane.SURFACES)

    def stop(self) -> None:
        """Make no surfaces any more; what is shown stays."""
        self.context.scheduler.cancel(Lane.SURFACES)
        self.status.progress(SURFACES)

    def go_back(self) -> None:
        """Remove the surfaces, and show plane and layers as they were."""
        before, self._before = self._before, None
        self._remove()
        if before is not None:
            self._moving = True
            before.restore(self.viewer)
            self._moving = False

    def close(self) -> None:
        """Remove the surfaces and disconnect from the viewer."""
        self.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self.viewer.dims.events.ndisplay.disconnect(self._on_ndisplay)
        self._open = False
        if self.viewer.layers:
            self.go_back()

    # -- what is shown --------------------------------------------------------------------------

    def _volume(self, frame: Frame) -> Volume:
        """Return the three axes that the 3-D view shows, at the position of now on the others."""
        dims, ndim = self.viewer.dims, len(frame.shape)
        offset = dims.ndim - ndim
        axes = sorted(axis - offset for axis in dims.order[-3:])
        if ndim < 3 or axes[0] < 0:
            raise ValueError(ONE_PLANE)
        point = np.asarray(dims.point)[offset:]
        position = np.round(world_transform(frame.transform, dims).inverse(point)).astype(int)
        hidden = [axis for axis in range(ndim) if axis not in axes]
        if not all(0 <= position[axis] < frame.shape[axis] for axis in hidden):
            raise ValueError(OUTSIDE)
        fixed = tuple((axis, int(position[axis])) for axis in hidden)
        return Volume((axes[0], axes[1], axes[2]), fixed)

    # -- the view -------------------------------------------------------------------------------

    def _enter(self, made: Surfaces, chosen: Chosen) -> None:
        """Show surfaces in the 3-D view."""
        frame, dims = self.bench.frame, self.viewer.dims
        if frame is None or not len(made.faces):
            self.status.hint(NO_OBJECT)
            return
        labels, places = np.unique(made.labels, return_inverse=True)
        colours = chosen.colours(labels)[places]
        layer = Surface(
            (made.vertices, made.faces),
            vertex_colors=colours,
            shading="smooth",
            name=LAYER_NAME,
            **frame.transform,
        )
        before = self._before = PlaneView.of(self.viewer)
        self.layer, self._moving, shows = layer, True, False
        try:
            before.hide_layers()
            shown = sorted(dims.order[-3:])
            dims.order = (*(axis for axis in dims.order if axis not in shown), *shown)
            dims.ndisplay = 3
            self.viewer.add_layer(layer)
            look_at(self.viewer, layer, ANGLES)
            shows = True
        finally:  # napari may refuse the layer
            self._moving = False
            if not shows:
                self.go_back()
        self.panel.set_text(BACK)
        count = f"{len(labels):,} object{'' if len(labels) == 1 else 's'}"
        rest = f", the largest of {len(labels) + made.left_out:,}" if made.left_out else ""
        self.status.hint(f"{chosen.text.format(count)} in 3-D{rest}; {BACK_HINT}")

    def _remove(self) -> None:
        """Take the layer of surfaces out of the viewer."""
        layer, self.layer = self.layer, None
        self.panel.set_text(SHOW)
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    # -- events -----------------------------------------------------------------------------------

    def _on_busy_changed(self, lane: Lane, busy: bool) -> None:
        if lane == Lane.SURFACES:
            self.panel.set_text(STOP if busy else SHOW if self.layer is None else BACK)

    def _on_image_changed(self) -> None:
        """Stop, and show planes again: those of another image."""
        frame = self.bench.frame
        self.panel.setVisible(frame is not None and len(frame.shape) > 2)
        self.stop()
        if self.layer is not None:
            self.layer.visible = False  # at once; napari may be removing layers now
            QTimer.singleShot(0, self._leave)

    def _on_layers_removed(self, event: Any) -> None:
        if event.value is self.layer:
            self.layer = None
            QTimer.singleShot(0, self._leave)

    def _on_ndisplay(self, event: Any = None) -> None:
        """Go back where the user chose the 2-D view by napari's own button."""
        if self._before is not None and not self._moving:
            QTimer.singleShot(0, self.go_back)

    def _leave(self) -> None:
        """Remove the surfaces; the layers are shown again, at the plane of now."""
        if not self._open:
            return
        before, self._before = self._before, None
        self._remove()
        if before is not None:
            if self.viewer.dims.ndim == len(before.order):
                self.viewer.dims.order = before.order
            self.viewer.dims.ndisplay = 2
            before.show_layers(self.viewer)
