from __future__ import annotations

import time
from itertools import permutations

import numpy as np
import pytest

from napari_sam.stack.join import StoredPlanes, linked, turned
from napari_sam.steps import drive
from napari_sam.types import Progress, SliceKey


def plane(*spans):
    """Return a row of pixels with (start, stop, label) spans."""
    row = np.zeros((1, 40), np.int32)
    for start, stop, label in spans:
        row[:, start:stop] = label
    return row


def changed_by(planes, **options):
    """Return the planes that linking changes."""
    return dict(step for step in linked(planes, **options) if not isinstance(step, Progress))


def test_linked_pairs_the_best_overlaps():
    planes = {
        0: plane((0, 10, 1), (10, 20, 2)),
        1: plane((2, 12, 3), (12, 22, 4)),
        2: plane((4, 14, 5), (30, 34, 6)),
    }
    changed = changed_by(planes)
    assert 0 not in changed
    np.testing.assert_array_equal(changed[1], plane((2, 12, 1), (12, 22, 2)))
    np.testing.assert_array_equal(changed[2], plane((4, 14, 1), (30, 34, 3)))


def test_linked_wants_the_sum_of_overlaps_to_be_largest():
    # greedily, 3 would take 1 with 0.6 and leave 4 alone
    planes = {
        0: plane((0, 10, 1), (20, 30, 2)),
        1: plane((0, 6, 3), (6, 10, 4)),
    }
    changed = changed_by(planes, least=0.3, method="assignment")
    np.testing.assert_array_equal(changed[1], plane((0, 6, 1), (6, 10, 3)))


def test_linked_drops_slight_overlaps():
    planes = {0: plane((0, 10, 1)), 1: plane((8, 18, 2))}
    assert changed_by(planes) == {}
    np.testing.assert_array_equal(changed_by(planes, least=0.1)[1], plane((8, 18, 1)))


def test_linked_closes_gaps_in_the_numbers():
    planes = {0: plane((0, 5, 7), (10, 15, 9)), 1: plane()}
    changed = changed_by(planes)
    np.testing.assert_array_equal(changed[0], plane((0, 5, 1), (10, 15, 2)))


def test_a_slight_overlap_takes_nobody_a_partner():
    """The sum of all three would be larger with 3 - 2 and 4 - 1, of which 4 - 1 is no pair."""
    planes = {
        0: plane((0, 20, 1), (20, 40, 2)),
        1: plane((8, 28, 3), (0, 2, 4)),
    }
    changed = changed_by(planes, method="assignment")
    np.testing.assert_array_equal(changed[1], plane((8, 28, 1), (0, 2, 3)))


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


def best_worth(before, after, least):
    """Return the largest sum of IoU of all ways to pair the labels of two planes."""
    a, b = (np.unique(labels[labels > 0]).tolist() for labels in (before, after))
    table = np.array([[overlap(before == x, after == y) for y in b] for x in a]).reshape(
        len(a), len(b)
    )
    table = np.where(table >= least, table, 0)
    if len(a) > len(b):
        table = table.T
    rows = np.arange(len(table))
    ways = permutations(range(table.shape[1]), len(rows))
    return max(table[rows, list(way)].sum() for way in ways)


@pytest.mark.parametrize("least", [0.05, 0.2, 0.3])
def test_pairs_are_the_best_of_all_ways(least):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        before = np.kron(rng.integers(0, 6, (3, 6)), np.ones((3, 3), int)).astype(np.int32)
        after = np.roll(before, rng.integers(0, 3, 2), (0, 1)) + 10
        after[rng.random(after.shape) < 0.3] = 0
        after[:, 9:][after[:, 9:] > 0] = 12
        planes = {0: before, 1: after}
        planes |= changed_by(planes, least=least, method="assignment")
        both = np.intersect1d(planes[0], planes[1])
        pairs = [overlap(planes[0] == k, planes[1] == k) for k in both[both > 0]]
        assert all(pair >= least for pair in pairs)
        assert sum(pairs) == pytest.approx(best_worth(before, after, least)), seed


