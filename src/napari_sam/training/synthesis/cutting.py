"""Objects cut from labelled planes, with what is needed to paste them elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...formats.training_sets.contract import SetObject

RING = 4
"""Width of the ground around an object that its contrast is measured to, in pixels."""
MARGIN = RING + 1
"""Pixels of a cut around the object's box."""
SMALLEST = 9
"""Pixels; smaller objects are noise when they are turned."""


@dataclass(frozen=True, eq=False)
class Cut:
    """An object cut from a plane.

    Attributes
    ----------
    pixels : (h, w, C) float32
        The object with a margin. Other objects in it are replaced by the nearest other pixels.
    distance : (h, w) float32
        To the object's edge in pixels, above 0 inside of it.
    ring : (C,) float32
        Mean of the ground around it.
    category : str
    source : str
        The image it is from.
    label : int
        Its label there.
    """

    pixels: NDArray[np.float32]
    distance: NDArray[np.float32]
    ring: NDArray[np.float32]
    category: str
    source: str
    label: int

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        return self.pixels.nbytes + self.distance.nbytes


def signed_distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the distance to the edge between pixels, above 0 inside; both kinds must occur."""
    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(np.where(mask, inside - 0.5, 0.5 - outside), np.float32)


def cuts(plane: NDArray[Any], objects: Sequence[SetObject], source: str) -> Iterator[Cut]:
    """Yield the objects of a plane that its border does not cut.

    Parameters
    ----------
    plane : (H, W, C) real
    objects : sequence of SetObject
        Crowds are left out; pixels that objects share belong to both.
    source : str
    """
    size = plane.shape[:2]
    taken = occupied(objects, size)
    for one in objects:
        x0, y0, x1, y1 = one.mask.box
        inside = x0 > 0 and y0 > 0 and x1 < size[1] - 1 and y1 < size[0] - 1
        if one.crowd or not inside or one.mask.area < SMALLEST:
            continue
        # the box with its margin; beyond the plane the outermost pixels go on
        rows = np.clip(np.arange(y0 - MARGIN, y1 + 1 + MARGIN), 0, size[0] - 1)
        columns = np.clip(np.arange(x0 - MARGIN, x1 + 1 + MARGIN), 0, size[1] - 1)
        own = np.pad(one.mask.bits, MARGIN)
        pixels = plane[np.ix_(rows, columns)].astype(np.float32)
        others = taken[np.ix_(rows, columns)] & ~own
        distance = signed_distance(own)
        ring = ~own & (distance > -RING)
        ground = ring & ~others if (ring & ~others).any() else ring
        mean = pixels[ground].mean(0)
        if others.any():
            nearest = ndimage.distance_transform_edt(
                others, return_distances=False, return_indices=True
            )
            pixels = pixels[tuple(nearest)]
        yield Cut(pixels, distance, mean, one.category, source, one.label)


def occupied(objects: Sequence[SetObject], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return where objects are, (H, W)."""
    taken = np.zeros(size, bool)
    for one in objects:
        taken[one.mask.part] |= one.mask.bits
    return taken
