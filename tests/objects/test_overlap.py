"""Overlap rules: who gets a pixel that two objects want."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_sam.objects.overlap import RULES, all_pixels, deeper_pixels, free_pixels, sparing

MASK = np.array([[1, 1, 1, 1, 0]], bool)
LABELS = np.array([[0, 0, 7, 8, 8]])


def test_keep_and_overwrite():
    assert free_pixels(MASK, LABELS).tolist() == [[1, 1, 0, 0, 0]]
    assert all_pixels(MASK, LABELS).tolist() == [[1, 1, 1, 1, 0]]
    assert list(RULES) == ["keep", "overwrite", "split"]
    assert RULES["keep"].rule is free_pixels


def test_split_halves_what_two_equal_objects_share():
    mask = np.zeros((21, 30), bool)
    mask[:, 10:] = True  # from 10 to the border
    labels = np.zeros((21, 30), int)
    labels[:, :20] = 4  # contested: 10 to 19
    own = deeper_pixels(mask, labels)
    # the old one is known to end at 20 only; the new one ends at 10, and at the border
    assert own[10].tolist() == [False] * 15 + [True] * 15
    assert not own[:, :10].any()


@pytest.mark.parametrize("seed", range(10))
def test_split_compares_depths_object_by_object(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 4) > 0
    labels = rng.integers(1, 5, (4, 5)).repeat(10, 0).repeat(10, 1)
    labels[ndimage.gaussian_filter(rng.normal(size=(40, 50)), 3) > 0] = 0
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    expected = mask & (labels == 0)
    for label in np.unique(labels[labels > 0]):
        other = labels == label
        expected |= mask & other & (depth > ndimage.distance_transform_edt(other))
    assert np.array_equal(deeper_pixels(mask, labels), expected)
    assert not (deeper_pixels(mask, labels) & ~mask).any()


def test_split_leaves_an_object_that_fills_the_box_alone():
    assert not deeper_pixels(np.ones((5, 5), bool), np.full((5, 5), 3)).any()


@pytest.mark.parametrize("name", RULES)
def test_locked_objects_lose_nothing_under_any_rule(name):
    rng = np.random.default_rng(0)
    labels, mask = rng.integers(0, 5, (30, 30)), rng.random((30, 30)) < 0.7
    rule = RULES[name].rule
    spared = sparing(rule, {2, 4})(mask, labels)
    locked = np.isin(labels, [2, 4])
    assert not (spared & locked).any()
    assert np.array_equal(spared, rule(mask, labels) & ~locked)
    assert sparing(rule, ()) is rule
