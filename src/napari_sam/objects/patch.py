"""How pixels change in one box."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import Box, Index, box_of, explicit, part
from .packed import PackedPixels

TILE = 512
"""Larger boxes are cut into tiles of so many rows and columns, so that a patch is written in a few
milliseconds, and only tiles that change are kept."""


@dataclass(frozen=True, eq=False)
class Patch:
    """The pixels of one box before and after; where both are the same, nothing is said.

    Attributes
    ----------
    index : tuple of int or slice
        Of the box in the n-d array of labels; slices say where they start and stop.
    before, after : PackedPixels
        One axis for each slice of the index, in the order of the array's axes.
    """

    index: Index
    before: PackedPixels
    after: PackedPixels

    @classmethod
    def of(cls, index: Index, old: NDArray[Any], new: NDArray[Any]) -> Patch:
        """Make a patch of pixels.

        Parameters
        ----------
        index : tuple of int or slice
        old, new : (...) int, of the same type
            One axis for each slice of the index, in the order of the array's axes.

        Raises
        ------
        ValueError
            If they do not fit each other.
        """
        if old.shape != new.shape or old.dtype != new.dtype:
            raise ValueError(
                f"pixels that are {old.dtype} {old.shape} cannot become {new.dtype} {new.shape}"
            )
        return cls(explicit(index, old.shape), PackedPixels.of(old), PackedPixels.of(new))

    def old(self) -> NDArray[Any]:
        """Return the pixels before, a new array."""
        return self.before.array()

    def new(self) -> NDArray[Any]:
        """Return the pixels after, a new array."""
        return self.after.array()

    def inverse(self) -> Patch:
        """Return the patch that undoes this one."""
        return Patch(self.index, self.after, self.before)

    def then(self, later: Patch) -> Patch:
        """Return one patch of the same box that does what both do, one after the other.

        Pixels that somebody else changed in between are not taken further back than that.
        """
        if self.after == later.before:
            return Patch(self.index, self.before, later.after)
        old, middle = self.old(), self.new()
        seen, new = later.old(), later.new()
        touched = seen != new
        mine = ~touched | ((old != middle) & (middle == seen))
        return Patch.of(self.index, np.where(mine, old, seen), np.where(touched, new, middle))

    @property
    def changes(self) -> bool:
        """Whether anything differs."""
        return self.before != self.after

    @property
    def nbytes(self) -> int:
        """Bytes that the pixels take."""
        return self.before.nbytes + self.after.nbytes

    @cached_property
    def box(self) -> Box:
        """Where it lies: (start, stop) on each axis of the array."""
        return box_of(self.index)

    @cached_property
    def fixed(self) -> tuple[tuple[int, int], ...]:
        """The (axis, position) of each axis that it is a single position on, as in a SliceKey."""
        return tuple((k, one) for k, one in enumerate(self.index) if not isinstance(one, slice))


def patches_between(index: Index, old: NDArray[Any], new: NDArray[Any]) -> Iterator[Patch]:
    """Yield the patches that lead from some pixels to others; none where nothing differs.

    Parameters
    ----------
    index : tuple of int or slice
        Of the box in the array.
    old, new : (...) int, of the same type
        One axis for each slice of the index.

    Yields
    ------
    Patch
        One for the whole box, or one for each tile if it is large. The tiles of a box are always
        the same, so that later patches of it merge.
    """
    index = explicit(index, old.shape)
    tile = old.shape
    if old.size > TILE * TILE:
        tile = (*(1 for _ in old.shape[:-2]), *(min(TILE, n) for n in old.shape[-2:]))
    for corner in product(*(range(0, n, t) for n, t in zip(old.shape, tile, strict=True))):
        stops = [min(c + t, n) for c, t, n in zip(corner, tile, old.shape, strict=True)]
        inside = tuple(slice(c, stop) for c, stop in zip(corner, stops, strict=True))
        if (old[inside] != new[inside]).any():
            yield Patch.of(part(index, corner, stops), old[inside], new[inside])
