"""Files of several images: the one that is meant, or a sentence that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tifffile

from .decoding import UnreadableImageError

EXTRAS = ("thumbnail", "label", "macro", "map", "overview", "preview", "probability")
"""First word of the names that slide scanners give to pictures beside the image."""
REDUCED_OR_MASK = 1 | 4
"""Bits of the tag NewSubfileType."""


def choose_series(
    path: Path, series: Sequence[tifffile.TiffPageSeries], number: int | None
) -> tuple[int, str]:
    """Choose one of the images of a file.

    Where one is named, it is that. Else pictures that the file marks as reduced copies, masks or
    labels of a slide are left out, and so are smaller copies that follow the image, as the levels
    of a pyramid do. One image has to be left.

    Parameters
    ----------
    path : Path
    series : sequence of TiffPageSeries
    number : int or None

    Returns
    -------
    number : int
    notice : str
        What was left out; empty if nothing was or one was named.

    Raises
    ------
    UnreadableImageError
        If several are left, or there is none of this number.
    """
    if number is not None:
        if not 0 <= number < len(series):
            raise UnreadableImageError(f"{path} has no series {number}; it holds {_listed(series)}")
        return number, ""
    left = [i for i, one in enumerate(series) if one.size and not _is_extra(one)]
    left = left or [0]
    if len(left) > 1 and all(_is_copy(series[i], series[left[0]]) for i in left[1:]):
        left = left[:1]
    if len(left) > 1:
        raise UnreadableImageError(
            f"{path} holds several images: {_listed(series)}; choose one with --series N on the "
            "command line or series=N of read_image, or write it to a file of its own"
        )
    rest = len(series) - 1
    if not rest:
        return left[0], ""
    others = "1 other picture" if rest == 1 else f"{rest} other pictures"
    chosen = _described(left[0], series[left[0]])
    return left[0], f"{path} also holds {others}, smaller copies or the like; read is {chosen}"


def _is_extra(one: tifffile.TiffPageSeries) -> bool:
    page = one.keyframe
    words = str(one.name).lower().split() or [""]
    return bool(page.subfiletype & REDUCED_OR_MASK) or words[0] in EXTRAS


def _is_copy(one: tifffile.TiffPageSeries, image: tifffile.TiffPageSeries) -> bool:
    """Tell whether an image is another one at a smaller size: shape and type tell."""
    if one.axes != image.axes or one.dtype != image.dtype:
        return False
    lengths = dict(zip(image.axes, image.shape, strict=True))
    smaller = dict(zip(one.axes, one.shape, strict=True))
    if any(smaller[axis] != lengths[axis] for axis in lengths if axis not in "ZYX"):
        return False
    if smaller["Y"] >= lengths["Y"] or smaller["X"] >= lengths["X"]:
        return False
    factor = lengths["Y"] / smaller["Y"]
    return abs(lengths["X"] / factor - smaller["X"]) <= 1 + 1 / factor


def _listed(series: Sequence[tifffile.TiffPageSeries]) -> str:
    shown = [_described(i, one) for i, one in enumerate(series[:8])]
    return ", ".join(shown) + (f", ... {len(series) - 1}" if len(series) > 8 else "")


def _described(number: int, one: tifffile.TiffPageSeries) -> str:
    return f"series {number} ({one.axes} {' x '.join(map(str, one.shape))})"
