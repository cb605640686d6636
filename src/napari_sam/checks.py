"""Arguments of public functions: whole numbers, seeds, and how a wrong value is named."""

from __future__ import annotations

from math import isfinite
from operator import index
from typing import Any

import numpy as np

LONGEST = 60
"""Most characters of a wrong value that a message repeats."""
LARGEST_SIDE = 2**20
"""Longest side of a plane, pixels."""


def shown(value: Any) -> str:
    """Return a value as one short line, for a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 4] + " ..."


def whole_number(name: str, value: Any, least: int | None = None) -> int:
    """Return a value as a whole number.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : int or what numpy has for it
    least : int, optional

    Raises
    ------
    ValueError
        If it is no whole number, or below `least`.
    """
    try:
        number = index(value)
    except TypeError:
        raise ValueError(f"{name} is a whole number, but is {shown(value)}") from None
    if least is not None and number < least:
        raise ValueError(f"{name} is at least {least}, but is {number}")
    return number


def plane_size(size: Any, least: int = 0) -> tuple[int, int]:
    """Return the size (H, W) of a plane as two whole numbers.

    Raises
    ------
    ValueError
        If it is none, a side is below `least`, or above 2 ** 20.
    """
    try:
        height, width = (index(side) for side in size)
    except (TypeError, ValueError):
        raise ValueError(f"a plane has two sides, whole numbers, but has {shown(size)}") from None
    if not least <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        raise ValueError(f"a plane of {height} x {width} pixels is too small or too large")
    return height, width


def real_numbers(name: str, values: Any, count: int) -> tuple[float, ...]:
    """Return values as so many finite numbers.

    Raises
    ------
    ValueError
        If they are not.
    """
    try:
        found = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        found = ()
    if len(found) != count or not all(isfinite(value) for value in found):
        raise ValueError(f"{name} is {count} finite numbers, but is {shown(values)}")
    return found


def random_generator(seed: Any) -> np.random.Generator:
    """Return the random numbers of a seed.

    Raises
    ------
    ValueError
        If it is no whole number from 0 up.
    """
    return np.random.default_rng(whole_number("seed", seed, 0))
