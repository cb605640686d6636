"""Low-resolution logits in another frame: magnified to the plane, or moved to another window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..images.transforms import bilinear_matrix
from ..types import Mask, MaskLogits

Frame = tuple[float, float, float, float]
"""(x0, y0, x1, y1) of the outer edges of logits; see `MaskLogits.frame`."""

LOW_RES_STRIDE = 4
"""Pixels of the padded input that one low-resolution logit covers, in every family."""
NO_OBJECT = -2.0
"""Logit outside the window of an earlier answer: probably no object, but not known."""


@dataclass(frozen=True)
class Upsampler:
    """Low-resolution logits to logits in pixels of the plane, as two matrix products.

    The published SAM magnifies to the padded input, cuts the padding off and resizes to the
    plane, each time bilinearly; along one axis all that is one matrix.

    Attributes
    ----------
    rows : (H, h) float32, sparse
    columns : (W, w) float32, sparse
    """

    rows: csr_array
    columns: csr_array

    @classmethod
    def between(
        cls,
        low_res: tuple[int, int],
        padded: tuple[int, int],
        input_size: tuple[int, int],
        original: tuple[int, int],
    ) -> Upsampler:
        """Make the matrices from the sizes (rows, columns) of each stage."""
        matrices = [
            csr_array(bilinear_matrix(inner, full) @ bilinear_matrix(low, pad)[:inner])
            for low, pad, inner, full in zip(low_res, padded, input_size, original, strict=True)
        ]
        return cls(*matrices)

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map (..., h, w) to (..., H, W)."""
        planes = logits.reshape(-1, *logits.shape[-2:])
        fine = np.stack([_resized(self.rows, plane, self.columns) for plane in planes])
        return fine.reshape(*logits.shape[:-2], *fine.shape[-2:])

    def part(self, logits: NDArray[np.float32], part: tuple[slice, slice]) -> NDArray[np.float32]:
        """Map (h, w) to some rows and columns of the plane."""
        return _resized(self.rows[part[0]], logits, self.columns[part[1]])

    def within(
        self, logits: NDArray[np.float32], threshold: float
    ) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
        """Up-sample only the part of a plane where logits can exceed a threshold.

        Parameters
        ----------
        logits : (h, w) float32
        threshold : float

        Returns
        -------
        part : (slice, slice), rows and columns of the plane; empty if nothing exceeds it
        logits : float32, of that part
        """
        above = logits > threshold
        spans = []
        for axis, matrix in ((1, self.rows), (0, self.columns)):
            reach = np.flatnonzero(matrix @ above.any(axis=axis).astype(np.float32))
            first, last = (int(reach[0]), int(reach[-1]) + 1) if len(reach) else (0, 0)
            spans.append(slice(first, last))
        rows, columns = spans
        return (rows, columns), self.part(logits, (rows, columns))


def frame_of(size: tuple[int, int], input_size: tuple[int, int], padded: tuple[int, int]) -> Frame:
    """Return what the logits of a plane cover; see `MaskLogits.frame`.

    Parameters
    ----------
    size : (H, W) int
        Of the plane.
    input_size, padded : (h, w) int
        Of the plane as the model gets it, and with its padding.
    """
    height, width = (
        whole * pad / inner for whole, pad, inner in zip(size, padded, input_size, strict=True)
    )
    return -0.5, -0.5, width - 0.5, height - 0.5


def _resized(
    rows: csr_array, plane: NDArray[np.float32], columns: csr_array
) -> NDArray[np.float32]:
    """Return `rows @ plane @ columns.T`.

    Sparse, because a dense product would wake the threads of numpy's own library, which then
    compete with torch's for the cores.
    """
    return np.asarray((columns @ np.ascontiguousarray((rows @ plane).T)).T, np.float32)


def moved_logits(logits: MaskLogits, frame: Frame, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return logits in another frame: bilinear at its cells, no object where they tell nothing.

    Parameters
    ----------
    logits : MaskLogits
    frame : (x0, y0, x1, y1) float, pixels of the same plane
    shape : (h, w) int, cells of that frame

    Returns
    -------
    (h, w) float32
    """
    values = logits.values
    if values.shape == shape and np.allclose(logits.frame, frame, rtol=0, atol=1e-6):
        return values
    rows, columns = _matrices(logits.frame, values.shape, frame, shape)
    known = np.outer(rows.sum(axis=1), columns.sum(axis=1)) > 0
    return np.where(known, _resized(rows, values, columns), np.float32(NO_OBJECT))


def coverage(mask: Mask, frame: Frame, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return which part of each cell of a frame a mask covers.

    Parameters
    ----------
    mask : Mask
        With a pixel at least.
    frame : (x0, y0, x1, y1) float, pixels of the same plane
    shape : (h, w) int, cells of that frame

    Returns
    -------
    (h, w) float32 in 0..1; interpolated where cells are smaller than pixels
    """
    bits = np.pad(mask.bits, 1).astype(np.float32)  # beyond the box there is nothing
    x0, y0, x1, y1 = mask.box
    source = (x0 - 1.5, y0 - 1.5, x1 + 1.5, y1 + 1.5)
    rows, columns = _matrices(source, bits.shape, frame, shape)
    return np.clip(_resized(rows, bits, columns), 0, 1)


def _matrices(
    source: Frame, count: Sequence[int], target: Frame, wanted: Sequence[int]
) -> tuple[csr_array, csr_array]:
    """Return the matrices from the cells of one frame to those of another, rows and columns."""
    rows, columns = (
        _resampling(source[axis::2], count[1 - axis], target[axis::2], wanted[1 - axis])
        for axis in (1, 0)
    )
    return rows, columns


def _resampling(
    source: Sequence[float], count: int, target: Sequence[float], wanted: int
) -> csr_array:
    """Return the matrix (wanted, count) from the cells of one span to those of another.

    A row of zeros stands for a cell whose centre the source does not cover. Where the target's
    cells are larger, each is the mean over it.
    """
    ratio = (target[1] - target[0]) / wanted / ((source[1] - source[0]) / count)
    samples = max(1, int(np.ceil(ratio)))
    places = target[0] + (np.arange(wanted * samples) + 0.5) * (target[1] - target[0]) / (
        wanted * samples
    )
    position = (places - source[0]) * count / (source[1] - source[0]) - 0.5
    inside = (position >= -0.5) & (position <= count - 0.5)
    position = np.clip(position, 0, count - 1)
    lower = np.minimum(position.astype(int), max(count - 2, 0))
    upper = np.minimum(lower + 1, count - 1)
    fraction = position - lower
    rows = np.tile(np.arange(wanted * samples) // samples, 2)
    weights = np.concatenate([(1 - fraction) * inside, fraction * inside]) / samples
    cells = np.concatenate([lower, upper])
    return csr_array((weights.astype(np.float32), (rows, cells)), shape=(wanted, count))
