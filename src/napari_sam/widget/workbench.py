"""The image layer that is worked on and our layers beside it: created, kept and released."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

from napari.layers import Image, Labels, Layer
from napari.viewer import Viewer
from qtpy.QtCore import QObject, Signal

from ..objects.recorder import Target
from ..types import Plane
from . import layers
from .frame import Frame, chosen_contrast, frame_of
from .history import History
from .image_prompts import ImagePrompts
from .image_watch import ImageWatch
from .in_turn import in_turn
from .labels_view import LabelsView
from .model_view import ModelView
from .placement import pixel_spacing
from .prompt_layers import PromptLayers
from .status import Status
from .views import Views


class Workbench(QObject):  # type: ignore[misc]
    """The image layer that is worked on and our layers beside it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    history : History
        Of all our layers.
    status : Status

    Attributes
    ----------
    frame : Frame or None
        The image; None if there is none.
    prompts : PromptLayers
        Where prompts are drawn and answers shown.
    image_prompts : ImagePrompts or None
        The prompts of the image; those of other images in the viewer are kept. None if there is no
        image.
    results : LabelsView or None
        The layer that objects are committed to.
    everything : LabelsView or None
        The layer that everything mode fills.
    overlays : WeakSet of napari.layers.Layer
        Layers of ours that only show something, beside the preview.
    views : Views
        Of these and other Labels layers that have served.
    model_view : ModelView
        What the model sees: the image layer alone, or several layers or channels.
    counting : bool
        Whether labels of the chosen results are being counted.
    adding : bool
        Whether one of our layers is being added: which one is selected does not count then.

    Signals
    -------
    changed : no argument
        The image or one of our layers is another one.
    image_changed : no argument
        Another image is worked on, or none.
    moved : no argument
        The image lies elsewhere in the world, and so do our layers.
    labels_replaced : napari.layers.Labels
        A layer of results has other data; it is no longer in use.
    pixels_changed : no argument
        The image layer holds other data.
    view_changed : no argument
        The same plane may look otherwise: other contrast limits, pixels changed in place, or other
        layers or channels are seen.
    """

    changed = Signal()
    image_changed = Signal()
    labels_replaced = Signal(object)
    moved = Signal()
    pixels_changed = Signal()
    view_changed = Signal()

    def __init__(self, viewer: Viewer, history: History, status: Status) -> None:
        super().__init__()
        self.viewer, self.history = viewer, history
        history.elsewhere = self._elsewhere
        self.frame: Frame | None = None
        self.prompts = PromptLayers(viewer)
        self.image_prompts: ImagePrompts | None = None
        self.results: LabelsView | None = None
        self.everything: LabelsView | None = None
        self.overlays: WeakSet[Layer] = WeakSet()
        self.views = Views(history, status, self._on_labels_replaced)
        self.counting = self.adding = False
        self._parked: list[tuple[Image, LabelsView]] = []  # of images worked on before
        self._prompts_of: list[ImagePrompts] = []  # one for each image
        self._watch = ImageWatch(viewer)
        self._watch.moved.connect(self.follow_view)
        self._watch.moved.connect(self.moved)
        self._watch.replaced.connect(self._on_image_replaced)
        self._watch.looks_changed.connect(self._on_looks_changed)
        self.model_view = ModelView(viewer)
        self.model_view.changed.connect(self._on_model_view_changed)
        viewer.layers.events.removed.connect(self._on_layers_removed)

    def use_image(self, image: Image | None, counting: bool = False) -> None:
        """Work on another image; the prompts and the results of each image are kept.

        Parameters
        ----------
        image : napari.layers.Image or None
        counting : bool
            Labels to go on with are being counted: no new layer is made unless the image has
            results already.
        """
        if self.frame is not None and self.results is not None:
            self._parked.append((self.frame.layer, self.results))
            self.results = None
        self.counting = False
        if self.image_prompts is not None:
            self.image_prompts.put_away()
        self.prompts.remove()
        self._watch.watch(image)
        self.model_view.use_image(image)
        self.frame = None if image is None else self._frame(image)
        self.image_prompts = None if self.frame is None else self._prompts_on(self.frame)
        if self.frame is not None:
            self.results = self._unparked(self.frame)
            self.counting = counting and self.results is None
            self.ensure_layers()
            if self.image_prompts is not None:
                self.image_prompts.show()
            self.prompts.activate("points")
        self.changed.emit()
        self.image_changed.emit()

    def ensure_layers(self) -> None:
        """Make those of our layers that are missing; see `ResultsFolder` for large results."""
        frame = self.frame
        if frame is None or frame.layer not in self.viewer.layers:
            return  # napari may be deleting the image: its sliders change before we hear of that
        needs_results = not (self.results or self.counting or frame.needs_folder)
        if needs_results:
            layer = layers.make_labels(frame, f"{frame.layer.name} objects")
            self.use_results(layer, 0)
            self.add_below_prompts(layer)
        if self.prompts.ensure(frame) or needs_results:
            self.changed.emit()

    def use_results(self, layer: Labels | None, largest: int = 0) -> None:
        """Commit to another Labels layer, whose largest label is known; it is put on the image."""
        self.counting = False
        self.results = None if layer is None else self.view_of(layer, largest)
        if layer is not None and self.frame is not None:
            layers.set_transform(layer, self.frame.transform)

    def view_of(self, layer: Labels, largest: int = 0) -> LabelsView:
        """Return the view of a Labels layer; see `Views.open`."""
        view, frame = self.views.open(layer, largest), self.frame
        if view.frame is None and frame is not None and frame.shape == view.store.canvas.shape:
            view.frame = frame
        self.changed.emit()
        return view

    def add_below_prompts(
        self,
        layer: Labels,
        overlay: bool = False,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        """Add a layer to the viewer underneath the preview; clicks go where they went before.

        Parameters
        ----------
        layer : napari.layers.Labels
            One that is hidden is shown in the next event: adding a large one and drawing it take
            too long for one.
        overlay : bool
            Whether it only shows something: it holds neither objects nor prompts.
        then : callable
            Called in the event after that.
        """
        if overlay:
            self.overlays.add(layer)
        stack = self.viewer.layers
        active, preview = stack.selection.active, self.prompts.preview
        self.adding = True  # napari selects it for a moment
        try:
            stack.insert(len(stack) if preview is None else stack.index(preview), layer)
            stack.selection.active = active
        finally:
            self.adding = False
        in_turn(partial(setattr, layer, "visible", True), then)

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
        return Plane(
            self.frame.data,
            key,
            chosen_contrast(self.frame),
            revision=self._watch.revision,
            spacing=pixel_spacing(self.frame.transform, self.viewer.dims, key.displayed),
        )

    def follow_view(self) -> None:
        """Put our layers where the image lies, for the plane shown, in the units of the viewer."""
        if self.frame is None:
            return
        self.frame = self._frame(self.frame.layer, self.frame)
        self.prompts.place(self.frame)
        for view in (self.results, self.everything):
            if view is not None:
                layers.set_transform(view.layer, self.frame.transform)

    def prompts_elsewhere(self) -> list[ImagePrompts]:
        """Return the prompts of images that are not worked on."""
        return [one for one in self._prompts_of if one is not self.image_prompts]

    def close(self) -> None:
        """Remove the prompt layers and disconnect; the results stay."""
        self.viewer.layers.events.removed.disconnect(self._on_layers_removed)
        self._watch.watch(None)
        self.model_view.close()
        self.use_results(None)
        self.views.close()
        self._parked.clear()
        self._prompts_of.clear()
        self.image_prompts = None
        self.prompts.close()
        self.frame = None

    def _frame(self, image: Image, before: Frame | None = None) -> Frame:
        """Return the frame of an image, with what the model sees of it."""
        blend = self.model_view.array(None)
        return replace(frame_of(image, self.viewer.dims, before), blend=blend)

    def _unparked(self, frame: Frame) -> LabelsView | None:
        """Return the results of an earlier time with this image, if they fit and are there."""
        for pair in self._parked:
            image, results = pair
            if image is frame.layer and results.layer.data.shape == frame.shape:
                self._parked.remove(pair)
                return results
        return None

    def _prompts_on(self, frame: Frame) -> ImagePrompts:
        """Return the prompts of an image, as they were left if they fit."""
        known = next((one for one in self._prompts_of if one.frame.layer is frame.layer), None)
        if known is not None and known.frame.shape == frame.shape:
            known.frame = frame
            return known
        self._drop_prompts(frame.layer)
        self._prompts_of.append(ImagePrompts(self.prompts, frame))
        return self._prompts_of[-1]

    def _drop_prompts(self, image: Image) -> None:
        """Forget the prompts of an image, and their steps."""
        for one in [one for one in self._prompts_of if one.frame.layer is image]:
            self._prompts_of.remove(one)
            self.history.drop(one)

    def _elsewhere(self, target: Target) -> str:
        """Return " on NAME" for what belongs to an image that is not worked on, else nothing."""
        if target is self.results or target is self.everything:
            return ""
        frame = target.frame if isinstance(target, (ImagePrompts, LabelsView)) else None
        if frame is None or (self.frame is not None and frame.layer is self.frame.layer):
            return ""
        return f" on {frame.layer.name}"

    def _on_looks_changed(self) -> None:
        if self.model_view.blends:
            self.model_view.renew()
            self._on_model_view_changed()
        else:
            self.view_changed.emit()

    def _on_model_view_changed(self) -> None:
        if self.frame is not None:
            self.frame = self._frame(self.frame.layer, self.frame)
            self.view_changed.emit()

    def _on_image_replaced(self) -> None:
        if self.frame is None:
            return
        self.model_view.use_image(self.frame.layer)
        frame = self._frame(self.frame.layer, self.frame)
        if frame.shape != self.frame.shape:
            self.use_image(frame.layer)
        else:
            self._reframe(frame.layer, frame)
            self.frame = frame
            if self.image_prompts is not None:
                self.image_prompts.frame = frame
        self.pixels_changed.emit()

    def _reframe(self, image: Image, frame: Frame | None) -> None:
        """Tell the views on an image what its pixels are now; that they are gone, if None."""
        for view in self.views:
            if view.frame is not None and view.frame.layer is image:
                view.frame = frame

    def _drop_view(self, layer: Labels) -> bool:
        """Close the view of a layer; return whether objects went to it."""
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

    def _on_layers_removed(self, event: Any) -> None:
        gone = event.value
        if self.frame is not None and gone is self.frame.layer:
            self.prompts.remove(soon=True)  # napari may be removing them now
            self.use_image(None)
        if isinstance(gone, Labels):
            self._drop_view(gone)
        self._parked = [pair for pair in self._parked if pair[0] is not gone]
        if isinstance(gone, Image):
            self._reframe(gone, None)
            self._drop_prompts(gone)
        self.prompts.let_go(gone)
        self.changed.emit()
