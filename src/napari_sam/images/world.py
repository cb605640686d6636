"""Where the voxels of a medical image lie in the patient: an affine to millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Handedness = Literal["LPS", "RAS"]
Matrix = NDArray[np.float64]

_TURN: Matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
_REVERSED = (2, 1, 0)
COINCIDE = 0.1
"""Voxels of two grids coincide if they are nearer than so many voxels."""
ORTHOGONAL = 1e-4
"""Cosine of the angle between two axes below which they are at right angles."""


@dataclass(frozen=True)
class WorldAffine:
    """An affine from voxels to millimetres.

    Attributes
    ----------
    matrix : 4 rows of 4 float
        Takes (column, row, plane, 1) of the centre of a voxel to (x, y, z, 1) in millimetres. For
        an array (Z, Y, X) these are its indices in reverse.
    frame : "LPS" or "RAS"
        What x, y and z grow towards: left, posterior, superior as DICOM has it, or right, anterior,
        superior as NIfTI has it.
    reference : str
        Frame of Reference UID of DICOM: what the millimetres are measured from. Empty if unknown.
    """

    matrix: tuple[tuple[float, ...], ...]
    frame: Handedness
    reference: str = ""

    @classmethod
    def of(cls, matrix: ArrayLike, frame: Handedness, reference: str = "") -> WorldAffine:
        """Return the affine of a (4, 4) array.

        Raises
        ------
        ValueError
            If it is none, or voxels would have no volume.
        """
        array = np.asarray(matrix, np.float64)
        if array.shape != (4, 4) or not np.isfinite(array).all():
            raise ValueError("an affine has 4 x 4 finite numbers")
        if abs(np.linalg.det(array[:3, :3])) < 1e-12:
            raise ValueError("the affine of the image gives its voxels no volume")
        return cls(tuple(tuple(float(n) for n in row) for row in array), frame, reference)

    @property
    def lps(self) -> Matrix:
        """The matrix to LPS, (4, 4)."""
        return self._to("LPS")

    @property
    def ras(self) -> Matrix:
        """The matrix to RAS, (4, 4)."""
        return self._to("RAS")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbours along planes, rows and columns, in millimetres: (z, y, x)."""
        lengths = np.linalg.norm(np.array(self.matrix)[:3, :3], axis=0)
        z, y, x = (float(one) for one in lengths[list(_REVERSED)])
        return z, y, x

    @property
    def sheared(self) -> bool:
        """Whether the axes of the voxels are not at right angles."""
        axes = np.array(self.matrix)[:3, :3]
        axes = axes / np.linalg.norm(axes, axis=0)
        return bool(np.abs(axes.T @ axes - np.eye(3)).max() > ORTHOGONAL)

    def layer_affine(self, dimensions: int = 3) -> Matrix:
        """Return the affine of a napari layer that has `spacing` as its scale.

        napari's sliders move through planes only where its axes are those of the image. So an
        image lies along its own axes, in the order in which they follow z, y and x of LPS best,
        and reversed where it runs against them. Where they are those of the patient, napari's
        coordinates are the patient's; else they are turned about the patient's origin, by the same
        angles for all images of one orientation. A shear is left out.

        Parameters
        ----------
        dimensions : int
            3, or 4 with time first.

        Returns
        -------
        (dimensions + 1, dimensions + 1) float, from scaled planes, rows and columns to millimetres
        """
        lps = self.lps
        turned = lps[:3, :3][np.ix_(_REVERSED, _REVERSED)] / np.array(self.spacing)
        orders = (list(order) for order in permutations(range(3)))
        order = max(orders, key=lambda order: round(float(np.abs(turned[order]).trace()), 6))
        along = turned[order]
        signs = np.where(np.diag(along) < 0, -1.0, 1.0)
        left, _, right = np.linalg.svd(along * signs)
        affine, space = np.eye(dimensions + 1), slice(dimensions - 3, dimensions)
        affine[space, space] = np.diag(signs)
        affine[space, dimensions] = (left @ right).T @ lps[:3, 3][list(_REVERSED)][order]
        return affine

    def _to(self, frame: Handedness) -> Matrix:
        matrix = np.array(self.matrix)
        return matrix if frame == self.frame else _TURN @ matrix


