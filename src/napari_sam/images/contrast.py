"""Contrast limits of one channel where none are given, and values stretched between limits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import shown
from ..types import Limits

PERCENTILES = (0.1, 99.9)
"""Percentiles of a plane that become black and white where no contrast limits are given."""
BULK = (1.0, 99.0)
"""Percentiles that enclose all but small objects: where they enclose noise only, small objects are
searched for."""
SPOT_MARGIN = 4
"""A spot lies beyond the bulk of a plane by its range over this number at least."""
SAMPLE = 1 << 20
"""Most values that are looked at where a histogram of all is too large."""
BLOCK = 1 << 17
"""Values that are stretched at once: the memory that it takes beyond the result."""
BAND = 192
"""Rows of each part of a large plane that is searched for structure."""
FINE = 5
"""Side, in pixels, of the local means that tell noise from structure."""
STEP, COARSE = 4, 17
"""They are compared at every fourth pixel with their own means over 17 x 17 of these, which tell
structure from uneven light."""
NOISE_SHARE = 0.4
"""A plane holds noise only if its local means vary less than this part of its pixels do. It is 1/5
in white noise, and 0.5 or more in real images."""


class Measured(NamedTuple):
    """The limits of one channel, and whether they enclose nothing but noise.

    Attributes
    ----------
    low, high : float
        Values shown black and white; whole numbers for 64-bit integers, which may be too large
        for an exact float.
    noise : bool
        Whether neither a structure nor a bright or dark spot was found.
    """

    low: float
    high: float
    noise: bool

    def over(self, span: float) -> Limits:
        """Return the limits, those of noise over at least a span so that it stays dark."""
        if not self.noise or span <= self.high - self.low:
            return self.low, self.high
        return self.low, min(self.low + span, float(np.finfo(float).max))


def check_limits(limits: Sequence[float]) -> Limits:
    """Return contrast limits as numbers.

    Raises
    ------
    ValueError
        If they are not two finite numbers that rise.
    """
    try:
        low, high = limits
        rising = bool(np.isfinite(float(low)) and np.isfinite(float(high)) and low < high)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"contrast limits are two numbers, but are {shown(limits)}") from None
    if not rising:
        raise ValueError(f"contrast limits must be finite and must rise, but are ({low}, {high})")
    return low, high


def measure(values: NDArray[Any], *, one_channel: bool = True) -> Measured | None:
    """Return the limits that values are stretched between where none are given.

    They are percentiles, so that a hot pixel does not flatten the plane. Values beyond `BULK` that
    no median of 3 x 3 pixels reaches, such as those of a hot column, do not widen them. Where the
    percentiles enclose noise only, they are widened to a spot that stands out of it, however small.

    Parameters
    ----------
    values : (H, W) real, or (H, W, C) colours that share their limits
    one_channel : bool
        False for colours, which are not searched for noise.

    Returns
    -------
    Measured, or None without a finite value. The limits always rise; a plane of one value is black
    """
    found = _percentiles(values)
    if found is None:
        return None
    low, bulk_low, bulk_high, high = found
    noise = one_channel and (bulk_low == bulk_high or _is_noise(values, bulk_low, bulk_high))
    margin = _margin(bulk_low, bulk_high)
    if noise or (one_channel and (low < bulk_low - margin or high > bulk_high + margin)):
        spots = _spots(values, bulk_low - margin, bulk_high + margin)
        darkest, brightest = min([bulk_low - margin, *spots]), max([bulk_high + margin, *spots])
        low, high = max(low, darkest), min(high, brightest)
        if noise:
            low, high = min([low, *spots]), max([high, *spots])
            noise = not spots
    if low == high:  # a few pixels on a flat plane
        low, high = _extremes(values)
    if low == high:
        high = low + 1 if isinstance(low, int) else max(low + 1, math.nextafter(low, math.inf))
        if math.isinf(high):
            low, high = math.nextafter(low, 0), low
    return Measured(low, high, noise)


def stretcher(dtype: np.dtype[Any], limits: Limits) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """Return the function that maps values of a type to 0..255 between limits.

    NaN becomes black. It takes arrays of any shape; give it blocks to save memory.
    """
    low, high = limits
    if dtype.kind in "ui" and dtype.itemsize <= 2:
        unsigned = np.dtype(f"u{dtype.itemsize}")
        every = (
            np.arange(256**dtype.itemsize).astype(unsigned).view(f"{dtype.kind}{dtype.itemsize}")
        )
        unit = (np.clip(every.astype(np.float32), low, high) - low) / (high - low)
        table = np.asarray(np.rint(unit * 255), np.uint8)
        return lambda block: table[block.astype(dtype.newbyteorder("=")).view(unsigned)]
    return lambda block: np.asarray(np.rint(_unit(block, low, high) * 255), np.uint8)


def row_blocks(shape: Sequence[int], values: int = BLOCK) -> Iterator[slice]:
    """Yield slices of the rows of an array of a shape, each of about so many values."""
    step = max(1, values // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def _unit(block: NDArray[Any], low: float, high: float) -> NDArray[np.floating]:
    """Return values as parts of the range between limits, cut to 0..1; NaN becomes 0."""
    if block.dtype.kind in "ui" and block.dtype.itemsize == 8:
        info = np.iinfo(block.dtype)
        base = min(max(math.floor(low), int(info.min)), int(info.max))
        top = min(max(math.ceil(high), base), int(info.max))
        cut = np.clip(block, block.dtype.type(base), block.dtype.type(top))
        above = (cut.astype(np.uint64) - np.uint64(base % 2**64)).astype(np.float64)
        parts: NDArray[np.float64] = (above - float(low - base)) / float(high - low)
        return np.clip(parts, 0, 1, out=parts)
    small = block.dtype.kind == "f" and block.dtype.itemsize <= 4
    exact = np.float32 if small and max(-low, high) < np.finfo(np.float32).max / 2 else np.float64
    values: NDArray[np.floating] = np.fmin(np.fmax(block.astype(exact), low), high)
    if math.isinf(high - low):
        values, low, high = values * 0.5, low / 2, high / 2
    values -= exact(low)
    values /= exact(high - low)
    return values


def _percentiles(values: NDArray[Any]) -> list[float] | None:
    """Return the lower `PERCENTILES` and `BULK`, then the upper ones; None without finite values.

    Those of 64-bit integers are whole numbers. Those of 8- and 16-bit numbers are exact.
    """
    parts = sorted((*PERCENTILES, *BULK))
    if values.dtype.kind in "ui" and values.dtype.itemsize <= 2:
        return _histogram_percentiles(values, parts)
    step = math.ceil(math.sqrt(values.size / SAMPLE))
    sample = _finite(values[::step, ::step])
    if not sample.size:  # NaN wherever it was looked
        sample = _finite(values)
    if not sample.size:
        return None
    if sample.dtype.kind in "ui":
        places = [round(part / 100 * (sample.size - 1)) for part in parts]
        ordered = np.partition(sample, places)
        return [int(ordered[place]) for place in places]
    with np.errstate(over="ignore", invalid="ignore"):  # between the largest floats there are
        found = np.percentile(sample, parts)
    if not np.isfinite(found).all():
        found = np.percentile(sample, parts, method="nearest")
    return [float(value) for value in found]


def _histogram_percentiles(values: NDArray[Any], parts: Sequence[float]) -> list[float]:
    """Return percentiles of 8- or 16-bit numbers exactly, as `numpy.percentile` does."""
    info = np.iinfo(values.dtype)
    counts = np.zeros(int(info.max) - int(info.min) + 1, np.int64)
    for rows in row_blocks(values.shape):
        shifted = values[rows].ravel().astype(np.int32) - int(info.min)
        counts += np.bincount(shifted, minlength=len(counts))
    below = np.cumsum(counts)
    places = np.array(parts) / 100 * (values.size - 1)
    lower, upper = (
        np.searchsorted(below, ends, side="right") for ends in (np.floor(places), np.ceil(places))
    )
    found = lower + (upper - lower) * (places - np.floor(places)) + int(info.min)
    return [float(value) for value in found]


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Return the finite values (N,) in a type that holds them exactly: 64-bit integers or float."""
    if values.dtype.kind in "ui":
        return values.ravel() if values.dtype.itemsize == 8 else values.ravel().astype(np.float64)
    with np.errstate(over="ignore"):
        floats = values.ravel().astype(np.float64)
    return floats[np.isfinite(floats)]


