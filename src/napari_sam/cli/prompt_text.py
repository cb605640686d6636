"""Prompts, ranges of planes and channels as they are typed: X,Y,Z and A:B and 0,2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..images.channels import channels_of
from ..images.readers import StackImage
from ..predict.grouping import group_prompts
from ..predict.prompt_kinds import PROMPT_KINDS, PlacedPrompt, PromptKind, Values
from ..predict.windows import check_inside
from ..types import Prompts

Planes = range


def read_prompts(
    image: StackImage, texts: Mapping[str, Sequence[str]]
) -> dict[int | None, list[Prompts]]:
    """Return the objects that texts name, by plane (None in a 2-D image).

    Parameters
    ----------
    image : StackImage
    texts : mapping of str to sequence of str
        Names of `PROMPT_KINDS` with what was typed: "X,Y" in a 2-D image, "X,Y,Z" in a stack.

    Returns
    -------
    dict of z or None to list of Prompts, in pixels of the plane; planes ascend

    Raises
    ------
    ValueError
        If there is none, one is malformed, or one lies outside the image.
    """
    placed: dict[int | None, list[PlacedPrompt]] = {}
    for name, kind in PROMPT_KINDS.items():
        for text in texts.get(name, ()):
            plane, values = _read(kind, text, image)
            placed.setdefault(plane, []).append(PlacedPrompt(kind, values))
    if not placed:
        *flags, last = (kind.flag for kind in PROMPT_KINDS.values() if kind.begins)
        raise ValueError(f"there is no prompt; give {', '.join(flags)}, or {last}")
    found: dict[int | None, list[Prompts]] = {}
    for plane in sorted(placed, key=lambda z: -1 if z is None else z):
        found[plane] = [prompts for _, prompts in group_prompts(placed[plane])]
        for prompts in found[plane]:
            check_inside(prompts, (image.label_shape[-2], image.label_shape[-1]))
    return found


def read_planes(text: str | None, image: StackImage) -> Planes | None:
    """Return the planes that "A:B" names (B excluded), or None for a 2-D image.

    Raises
    ------
    ValueError
        If the range is malformed, empty or beyond the stack, or the image has no planes.
    """
    if len(image.label_axes) == 2:
        if text is not None:
            raise ValueError(f"--slices {text} needs a stack, but this image is a single plane")
        return None
    total = image.label_shape[0]
    if text is None:
        return range(total)
    parts = text.split(":")
    if len(parts) != 2 or not all(part.strip().isdecimal() or not part.strip() for part in parts):
        raise ValueError(f"--slices is A:B, two whole numbers, but is {text!r}")
    start = int(parts[0]) if parts[0].strip() else 0
    stop = int(parts[1]) if parts[1].strip() else total
    if not start < stop <= total:
        raise ValueError(
            f"--slices {text} names {'planes beyond the stack' if start < stop else 'no plane'}; "
            f"the stack has {total}, which is --slices 0:{total}"
        )
    return range(start, stop)


def read_channels(text: str | None, image: StackImage) -> tuple[int, ...] | None:
    """Return the channels of an image that "0,2" names, counted from 0.

    Parameters
    ----------
    text : str or None
        None is all channels.
    image : StackImage

    Returns
    -------
    tuple of int, or None for an image without channels and for colours of which none was chosen

    Raises
    ------
    ValueError
        If the text is malformed, or the image lacks one of the channels.
    """
    shape = image.data.shape[len(image.label_axes) - 2 :]
    if text is None:
        return tuple(range(shape[2])) if image.axes.endswith("C") else None
    if len(shape) < 3:
        raise ValueError(f"--channels {text} needs an image with channels, but this one has none")
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ValueError(f"--channels is whole numbers and commas, like 0,2, but is {text!r}")
    return channels_of(shape, [int(part) for part in parts])


def _read(kind: PromptKind, text: str, image: StackImage) -> tuple[int | None, Values]:
    """Return the plane and the values of one prompt."""
    in_stack = len(image.label_axes) == 3
    if kind.parse is None:
        numbers = _numbers(kind, text, in_stack)
        plane = _plane(kind, text, numbers.pop(), image.label_shape[0]) if in_stack else None
        return plane, np.array(numbers)
    if not in_stack:
        return None, kind.parse(text)
    said, _, last = text.rpartition(",")
    try:
        z = float(last)
    except ValueError as error:
        raise ValueError(_needs_plane(kind, text)) from error
    return _plane(kind, text, z, image.label_shape[0]), kind.parse(said)


def _numbers(kind: PromptKind, text: str, in_stack: bool) -> list[float]:
    """Return the numbers of one prompt; in a stack the last is its plane."""
    whole = kind.form + ",Z" * in_stack
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{kind.flag} is {whole}, numbers and commas, but is {text!r}") from error
    if in_stack and kind.takes(len(numbers)):
        raise ValueError(_needs_plane(kind, text))
    if not kind.takes(len(numbers) - in_stack):
        raise ValueError(
            f"{kind.flag} is {whole} in this image, but {text!r} has {len(numbers)} numbers"
        )
    if not all(map(math.isfinite, numbers[:-1] if in_stack else numbers)):
        raise ValueError(f"{kind.flag} is {whole}, finite numbers, but is {text!r}")
    return numbers


def _needs_plane(kind: PromptKind, text: str) -> str:
    return f"a prompt in a stack needs its plane: {kind.flag} {kind.form},Z, not {text!r}"


def _plane(kind: PromptKind, text: str, z: float, total: int) -> int:
    if not z.is_integer():
        raise ValueError(f"Z is the whole number of a plane, but {kind.flag} {text} has {z:g}")
    if not 0 <= z < total:
        raise ValueError(f"Z = {z:g} lies outside the image; z goes from 0 to {total - 1}")
    return int(z)
