"""Classes, status, attributes, complete regions: edits that change no pixel."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_sam.objects import Canvas, ObjectStore, Outline, edits, properties
from napari_sam.objects.classes import (
    ObjectClass,
    add_class,
    class_image,
    classes_of,
    define_classes,
    remove_class,
    rename_class,
)
from napari_sam.objects.complete import (
    complete_boxes,
    complete_planes,
    is_complete,
    mark_complete,
    mark_incomplete,
)
from napari_sam.objects.documents import edit_from_json, edit_to_json
from napari_sam.objects.history import History
from napari_sam.objects.search import outlines_in, search
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey

SHAPE = (4, 20, 30)
PLANES = [SliceKey((1, 2), ((0, z),)) for z in range(4)]


def outline(x0, y0, x1, y1):
    return Outline(Mask.of(np.ones((y1 - y0, x1 - x0), bool), (x0, y0), SHAPE[1:]))


@pytest.fixture
def store():
    """Three objects in plane 1, labels 1 to 3."""
    made = ObjectStore(Canvas(np.zeros(SHAPE, np.int32)))
    boxes = [outline(10 * k, 2, 10 * k + 8, 12) for k in range(3)]
    History().make(made, edits.keep(made, [{PLANES[1]: one} for one in boxes]))
    return made


def test_class_status_and_attributes_are_edits_that_write_no_pixel(store):
    before, pixels = dict(store.objects), store.canvas.data.copy()
    made = [
        properties.set_category(store, [1, 3], "nucleus"),
        properties.set_status(store, [2], "finished"),
        properties.set_attributes(store, [3], {"stage": "G1", "gone": None}),
    ]
    assert made[0].text == "class nucleus of 2 objects"
    assert made[1].text == "status finished of object 2"
    for edit in made:
        assert not edit.patches
    History().make(store, made[0])
    History().make(store, made[1])
    History().make(store, properties.set_attributes(store, [3], {"stage": "G1", "gone": None}))
    assert [one.category for one in store.objects.values()] == ["nucleus", "", "nucleus"]
    assert [one.locked for one in store.objects.values()] == [False, True, False]
    assert properties.locked_labels(store) == {2}
    assert dict(store.objects[3].attributes) == {"stage": "G1"}
    assert np.array_equal(store.canvas.data, pixels)
    for edit in (made[1], made[0]):
        History().make(store, edit.inverse())
    History().make(store, properties.set_attributes(store, [3], {"stage": None}))
    assert dict(store.objects[3].attributes) == {}
    assert store.objects[1] is before[1]


def test_a_finished_object_is_not_deleted_until_it_is_unlocked(store):
    History().make(store, properties.set_status(store, [2], "finished"))
    with pytest.raises(ValueError, match="object 2 is finished; unlock it"):
        properties.delete_objects(store, [1, 2])
    History().make(store, properties.set_status(store, [2], ""))
    edit = properties.delete_objects(store, [1, 2])
    assert edit.text == "the deletion of 2 objects"
    History().make(store, edit)
    assert sorted(np.unique(store.canvas.data)) == [0, 3]
    assert list(store.objects) == [3]
    History().make(store, edit.inverse())
    assert sorted(np.unique(store.canvas.data)) == [0, 1, 2, 3]


def test_a_label_is_not_given_out_twice_after_a_deletion(store):
    History().make(store, edits.delete(store, 3))
    edit = edits.keep(store, [{PLANES[2]: outline(0, 0, 5, 5)}])
    assert list(edit.objects) == [4]


def test_several_objects_get_classes_of_their_own_in_one_edit(store):
    one, other = list(store.objects)[:2]
    edit = properties.set_categories(store, {one: "nucleus", other: "debris"})
    assert edit.text == "classes of 2 objects"
    assert not edit.patches
    assert {label: after.category for label, (_, after) in edit.objects.items()} == {
        one: "nucleus",
        other: "debris",
    }
    edit = properties.set_categories(store, {other: "debris"})
    assert edit.text == f"class debris of object {other}"
    with pytest.raises(ValueError, match="there is no object 99"):
        properties.set_categories(store, {99: "nucleus"})


def test_classes_are_added_renamed_merged_and_removed(store):
    History().make(store, add_class(store, "nucleus"))
    History().make(store, add_class(store, "debris"))
    one, two = classes_of(store.properties)
    assert (one.name, one.key, two.key) == ("nucleus", "Control-1", "Control-2")
    assert one.colour != two.colour
    History().make(store, properties.set_category(store, [1], "nucleus"))
    History().make(store, properties.set_category(store, [2], "debris"))
    edit = rename_class(store, "nucleus", "cell")
    assert edit_from_json(edit_to_json(edit)).properties == dict(edit.properties)
    History().make(store, edit)
    assert [one.name for one in classes_of(store.properties)] == ["cell", "debris"]
    assert store.objects[1].category == "cell"
    merged = rename_class(store, "debris", "cell")
    History().make(store, merged)
    assert [one.name for one in classes_of(store.properties)] == ["cell"]
    assert store.objects[2].category == "cell"
    History().make(store, merged.inverse())
    assert store.objects[2].category == "debris"
    History().make(store, remove_class(store, "cell"))
    assert store.objects[1].category == ""
    History().make(store, remove_class(store, "debris"))
    assert "classes" not in store.properties


def test_classes_that_cannot_be_are_refused(store):
    with pytest.raises(ValueError, match="a class needs a name"):
        add_class(store, " ")
    with pytest.raises(ValueError, match="two classes have the key"):
        define_classes(
            store, [ObjectClass("a", key="Control-1"), ObjectClass("b", key="Control-1")]
        )
    with pytest.raises(ValueError, match="there is no class x"):
        rename_class(store, "x", "y")
    with pytest.raises(ValueError, match="a class has a name"):
        classes_of({"classes": [3]})
    with pytest.raises(ValueError, match="no object 9"):
        properties.set_category(store, [9], "a")


def test_planes_and_boxes_are_marked_complete(store):
    History().make(store, mark_complete(store, PLANES[2], (5, 5, 15, 15)))
    assert not is_complete(store, PLANES[2])
    assert is_complete(store, PLANES[2], (6, 5, 15, 9))
    assert not is_complete(store, PLANES[2], (4, 5, 15, 9))
    assert not is_complete(store, PLANES[1], (6, 5, 15, 9))
    assert complete_boxes(store, PLANES[2]) == ((5, 5, 15, 15),)
    edit = mark_complete(store, PLANES[2])
    History().make(store, edit)
    assert is_complete(store, PLANES[2], (0, 0, 3, 3))
    assert complete_planes(store) == (PLANES[2],)
    assert complete_boxes(store, PLANES[2]) == ()
    History().make(store, mark_incomplete(store, PLANES[2]))
    assert "complete" not in store.properties


def test_labels_without_an_object_become_one_with_all_their_planes(store):
    store.canvas.data[2, 5:9, 3:7] = 40
    store.canvas.data[3, 6:9, 3:20] = 40
    store.canvas.data[3, 0:2, 0:2] = 41
    here = outlines_in(store.canvas.data, PLANES[2], [40, 41], "everything")
    assert list(here) == [40]
    assert here[40].origin == "everything"
    History().make(store, properties.set_category(store, [40], "a", {40: {PLANES[2]: here[40]}}))
    assert list(store.objects[40].outlines) == [PLANES[2]]
    found = drive(search(store.canvas.data, PLANES, [40]))
    edit = properties.add_planes(store, {**found, 77: found[40]})
    History().make(store, edit)
    assert list(edit.objects) == [40]  # 77 is no object
    assert set(store.objects[40].outlines) == {PLANES[2], PLANES[3]}
    for key, one in store.objects[40].outlines.items():
        assert np.array_equal(np.asarray(one.mask), key.read(store.canvas.data) == 40)
    assert store.objects[40].category == "a"
    assert not properties.add_planes(store, found).changes


def test_outlines_of_a_plane_that_is_shown_turned():
    labels = np.zeros((8, 12), np.uint16)
    labels[1:3, 4:9] = 60000
    found = outlines_in(labels, SliceKey((1, 0)), [60000])
    assert found[60000].mask.box == (1, 4, 2, 8)


@pytest.mark.parametrize("high", [5, 2**31 - 1])
def test_class_image(store, high):
    History().make(store, properties.set_category(store, [1], "b"))
    History().make(store, properties.set_category(store, [3], "a"))
    classes = [ObjectClass("a"), ObjectClass("b")]
    labels = np.array([[0, 1, 2], [3, 1, high]])
    image = class_image(labels, store.objects, classes)
    assert image.dtype == np.uint8
    assert image.tolist() == [[0, 2, 0], [1, 2, 0]]
    assert not class_image(labels, {}, classes).any()


def test_a_thousand_objects_get_a_class_at_once():
    state = ObjectStore(Canvas(np.zeros((1, 64, 64), np.int32)))
    mask = Mask.of(np.ones((1, 1), bool), (3, 3), (64, 64))
    found = {k: {PLANES[0]: Outline(mask)} for k in range(1, 1001)}
    History().make(state, properties.set_category(state, list(found), "a", found))
    start = time.perf_counter()
    History().make(state, properties.set_status(state, list(found), "to check"))
    assert time.perf_counter() - start < 0.2
    assert {one.status for one in state.objects.values()} == {"to check"}
