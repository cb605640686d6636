"""Labels shown in the colours of their classes; no label changes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from napari.layers import Labels
from napari.utils import DirectLabelColormap
from napari.utils.colormaps.colormap import LabelColormapBase
from qtpy.QtGui import QColor

from ....objects import SegmentedObject
from ....objects.classes import ObjectClass

NO_CLASS = (0.6, 0.6, 0.6, 1.0)
CLEAR = (0.0, 0.0, 0.0, 0.0)


class ClassColours:
    """Gives one Labels layer the colours of classes, and its own ones back."""

    def __init__(self) -> None:
        self._layer: Labels | None = None
        self._own: LabelColormapBase | None = None
        self._shown: Hashable = None

    def show(
        self,
        layer: Labels,
        objects: Mapping[int, SegmentedObject],
        classes: Sequence[ObjectClass],
        proposed: Mapping[int, str],
    ) -> bool:
        """Colour a layer; objects of no class are grey.

        Parameters
        ----------
        layer : Labels
        objects : mapping of int to SegmentedObject
        classes : sequence of ObjectClass
        proposed : mapping of int to str
            Names of classes by label: such objects get a paler colour.

        Returns
        -------
        bool
            Whether a colour changed.
        """
        colours = {one.name: one.colour for one in classes}
        by_label = {
            label: (colours[name], label in proposed)
            for label, one in objects.items()
            if (name := proposed.get(label, one.category)) in colours
        }
        shown = frozenset(by_label.items())
        if layer is self._layer and shown == self._shown:
            return False
        if layer is not self._layer:
            self.hide()
            self._layer, self._own = layer, layer.colormap
        self._shown = shown
        rgba = {pair: _rgba(*pair) for pair in set(by_label.values())}
        table: dict[int | None, tuple[float, ...]] = {None: NO_CLASS, 0: CLEAR}
        table.update((label, rgba[colour]) for label, colour in by_label.items())
        layer.colormap = DirectLabelColormap(color_dict=table)
        return True

    def hide(self) -> bool:
        """Give the layer its own colours back; tells whether it had others."""
        shown = self._layer is not None
        if self._layer is not None:
            self._layer.colormap = self._own
        self._layer = self._own = self._shown = None
        return shown


def _rgba(colour: str, pale: bool) -> tuple[float, ...]:
    """Return a colour, or one half way to white."""
    rgba = QColor(colour).getRgbF()
    return tuple((1 + one) / 2 for one in rgba) if pale else tuple(rgba)


def swatch(layer: Labels, label: int) -> tuple[int, int, int]:
    """Return the colour of a label in a layer, (r, g, b) from 0 to 255."""
    rgba = layer.get_color(label)
    if rgba is None:
        return 0, 0, 0
    red, green, blue = (round(255 * float(one)) for one in rgba[:3])
    return red, green, blue
