"""The plugin's keys, on the viewer and on each of our layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Labels

Keymap = dict[str, Callable[[], None]]

POLYGON_KEYS = ("Enter", "Escape")
"""Keys that a Labels layer needs itself while a polygon is drawn."""


class Keys:
    """Binds keys and removes the bindings again.

    napari asks the active layer first, then the viewer; Shapes and Labels take Enter and Escape
    themselves, hence the layers' own bindings.

    Parameters
    ----------
    keymap : dict of str to callable
    """

    def __init__(self, keymap: Keymap) -> None:
        self._keymap = keymap
        self._bound: list[Any] = []

    def bind(self, target: Any) -> None:
        """Bind all keys on a viewer or a layer; once."""
        if any(target is one for one in self._bound):
            return
        self._bound.append(target)
        self._set(target, self._keymap)
        if isinstance(target, Labels):
            target.events.mode.connect(self._on_labels_mode)

    def keep_only(self, targets: list[Any]) -> None:
        """Bind the keys on these and remove all other bindings."""
        for target in list(self._bound):
            if not any(target is one for one in targets):
                self._release(target)
        for target in targets:
            self.bind(target)

    def _release(self, target: Any) -> None:
        self._bound = [one for one in self._bound if one is not target]
        if isinstance(target, Labels):
            target.events.mode.disconnect(self._on_labels_mode)
        self._set(target, dict.fromkeys(self._keymap))

    def _set(self, target: Any, keymap: dict[str, Any]) -> None:
        for key, action in keymap.items():
            handler = None if action is None else _handler(action)
            target.bind_key(key, handler, overwrite=True)

    def _on_labels_mode(self, event: Any) -> None:
        drawing = str(event.source.mode) == "polygon"
        for key in POLYGON_KEYS:
            handler = None if drawing else _handler(self._keymap[key])
            event.source.bind_key(key, handler, overwrite=True)


def _handler(action: Callable[[], None]) -> Callable[[Any], None]:
    def handle(_: Any) -> None:
        action()

    return handle
