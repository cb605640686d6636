"""The image layer that is worked on: its pixels, where they lie, and at which contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image

from ..formats.labels_store import needs_folder

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
    initial_contrast : (low, high) float or None
        What napari chose for an array that is not in memory; None for others.
    """

    layer: Image
    level: int | None
    shape: tuple[int, ...]
    transform: dict[str, Any]
    initial_contrast: tuple[float, float] | None = None

    @property
    def data(self) -> Any:
        """The array, or the list of levels; not read."""
        return self.layer.data

    @property
    def needs_folder(self) -> bool:
        """Whether labels of this shape go to a folder, being too large for memory."""
        return needs_folder(self.shape)


def frame_of(layer: Image) -> Frame:
    """Return the frame to work in on an image layer."""
    transform: dict[str, Any] = {
        "scale": np.array(layer.scale),
        "translate": np.array(layer.translate),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine.affine_matrix,
        "units": layer.units,
    }
    lazy = not isinstance(layer.data, np.ndarray)
    initial = _limits(layer) if lazy else None
    if not layer.multiscale:
        return Frame(layer, None, tuple(layer.data.shape[: layer.ndim]), transform, initial)
    shapes = [tuple(int(n) for n in level.shape[: layer.ndim]) for level in layer.data]
    fitting = [k for k, shape in enumerate(shapes) if max(shape[-2:]) <= LARGEST_LEVEL]
    level = fitting[0] if fitting else len(shapes) - 1
    factor = np.array(shapes[0]) / np.array(shapes[level])
    transform["scale"] = transform["scale"] * factor
    # pixel k of a coarse level covers `factor` fine ones: their centres do not coincide
    origin = layer.data_to_world((factor - 1) / 2)
    affine = layer.affine
    transform["translate"] = np.asarray(affine.inverse(np.asarray(origin)))
    return Frame(layer, level, shapes[level], transform, initial)


def chosen_contrast(frame: Frame) -> tuple[float, float] | None:
    """Return the contrast limits that the user has chosen for an image layer.

    None where they still are those that napari began with (all of the data's range, or for arrays
    that are not in memory a guess), and for colour: `Plane.contrast` says what happens then.
    """
    layer = frame.layer
    if layer.rgb:
        return None
    limits = _limits(layer)
    low, high = layer.contrast_limits_range
    return None if limits in ((float(low), float(high)), frame.initial_contrast) else limits


def _limits(layer: Image) -> tuple[float, float]:
    low, high = layer.contrast_limits
    return float(low), float(high)
