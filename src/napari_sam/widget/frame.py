"""The image layer that is worked on: its pixels, where they lie, and at which contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Image

from ..formats.labels_store import needs_folder
from ..images.scan import METADATA as SCAN
from ..images.scan import Scan
from .placement import drawing_transform

LARGEST_LEVEL = 4096
"""Of a pyramid, the finest level whose plane is at most this long is worked on."""


@dataclass(frozen=True, eq=False)
class Frame:
    """An image layer at one level: its pixels and where they lie in the world.

    Attributes
    ----------
    layer : napari.layers.Image
    level : int or None
        Level of a multiscale layer.
    shape : tuple of int
        Without the colour axis.
    transform : dict
        `scale`, `translate`, `rotate`, `shear`, `affine` and `units` for another layer with the
        same pixels.
    drawing : dict
        The same for layers that are drawn on the plane shown: prompts and preview; see
        `placement.drawing_transform`.
    initial_contrast : (low, high) float or None
        What napari chose; None if the user had chosen others when the image was taken up.
    blend : array-like or None
        8-bit colours that the model sees instead of the layer, or the list of its levels; see
        `ModelView`.
    """

    layer: Image
    level: int | None
    shape: tuple[int, ...]
    transform: dict[str, Any]
    drawing: dict[str, Any]
    initial_contrast: tuple[float, float] | None = None
    blend: Any = None

    @property
    def data(self) -> Any:
        """The array that the model sees, or the list of levels; not read."""
        return self.layer.data if self.blend is None else self.blend

    @property
    def pixels(self) -> Any:
        """The layer's own array, of a multiscale layer that of the level; not read."""
        return self.layer.data if self.level is None else self.layer.data[self.level]

    @property
    def needs_folder(self) -> bool:
        """Whether labels of this shape go to a folder, being too large for memory."""
        return needs_folder(self.shape)


def frame_of(layer: Image, dims: Dims, before: Frame | None = None) -> Frame:
    """Return the frame to work in on an image layer.

    Parameters
    ----------
    layer : napari.layers.Image
    dims : napari.components.Dims
        Of the viewer.
    before : Frame, optional
        Of the same layer, before it was changed.
    """
    transform: dict[str, Any] = {
        "scale": np.array(layer.scale),
        "translate": np.array(layer.translate),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
    }
    level = None
    shape = tuple(int(n) for n in layer.data.shape[: layer.ndim])
    if layer.multiscale:
        level, shape = _working_level(layer)
        full = tuple(int(n) for n in layer.data[0].shape[: layer.ndim])
        factor = np.array(full) / np.array(shape)
        transform["scale"] = transform["scale"] * factor
        # pixel k of a coarse level covers `factor` fine ones: their centres do not coincide
        origin = layer.data_to_world((factor - 1) / 2)
        transform["translate"] = np.asarray(layer.affine.inverse(np.asarray(origin)))
    if before is not None:
        initial = before.initial_contrast
    else:
        low, high = layer.contrast_limits_range
        guessed = not isinstance(layer.data, np.ndarray)
        untouched = guessed or _limits(layer) == (float(low), float(high))
        scan = layer.metadata.get(SCAN)
        if isinstance(scan, Scan) and scan.window is not None:
            untouched = False  # napari takes the window of the file for the data's range
        initial = _limits(layer) if untouched else None
    return Frame(layer, level, shape, transform, drawing_transform(transform, dims), initial)


def _working_level(layer: Image) -> tuple[int, tuple[int, ...]]:
    """Return the level of a pyramid to work at, and its shape."""
    shapes = [tuple(int(n) for n in level.shape[: layer.ndim]) for level in layer.data]
    fitting = [k for k, shape in enumerate(shapes) if max(shape[-2:]) <= LARGEST_LEVEL]
    level = fitting[0] if fitting else len(shapes) - 1
    return level, shapes[level]


def chosen_contrast(frame: Frame) -> tuple[float, float] | None:
    """Return the contrast limits that the user has chosen for an image layer.

    None where they still are those that napari began with (all of the data's range, or for arrays
    that are not in memory a guess) or goes on choosing, and for colour: `Plane.contrast` says what
    happens then.
    """
    limits = _limits(frame.layer)
    colours = frame.layer.rgb or frame.blend is not None
    untouched = frame.layer.auto_contrast or limits == frame.initial_contrast
    return None if colours or untouched else limits


def _limits(layer: Image) -> tuple[float, float]:
    low, high = layer.contrast_limits
    return float(low), float(high)
