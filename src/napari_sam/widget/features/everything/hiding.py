"""Labels of a layer hidden by its colours; the labels themselves stay."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils import DirectLabelColormap

CLEAR = (0.0, 0.0, 0.0, 0.0)
OTHERS = (0.6, 0.6, 0.6, 1.0)
"""Colour of labels that are neither shown nor hidden: what was painted into the layer since."""


class Hiding:
    """Gives a layer colours in which some labels are clear, and its own ones back."""

    def __init__(self) -> None:
        self._now: tuple[Labels, Any, frozenset[int]] | None = None  # its own colours are second

    def hide(self, layer: Labels, hidden: frozenset[int], known: Collection[int]) -> None:
        """Hide labels, and show all others.

        Parameters
        ----------
        layer : Labels
        hidden : frozenset of int
        known : collection of int
            Those that keep their colours unless they are hidden.
        """
        if self._now is not None and self._now[0] is layer and self._now[2] == hidden:
            return
        self.end()
        if not hidden:
            return
        own = layer.colormap
        shown = [label for label in known if label not in hidden]
        colours = own.map(np.array(shown, layer.data.dtype))
        table: dict[int | None, Any] = {None: OTHERS, 0: CLEAR, **dict.fromkeys(hidden, CLEAR)}
        table.update(zip(shown, colours, strict=True))
        self._now = layer, own, hidden
        layer.colormap = DirectLabelColormap(color_dict=table)

    def end(self) -> None:
        """Give the layer its own colours back."""
        if self._now is not None:
            layer, own, _ = self._now
            self._now = None
            layer.colormap = own
