from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from tiny import discs

from napari_sam import stack
from napari_sam.everything.amg_params import AmgParams
from napari_sam.predict.session import Session
from napari_sam.stack.planes import PlaneResult, plane_numbers
from napari_sam.steps import drive
from napari_sam.types import Plane, Progress, SliceKey

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
    np.testing.assert_array_equal(labels, np.moveaxis(expected, 0, axis))
    np.testing.assert_array_equal(out, labels)


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
    assert {s.total for s in progress} == {400}
    assert done[-1] == 400
    assert progress[0].text == "plane 1 of 4, encoding"
    texts = [s.text for s in progress]
    assert texts[texts.index("plane 2 of 4, encoding") + 1] == "plane 2 of 4, point 64 of 256"
    assert texts[-4:] == [f"linking plane {k} of 4" for k in (1, 2, 3, 4)]


def test_some_planes_only(scene_predictor):
    out = np.full(VOLUME.shape, -1, np.int32)
    labels = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS, planes=[1, 2], out=out))
    assert scene_predictor.model.encoded == 2
    assert labels.shape == VOLUME.shape
    assert not labels[[0, 3]].any()
    np.testing.assert_array_equal(out[1:3], labels[1:3])
    assert (out[[0, 3]] == -1).all()
    assert labels[1][30, 34] == labels[2][30, 38]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_some_planes_lie_in_the_whole_stack_along_any_axis(scene_predictor, axis):
    turned = np.moveaxis(VOLUME, 0, axis)
    labels = stack.run(stack.everything(scene_predictor, turned, PARAMS, axis, [0, 1]))
    assert labels.shape == turned.shape
    whole = np.moveaxis(labels, axis, 0)
    assert ((whole[:2] > 0) == (VOLUME[:2] > 0)).mean() > 0.99
    assert not whole[2:].any()


def test_planes_are_counted_from_the_end_and_done_once(scene_predictor):
    steps = stack.everything(scene_predictor, VOLUME, PARAMS, planes=[-1, 0, 3, -4, 0], link=False)
    order = [step[0] for step in steps if not isinstance(step, Progress)]
    assert order == [3, 0]
    assert scene_predictor.model.encoded == 2


def test_planes_named_in_any_order_are_linked_all_the_same(scene_predictor):
    there = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS, planes=[3, 2, 1, 0]))
    assert len({int(there[z][y, x]) for z, ((x, y), _) in enumerate(PLACES)}) == 1


@pytest.mark.parametrize(
    ("planes", "text"),
    [
        ([0, 4], "there is no plane 4: the stack has 4, from 0 to 3"),
        ([-5], "there is no plane -5"),
        ([1.0], "a whole number, but one is 1.0"),
        (["1"], "a whole number, but one is '1'"),
        ([None], "but one is None"),
    ],
)
def test_planes_that_are_not_there_are_refused_at_once(scene_predictor, planes, text):
    with pytest.raises(ValueError, match=text):
        stack.everything(scene_predictor, VOLUME, PARAMS, planes=planes)
    assert scene_predictor.model.encoded == 0


def test_numbers_of_planes():
    assert plane_numbers(None, 3) == [0, 1, 2]
    assert plane_numbers(range(1, 3), 3) == [1, 2]
    assert plane_numbers(np.array([2, -1, -3]), 3) == [2, 0]
    assert plane_numbers([], 3) == []


@pytest.mark.parametrize(
    ("shape", "axis", "text"),
    [
        ((9, 9), 0, r"but this one is \(9, 9\)"),
        ((2, 3, 9, 9, 3), 0, "a stack is"),
        ((3, 9, 9), 3, "axis is 0, 1 or 2, but is 3"),
        ((3, 9, 9, 3), -1, "axis is 0, 1 or 2, but is -1"),
    ],
)
def test_what_is_no_stack_is_refused_at_once(scene_predictor, shape, axis, text):
    with pytest.raises(ValueError, match=text):
        stack.everything(scene_predictor, np.zeros(shape), axis=axis)


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


def test_contrast_limits_are_those_of_every_plane(scene_predictor):
    dark = VOLUME // 10  # of 20; without limits it would be stretched
    asked = stack.everything(scene_predictor, dark, PARAMS, contrast_limits=(0, 255))
    assert not stack.run(asked).any()
    assert stack.run(stack.everything(scene_predictor, dark, PARAMS)).any()


