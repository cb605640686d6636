"""Objects that are small for the memory of a model."""

from __future__ import annotations

import numpy as np
import pytest
from remembering import RememberingModel
from tiny_sam2 import tiny_sam2

from napari_sam.stack.small import advice
from napari_sam.types import Mask, Plane, SliceKey


def outline(size, height, width):
    inside = np.zeros(size, bool)
    inside[10 : 10 + height, 20 : 20 + width] = True
    return Mask.of(inside)


def plane(size):
    return Plane(np.zeros((3, *size), np.uint8), SliceKey((1, 2), ((0, 1),)), (0, 255))


@pytest.mark.parametrize(("side", "told"), [(31, True), (33, False)])
def test_objects_are_small_by_their_width_in_the_input(side, told):
    size = 256, 256  # seen with 64
    known = {1: {1: outline(size, side, side)}, 2: {0: outline(size, 100, 100)}}
    text = advice(RememberingModel(image_size=64), plane(size), known)
    assert bool(text) == told
    assert not told or text.startswith("1 object is less than 8 pixels wide as stub sees")


def test_the_largest_keyframe_counts_and_an_empty_one_does_not():
    size = 256, 256
    model = RememberingModel(image_size=64)
    nothing = Mask.of(np.zeros(size, bool))
    small, large = outline(size, 9, 9), outline(size, 60, 60)
    assert not advice(model, plane(size), {1: {0: small, 2: large}, 2: {0: nothing}})
    assert advice(model, plane(size), {1: {0: small, 2: nothing}, 2: {0: small}}).startswith("2 o")


def test_both_sides_of_a_plane_that_is_squeezed_count():
    size = 1024, 64  # both become 128
    wide = outline(size, 24, 24)  # 3 x 48
    assert not advice(tiny_sam2(), plane(size), {1: {0: wide}})
    assert advice(tiny_sam2(), plane(size), {1: {0: outline(size, 24, 8)}})
