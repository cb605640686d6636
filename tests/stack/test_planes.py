from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
from tiny import discs

from napari_sam import stack
from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.amg_select import Candidate, Candidates
from napari_sam.predict.session import Session
from napari_sam.stack.planes import PlaneResult, plane_numbers
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane, Progress, SliceKey

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
    assert progress[0].text == "plane 0 (0 to 3), encoding"
    texts = [s.text for s in progress]
    assert (
        texts[texts.index("plane 1 (0 to 3), encoding") + 1] == "plane 1 (0 to 3), point 64 of 256"
    )
    assert texts[-5:-1] == [f"linked {k} of 4 planes" for k in (1, 2, 3, 4)]
    assert texts[-1] == "joined 8 of 8 outlines"


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
        ((), 0, r"but this one is \(\)"),
        ((9,), 0, r"but this one is \(9,\)"),
        ((0, 9, 9), 0, r"needs at least one pixel, but this one is \(0, 9, 9\)"),
        ((3, 9, 0), 0, r"needs at least one pixel"),
        ((3, 9, 9, 0), 0, r"needs at least one pixel"),
        ((3, 9, 9), 3, "axis lies between 0 and 2, but is 3"),
        ((3, 9, 9), 5, "axis lies between 0 and 2, but is 5"),
        ((3, 9, 9, 3), -1, "axis lies between 0 and 2, but is -1"),
        ((3, 9, 9), 0.5, "axis is a whole number, but is 0.5"),
        ((3, 9, 9), "z", "axis is a whole number, but is 'z'"),
    ],
)
def test_what_is_no_stack_is_refused_at_once(scene_predictor, shape, axis, text):
    with pytest.raises(ValueError, match=text):
        stack.everything(scene_predictor, np.zeros(shape), axis=axis)


@pytest.mark.parametrize("dtype", [complex, object, "S3", [("a", int)], "M8[s]"])
def test_a_stack_holds_real_numbers(scene_predictor, dtype):
    with pytest.raises(ValueError, match="a stack holds real numbers, but this one holds"):
        stack.everything(scene_predictor, np.zeros((3, 9, 9), dtype))


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ((0, np.nan), "finite"),
        ((-np.inf, 1), "finite"),
        ((5, 5), "rise"),
        ((5, 1), "rise"),
        ((1, 2, 3), "two numbers"),
        (7, "two numbers"),
        (("a", "b"), "two numbers"),
    ],
)
def test_contrast_limits_are_looked_at_before_the_work(scene_predictor, limits, text):
    with pytest.raises(ValueError, match=text):
        stack.everything(scene_predictor, VOLUME, PARAMS, contrast_limits=limits)


@pytest.mark.parametrize(
    ("out", "text"),
    [
        (np.zeros((4, 100, 121), np.int32), r"the shape of the stack, \(4, 100, 120\), but is"),
        (np.zeros((4, 100, 120, 1), np.int32), "the shape of the stack"),
        (np.zeros((4, 100, 120)), "integers of 32 bits or more, but this one holds float64"),
        (np.zeros((4, 100, 120), np.uint16), "but this one holds uint16"),
        (np.zeros((4, 100, 120), bool), "but this one holds bool"),
        (np.broadcast_to(np.int32(0), (4, 100, 120)), "read-only"),
        ([[1]], "but is list"),
    ],
)
def test_an_array_that_cannot_take_the_labels_is_refused_at_once(scene_predictor, out, text):
    with pytest.raises(ValueError, match=text):
        stack.everything(scene_predictor, VOLUME, PARAMS, out=out)


def test_parameters_of_another_kind_and_no_planes_are_refused_at_once(scene_predictor):
    with pytest.raises(ValueError, match="params is an AmgParams, but is {}"):
        stack.everything(scene_predictor, VOLUME, {})
    with pytest.raises(ValueError, match="no plane to work on"):
        stack.everything(scene_predictor, VOLUME, PARAMS, planes=[])


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


def over_time():
    """Return two points in time (T, Z, Y, X): the stack, and the stack moved by 8 pixels."""
    return np.stack([VOLUME, np.roll(VOLUME, 8, axis=2)])


