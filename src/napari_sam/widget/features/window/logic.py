"""Windows of computed tomography: lung, bone, brain, abdomen, or that of the file."""

from __future__ import annotations

from collections.abc import Mapping

from napari.layers import Image

from ....images.ct_windows import WINDOWS, preset_limits
from ....images.scan import METADATA, Scan
from ....types import Limits
from ...context import Context
from ..feature import Feature
from .panel import WindowPanel

OF_FILE = "of the file"
NO_UNITS = (
    "windows are for computed tomography in Hounsfield units, and this image is not known to be"
)


class Windows(Feature):
    """Sets the contrast limits of the image layer; what the model sees follows them."""

    panel: WindowPanel

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.panel = WindowPanel()
        self.panel.setVisible(False)  # until there is an image in Hounsfield units
        self.keys = {"Shift-W": self.show_next}
        self._layer: Image | None = None
        self.panel.picked.connect(self.show_window)
        context.bench.image_changed.connect(self._on_image_changed)

    def start(self) -> None:
        """Offer windows if they suit the image."""
        self._on_image_changed()

    def close(self) -> None:
        """Follow the image no more."""
        self._watch(None)

    def show_next(self) -> None:
        """Show the next window of a computed tomography."""
        self.context.status.acted()
        windows = self._windows()
        if not windows:
            self.context.status.hint(NO_UNITS)
            return
        names = [*windows]
        now = self._current(windows)
        self.show_window(names[0 if now is None else (names.index(now) + 1) % len(names)])

    def show_window(self, name: str) -> None:
        """Show the image at a window."""
        self.context.status.acted()
        limits = self._windows().get(name)
        if limits is None or self._layer is None:
            return
        self._layer.contrast_limits = limits
        low, high = limits
        self.context.status.hint(f"window {name}: {low:g} to {high:g} HU; Shift+W: the next")

    def _windows(self) -> Mapping[str, Limits]:
        """Return the limits of the windows that suit the image."""
        scan = None if self._layer is None else self._layer.metadata.get(METADATA)
        if not isinstance(scan, Scan) or not scan.hounsfield:
            return {}
        own = {} if scan.window is None else {OF_FILE: scan.window}
        return own | {name: preset_limits(name) for name in WINDOWS}

    def _current(self, windows: Mapping[str, Limits]) -> str | None:
        if self._layer is None:
            return None
        shown = tuple(float(one) for one in self._layer.contrast_limits)
        return next((name for name, limits in windows.items() if limits == shown), None)

    def _on_image_changed(self) -> None:
        frame = self.context.bench.frame
        self._watch(None if frame is None else frame.layer)
        self._show()

    def _watch(self, layer: Image | None) -> None:
        if self._layer is not None:
            self._layer.events.contrast_limits.disconnect(self._show)
        self._layer = layer
        if layer is not None:
            layer.events.contrast_limits.connect(self._show)

    def _show(self, event: object = None) -> None:
        """Offer the windows, and say which is shown."""
        windows = self._windows()
        texts = [f"{name} ({low:g} to {high:g} HU)" for name, (low, high) in windows.items()]
        self.panel.set_windows(texts, [*windows], self._current(windows))
        self.panel.setVisible(bool(windows))
