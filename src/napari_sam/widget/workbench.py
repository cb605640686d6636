"""Our layers beside one image layer: prompts, preview, results; made, kept and let go of."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Labels, Points, Shapes
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from ..types import SliceKey
from . import layers
from .results import Results

DONE_ACTIONS = ("added", "changed", "removed")
"""Of a layer's `data` event; those of a drag in progress are not among them."""


class Workbench(QObject):  # type: ignore[misc]
    """The image layer that is worked on and our layers beside it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Signals
    -------
    changed : no argument
        The image or one of our layers is another one.
    prompts_changed : no argument
        A prompt was added, moved or removed.
    preview_lost : no argument
        The user deleted the preview.
    image_lost : no argument
        The user deleted the image.
    pixels_changed : no argument
        The image layer holds other data.
    """

    changed = Signal()
    prompts_changed = Signal()
    preview_lost = Signal()
    image_lost = Signal()
    pixels_changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.frame: layers.Frame | None = None
        self.points: Points | None = None
        self.boxes: Shapes | None = None
        self.preview: Labels | None = None
        self.results: Results | None = None
        self._parked: list[tuple[Image, Results]] = []  # of images worked on before
        self._hid_boxes = False
        viewer.layers.events.removed.connect(self._on_layers_removed)
        viewer.layers.selection.events.active.connect(self._show_boxes)

    def use_image(self, image: Image | None, kind: str) -> None:
        """Work on another image; prompts go, the results of each image stay.

        Parameters
        ----------
        image : napari.layers.Image or None
        kind : str
            What the next points mean.
        """
        if self.frame is not None:
            self.frame.layer.events.data.disconnect(self._on_image_data)
            if self.results is not None:
                self._parked.append((self.frame.layer, self.results))
                self.results = None
        self._remove_prompt_layers()
        self.frame = None if image is None else layers.frame_of(image)
        if self.frame is not None:
            self.frame.layer.events.data.connect(self._on_image_data)
            self.results = self._unparked(self.frame)
            self.ensure_layers(kind)
            self.activate("points")
        self.changed.emit()

    def ensure_layers(self, kind: str) -> None:
        """Make those of our layers that are missing; see `ResultsFolder` for large results."""
        if self.frame is None:
            return
        needs_results = self.results is None and not self.frame.needs_folder
        have = (self.preview, self.boxes, self.points)
        if not needs_results and all(one is not None for one in have):
            return
        active = self.viewer.layers.selection.active
        if needs_results:
            layer = layers.make_labels(self.frame, f"{self.frame.layer.name} objects")
            self.use_results(layer, 0)
            self.add_below_prompts(layer)
        if self.preview is None:
            self.preview = self._add(layers.make_preview(self.frame))
        if self.boxes is None:
            self.boxes, self._hid_boxes = self._add(layers.make_boxes(self.frame)), False
            self.boxes.events.data.connect(self._on_prompts_data)
        if self.points is None:
            self.points = self._add(layers.make_points(self.frame))
            self.points.events.data.connect(self._on_prompts_data)
            layers.set_label_kind(self.points, kind)
        if active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        self._show_boxes()
        self.changed.emit()

    def activate(self, tool: str) -> None:
        """Make the points or the boxes the layer that clicks go to."""
        layer = self.points if tool == "points" else self.boxes
        if layer is None:
            return
        self.viewer.layers.selection.active = layer
        layer.mode = "add" if tool == "points" else "add_rectangle"

    def use_results(self, layer: Labels | None, largest: int = 0) -> None:
        """Commit to another Labels layer, whose largest label is known."""
        if self.results is not None:
            self.results.close()
        self.results = None if layer is None else Results(layer, largest)

    def add_below_prompts(self, layer: Labels) -> None:
        """Add a layer to the viewer underneath the preview; clicks go where they went before."""
        stack = self.viewer.layers
        active = stack.selection.active
        place = len(stack) if self.preview is None else stack.index(self.preview)
        stack.insert(place, layer)
        stack.selection.active = active

    def key(self) -> SliceKey:
        """Return the plane shown now.

        Raises
        ------
        ValueError
            If there is no image, or no plane of it is shown.
        """
        if self.frame is None:
            raise ValueError("open an image to begin")
        return layers.current_key(self.viewer, self.frame)

    def contrast_limits(self) -> tuple[float, float] | None:
        """Return the image layer's contrast limits; None for colour."""
        if self.frame is None or self.frame.layer.rgb:
            return None
        low, high = self.frame.layer.contrast_limits
        return float(low), float(high)

    def close(self) -> None:
        """Take the prompt layers away and stop listening; the results stay."""
        self.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self.viewer.layers.selection.events.active.disconnect(self._show_boxes)
        if self.frame is not None:
            self.frame.layer.events.data.disconnect(self._on_image_data)
        self.use_results(None)
        for _, results in self._parked:
            results.close()
        self._parked.clear()
        self._remove_prompt_layers()
        self.frame = None

    def _add(self, layer: Any) -> Any:
        self.viewer.add_layer(layer)
        return layer

    def _unparked(self, frame: layers.Frame) -> Results | None:
        """Return the results of an earlier time with this image, if they fit and are there."""
        for pair in self._parked:
            image, results = pair
            if image is frame.layer and results.layer.data.shape == frame.shape:
                self._parked.remove(pair)
                return results
        return None

    def _remove_prompt_layers(self) -> None:
        ours = [layer for layer in (self.points, self.boxes, self.preview) if layer is not None]
        for layer in (self.points, self.boxes):
            if layer is not None:
                layer.events.data.disconnect(self._on_prompts_data)
        self.points = self.boxes = self.preview = None
        for layer in ours:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _show_boxes(self, event: Any = None) -> None:
        """Show the boxes if there are any, or some are to be drawn.

        For a Shapes layer that is shown, an empty one too, napari builds two shaders anew whenever
        the plane changes. What the user hides stays hidden.
        """
        boxes = self.boxes
        if boxes is None:
            return
        shown = bool(boxes.data) or self.viewer.layers.selection.active is boxes
        if shown == self._hid_boxes:
            boxes.visible, self._hid_boxes = shown, not shown

    def _on_prompts_data(self, event: Any) -> None:
        self._show_boxes()
        if str(getattr(event.action, "value", event.action)) in DONE_ACTIONS:
            self.prompts_changed.emit()

    def _on_image_data(self, event: Any = None) -> None:
        if self.frame is not None:
            shape = self.frame.shape
            frame = layers.frame_of(self.frame.layer)
            if frame.shape == shape:
                self.frame = frame
            self.pixels_changed.emit()

    def _on_layers_removed(self, event: Any) -> None:
        gone = event.value
        if self.frame is not None and gone is self.frame.layer:
            self.image_lost.emit()
            return
        if self.results is not None and gone is self.results.layer:
            self.use_results(None)
        self._parked = [
            (image, results)
            for image, results in self._parked
            if gone is not image and gone is not results.layer
        ]
        if gone is self.preview:
            self.preview = None
            self.preview_lost.emit()
        if gone is self.points:
            self.points = None
        if gone is self.boxes:
            self.boxes = None
        self.changed.emit()
