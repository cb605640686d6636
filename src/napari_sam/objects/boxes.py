"""Boxes of an n-d array: the first and the last-plus-one position on each axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..types import Mask, SliceKey

Box = tuple[tuple[int, int], ...]
"""(start, stop) of each axis of the array."""
Index = tuple[int | slice, ...]
"""A numpy index of a box; axes with an int are left out of the pixels' shape."""


def explicit(index: Index, shape: Sequence[int]) -> Index:
    """Return an index whose slices say where they start and stop.

    Parameters
    ----------
    index : tuple of int or slice
    shape : sequence of int
        Of the pixels in the box: one number for each slice.

    Raises
    ------
    ValueError
        If index and shape do not fit, or a slice has a step.
    """
    slices = [one for one in index if isinstance(one, slice)]
    if len(slices) != len(shape):
        raise ValueError(f"a box with {len(slices)} slices has no pixels of the shape {shape}")
    sizes = iter(shape)
    return tuple(
        _explicit(one, int(next(sizes))) if isinstance(one, slice) else int(one) for one in index
    )


def box_of(index: Index) -> Box:
    """Return the box of an index whose slices are explicit."""
    return tuple(
        (one.start, one.stop) if isinstance(one, slice) else (one, one + 1) for one in index
    )


def box_around(key: SliceKey, mask: Mask) -> Box:
    """Return where a mask of a plane lies in the array; it has a pixel."""
    x0, y0, x1, y1 = mask.box
    sides = {axis: (place, place + 1) for axis, place in key.fixed}
    sides |= {key.displayed[0]: (y0, y1 + 1), key.displayed[1]: (x0, x1 + 1)}
    return tuple(sides[axis] for axis in sorted(sides))


def slices_of(box: Box, origin: Box | None = None) -> tuple[slice, ...]:
    """Return the index of a box with a slice for each axis, counted from the start of `origin`."""
    corner = [0] * len(box) if origin is None else [start for start, _ in origin]
    return tuple(slice(start - c, stop - c) for (start, stop), c in zip(box, corner, strict=True))


def shape_of(box: Box) -> tuple[int, ...]:
    """Return how many positions a box has on each axis."""
    return tuple(stop - start for start, stop in box)


def part(index: Index, starts: Sequence[int], stops: Sequence[int]) -> Index:
    """Return the index of a part of a box, given by positions within its pixels.

    Parameters
    ----------
    index : tuple of int or slice
        Its slices are explicit.
    starts, stops : sequence of int
        One for each slice.
    """
    bounds = iter(zip(starts, stops, strict=True))
    entries: list[int | slice] = []
    for one in index:
        if isinstance(one, slice):
            start, stop = next(bounds)
            entries.append(slice(one.start + start, one.start + stop))
        else:
            entries.append(one)
    return tuple(entries)


def overlap(a: Box, b: Box) -> bool:
    """Tell whether two boxes have a position in common."""
    for (start, stop), (other_start, other_stop) in zip(a, b, strict=True):
        if start >= other_stop or other_start >= stop:
            return False
    return True


def common(a: Box, b: Box) -> Box:
    """Return the box that two overlapping boxes have in common."""
    return tuple((max(one[0], o[0]), min(one[1], o[1])) for one, o in zip(a, b, strict=True))


def enclosing(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that holds all of some."""
    axes = zip(*boxes, strict=True)
    return tuple((min(s for s, _ in axis), max(e for _, e in axis)) for axis in axes)


def _explicit(one: slice, size: int) -> slice:
    start = 0 if one.start is None else int(one.start)
    stop = start + size if one.stop is None else int(one.stop)
    if start < 0 or stop - start != size or one.step not in (None, 1):
        raise ValueError(f"{one} is no box of {size} pixels")
    return slice(start, stop)