def test_a_stack_over_time_is_linked_along_z_at_each_point_in_time(scene_predictor):
    volume = over_time()
    steps = list(stack.everything(scene_predictor, volume, PARAMS))
    places = [step[0] for step in steps if not isinstance(step, Progress)]
    assert places[:4] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert {place[0] for place in places[4:]} == {0, 1}
    progress = [step for step in steps if isinstance(step, Progress)]
    assert [p.done for p in progress] == sorted(p.done for p in progress)
    assert (progress[-1].done, progress[-1].total) == (800, 800)
    labels = stack.run(stack.everything(scene_predictor, volume, PARAMS))
    assert labels.shape == volume.shape
    assert ((labels > 0) == (volume > 0)).mean() > 0.99
    drifting = [
        {int(labels[t, z][y, x + 8 * t]) for z, ((x, y), _) in enumerate(PLACES)} for t in (0, 1)
    ]
    assert [len(one) for one in drifting] == [1, 1]
    assert np.unique(labels[0]).tolist() == [0, 1, 2, 3]
    assert np.unique(labels[1]).tolist() == [0, 4, 5, 6]


def test_a_stack_over_time_can_be_linked_along_time(scene_predictor):
    volume = np.swapaxes(over_time(), 0, 1)  # the former planes are points in time
    labels = stack.run(stack.everything(scene_predictor, volume, PARAMS, axis=0))
    expected = stack.run(stack.everything(scene_predictor, np.swapaxes(volume, 0, 1), PARAMS))
    np.testing.assert_array_equal(labels, np.swapaxes(expected, 0, 1))


def test_any_axis_of_a_stack_over_time_can_be_walked(scene_predictor):
    expected = stack.run(stack.everything(scene_predictor, over_time(), PARAMS))
    turned = np.moveaxis(over_time(), 1, 3)  # T, Y, X, Z
    out = np.zeros(turned.shape, np.int64)
    with pytest.raises(ValueError, match="the last one is taken for colours"):
        stack.everything(scene_predictor, turned, PARAMS, axis=3)
    steps = stack.everything(scene_predictor, turned, PARAMS, axis=3, out=out, colours=False)
    np.testing.assert_array_equal(np.moveaxis(stack.run(steps), 3, 1), expected)
    np.testing.assert_array_equal(np.moveaxis(out, 3, 1), expected)


def test_some_planes_of_a_stack_over_time(scene_predictor):
    labels = stack.run(stack.everything(scene_predictor, over_time(), PARAMS, planes=[1, -1]))
    assert labels[:, [1, 3]].any((0, 2, 3)).all()
    assert not labels[:, [0, 2]].any()


def test_colours_of_a_stack_over_time(scene_predictor):
    expected = stack.run(stack.everything(scene_predictor, over_time(), PARAMS))
    coloured = np.repeat(over_time()[..., None], 3, axis=-1)
    found = stack.run(stack.everything(scene_predictor, coloured, PARAMS))
    np.testing.assert_array_equal(found, expected)
    narrow = over_time()[..., :3]
    with pytest.raises(ValueError, match=r"the shape of the stack, \(2, 4, 100\)"):
        stack.everything(scene_predictor, narrow, PARAMS, out=np.zeros(narrow.shape, int))
    steps = stack.everything(
        scene_predictor, narrow, PARAMS, out=np.zeros(narrow.shape, int), colours=False
    )
    assert stack.run(steps).shape == narrow.shape


def test_planes_are_read_from_out_to_be_linked(scene_predictor):
    """What is in memory beside `out` does not grow with the stack."""
    expected = stack.run(stack.everything(scene_predictor, VOLUME, PARAMS))
    out = np.zeros(VOLUME.shape, np.int64)
    drive(stack.everything(scene_predictor, VOLUME, PARAMS, out=out))
    np.testing.assert_array_equal(out, expected)


def test_all_planes_are_all_combinations_the_linked_axis_fastest():
    shape = (2, 3, 100, 120)
    key = SliceKey((2, 3), ((0, 1), (1, 2)), window=(0, 0, 5, 5))
    found = stack.all_planes(shape, key)
    assert [[place for _, place in one.fixed] for one in found] == [
        [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2],
    ]  # fmt: skip
    assert {(one.displayed, one.window) for one in found} == {((2, 3), None)}
    along_time = stack.all_planes(shape, key, axis=0)
    assert [[place for _, place in one.fixed] for one in along_time] == [
        [0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2],
    ]  # fmt: skip
    groups = stack.stacks_along(along_time, 0)
    assert [[one.fixed for one in group] for group in groups] == [
        [((0, 0), (1, z)), ((0, 1), (1, z))] for z in range(3)
    ]


def test_all_planes_of_other_views_and_of_pyramids():
    turned = SliceKey((3, 0), ((1, 0), (2, 0)), level=1)
    found = stack.all_planes((9, 1, 4, 9, 3), turned)  # colours may follow
    assert [one.fixed for one in found] == [((1, 0), (2, y)) for y in range(4)]
    assert all(one.displayed == (3, 0) and one.level == 1 for one in found)
    single = SliceKey((0, 1))
    assert stack.all_planes((9, 9), single) == [single]
    assert stack.linking_axis((9, 9), single) is None


