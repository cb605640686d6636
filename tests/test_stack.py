from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from tiny import discs

from napari_sam.everything.amg_params import AmgParams
from napari_sam.stack import planes as stack
from napari_sam.types import Progress

PARAMS = AmgParams(points_per_side=16, stability_score_thresh=0.8)
# one disc that drifts through all planes, one that ends, one that begins
PLACES = [
    [(30, 30), (90, 40)],
    [(34, 30), (91, 40)],
    [(38, 30), (60, 80)],
    [(42, 30), (60, 82)],
]
VOLUME = np.stack([discs((100, 120), places, 12) for places in PLACES])


def test_objects_are_linked_across_planes(scene_predictor):
    labels = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS))
    assert labels.shape == VOLUME.shape
    assert labels.dtype == np.int32
    assert sorted(np.unique(labels)) == [0, 1, 2, 3]
    drifting = {int(labels[z][y, x]) for z, ((x, y), _) in enumerate(PLACES)}
    assert len(drifting) == 1
    ending = {int(labels[z][40, 90]) for z in (0, 1)}
    beginning = {int(labels[z][81, 60]) for z in (2, 3)}
    assert len(ending) == len(beginning) == 1
    assert drifting | ending | beginning == {1, 2, 3}
    assert ((labels > 0) == (VOLUME > 0)).mean() > 0.99


def test_without_linking_no_label_is_in_two_planes(scene_predictor):
    labels = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS, link=False))
    seen = [set(np.unique(plane)) - {0} for plane in labels]
    assert [len(s) for s in seen] == [2, 2, 2, 2]
    assert set.union(*seen) == set(range(1, 9))


@pytest.mark.parametrize("axis", [1, 2])
def test_another_axis_walks_other_planes(scene_predictor, axis):
    turned = np.moveaxis(VOLUME, 0, axis)
    expected = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS))
    out = np.zeros(turned.shape, np.int32)
    labels = stack.run(stack.everything(scene_predictor, turned, PARAMS, axis=axis, out=out))
    np.testing.assert_array_equal(labels, expected)
    np.testing.assert_array_equal(out, np.moveaxis(expected, 0, axis))


def test_planes_come_as_soon_as_they_are_done(scene_predictor):
    steps = stack.everything(scene_predictor, VOLUME, PARAMS)
    order, encoded = [], []
    for step in steps:
        if not isinstance(step, Progress):
            order.append(step[0])
            encoded.append(scene_predictor.model.encoded)
    assert order[:4] == [0, 1, 2, 3]
    assert encoded[:4] == [1, 2, 3, 4]
    assert set(order[4:]) <= {1, 2, 3}  # those that linking has changed


def test_progress_never_goes_back(scene_predictor):
    steps = stack.everything(scene_predictor, VOLUME, PARAMS)
    progress = [s for s in steps if isinstance(s, Progress)]
    done = [s.done for s in progress]
    assert done == sorted(done)
    assert done[-1] == progress[-1].total == 400
    assert progress[-1].text.startswith("plane 3")


def test_some_planes_only(scene_predictor):
    out = np.full(VOLUME.shape, -1, np.int32)
    labels = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS, planes=[1, 2], out=out))
    assert scene_predictor.model.encoded == 2
    assert labels.shape == (3, 100, 120)
    assert not labels[0].any()
    np.testing.assert_array_equal(out[1:3], labels[1:3])
    assert (out[[0, 3]] == -1).all()
    assert labels[1][30, 34] == labels[2][30, 38]


def test_planes_that_are_not_neighbours_are_not_linked(scene_predictor):
    labels = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS, planes=[0, 2]))
    assert len(np.unique(labels)) == 5


def test_lazy_and_coloured_stacks(scene_predictor):
    expected = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS))
    lazy = da.from_array(VOLUME, chunks=(1, 50, 50))
    np.testing.assert_array_equal(
        stack.run(stack.everything(scene_predictor, lazy, PARAMS)), expected
    )
    coloured = np.repeat(VOLUME[..., None], 3, axis=-1)
    np.testing.assert_array_equal(
        stack.run(stack.everything(scene_predictor, coloured, PARAMS)), expected
    )


def test_an_empty_stack(scene_predictor):
    labels = stack.run(stack.everything(scene_predictor, np.zeros((3, 40, 50)), PARAMS))
    assert labels.shape == (3, 40, 50)
    assert not labels.any()
    with pytest.raises(ValueError, match="no plane"):
        stack.run(stack.everything(scene_predictor, np.zeros((0, 40, 50)), PARAMS))


def plane(*spans):
    """Return a row of pixels with (start, stop, label) spans."""
    row = np.zeros((1, 40), np.int32)
    for start, stop, label in spans:
        row[:, start:stop] = label
    return row


def test_linked_pairs_the_best_overlaps():
    planes = {
        0: plane((0, 10, 1), (10, 20, 2)),
        1: plane((2, 12, 3), (12, 22, 4)),
        2: plane((4, 14, 5), (30, 34, 6)),
    }
    changed = dict(stack.linked(planes))
    assert 0 not in changed
    np.testing.assert_array_equal(changed[1], plane((2, 12, 1), (12, 22, 2)))
    np.testing.assert_array_equal(changed[2], plane((4, 14, 1), (30, 34, 3)))


def test_linked_wants_the_sum_of_overlaps_to_be_largest():
    # greedily, 3 would take 1 with 0.6 and leave 4 alone
    planes = {
        0: plane((0, 10, 1), (20, 30, 2)),
        1: plane((0, 6, 3), (6, 10, 4)),
    }
    changed = dict(stack.linked(planes, least=0.3))
    np.testing.assert_array_equal(changed[1], plane((0, 6, 1), (6, 10, 3)))


def test_linked_drops_slight_overlaps():
    planes = {0: plane((0, 10, 1)), 1: plane((8, 18, 2))}
    assert dict(stack.linked(planes)) == {}
    np.testing.assert_array_equal(dict(stack.linked(planes, least=0.1))[1], plane((8, 18, 1)))


def test_linked_closes_gaps_in_the_numbers():
    planes = {0: plane((0, 5, 7), (10, 15, 9)), 1: plane()}
    changed = dict(stack.linked(planes))
    np.testing.assert_array_equal(changed[0], plane((0, 5, 1), (10, 15, 2)))