def keyed(volume, places, displayed=(1, 2), axis=0):
    return [Plane(volume, SliceKey(displayed, ((axis, z),))) for z in places]


def found_in(steps):
    """Return the planes found, the progress and the largest label."""
    results, progress, largest = [], [], []

    def passed():
        largest.append((yield from steps))

    for step in passed():
        (progress if isinstance(step, Progress) else results).append(step)
    return results, progress, largest[0]


def test_planes_of_a_session_are_found_one_after_the_other(scene_predictor):
    session = Session(scene_predictor)
    planes = keyed(VOLUME, [2, 0])
    results, progress, largest = found_in(stack.everything_in(session, planes, PARAMS, 10))
    assert all(found.plane.same_as(one) for found, one in zip(results, planes, strict=True))
    assert [found.values.tolist() for found in results] == [[11, 12], [13, 14]]
    assert largest == 14
    assert [found.largest for found in results] == [12, 14]
    for found, z in zip(results, (2, 0), strict=True):
        assert ((found.labels > 0) == (VOLUME[z] > 0)).mean() > 0.99
        assert found.candidates.size == (100, 120)
    assert progress[0].text == "plane 3 of 4, encoding"
    assert progress[-1].text == "plane 1 of 4, point 256 of 256"
    assert (progress[-1].done, progress[-1].total) == (200, 200)


def test_what_the_session_has_encoded_is_not_encoded_again(scene_predictor):
    session = Session(scene_predictor)
    planes = keyed(VOLUME, [0, 1])
    session.embedding(planes[1])
    drive(stack.everything_in(session, planes, PARAMS))
    assert scene_predictor.model.encoded == 2
    assert all(session.ready(plane) for plane in planes)


def test_labels_lie_as_displayed_whatever_the_window(scene_predictor):
    session = Session(scene_predictor)
    straight, turned = keyed(VOLUME, [0]), keyed(VOLUME, [0], (2, 1))
    part = [plane.within((3, 4, 40, 50)) for plane in straight]
    labels = [
        found_in(stack.everything_in(session, planes, PARAMS))[0][0].labels
        for planes in (straight, turned, part)
    ]
    np.testing.assert_array_equal(labels[1] > 0, labels[0].T > 0)
    np.testing.assert_array_equal(labels[2], labels[0])
    assert stack.turned(labels[1], turned[0].key).shape == (100, 120)


def test_no_planes_have_the_largest_label_of_before(scene_predictor):
    assert drive(stack.everything_in(Session(scene_predictor), [], PARAMS, 7)) == 7
    blank = keyed(np.zeros((2, 30, 30)), [0, 1])
    results, _, largest = found_in(stack.everything_in(Session(scene_predictor), blank, PARAMS, 7))
    assert largest == 7
    assert [found.largest for found in results] == [0, 0]


def test_a_plane_says_where_it_lies_as_people_count():
    assert stack.plane_text(Plane(VOLUME[0])) == "the image"
    assert stack.plane_text(*keyed(VOLUME, [2])) == "plane 3 of 4"
    deep = np.zeros((5, 4, 100, 120))
    key = SliceKey((2, 3), ((0, 1), (1, 2)))
    assert stack.plane_text(Plane(deep, key)) == "plane 2 of 5, 3 of 4"
    level = SliceKey((1, 2), ((0, 1),), level=1)
    assert stack.plane_text(Plane([VOLUME, VOLUME[::2]], level)) == "plane 2 of 2"


def test_other_thresholds_select_anew(scene_predictor):
    plane = keyed(VOLUME, [0])[0]
    ((found,), _, _) = found_in(stack.everything_in(Session(scene_predictor), [plane], PARAMS))
    again = PlaneResult.selected(plane, found.candidates, PARAMS, 4)
    np.testing.assert_array_equal(again.labels, np.where(found.labels > 0, found.labels + 4, 0))
    assert again.values.tolist() == [5, 6]
    strict = AmgParams(pred_iou_thresh=0.99)
    assert PlaneResult.selected(plane, found.candidates, strict).values.tolist() == []