def _extremes(values: NDArray[Any]) -> Limits:
    """Return the least and the largest finite value."""
    kind = int if values.dtype.kind in "ui" and values.dtype.itemsize == 8 else float
    parts = [part for rows in row_blocks(values.shape) if (part := _finite(values[rows])).size]
    return kind(min(part.min() for part in parts)), kind(max(part.max() for part in parts))


def _is_noise(values: NDArray[Any], low: float, high: float) -> bool:
    """Tell whether neighbouring pixels (H, W) have nothing in common but slow changes of light."""
    bands = _bands(values)
    unit = _unit(bands, low, high).astype(np.float32)
    if bands.dtype.kind == "f":
        unit[~np.isfinite(bands)] = unit.mean()
    fine = ndimage.uniform_filter(unit, (0, FINE, FINE))[:, ::STEP, ::STEP]
    unit = unit[:, ::STEP, ::STEP]
    trend = ndimage.uniform_filter(fine, (0, COARSE, COARSE))
    edge = COARSE // 2 if min(unit.shape[1:]) >= 2 * COARSE else 0  # where the trend is one-sided
    inner = (slice(None), *(slice(edge, side - edge) for side in unit.shape[1:]))
    spread, whole = (float((part - trend)[inner].std()) for part in (fine, unit))
    return spread < NOISE_SHARE * whole


