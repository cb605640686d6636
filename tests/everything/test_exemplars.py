import numpy as np
import pytest

from napari_sam.everything.descriptors import Look, described, feature_count, shape_of
from napari_sam.everything.exemplars import Described, Exemplars, distinct
from napari_sam.types import Mask

SIZE = (64, 64)


def disc(row, column, radius):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return Mask.of(np.hypot(y - row, x - column) < radius)


def box(rows, columns):
    pixels = np.zeros(SIZE, bool)
    pixels[rows, columns] = True
    return Mask.of(pixels)


@pytest.fixture
def look():
    """One level of stride 4 that holds rows and columns, and a plane that is bright on the left."""
    rows, columns = np.mgrid[:16, :16].astype(np.float32)
    grey = np.zeros(SIZE, np.float32)
    grey[:, :32] = 1
    return Look((np.stack([rows, columns]),), (64.0, 64.0), grey)


def candidates(look, masks, iou=None):
    ones = np.ones(len(masks), np.float32)
    return Described.of(masks, described(look, masks), ones if iou is None else iou, ones)


def test_features_are_means_over_the_pixels_inside_and_around(look):
    row = described(look, [box(slice(8, 16), slice(24, 32))])[0]
    assert row[:2] == pytest.approx([2.5, 6.5])  # cells 2 and 3, 6 and 7
    assert row[2:4] == pytest.approx([2.5, 6.5], abs=0.2)  # a ring about them
    assert row[4] == pytest.approx(np.log(64))
    assert row[7:9] == pytest.approx([1, 0], abs=1e-3)
    assert 0 < row[9] < 1  # a part of the surroundings is dark
    assert len(row) == feature_count(look)


def test_padding_is_no_part_of_the_plane():
    level = np.zeros((1, 16, 16), np.float32)
    level[0, :8] = 1
    plane = np.zeros((32, 64), np.float32)  # its upper half is all of it
    mask = Mask.of(np.ones((32, 64), bool))
    assert described(Look((level,), (64.0, 64.0), plane), [mask])[0, 0] == pytest.approx(1)


def test_nothing_is_described_as_nothing(look):
    assert described(look, []).shape == (0, feature_count(look))


def test_a_large_mask_is_described_by_some_of_its_pixels(look):
    large = Look(look.levels, (1024.0, 1024.0), np.ones((1024, 1024), np.float32))
    row = described(large, [Mask.of(np.ones((1024, 1024), bool))])[0]
    assert row[:2] == pytest.approx([7.5, 7.5], abs=0.05)


def test_shape():
    area, elongation, filled = shape_of(box(slice(10, 18), slice(4, 36)))
    assert area == pytest.approx(np.log(8 * 32))
    assert elongation == pytest.approx(np.log(4))
    assert filled == pytest.approx(3 / np.pi)
    assert shape_of(disc(32, 32, 20))[1:] == pytest.approx((0, 1), abs=0.01)
    assert shape_of(box(slice(3, 4), slice(3, 4)))[:2] == (0, 0)


def test_what_is_alike_comes_first(look):
    small = [disc(10, 10, 5), disc(30, 10, 5), disc(50, 10, 5)]
    large = [disc(16, 46, 12), disc(46, 46, 12)]
    found = candidates(look, [*large, *small])
    likeness = Exemplars(found.features[2:3]).likeness(found)
    assert likeness.argmax() == 2
    assert likeness[2] > 0.99
    assert likeness[3:].min() > likeness[:2].max()
    assert ((likeness >= 0) & (likeness <= 1)).all()


def test_a_mask_of_lower_predicted_iou_comes_later(look):
    found = candidates(look, [disc(20, 20, 6), disc(20, 21, 6)], np.array([0.9, 0.5], np.float32))
    likeness = Exemplars(found.features).likeness(found)
    assert likeness[0] > likeness[1]


def test_what_looks_like_a_rejected_one_comes_later(look):
    masks = [disc(10, 10, 5), disc(12, 30, 5), disc(30, 10, 5), disc(30, 30, 5), disc(50, 54, 5)]
    found = candidates(look, masks)
    before = Exemplars(found.features[:1]).likeness(found)
    after = Exemplars(found.features[:1], found.features[4:]).likeness(found)
    assert (after <= before).all()
    assert after[4] / before[4] < after[1] / before[1]


def test_nothing_is_like_nothing(look):
    found = candidates(look, [])
    assert Exemplars(described(look, [disc(9, 9, 4)])).likeness(found).shape == (0,)


def test_of_masks_of_one_object_the_best_stays():
    masks = [disc(20, 20, 8), disc(20, 22, 8), disc(45, 45, 8)]
    free = np.zeros(SIZE, int)
    assert distinct(masks, np.array([0.5, 0.9, 0.7]), free) == [1, 2]
    assert distinct(masks, np.array([0.5, 0.9, 0.7]), free, most=1) == [1]


def test_masks_on_kept_objects_and_around_them_are_left_out():
    kept = np.where(np.asarray(disc(20, 20, 8)), 1_000, 0)
    masks = [disc(20, 21, 8), disc(20, 20, 14), disc(20, 20, 3), disc(45, 45, 8)]
    assert distinct(masks, np.ones(4), kept) == [3]
    assert set(np.unique(kept)) == {0, 1_000}  # nothing was painted into it


def test_a_part_keeps_the_statistics_of_all(look):
    found = candidates(look, [disc(10, 10, 5), disc(40, 40, 9)])
    part = found.some([1])
    assert len(part) == 1
    assert part.mean is found.mean
    assert part.masks[0] is found.masks[1]
