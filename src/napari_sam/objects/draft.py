"""What a canvas will hold once some patches are written; edits are made on it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .boxes import Index, box_of, common, explicit, shape_of, slices_of
from .canvas import Canvas
from .patch import Patch, patches_between
from .placed import PlacedPatches


class Draft:
    """A canvas with patches that are not written yet.

    Parameters
    ----------
    canvas : Canvas
    """

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self._placed = PlacedPatches()

    @property
    def patches(self) -> tuple[Patch, ...]:
        """The patches so far; no pixel changes in two of them unless it was set twice."""
        return tuple(self._placed.patches)

    def read(self, index: Index) -> NDArray[Any]:
        """Return the pixels of a box as they will be, a new array."""
        pixels = self.canvas.read(index)
        box = box_of(explicit(index, pixels.shape))
        whole = pixels.reshape(shape_of(box))
        for place in self._placed.overlapping(box):
            patch = self._placed.patches[place]
            shared = common(patch.box, box)
            inside = slices_of(shared, patch.box)
            whole[slices_of(shared, box)] = patch.new().reshape(shape_of(patch.box))[inside]
        return pixels

    def set(self, index: Index, old: NDArray[Any], new: NDArray[Any]) -> bool:
        """Change the pixels of a box, as they were read, to others; tells whether any differs."""
        patches = list(patches_between(index, old, new))
        for patch in patches:
            self._placed.add(patch)
        return bool(patches)
