from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr

from napari_sam.objects import Canvas, Edit, ObjectStore, Outline, edits
from napari_sam.objects import patch as patch_module
from napari_sam.objects.history import History
from napari_sam.objects.overlap import all_pixels
from napari_sam.steps import drive
from napari_sam.types import Mask, Prompts, SliceKey

SIZE = (20, 30)
PLANE = SliceKey((0, 1))
SECOND = SliceKey((1, 2), ((0, 1),))
THIRD = SliceKey((1, 2), ((0, 2),))


def rectangle(x0, y0, x1, y1, size=SIZE, prompts=None):
    """Return the outline of a rectangle, its ends exclusive."""
    mask = Mask.of(np.ones((y1 - y0, x1 - x0), bool), (x0, y0), size)
    return Outline(mask, prompts, 1, 0.9, "prompted", "pocket")


def store(shape=SIZE, dtype=np.int32, largest=0):
    return ObjectStore(Canvas(np.zeros(shape, dtype), "my objects"), largest)


def test_keep_writes_one_label_over_several_planes():
    state = store((3, *SIZE), largest=4)
    prompts = Prompts([[5, 6]])
    outlines = {SECOND: rectangle(3, 4, 10, 8, prompts=prompts), THIRD: rectangle(4, 4, 10, 8)}
    edit = edits.keep(state, [outlines])
    assert edit.text == "object 5"
    assert not state.canvas.data.any()  # nothing is written yet
    History().make(state, edit)
    expected = np.zeros((3, *SIZE), int)
    expected[1, 4:8, 3:10] = 5
    expected[2, 4:8, 4:10] = 5
    assert np.array_equal(state.canvas.data, expected)
    kept = state.objects[5]
    assert kept.label == 5
    assert dict(kept.outlines) == outlines
    assert kept.keyframes == (SECOND,)


def test_pixels_of_other_objects_stay_theirs():
    state, history = store(), History()
    history.make(state, edits.keep(state, [{PLANE: rectangle(0, 0, 10, 10)}]))
    edit = edits.keep(
        state,
        [
            {PLANE: rectangle(5, 5, 15, 15)},
            {PLANE: rectangle(2, 2, 8, 8)},  # nothing of it is free
            {PLANE: rectangle(10, 10, 20, 20)},  # overlaps the one before in this edit
        ],
    )
    assert edit.text == "objects 2, 3"
    assert list(edit.objects) == [2, 3]
    history.make(state, edit)
    expected = np.zeros(SIZE, int)
    expected[10:20, 10:20] = 3
    expected[5:15, 5:15] = 2
    expected[:10, :10] = 1
    assert np.array_equal(state.canvas.data, expected)
    history.undo()
    assert np.unique(state.canvas.data).tolist() == [0, 1]
    assert list(state.objects) == [1]


def test_planes_without_a_free_pixel_are_left_out():
    state = store((3, *SIZE))
    History().make(state, edits.keep(state, [{SECOND: rectangle(0, 0, 30, 20)}]))
    empty = Outline(Mask.of(np.zeros(SIZE, bool)))
    first = SliceKey((1, 2), ((0, 0),))
    both = {SECOND: rectangle(3, 3, 5, 5), THIRD: rectangle(3, 3, 5, 5), first: empty}
    edit = edits.keep(state, [both])
    assert list(edit.objects[2][1].outlines) == [THIRD]
    with pytest.raises(ValueError, match="nothing to commit here: other objects cover all of it"):
        edits.keep(state, [{SECOND: rectangle(3, 3, 5, 5)}, {}, {THIRD: empty}])


def test_another_overlap_rule():
    state, history = store(), History()
    history.make(state, edits.keep(state, [{PLANE: rectangle(0, 0, 10, 10)}]))
    history.make(
        state, edits.keep(state, [{PLANE: rectangle(5, 5, 15, 15)}], lambda mask, labels: mask)
    )
    assert (state.canvas.data == 2).sum() == 100
    assert (state.canvas.data == 1).sum() == 75
    history.undo()
    assert (state.canvas.data == 1).sum() == 100


def test_a_changed_object_may_stay_where_others_cover_its_new_outline():
    state = store()
    both = [{PLANE: rectangle(0, 0, 5, 5)}, {PLANE: rectangle(10, 0, 20, 10)}]
    History().make(state, edits.keep(state, both))
    first, changed = state.objects[1], {1: {PLANE: rectangle(12, 2, 15, 5)}}
    with pytest.raises(ValueError, match="nothing of object 1 would be left"):
        edits.commit(state, (), changed)
    changed[2] = {PLANE: rectangle(10, 0, 20, 12)}
    edit = drive(edits.commit_in_pieces(state, (), changed, keep_covered=True))
    assert edit.objects[1][1].outlines == first.outlines
    History().make(state, edit)
    assert [(state.canvas.data == label).sum() for label in (1, 2)] == [25, 120]


