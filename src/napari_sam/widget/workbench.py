"""Our layers beside one image layer: prompts, preview, results; made, kept and let go of."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Labels, Points, Shapes
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from ..predict.prompt_kinds import PROMPT_KINDS
from ..types import Plane, SliceKey
from . import layers
from .frame import Frame, chosen_contrast, frame_of
from .history import History
from .labels_view import LabelsView
from .status import Status
from .views import Views

TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")
"""Events of an image layer that lies elsewhere in the world."""
ADDED = "added"
DONE_ACTIONS = (ADDED, "changed", "removed")
"""Of a layer's `data` event; those of a drag in progress are not among them."""


class Workbench(QObject):  # type: ignore[misc]
    """The image layer that is worked on and our layers beside it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    history : History
        Of all our layers.
    status : Status

    Signals
    -------
    changed : no argument
        The image or one of our layers is another one.
    prompts_changed : no argument
        A prompt was added, moved or removed.
    preview_lost : no argument
        The user deleted the preview.
    image_changed : no argument
        Another image is worked on, or none.
    moved : no argument
        The image lies elsewhere in the world, and so do our layers.
    labels_replaced : napari.layers.Labels
        A layer of results has other data; it is no longer in use.
    pixels_changed : no argument
        The image layer holds other data.
    """

    changed = Signal()
    prompts_changed = Signal()
    preview_lost = Signal()
    image_changed = Signal()
    labels_replaced = Signal(object)
    moved = Signal()
    pixels_changed = Signal()

    def __init__(self, viewer: Viewer, history: History, status: Status) -> None:
        super().__init__()
        self.viewer = viewer
        self.frame: Frame | None = None
        self.points: Points | None = None
        self.boxes: Shapes | None = None
        self.preview: Labels | None = None
        self.results: LabelsView | None = None
        self.everything: LabelsView | None = None
        self.kind = layers.OBJECT  # of the next point
        self.views = Views(history, status, self._on_labels_replaced)
        self.counting = False  # labels of the chosen results are being counted
        self._parked: list[tuple[Image, LabelsView]] = []  # of images worked on before
        self._hid_boxes = False
        viewer.layers.events.removed.connect(self._on_layers_removed)
        viewer.layers.selection.events.active.connect(self._show_boxes)

    def use_image(self, image: Image | None) -> None:
        """Work on another image; prompts go, the results of each image stay."""
        if self.frame is not None:
            self._listen(self.frame.layer, False)
            if self.results is not None:
                self._parked.append((self.frame.layer, self.results))
                self.results = None
        self.counting = False
        self._remove_prompt_layers()
        self.frame = None if image is None else frame_of(image)
        if self.frame is not None:
            self._listen(self.frame.layer, True)
            self.results = self._unparked(self.frame)
            self.ensure_layers()
            self.activate("points")
        self.changed.emit()
        self.image_changed.emit()

    def ensure_layers(self) -> None:
        """Make those of our layers that are missing; see `ResultsFolder` for large results."""
        if self.frame is None:
            return
        needs_results = not (self.results or self.counting or self.frame.needs_folder)
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
            layers.set_label_kind(self.points, self.kind)
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
        kind = layers.POINT_KINDS[self.kind] if tool == "points" else PROMPT_KINDS["box"]
        layer.mode = kind.mode

    def use_results(self, layer: Labels | None, largest: int = 0) -> None:
        """Commit to another Labels layer, whose largest label is known."""
        self.counting = False
        self.results = None if layer is None else self.view_of(layer, largest)

    def view_of(self, layer: Labels, largest: int = 0) -> LabelsView:
        """Return the view of a Labels layer; see `Views.open`."""
        view = self.views.open(layer, largest)
        self.changed.emit()
        return view

    def add_below_prompts(self, layer: Labels) -> None:
        """Add a layer to the viewer underneath the preview; clicks go where they went before."""
        stack = self.viewer.layers
        active = stack.selection.active
        place = len(stack) if self.preview is None else stack.index(self.preview)
        stack.insert(place, layer)
        stack.selection.active = active

    def set_kind(self, kind: str) -> None:
        """Make the next points object or background points."""
        self.kind = kind
        if self.points is not None:
            layers.set_label_kind(self.points, kind)

    def clear_prompts(self, key: SliceKey) -> None:
        """Remove the prompts of one plane; `prompts_changed` is not emitted."""
        if self.points is None or self.boxes is None:
            return
        with layers.quiet(self.points, self.boxes, self._on_prompts_data):
            layers.remove_prompts(self.points, self.boxes, key)
        self._show_boxes()

    def plane(self) -> Plane:
        """Return the plane shown now.

        Raises
        ------
        ValueError
            If there is no image, or no plane of it is shown.
        """
        if self.frame is None:
            raise ValueError("open an image to begin")
        key = layers.current_key(self.viewer, self.frame)
        return Plane(self.frame.data, key, chosen_contrast(self.frame))

    def close(self) -> None:
        """Take the prompt layers away and stop listening; the results stay."""
        self.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self.viewer.layers.selection.events.active.disconnect(self._show_boxes)
        if self.frame is not None:
            self._listen(self.frame.layer, False)
        self.use_results(None)
        self.views.close()
        self._parked.clear()
        self._remove_prompt_layers()
        self.frame = None

    def _listen(self, image: Image, listen: bool) -> None:
        """Begin or end to listen to an image layer."""
        callbacks = dict.fromkeys(TRANSFORM, self._on_image_transform)
        for name, callback in {**callbacks, "data": self._on_image_data}.items():
            emitter = getattr(image.events, name)
            (emitter.connect if listen else emitter.disconnect)(callback)

    def _add(self, layer: Any) -> Any:
        self.viewer.add_layer(layer)
        return layer

    def _unparked(self, frame: Frame) -> LabelsView | None:
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
        action = str(getattr(event.action, "value", event.action))
        if action == ADDED:
            layers.disown(event.source, event.data_indices)
        if action in DONE_ACTIONS:
            self.prompts_changed.emit()

    def _on_image_data(self, event: Any = None) -> None:
        if self.frame is None:
            return
        frame = frame_of(self.frame.layer)
        if frame.shape != self.frame.shape:
            self.use_image(frame.layer)
        else:
            self.frame = frame
        self.pixels_changed.emit()

    def _drop_view(self, layer: Labels) -> bool:
        """Let go of the view of a layer; tells whether objects went to it."""
        view = self.views.find(layer)
        if view is None:
            return False
        used = view is self.results
        if used:
            self.results = None
        if view is self.everything:
            self.everything = None
        self._parked = [pair for pair in self._parked if pair[1] is not view]
        self.views.drop(view)
        return used

    def _on_labels_replaced(self, layer: Labels) -> None:
        if self._drop_view(layer):
            self.labels_replaced.emit(layer)
        self.changed.emit()

    def _on_image_transform(self, event: Any = None) -> None:
        """Keep our layers exactly on the image."""
        if self.frame is None:
            return
        self.frame = frame_of(self.frame.layer)
        views = [view.layer for view in (self.results, self.everything) if view is not None]
        ours = (self.points, self.boxes, self.preview, *views)
        for layer in (one for one in ours if one is not None):
            for name, value in self.frame.transform.items():
                setattr(layer, name, value)
        self.moved.emit()

    def _on_layers_removed(self, event: Any) -> None:
        gone = event.value
        if self.frame is not None and gone is self.frame.layer:
            self.use_image(None)
            return
        if isinstance(gone, Labels):
            self._drop_view(gone)
        self._parked = [pair for pair in self._parked if pair[0] is not gone]
        if gone is self.preview:
            self.preview = None
            self.preview_lost.emit()
        if gone is self.points:
            self.points = None
        if gone is self.boxes:
            self.boxes = None
        self.changed.emit()
