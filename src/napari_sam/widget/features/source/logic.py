"""Which image is worked on, by which model, and where its objects go."""

from __future__ import annotations

from functools import partial
from typing import Any

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QFileDialog

from ....formats.labels_store import largest_label
from ....models.families import file_suffixes
from ....models.specs import ModelSpec
from ...context import Context
from ...frame import frame_of
from ...results_folder import COUNTING
from ...scheduler import Lane, Work
from ..feature import Feature
from .choices import fitting_labels, labels_to_go_on_with
from .model_loader import OPEN_FILE, ModelLoader
from .model_panel import ModelChooser, OfferPanel
from .panel import SourcePanel
from .view_choice import ViewChoice

FILES = f"Checkpoints ({' '.join(f'*{suffix}' for suffix in file_suffixes())});;All files (*)"
NEW_LAYER = "a new layer"
NEW_FOLDER = "a new folder"


class Source(Feature):
    """Image, model, device, and the Labels layer that objects go to."""

    panel: SourcePanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.viewer, self.bench = context.viewer, context.bench
        self.loader = ModelLoader(context)
        self.model, self.offer = ModelChooser(), OfferPanel()
        self.panel = SourcePanel(self.model, self.offer, self.loader.devices)
        self.seen = ViewChoice(context, self.panel.view)
        self._open = True
        self._watched: list[Image] = []
        self._connect()

    def start(self) -> None:
        """Take the image that is there, and the bundled model."""
        self._show_models()
        self.use_image(self._best_image())
        self.refresh()
        QTimer.singleShot(0, self._load_model)  # importing torch would slow down the opening

    def use_image(self, image: Image | None) -> None:
        """Work on another image layer; None for no image."""
        self.context.status.acted()
        if self.context.session is not None:
            self.context.session.clear()
        self.context.scheduler.cancel(Lane.LABELS)
        self.context.status.progress(COUNTING)
        labels = None
        if image is not None:
            frame = frame_of(image, self.viewer.dims)
            fitting = fitting_labels(self.viewer.layers, frame, self._overlays())
            labels = labels_to_go_on_with(fitting, image, self.bench.views)
        self.bench.use_image(image, counting=labels is not None)
        if labels is not None and self.bench.counting:
            self.use_results(labels)

    def use_results(self, layer: Labels | None) -> None:
        """Commit to another Labels layer of the same shape; None makes a new one or asks for it.

        Its labels are counted in the background; until then nothing is committed.
        """
        bench, status = self.bench, self.context.status
        if bench.frame is None or (bench.results and layer is bench.results.layer):
            return
        status.acted()
        self.context.scheduler.cancel(Lane.LABELS)
        bench.use_results(None)
        if layer is not None and bench.views.find(layer) is not None:
            bench.use_results(layer)  # its labels are known
            bench.changed.emit()
            return
        if layer is None:
            self.context.folder.forget()
            bench.ensure_layers()
            return
        chosen, image = layer, bench.frame.layer
        bench.counting = True

        def end() -> None:
            status.progress(COUNTING)
            bench.counting = False

        def done(largest: int) -> None:
            end()
            here = bench.frame is not None and bench.frame.layer is image
            if here and chosen in self.viewer.layers:
                bench.use_results(chosen, largest)
                status.hint(
                    f"objects go into {chosen.name}, whose labels end at {largest}; choose "
                    f"{NEW_LAYER} under Into for another"
                )
            bench.changed.emit()

        def failed(text: str) -> None:
            end()
            bench.changed.emit()
            status.error(text)

        status.progress(COUNTING, f"counting the labels of {layer.name} ...")
        steps = partial(largest_label, chosen.data)
        work = Work(steps, on_result=done, on_error=failed, text="counting labels")
        self.context.scheduler.submit(work, Lane.LABELS)

    def _overlays(self) -> list[Layer | None]:
        return [self.bench.prompts.preview, *self.bench.overlays]

    def refresh(self) -> None:
        """Show what layers there are."""
        bench, frame = self.bench, self.bench.frame
        images = self._images()
        current = None if frame is None else frame.layer
        self.panel.image.set_things([layer.name for layer in images], images, current)
        self.seen.refresh()
        layers = self.viewer.layers
        fitting = [] if frame is None else fitting_labels(layers, frame, self._overlays())
        results = None if bench.results is None else bench.results.layer
        new = NEW_FOLDER if frame is not None and frame.needs_folder else NEW_LAYER
        names = [*(layer.name for layer in fitting), new]
        self.panel.results.set_things(names, [*fitting, None], results)

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._open = False
        self.loader.close()
        events = self.viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            emitter.disconnect(self._on_layers_changed)
        self._watch([])

    def _connect(self) -> None:
        loader, offer, panel = self.loader, self.offer, self.panel
        panel.image.picked.connect(self.use_image)
        panel.results.picked.connect(self.use_results)
        panel.device.picked.connect(loader.pick_device)
        self.model.picked.connect(self._on_model_picked)
        loader.listed.connect(self._show_models)
        self.context.model_asked.connect(loader.use)
        loader.offered.connect(self._on_model_offered)
        loader.downloading.connect(offer.set_busy)
        offer.download_asked.connect(loader.download)
        offer.cancel_asked.connect(loader.cancel)
        offer.file_asked.connect(self._ask_for_file)
        self.context.session_changed.connect(self._on_session_changed)
        self.bench.changed.connect(self.refresh)
        self.bench.labels_replaced.connect(self._on_labels_replaced)
        events = self.viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered, events.renamed):
            emitter.connect(self._on_layers_changed)
        self._watch(self._images())

    def _images(self) -> list[Image]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def _best_image(self) -> Image | None:
        active = self.viewer.layers.selection.active
        images = self._images()
        if active in images:
            return active
        return images[-1] if images else None

    def _watch(self, images: list[Image]) -> None:
        """Follow which images are shown or hidden."""
        for layer in self._watched:
            layer.events.visible.disconnect(self._on_image_visible)
        self._watched = images
        for layer in images:
            layer.events.visible.connect(self._on_image_visible)

    def _on_image_visible(self, event: Any = None) -> None:
        self.refresh()

    def _on_layers_changed(self, event: Any = None) -> None:
        self._watch(self._images())
        if self.bench.frame is None and self._images():
            QTimer.singleShot(0, self._adopt_image)  # napari is still busy with the new layer
        self.refresh()

    def _on_labels_replaced(self, layer: Labels) -> None:
        """Count the labels of results that hold other data now, if they still fit."""
        frame = self.bench.frame
        if frame is not None and layer.data.shape == frame.shape:
            self.use_results(layer)
        else:
            text = f"{layer.name} does not fit the image any more; objects go to another layer"
            self.context.status.error(text)

    def _adopt_image(self) -> None:
        best = self._best_image()
        if self._open and self.bench.frame is None and best is not None:
            self.use_image(best)

    def _load_model(self) -> None:
        if self._open:
            self.loader.begin()

    def _show_models(self) -> None:
        self.model.set_items(self.loader.items(), self.loader.current)
        devices = self.loader.devices
        device = next((one for one in devices if one == self.loader.device_in_use), None)
        self.panel.device.set_things(devices, devices, device)

    def _on_model_picked(self, name: str) -> None:
        if name == OPEN_FILE:
            self._show_models()  # until a file has been chosen
            self._ask_for_file()
            return
        self.loader.pick(name)

    def _on_model_offered(self, spec: ModelSpec | None) -> None:
        if spec is None:
            self.offer.withdraw()
            return
        text = f"{spec.name} ({spec.architecture}): {spec.note}. Licence: {spec.licence}."
        self.offer.offer(text, spec.size_text)

    def _ask_for_file(self) -> None:
        """Let the user choose a checkpoint, without holding up the window."""
        dialog = QFileDialog(self.panel, "A checkpoint", "", FILES)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.loader.open_file)
        dialog.open()

    def _on_session_changed(self) -> None:
        session = self.context.session
        model = None if session is None else session.predictor.model
        text = "loading"
        if model is not None:
            text = f"runs on {model.device}, sees {model.image_size} pixels at most along a side"
        self.panel.device.setToolTip(f"Where the model runs; auto takes the fastest. Now: {text}")
