"""Prompts, axes, planes, channels and sizes as they are typed: X,Y,Z and z and A:B and 0,2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..images.channels import channels_of
from ..images.contrast import check_limits
from ..images.ct_windows import preset_limits
from ..images.readers import StackImage
from ..predict.grouping import group_prompts
from ..predict.prompt_kinds import PROMPT_KINDS, PlacedPrompt, PromptKind
from ..predict.prompt_values import Values
from ..predict.windows import check_inside
from ..stack.volumes import Place, StackFrame
from ..types import Limits, Prompts

Planes = range
MICROMETRE = "micrometer"


def read_axis(text: str | None, image: StackImage) -> StackFrame | None:
    """Return where the planes of a stack lie, or None for a 2-D image.

    Parameters
    ----------
    text : str or None
        The letter of the axis that planes follow one another along; by default Z, or else T.
    image : StackImage

    Raises
    ------
    ValueError
        If the image has no such axis, or is a single plane.
    """
    axes = image.label_axes
    if len(axes) == 2:
        if text is not None:
            raise ValueError(f"--axis {text} needs a stack, but this image is a single plane")
        return None
    letter = axes[-3] if text is None else text.upper()
    if len(letter) != 1 or letter not in axes:
        raise ValueError(f"--axis is one of {', '.join(axes)} in this image, but is {text!r}")
    return StackFrame(image.label_shape, axes.index(letter))


def read_prompts(
    image: StackImage,
    texts: Mapping[str, Sequence[str]],
    frame: StackFrame | None = None,
    one_object: bool = False,
) -> dict[Place | None, list[Prompts]]:
    """Return the objects that texts name, by plane (None in a 2-D image).

    Parameters
    ----------
    image : StackImage
    texts : mapping of str to sequence of str
        Names of `PROMPT_KINDS` with what was typed: "X,Y" in a 2-D image, "X,Y,Z" in a stack,
        "X,Y,Z,T" in a series of stacks.
    frame : StackFrame, optional
        Where the planes lie; by default along Z, or else along T.
    one_object : bool
        All prompts of a plane belong to one object.

    Returns
    -------
    dict of place or None to list of Prompts, in pixels of the plane; planes ascend

    Raises
    ------
    ValueError
        If there is none, one is malformed, or one lies outside the image.
    """
    frame = read_axis(None, image) if frame is None else frame
    walked = [] if frame is None else [axis for axis, _ in frame.key.fixed]
    lengths = {image.label_axes[axis]: image.label_shape[axis] for axis in reversed(walked)}
    owner = 1 if one_object else None
    placed: dict[tuple[int, ...], list[PlacedPrompt]] = {}
    for name, kind in PROMPT_KINDS.items():
        for text in texts.get(name, ()):
            places, values = _read(kind, text, lengths)
            placed.setdefault(places[::-1], []).append(PlacedPrompt(kind, values, owner))
    if not placed:
        *flags, last = (kind.flag for kind in PROMPT_KINDS.values() if kind.begins)
        raise ValueError(f"there is no prompt; give {', '.join(flags)}, {last}, or --prompts FILE")
    rows, columns = (0, 1) if frame is None else frame.key.displayed
    found: dict[Place | None, list[Prompts]] = {}
    for places in sorted(placed):
        plane = None if not places else places if len(places) > 1 else places[0]
        found[plane] = [prompts for _, prompts in group_prompts(placed[places])]
        for prompts in found[plane]:
            check_inside(prompts, (image.label_shape[rows], image.label_shape[columns]))
    return found


def read_planes(
    text: str | None, image: StackImage, frame: StackFrame | None = None
) -> Planes | None:
    """Return the planes that "A:B" names (B excluded), or None for a 2-D image.

    They are counted along the axis of `frame`; by default Z, or else T.

    Raises
    ------
    ValueError
        If the range is malformed, empty or beyond the stack, or the image has no planes.
    """
    if len(image.label_axes) == 2:
        if text is not None:
            raise ValueError(f"--slices {text} needs a stack, but this image is a single plane")
        return None
    total = image.label_shape[-3 if frame is None else frame.axis]
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


def read_contrast(text: str | None, window: str | None, image: StackImage) -> Limits | None:
    """Return the values shown black and white that "LOW,HIGH" or the name of a window says.

    By default those of the file's own window; None if it has none.

    Raises
    ------
    ValueError
        If they are not two finite numbers that rise, or both are given.
    """
    if text is None:
        return read_window(window, image)
    if window is not None:
        raise ValueError("--contrast and --window both say what is shown black and white; give one")
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"--contrast is LOW,HIGH, two numbers, but is {text!r}") from None
    return check_limits((low, high))


def read_window(name: str | None, image: StackImage) -> Limits | None:
    """Return what the window of a name shows black and white; by default the file's own window.

    Raises
    ------
    ValueError
        If the image is no computed tomography in Hounsfield units.
    """
    if name is None:
        return None if image.scan is None else image.scan.window
    if image.scan is None or not image.scan.hounsfield:
        raise ValueError(
            f"--window {name} is in Hounsfield units, and the values of this image are not known "
            "to be; give --contrast LOW,HIGH"
        )
    return preset_limits(name)


def read_spacing(text: str | None, image: StackImage) -> StackImage:
    """Return an image with the size of its pixels as "Z,Y,X" says it, in micrometres.

    Parameters
    ----------
    text : str or None
        A number for each axis but time; None leaves the image as it is.
    image : StackImage

    Raises
    ------
    ValueError
        If the text is not one positive number for each of these axes.
    """
    if text is None:
        return image
    if image.scan is not None and image.scan.world is not None:
        raise ValueError("--spacing is of images whose file does not place them; this one does")
    axes = image.label_axes
    letters = axes.replace("T", "")
    try:
        sizes = dict(zip(letters, map(float, text.split(",")), strict=True))
    except ValueError:
        sizes = {}
    if not sizes or not all(0 < size < math.inf for size in sizes.values()):
        form = ",".join(letters)
        raise ValueError(f"--spacing is {form} in this image, numbers above 0, but is {text!r}")
    before = dict(zip(axes, image.scale or (), strict=False))
    units = dict(zip(axes, image.units, strict=False))
    return replace(
        image,
        scale=tuple(sizes.get(letter, before.get(letter, 1.0)) for letter in axes),
        units=tuple(
            MICROMETRE if letter in sizes else units.get(letter, "pixel") for letter in axes
        ),
    )


def spacing_of(image: StackImage, axes: Sequence[int]) -> tuple[float, ...]:
    """Return the size of a pixel along axes; 1 along all where it is unknown or one is time."""
    if image.scale is None or "T" in (image.label_axes[axis] for axis in axes):
        return (1.0,) * len(axes)
    return tuple(image.scale[axis] for axis in axes)


def is_known(image: StackImage, axes: Sequence[int]) -> bool:
    """Tell whether the size of a pixel along all of some axes is known in micrometres."""
    return bool(image.units) and all(image.units[axis] == MICROMETRE for axis in axes)


def _read(
    kind: PromptKind, text: str, lengths: Mapping[str, int]
) -> tuple[tuple[int, ...], Values]:
    """Return the positions of one prompt's plane, and its values.

    `lengths` are those of the axes that the positions count, by letter, in the order in which
    they are typed.
    """
    if kind.parse is None:
        numbers = _numbers(kind, text, lengths)
        count = len(numbers) - len(lengths)
        return _places(kind, text, numbers[count:], lengths), np.array(numbers[:count])
    if not lengths:
        return (), kind.parse(text)
    said, *last = text.rsplit(",", len(lengths))
    try:
        positions = [float(one) for one in last]
    except ValueError as error:
        raise ValueError(_needs_plane(kind, text, lengths)) from error
    if len(positions) < len(lengths):
        raise ValueError(_needs_plane(kind, text, lengths))
    return _places(kind, text, positions, lengths), kind.parse(said)


def _numbers(kind: PromptKind, text: str, lengths: Mapping[str, int]) -> list[float]:
    """Return the numbers of one prompt; in a stack the last are the positions of its plane."""
    whole = _form(kind, lengths)
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"{kind.flag} is {whole}, numbers and commas, but is {text!r}") from error
    count = len(numbers) - len(lengths)
    if lengths and kind.takes(len(numbers)) and not kind.takes(count):
        raise ValueError(_needs_plane(kind, text, lengths))
    if not kind.takes(count):
        raise ValueError(
            f"{kind.flag} is {whole} in this image, but {text!r} has {len(numbers)} numbers"
        )
    if not all(map(math.isfinite, numbers[:count])):
        raise ValueError(f"{kind.flag} is {whole}, finite numbers, but is {text!r}")
    return numbers


def _form(kind: PromptKind, lengths: Mapping[str, int]) -> str:
    return ",".join([kind.form, *lengths])


def _needs_plane(kind: PromptKind, text: str, lengths: Mapping[str, int]) -> str:
    whole = _form(kind, lengths)
    return f"a prompt in a stack needs its plane: {kind.flag} {whole}, not {text!r}"


def _places(
    kind: PromptKind, text: str, positions: Sequence[float], lengths: Mapping[str, int]
) -> tuple[int, ...]:
    """Return positions as whole numbers, in the order in which they are typed."""
    for position, (letter, total) in zip(positions, lengths.items(), strict=True):
        if not position.is_integer():
            raise ValueError(
                f"{letter} is the whole number of a plane, but {kind.flag} {text} has {position:g}"
            )
        if not 0 <= position < total:
            raise ValueError(
                f"{letter} = {position:g} lies outside the image; {letter.lower()} goes from 0 to "
                f"{total - 1}"
            )
    return tuple(int(position) for position in positions)
