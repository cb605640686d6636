"""Channels of a plane: which are used, and how they become red, green and blue."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

COLOURS = 3
"""Channels that are shown as red, green and blue; of more, each pixel shows the brightest."""


def check_channels(channels: Iterable[int]) -> tuple[int, ...]:
    """Return numbers of channels, counted from 0.

    Raises
    ------
    ValueError
        If there is none, one is no whole number or negative, or one is named twice.
    """
    try:
        numbers = tuple(operator.index(channel) for channel in channels)
    except TypeError:
        raise ValueError(f"channels are whole numbers, but are {channels!r}") from None
    if not numbers or min(numbers) < 0 or len(set(numbers)) < len(numbers):
        raise ValueError(f"channels count from 0 and each is named once, but are {list(numbers)}")
    return numbers


def channels_of(
    shape: Sequence[int], channels: Sequence[int] | None = None
) -> tuple[int, ...] | None:
    """Return which channels of a plane are used.

    Parameters
    ----------
    shape : (H, W) or (H, W, C) int
        Of the plane.
    channels : sequence of int, optional
        The ones that are wanted. By default three or four are RGB(A) colours; any other number
        are channels that are all used.

    Returns
    -------
    tuple of int, counted from 0; None for a plane without channels, and for colours

    Raises
    ------
    ValueError
        If the plane lacks one of them.
    """
    if channels is None:
        colours = len(shape) < 3 or shape[2] in (COLOURS, COLOURS + 1)
        return None if colours else tuple(range(shape[2]))
    wanted = check_channels(channels)
    if len(shape) < 3:
        raise ValueError(f"a plane of shape {tuple(shape)} has no channels to choose from")
    if max(wanted) >= shape[2]:
        raise ValueError(
            f"there is no channel {max(wanted)}: the image has {shape[2]}, from 0 to {shape[2] - 1}"
        )
    return wanted


def channels_text(used: Sequence[int], count: int) -> str:
    """Return which of so many channels are used and how, as a sentence.

    Parameters
    ----------
    used : sequence of int
        See `channels_of`.
    count : int
        How many channels the image has.
    """
    if len(used) == 1:
        return f"channel {used[0]} is used (the image has 0 to {count - 1})"
    names = ", ".join(map(str, used[:-1])) + f" and {used[-1]}"
    how = "as red and green" if len(used) == 2 else "as red, green and blue"
    if len(used) > COLOURS:
        how = "and each pixel shows the brightest"
    return f"channels {names} are used, each stretched by itself, {how}"


def combined(stretched: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return channels, each stretched by itself, as one picture.

    Parameters
    ----------
    stretched : C times (H, W) uint8

    Returns
    -------
    (H, W, 3) uint8
        One channel is grey. Two or three are red, green and blue. Of more, each pixel shows the
        brightest, in grey, so that every channel counts.
    """
    if len(stretched) > COLOURS:
        stretched = [np.maximum.reduce(stretched)]
    if len(stretched) == 1:
        stretched = [*stretched] * COLOURS
    empty = [np.zeros_like(stretched[0])] * (COLOURS - len(stretched))
    return np.stack([*stretched, *empty], axis=-1)
