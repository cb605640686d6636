"""Prompts and ranges of planes as they are typed: X,Y,Z and A:B."""

from __future__ import annotations

from collections.abc import Sequence

from ..images.readers import StackImage
from ..predict.grouping import group_prompts
from ..predict.session import check_inside
from ..types import Prompts

Planes = range


def read_prompts(
    image: StackImage, points: Sequence[str], background: Sequence[str], boxes: Sequence[str]
) -> list[tuple[int | None, Prompts]]:
    """Return the objects that texts name, each with its plane (None in a 2-D image).

    Parameters
    ----------
    image : StackImage
    points, background : sequence of str
        "X,Y" in a 2-D image, "X,Y,Z" in a stack.
    boxes : sequence of str
        "X0,Y0,X1,Y1" in a 2-D image, "X0,Y0,X1,Y1,Z" in a stack.

    Returns
    -------
    list of (z or None, Prompts), by plane

    Raises
    ------
    ValueError
        If there is none, one is malformed, or one lies outside the image.
    """
    if not (points or background or boxes):
        raise ValueError("there is no prompt; give --point, or --box")
    foreground_read = [_numbers("--point", "X,Y", text, image) for text in points]
    background_read = [_numbers("--background", "X,Y", text, image) for text in background]
    boxes_read = [_numbers("--box", "X0,Y0,X1,Y1", text, image) for text in boxes]
    found: list[tuple[int | None, Prompts]] = []
    everyone = [*foreground_read, *background_read, *boxes_read]
    for plane in sorted({plane for plane, _ in everyone}, key=lambda z: -1 if z is None else z):
        groups = group_prompts(
            [(p[0], p[1]) for z, p in foreground_read if z == plane],
            [(p[0], p[1]) for z, p in background_read if z == plane],
            [(b[0], b[1], b[2], b[3]) for z, b in boxes_read if z == plane],
        )
        for prompts in groups:
            check_inside(prompts, (image.label_shape[-2], image.label_shape[-1]))
            found.append((plane, prompts))
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


def _numbers(flag: str, form: str, text: str, image: StackImage) -> tuple[int | None, list[float]]:
    """Return the plane and the numbers of one prompt."""
    wanted = form.count(",") + 1
    in_stack = len(image.label_axes) == 3
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as error:
        whole = form + ",Z" * in_stack
        raise ValueError(f"{flag} is {whole}, numbers and commas, but is {text!r}") from error
    if in_stack and len(values) == wanted:
        raise ValueError(f"a prompt in a stack needs its plane: {flag} {form},Z, not {text!r}")
    if len(values) != wanted + in_stack:
        whole = form + ",Z" * in_stack
        raise ValueError(f"{flag} is {whole} in this image, but {text!r} has {len(values)} numbers")
    if not in_stack:
        return None, values
    z = values.pop()
    total = image.label_shape[0]
    if not z.is_integer():
        raise ValueError(f"Z is the whole number of a plane, but {flag} {text} has {z:g}")
    if not 0 <= z < total:
        raise ValueError(f"Z = {z:g} lies outside the image; z goes from 0 to {total - 1}")
    return int(z), values
