"""The plugin's keys, on the viewer and on each of our layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from napari.layers import Labels

Bindings = Mapping[str, Callable[[], None]]
"""What is called, by the names of keys as `actions.normalised` writes them."""

POLYGON_KEYS = ("Enter", "Escape")
"""Keys that a Labels layer needs itself while a polygon is drawn."""


class Keys:
    """Binds keys and removes the bindings again.

    napari asks the active layer first, then the viewer; Shapes and Labels take Enter and Escape
    themselves, hence the layers' own bindings.

    Parameters
    ----------
    bindings : mapping of str to callable
    """

    def __init__(self, bindings: Bindings) -> None:
        self._bindings = bindings
        self._bound: list[Any] = []

    def bind(self, target: Any) -> None:
        """Bind all keys on a viewer or a layer; once."""
        if any(target is one for one in self._bound):
            return
        self._bound.append(target)
        self._set(target, self._bindings)
        if isinstance(target, Labels):
            target.events.mode.connect(self._on_labels_mode)

    def keep_only(self, targets: list[Any]) -> None:
        """Bind the keys on these and remove all other bindings."""
        for target in list(self._bound):
            if not any(target is one for one in targets):
                self._release(target)
        for target in targets:
            self.bind(target)

    def rebind(self, bindings: Bindings) -> None:
        """Bind other keys wherever keys are bound now."""
        targets = list(self._bound)
        self.keep_only([])
        self._bindings = bindings
        self.keep_only(targets)

    def _release(self, target: Any) -> None:
        self._bound = [one for one in self._bound if one is not target]
        if isinstance(target, Labels):
            target.events.mode.disconnect(self._on_labels_mode)
        self._set(target, dict.fromkeys(self._bindings))

    def _set(self, target: Any, bindings: Mapping[str, Any]) -> None:
        drawing = isinstance(target, Labels) and str(target.mode) == "polygon"
        for key, action in bindings.items():
            napari_s = drawing and key in POLYGON_KEYS
            handler = None if action is None or napari_s else _handler(action)
            target.bind_key(key, handler, overwrite=True)

    def _on_labels_mode(self, event: Any) -> None:
        keys = {key: self._bindings[key] for key in POLYGON_KEYS if key in self._bindings}
        self._set(event.source, keys)


def _handler(action: Callable[[], None]) -> Callable[[Any], None]:
    def handle(_: Any) -> None:
        action()

    return handle
