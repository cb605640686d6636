"""Work that was not saved is offered when its image is opened again, and restored."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from window_to_kill import squares, state_of

from napari_sam.formats import image_reference, labels_store
from napari_sam.objects.documents import object_to_json
from napari_sam.objects.drawn import without
from napari_sam.objects.journal import lock_of
from napari_sam.objects.journal_folder import journal_folder
from napari_sam.widget.features.recovery.logic import Recovery
from napari_sam.widget.scheduler import Lane

TESTS = Path(__file__).parents[1]
LANES = (Lane.RECOVERY, Lane.JOURNAL)


def work_of(hands):
    """Return labels, objects and prompts of a window, to be compared."""
    view = hands.bench.results
    objects = {label: object_to_json(one) for label, one in view.store.objects.items()}
    return view.layer.data.copy(), objects, hands.bench.prompts.drawing()


def assert_same(work, other):
    np.testing.assert_array_equal(work[0], other[0])
    assert work[0].dtype == other[0].dtype
    assert work[1] == other[1]
    assert not without(work[2], other[2])
    assert not without(other[2], work[2])
    owners = [
        sorted((row.mark, row.vertices, row.owner) for row in one[2]) for one in (work, other)
    ]
    assert owners[0] == owners[1]


def end(hands):
    """Close the dock without saving."""
    hands.until(lambda: not hands.busy(*LANES))
    hands.dock.close_dock()
    assert hands.scheduler.wait(10_000)
    hands.viewer.close()


def recovery(hands):
    return hands.dock.feature(Recovery)


def offered(hands):
    """Wait until the journals are looked through; return the sentence of the bar."""
    hands.until(lambda: not hands.busy(*LANES))
    panel = recovery(hands).panel
    return panel.text.text() if not panel.isHidden() else ""


def restore(hands):
    recovery(hands).panel.restore.click()
    hands.until(lambda: recovery(hands).offer is None)
    hands.until(lambda: not hands.busy(*LANES))


def journals():
    return list(journal_folder().glob("*.sqlite"))


@pytest.fixture
def ended(open_dock, scene):
    """A session with two objects and a prompt that ended without saving; what it held."""
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    assert offered(hands) == ""
    for place in ((20, 30), (30, 90)):
        hands.click_and_wait(*place)
        hands.press(Qt.Key.Key_Return)
    hands.click_and_wait(70, 50)
    work = work_of(hands)
    assert (len(work[1]), len(work[2])) == (2, 1)
    end(hands)
    return work


def test_unsaved_work_is_restored_bit_for_bit(open_dock, scene, ended):
    hands = open_dock(("add_image", scene[0].copy(), {"name": "again"}))
    text = offered(hands)
    assert text.startswith("Restore 2 objects and 1 prompt of ")
    assert text.endswith(" today?")
    assert not recovery(hands).panel.picture.pixmap().isNull()
    empty = hands.bench.results.layer
    restore(hands)
    assert_same(work_of(hands), ended)
    assert empty not in hands.viewer.layers  # nothing was in it
    assert hands.bench.results.layer.name == "again objects"
    assert hands.context.saves.unsaved == "2 objects, 1 prompt"
    hands.until(lambda: hands.answers is not None)  # the prompt was asked about
    assert len(journals()) == 1  # the new one
    assert offered(hands) == ""


def test_restored_steps_can_be_taken_back_and_are_kept_again(open_dock, scene, ended):
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    offered(hands)
    restore(hands)
    hands.until(lambda: hands.answers is not None)
    for _ in range(3):  # the prompt, and with each object its own
        hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        hands.until(lambda: not hands.context.history.walking)
    assert len(hands.bench.results.store.objects) == 1
    for _ in range(3):
        hands.press(
            Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
        )
        hands.until(lambda: not hands.context.history.walking)
    assert_same(work_of(hands), ended)
    hands.until(lambda: hands.answers is not None)
    hands.press(Qt.Key.Key_Return)
    work = work_of(hands)
    assert sorted(work[1]) == [1, 2, 3]
    end(hands)
    third = open_dock(("add_image", scene[0], {"name": "third"}))
    assert offered(third).startswith("Restore 3 objects of ")
    restore(third)
    assert_same(work_of(third), work)


def test_another_image_that_is_chosen_meanwhile_gets_nothing(open_dock, scene, ended):
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    other = hands.viewer.add_image(scene[0] + 1, name="other", visible=False)
    assert offered(hands)
    recovery(hands).panel.restore.click()
    hands.bench.use_image(other)
    hands.until_said("another image was opened")
    assert all(view.layer in hands.viewer.layers for view in hands.bench.views)
    assert hands.bench.prompts.drawing() == ()
    assert len(journals()) >= 1  # it stays
    with pytest.raises(ValueError, match="nothing to undo"):
        hands.context.history.undo(lambda text, boxes: None)


def test_an_object_in_work_again_is_so_after_a_restart(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click_and_wait(20, 30)
    hands.press(Qt.Key.Key_Return)
    hands.prompting.reopener.reopen(1, hands.bench.results)
    hands.click_and_wait(30, 90)
    end(hands)
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    offered(hands)
    restore(hands)
    hands.until(lambda: hands.answers is not None)
    assert [row.owner for row in hands.bench.prompts.drawing()] == [-1, -1]
    assert hands.prompting.panel.work.text() == "object 1, reopened"
    hands.press(Qt.Key.Key_Return)
    assert hands.status.startswith("the change of object 1 committed")
    assert list(hands.bench.results.store.objects) == [1]
    assert hands.bench.prompts.drawing() == ()


@pytest.mark.parametrize("change", ["pixels", "shape", "dtype"])
def test_nothing_is_offered_on_another_image(open_dock, scene, ended, change):
    other = scene[0].copy()
    if change == "pixels":
        other[0, 0] += 1
    elif change == "shape":
        other = other[:, :-1]
    else:
        other = other.astype(np.uint16)
    hands = open_dock(("add_image", other, {"name": "other"}))
    assert offered(hands) == ""
    assert len(journals()) == 1


def test_what_another_program_writes_is_not_offered(open_dock, scene, ended):
    with lock_of(journals()[0]).acquire(timeout=0):
        hands = open_dock(("add_image", scene[0], {"name": "again"}))
        assert offered(hands) == ""


def test_what_is_saved_is_not_offered(open_dock, scene, tmp_path):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click_and_wait(20, 30)
    hands.press(Qt.Key.Key_Return)
    assert len(journals()) == 1
    hands.context.saved.emit(hands.context.history.number)
    end(hands)
    assert journals() == []


def test_not_now_keeps_the_journal_and_delete_removes_it(open_dock, scene, ended):
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    offered(hands)
    recovery(hands).panel.later.click()
    assert offered(hands) == ""
    assert len(journals()) == 1
    end(hands)
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    assert offered(hands)
    recovery(hands).panel.delete.click()
    assert len(journals()) == 1
    assert recovery(hands).panel.delete.text() == "Really delete"
    recovery(hands).panel.delete.click()
    assert offered(hands) == ""
    assert journals() == []


@pytest.fixture
def on_labels(open_dock, scene):
    """A window in which objects go to labels that were there before."""
    before = np.zeros(scene[0].shape, np.int32)
    before[50:58, 90:120] = 7
    layers = ("add_image", scene[0], {"name": "scene"}), ("add_labels", before, {"name": "mine"})
    hands = open_dock(*layers)
    hands.context.bench.use_results(hands.viewer.layers["mine"], 7)
    return hands


def test_labels_of_before_come_back(on_labels, open_dock, scene):
    hands = on_labels
    hands.click_and_wait(20, 30)
    hands.press(Qt.Key.Key_Return)
    hands.viewer.layers["mine"].fill((54, 100), 9)  # over what was there
    work = work_of(hands)
    assert set(np.unique(work[0])) == {0, 8, 9}
    end(hands)
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    assert offered(hands).startswith("Restore 1 object and 1 other change")
    restore(hands)
    assert_same(work_of(hands), work)
    for _ in range(2):
        hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        hands.until(lambda: not hands.context.history.walking)
    expected = np.zeros_like(hands.labels)
    expected[50:58, 90:120] = 7
    np.testing.assert_array_equal(hands.labels, expected)


def test_labels_of_before_come_back_if_the_dock_is_closed_at_once(
    on_labels, open_dock, scene, monkeypatch
):
    hands, submit = on_labels, on_labels.scheduler.submit
    later = []

    def submitted(work, lane):
        later.append(work) if lane is Lane.JOURNAL else submit(work, lane)

    monkeypatch.setattr(hands.scheduler, "submit", submitted)
    hands.click_and_wait(20, 30)
    hands.press(Qt.Key.Key_Return)
    assert later
    work = work_of(hands)
    end(hands)
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    assert offered(hands).startswith("Restore 1 object of ")
    restore(hands)
    assert_same(work_of(hands), work)


def test_labels_of_before_are_kept_later_if_the_disk_was_full(
    on_labels, open_dock, scene, monkeypatch
):
    hands, journal = on_labels, on_labels.context.recording.journal
    keep_base = journal.keep_base

    def full(*arguments):
        raise OSError("the disk is full")

    monkeypatch.setattr(journal, "keep_base", full)
    for place in ((20, 30), (30, 90)):
        hands.click_and_wait(*place)
        hands.press(Qt.Key.Key_Return)
        hands.until(lambda: not hands.busy(*LANES))
        monkeypatch.setattr(journal, "keep_base", keep_base)
    work = work_of(hands)
    assert sorted(work[1]) == [8, 9]
    end(hands)
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    assert offered(hands).startswith("Restore 2 objects of ")
    restore(hands)
    assert_same(work_of(hands), work)


def test_objects_are_kept_though_the_image_can_no_longer_be_read(open_dock, scene, monkeypatch):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click_and_wait(20, 30)

    def gone(*arguments):
        raise KeyError("a chunk")

    monkeypatch.setattr(image_reference, "plane_hash", gone)
    hands.press(Qt.Key.Key_Return)
    assert list(hands.bench.results.store.objects) == [1]


def test_work_goes_on_without_a_journal(open_dock, scene, state_folder):
    (state_folder / "journals").write_text("a file where the folder should be")
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click_and_wait(20, 30)
    assert "no journal" in hands.status
    hands.press(Qt.Key.Key_Return)
    assert len(hands.bench.results.store.objects) == 1
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not hands.bench.results.store.objects


def test_a_full_disk_refuses_commits_and_keeps_strokes_in_the_layer(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click_and_wait(20, 30)
    hands.press(Qt.Key.Key_Return)
    hands.click_and_wait(30, 90)
    connection = hands.context.recording.journal._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    stroke = np.random.default_rng(0).integers(2, 1000, (20, 100), np.int32)  # many bytes
    layer = hands.bench.results.layer
    while "not in the journal" not in hands.status:
        layer.data_setitem(np.nonzero(np.ones_like(stroke)), stroke.ravel())
        stroke += 1000
    assert "make room" in hands.status
    drawn = layer.data.copy()
    hands.press(Qt.Key.Key_Return)
    assert "no step can be kept" in hands.status
    assert list(hands.bench.results.store.objects) == [1]
    np.testing.assert_array_equal(layer.data, drawn)
    connection.execute("PRAGMA max_page_count = 1000000")
    hands.press(Qt.Key.Key_Return)
    assert len(hands.bench.results.store.objects) == 2
    work = work_of(hands)
    end(hands)
    hands = open_dock(("add_image", scene[0], {"name": "again"}))
    offered(hands)
    restore(hands)
    assert_same(work_of(hands), work)


@pytest.mark.slow  # a second program with a window
def test_the_work_of_a_killed_window_is_restored(open_dock):
    command = [sys.executable, "-u", str(TESTS / "window_to_kill.py")]
    options = {"cwd": TESTS, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as window:
        told = {}
        for line in window.stdout:
            number, state = line.split()
            told[int(number)] = state
            if number == "4":
                window.send_signal(signal.SIGKILL)
        assert window.wait() == -signal.SIGKILL
    hands = open_dock(("add_image", squares(), {"name": "again"}))
    assert offered(hands)
    restore(hands)
    objects = hands.bench.results.store.objects
    assert len(told) <= len(objects) <= len(told) + 1  # killed before it could tell
    labels = np.where(hands.labels > len(told), 0, hands.labels).astype(np.int32)
    assert state_of(labels) == told[len(told)]


def test_labels_in_a_folder_are_opened_again(open_dock, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(labels_store, "LIMIT_BYTES", 1000)
    stack = np.stack([scene[0]] * 3)
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    hands.context.folder.ready(lambda: None)
    hands.context.folder.use(str(tmp_path / "labels"))
    hands.click_and_wait(20, 30)
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.bench.results is not None)
    hands.until(lambda: len(hands.bench.results.store.objects) == 1)
    view = hands.bench.results
    work = np.asarray(view.layer.data[:]), {1: object_to_json(view.store.objects[1])}
    end(hands)
    del view
    hands = open_dock(("add_image", stack, {"name": "again"}))
    assert offered(hands).startswith("Restore 1 object of ")
    restore(hands)
    view = hands.bench.results
    assert view.info().stored == str(tmp_path / "labels" / "objects.zarr")
    np.testing.assert_array_equal(view.layer.data[:], work[0])
    assert object_to_json(view.store.objects[1]) == work[1][1]
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: not hands.context.history.walking)
    assert not np.any(view.layer.data[:])


def test_an_undo_in_a_folder_that_was_cut_off_is_completed(open_dock, scene, tmp_path, monkeypatch):
    monkeypatch.setattr(labels_store, "LIMIT_BYTES", 1000)
    stack = np.stack([scene[0]] * 3)
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    hands.context.folder.ready(lambda: None)
    hands.context.folder.use(str(tmp_path / "labels"))
    for number, place in enumerate(((20, 30), (30, 90)), 1):
        hands.click_and_wait(*place)
        hands.press(Qt.Key.Key_Return)
        hands.until(lambda: hands.bench.results is not None)
        hands.until(lambda number=number: len(hands.bench.results.store.objects) == number)
    hands.rest()
    first = np.asarray(hands.bench.results.layer.data[:])
    first[first == 2] = 0
    assert first.any()
    hands.context.recording.undone(
        hands.context.history.steps.newest_of(hands.bench.results).number
    )
    end(hands)  # as if it was killed before a pixel was written
    hands = open_dock(("add_image", stack, {"name": "again"}))
    assert offered(hands).startswith("Restore 1 object")
    restore(hands)
    assert list(hands.bench.results.store.objects) == [1]
    np.testing.assert_array_equal(hands.bench.results.layer.data[:], first)


def test_everything_deletes_journals_only_after_a_yes(open_dock, scene, ended):
    hands = open_dock(("add_image", scene[0] + 1, {"name": "other"}))
    panel, forgetting = hands.settings.panel, hands.settings.forgetting
    for pressed, left in (("Cancel", 1), ("Delete", 0)):
        hands.until(panel.forget.isEnabled)
        panel.forget.click()
        hands.until(lambda: forgetting.question is not None)
        assert "1 journal (" in forgetting.question.text()
        assert "1 journal with unsaved work" in forgetting.question.text()
        buttons = {one.text().replace("&", ""): one for one in forgetting.question.buttons()}
        buttons[pressed].click()
        hands.until(lambda: forgetting.question is None and not hands.busy(Lane.CACHE))
        assert len(journals()) == left