def test_keep_notes_the_class_and_the_time_and_spares_finished_objects():
    state = store()
    first = edits.keep(state, [{PLANE: rectangle(0, 0, 10, 10)}], category="cell", time=5.0)
    History().make(state, first)
    assert (state.objects[1].category, state.objects[1].time) == ("cell", 5.0)
    finished = replace(state.objects[1], status="finished")
    History().make(state, Edit("finished", objects={1: (state.objects[1], finished)}))
    History().make(state, edits.keep(state, [{PLANE: rectangle(5, 5, 15, 15)}], all_pixels))
    assert (state.canvas.data == 1).sum() == 100
    assert (state.canvas.data == 2).sum() == 75
    with pytest.raises(ValueError, match="object 1 is finished; unlock it"):
        edits.commit(state, (), {1: {PLANE: rectangle(0, 0, 5, 5)}})


def test_a_change_moves_only_the_pixels_of_one_object():
    state, history = store((3, *SIZE)), History()
    both = {SECOND: rectangle(0, 0, 10, 10), THIRD: rectangle(0, 0, 10, 10)}
    history.make(state, edits.keep(state, [both], category="cell", annotator="ann", time=5.0))
    history.make(state, edits.keep(state, [{SECOND: rectangle(10, 0, 20, 10)}]))
    state.canvas.data[1, 15, 3] = 1  # painted beyond the outline
    before, known = state.canvas.data.copy(), state.objects[1]
    edit = edits.commit(state, (), {1: {SECOND: rectangle(4, 2, 14, 12)}}, time=9.0)
    assert np.array_equal(state.canvas.data, before)  # nothing is written yet
    history.make(state, edit)
    expected = np.zeros(SIZE, int)
    expected[2:12, 4:14] = 1
    expected[0:10, 10:20] = 2
    expected[15, 3] = 1
    assert np.array_equal(state.canvas.data[1], expected)
    assert np.array_equal(state.canvas.data[2], before[2])
    after = state.objects[1]
    assert (after.category, after.annotator, after.time) == ("cell", "ann", 9.0)
    assert after.outlines[THIRD] is known.outlines[THIRD]
    assert after.outlines[SECOND].mask.box == (4, 2, 13, 11)
    history.undo()
    assert np.array_equal(state.canvas.data, before)
    assert state.objects[1] is known


def test_a_change_removes_and_adds_planes_and_may_take_pixels_by_the_rule():
    state = store((3, *SIZE))
    History().make(state, edits.keep(state, [{SECOND: rectangle(0, 0, 10, 10)}]))
    History().make(state, edits.keep(state, [{THIRD: rectangle(0, 0, 10, 10)}]))
    change = {SECOND: None, THIRD: rectangle(5, 5, 15, 15)}
    History().make(state, edits.commit(state, (), {1: change}, all_pixels))
    assert not state.canvas.data[1].any()
    assert (state.canvas.data[2] == 1).sum() == 100
    assert (state.canvas.data[2] == 2).sum() == 75
    assert list(state.objects[1].outlines) == [THIRD]
    with pytest.raises(ValueError, match="nothing of object 1 would be left; delete it instead"):
        edits.commit(state, (), {1: {THIRD: None}})
    with pytest.raises(ValueError, match="there is no object 7"):
        edits.commit(state, (), {7: {}})


def test_changes_in_turned_planes():
    state = ObjectStore(Canvas(np.zeros((*SIZE[::-1], 2), np.uint8)))
    key = SliceKey((1, 0), ((2, 1),))  # displayed transposed
    History().make(state, edits.keep(state, [{key: rectangle(3, 4, 10, 8)}]))
    History().make(state, edits.commit(state, (), {1: {key: rectangle(8, 6, 25, 9)}}))
    expected = np.zeros((*SIZE[::-1], 2), int)
    expected[8:25, 6:9, 1] = 1
    assert np.array_equal(state.canvas.data, expected)


def test_many_objects_have_a_short_text():
    state = store()
    many = [{PLANE: rectangle(2 * k, 0, 2 * k + 1, 4)} for k in range(7)]
    assert edits.keep(state, many).text == "objects 1 to 7"
    assert edits.keep(state, many[:3]).text == "objects 1, 2, 3"


