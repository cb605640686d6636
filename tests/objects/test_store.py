from __future__ import annotations

import numpy as np
import pytest

from napari_sam.objects import Canvas, Edit, ObjectStore, Outline, Patch, edits
from napari_sam.types import Mask, SliceKey

PLANE = SliceKey((0, 1))


def square(k, side=3):
    """Return the outline of the k-th of six squares in a plane (8, 24)."""
    return {PLANE: Outline(Mask.of(np.ones((side, side), bool), (4 * k, 1), (8, 24)))}


def planes(count):
    """Return outlines of one object in the planes of (5, 8, 24)."""
    mask = Mask.of(np.ones((3, 3), bool), (2, 2), (8, 24))
    return {SliceKey((1, 2), ((0, z),)): Outline(mask) for z in range(count)}


@pytest.fixture
def store():
    return ObjectStore(Canvas(np.zeros((8, 24), np.int32)))


def keep(store, *numbers):
    edit = edits.keep(store, [square(k) for k in numbers])
    store.apply(edit)
    return edit


def paint(store, value, where=np.s_[6, 20:]):
    old = store.canvas.data[where].copy()
    store.canvas.data[where] = value
    places = np.nonzero(np.ones_like(old))[0]
    atom = ((np.full(len(places), where[0]), places + where[1].start), old, value)
    store.record(edits.stroke(store.canvas, [atom]))


def test_undo_and_redo_have_no_end(store):
    states = [store.canvas.data.copy()]
    made = []
    for k in range(6):
        made.append(keep(store, k))
        states.append(store.canvas.data.copy())
    for k in reversed(range(6)):
        assert store.can_undo
        assert store.newest is made[k]
        assert store.undo() is made[k]
        assert np.array_equal(store.canvas.data, states[k])
        assert list(store.objects) == list(range(1, k + 1))
    assert not store.can_undo
    assert store.newest is None
    with pytest.raises(ValueError, match="there is nothing to undo"):
        store.undo()
    for k in range(6):
        assert store.can_redo
        assert store.redo() is made[k]
        assert np.array_equal(store.canvas.data, states[k + 1])
    assert not store.can_redo
    with pytest.raises(ValueError, match="there is nothing to redo"):
        store.redo()


def test_a_new_edit_drops_what_could_be_made_again(store):
    keep(store, 0)
    keep(store, 1)
    store.undo()
    keep(store, 2)
    assert not store.can_redo
    store.undo()
    paint(store, 7)
    assert not store.can_redo
    store.undo()
    store.amend(edits.keep(store, [square(3)]))
    assert not store.can_redo


def test_objects_are_read_only(store):
    keep(store, 0)
    with pytest.raises(TypeError):
        store.objects[1] = None


def test_labels_are_free_again_after_undo(store):
    keep(store, 0)
    keep(store, 1, 2)
    assert store.next_label == 4
    store.undo()
    assert store.next_label == 2
    assert list(keep(store, 3).objects) == [2]
    store.undo()
    store.undo()
    assert store.next_label == 1


def test_the_label_of_an_object_in_the_middle_is_not_given_again(store):
    keep(store, 0)
    keep(store, 1)
    store.apply(edits.delete(store, 1))
    assert store.next_label == 3
    store.apply(edits.delete(store, 2))
    assert store.next_label == 3
    assert list(keep(store, 4).objects) == [3]


def test_painted_labels_raise_the_next_one(store):
    keep(store, 0)
    paint(store, 9)
    assert store.next_label == 10
    paint(store, 4, np.s_[7, 10:])
    assert store.next_label == 10
    assert list(keep(store, 1).objects) == [10]
    for _ in range(3):
        store.undo()
    assert store.next_label == 2
    assert not store.canvas.data[6:].any()
    store.redo()
    assert store.next_label == 10


def test_foreign_changes_survive_undo_and_redo(store):
    keep(store, 0)
    keep(store, 1)
    store.canvas.data[2, 0:6] = 50  # somebody who tells nobody
    foreign = store.canvas.data == 50
    store.undo()
    store.undo()
    assert np.array_equal(store.canvas.data, np.where(foreign, 50, 0))
    store.redo()
    assert (store.canvas.data[foreign] == 50).all()
    assert (store.canvas.data == 1).sum() == 6
    assert (store.canvas.data == 2).sum() == 0


