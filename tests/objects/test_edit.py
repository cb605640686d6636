from __future__ import annotations

import numpy as np
import pytest

from napari_sam.objects import Canvas, Edit, Patch, SegmentedObject


def thing(label):
    return SegmentedObject(label, {})


def random_edit(rng, data, patches):
    """Change random boxes of an array (4, 12, 12) in place, and return the edit."""
    made = []
    for _ in range(patches):
        y, x = rng.integers(0, 9, 2).tolist()
        h, w = rng.integers(1, 4, 2).tolist()
        z = int(rng.integers(4))
        flat = (z, slice(y, y + h), slice(x, x + w))
        deep = (slice(1, 3), slice(y, y + h), x)
        index = flat if rng.random() < 0.7 else deep
        old = data[index].copy()
        new = np.where(rng.random(old.shape) < 0.6, rng.integers(0, 6, old.shape), old)
        made.append(Patch.of(index, old, new))
        data[index] = new
    return Edit("random", tuple(made))


@pytest.mark.parametrize("seed", range(20))
def test_one_edit_after_another_is_one_edit(seed):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, (4, 12, 12))
    data = first.copy()
    both = Edit("")
    for _ in range(6):
        both = both.then(random_edit(rng, data, 4))
    canvas = Canvas(first.copy())
    for patch in both.patches:
        canvas.write(patch)
    assert np.array_equal(canvas.data, data)
    for patch in both.inverse().patches:
        canvas.write(patch)
    assert np.array_equal(canvas.data, first)


def test_patches_of_the_same_box_merge():
    index = (2, slice(0, 3), slice(1, 3))
    values = [np.full((3, 2), k, np.int32) for k in range(9)]
    edit = Edit("0")
    for k in range(8):
        edit = edit.then(Edit(str(k + 1), (Patch.of(index, values[k], values[k + 1]),)))
    (patch,) = edit.patches
    assert np.array_equal(patch.old(), values[0])
    assert np.array_equal(patch.new(), values[8])
    assert edit.text == "8"
    assert edit.largest == 8
    back = edit.then(Edit("back", (Patch.of(index, values[8], values[0]),)))
    assert back.patches == ()
    assert not back.changes


def test_a_patch_does_not_move_before_one_that_it_overlaps():
    wide, narrow = (slice(0, 3),), (slice(1, 2),)
    steps = [(wide, [0, 0, 0], [1, 1, 1]), (narrow, [1], [2]), (wide, [1, 2, 1], [3, 3, 3])]
    edit = Edit("")
    for index, old, new in steps:
        edit = edit.then(Edit("", (Patch.of(index, np.array(old), np.array(new)),)))
    canvas = Canvas(np.full(3, 3))
    canvas.write(*edit.inverse().patches)
    assert canvas.data.tolist() == [0, 0, 0]


def test_objects_keep_the_first_before_and_the_last_after():
    a, b, c = thing(1), thing(1), thing(2)
    first = Edit("first", (), {1: (None, a), 2: (None, c)})
    later = Edit("", (), {1: (a, b), 2: (c, None)})
    both = first.then(later)
    assert both.objects == {1: (None, b)}
    assert both.text == "first"
    assert both.inverse().objects == {1: (b, None)}
    assert both.largest == 1
    assert both.changes
    assert not Edit("nothing").changes
