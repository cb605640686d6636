"""The objects of a canvas while a history makes edits and takes them back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.objects import Canvas, Edit, ObjectStore, Outline, Patch, edits
from napari_sam.objects.history import History
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


@pytest.fixture
def history():
    return History()


def keep(history, store, *numbers):
    edit = edits.keep(store, [square(k) for k in numbers])
    history.make(store, edit)
    return edit


def paint(history, store, value, where=np.s_[6, 20:]):
    old = store.canvas.data[where].copy()
    store.canvas.data[where] = value
    places = np.nonzero(np.ones_like(old))[0]
    atom = ((np.full(len(places), where[0]), places + where[1].start), old, value)
    history.note(store, edits.stroke(store.canvas, [atom]))


def test_undo_and_redo_have_no_end(history, store):
    states = [store.canvas.data.copy()]
    for k in range(6):
        keep(history, store, k)
        states.append(store.canvas.data.copy())
    for k in reversed(range(6)):
        assert history.newest.text == f"object {k + 1}"
        history.undo()
        assert np.array_equal(store.canvas.data, states[k])
        assert list(store.objects) == list(range(1, k + 1))
    assert history.newest is None
    with pytest.raises(ValueError, match="there is nothing to undo"):
        history.undo()
    for k in range(6):
        assert history.next_undone.text == f"object {k + 1}"
        history.redo()
        assert np.array_equal(store.canvas.data, states[k + 1])
    assert history.next_undone is None
    with pytest.raises(ValueError, match="there is nothing to redo"):
        history.redo()


def test_a_new_edit_drops_what_could_be_made_again(history, store):
    keep(history, store, 0)
    keep(history, store, 1)
    history.undo()
    keep(history, store, 2)
    assert history.next_undone is None
    history.undo()
    paint(history, store, 7)
    assert history.next_undone is None
    history.undo()
    history.join(store, edits.keep(store, [square(3)]))
    assert history.next_undone is None


def test_objects_are_read_only(history, store):
    keep(history, store, 0)
    with pytest.raises(TypeError):
        store.objects[1] = None


def test_labels_are_free_again_after_undo(history, store):
    keep(history, store, 0)
    keep(history, store, 1, 2)
    assert store.next_label == 4
    history.undo()
    assert store.next_label == 2
    assert list(keep(history, store, 3).objects) == [2]
    history.undo()
    history.undo()
    assert store.next_label == 1


def test_the_label_of_an_object_in_the_middle_is_not_given_again(history, store):
    keep(history, store, 0)
    keep(history, store, 1)
    history.make(store, edits.delete(store, 1))
    assert store.next_label == 3
    history.make(store, edits.delete(store, 2))
    assert store.next_label == 3
    assert list(keep(history, store, 4).objects) == [3]


def test_painted_labels_raise_the_next_one(history, store):
    keep(history, store, 0)
    paint(history, store, 9)
    assert store.next_label == 10
    paint(history, store, 4, np.s_[7, 10:])
    assert store.next_label == 10
    assert list(keep(history, store, 1).objects) == [10]
    for _ in range(3):
        history.undo()
    assert store.next_label == 2
    assert not store.canvas.data[6:].any()
    history.redo()
    assert store.next_label == 10


def test_foreign_changes_survive_undo_and_redo(history, store):
    keep(history, store, 0)
    keep(history, store, 1)
    store.canvas.data[2, 0:6] = 50  # somebody who tells nobody
    foreign = store.canvas.data == 50
    history.undo()
    history.undo()
    assert np.array_equal(store.canvas.data, np.where(foreign, 50, 0))
    history.redo()
    assert (store.canvas.data[foreign] == 50).all()
    assert (store.canvas.data == 1).sum() == 6
    assert (store.canvas.data == 2).sum() == 0


def test_joined_edits_are_one_step(history, store):
    keep(history, store, 0)
    history.make(store, edits.keep(store, [square(1)]))
    history.join(store, edits.keep(store, [square(2)]))
    history.join(store, edits.delete(store, 2))
    assert list(store.objects) == [1, 3]
    assert history.newest.text == "the deletion of object 2"
    ((target, back),) = history.undo()
    assert target is store
    assert list(back.objects) == [3]
    assert list(store.objects) == [1]
    assert np.unique(store.canvas.data).tolist() == [0, 1]
    assert store.next_label == 2
    history.redo()
    assert np.unique(store.canvas.data).tolist() == [0, 1, 3]
    assert store.next_label == 4
    history.undo()
    history.undo()
    assert history.newest is None


def test_joining_needs_a_step(history, store):
    with pytest.raises(ValueError, match="no step to join"):
        history.join(store, edits.keep(store, [square(0)]))
    assert not store.canvas.data.any()


def test_each_edit_is_a_step_even_if_nothing_differs(history, store):
    keep(history, store, 0)
    history.make(store, Edit("everything"))
    history.join(store, edits.keep(store, [square(1)]))
    history.undo()
    assert list(store.objects) == [1]


def test_two_edits_made_from_the_same_state(history, store):
    one = edits.keep(store, [square(0)])
    other = edits.keep(store, [square(1)])
    history.make(store, one)
    with pytest.raises(ValueError, match="object 1 is there already"):
        history.make(store, other)
    gone = edits.delete(store, 1)
    history.make(store, gone)
    with pytest.raises(ValueError, match="object 1 is no longer there"):
        history.make(store, gone)
    assert np.count_nonzero(store.canvas.data) == 0


def test_an_edit_that_cannot_be_written_changes_nothing(history):
    store = ObjectStore(Canvas(np.zeros((8, 24), np.uint8)))
    keep(history, store, 0)
    box = np.zeros((2, 2), int)
    bad = Edit(
        "bad", (Patch.of(np.s_[6:8, 0:2], box, box + 5), Patch.of(np.s_[6:8, 4:6], box, box + 256))
    )
    for act in (history.make, history.join):
        with pytest.raises(ValueError, match="at most 255"):
            act(store, bad)
    assert not store.canvas.data[6:].any()
    assert store.next_label == 2
    history.undo()
    assert history.newest is None


def test_pieces(history):
    store = ObjectStore(Canvas(np.zeros((5, 8, 24), np.int32)))
    edit = edits.keep(store, [planes(5)])
    steps = history.make_in_pieces(store, edit)
    assert [step.done for step in steps] == [0, 1, 2, 3, 4, 5]  # recorded, then each plane
    assert list(store.objects) == [1]
    steps = history.undo_in_pieces()
    assert next(steps).text == "object 1"
    with pytest.raises(ValueError, match="wait"):
        history.undo()
    next(steps)
    assert np.count_nonzero(store.canvas.data) == 3 * 9
    steps.close()
    assert np.count_nonzero(store.canvas.data) == 5 * 9
    assert list(store.objects) == [1]
    assert history.newest is not None
    assert history.next_undone is None
    assert len(list(history.undo_in_pieces())) == 5
    assert not store.canvas.data.any()
    assert not store.objects
    assert len(list(history.redo_in_pieces())) == 5
    assert np.count_nonzero(store.canvas.data) == 5 * 9


def test_a_stroke_while_pieces_are_written(history):
    store = ObjectStore(Canvas(np.zeros((5, 8, 24), np.int32)))
    history.make(store, edits.keep(store, [planes(5)]))
    steps = history.undo_in_pieces()
    next(steps)
    store.canvas.data[0, 7, 7:9] = 9
    atom = (([0, 0], [7, 7], [7, 8]), np.zeros(2, int), 9)
    history.note(store, edits.stroke(store.canvas, [atom]))
    list(steps)
    assert not store.objects
    assert store.next_label == 10
    assert history.newest.text == "the last stroke"
    history.undo()
    assert not store.canvas.data.any()
    assert history.newest is None
    assert history.next_undone.text == "the last stroke"
    history.redo()
    history.redo()
    assert np.count_nonzero(store.canvas.data) == 5 * 9 + 2


def test_a_history_costs_boxes(history):
    size = (1024, 1024)
    store = ObjectStore(Canvas(np.zeros(size, np.int32)))
    y, x = np.mgrid[-20:20, -20:20]
    disc = y * y + x * x < 400
    for k in range(200):
        row, column = divmod(k, 20)
        mask = Mask.of(disc, (50 * column, 50 * row), size)
        history.make(store, edits.keep(store, [{PLANE: Outline(mask)}]))
    total = 0
    while history.newest is not None:
        total += sum(edit.nbytes for _, edit in history.undo())
    assert total < 200 * 300  # an object's box has 6400 bytes
    assert not store.canvas.data.any()