def _bands(values: NDArray[Any]) -> NDArray[Any]:
    """Return evenly spaced parts (N, h, w) of a plane, of `SAMPLE` values at most."""
    height, width = values.shape
    rows = min(height, BAND)
    width = min(width, SAMPLE // rows)
    if values.size <= SAMPLE:
        return values[None]
    starts = np.linspace(0, height - rows, max(1, SAMPLE // (rows * width))).astype(int)
    return np.stack([values[start : start + rows, :width] for start in starts])


def _mirrored(places: NDArray[np.intp], last: int) -> NDArray[np.intp]:
    """Return positions on an axis; one beyond its end is that on the other side of the end."""
    return np.asarray(np.clip(last - np.abs(last - np.abs(places)), 0, last))


def _margin(low: float, high: float) -> float:
    """Return how far beyond the bulk of a plane a spot lies at least."""
    return (high - low) // SPOT_MARGIN if isinstance(low, int) else (high - low) / SPOT_MARGIN


def _spots(values: NDArray[Any], low: float, high: float) -> list[float]:
    """Return the extremes of the spots (H, W) that lie beyond two values.

    What counts is the median of 3 x 3 pixels, which a hot pixel does not move.

    Returns
    -------
    list of float
        Values of the darkest and the brightest spot; empty if there is none.
    """
    height, width = values.shape
    reach = np.arange(-1, 2)
    found: list[float] = []
    for rows in row_blocks(values.shape):
        part = values[rows]
        y, x = np.nonzero(np.isfinite(part) & ((part > high) | (part < low)))
        near_y = _mirrored((y + rows.start)[:, None, None] + reach[:, None], height - 1)
        near_x = _mirrored(x[:, None, None] + reach, width - 1)
        medians = _finite(np.sort(values[near_y, near_x].reshape(-1, 9), axis=1)[:, 4])
        beyond = medians[(medians > high) | (medians < low)]
        if len(beyond):
            found += [beyond.min().item(), beyond.max().item()]
    return found
