"""Undo without limit over several targets: random work, little memory, failures, joined parts."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from napari_sam.objects import Canvas, Edit, ObjectStore, Outline, edits
from napari_sam.objects.documents import edit_from_json, edit_to_json, object_to_json
from napari_sam.objects.drawn import DrawnRow, without
from napari_sam.objects.history import History
from napari_sam.objects.recorder import TargetInfo
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey

SHAPE = (3, 13, 17)


class Prompts:
    """The prompts of an image that is not shown."""

    def __init__(self):
        self.id, self.rows = "prompts", ()

    def info(self):
        return TargetInfo("prompts", SHAPE, "uint8")

    def image_hash(self, key):
        return ""

    def completed(self, edit, whole):
        return edit

    def adopt(self, edit):
        self.rows = (*without(self.rows, edit.removed), *edit.added)

    def write_in_pieces(self, edit):
        yield from ()
        self.adopt(edit)


class TextRecorder:
    """Keeps steps as JSON text."""

    def __init__(self):
        self.steps, self.made_again, self.full = {}, [], False

    def made(self, number, target, edit):
        if self.full:
            raise OSError("the disk is full")
        assert number not in self.steps
        self.steps[number] = [(target.id, json.dumps(edit_to_json(edit)))]

    def joined(self, number, target, edit):
        if self.full:
            raise OSError("the disk is full")
        self.steps[number].append((target.id, json.dumps(edit_to_json(edit))))

    def withdrawn(self, number):
        if self.full:
            raise OSError("the disk is full")
        self.steps[number].pop()
        if not self.steps[number]:
            del self.steps[number]

    def undone(self, number):
        if self.full:
            raise OSError("the disk is full")
        self.made_again.append(-number)

    def redone(self, number):
        if self.full:
            raise OSError("the disk is full")
        self.made_again.append(number)

    def parts(self, number):
        return [(name, edit_from_json(json.loads(text))) for name, text in self.steps[number]]


def key(z):
    return SliceKey((1, 2), ((0, z),))


def outline(rng):
    y, x = int(rng.integers(9)), int(rng.integers(12))
    return Outline(Mask.of(rng.random((4, 5)) < 0.8, (x, y), SHAPE[1:]))


class Work:
    def __init__(self, seed, history):
        self.rng = np.random.default_rng(seed)
        self.history = history
        self.data = np.zeros(SHAPE, np.int32)
        self.store, self.prompts = ObjectStore(Canvas(self.data)), Prompts()

    def state(self):
        objects = {label: object_to_json(one) for label, one in self.store.objects.items()}
        return (
            self.data.tobytes(),
            json.dumps(objects, sort_keys=True),
            json.dumps(dict(self.store.properties)),
            Counter(self.prompts.rows),
            self.store.next_label,
        )

    def keep(self):
        planes = {key(z): outline(self.rng) for z in range(int(self.rng.integers(1, 4)))}
        try:
            edit = edits.keep(self.store, [planes])
        except ValueError:
            return  # all of it is covered by others
        self.history.make(self.store, edit)
        if self.prompts.rows and self.rng.random() < 0.5:  # the prompts go with the commit
            self.history.note_joined(self.prompts, Edit("prompts", removed=self.prompts.rows[:1]))

    def delete(self):
        if self.store.objects:
            label = int(self.rng.choice(list(self.store.objects)))
            self.history.make(self.store, edits.delete(self.store, label))

    def fill_planes(self):
        for z in range(int(self.rng.integers(1, 4))):
            labels = self.data[z].copy()
            changed = self.rng.random(labels.shape) < 0.3
            labels[changed] = self.rng.integers(0, self.store.next_label + 5, changed.sum())
            edit = edits.replace_plane(self.store, key(z), labels, "everything")
            (self.history.join if z else self.history.make)(self.store, edit)

    def stroke(self):
        places = tuple(self.rng.integers(0, n, 7) for n in SHAPE)
        value = int(self.rng.integers(0, self.store.next_label + 3))
        old = self.data[places].copy()
        self.data[places] = value
        self.history.note(self.store, edits.stroke(self.store.canvas, [(places, old, value)]))

    def draw(self):
        row = DrawnRow("points", "object", (tuple(self.rng.random(3).tolist()),))
        gone = self.prompts.rows[:1] if self.rng.random() < 0.3 else ()
        self.history.note(self.prompts, Edit("a point", removed=gone, added=(row,)))

    def name_classes(self):
        old = self.store.properties.get("classes")
        new = [{"name": str(self.rng.integers(9)), "colour": "#ff0000", "key": "1"}]
        self.history.make(self.store, Edit("classes", properties={"classes": (old, new)}))

    def undo(self):
        if self.history.newest is not None:
            self.history.undo()

    def redo(self):
        if self.history.next_undone is not None:
            self.history.redo()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("recorded", [False, True])
def test_random_work_is_undone_and_redone_bit_for_bit(seed, recorded):
    recorder = TextRecorder() if recorded else None
    work = Work(seed, History(recorder, limit_bytes=1 if recorded else 2**40))
    start = work.state()
    acts = [work.keep, work.keep, work.delete, work.fill_planes, work.stroke, work.draw]
    acts += [work.name_classes, work.undo, work.redo]
    for _ in range(200):
        acts[work.rng.integers(len(acts))]()
    while work.history.next_undone is not None:
        work.history.redo()
    states = [work.state()]
    if recorded:  # only the newest step is in memory
        assert sum(step.parts is not None for step in work.history._done) == 1
    while work.history.newest is not None:
        work.history.undo()
        states.append(work.state())
    assert states[-1] == start
    for state in states[-2::-1]:
        work.history.redo()
        assert work.state() == state


def square(k=0):
    return {SliceKey((0, 1)): Outline(Mask.of(np.ones((3, 3), bool), (4 * k, 1), (8, 24)))}


@pytest.fixture
def store():
    return ObjectStore(Canvas(np.zeros((8, 24), np.int32)))


def test_without_a_recorder_the_oldest_steps_are_dropped(store):
    history = History(limit_bytes=5000)
    for k in range(6):
        history.make(store, edits.keep(store, [square(k)]))
    assert history.nbytes <= 5000
    while history.newest is not None:
        history.undo()
    assert store.objects
    with pytest.raises(ValueError, match="no longer kept"):
        history.undo()


def test_a_full_disk_stops_commits_and_nothing_is_written(store):
    recorder = TextRecorder()
    history = History(recorder)
    history.make(store, edits.keep(store, [square()]))
    recorder.full = True
    for act in (history.make, history.join):
        with pytest.raises(OSError, match="the disk is full"):
            act(store, edits.keep(store, [square(1)]))
    prompts = Prompts()
    drawn = Edit("a point", added=(DrawnRow("points", "object", ((1.0, 2.0),)),))
    with pytest.raises(OSError, match="the disk is full"):
        history.note_joined(prompts, drawn)  # drawn already: part of the step
    assert prompts.rows
    assert np.count_nonzero(store.canvas.data) == 9
    assert list(store.objects) == [1]
    recorder.full = False
    history.undo()
    assert not prompts.rows
    assert not store.canvas.data.any()


def test_a_write_that_fails_is_withdrawn_and_undo_keeps_its_step(store):
    recorder = TextRecorder()
    history = History(recorder)
    history.make(store, edits.keep(store, [square()]))
    edit = edits.keep(store, [square(1)])
    store.canvas.data.flags.writeable = False
    with pytest.raises(ValueError, match="cannot be written to"):
        history.make(store, edit)
    assert list(recorder.steps) == [1]
    with pytest.raises(ValueError, match="cannot be written to"):
        history.undo()
    assert recorder.made_again == [-1, 1]
    store.canvas.data.flags.writeable = True
    history.undo()
    assert not store.canvas.data.any()
    assert store.next_label == 1


@pytest.mark.parametrize("act", ["make", "undo"])
def test_what_failed_on_a_full_disk_is_taken_out_of_the_record_later(store, act):
    recorder = TextRecorder()
    history = History(recorder)
    history.make(store, edits.keep(store, [square()]))
    if act == "make":
        steps = history.make_in_pieces(store, edits.keep(store, [square(1)]))
    else:
        steps = history.undo_in_pieces()
    next(steps)
    recorder.full = True
    steps.close()
    assert list(store.objects) == [1]
    with pytest.raises(OSError, match="the disk is full"):
        history.make(store, edits.keep(store, [square(1)]))
    recorder.full = False
    history.make(store, edits.keep(store, [square(1)]))
    assert len(recorder.steps) == 2
    assert recorder.made_again == ([] if act == "make" else [-1, 1])
    assert list(store.objects) == [1, 2]


def test_an_undo_that_is_closed_leaves_all_parts_as_they_were(store):
    history, prompts = History(), Prompts()
    history.make(store, edits.keep(store, [square()]))
    row = DrawnRow("points", "object", ((1.0, 2.0),))
    history.note_joined(prompts, Edit("a point", added=(row,)))
    walk = history.undo_in_pieces()
    next(walk)  # the prompts are back, the first piece of the labels is written
    with pytest.raises(ValueError, match="wait until"):
        drive(history.undo_in_pieces())
    walk.close()
    assert prompts.rows == (row,)
    assert np.count_nonzero(store.canvas.data) == 9
    assert not history.walking
    history.undo()
    assert prompts.rows == ()
    assert not store.canvas.data.any()


def test_steps_made_before_are_handed_to_a_recorder(store):
    history, recorder = History(), TextRecorder()
    for k in range(3):
        history.make(store, edits.keep(store, [square(k)]))
    history.join(store, edits.delete(store, 1))
    history.undo()
    history.undo()
    history.use(recorder)
    assert sorted(recorder.steps) == [1, 2, 3]
    assert recorder.made_again == [-3, -2]
    history.limit_bytes = 1
    history.redo()
    history.redo()
    assert sorted(store.objects) == [2, 3]


def test_a_target_that_is_gone_takes_its_parts_along(store):
    history, prompts = History(), Prompts()
    history.make(store, edits.keep(store, [square()]))
    history.note_joined(prompts, Edit("a point", added=(DrawnRow("points", "object", ((1.0,),)),)))
    history.drop(store)
    history.undo()
    assert prompts.rows == ()
    assert store.objects
    assert history.newest is None


def test_what_the_recorder_refused_is_handed_over_before_the_next_step(store):
    recorder, prompts = TextRecorder(), Prompts()
    history = History(recorder, limit_bytes=1)
    history.make(store, edits.keep(store, [square()]))
    recorder.full = True
    rows = [DrawnRow("points", "object", ((1.0, float(x)),)) for x in range(4)]
    for joined, row in ((True, rows[0]), (False, rows[1]), (False, rows[2])):
        with pytest.raises(OSError, match="the disk is full"):  # they are drawn already
            (history.note_joined if joined else history.note)(prompts, Edit("", added=(row,)))
    assert prompts.rows == tuple(rows[:3])
    with pytest.raises(OSError, match="the disk is full"):
        history.make(store, edits.keep(store, [square(1)]))
    history.undo()
    history.undo()
    history.redo()
    assert list(recorder.steps) == [1]  # nobody asks for steps that it does not know
    assert recorder.made_again == []
    assert prompts.rows == tuple(rows[:2])
    recorder.full = False
    history.make(store, edits.keep(store, [square(1)]))
    assert [len(parts) for parts in recorder.steps.values()] == [2, 1, 1]
    assert [parts[-1][0] for parts in recorder.steps.values()] == ["prompts", "prompts", store.id]
    while history.newest is not None:
        history.undo()
    assert prompts.rows == ()
    assert not store.canvas.data.any()


def test_steps_noted_while_one_is_written_come_after_it(store):
    recorder, prompts = TextRecorder(), Prompts()
    history = History(recorder)
    steps = history.make_in_pieces(store, edits.keep(store, [square(), square(1)]))
    next(steps)
    drawn = Edit("a point", added=(DrawnRow("points", "object", ((1.0, 2.0),)),))
    history.note(prompts, drawn)
    list(steps)
    assert list(recorder.steps) == [1, 2]
    assert history.newest.number == 2
    history.undo()
    assert prompts.rows == ()
    assert sorted(store.objects) == [1, 2]
    history.undo()
    assert not store.canvas.data.any()


def test_a_step_that_is_closed_before_its_first_piece_is_withdrawn(store):
    recorder = TextRecorder()
    history = History(recorder)
    steps = history.make_in_pieces(store, edits.keep(store, [square()]))
    next(steps)
    assert list(recorder.steps) == [1]
    assert not store.canvas.data.any()
    steps.close()
    assert not recorder.steps
    assert not store.objects
