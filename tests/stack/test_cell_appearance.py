import numpy as np
import pytest
import torch
from torch.nn import functional as F

from napari_sam.stack.cell_appearance import CellAppearance, around, cells_of, enough

SHAPES = ((3, 40, 48), (5, 20, 24), (8, 10, 12))
"""Levels at three strides, as `pocket` has them."""
DISC = np.hypot(*(np.indices((40, 48)) - np.array([18, 20])[:, None, None])) < 6


def levels(disc, seed):
    """Return noise that is brighter in a disc, at each level less."""
    noise = np.random.default_rng(seed)
    made = []
    for number, (count, h, w) in enumerate(SHAPES):
        step = 2**number
        brightness = disc[::step, ::step] * 1.5 / step
        made.append(noise.normal(size=(count, h, w)).astype(np.float32) + np.float32(brightness))
    return tuple(made)


def test_features_are_those_of_interpolated_levels():
    made = levels(DISC, 0)
    features, inside = cells_of(made, DISC.astype(np.float32))
    whole = np.concatenate(
        [
            F.interpolate(torch.from_numpy(one)[None], DISC.shape, mode="bilinear")[0].numpy()
            for one in made
        ]
    )
    rows, columns = around(DISC)
    np.testing.assert_allclose(features, whole[:, rows, columns].reshape(16, -1).T, atol=1e-5)
    np.testing.assert_array_equal(inside, DISC[rows, columns].ravel())


def test_the_surroundings_are_as_wide_as_the_object():
    rows, columns = around(DISC)
    assert (rows, columns) == (slice(3, 34), slice(5, 36))
    speck = np.zeros_like(DISC)
    speck[2, 47] = True
    assert around(speck) == (slice(0, 9), slice(41, 48))


def test_many_cells_of_the_surroundings_are_thinned():
    shares = np.zeros((300, 300), np.float32)
    shares[100:200, 100:200] = 1
    features, inside = cells_of((np.zeros((2, 300, 300), np.float32),), shares)
    assert np.count_nonzero(inside) == 10_000
    assert 4000 < np.count_nonzero(~inside) < 6000
    assert features.shape == (len(inside), 2)


def test_the_object_is_found_where_it_has_moved_to():
    appearance = CellAppearance(*cells_of(levels(DISC, 1), DISC.astype(np.float32)))
    moved = np.roll(DISC, (6, 8), (0, 1))
    part = slice(4, 40), slice(6, 46)
    evidence = appearance.evidence(levels(moved, 2), *part)
    assert evidence.shape == (36, 40)
    assert evidence.dtype == np.float32
    assert np.abs(evidence).max() <= 4
    found, truth = evidence > 0, moved[part]
    assert np.count_nonzero(found & truth) > 0.85 * np.count_nonzero(truth)
    assert np.count_nonzero(found & ~truth) < 0.15 * np.count_nonzero(~truth)


@pytest.mark.parametrize(("own", "other", "answer"), [(1, 8, True), (0, 20, False), (30, 7, False)])
def test_both_kinds_of_cells_are_needed(own, other, answer):
    assert enough(np.arange(own + other) < own) is answer
