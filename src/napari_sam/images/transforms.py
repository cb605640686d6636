"""Pixels and coordinates between a plane and the model's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.sparse import csr_array

PERCENTILES = (0.1, 99.9)
"""Percentiles of a plane that become black and white where no contrast limits are given."""


def to_rgb8(
    plane: ArrayLike, contrast_limits: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Turn any real plane into 8-bit RGB.

    An RGB(A) plane of 8-bit values is taken as it is. Everything else is stretched linearly
    between two limits: the given ones, or percentiles of the finite values (so that one hot
    pixel does not flatten the plane).

    Parameters
    ----------
    plane : (H, W) or (H, W, C) real
        One, two, three or four and more channels. The fourth of four is taken for opacity and
        left out; of more channels the first three are used; of two, the third stays empty.
    contrast_limits : (low, high) float, optional
        Values shown black and white.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the plane is empty, complex, not numeric or of another number of axes.
    """
    array = np.asarray(plane)
    if array.ndim not in (2, 3):
        raise ValueError(f"a plane is (H, W) or (H, W, C), but this one has shape {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"a plane needs at least one pixel, but this one has shape {array.shape}")
    array = _numbers(array)
    if array.dtype.kind not in "uif":
        raise ValueError(f"a plane must hold real numbers, but this one holds {array.dtype}")
    channels = array[..., None] if array.ndim == 2 else array[..., :3]
    limits = contrast_of(array) if contrast_limits is None else contrast_limits
    if limits is not None:
        channels = _stretch(channels, float(limits[0]), float(limits[1]))
    elif array.dtype != np.uint8:  # not one finite value
        channels = np.zeros(channels.shape, np.uint8)
    if channels.shape[2] == 1:
        channels = np.repeat(channels, 3, axis=2)
    elif channels.shape[2] == 2:
        channels = np.concatenate([channels, np.zeros_like(channels[..., :1])], axis=2)
    return np.ascontiguousarray(channels, dtype=np.uint8)


def contrast_of(plane: ArrayLike) -> tuple[float, float] | None:
    """Return the limits that a plane is stretched between where none are given.

    Parameters
    ----------
    plane : (H, W) or (H, W, C) real

    Returns
    -------
    (low, high) float: percentiles of the finite values; of a single value, so that it is black.
    None for 8-bit colours, which are taken as they are, and without a finite value: all is black
    """
    array = _numbers(np.asarray(plane))
    if array.ndim == 3 and array.dtype == np.uint8:
        return None
    values = array[..., :3] if array.ndim == 3 else array
    sample = values[np.isfinite(values)]
    if sample.size == 0:
        return None
    low, high = (float(v) for v in np.percentile(_floats(sample), PERCENTILES))
    if low == high:  # a few pixels on a flat plane
        low, high = float(sample.min()), float(sample.max())
    return low, high if low < high else max(low + 1, float(np.nextafter(low, np.inf)))


def _numbers(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.astype(np.uint8) * np.uint8(255) if array.dtype == bool else array


def _floats(array: NDArray[np.generic]) -> NDArray[np.floating]:
    return array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32)


def _stretch(array: NDArray[np.generic], low: float, high: float) -> NDArray[np.uint8]:
    values = _floats(array)
    finite = np.isfinite(values)
    if not low < high:
        raise ValueError(f"contrast limits must rise, but are ({low}, {high})")
    if not finite.all():
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    unit = (np.clip(values, low, high) - low) / (high - low)
    return np.asarray(np.rint(unit * 255), np.uint8)


def scaled_size(size: tuple[int, int], longest: int, largest_scale: float) -> tuple[int, int]:
    """Return the size of a plane whose longer side becomes `longest`.

    Parameters
    ----------
    size : (H, W) int
    longest : int
        Wanted length of the longer side, pixels.
    largest_scale : float
        Never magnify by more than this.

    Returns
    -------
    (h, w) int, each at least 1
    """
    scale = min(longest / max(size), largest_scale)
    h, w = (max(1, int(side * scale + 0.5)) for side in size)
    return h, w


def resize(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to `size` (h, w), bilinearly and with anti-aliasing.

    Uses Pillow's resampling, as the published SAM does.
    """
    if rgb.shape[:2] == tuple(size):
        return rgb
    resized = Image.fromarray(rgb).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def scale_points(
    points: NDArray[np.floating],
    source: tuple[int, int],
    target: tuple[int, int],
    half_pixel: bool = False,
) -> NDArray[np.float64]:
    """Move points from a plane of size `source` to the same plane resized to `target`.

    Parameters
    ----------
    points : (..., 2) float, (x, y) in pixels of the source
    source, target : (H, W) int
    half_pixel : bool
        Map centres of pixels exactly. The published SAM does not: it multiplies.

    Returns
    -------
    (..., 2) float64, (x, y) in pixels of the target
    """
    factor = np.array([target[1] / source[1], target[0] / source[0]])
    shift = 0.5 if half_pixel else 0.0
    moved = (np.asarray(points, dtype=np.float64) + shift) * factor - shift
    return np.asarray(moved)


def scale_box(
    box: NDArray[np.floating],
    source: tuple[int, int],
    target: tuple[int, int],
    half_pixel: bool = False,
) -> NDArray[np.float64]:
    """Move a box (4,), xyxy and inclusive, from a plane of size `source` to one of `target`.

    With `half_pixel` the outer edges of the box's pixels are mapped; else its corners are
    multiplied, as in the published SAM.
    """
    grow = np.array([-0.5, -0.5, 0.5, 0.5]) if half_pixel else np.zeros(4)
    edges = (np.asarray(box, dtype=np.float64) + grow).reshape(2, 2)
    return scale_points(edges, source, target, half_pixel).reshape(4) - grow


def bilinear_matrix(source: int, target: int) -> csr_array:
    """Return the sparse matrix that resizes one axis bilinearly (pixel centres, edges held).

    Parameters
    ----------
    source, target : int
        Length of the axis before and after.

    Returns
    -------
    (target, source) float32
    """
    position = (np.arange(target) + 0.5) * (source / target) - 0.5
    position = np.clip(position, 0, source - 1)
    lower = np.minimum(position.astype(int), max(source - 2, 0))
    upper = np.minimum(lower + 1, source - 1)
    fraction = (position - lower).astype(np.float32)
    rows = np.tile(np.arange(target), 2)
    values = np.concatenate([1 - fraction, fraction])
    columns = np.concatenate([lower, upper])
    matrix = csr_array((values, (rows, columns)), shape=(target, source))
    matrix.eliminate_zeros()
    return matrix
