"""What the model sees of an image: its layer alone, all layers on screen, or chosen channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from napari.layers import Image, Layer
from napari.viewer import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..images.blend import Blend, BlendLayer
from .image_watch import TRANSFORM

MOST_CHANNELS = 8
"""An axis longer than that holds planes, not channels."""
PRIMARY = np.eye(3, dtype=np.uint8)
"""Red, green and blue."""
LOOKS = (
    *("contrast_limits", "gamma", "colormap", "opacity", "blending", "visible", "data"),
    *TRANSFORM,
)
"""Events of an image layer after which it looks otherwise, or lies elsewhere."""
VALUES = np.linspace(0, 1, 256)


@dataclass(frozen=True)
class Channel:
    """An image that can be shown in one colour.

    Attributes
    ----------
    name : str
    layer : napari.layers.Image
    fixed : (axis, index) or None
        Of a channel on an axis of the layer: its place there.
    """

    name: str
    layer: Image
    fixed: tuple[int, int] | None = None

    def same_as(self, other: Channel) -> bool:
        """Tell whether another value means the same pixels, whatever their name is now."""
        return self.layer is other.layer and self.fixed == other.fixed


@dataclass(frozen=True)
class Choice:
    """What of an image is seen.

    Attributes
    ----------
    kind : str
        "alone": the layer as it is. "screen": all visible layers of its shape, as on screen.
        "channels": `channels` as red, green and blue.
    channels : tuple of Channel or None
        In red, green and blue; None leaves a colour out.
    """

    kind: Literal["alone", "screen", "channels"] = "alone"
    channels: tuple[Channel | None, ...] = ()


ALONE, ON_SCREEN = Choice("alone"), Choice("screen")


class ModelView(QObject):  # type: ignore[misc]
    """Makes the array that the model is asked about, and another one when it looks otherwise.

    Parameters
    ----------
    viewer : napari.viewer.Viewer

    Attributes
    ----------
    choice : Choice

    Signals
    -------
    changed : no argument
        The model sees something else.
    """

    changed = Signal()

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.viewer = viewer
        self.choice = ALONE
        self._image: Image | None = None
        self._watched: list[Image] = []
        self._parts: list[BlendLayer] = []
        self._made: Any = None  # of these parts; None is the layer alone
        for emitter in self._of_the_list():
            emitter.connect(self._on_layers_changed)
        self._watch(viewer.layers)

    @property
    def blends(self) -> bool:
        """Whether something else than the layer alone is seen."""
        return self._made is not None

    @property
    def layers(self) -> list[Image]:
        """The layers that lie on the image and have its shape, itself included."""
        return [] if self._image is None else matching(self.viewer.layers, self._image)

    def use_image(self, image: Image | None) -> None:
        """See another image, or none; chosen channels are not those of another image."""
        if image is not self._image and self.choice.kind == "channels":
            self.choice = ALONE
        self._image = image
        self._make()

    def choose(self, choice: Choice) -> None:
        """See the image otherwise.

        Raises
        ------
        ValueError
            If no channel is chosen for any colour.
        """
        if choice.kind == "channels" and not any(choice.channels):
            raise ValueError("choose a channel for red, green or blue")
        self.choice = choice
        self._on_look_changed()

    def array(self, alone: Any) -> Any:
        """Return the array that is seen, or the list of its levels.

        Parameters
        ----------
        alone : array-like
            The layer's own, or the list of its levels.
        """
        return alone if self._made is None else self._made

    def renew(self) -> None:
        """Make the array anew: pixels have changed in place."""
        self._parts = []
        self._make()

    def close(self) -> None:
        """Disconnect from the viewer."""
        for emitter in self._of_the_list():
            emitter.disconnect(self._on_layers_changed)
        self._watch([])
        self._image, self._parts, self._made = None, [], None

    def _of_the_list(self) -> tuple[Any, ...]:
        events = self.viewer.layers.events
        return events.inserted, events.removed, events.reordered

    def _watch(self, layers: Iterable[Layer]) -> None:
        """Follow how some layers look, and no others."""
        for layer in self._watched:
            for name in LOOKS:
                getattr(layer.events, name).disconnect(self._on_look_changed)
        self._watched = [layer for layer in layers if isinstance(layer, Image)]
        for layer in self._watched:
            for name in LOOKS:
                getattr(layer.events, name).connect(self._on_look_changed)

    def _make(self) -> bool:
        """Make the array of the choice; return whether it is another one than before."""
        parts = self._chosen_parts()
        if [_look(one) for one in parts] == [_look(one) for one in self._parts]:
            return False
        self._parts = parts
        self._made = None if self._image is None or not parts else _blended(parts, self._image)
        return True

    def _chosen_parts(self) -> list[BlendLayer]:
        """Return what is blended; nothing where the layer is seen alone."""
        there, choice = self.layers, self.choice
        if choice.kind == "screen" and len(there) > 1:
            return [as_on_screen(layer) for layer in there if layer.visible]
        if choice.kind == "channels":
            return [
                in_colour(channel, colour)
                for channel, colour in zip(choice.channels, PRIMARY, strict=True)
                if channel is not None and channel.layer in there
            ]
        return []

    def _on_layers_changed(self, event: Any = None) -> None:
        self._watch(self.viewer.layers)
        self._on_look_changed()

    def _on_look_changed(self, event: Any = None) -> None:
        if self._make():
            self.changed.emit()


def matching(layers: Iterable[Layer], image: Image) -> list[Image]:
    """Return the image layers with the pixels' places of an image, the lowest first."""
    return [
        layer
        for layer in layers
        if isinstance(layer, Image)
        and layer.ndim == image.ndim
        and layer.multiscale == image.multiscale
        and _sizes(layer) == _sizes(image)
        and tuple(layer.units) == tuple(image.units)
        and np.allclose(_corners(layer), _corners(image))
    ]


