"""Pixels of one object changed in one plane, by values that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.objects import reshape
from napari_sam.objects.islands import without_islands
from napari_sam.objects.reshape import (
    cut_out,
    fill_holes,
    grow,
    join,
    piece_at,
    seeds_about,
    shrink,
    smooth,
    split,
    window_about,
    within,
)
from napari_sam.objects.splitting import split_plane
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey


def disc(row, column, radius, size=(40, 60)):
    rows, columns = np.indices(size)
    return np.hypot(rows - row, columns - column) <= radius


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def square(start=10, stop=20, size=(40, 60)):
    pixels = np.zeros(size, bool)
    pixels[start:stop, start:stop] = True
    return pixels


def test_growing_and_shrinking_by_one_pixel_undo_each_other():
    pixels = square()
    grown = grow(pixels, 1)
    assert grown.sum() == 100 + 4 * 10  # the corners lie farther away
    assert np.array_equal(shrink(grown, 1), pixels)
    assert shrink(pixels, 1).sum() == 64
    assert not shrink(pixels, 5).any()


def test_a_radius_is_a_length_not_a_number_of_pixels():
    pixels = np.zeros((21, 21), bool)
    pixels[10, 10] = True
    grown = grow(pixels, 2.0, sides=(1.0, 0.5))
    assert grown.any(1).sum() == 5
    assert grown.any(0).sum() == 9
    exact = grow(pixels, 0.3, sides=(0.1, 0.1))  # 3 * 0.1 is larger than 0.3
    assert exact.any(1).sum() == 7


def test_a_large_object_grows_as_a_whole():
    rng = np.random.default_rng(0)
    pixels = ndimage.gaussian_filter(rng.normal(size=(700, 300)), 12) > 0.01
    distance = ndimage.distance_transform_edt(~pixels, sampling=(1.0, 0.7))
    assert np.array_equal(grow(pixels, 9, (1.0, 0.7)), distance <= 9)


def test_an_object_that_the_image_cuts_off_does_not_shrink_there():
    pixels = np.zeros((20, 20), bool)
    pixels[:8, 5:15] = True
    assert np.array_equal(np.argwhere(shrink(pixels, 1)).min(0), [0, 6])
    assert shrink(pixels, 1).sum() == 7 * 8
    assert shrink(np.ones((5, 5), bool), 3).all()
    assert not grow(np.zeros((5, 5), bool), 3).any()


def test_smoothing_keeps_the_area_and_takes_a_spur_away():
    body = disc(20, 25, 10)
    pixels = body.copy()
    pixels[20, 35:45] = True
    smoothed = smooth(pixels, 2)
    assert abs(int(smoothed.sum()) - int(pixels.sum())) <= 4
    assert not smoothed[:, 40:].any()
    single = np.zeros((9, 9), bool)
    single[4, 4] = True
    assert np.array_equal(smooth(single, 2), single)
    assert np.array_equal(smooth(pixels, 0), pixels)


def test_smoothing_over_more_than_the_image_leaves_a_disc():
    pixels = square(15, 25)
    assert np.array_equal(smooth(pixels, 1e9), smooth(pixels, 60))
    assert abs(int(smooth(pixels, 1e9, (0.5, 0.5)).sum()) - 100) <= 8
    disc_of_its_area = disc(19.5, 19.5, (100 / np.pi) ** 0.5)
    assert overlap(smooth(pixels, 1e9), disc_of_its_area) > 0.8


def test_a_wide_gaussian_of_box_filters_is_one(monkeypatch):
    pixels = disc(100, 120, 60, (200, 260)) & ~disc(60, 100, 20, (200, 260))
    pixels[90:110, 100:230] = True
    made = [smooth(pixels, sigma) for sigma in (8, 15, 30)]
    monkeypatch.setattr(reshape, "WIDE", np.inf)
    for sigma, boxes in zip((8, 15, 30), made, strict=True):
        assert overlap(boxes, smooth(pixels, sigma)) > 0.99


def test_the_work_of_smoothing_does_not_grow_with_the_radius(monkeypatch):
    asked = []

    def blurred(values, sigma, *rest, **options):
        asked.append(sigma)
        return values

    monkeypatch.setattr(reshape.ndimage, "gaussian_filter1d", blurred)
    smooth(disc(100, 120, 60, (200, 260)), 1000)
    assert not asked  # a kernel as long as the radius


def test_repeated_smoothing_does_not_wear_an_object_away():
    pixels = square()
    for _ in range(10):
        pixels = smooth(pixels, 3)
    assert 90 <= pixels.sum() <= 115


def test_holes_are_filled_up_to_a_size():
    pixels = square(5, 25)
    pixels[8:10, 8:10] = False  # 4 pixels
    pixels[15:20, 15:20] = False  # 25 pixels
    assert fill_holes(pixels).sum() == 400
    assert fill_holes(pixels, 4).sum() == 375
    assert fill_holes(pixels, 3).sum() == 371
    bay = square(0, 20)
    bay[0:3, 5:8] = False  # open to the edge: what lies beyond is unknown
    assert np.array_equal(fill_holes(bay), bay)


def test_joining_bridges_a_narrow_gap_and_adds_nothing_elsewhere():
    left, right = np.zeros((20, 40), bool), np.zeros((20, 40), bool)
    left[5:15, 5:15] = True
    left[8:12, 5:7] = False  # a bay of the left part stays
    right[5:15, 18:30] = True
    joined = join(left, right, 2)
    assert joined[7:13, 15:18].all()
    assert np.array_equal(joined[:, :15], left[:, :15])
    apart = join(left, np.roll(right, 4, 1), 2)
    assert np.array_equal(apart, left | np.roll(right, 4, 1))


def test_two_touching_discs_are_split_at_their_neck():
    one, other = disc(20, 20, 10), disc(20, 38, 10)
    pixels = one | other
    parts = split(pixels, *seeds_about(pixels, (20, 20), (20, 38)))
    assert np.array_equal(parts[0] | parts[1], pixels)
    assert not (parts[0] & parts[1]).any()
    middle = np.indices(pixels.shape)[1]
    assert (parts[0] == (pixels & (middle < 29)))[:, [*range(28), *range(31, 60)]].all()


def test_a_large_and_a_small_disc_are_split_where_they_touch():
    large, small = disc(20, 20, 14), disc(20, 40, 7)
    pixels = large | small
    parts = split(pixels, *seeds_about(pixels, (20, 20), (20, 40)))
    assert np.count_nonzero(parts[0] ^ (large & ~(small & ~large))) <= 12
    assert np.count_nonzero(parts[1] ^ (small & ~large)) <= 12


def test_pieces_without_a_seed_go_to_the_nearer_part():
    pixels = disc(20, 20, 8) | disc(20, 34, 8)
    pixels[35:38, 30:36] = True
    parts = split(pixels, *seeds_about(pixels, (20, 20), (20, 34)))
    assert parts[1][35:38, 30:36].all()
    assert np.array_equal(parts[0] | parts[1], pixels)


def test_one_seed_gets_all():
    pixels, nothing = square(), np.zeros((40, 60), bool)
    parts = split(pixels, pixels, nothing)
    assert np.array_equal(parts[0], pixels)
    assert not parts[1].any()


def test_the_piece_at_a_pixel():
    pixels = square() | disc(30, 50, 4)
    assert np.array_equal(piece_at(pixels, (12, 12)), square())
    assert not piece_at(pixels, (0, 0)).any()


def test_answers_of_the_model_decide_where_they_agree():
    whole = np.zeros((40, 60), bool)
    whole[10:30, 10:50] = True
    first = np.zeros_like(whole)
    first[10:30, 10:24] = True  # not where the shape would divide it
    masks = Mask.of(whole), (Mask.of(first), Mask.of(whole & ~first))
    one, other = split_plane(masks[0], (12, 20), (40, 20), masks[1])
    assert np.array_equal(np.asarray(one), first)
    assert np.array_equal(np.asarray(other), whole & ~first)
    both = masks[0], masks[0]  # the model sees one object: the shape decides
    one, other = split_plane(masks[0], (12, 20), (40, 20), both)
    assert one.area + other.area == whole.sum()
    assert one.area > first.sum()


def test_clicks_beside_an_object_or_on_one_pixel_are_refused():
    mask = Mask.of(square())
    with pytest.raises(ValueError, match="click twice in one object"):
        split_plane(mask, (12, 12), (30, 30))
    with pytest.raises(ValueError, match="both clicks lie in one pixel"):
        split_plane(mask, (12, 12), (12.2, 12))


def test_a_mask_is_changed_within_its_plane():
    mask = Mask.of(np.ones((4, 4), bool), (0, 3), (20, 30))
    grown = within(mask, lambda pixels: grow(pixels, 2), 3)
    assert grown.box == (0, 1, 5, 8)
    assert grown.size == (20, 30)
    window = window_about([mask], 2)
    assert window == (0, 1, 6, 9)
    assert cut_out(mask, window).sum() == 16
    assert not cut_out(mask, (10, 10, 12, 12)).any()
    empty = Mask.of(np.zeros((20, 30), bool))
    assert within(empty, lambda pixels: ~pixels) is empty


def test_islands_are_pieces_over_all_planes():
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(4)]
    planes = np.zeros((4, 20, 30), bool)
    planes[0, 2:8, 2:8] = True
    planes[1, 2:4, 2:4] = True
    planes[1, 12:16, 12:16] = True
    planes[2, 12:16, 12:16] = True
    planes[3, 19, 29] = True  # touches nothing
    masks = {key: Mask.of(planes[z]) for z, key in enumerate(keys)}
    left = drive(without_islands(masks, None))
    assert [left[key].area for key in keys] == [36, 4, 0, 0]
    left = drive(without_islands(masks, 32))
    assert [left[key].area for key in keys] == [36, 4 + 16, 16, 0]
    left = drive(without_islands(masks, 33))
    assert [left[key].area for key in keys] == [36, 4, 0, 0]
    alone = {keys[1]: masks[keys[1]]}
    assert drive(without_islands(alone, 1000))[keys[1]].area == 16
