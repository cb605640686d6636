"""Which of z and t are the leading axes of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def plane_axes(shape: tuple[int, ...], numbers: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """Return the letter of each leading axis.

    An image of three axes has one of the two: the one that is not always 0, or, where both are
    not, the one that varies.

    Parameters
    ----------
    shape : tuple of int
        Of the image, of two to four axes.
    numbers : mapping of "z" and "t" to sequence
        Those that are given, of each prompt.

    Raises
    ------
    ValueError
        If planes are named that the image does not have, or both letters vary.
    """
    used = [letter for letter in ("z", "t") if any(one != 0 for one in numbers.get(letter, ()))]
    if len(shape) == 2:
        if used:
            raise ValueError(f"it names planes of {' and '.join(used)}, but the image is one plane")
        return ()
    if len(shape) == 4:
        return ("t", "z")
    if len(used) > 1:
        varying = [letter for letter in used if len({*map(str, numbers[letter])}) > 1]
        if len(varying) != 1:
            raise ValueError(
                "it names planes of z and of t, but the image has one axis of planes; leave one out"
            )
        used = varying
    return (used[0] if used else next((one for one in ("z", "t") if one in numbers), "z"),)