def test_objects_are_linked_along_the_last_axis_of_several_planes():
    key = SliceKey((2, 3), ((0, 0), (1, 0)))
    assert stack.linking_axis((5, 7, 9, 9), key) == 1
    assert stack.linking_axis((5, 1, 9, 9), key) == 0
    assert stack.linking_axis((1, 1, 9, 9), key) == 1


@pytest.mark.parametrize(
    ("shape", "axis", "text"),
    [
        ((9, 9, 9), None, "has no planes like"),
        ((2, 3, 9, 9), 2, r"one of the axes \[0, 1\], but not along 2"),
        ((2, 3, 9, 9), 7, "but not along 7"),
    ],
)
def test_planes_that_an_array_does_not_have(shape, axis, text):
    with pytest.raises(ValueError, match=text):
        stack.all_planes(shape, SliceKey((2, 3), ((0, 0), (1, 0))), axis)


@pytest.mark.parametrize("seeds", ["auto", "grid"])
def test_nothing_is_found_in_a_blank_plane(pocket, seeds):
    volume = np.zeros((3, 64, 64), np.uint16)
    volume[0] = 1000
    volume[1] = 1000 + np.arange(64) % 2  # of a range of 4096 nothing that can be seen
    volume[2, 20:40, 20:40] = 4000
    params = AmgParams(**{**pocket.model.amg_defaults, "seeds": seeds, "points_per_side": 4})
    labels = stack.run(
        stack.everything(pocket, volume, params, contrast_limits=(0, 4095), link=False)
    )
    assert labels.any((1, 2)).tolist() == [False, False, True]


def test_specks_are_left_out_of_the_labels():
    """Of masks that are large enough, specks are left where others lie upon them."""
    large, bar, spot = (np.zeros((40, 40), bool) for _ in range(3))
    large[5:25, 5:25] = True
    bar[5:25, 7:24] = True  # leaves a strip of 40 pixels on the left and one of 20 on the right
    spot[30, 30:33] = True
    crop = (0, 0, 40, 40)
    items = tuple(
        Candidate(Mask.of(mask), iou, 1.0, (0.0, 0.0), crop)
        for mask, iou in ((large, 0.9), (bar, 0.8), (spot, 0.95))
    )
    candidates = Candidates((40, 40), items, 0.0, told_apart=True)
    params = AmgParams(pred_iou_thresh=0.5, box_nms_thresh=0.99)
    plane = Plane(np.zeros((40, 40)))
    assert (
        np.bincount(PlaneResult.selected(plane, candidates, params).labels.ravel())[1:].min() == 3
    )
    for area, kept in ((30, [40, 340]), (41, [340]), (341, [400]), (401, [])):
        labels = PlaneResult.selected(
            plane, candidates, replace(params, min_mask_region_area=area)
        ).labels
        sizes = np.bincount(labels.ravel())[1:]
        assert sorted(sizes[sizes > 0].tolist()) == kept


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
    assert progress[0].text == "plane 2 (0 to 3), encoding"
    assert progress[-1].text == "plane 0 (0 to 3), point 256 of 256"
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


def test_a_plane_says_where_it_lies_as_the_slider_counts():
    assert stack.plane_text(Plane(VOLUME[0])) == "the image"
    assert stack.plane_text(*keyed(VOLUME, [2])) == "plane 2 (0 to 3)"
    deep = np.zeros((5, 4, 100, 120))
    key = SliceKey((2, 3), ((0, 1), (1, 2)))
    assert stack.plane_text(Plane(deep, key)) == "plane 1 (0 to 4), 2 (0 to 3)"
    level = SliceKey((1, 2), ((0, 1),), level=1)
    assert stack.plane_text(Plane([VOLUME, VOLUME[::2]], level)) == "plane 1 (0 to 1)"


def test_other_thresholds_select_anew(scene_predictor):
    plane = keyed(VOLUME, [0])[0]
    ((found,), _, _) = found_in(stack.everything_in(Session(scene_predictor), [plane], PARAMS))
    again = PlaneResult.selected(plane, found.candidates, PARAMS, 4)
    np.testing.assert_array_equal(again.labels, np.where(found.labels > 0, found.labels + 4, 0))
    assert again.values.tolist() == [5, 6]
    strict = AmgParams(pred_iou_thresh=0.99)
    assert PlaneResult.selected(plane, found.candidates, strict).values.tolist() == []
