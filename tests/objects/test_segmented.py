"""Outlines of an object, and the plane that shows it best."""

import numpy as np

from napari_sam.objects.segmented import Outline, largest_outline
from napari_sam.types import Mask, SliceKey


def square(side):
    return Outline(Mask.of(np.ones((side, side + 1), bool), (2, 5), (40, 60)))


def test_the_largest_outline_is_turned_as_the_plane_is():
    small, large, nothing = square(3), square(8), Outline(Mask.of(np.zeros((40, 60), bool)))
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(3)]
    outlines = dict(zip(keys, (small, large, nothing), strict=True))
    outlines[SliceKey((0, 2), ((1, 7),))] = square(20)
    assert largest_outline(outlines, keys[0]) == (keys[1], large)
    key, turned = largest_outline(outlines, SliceKey((2, 1), ((0, 0),), level=1))
    assert key == SliceKey((2, 1), ((0, 1),), level=1)
    assert np.array_equal(np.asarray(turned.mask), np.asarray(large.mask).T)
    assert largest_outline(outlines, SliceKey((0, 1), ((2, 4),))) is None
