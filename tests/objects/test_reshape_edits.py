"""Kept objects given other outlines, as edits of a store."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam.masks import iou
from napari_sam.objects import Canvas, ObjectStore, Outline, edits, properties
from napari_sam.objects.asking import asking, plane_of, snapping
from napari_sam.objects.history import History
from napari_sam.objects.overlap import all_pixels, free_pixels
from napari_sam.objects.reshape import grow, shrink, within
from napari_sam.objects.reshape_edits import (
    each_plane,
    merge_in_pieces,
    planned,
    planned_merge,
    reshape_in_pieces,
)
from napari_sam.objects.splitting import split_by
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane, Prompts, SliceKey

SIZE = (40, 60)
GROWN = each_plane(lambda mask: within(mask, lambda pixels: grow(pixels, 1), 2))
SHRUNK = each_plane(lambda mask: within(mask, lambda pixels: shrink(pixels, 1)))


def at(z):
    return SliceKey((1, 2), ((0, z),))


def rectangle(rows, columns):
    pixels = np.zeros(SIZE, bool)
    pixels[slice(*rows), slice(*columns)] = True
    return pixels


def store_with(*objects, planes=4, dtype=np.int32):
    """Return a store with objects, given by their pixels in each plane, and its history."""
    store = ObjectStore(Canvas(np.zeros((planes, *SIZE), dtype)))
    history = History()
    for one in objects:
        outlines = {at(z): Outline(Mask.of(pixels), score=0.9) for z, pixels in one.items()}
        history.make(store, edits.keep(store, [outlines]))
    return store, history


def reshaped(store, labels, keys, reshape, rule=free_pixels, search=()):
    known = {label: store.objects.get(label) for label in labels}
    plan = drive(planned(store.canvas, known, keys, reshape, search=search))
    return drive(reshape_in_pieces(store, plan, rule, "growing"))


def test_an_edit_changes_the_planes_asked_for_and_can_be_undone():
    store, history = store_with({z: rectangle((10, 20), (10, 20)) for z in (0, 1, 2)})
    before = store.objects[1]
    edit = reshaped(store, [1], [at(0), at(1)], GROWN)
    assert edit.text == "growing"
    history.make(store, edit)
    assert [(plane == 1).sum() for plane in store.canvas.data] == [140, 140, 100, 0]
    assert store.objects[1].outlines[at(0)].mask.area == 140
    assert store.objects[1].outlines[at(2)] is before.outlines[at(2)]
    history.undo()
    assert [(plane == 1).sum() for plane in store.canvas.data] == [100, 100, 100, 0]
    assert store.objects[1] is before


def test_painted_pixels_count_and_other_objects_keep_theirs():
    store, history = store_with(
        {0: rectangle((10, 20), (10, 20))}, {0: rectangle((10, 20), (23, 30))}
    )
    store.canvas.data[0, 10:20, 20:22] = 1  # painted
    history.make(store, reshaped(store, [1], [at(0)], GROWN))
    assert np.array_equal(store.canvas.data[0] == 2, rectangle((10, 20), (23, 30)))
    assert (store.canvas.data[0, 10:20, 9:23] == 1).all()
    taken = reshaped(store, [1], [at(0)], GROWN, all_pixels)
    history.make(store, taken)
    assert (store.canvas.data[0, 10:20, 23] == 1).all()


def test_finished_objects_lose_nothing_and_do_not_change():
    store, history = store_with(
        {0: rectangle((10, 20), (10, 20))}, {0: rectangle((10, 20), (20, 30))}
    )
    history.make(store, properties.set_status(store, [2], "finished"))
    history.make(store, reshaped(store, [1], [at(0)], GROWN, all_pixels))
    assert np.array_equal(store.canvas.data[0] == 2, rectangle((10, 20), (20, 30)))
    with pytest.raises(ValueError, match="object 2 is finished"):
        reshaped(store, [2], [at(0)], SHRUNK)
    known = {label: store.objects[label] for label in (1, 2)}
    merge = drive(planned_merge(store.canvas, known, [at(0)], 2))
    with pytest.raises(ValueError, match="object 2 is finished; unlock it before you merge it"):
        drive(merge_in_pieces(store, merge))


def test_changed_objects_stay_those_of_their_annotators():
    store, history = store_with()
    for column, name in ((5, "Ada"), (30, "")):
        outline = Outline(Mask.of(rectangle((10, 20), (column, column + 10))))
        history.make(store, edits.keep(store, [{at(0): outline}], annotator=name, time=column))
    history.make(store, reshaped(store, [1, 2], [at(0)], GROWN))
    assert [(one.annotator, one.time) for one in store.objects.values()] == [("Ada", 5), ("", 30)]


def test_a_plan_of_an_object_that_changed_meanwhile_is_refused():
    store, history = store_with({0: rectangle((10, 20), (10, 20))})
    plan = drive(planned(store.canvas, {1: store.objects[1]}, [at(0)], GROWN))
    history.make(store, properties.set_category(store, [1], "cell"))
    with pytest.raises(ValueError, match="object 1 was changed meanwhile"):
        drive(reshape_in_pieces(store, plan, free_pixels, ""))


def test_nothing_to_change_is_known_from_the_plan():
    store, _ = store_with({0: rectangle((10, 20), (10, 20))})
    plan = drive(planned(store.canvas, {1: store.objects[1]}, [at(0)], each_plane(lambda m: m)))
    assert not plan.changed
    assert not plan.new


def test_an_object_that_is_not_in_the_plane_is_refused():
    store, _ = store_with({0: rectangle((10, 20), (10, 20))})
    with pytest.raises(ValueError, match="object 1 is not in this plane"):
        reshaped(store, [1], [at(3)], GROWN)


def test_an_unknown_label_becomes_an_object_in_all_planes_that_are_searched():
    store, history = store_with()
    store.canvas.data[0:3, 10:20, 10:20] = 5
    edit = reshaped(store, [5], [at(1)], SHRUNK, search=[at(z) for z in range(4)])
    history.make(store, edit)
    assert {key: one.mask.area for key, one in store.objects[5].outlines.items()} == {
        at(0): 100,
        at(1): 64,
        at(2): 100,
    }
    assert store.objects[5].outlines[at(0)].origin == "painted"


def test_the_stability_of_the_answer_does_not_outlive_the_outline():
    store, history = store_with({0: rectangle((10, 20), (10, 20))})
    history.make(store, properties.set_attributes(store, [1], {"stability": 0.9, "note": "x"}))
    history.make(store, reshaped(store, [1], [at(0)], GROWN))
    assert store.objects[1].attributes == {"note": "x"}


def test_a_split_gives_the_second_part_the_next_label():
    both = rectangle((10, 20), (10, 25)) | rectangle((14, 16), (25, 28))
    both |= rectangle((10, 20), (28, 45))
    store, history = store_with({0: both, 1: both, 2: rectangle((10, 20), (12, 22))})
    history.make(store, properties.set_category(store, [1], "cell"))
    keys = [at(z) for z in (0, 1, 2)]
    edit = reshaped(store, [1], keys, split_by(at(0), (15.0, 15.0), (35.0, 15.0), None))
    history.make(store, edit)
    for z in (0, 1):
        plane = store.canvas.data[z]
        assert np.array_equal(plane > 0, both)
        assert (plane[10:20, 10:24] == 1).all()
        assert (plane[10:20, 29:45] == 2).all()
    assert (store.canvas.data[2][rectangle((10, 20), (12, 22))] == 1).all()
    assert set(store.objects[2].outlines) == {at(0), at(1)}
    assert store.objects[2].category == "cell"
    prompts = store.objects[2].outlines[at(0)].prompts
    assert prompts.point_coords.tolist() == [[35, 15], [15, 15]]
    assert prompts.point_labels.tolist() == [1, 0]
    history.undo()
    assert set(np.unique(store.canvas.data)) == {0, 1}


def test_merged_objects_have_one_label_and_bridge_their_gap():
    left, right = rectangle((10, 20), (10, 20)), rectangle((10, 20), (22, 30))
    store, history = store_with({0: left, 1: left}, {0: right, 2: right})
    history.make(store, properties.set_category(store, [2], "cell"))
    known = {label: store.objects[label] for label in (1, 2)}
    merge = drive(planned_merge(store.canvas, known, [at(z) for z in range(3)], 2))
    edit = drive(merge_in_pieces(store, merge))
    assert edit.text == "the merging of objects 1, 2"
    history.make(store, edit)
    assert (store.canvas.data[0, 11:19, 10:30] == 1).all()
    assert np.array_equal(store.canvas.data[1] == 1, left)
    assert np.array_equal(store.canvas.data[2] == 1, right)
    assert list(store.objects) == [1]
    assert store.objects[1].category == "cell"
    assert set(store.objects[1].outlines) == {at(0), at(1), at(2)}
    history.undo()
    assert np.array_equal(store.canvas.data[2] == 2, right)
    assert list(store.objects) == [1, 2]


def test_a_gap_in_which_another_object_lies_stays_its():
    left, right = rectangle((10, 20), (10, 20)), rectangle((10, 20), (22, 30))
    between = rectangle((10, 20), (20, 22))
    store, history = store_with({0: left}, {0: right}, {0: between})
    known = {label: store.objects[label] for label in (1, 2)}
    merge = drive(planned_merge(store.canvas, known, [at(0)], 2))
    history.make(store, drive(merge_in_pieces(store, merge)))
    assert np.array_equal(store.canvas.data[0] == 3, between)


@pytest.fixture
def scene():
    truth = rectangle((10, 30), (8, 50))
    image = np.where(truth, 200, 20).astype(np.uint8)
    return np.stack([image] * 4), truth


def test_rough_outlines_snap_to_what_the_model_sees(scene):
    image, truth = scene
    rough = rectangle((8, 28), (10, 52))
    store, history = store_with({0: rough, 1: rough, 2: rectangle((33, 38), (2, 8))})
    session = Session(SamPredictor(SceneModel()))
    reshape = snapping(session, Plane(image, at(0)))
    history.make(store, reshaped(store, [1], [at(0), at(1)], reshape))
    assert iou(store.canvas.data[0] == 1, truth) > 0.95
    assert store.objects[1].outlines[at(1)].model == "stub"
    plan = drive(planned(store.canvas, {1: store.objects[1]}, [at(2)], reshape))
    assert not plan.changed  # the model sees nothing there


def test_the_model_is_asked_for_both_parts_at_once(scene):
    image, truth = scene
    session = Session(SamPredictor(SceneModel()))
    ask = asking(session, Plane(image, at(0)))
    one, other = ask(at(0), Mask.of(truth), (12.0, 20.0), (45.0, 20.0))
    assert session.predictor.model.decoded == 2
    assert iou(one, truth) > 0.95
    assert iou(other, truth) > 0.95


def test_a_plane_shown_turned_is_asked_upright():
    turned = Plane(np.zeros((4, *SIZE)), SliceKey((2, 1), ((0, 1),)), spacing=(2.0, 1.0))
    other = plane_of(turned, at(3))
    assert other.key == at(3)
    assert other.spacing == (1.0, 2.0)
    assert plane_of(other, at(0)).spacing == (1.0, 2.0)


def test_prompts_of_one_object_stay_when_it_only_grows():
    store, history = store_with({0: rectangle((10, 20), (10, 20))})
    prompts = Prompts([[15, 15]])
    outline = Outline(Mask.of(rectangle((25, 35), (10, 20))), prompts)
    history.make(store, edits.keep(store, [{at(0): outline}]))
    history.make(store, reshaped(store, [2], [at(0)], GROWN))
    assert store.objects[2].outlines[at(0)].prompts is prompts