def from_planes(
    first: Sequence[float],
    orientation: Sequence[float],
    step: Any,
    spacing: Any,
    reference: str = "",
) -> WorldAffine:
    """Return the affine of planes as DICOM places them.

    Parameters
    ----------
    first : (3,) float
        Image Position (Patient) of the first plane.
    orientation : (6,) float
        Image Orientation (Patient): the direction along a row, then down a column.
    step : (3,) float
        From one plane to the next, in millimetres.
    spacing : (2,) float
        Pixel Spacing: distance of rows, distance of columns.
    reference : str
        Frame of Reference UID.
    """
    matrix = np.eye(4)
    matrix[:3, 0] = np.array(orientation[:3]) * spacing[1]
    matrix[:3, 1] = np.array(orientation[3:]) * spacing[0]
    matrix[:3, 2] = step
    matrix[:3, 3] = first
    return WorldAffine.of(matrix, "LPS", reference)


def from_scale(scale: Sequence[float], origin: Sequence[float]) -> WorldAffine:
    """Return the affine of an image of which only scale and place (z, y, x) are known, in mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(np.array(scale)[list(_REVERSED)])
    matrix[:3, 3] = np.array(origin)[list(_REVERSED)]
    return WorldAffine.of(matrix, "LPS")


def placed(
    labels: NDArray[Any], own: WorldAffine, other: WorldAffine, shape: Sequence[int]
) -> NDArray[Any]:
    """Return labels in the grid of an image: turned, flipped and shifted by whole voxels.

    Parameters
    ----------
    labels : (Z, Y, X) array
    own, other : WorldAffine
        Of the labels, and of the image.
    shape : (Z, Y, X) int
        Of the image.

    Returns
    -------
    (Z, Y, X) array; 0 where the labels do not reach

    Raises
    ------
    ValueError
        If the voxels of both do not coincide, an object lies outside the image, or both are known
        to be placed in different frames of reference.
    """
    if own.reference and other.reference and own.reference != other.reference:
        raise ValueError(
            "the labels lie in another frame of reference than the image, so that their positions "
            "in millimetres do not compare; open the image that they were made for, or register "
            "the two first"
        )
    step = np.linalg.inv(other.lps) @ own.lps
    order = np.abs(step[:3, :3]).argmax(axis=1)  # which own axis each axis of the image is
    turn = np.zeros((3, 3))
    turn[np.arange(3), order] = np.sign(step[np.arange(3), order])
    last = np.array(labels.shape[::-1]) - 1
    corners = np.array(np.meshgrid(*((0, n) for n in last), indexing="ij")).reshape(3, -1)
    offset = np.rint(step[:3, 3])
    exact = step[:3, :3] @ corners + step[:3, 3:]
    off = np.abs(turn @ corners + offset[:, None] - exact).max()
    if sorted(order) != [0, 1, 2] or off > COINCIDE:
        raise ValueError("the labels lie on another grid than the image; resample them to it first")
    turned = labels.T.transpose(order)
    flips = turn[np.arange(3), order] < 0
    turned = turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    low = (offset - np.where(flips, last[order], 0)).astype(int)
    whole = np.zeros(tuple(shape)[::-1], labels.dtype)
    start, stop = np.maximum(low, 0), np.minimum(low + turned.shape, whole.shape)
    inside = tuple(slice(a, max(a, b)) for a, b in zip(start - low, stop - low, strict=True))
    count = np.count_nonzero(turned[inside])
    if count < np.count_nonzero(labels):
        raise ValueError("objects of these labels lie outside the image; open the image of theirs")
    if count:
        whole[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = turned[inside]
    return whole.T
