"""Label images as other programs store them, as labels; changed only where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LARGEST = int(np.iinfo(np.int32).max)
MOST_COLOURS = 4096
"""A picture of more colours is no label image."""
FEW_PIXELS = 4
"""Colours of fewer pixels on average are those of soft edges, or of JPEG."""
TRUE = (1, 255)
"""Values of true in a mask."""
UNKNOWN = -1
"""The value that many programs give to ground that is not annotated."""


class Converted(NamedTuple):
    """The labels of a plane.

    Attributes
    ----------
    labels : (H, W) int32
    unknown : (H, W) bool or None
        Ground of which nothing is known; None if there is none.
    """

    labels: NDArray[np.int32]
    unknown: NDArray[np.bool_] | None = None


class Conversion(NamedTuple):
    """How the planes of a file become labels.

    Attributes
    ----------
    notice : str
        What is changed, a clause; empty if nothing is.
    linked : bool
        Whether equal labels in two planes are still the same object.
    convert : callable
        Of a plane (H, W) or (H, W, C).
    """

    notice: str
    linked: bool
    convert: Callable[[NDArray[Any]], Converted]


def conversion(
    planes: Callable[[], Iterable[NDArray[Any]]], dtype: np.dtype[Any], colours: bool
) -> Conversion:
    """Look at all planes of a file and say how they become labels.

    Masks of true and false become an object for each connected piece; colours become a label for
    each colour, black being background; floats that are whole numbers become whole numbers; -1
    becomes ground of which nothing is known.

    Parameters
    ----------
    planes : callable
        Returns all planes (H, W), or (H, W, C) if they are colours, one read at a time.
    dtype : dtype
        Of their values.
    colours : bool

    Raises
    ------
    ValueError
        If they cannot become labels without guessing; the sentence says what to do.
    """
    if colours:
        return _of_colours(planes)
    low, high, two, several = 0, 0, True, False
    for plane in planes():
        if dtype.kind == "f" and not _whole(plane):
            raise ValueError(
                f"it holds {dtype} that are no whole numbers, such as probabilities; save the "
                "labels of the objects instead"
            )
        own = int(plane.max())
        two = two and own in (0, high or own) and bool(((plane == 0) | (plane == own)).all())
        low, high = min(low, int(plane.min())), max(high, own)
        several = several or (two and _pieces(plane > 0)[1] > 1)
    if low < UNKNOWN:
        raise ValueError(f"it holds {low}, but labels are not negative")
    if dtype.kind == "b" or (several and two and high in TRUE):
        return Conversion(
            "a mask of true and false: each connected piece became an object, so objects that "
            "touch are one",
            False,
            _of_mask,
        )
    if high > LARGEST:
        return Conversion("labels were renumbered: some were above 2147483647", False, _renumbered)
    clauses = []
    if dtype.kind == "f":
        clauses.append(f"labels were stored as {dtype}; all are whole numbers")
    if low == UNKNOWN:
        clauses.append("pixels of the value -1 count as ground of which nothing is known")
    return Conversion("; ".join(clauses), True, _of_numbers)


def _of_colours(planes: Callable[[], Iterable[NDArray[Any]]]) -> Conversion:
    grey, black = True, False
    for plane in planes():
        if plane.dtype != np.uint8 or plane.shape[-1] not in (3, 4):
            raise ValueError(
                f"it holds {plane.shape[-1]} channels of {plane.dtype}; save the labels as one "
                "number for each pixel"
            )
        packed = _packed(plane)
        grey = grey and bool((plane[..., :3] == plane[..., :1]).all())
        black = black or bool((packed == 0).any())
        counts = np.unique(packed, return_counts=True)[1]
        if len(counts) > MOST_COLOURS or np.median(counts) < FEW_PIXELS:
            raise ValueError(
                f"it has {len(counts)} colours, more than labels have: it looks like a picture, or "
                "like labels saved as JPEG; save the labels as numbers, as TIFF or PNG"
            )
    if not black:
        raise ValueError(
            "it is in colours and none is black, so it does not tell what is background; save the "
            "labels as numbers"
        )
    if grey:
        one = conversion(lambda: (plane[..., 0] for plane in planes()), np.dtype(np.uint8), False)
        clauses = [part for part in ("labels were stored in equal channels", one.notice) if part]
        return Conversion("; ".join(clauses), one.linked, lambda plane: one.convert(plane[..., 0]))
    return Conversion(
        "labels were stored as colours: each colour became a label, and black is background",
        True,
        lambda plane: Converted(_packed(plane)),
    )


def _whole(plane: NDArray[Any]) -> bool:
    return bool(np.isfinite(plane).all() and (plane == np.rint(plane)).all())


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    return labels.astype(np.int32, copy=False), int(count)


def _packed(plane: NDArray[Any]) -> NDArray[np.int32]:
    """Return colours (H, W, C) as numbers, red * 65536 + green * 256 + blue."""
    red, green, blue = (plane[..., k].astype(np.int32) for k in range(3))
    return red << 16 | green << 8 | blue


def _of_mask(plane: NDArray[Any]) -> Converted:
    return Converted(_pieces(plane > 0)[0])


def _renumbered(plane: NDArray[Any]) -> Converted:
    values, places = np.unique(plane, return_inverse=True)
    first = np.searchsorted(values, 0, side="right")
    labels = np.maximum(places.reshape(plane.shape) - first + 1, 0)
    return Converted(labels.astype(np.int32))


def _of_numbers(plane: NDArray[Any]) -> Converted:
    unknown = plane < 0 if plane.dtype.kind in "if" else np.zeros(plane.shape, bool)
    labels = np.where(unknown, 0, plane).astype(np.int32)
    return Converted(labels, unknown if unknown.any() else None)