def test_linked_says_how_far_it_is_and_returns_the_largest_label():
    planes = {3: plane((0, 5, 4)), 4: plane((1, 6, 9), (20, 30, 8)), 8: plane((0, 5, 11))}
    steps = list(linked(planes))
    assert [s.text for s in steps if isinstance(s, Progress)] == [
        *(f"linked {k} of 3 planes" for k in (1, 2, 3)),
        "joined 4 of 4 outlines",
    ]
    assert drive(linked(planes)) == 3
    changed = changed_by(planes, largest=20)
    np.testing.assert_array_equal(changed[3], plane((0, 5, 21)))
    np.testing.assert_array_equal(changed[4], plane((1, 6, 21), (20, 30, 22)))
    np.testing.assert_array_equal(changed[8], plane((0, 5, 23)))
    assert drive(linked(planes, largest=20)) == 23
    assert drive(linked({})) == 0


def test_two_planes_of_many_objects_take_no_time():
    """2500 outlines each: all pairs would be 6 million."""
    labels = np.kron(np.arange(2500).reshape(50, 50), np.ones((12, 12), int)).astype(np.int32)
    steps = linked({0: labels, 1: np.roll(labels, 3, 0) + 2500})
    start = time.thread_time()
    longest = 0.0
    for _ in steps:
        longest = max(longest, time.thread_time() - start)
        start = time.thread_time()
    assert longest < 0.5  # a few ms


def test_stored_planes_are_read_as_displayed_when_they_are_asked_for():
    volume = np.arange(2 * 3 * 4 * 5, dtype=np.int32).reshape(2, 3, 4, 5)
    keys = [SliceKey((3, 2), ((0, z), (1, 1))) for z in (1, 0)]
    planes = StoredPlanes(volume, keys)
    assert len(planes) == 2
    assert list(planes) == [1, 0]
    assert planes.keys_by_place[1] is keys[0]
    np.testing.assert_array_equal(planes[1], volume[1, 1].T)
    np.testing.assert_array_equal(turned(planes[1], keys[0]), volume[1, 1])
    volume[1, 1] = 7
    assert (planes[1] == 7).all()
    straight = StoredPlanes(volume, [SliceKey((2, 3), ((0, 0), (1, 2)))])
    np.testing.assert_array_equal(straight[0], volume[0, 2])


def test_stored_planes_can_be_written_while_they_are_linked():
    volume = np.concatenate([plane((0, 10, 5)), plane((2, 12, 6)), plane((4, 14, 7))])[:, None]
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(3)]
    for step in linked(StoredPlanes(volume, keys)):
        if not isinstance(step, Progress):
            volume[step[0]] = step[1]
    assert set(np.unique(volume)) == {0, 1}


def test_a_label_that_occurs_in_two_planes_is_no_link():
    planes = {0: plane((0, 10, 1)), 1: plane((20, 30, 1)), 2: plane((20, 30, 1))}
    changed = changed_by(planes)
    assert 0 not in changed
    np.testing.assert_array_equal(changed[1], plane((20, 30, 2)))
    np.testing.assert_array_equal(changed[2], plane((20, 30, 2)))


def test_large_labels_take_no_memory():
    largest = np.iinfo(np.int32).max
    planes = {0: plane((0, 10, largest)), 1: plane((0, 10, largest - 7))}
    changed = changed_by(planes)
    np.testing.assert_array_equal(changed[0], plane((0, 10, 1)))
    np.testing.assert_array_equal(changed[1], plane((0, 10, 1)))


@pytest.mark.parametrize(
    ("planes", "options", "text"),
    [
        ({0: np.zeros((2, 2))}, {}, "of integers, but 0 is"),
        ({0: np.zeros(2, int)}, {}, "of integers, but 0 is"),
        ({0: np.full((2, 2), -1)}, {}, "not negative, but plane 0 has -1"),
        ({0: np.zeros((2, 2), int), 1: np.zeros((2, 3), int)}, {}, "of one size"),
        ({"a": np.zeros((2, 2), int)}, {}, "planes have whole numbers"),
        ({}, {"least": 2}, "between 0 and 1, but is 2"),
        ({}, {"least": float("nan")}, "between 0 and 1"),
        ({}, {"largest": -1}, "largest label lies between"),
    ],
)
def test_what_cannot_be_linked_is_refused_in_a_sentence(planes, options, text):
    with pytest.raises(ValueError, match=text):
        drive(linked(planes, **options))


def test_stored_planes_lie_along_any_axis():
    volume = np.arange(2 * 3 * 4 * 5, dtype=np.int32).reshape(2, 3, 4, 5)
    keys = [SliceKey((2, 3), ((0, 1), (1, z))) for z in range(3)]
    planes = StoredPlanes(volume, keys, axis=1)
    assert list(planes) == [0, 1, 2]
    np.testing.assert_array_equal(planes[2], volume[1, 2])
