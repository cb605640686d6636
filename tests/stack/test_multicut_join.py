"""What the multicut settles: gaps, outlines cut in two, outlines of two objects."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam import stack
from napari_sam.stack.join import linked
from napari_sam.steps import drive, mapped
from napari_sam.types import Progress

OBJECT = np.s_[4:16, 4:16]
OTHER = np.s_[4:16, 16:28]


def volume(depth=5):
    """Return planes (depth, 20, 40) with two objects that touch; each plane has its own labels."""
    planes = np.zeros((depth, 20, 40), np.int32)
    for z in range(depth):
        planes[z][OBJECT], planes[z][OTHER] = 2 * z + 1, 2 * z + 2
    return planes


def joined(planes, **options):
    """Return all planes with the labels that linking gives."""
    labels = planes.copy()

    def keep(step):
        if not isinstance(step, Progress):
            labels[step[0]] = step[1]

    drive(mapped(linked(dict(enumerate(planes)), **options), keep))
    return labels


def truth(depth=5):
    labels = np.zeros((depth, 20, 40), np.int32)
    labels[(slice(None), *OBJECT)], labels[(slice(None), *OTHER)] = 1, 2
    return labels


def assert_same_objects(one, other):
    """Check that two arrays differ in the numbers of their labels only."""
    np.testing.assert_array_equal(one > 0, other > 0)
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_an_object_that_is_missing_in_one_plane_is_drawn_there():
    planes = volume()
    planes[2][OBJECT] = 0
    np.testing.assert_array_equal(joined(planes), truth())


def test_a_gap_of_two_planes_parts_objects():
    planes = volume(6)
    planes[2:4][(slice(None), *OBJECT)] = 0
    labels = joined(planes)
    assert not labels[2:4][(slice(None), *OBJECT)].any()
    assert labels[1, 5, 5] != labels[4, 5, 5]


def test_a_drawn_outline_takes_no_pixel_of_another_object():
    planes = volume()
    planes[2][OBJECT] = 0
    planes[2][4:16, 12:28] = 6  # the other object reaches into its place
    labels = joined(planes)
    assert (labels[2][4:16, 4:12] == 1).all()
    assert (labels[2][4:16, 12:28] == 2).all()


def test_an_outline_that_is_cut_in_two_is_one_object():
    planes = volume()
    planes[2, 10:16, 4:16] = 50
    np.testing.assert_array_equal(joined(planes), truth())


@pytest.mark.parametrize("z", [0, 2, 4])
def test_an_outline_of_two_objects_is_divided(z):
    planes = volume()
    planes[z][planes[z] > 0] = 1 + 2 * z
    np.testing.assert_array_equal(joined(planes), truth())


def test_the_last_small_outlines_of_an_object_belong_to_it():
    planes = volume()
    planes[4] = 0
    planes[4, 8:10, 8:10] = 77
    labels = joined(planes)
    assert labels[4, 8, 8] == labels[3, 8, 8] == 1


def noisy(seed):
    """Return planes of round objects with outlines that are missing, cut in two or merged."""
    rng = np.random.default_rng(seed)
    grid = np.indices((14, 60, 60)).astype(float)
    planes = np.zeros((14, 60, 60), np.int32)
    nearest = np.full(planes.shape, 1.0)
    for label in range(1, 13):
        middle, radii = rng.uniform((0, 5, 5), (14, 55, 55)), rng.uniform((3, 7, 7), (5, 11, 11))
        depth = sum(((grid[a] - middle[a]) / radii[a]) ** 2 for a in range(3))
        planes[depth < nearest] = label
        nearest = np.minimum(nearest, depth)
    for plane in planes:
        for label in np.unique(plane[plane > 0]):
            kind, mask = rng.random(), plane == label
            if kind < 0.1:
                plane[mask] = 0
            elif kind < 0.2:
                plane[mask & (np.indices(mask.shape)[0] > np.nonzero(mask)[0].mean())] = label + 100
            elif kind < 0.3:
                plane[mask] = rng.choice(np.unique(plane[plane > 0]))
    return planes


@pytest.mark.parametrize("seed", range(6))
def test_the_direction_of_the_stack_does_not_count(seed):
    planes = noisy(seed)
    assert_same_objects(joined(planes), joined(planes[::-1])[::-1])


def test_the_labels_that_the_planes_came_with_do_not_count():
    planes, rng = noisy(7), np.random.default_rng(7)
    mixed = np.stack([np.append(0, rng.permutation(200) + 1)[plane] for plane in planes])
    assert_same_objects(joined(planes), joined(mixed))


def test_small_objects_are_left_out_by_volume():
    planes = volume(3)
    planes[1, 17:19, 30:32] = 90  # 4 voxels of 0.5 x 0.5 x 2
    spacing = (2.0, 0.5, 0.5)
    assert 3 in joined(planes, least_volume=2.0, spacing=spacing)
    labels = joined(planes, least_volume=2.1, spacing=spacing)
    np.testing.assert_array_equal(labels, truth(3))


@pytest.mark.parametrize("method", ["multicut", "assignment", "greedy"])
def test_every_method_follows_what_overlaps(method):
    np.testing.assert_array_equal(joined(volume(), method=method), truth())


def test_greedy_takes_the_best_pair_first():
    planes = np.zeros((2, 1, 40), np.int32)
    planes[0, 0, :10], planes[0, 0, 20:30] = 1, 2
    planes[1, 0, :6], planes[1, 0, 6:10] = 4, 3
    labels = joined(planes, method="greedy")
    assert labels[1, 0, 0] == 1
    assert labels[1, 0, 8] == 3


def test_planes_are_read_twice_and_not_after_they_were_yielded():
    class Watched(dict):
        def __getitem__(self, z):
            read.append(z)
            return super().__getitem__(z)

    read, planes = [], volume() + 100
    planes[planes == 100] = 0
    for step in linked(Watched(enumerate(planes))):
        if not isinstance(step, Progress):
            read.append(f"yielded {step[0]}")
    assert read[:5] == [0, 1, 2, 3, 4]
    assert read[5:] == [
        0, 1, "yielded 0", 2, "yielded 1", 3, "yielded 2", 4, "yielded 3", "yielded 4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "best"}, "joined by one of .* not by 'best'"),
        ({"least_volume": -1}, "least volume is a number from 0, but is -1"),
        ({"least_volume": "5"}, "least volume is a number from 0"),
        ({"spacing": (1, 1)}, "spacing is three numbers above 0"),
        ({"spacing": (1, 0, 1)}, "spacing is three numbers above 0"),
        ({"spacing": "abc"}, "spacing is three numbers above 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(scene_predictor, options, text):
    with pytest.raises(ValueError, match=text):
        joined(volume(2), **options)
    with pytest.raises(ValueError, match=text):
        stack.everything(scene_predictor, np.zeros((3, 20, 20), np.uint8), **options)
