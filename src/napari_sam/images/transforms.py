"""Pixels and coordinates between a plane and the model's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.sparse import csr_array

from ..checks import plane_size, real_numbers, shown, whole_number
from ..types import Contrast, Limits
from ..types.planes import check_spacing
from .channels import channels_of, combined
from .contrast import check_limits, measure, row_blocks, stretcher


def to_rgb8(
    plane: ArrayLike,
    contrast_limits: Contrast | None = None,
    channels: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """Turn any real plane into 8-bit RGB.

    An RGB(A) plane of 8-bit values is taken as it is. Everything else is stretched linearly
    between two limits: the given ones, or those of `contrast_of`. It takes little memory beyond
    the result, however large the plane is.

    Parameters
    ----------
    plane : (H, W) or (H, W, C) real
    contrast_limits : (low, high) float, or one such pair for each channel, optional
        Values shown black and white.
    channels : sequence of int, optional
        Which channels are used, counted from 0. By default three or four are RGB(A) colours, of
        which opacity is left out; any other number are channels that are all used. Each channel is
        stretched by itself; `channels.combined` says what they become.

    Returns
    -------
    (H, W, 3) uint8

    Raises
    ------
    ValueError
        If the plane is empty, complex, not numeric, of another number of axes or without such a
        channel, or the limits are not finite or do not rise.
    """
    array = real_plane(plane)
    used = channels_of(array.shape, channels)
    limits = contrast_of(array, channels) if contrast_limits is None else contrast_limits
    if used is None and array.ndim == 3:
        array = array[..., :3]
    if limits is None:
        if array.ndim == 3 and array.dtype == np.uint8:
            return np.array(array, order="C")
        return np.zeros((*array.shape[:2], 3), np.uint8)  # not one finite value
    rgb = np.empty((*array.shape[:2], 3), np.uint8)
    pairs = _pairs(limits, 1 if used is None else len(used))
    stretch = [stretcher(array.dtype, pair) for pair in pairs]
    for rows in row_blocks(array.shape):
        rgb[rows] = _mapped(array[rows], stretch, used)
    return rgb


def contrast_of(
    plane: ArrayLike,
    channels: Sequence[int] | None = None,
    reach: Callable[[], float] | None = None,
) -> Contrast | None:
    """Return the limits that a plane is stretched between where none are given.

    They are percentiles of the finite values, so that a hot pixel does not flatten the plane,
    widened to a small spot that stands out of noise. A channel that holds noise only is stretched
    over the range of the other channels, and that of its stack, so that it stays dark.

    Parameters
    ----------
    plane : (H, W) or (H, W, C) real
    channels : sequence of int, optional
        See `to_rgb8`.
    reach : callable, optional
        Returns the range, high - low, that noise is stretched over; called for noise only.

    Returns
    -------
    (low, high) float, or one such pair for each channel. None for 8-bit colours, which are taken
    as they are, and for a plane without a finite value, which is black

    Raises
    ------
    ValueError
        See `to_rgb8`.
    """
    array = real_plane(plane)
    used = channels_of(array.shape, channels)
    if used is not None:
        found = [measure(array[..., channel]) for channel in used]
    elif array.ndim == 2:
        found = [measure(array)]
    elif array.dtype == np.uint8:
        return None
    else:
        found = [measure(array[..., :3], one_channel=False)]
    spans = [one.high - one.low for one in found if one is not None]
    if reach is not None and any(one is not None and one.noise for one in found):
        spans.append(reach())
    limits = [None if one is None else one.over(max(spans)) for one in found]
    if used is None:
        return limits[0]
    return tuple((0.0, 1.0) if pair is None else pair for pair in limits)


def real_plane(plane: ArrayLike) -> NDArray[Any]:
    """Return a plane as an array of integers or floats.

    Raises
    ------
    ValueError
        If it is none.
    """
    array = np.asarray(plane)
    if array.ndim not in (2, 3):
        raise ValueError(f"a plane is (H, W) or (H, W, C), but this one has shape {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"a plane needs at least one pixel, but this one has shape {array.shape}")
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise ValueError(f"a plane must hold real numbers, but this one holds {array.dtype}")
    return array


def _pairs(limits: Contrast, count: int) -> list[Limits]:
    """Return the limits of each of so many channels, checked; one pair holds for all."""
    try:
        one = np.ndim(limits[0]) == 0
    except (LookupError, TypeError, ValueError):
        raise ValueError(
            f"contrast limits are two numbers, or two for each channel, but are {shown(limits)}"
        ) from None
    pairs: list[Any] = [limits] * count if one else list(limits)
    if len(pairs) != count:
        raise ValueError(f"{count} channels need {count} contrast limits, not {len(pairs)}")
    return [check_limits(pair) for pair in pairs]


def _mapped(
    block: NDArray[Any],
    stretch: Sequence[Callable[[NDArray[Any]], NDArray[np.uint8]]],
    used: tuple[int, ...] | None,
) -> NDArray[np.uint8]:
    """Return some rows of a plane as a picture that fits into (h, w, 3)."""
    if used is not None:
        return combined([one(block[..., k]) for one, k in zip(stretch, used, strict=True)])
    picture = stretch[0](block)
    return picture if picture.ndim == 3 else picture[..., None]


def scaled_size(
    size: tuple[int, int],
    longest: int,
    largest_scale: float,
    spacing: tuple[float, float] = (1.0, 1.0),
) -> tuple[int, int]:
    """Return the size of a plane whose longer side becomes `longest`, with square pixels.

    Parameters
    ----------
    size : (H, W) int
    longest : int
        Wanted length of the longer side, pixels.
    largest_scale : float
        Never magnify the axis of the smaller spacing by more than this.
    spacing : (float, float)
        Size of a pixel along the axis of the rows and that of the columns.

    Returns
    -------
    (h, w) int, each at least 1

    Raises
    ------
    ValueError
        If there is no such plane, or `longest`, `largest_scale` or `spacing` are not above 0.
    """
    size = plane_size(size, 1)
    longest = whole_number("longest", longest, 1)
    if not isinstance(largest_scale, int | float) or not largest_scale > 0:
        raise ValueError(f"largest_scale is a number above 0, but is {shown(largest_scale)}")
    check_spacing(spacing)
    square = [side * one / min(spacing) for side, one in zip(size, spacing, strict=True)]
    scale = min(longest / max(square), largest_scale)
    h, w = (max(1, int(side * scale + 0.5)) for side in square)
    return h, w


def resize(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize (H, W, 3) uint8 to `size` (h, w), bilinearly and with anti-aliasing.

    Uses Pillow's resampling, as the published SAM does.

    Raises
    ------
    ValueError
        If it is no such picture, or the size has no pixel.
    """
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"a picture is (H, W, 3) uint8, but this one is {rgb.shape} {rgb.dtype}")
    size = plane_size(size, 1)
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

    Raises
    ------
    ValueError
        If these are no points, or a plane has no pixel.
    """
    source, target = plane_size(source, 1), plane_size(target, 1)
    try:
        points = np.asarray(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"points are (..., 2) numbers, but are {shown(points)}") from None
    if points.shape[-1:] != (2,):
        raise ValueError(f"points are (..., 2), (x, y), but these are {points.shape}")
    factor = np.array([target[1] / source[1], target[0] / source[0]])
    shift = 0.5 if half_pixel else 0.0
    moved = (points + shift) * factor - shift
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

    Raises
    ------
    ValueError
        If it is no box, or a plane has no pixel.
    """
    grow = np.array([-0.5, -0.5, 0.5, 0.5]) if half_pixel else np.zeros(4)
    edges = (np.array(real_numbers("a box", box, 4)) + grow).reshape(2, 2)
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

    Raises
    ------
    ValueError
        If a length is below 1.
    """
    source, target = plane_size((source, target), 1)
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