@pytest.mark.parametrize(
    ("shape", "key", "index"),
    [
        (SIZE, SliceKey((0, 1)), np.s_[4:8, 3:10]),
        (SIZE[::-1], SliceKey((1, 0)), np.s_[3:10, 4:8]),
        ((5, *SIZE), SliceKey((1, 2), ((0, 3),)), np.s_[3, 4:8, 3:10]),
        ((5, *SIZE[::-1]), SliceKey((2, 1), ((0, 3),)), np.s_[3, 3:10, 4:8]),
        ((20, 5, 30), SliceKey((0, 2), ((1, 3),)), np.s_[4:8, 3, 3:10]),
        ((30, 20, 5), SliceKey((1, 0), ((2, 3),)), np.s_[3:10, 4:8, 3]),
        ((2, 5, *SIZE), SliceKey((2, 3), ((0, 1), (1, 3))), np.s_[1, 3, 4:8, 3:10]),
        ((2, 30, 5, 20), SliceKey((3, 1), ((0, 1), (2, 3))), np.s_[1, 3:10, 3, 4:8]),
    ],
)
@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_every_orientation(shape, key, index, kind):
    data = np.zeros(shape, np.int32)
    if kind == "zarr":
        chunks = tuple(n if axis in key.displayed else 1 for axis, n in enumerate(shape))
        data = zarr.array(data, chunks=chunks)
    state, history = ObjectStore(Canvas(data)), History()
    mask = np.zeros(SIZE, bool)
    mask[4:8, 3:10] = True
    mask[4, 9] = False  # not symmetric
    history.make(state, edits.keep(state, [{key: Outline(Mask.of(mask))}]))
    assert np.array_equal(key.read(data), mask)
    assert np.count_nonzero(data[:]) == mask.sum()
    assert data[:][index].sum() == mask.sum()
    labels = np.arange(600).reshape(SIZE) % 11
    history.make(state, edits.replace_plane(state, key, labels, "everything"))
    assert np.array_equal(key.read(data), labels)
    assert np.count_nonzero(data[:]) == np.count_nonzero(labels)
    history.make(state, edits.delete(state, 1, key))
    assert np.array_equal(key.read(data), np.where(labels == 1, 0, labels))
    for _ in range(3):
        history.undo()
    assert not np.any(data[:])
    for _ in range(3):
        history.redo()
    assert np.array_equal(key.read(data), np.where(labels == 1, 0, labels))


def test_keep_reads_and_writes_the_box_only():
    seen = []

    class Data:
        shape, dtype = (2000, 2000), np.dtype(np.int32)
        whole = np.zeros((2000, 2000), np.int32)

        def __getitem__(self, index):
            seen.append(self.whole[index].size)
            return self.whole[index]

        def __setitem__(self, index, value):
            seen.append(np.size(value))
            self.whole[index] = value

    state, history = ObjectStore(Canvas(Data())), History()
    history.make(state, edits.keep(state, [{PLANE: rectangle(900, 800, 1000, 850, (2000, 2000))}]))
    history.undo()
    history.redo()
    assert max(seen) == 100 * 50
    assert len(seen) == 7  # keep reads once, and each of the others reads and writes


def test_an_outline_of_another_plane_is_refused():
    state = store()
    with pytest.raises(ValueError, match=r"planes of \(20, 30\), but an outline is of \(30, 20\)"):
        edits.keep(state, [{PLANE: rectangle(0, 0, 5, 5, (30, 20))}])


def test_labels_that_do_not_fit_the_type_are_refused():
    state = store(dtype=np.uint8, largest=254)
    three = [{PLANE: rectangle(0, 5 * k, 4, 5 * k + 4)} for k in range(3)]
    with pytest.raises(ValueError, match="my objects holds uint8 and so at most 255 labels"):
        edits.keep(state, three)
    hidden = {PLANE: rectangle(0, 0, 2, 2)}
    History().make(state, edits.keep(state, [three[0], hidden]))  # the hidden one needs no label
    assert state.next_label == 256
    with pytest.raises(ValueError, match="at most 255"):
        edits.keep(state, three[1:2])
    with pytest.raises(ValueError, match="at most 255"):
        edits.replace_plane(state, PLANE, np.full(SIZE, 256), "everything")
    with pytest.raises(ValueError, match="has no label -1"):
        edits.replace_plane(state, PLANE, np.full(SIZE, -1), "everything")


