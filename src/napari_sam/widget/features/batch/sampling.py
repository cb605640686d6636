"""Places and pixels of one layer in the grid of another, whatever their transforms are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.components import Dims
from napari.layers import Layer
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from ....types import SliceKey
from ...frame import Frame
from ...placement import world_transform

Coordinates = NDArray[np.float64]
FLAT = 1e-9
"""A smaller step along an axis, in pixels, is rounding."""


def to_image(layer: Layer, frame: Frame, dims: Dims) -> Callable[[Coordinates], Coordinates]:
    """Return a function from places in a layer to places in an image, both in pixels.

    Where the layer has fewer axes than the image, it lies in the plane that is shown.

    Parameters
    ----------
    layer : napari.layers.Layer
    frame : Frame
        Of the image.
    dims : napari.components.Dims
        Of the viewer; axes are matched from the last one on, as napari does.

    Returns
    -------
    callable of (N, d) float
        Returns (N, D) float.

    Raises
    ------
    ValueError
        If the transform of the image cannot be inverted.
    """
    to_world, to_pixels = _world(layer, dims), _inverse(world_transform(frame.transform, dims))
    shown = np.array(dims.point, np.float64)

    def place(coordinates: Coordinates) -> Coordinates:
        world = np.tile(shown, (len(coordinates), 1))
        own = _rows(to_world, coordinates)
        axes = min(world.shape[1], own.shape[1])
        world[:, world.shape[1] - axes :] = own[:, own.shape[1] - axes :]
        return _rows(to_pixels, world[:, world.shape[1] - len(frame.shape) :])

    return place


def to_layer(layer: Layer, frame: Frame, dims: Dims) -> Callable[[Coordinates], Coordinates]:
    """Return a function from places in an image to places in a layer; see `to_image`."""
    to_world, to_pixels = world_transform(frame.transform, dims), _inverse(_world(layer, dims))
    shown, ndim = np.array(dims.point, np.float64), int(layer.ndim)

    def place(coordinates: Coordinates) -> Coordinates:
        world = np.tile(shown, (len(coordinates), 1))
        world[:, world.shape[1] - len(frame.shape) :] = _rows(to_world, coordinates)
        return _rows(to_pixels, world[:, world.shape[1] - ndim :])

    return place


def labels_in_plane(
    data: Any, place: Callable[[Coordinates], Coordinates], key: SliceKey, shape: tuple[int, ...]
) -> NDArray[np.integer[Any]]:
    """Return the labels that lie under the pixels of a plane of an image; the nearest ones.

    Parameters
    ----------
    data : array-like
        Of a Labels layer. Only what lies in the plane is read.
    place : callable
        See `to_layer`.
    key : SliceKey
    shape : tuple of int
        Of the image.

    Returns
    -------
    (H, W) int
        0 where the plane reaches beyond the layer.
    """
    rows, columns = key.displayed
    corners = np.zeros((3, len(shape)))
    for axis, index in key.fixed:
        corners[:, axis] = index
    corners[1, rows] = corners[2, columns] = 1
    origin, along_rows, along_columns = place(corners)
    along_rows, along_columns = along_rows - origin, along_columns - origin
    size = shape[rows], shape[columns]
    parts: list[Any] = []
    places = []
    inside = np.ones(size, bool)
    for axis, length in enumerate(data.shape):
        if max(abs(along_rows[axis]), abs(along_columns[axis])) < FLAT:
            index = round(float(origin[axis]))
            if not 0 <= index < length:
                return np.zeros(size, np.int64)
            parts.append(index)
            continue
        down = origin[axis] + along_rows[axis] * np.arange(size[0])[:, None]
        there = np.rint(down + along_columns[axis] * np.arange(size[1])).astype(np.int64)
        inside &= (there >= 0) & (there < length)
        places.append(there.clip(0, length - 1))
        parts.append(slice(None))
    read = np.asarray(data[tuple(parts)])
    found: NDArray[np.integer[Any]] = np.where(inside, read[tuple(places)], 0)
    return found


def _world(layer: Layer, dims: Dims) -> Affine:
    names = ("scale", "translate", "rotate", "shear", "units")
    transform = {name: getattr(layer, name) for name in names}
    return world_transform({**transform, "affine": layer.affine.affine_matrix}, dims)


def _inverse(transform: Affine) -> Affine:
    try:
        return transform.inverse
    except np.linalg.LinAlgError:
        raise ValueError("the layer is squeezed flat; reset its transform") from None


def _rows(transform: Affine, coordinates: Coordinates) -> Coordinates:
    return np.asarray(coordinates @ transform.linear_matrix.T + transform.translate)
