"""An object split in two by two clicks, on one plane or through a stack."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..types import Mask, Progress, Prompts, SliceKey, Window
from .reshape import Bools, cut_out, piece_at, seeds_about, split, tops, window_about
from .reshape_edits import Changed, Outlines, Reshape
from .segmented import Outline

Point = tuple[float, float]
Place = tuple[int, int]
Answers = tuple[Mask, Mask]
Ask = Callable[[SliceKey, Mask, Point, Point], Answers]
"""From a plane, an object in it and two points (x, y) to the masks of what lies at the first and
not at the second, and the other way round."""

AGREED = 0.4
"""The least share of an object that the two answers must divide between them. Below, the model
does not see two objects there, and the split goes by the shape alone."""
DEEP = 0.5
"""Seeds in the next plane are the pixels of a part that lie at least so deep in it, as a share of
its greatest depth."""


def split_by(key: SliceKey, first: Point, second: Point, ask: Ask | None) -> Reshape:
    """Return what splits an object by two clicks in a plane, and through its other planes.

    From the plane of the clicks on, the parts of one plane are the seeds in the next.

    Parameters
    ----------
    key : SliceKey
        Of the clicks.
    first, second : (x, y) float
        The first lies in the part that stays the object.
    ask : callable or None
        Asks the model; see `Ask`. None: the shape alone decides.

    Returns
    -------
    callable
        See `Reshape`; raises ValueError if the clicks do not lie in the object, or in one pixel.
    """

    def reshape(outlines: Outlines) -> Generator[Progress, None, tuple[Changed, Outlines]]:
        if key not in outlines:
            raise ValueError("click twice in one object, in a plane where it is")
        mask = outlines[key].mask
        answers = None if ask is None else ask(key, mask, *asked_at(mask, first, second))
        parts = {key: split_plane(mask, first, second, answers)}
        order = sorted(outlines, key=lambda one: _steps(one, key))[1:]
        for done, other in enumerate(order, 1):
            yield Progress(done, len(outlines))
            neighbour = min(parts, key=lambda one: _steps(one, other))
            parts[other] = _split_on(outlines[other].mask, parts[neighbour])
        prompts = Prompts([first, second], [1, 0]), Prompts([second, first], [1, 0])
        stays: dict[SliceKey, Outline | None] = {}
        goes: dict[SliceKey, Outline] = {}
        for other, (one, rest) in parts.items():
            said = prompts if other == key else (None, None)
            outline = outlines[other]
            stays[other] = replace(outline, mask=one, prompts=said[0]) if one else None
            if rest:
                goes[other] = replace(outline, mask=rest, prompts=said[1])
        return stays, goes

    return reshape


def asked_at(mask: Mask, first: Point, second: Point) -> tuple[Point, Point]:
    """Return where the model is asked about two parts that are clicked: deep inside of them.

    Raises
    ------
    ValueError
        If the points do not lie in the object, or in one pixel.
    """
    window, pixels, places = _located(mask, first, second)
    (a, b), (c, d) = tops(pixels, *places) or places
    return (float(b + window[0]), float(a + window[1])), (
        float(d + window[0]),
        float(c + window[1]),
    )


def split_plane(
    mask: Mask, first: Point, second: Point, answers: Answers | None = None
) -> tuple[Mask, Mask]:
    """Split an object in one plane.

    Parameters
    ----------
    mask : Mask
    first, second : (x, y) float
    answers : (Mask, Mask), optional
        What the model says at `asked_at`; see `Ask`. What only one of them holds, in a piece with
        the place it was asked at, is its seed. Where they divide too little of the object, they
        are left aside.

    Returns
    -------
    first, second : Mask
        Together they are the object.

    Raises
    ------
    ValueError
        If the points do not lie in the object, or in one pixel.
    """
    window, pixels, places = _located(mask, first, second)
    seeds = None if answers is None else _agreed(pixels, answers, places, window)
    if seeds is None:
        seeds = seeds_about(pixels, *places)
    one, other = split(pixels, *seeds)
    return Mask.of(one, window[:2], mask.size), Mask.of(other, window[:2], mask.size)


def _located(mask: Mask, first: Point, second: Point) -> tuple[Window, Bools, tuple[Place, Place]]:
    """Return the box of an object, its pixels, and the (row, column) of two points in them."""
    window = window_about([mask]) if mask else (0, 0, 1, 1)
    pixels = cut_out(mask, window)
    places = _place(first, window[:2], pixels), _place(second, window[:2], pixels)
    if places[0] == places[1]:
        raise ValueError("both clicks lie in one pixel; click in two parts of the object")
    return window, pixels, places


def _agreed(
    pixels: Bools,
    answers: Answers,
    places: tuple[Place, Place],
    window: Window,
) -> tuple[Bools, Bools] | None:
    """Return what each of two answers has for itself; None if they do not divide the object."""
    places = tops(pixels, *places) or places
    one, other = (cut_out(answer, window) & pixels for answer in answers)
    first, second = piece_at(one & ~other, places[0]), piece_at(other & ~one, places[1])
    divided = np.count_nonzero(first) + np.count_nonzero(second)
    whole = first.any() and second.any() and divided >= AGREED * np.count_nonzero(pixels)
    return (first, second) if whole else None


def _split_on(mask: Mask, parts: tuple[Mask, Mask]) -> tuple[Mask, Mask]:
    """Split an object in a plane as it is split in the plane beside it."""
    empty = Mask.of(np.zeros(mask.size, bool)) if not all(parts) else None
    if empty is not None:  # one part has ended before this plane
        return (mask, empty) if parts[0] else (empty, mask)
    window = window_about([mask])
    pixels = cut_out(mask, window)
    seeds = [_deep(part, window) & pixels for part in parts]
    if not (seeds[0].any() or seeds[1].any()):
        seeds = [cut_out(part, window) & pixels for part in parts]
    one, other = split(pixels, *seeds)
    if not (one.any() or other.any()):  # neither lies here: the nearer one gets all of it
        centre = _centre(mask)
        away = [np.hypot(*(_centre(part) - centre)) for part in parts]
        one, other = (pixels, other) if away[0] <= away[1] else (one, pixels)
    return Mask.of(one, window[:2], mask.size), Mask.of(other, window[:2], mask.size)


def _deep(part: Mask, window: Window) -> Bools:
    depth = ndimage.distance_transform_edt(np.pad(part.bits, 1))[1:-1, 1:-1]
    deep = Mask.of(depth >= DEEP * depth.max(), part.box[:2], part.size)
    return cut_out(deep, window)


def _centre(mask: Mask) -> np.ndarray:
    x0, y0, x1, y1 = mask.box
    return np.array([x0 + x1, y0 + y1]) / 2


def _place(point: Point, corner: tuple[int, int], pixels: Bools) -> tuple[int, int]:
    """Return the (row, column) of a point in some pixels of an object."""
    row, column = round(point[1]) - corner[1], round(point[0]) - corner[0]
    height, width = pixels.shape
    if not (0 <= row < height and 0 <= column < width and pixels[row, column]):
        raise ValueError("click twice in one object, once in each of its two parts")
    return row, column


def _steps(one: SliceKey, other: SliceKey) -> int:
    """Return how many planes lie between two, over all axes."""
    places = dict(other.fixed)
    return sum(abs(place - places[axis]) for axis, place in one.fixed)