def test_amend_makes_one_step(store):
    keep(store, 0)
    first = edits.keep(store, [square(1)])
    store.apply(first)
    store.amend(edits.keep(store, [square(2)]))
    store.amend(edits.delete(store, 2))
    assert list(store.objects) == [1, 3]
    both = store.undo()
    assert both.text == "the deletion of object 2"
    assert list(both.objects) == [3]
    assert list(store.objects) == [1]
    assert np.unique(store.canvas.data).tolist() == [0, 1]
    assert store.next_label == 2
    store.redo()
    assert np.unique(store.canvas.data).tolist() == [0, 1, 3]
    assert store.next_label == 4
    store.undo()
    store.undo()
    assert not store.can_undo


def test_amend_needs_a_step(store):
    with pytest.raises(ValueError, match="nothing to amend"):
        store.amend(edits.keep(store, [square(0)]))
    assert not store.canvas.data.any()


def test_each_apply_is_a_step_even_if_nothing_differs(store):
    keep(store, 0)
    store.apply(Edit("everything"))
    store.amend(edits.keep(store, [square(1)]))
    store.undo()
    assert list(store.objects) == [1]


def test_two_edits_made_from_the_same_state(store):
    one = edits.keep(store, [square(0)])
    other = edits.keep(store, [square(1)])
    store.apply(one)
    with pytest.raises(ValueError, match="object 1 is there already"):
        store.apply(other)
    gone = edits.delete(store, 1)
    store.apply(gone)
    with pytest.raises(ValueError, match="object 1 is no longer there"):
        store.apply(gone)
    assert np.count_nonzero(store.canvas.data) == 0


def test_an_edit_that_cannot_be_written_changes_nothing():
    store = ObjectStore(Canvas(np.zeros((8, 24), np.uint8)))
    keep(store, 0)
    box = np.zeros((2, 2), int)
    bad = Edit(
        "bad", (Patch.of(np.s_[6:8, 0:2], box, box + 5), Patch.of(np.s_[6:8, 4:6], box, box + 256))
    )
    with pytest.raises(ValueError, match="at most 255"):
        store.apply(bad)
    with pytest.raises(ValueError, match="at most 255"):
        store.amend(bad)
    assert not store.canvas.data[6:].any()
    assert store.next_label == 2
    store.undo()
    assert not store.can_undo


def test_pieces():
    store = ObjectStore(Canvas(np.zeros((5, 8, 24), np.int32)))
    edit = edits.keep(store, [planes(5)])
    steps = store.apply_in_pieces(edit)
    assert [step.done for step in steps] == [1, 2, 3, 4, 5]
    assert list(store.objects) == [1]
    steps = store.undo_in_pieces()
    assert next(steps).text == "object 1"
    with pytest.raises(ValueError, match="wait"):
        store.undo()
    next(steps)
    assert np.count_nonzero(store.canvas.data) == 3 * 9
    steps.close()
    assert np.count_nonzero(store.canvas.data) == 5 * 9
    assert list(store.objects) == [1]
    assert store.can_undo
    assert not store.can_redo
    assert len(list(store.undo_in_pieces())) == 5
    assert not store.canvas.data.any()
    assert not store.objects
    assert len(list(store.redo_in_pieces())) == 5
    assert np.count_nonzero(store.canvas.data) == 5 * 9


def test_a_stroke_while_pieces_are_written():
    store = ObjectStore(Canvas(np.zeros((5, 8, 24), np.int32)))
    edit = edits.keep(store, [planes(5)])
    store.apply(edit)
    steps = store.undo_in_pieces()
    next(steps)
    store.canvas.data[0, 7, 7:9] = 9
    store.record(edits.stroke(store.canvas, [(([0, 0], [7, 7], [7, 8]), np.zeros(2, int), 9)]))
    list(steps)
    assert not store.objects
    assert store.next_label == 10
    assert store.undo().text == "the last stroke"
    assert not store.canvas.data.any()
    assert not store.can_undo
    assert store.redo().text == "the last stroke"
    assert store.redo() is edit
    assert np.count_nonzero(store.canvas.data) == 5 * 9 + 2


def test_a_history_costs_boxes():
    size = (1024, 1024)
    store = ObjectStore(Canvas(np.zeros(size, np.int32)))
    y, x = np.mgrid[-20:20, -20:20]
    disc = y * y + x * x < 400
    for k in range(200):
        row, column = divmod(k, 20)
        mask = Mask.of(disc, (50 * column, 50 * row), size)
        store.apply(edits.keep(store, [{PLANE: Outline(mask)}]))
    total = 0
    while store.can_undo:
        total += store.undo().nbytes
    assert total < 200 * 300  # an object's box has 6400 bytes
    assert not store.canvas.data.any()
