"""One key shows objects as surfaces in the 3-D view, and goes back to the plane."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels, Surface
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from ....objects.segmented import SegmentedObject, upright
from ....objects.surfaces import (
    Outlines,
    Surfaces,
    Volume,
    surfaces_of_labels,
    surfaces_of_outlines,
)
from ....types import Progress
from ... import layers
from ...context import Context
from ...frame import Frame
from ...labels_view import LabelsView
from ...placement import world_transform
from ...scheduler import Lane, Work
from ..feature import Feature
from .panel import BACK, SHOW, STOP, SurfacesPanel
from .plane_view import PlaneView, camera_of

SURFACES = "surfaces"
"""The source of progress in the status line."""
LAYER_NAME = "SAM surfaces"
ANGLES = (0.0, -30.0, -30.0)
"""Of the camera, degrees: from the side a little, where napari lights the surfaces best."""
NO_OBJECT = "there is no object to show in 3-D yet; commit one first"
ONE_PLANE = "the image has no third axis, so there is nothing to show in 3-D"
OUTSIDE = "what is shown lies outside the image; move the slider"
BACK_HINT = "drag turns the view, G goes back to the plane"

Steps = Generator[Progress, None, Surfaces]
Colours = Callable[[NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is shown.

    Attributes
    ----------
    text : str
        For the status line; `{}` stands for the number of objects.
    steps : callable
        Makes the surfaces.
    colours : callable
        From labels (n,) to colours (n, 4).
    """

    text: str
    steps: Callable[[], Steps]
    colours: Colours


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
        chosen = self._chosen(volume)
        if chosen is None:
            self.status.hint(NO_OBJECT)
            return

        def step(progress: Progress) -> None:
            self.status.progress(SURFACES, f"3-D: {progress.text}; G stops it")

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

    def _chosen(self, volume: Volume) -> Chosen | None:
        """Return what to show; None if there is no object."""
        work = self._in_work()
        if work:
            numbers = dict(enumerate(work, 1))
            outlines = {label: work[number] for label, number in numbers.items()}
            colours = np.array([self._colour(number) for number in work], np.float32)
            steps = partial(surfaces_of_outlines, outlines, volume)
            return Chosen("{} in work", steps, lambda labels: colours[labels - 1])
        view = self._view()
        if view is None:
            return None
        labels, objects = view.layer.data, dict(view.store.objects)
        wanted = set(self.context.selected()) & objects.keys()
        colours_of = partial(_colours, view.layer)
        steps = partial(_steps, labels, volume, objects, wanted)
        name = view.layer.name
        return Chosen("{} selected" if wanted else f"{{}} of {name}", steps, colours_of)

    def _in_work(self) -> dict[int, Outlines]:
        """Return the outlines of the objects in work on several planes, by number."""
        work = self.context.work
        found: dict[int, Outlines] = {}
        for number in work.numbers():
            masks = {}
            for key in work.keys(number):
                question = work.answers.get(key)
                one = None if question is None else question.objects.get(number)
                one = one or work.start(number, upright(key))
                if one is not None and one.mask:
                    masks[key] = one.mask
            if len(masks) > 1:
                found[number] = masks
        return found

    def _colour(self, number: int) -> tuple[float, ...]:
        """Return the colour of an object in work: that of the preview, or of its layer."""
        work = self.context.work
        view = work.reopened.view(-number) if number < 0 else None
        label = work.label(number)
        rgb = layers.preview_colour(label) if view is None else layers.colour_of(view.layer, label)
        return (*rgb, 1.0)

    def _view(self) -> LabelsView | None:
        """Return the view of the active labels, of the kept ones, or of everything mode."""
        active = self.viewer.layers.selection.active
        chosen = next((one for one in self.bench.views if one.layer is active), None)
        if chosen is not None:
            return chosen
        results, everything = self.bench.results, self.bench.everything
        if results is None or (everything is not None and results.store.next_label == 1):
            return everything
        return results

    # -- the view -------------------------------------------------------------------------------

    def _enter(self, made: Surfaces, chosen: Chosen) -> None:
        """Show surfaces in the 3-D view."""
        frame, dims = self.bench.frame, self.viewer.dims
        if frame is None or not len(made.faces):
            self.status.hint(NO_OBJECT)
            return
        labels, places = np.unique(made.labels, return_inverse=True)
        colours = chosen.colours(labels)[places]
        before = self._before = PlaneView.of(self.viewer)
        self._moving = True
        before.hide_layers()
        shown = sorted(dims.order[-3:])
        dims.order = (*(axis for axis in dims.order if axis not in shown), *shown)
        dims.ndisplay = 3
        self.layer = Surface(
            (made.vertices, made.faces),
            vertex_colors=colours,
            shading="smooth",
            name=LAYER_NAME,
            **frame.transform,
        )
        self.viewer.add_layer(self.layer)
        self.viewer.reset_view()
        camera_of(self.viewer).angles = ANGLES
        self._moving = False
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


def _steps(
    labels: Any, volume: Volume, objects: dict[int, SegmentedObject], wanted: set[int]
) -> Steps:
    """Make the surfaces of labels; an array that is not in memory is not searched for objects."""
    outlines = None
    if objects and not isinstance(labels, np.ndarray):
        outlines = {
            label: {key: outline.mask for key, outline in one.outlines.items()}
            for label, one in objects.items()
            if not wanted or label in wanted
        }
    return (yield from surfaces_of_labels(labels, volume, wanted or None, outlines))


def _colours(layer: Labels, labels: Sequence[int]) -> NDArray[np.float32]:
    """Return the colours of labels in their layer, (n, 4)."""
    values = np.asarray(labels).astype(layer.data.dtype)
    return np.asarray(layer.colormap.map(values), np.float32)