def test_delete_a_known_object():
    state, history = store((3, *SIZE)), History()
    first = {SECOND: rectangle(3, 4, 10, 8), THIRD: rectangle(4, 4, 10, 8)}
    history.make(state, edits.keep(state, [first, {SECOND: rectangle(8, 2, 14, 9)}]))
    state.canvas.data[1, 5, 5] = 9  # painted over: stays
    before, objects = state.canvas.data.copy(), dict(state.objects)
    edit = edits.delete(state, 1)
    assert edit.text == "the deletion of object 1"
    history.make(state, edit)
    assert np.array_equal(state.canvas.data, np.where(before == 1, 0, before))
    assert list(state.objects) == [2]
    history.undo()
    assert np.array_equal(state.canvas.data, before)
    assert dict(state.objects) == objects


def test_delete_takes_what_was_painted_beyond_the_outline_of_the_plane_shown():
    state, history = store((3, *SIZE)), History()
    history.make(state, edits.keep(state, [{SECOND: rectangle(3, 4, 10, 8)}]))
    state.canvas.data[1, 15, 20] = 1
    state.canvas.data[2, 15, 20] = 1
    history.make(state, edits.delete(state, 1, SECOND))
    assert np.argwhere(state.canvas.data).tolist() == [[2, 15, 20]]
    history.undo()
    assert (state.canvas.data == 1).sum() == 4 * 7 + 2


def test_delete_what_is_not_known():
    state, history = store((3, *SIZE)), History()
    state.canvas.data[1, 2:5, 3:6] = 7
    state.canvas.data[2, 2:5, 3:6] = 7
    with pytest.raises(ValueError, match="there is no object 7$"):
        edits.delete(state, 7)
    with pytest.raises(ValueError, match="no object 8 in this plane"):
        edits.delete(state, 8, SECOND)
    history.make(state, edits.delete(state, 7, SECOND))
    assert not state.canvas.data[1].any()
    assert (state.canvas.data[2] == 7).sum() == 9
    history.undo()
    assert (state.canvas.data == 7).sum() == 18


def test_delete_where_everything_was_painted_over():
    state = store()
    History().make(state, edits.keep(state, [{PLANE: rectangle(3, 4, 10, 8)}]))
    state.canvas.data[4:8, 3:10] = 5
    edit = edits.delete(state, 1)
    assert edit.patches == ()
    assert edit.changes
    History().make(state, edit)
    assert dict(state.objects) == {}
    assert (state.canvas.data == 5).sum() == 28


def test_replace_plane_keeps_only_what_changes(monkeypatch):
    monkeypatch.setattr(patch_module, "TILE", 8)
    state, history = store((3, *SIZE)), History()
    labels = np.zeros(SIZE, np.int64)
    assert not edits.replace_plane(state, SECOND, labels, "everything").changes
    labels[9:12, 9:12] = 40
    edit = edits.replace_plane(state, SECOND, labels, "everything in plane 2 of 3")
    assert [patch.index for patch in edit.patches] == [(1, slice(8, 16), slice(8, 16))]
    history.make(state, edit)
    assert np.array_equal(state.canvas.data[1], labels)
    assert state.next_label == 41
    history.undo()
    assert not state.canvas.data.any()
    assert state.next_label == 1


def test_replace_part_of_a_plane():
    state = store((3, *SIZE))
    window = SliceKey((1, 2), ((0, 1),), (5, 6, 9, 8))
    History().make(state, edits.replace_plane(state, window, np.full((2, 4), 3), "a part"))
    assert (state.canvas.data[1, 6:8, 5:9] == 3).all()
    assert np.count_nonzero(state.canvas.data) == 8
    with pytest.raises(ValueError, match=r"size \(2, 4\), but its new labels \(4, 2\)"):
        edits.replace_plane(state, window, np.full((4, 2), 3), "a part")


def test_selecting_again_and_again_is_one_small_step(monkeypatch):
    monkeypatch.setattr(patch_module, "TILE", 8)
    state, history = store((3, *SIZE)), History()
    rng = np.random.default_rng(0)
    for number in range(30):
        labels = rng.integers(1, 90 - number, SIZE)
        edit = edits.replace_plane(state, SECOND, labels, "everything")
        (history.join if number else history.make)(state, edit)
        assert state.next_label == labels.max() + 1
    assert len(history.newest.parts[0][1].patches) == 12  # 3 x 4 tiles
    assert np.array_equal(state.canvas.data[1], labels)
    history.undo()
    assert not state.canvas.data.any()
    assert history.newest is None
    history.redo()
    assert np.array_equal(state.canvas.data[1], labels)
