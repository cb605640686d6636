from __future__ import annotations

import numpy as np
import pytest

from napari_sam.objects import PackedPixels, Patch
from napari_sam.objects import patch as patch_module
from napari_sam.objects.patch import patches_between
from napari_sam.objects.placed import PlacedPatches


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "<i4", ">i4", "u8", "i8", "bool"])
@pytest.mark.parametrize("high", [0, 1, 2, 200, 70_000, 2**40])
def test_packed_pixels_come_back(dtype, high):
    rng = np.random.default_rng(high)
    most = 1 if dtype == "bool" else np.iinfo(dtype).max
    pixels = rng.integers(0, min(high, most), (7, 11), endpoint=True).astype(dtype)
    packed = PackedPixels.of(pixels.T)
    assert packed.array().dtype == pixels.dtype
    assert np.array_equal(packed.array(), pixels.T)
    assert packed.bounds == (pixels.min(), pixels.max())
    assert packed == PackedPixels.of(np.array(pixels.T))


def test_packed_pixels_may_be_negative_or_none():
    pixels = np.array([[-5, 3], [0, 300]], np.int32)
    assert np.array_equal(PackedPixels.of(pixels).array(), pixels)
    assert PackedPixels.of(pixels).bounds == (-5, 300)
    nothing = PackedPixels.of(np.zeros((0, 4), np.uint8))
    assert nothing.array().shape == (0, 4)


def test_the_largest_values_are_exact():
    pixels = np.array([2**64 - 1, 0, 2**63 + 1], np.uint64)
    assert PackedPixels.of(pixels).array().tolist() == pixels.tolist()


def test_pixels_of_one_label_take_no_bytes():
    assert PackedPixels.of(np.full((300, 300), 7, np.int32)).nbytes == 0
    noise = np.random.default_rng(0).integers(0, 9, (300, 300))
    assert PackedPixels.of(noise).nbytes > 0


def test_a_patch_knows_its_pixels_and_its_inverse():
    old, new = np.zeros((2, 3), np.int32), np.arange(6, dtype=np.int32).reshape(2, 3)
    patch = Patch.of((np.int64(4), slice(5, 7), slice(None)), old, new)
    assert patch.index == (4, slice(5, 7), slice(0, 3))
    assert patch.box == ((4, 5), (5, 7), (0, 3))
    assert patch.fixed == ((0, 4),)
    assert patch.changes
    assert np.array_equal(patch.old(), old)
    assert np.array_equal(patch.new(), new)
    back = patch.inverse()
    assert (back.index, back.before, back.after) == (patch.index, patch.after, patch.before)
    assert patch.nbytes == back.nbytes > 0
    assert not Patch.of((slice(0, 2), slice(0, 3)), old, old.copy()).changes


@pytest.mark.parametrize(
    ("index", "shape", "match"),
    [
        ((slice(0, 2), slice(0, 2)), (2, 3), "no box of 3 pixels"),
        ((slice(0, 4, 2), 1), (2,), "no box of 2 pixels"),
        ((slice(-2, 0), 1), (2,), "no box of 2 pixels"),
        ((0, slice(0, 2)), (1, 2), "1 slices"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(index, shape, match):
    with pytest.raises(ValueError, match=match):
        Patch.of(index, np.zeros(shape, int), np.ones(shape, int))


@pytest.mark.parametrize("new", [np.zeros(3, int), np.zeros(2, bool)])
def test_pixels_that_do_not_fit_each_other_are_refused(new):
    with pytest.raises(ValueError, match="cannot become"):
        Patch.of((slice(0, 2),), np.zeros(2, int), new)


def test_patches_are_found_in_their_order():
    boxes = [
        (1, slice(0, 4), slice(0, 4)),
        (slice(0, 3), 2, slice(2, 6)),
        (1, slice(2, 3), slice(2, 6)),
        (2, slice(0, 4), slice(0, 4)),
        (slice(0, 3), slice(2, 4), 3),
    ]
    shapes = [[s.stop - s.start for s in box if isinstance(s, slice)] for box in boxes]
    placed = PlacedPatches(
        Patch.of(box, np.zeros(s, int), np.ones(s, int))
        for box, s in zip(boxes, shapes, strict=True)
    )
    assert placed.overlapping(((1, 2), (2, 3), (3, 4))) == [0, 1, 2, 4]
    assert placed.overlapping(((1, 2), (0, 2), (0, 2))) == [0]
    assert placed.overlapping(((0, 3), (0, 9), (0, 9))) == [0, 1, 2, 3, 4]
    assert placed.overlapping(((0, 1), (0, 9), (5, 9))) == [1]
    assert placed.overlapping(((3, 4), (0, 9), (0, 9))) == []


def compose(first, second):
    """Return two patches of one pixel after another."""
    index = (slice(3, 4),)
    one, other = (Patch.of(index, *(np.array([v]) for v in pair)) for pair in (first, second))
    both = one.then(other)
    return int(both.old()[0]), int(both.new()[0])


def test_one_patch_after_another_pixel_by_pixel():
    assert compose((0, 1), (1, 2)) == (0, 2)
    assert compose((0, 1), (1, 1)) == (0, 1)  # the later one leaves it
    assert compose((0, 0), (5, 2)) == (5, 2)  # the first one leaves it
    assert compose((0, 1), (7, 2)) == (7, 2)  # somebody made it 7 in between
    assert compose((0, 0), (5, 5))[0] == compose((0, 0), (5, 5))[1]
    assert compose((0, 1), (1, 0)) == (0, 0)


def test_patches_between_of_a_large_box_are_its_changed_tiles(monkeypatch):
    monkeypatch.setattr(patch_module, "TILE", 4)
    rng = np.random.default_rng(0)
    old = rng.integers(0, 5, (2, 9, 10))
    new = old.copy()
    new[0, 3, 3] += 1
    new[1, 4:, 8:] += 1
    index = (slice(1, 3), slice(10, 19), 6, slice(0, 10))
    patches = list(patches_between(index, old, new))
    assert [p.box for p in patches] == [
        ((1, 2), (10, 14), (6, 7), (0, 4)),
        ((2, 3), (14, 18), (6, 7), (8, 10)),
        ((2, 3), (18, 19), (6, 7), (8, 10)),
    ]
    array = np.zeros((4, 20, 7, 10), int)
    array[index] = old
    for patch in patches:
        assert np.array_equal(array[patch.index], patch.old())
        array[patch.index] = patch.new()
    assert np.array_equal(array[index], new)
    assert not list(patches_between(index, old, old))
