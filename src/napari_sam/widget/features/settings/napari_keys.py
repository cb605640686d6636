"""Keys that napari itself uses."""

from __future__ import annotations

from napari.settings import get_settings

from ...actions import normalised


def napari_keys() -> dict[str, str]:
    """Return what napari's own shortcuts do, by their keys, as its preferences have them."""
    found: dict[str, str] = {}
    for name, bindings in get_settings().shortcuts.shortcuts.items():
        words = name.split(":")[-1].replace("_", " ")
        for binding in bindings:
            try:
                found.setdefault(normalised(str(binding)), words)
            except ValueError:
                continue  # two keys in a row: none of ours
    return found
