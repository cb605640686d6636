"""The dock widget: puts the panels together and wires them to the controller."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget
from superqt import QCollapsible

from ..conflict import conflict
from ..everything.amg_params import AmgParams
from ..models.specs import ModelSpec
from .cache_status import Kept
from .controller import Controller
from .everything import Everything
from .hover import Hover
from .keys import Keys
from .model_loader import OPEN_FILE, Models
from .model_panel import ModelChooser, OfferPanel
from .panels import EverythingPanel, PromptPanel, SourcePanel
from .prefetch import Ahead
from .settings_panel import SettingsPanel

DEVICES = ("auto", "cpu", "cuda", "mps")
FILES = "Checkpoints (*.pt *.pth *.ckpt *.bin *.safetensors);;All files (*)"
NEW_LAYER = "a new layer"
NEW_FOLDER = "a new folder"


class SegmentAnything(QWidget):  # type: ignore[misc]
    """Segment Anything for image stacks.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller = Controller(napari_viewer)
        self.bench = self.controller.bench
        self.everything = Everything(self.controller)
        self.hover = Hover(self.controller)
        users = (self.controller.jobs, self.everything.jobs, self.hover.jobs)
        self.ahead = Ahead(self.controller, users)
        self.kept = Kept()
        self.models = Models(self.controller, self.kept.disk)
        self.model, self.offer = ModelChooser(), OfferPanel()
        self.source = SourcePanel(self.model, self.offer, DEVICES)
        self.prompt = PromptPanel()
        self.everything_panel = EverythingPanel(AmgParams())
        self.settings_panel = SettingsPanel(str(self.kept.disk.folder))
        self._params_of = ""
        self.plane, self.status = QLabel(), QLabel()
        self._tool = "points"
        self._open, self._was_docked = True, False
        self._keys = Keys(
            {
                "Enter": self.controller.commit,
                "Escape": self.controller.clear,
                "N": self.controller.next_candidate,
                "T": self.controller.toggle_kind,
                "W": self.toggle_tool,
                "Control-Z": self.controller.undo,
            }
        )
        self._lay_out()
        self._connect()
        self._connect_settings()
        self._show_models()
        self.controller.use_image(self._best_image())
        self._refresh()
        QTimer.singleShot(0, self._load_model)  # importing torch would slow down the opening
        warning = conflict()
        if warning:
            show_warning(warning)

    def toggle_tool(self) -> None:
        """Swap points and boxes."""
        self.use_tool("boxes" if self._tool == "points" else "points")

    def use_tool(self, tool: str) -> None:
        """Let clicks make points, or boxes."""
        self.bench.ensure_layers(self.controller.kind)
        self.bench.activate(tool)

    def run_everything(self, all_planes: bool = False) -> None:
        """Run everything mode with what the form says."""
        self.everything.run(self.everything_panel.params(), all_planes)

    def close_dock(self) -> None:
        """Cancel, disconnect, drop; safe to call twice."""
        if not self._open:
            return
        self._open = False
        self._keys.keep_only([])
        events = self.viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.disconnect(self._on_layers_changed)
        self.viewer.layers.selection.events.active.disconnect(self._on_active_changed)
        self.hover.close()
        self.everything.close()
        self.models.close()
        self.controller.close()
        self.ahead.close()
        self.kept.close()

    def event(self, event: QEvent) -> bool:
        """Notice when napari takes the widget out of its dock: there is no other sign of it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self.close_dock()
        handled: bool = super().event(event)
        return handled

    def closeEvent(self, event: Any) -> None:
        """Let go of the viewer when the window closes."""
        self.close_dock()
        super().closeEvent(event)

    def _lay_out(self) -> None:
        self.plane.setWordWrap(True)
        self.plane.setToolTip("The plane shown, and which planes will answer a click at once")
        self.status.setWordWrap(True)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.status.setMinimumHeight(3 * self.status.fontMetrics().lineSpacing())
        self.column = column = QWidget()
        inner = QVBoxLayout(column)
        inner.setContentsMargins(6, 6, 6, 6)
        inner.addWidget(self.source)
        inner.addWidget(self.plane)
        inner.addWidget(self.status)
        inner.addWidget(self.prompt)
        self.everything_section = QCollapsible("Everything")
        self.everything_section.addWidget(self.everything_panel)
        inner.addWidget(self.everything_section)
        self.settings_section = QCollapsible("Settings")
        self.settings_section.addWidget(self.settings_panel)
        inner.addWidget(self.settings_section)
        inner.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(column)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        controller, prompt = self.controller, self.prompt
        controller.status_changed.connect(self.status.setText)
        self.everything.status_changed.connect(self.status.setText)
        self.ahead.status_changed.connect(self.status.setText)
        self.ahead.text_changed.connect(self.plane.setText)
        controller.folder.asked.connect(self._ask_for_folder)
        controller.answer_changed.connect(self._on_answer_changed)
        controller.kind_changed.connect(prompt.set_kind)
        self.bench.changed.connect(self._refresh)
        prompt.kind_picked.connect(controller.set_kind)
        prompt.tool_picked.connect(self.use_tool)
        prompt.next_asked.connect(controller.next_candidate)
        prompt.commit_asked.connect(controller.commit)
        prompt.clear_asked.connect(controller.clear)
        prompt.undo_asked.connect(controller.undo)
        self.source.image.picked.connect(controller.use_image)
        self.model.picked.connect(self._on_model_picked)
        self.source.device.picked.connect(self._on_device_picked)
        models, offer = self.models, self.offer
        models.status_changed.connect(self.status.setText)
        models.listed.connect(self._show_models)
        models.model_changed.connect(self._on_model_changed)
        models.offered.connect(self._on_model_offered)
        models.downloading.connect(offer.set_busy)
        offer.download_asked.connect(models.download)
        offer.cancel_asked.connect(models.cancel)
        offer.file_asked.connect(self._ask_for_file)
        self.source.results.picked.connect(controller.use_results)
        panel = self.everything_panel
        panel.run_asked.connect(self.run_everything)
        panel.cancel_asked.connect(self.everything.cancel)
        panel.thresholds_changed.connect(self._on_thresholds_changed)
        self.everything.busy_changed.connect(panel.set_busy)
        self.everything.progress_changed.connect(panel.set_progress)
        events = self.viewer.layers.events
        for emitter in (events.inserted, events.removed, events.reordered):
            emitter.connect(self._on_layers_changed)
        self.viewer.layers.selection.events.active.connect(self._on_active_changed)

    def _connect_settings(self) -> None:
        kept, panel = self.kept, self.settings_panel
        kept.status_changed.connect(self.status.setText)
        kept.usage_changed.connect(panel.set_usage)
        kept.jobs.busy_changed.connect(panel.set_busy)
        panel.empty_asked.connect(kept.empty)
        panel.tidy_changed.connect(self.controller.tidy)
        self.settings_section.toggled.connect(self._on_settings_toggled)

    def _on_settings_toggled(self, opened: bool) -> None:
        if opened:
            self.kept.count()

    def _images(self) -> list[Image]:
        return [layer for layer in self.viewer.layers if isinstance(layer, Image)]

    def _best_image(self) -> Image | None:
        active = self.viewer.layers.selection.active
        images = self._images()
        if active in images:
            return active
        return images[-1] if images else None

    def _refresh(self) -> None:
        """Show what layers there are, and bind the keys to ours."""
        bench, frame = self.bench, self.bench.frame
        images = self._images()
        current = None if frame is None else frame.layer
        self.source.image.set_things([layer.name for layer in images], images, current)
        shape = None if frame is None else frame.shape
        others = (bench.preview, self.everything.layer)
        fitting = [
            layer
            for layer in self.viewer.layers
            if isinstance(layer, Labels)
            and not layer.multiscale
            and layer.data.shape == shape
            and not any(layer is other for other in others)
        ]
        results = None if bench.results is None else bench.results.layer
        new = NEW_FOLDER if frame is not None and frame.needs_folder else NEW_LAYER
        names = [*(layer.name for layer in fitting), new]
        self.source.results.set_things(names, [*fitting, None], results)
        ours = [bench.points, bench.boxes, bench.preview, results]
        self._keys.keep_only([self.viewer, *(layer for layer in ours if layer is not None)])

    def _on_layers_changed(self, event: Any = None) -> None:
        if self.bench.frame is None and self._images():
            QTimer.singleShot(0, self._adopt_image)  # napari is still busy with the new layer
        self._refresh()

    def _adopt_image(self) -> None:
        best = self._best_image()
        if self._open and self.bench.frame is None and best is not None:
            self.controller.use_image(best)
            self._refresh()

    def _on_active_changed(self, event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if active is not None and active in (self.bench.points, self.bench.boxes):
            self._tool = "points" if active is self.bench.points else "boxes"
            self.prompt.set_tool(self._tool)

    def _show_params(self, defaults: Mapping[str, Any]) -> None:
        """Show what suits the model in use, unless the user has been choosing for it."""
        name = self.models.current
        if name != self._params_of:
            self._params_of = name
            self.everything_panel.set_params(AmgParams(**defaults))

    def _load_model(self) -> None:
        if self._open:
            self.models.pick(self.models.current)

    def _show_models(self) -> None:
        self.model.set_items(self.models.items(), self.models.current)
        self.source.device.set_things(DEVICES, DEVICES, self.models.device)

    def _on_model_picked(self, name: str) -> None:
        if name == OPEN_FILE:
            self._show_models()  # until a file has been chosen
            self._ask_for_file()
            return
        self.everything.cancel()
        self.models.pick(name)

    def _on_model_offered(self, spec: ModelSpec | None) -> None:
        if spec is None:
            self.offer.withdraw()
            return
        text = f"{spec.name} ({spec.architecture}): {spec.note}. Licence: {spec.licence}."
        self.offer.offer(text, spec.size_text)

    def _ask_for_file(self) -> None:
        """Let the user choose a checkpoint, without holding up the window."""
        dialog = QFileDialog(self, "A checkpoint", "", FILES)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._on_file_chosen)
        dialog.open()

    def _on_file_chosen(self, path: str) -> None:
        self.everything.cancel()
        self.models.open_file(path)

    def _ask_for_folder(self) -> None:
        """Let the user name the folder of large results, without holding up the window."""
        folder = self.controller.folder
        dialog = QFileDialog(self, "A folder for the labels of this stack")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(folder.use)
        dialog.rejected.connect(folder.decline)
        dialog.open()

    def _on_device_picked(self, device: str) -> None:
        self.everything.cancel()
        self.models.pick_device(device)

    def _on_model_changed(self, name: str, device: str) -> None:
        session = self.controller.session
        if name and session is not None:
            self._show_params(session.predictor.model.amg_defaults)
            self.settings_panel.set_tidy(session.predictor.tidy_masks)
        text = f"runs on {device}" if name else "loading"
        self.source.device.setToolTip(f"Where the model runs; auto takes the fastest. Now: {text}")

    def _on_thresholds_changed(self) -> None:
        self.everything.reselect(self.everything_panel.params())

    def _on_answer_changed(self, rank: int, total: int, score: float, pixels: int) -> None:
        if not total:
            self.prompt.set_answer("no object yet")
            return
        self.prompt.set_answer(f"answer {rank}/{total}   score {score:.2f}   {self._size(pixels)}")

    def _size(self, pixels: int) -> str:
        """Return an area with its unit."""
        frame = self.bench.frame
        if frame is None:
            return f"{pixels} px"
        displayed = self.bench.key().displayed
        units = [frame.transform["units"][axis] for axis in displayed]
        if str(units[0]) == "pixel" or units[0] != units[1]:
            return f"{pixels} px"
        area = pixels * math.prod(float(frame.transform["scale"][axis]) for axis in displayed)
        return f"{area:.4g} {units[0]:~}²"
