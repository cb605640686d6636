"""Patches found by where they lie."""

from __future__ import annotations

from collections.abc import Iterable

from .boxes import Box, overlap
from .patch import Patch

Fixed = tuple[tuple[int, int], ...]


class PlacedPatches:
    """A growing sequence of patches that knows which of them meet a box.

    Patches are sorted by plane, so a run over many planes need not look at all of them.

    Parameters
    ----------
    patches : iterable of Patch

    Attributes
    ----------
    patches : list of Patch
    """

    def __init__(self, patches: Iterable[Patch] = ()) -> None:
        self.patches: list[Patch] = []
        self._places: dict[Fixed, list[int]] = {}
        self._axes: set[tuple[int, ...]] = set()
        for patch in patches:
            self.add(patch)

    def add(self, patch: Patch) -> None:
        """Append a patch."""
        places = self._places.get(patch.fixed)
        if places is None:
            places = self._places[patch.fixed] = []
            self._axes.add(tuple(axis for axis, _ in patch.fixed))
        places.append(len(self.patches))
        self.patches.append(patch)

    def overlapping(self, box: Box) -> list[int]:
        """Return the places of the patches whose box overlaps another, ascending."""
        near: list[int] = []
        for axes in self._axes:
            if all(box[axis][1] - box[axis][0] == 1 for axis in axes):
                near += self._places.get(tuple((axis, box[axis][0]) for axis in axes), [])
            else:  # a box across the planes of these patches
                same = (key for key in self._places if tuple(axis for axis, _ in key) == axes)
                near += [place for key in same for place in self._places[key]]
        return sorted(place for place in near if overlap(self.patches[place].box, box))
