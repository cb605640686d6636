"""The pixels of a stroke before and after it, from napari's `paint` event.

A stroke is a list of atoms in the order in which they are painted; a pixel may be in several. An
atom is either `(indices, old_values, new_value)`, with an array of positions for each axis, or,
since napari 0.9, has the fields `slice_key` (a slice for each axis), `mask` (bool of that box, or
None for all of it), `old_values` (those under the mask) and `new_value`. napari tells of a brush
stroke when it is painted, but of a polygon and of `data_setitem` just before; so the pixels of the
canvas count only where no atom says what they were.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import Box, Index, enclosing, shape_of, slices_of
from .canvas import Canvas

Pixels = NDArray[Any]
PIECE = 2**18
"""A long stroke is looked at in boxes of up to so many pixels, not in one box about all of it."""


def stroke_pixels(canvas: Canvas, atoms: Iterable[Any]) -> Iterator[tuple[Index, Pixels, Pixels]]:
    """Yield the pixels of a stroke before and after it.

    Parameters
    ----------
    canvas : Canvas
        It need not be painted yet.
    atoms : iterable

    Yields
    ------
    index of a box, and its pixels before and after, in the order in which they were painted
    """
    for placed in _pieces(canvas, atoms):
        whole = enclosing(box for _, box in placed)
        before = canvas.read(slices_of(whole))
        for atom, box in reversed(placed):
            _set(before, whole, atom, box, old=True)
        after = before.copy()
        for atom, box in placed:
            _set(after, whole, atom, box, old=False)
        index = _index(whole)
        thin = tuple(axis for axis, one in enumerate(index) if not isinstance(one, slice))
        yield index, before.squeeze(thin), after.squeeze(thin)


def _pieces(canvas: Canvas, atoms: Iterable[Any]) -> Iterator[list[tuple[Any, Box]]]:
    """Yield neighbouring atoms with their boxes, as many as lie in a box of moderate size."""
    piece: list[tuple[Any, Box]] = []
    about: Box = ()
    for atom in atoms:
        box = _box(atom, canvas.shape)
        if box is None:
            continue
        about = enclosing((box, about) if piece else (box,))
        if piece and math.prod(shape_of(about)) > PIECE:
            yield piece
            piece, about = [], box
        piece.append((atom, box))
    if piece:
        yield piece


def _box(atom: Any, shape: tuple[int, ...]) -> Box | None:
    if hasattr(atom, "slice_key"):
        return tuple(one.indices(n)[:2] for one, n in zip(atom.slice_key, shape, strict=True))
    indices = [np.atleast_1d(axis) for axis in atom[0]]
    if not all(axis.size for axis in indices):
        return None
    return tuple((int(axis.min()), int(axis.max()) + 1) for axis in indices)


def _set(pixels: Pixels, whole: Box, atom: Any, box: Box, old: bool) -> None:
    """Give the pixels of an atom the values before or after it; `pixels` are those of `whole`."""
    if hasattr(atom, "slice_key"):
        values = atom.old_values if old else atom.new_value
        part = pixels[slices_of(box, whole)]
        part[... if atom.mask is None else atom.mask] = values
    else:
        indices, *values_of = atom
        places = zip(indices, whole, strict=True)
        index = tuple(np.asarray(axis) - start for axis, (start, _) in places)
        pixels[index] = values_of[0 if old else 1]


def _index(box: Box) -> Index:
    """Return the index of a box: a position instead of a slice on axes that a stroke stays on.

    Two slices at least are left, as for an outline.
    """
    spare = len(box) - 2
    index: list[int | slice] = []
    for start, stop in box:
        if spare > 0 and stop - start == 1:
            index.append(start)
            spare -= 1
        else:
            index.append(slice(start, stop))
    return tuple(index)
