"""Proposals in label images: their outlines, their scores, what covers them, taking them out."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.everything.accepting import in_tiles, masks_in, not_covered, source_of, taken_out
from napari_sam.everything.amg_select import Candidate, Candidates
from napari_sam.objects import Canvas, ObjectStore
from napari_sam.objects.patch import Patch
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey


def squares():
    """Three squares in a plane of (20, 30), with the labels 2, 3 and 7."""
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 2:8], labels[2:8, 12:18], labels[10:18, 4:12] = 2, 3, 7
    return labels


def test_the_mask_of_each_label():
    labels = squares()
    masks = masks_in(labels)
    assert set(masks) == {2, 3, 7}
    for label, mask in masks.items():
        np.testing.assert_array_equal(np.asarray(mask), labels == label)
    assert set(masks_in(labels, {3, 9})) == {3}
    assert masks_in(np.zeros((4, 4), np.int32)) == {}


def test_objects_under_kept_ones_are_left_out():
    labels = squares()
    kept = np.zeros(labels.shape, np.uint16)
    assert not_covered(labels, kept) is labels
    kept[2:8, 2:5] = 1  # half of 2
    kept[2:8, 12:16] = 2  # two thirds of 3
    expected = np.where(labels == 3, 0, labels)
    np.testing.assert_array_equal(not_covered(labels, kept), expected)


def test_a_mask_comes_from_the_candidate_that_is_most_like_it():
    labels = squares()
    whole = Mask.of(labels == 7)
    part = Mask.of((labels == 7) & (np.arange(30) > 8))
    other = Mask.of(labels == 2)
    items = tuple(
        Candidate(mask, score, 1.0, (0.0, 0.0), (0, 0, 30, 20))
        for mask, score in ((other, 0.9), (part, 0.8), (whole, 0.7))
    )
    candidates = Candidates((20, 30), items, 0.0)
    cut = labels == 7
    cut[10:12] = False
    assert source_of(Mask.of(cut), candidates) is items[2]
    assert source_of(Mask.of(labels == 3), candidates) is None
    assert source_of(other, Candidates((20, 30), (), 0.0)) is None


@pytest.mark.parametrize("known", [False, True])
def test_taking_objects_out_is_an_edit(known):
    data = np.stack([squares(), squares()])
    store = ObjectStore(Canvas(data.copy(), "proposals"), 7)
    keys = [SliceKey((1, 2), ((0, place),)) for place in (0, 1)]
    masks = masks_in(squares())
    found = {label: {key: Outline(masks[label]) for key in keys} for label in (2, 7)}
    one = SegmentedObject(7, found[7])
    if known:
        store._objects[7] = one
    edit = drive(taken_out(store, found, "the acceptance of 2 objects"))
    np.testing.assert_array_equal(store.canvas.data, data)  # nothing is written
    assert edit.objects == ({7: (one, None)} if known else {})
    for patch in edit.patches:
        store.canvas.write(patch)
    np.testing.assert_array_equal(store.canvas.data, np.where(data == 3, 3, 0))


def test_many_patches_of_a_plane_become_tiles():
    data = np.zeros((2, 600, 600), np.uint16)
    canvas = Canvas(data, "objects")
    ones = np.ones((40, 40), np.uint16)
    corners = [(row, column) for row in range(0, 500, 90) for column in range(0, 500, 30)]
    expected, patches = data.copy(), []
    for label, (row, column) in enumerate(corners, 1):  # in each row they overlap
        place = 1, slice(row, row + 40), slice(column, column + 40)
        patches.append(Patch.of(place, expected[place].copy(), label * ones))
        expected[place] = label
    tiles = drive(in_tiles(canvas, patches, "objects"))
    assert len(tiles) == 2
    for patch in tiles:
        canvas.write(patch)
    np.testing.assert_array_equal(data, expected)
    assert drive(in_tiles(canvas, patches[:3], "objects")) == tuple(patches[:3])
