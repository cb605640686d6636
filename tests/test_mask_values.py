"""A mask is the array that it was made of, in its box."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_masks import drawn, rectangle

from napari_sam.types import Mask, MaskRecord

SEEDS = range(300)


def test_a_mask_comes_back_as_the_array():
    for seed in SEEDS:
        pixels = drawn(seed)
        mask = Mask.of(pixels)
        np.testing.assert_array_equal(np.asarray(mask), pixels, err_msg=f"{seed}")
        assert np.asarray(mask).dtype == mask.bits.dtype == bool
        assert mask.size == pixels.shape
        assert mask.area == pixels.sum()
        assert bool(mask) == pixels.any()
        np.testing.assert_array_equal(pixels[mask.part], mask.bits, err_msg=f"{seed}")


def test_its_box_is_tight_and_its_pixels_are_packed():
    for seed in SEEDS:
        pixels = drawn(seed)
        mask = Mask.of(pixels)
        if not mask:
            assert mask.box == (0, 0, -1, -1)
            assert mask.bits.shape == (0, 0)
            continue
        rows, columns = np.nonzero(pixels)
        assert mask.box == (columns.min(), rows.min(), columns.max(), rows.max()), seed
        assert mask.packed.nbytes == -(-mask.bits.size // 8)


def test_a_part_of_a_plane_lies_where_its_corner_says():
    for seed in SEEDS:
        part = drawn(seed)
        rng = np.random.default_rng(seed)
        (top, left), (bottom, right) = rng.integers(0, 5, (2, 2))
        whole = np.pad(part, ((top, bottom), (left, right)))
        mask = Mask.of(part, (int(left), int(top)), whole.shape)
        np.testing.assert_array_equal(np.asarray(mask), whole, err_msg=f"{seed}")
        assert mask.box == Mask.of(whole).box


def test_a_part_may_reach_beyond_the_plane_where_it_has_no_pixel():
    part = rectangle((6, 6), 2, 2, 4, 4)
    mask = Mask.of(part, (-2, 6), (10, 3))
    assert mask.box == (0, 8, 1, 9)
    for corner in ((-3, 6), (0, 6), (-2, 7), (-2, -3)):
        with pytest.raises(ValueError, match=r"does not lie in a plane of \(10, 3\)"):
            Mask.of(part, corner, (10, 3))
    assert not Mask.of(part & ~part, (-99, 99), (10, 3))


def test_a_mask_moves_to_a_window_and_back():
    for seed in SEEDS:
        pixels = drawn(seed)
        rng = np.random.default_rng(seed)
        (top, left), (bottom, right) = rng.integers(0, 5, (2, 2)).tolist()
        whole = np.pad(pixels, ((top, bottom), (left, right)))
        moved = Mask.of(pixels).moved(left, top, whole.shape)
        np.testing.assert_array_equal(np.asarray(moved), whole, err_msg=f"{seed}")
        back = moved.moved(-left, -top, pixels.shape)
        np.testing.assert_array_equal(np.asarray(back), pixels, err_msg=f"{seed}")
        assert back.area == pixels.sum()


def test_numbers_of_a_box_are_plain_so_that_json_can_hold_them():
    corner, size = np.array([3, 4]), np.array([20, 30])
    mask = Mask.of(rectangle((8, 8), 2, 2, 4, 4), corner, size)
    moved = mask.moved(*corner, size)
    assert json.dumps([mask.box, mask.size, moved.box, moved.size])


def test_a_mask_does_not_leave_its_plane():
    mask = Mask.of(rectangle((8, 8), 2, 2, 4, 4))
    for shift in ((-3, 0), (0, -3), (5, 0), (0, 5)):
        with pytest.raises(ValueError, match="does not lie in a plane"):
            mask.moved(*shift, (8, 8))
    empty = Mask.of(np.zeros((8, 8), bool)).moved(-30, 90, (2, 3))
    assert empty.size == (2, 3)
    assert np.asarray(empty).shape == (2, 3)


def test_a_box_and_its_pixels_belong_together():
    with pytest.raises(ValueError, match=r"takes 2 bytes, but there are \(1,\)"):
        Mask((0, 0, 2, 2), np.zeros(1, np.uint8), (9, 9))


def test_a_mask_takes_its_box_and_no_more():
    mask = Mask.of(np.ones((30, 40), bool), (90_000, 80_000), (100_000, 100_000))
    assert mask.box == (90_000, 80_000, 90_039, 80_029)
    assert mask.area == 1200
    assert mask.packed.nbytes == 150


def test_numpy_takes_a_mask_for_an_array():
    pixels = drawn(7, (9, 11))
    mask = Mask.of(pixels)
    np.testing.assert_array_equal(np.asarray(mask, np.uint8), pixels.astype(np.uint8))
    np.testing.assert_array_equal(np.stack([mask, mask]), [pixels, pixels])
    other = np.asarray(mask)
    other[:] = True
    np.testing.assert_array_equal(np.asarray(mask), pixels)


def test_a_record_has_the_published_names():
    record = MaskRecord(Mask.of(rectangle((9, 12), 3, 2, 8, 6)), 0.9, 0.8, (4, 3), (0, 0, 12, 9))
    assert record.bbox == (3, 2, 5, 4)
    assert record.area == 20
    np.testing.assert_array_equal(record.segmentation, rectangle((9, 12), 3, 2, 8, 6))