def channels_of(image: Image, there: Sequence[Image], hidden: Iterable[int]) -> list[Channel]:
    """Return what can be shown as red, green or blue.

    Parameters
    ----------
    image : napari.layers.Image
    there : sequence of napari.layers.Image
        The layers of its shape; see `matching`.
    hidden : iterable of int
        Its axes that have a slider; short ones may hold channels.

    Returns
    -------
    list of Channel
        Empty if there is nothing to choose from.
    """
    found = [Channel(layer.name, layer) for layer in there if not layer.rgb]
    if len(found) < 2:
        found = []
    if image.rgb:
        return found
    shape = _sizes(image)[0]
    for axis in hidden:
        if 2 <= shape[axis] <= MOST_CHANNELS:
            name = image.axis_labels[axis]
            name = f"axis {axis}" if str(name).startswith("-") else str(name)
            found += [Channel(f"{name}: {k}", image, (axis, k)) for k in range(shape[axis])]
    return found


def as_on_screen(layer: Image) -> BlendLayer:
    """Return a layer as napari draws it."""
    low, high = (float(limit) for limit in layer.contrast_limits)
    return BlendLayer(
        layer.data,
        None if layer.rgb else _colours(layer),
        None if layer.rgb else (low, high),
        opacity=float(layer.opacity),
        blending=str(layer.blending).removesuffix("_no_depth"),
    )


def in_colour(channel: Channel, colour: NDArray[np.uint8]) -> BlendLayer:
    """Return a channel in one colour, between limits that suit each plane."""
    table = np.arange(256, dtype=np.uint8)[:, None] * colour
    return BlendLayer(channel.layer.data, table, fixed=channel.fixed)


def _look(part: BlendLayer) -> tuple[object, ...]:
    """Return what a part of a blend is made of, to be compared."""
    colours = None if part.colours is None else part.colours.tobytes()
    return (id(part.image), colours, part.limits, part.fixed, part.opacity, part.blending)


def _colours(layer: Image) -> NDArray[np.uint8]:
    """Return the colours (256, 3) of a layer's values, its gamma included."""
    colours = layer.colormap.map(VALUES**layer.gamma)
    return np.asarray(np.rint(np.asarray(colours)[:, :3] * 255), np.uint8)


def _blended(parts: Sequence[BlendLayer], image: Image) -> Any:
    """Return layers as one array, or as a list of levels."""
    sizes = _sizes(image)
    if not image.multiscale:
        return Blend(parts, sizes[0])
    return [
        Blend([replace(one, image=one.image[level]) for one in parts], size)
        for level, size in enumerate(sizes)
    ]


def _sizes(layer: Image) -> list[tuple[int, ...]]:
    """Return the shape of each level, without colours."""
    levels = layer.data if layer.multiscale else [layer.data]
    return [tuple(int(side) for side in level.shape[: layer.ndim]) for level in levels]


def _corners(layer: Image) -> NDArray[np.float64]:
    """Return where the corners of an image lie on each axis; they tell its whole transform."""
    ends = np.vstack([np.zeros(layer.ndim), np.diag(_sizes(layer)[0])])
    return np.array([layer.data_to_world(end) for end in ends])
