"""The journal: what it keeps is read again, whatever happens to the process or the file."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import journal_work
import numpy as np
import pytest
from journal_work import SHAPE, SmallTarget, work

from napari_sam.objects import journal_folder
from napari_sam.objects.documents import object_to_json
from napari_sam.objects.drawn import DrawnRow
from napari_sam.objects.edit import Edit
from napari_sam.objects.journal import Journal
from napari_sam.objects.journal_reader import base_labels, has_unsaved, open_journal
from napari_sam.objects.patch import Patch
from napari_sam.steps import drive

POINT = Edit("a point", added=(DrawnRow("points", "positive", ((1.0, 2.0, 3.0),), 1),))


def replayed(kept):
    target = SmallTarget()
    for parts in kept.steps:
        for _, edit in parts:
            target.write(edit)
    return target


def worked(path, operations, seed=0):
    journal = Journal(path)
    *_, target = itertools.islice(work(seed, journal), operations)
    return journal, target


def test_what_was_done_is_read_again(tmp_path):
    journal, target = worked(tmp_path / "a.sqlite", 120)
    journal.close()
    kept = open_journal(journal.path)
    assert kept.unsaved
    assert replayed(kept).state() == target.state()
    (found,) = kept.targets.values()
    assert found.info == target.info()
    assert found.hashes == {key: target.image_hash(key) for key in found.hashes}
    assert {key.fixed for key in found.hashes} == {((0, z),) for z in range(4)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
def test_a_killed_process_loses_at_most_the_step_in_progress(tmp_path):
    script = Path(journal_work.__file__)
    command = [sys.executable, str(script), str(tmp_path), "50"]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    reported = [int(line) for line in run.stdout.split()]
    assert len(reported) == 50
    assert len(set(reported)) > 10, "they were killed at different moments"
    for seed, done in enumerate(reported):
        found = replayed(open_journal(tmp_path / f"{seed}.sqlite")).state()
        states = [one.state() for one in itertools.islice(work(seed), done - 1, done + 1)]
        assert found in states, f"seed {seed} after {done} operations"


def test_parts_of_a_step_go_together(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    journal.joined(1, target, Edit("two"))
    journal.joined(1, target, Edit("three"))
    journal.withdrawn(1)
    assert [edit.text for _, edit in journal.parts(1)] == ["a point", "two"]
    journal.undone(1)
    journal.redone(1)
    journal.made(2, target, POINT)
    journal.withdrawn(2)
    journal.close()
    (parts,) = open_journal(journal.path).steps
    assert [(name, edit.text) for name, edit in parts] == [("small", "a point"), ("small", "two")]


def test_a_new_step_ends_what_was_undone(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    journal.undone(1)
    journal.made(2, target, Edit("other"))
    journal.close()
    ((part,),) = open_journal(journal.path).steps
    assert part[1].text == "other"


def test_a_step_that_is_withdrawn_leaves_what_was_undone(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    journal.undone(1)
    journal.made(2, target, Edit("other"))
    journal.withdrawn(2)
    journal.redone(1)
    journal.close()
    ((part,),) = open_journal(journal.path).steps
    assert part[1].text == "a point"


def test_a_journal_goes_if_what_is_left_after_an_undo_is_saved(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    journal.made(2, target, POINT)
    journal.undone(2)
    journal.saved(1)
    journal.close()
    assert not list(tmp_path.iterdir())


def test_a_journal_that_another_program_has_removed_is_passed_over(tmp_path):
    assert journal_folder.read_unchanged(tmp_path / "gone.sqlite", has_unsaved) is None
    assert journal_folder.remove(tmp_path / "gone.sqlite") == 0


def test_a_saved_journal_goes_and_an_unsaved_one_stays(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    journal.saved(1)
    journal.undone(1)
    journal.close()
    assert open_journal(journal.path).unsaved
    journal_folder.remove(journal.path)
    journal = Journal(tmp_path / "b.sqlite")
    journal.made(1, target, POINT)
    journal.saved(1)
    assert not open_journal(journal.path).unsaved
    journal.close()
    assert not list(tmp_path.iterdir())


def test_what_is_made_while_it_is_saved_stays_unsaved(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    journal.made(2, target, POINT)
    journal.saved(1)
    journal.close()
    assert open_journal(journal.path).unsaved


def test_labels_that_were_there_are_kept(tmp_path):
    labels = np.zeros(SHAPE, np.int32)
    labels[1, 5:9, 5:9] = 7
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    drive(journal.keep_base(target, labels))
    journal.close()
    kept = open_journal(journal.path).targets["small"]
    ((position, pixels),) = kept.base
    assert kept.based
    assert position == (1,)
    np.testing.assert_array_equal(pixels.array(), labels[1])


def test_labels_of_before_are_found_though_they_change_while_they_are_kept(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    labels = target.store.canvas.data
    rng = np.random.default_rng(0)
    labels[:] = rng.integers(0, 4, SHAPE)
    before = labels.copy()
    journal.want_base(target)
    keeping = journal.keep_base(target, labels)
    for number in range(1, 41):  # patches in all directions, some taken back
        start = [int(rng.integers(0, n - 3)) for n in SHAPE]
        index = tuple(slice(one, one + 3) for one in start)
        index = (start[0], *index[1:]) if number % 2 else (*index[:2], start[2])
        old = labels[index].copy()
        edit = Edit("", (Patch.of(index, old, rng.integers(0, 9, old.shape, np.int32)),))
        journal.made(number, target, edit)
        target.write(edit)
        if number % 3 == 0:
            journal.undone(number)
            target.take_back()
        if number % 10 == 0:
            next(keeping, None)
    drive(keeping)
    journal.close()
    kept = open_journal(journal.path)
    assert not kept.targets["small"].lacking
    found = base_labels(kept.targets["small"])
    np.testing.assert_array_equal(found, before)
    again = SmallTarget()
    again.store.canvas.data[:] = found
    for parts in kept.steps:
        for _, edit in parts:
            again.write(edit)
    np.testing.assert_array_equal(again.store.canvas.data, labels)


def test_objects_that_were_there_are_kept(tmp_path):
    journal, target = worked(tmp_path / "a.sqlite", 60)
    objects = dict(target.store.objects)
    assert len(objects) > 1
    other = SmallTarget()
    other.id = "other"
    opened = [Edit("", objects={label: (None, one)}) for label, one in objects.items()]
    drive(journal.keep_base(other, np.zeros(SHAPE, np.int32), opened))
    journal.close()
    found = open_journal(journal.path).targets["other"].opened
    read = {label: after for edit in found for label, (_, after) in edit.objects.items()}
    assert {label: object_to_json(one) for label, one in read.items()} == {
        label: object_to_json(one) for label, one in objects.items()
    }


def test_a_journal_goes_when_all_its_targets_are_in_another_one(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    other = SmallTarget()
    other.id = "other"
    journal.made(1, target, POINT)
    journal.joined(1, other, POINT)
    journal.close()
    changed = journal_folder.changed_at(journal.path)
    journal_folder.hand_over(journal.path, ["small"])
    kept = open_journal(journal.path)
    assert list(kept.targets) == ["other"]
    assert [[name for name, _ in parts] for parts in kept.steps] == [["other"]]
    assert kept.unsaved
    os.utime(journal.path, (changed, changed))
    assert journal_folder.read_unchanged(journal.path, has_unsaved)
    assert journal_folder.changed_at(journal.path) == pytest.approx(changed, abs=1e-3)
    journal_folder.hand_over(journal.path, ["other"])
    assert not journal.path.exists()


def test_labels_that_were_not_kept_to_the_end_do_not_count(tmp_path):
    journal, target = Journal(tmp_path / "a.sqlite"), SmallTarget()
    journal.made(1, target, POINT)
    next(journal.keep_base(target, np.ones(SHAPE, np.int32)))
    journal.close()
    target = open_journal(journal.path).targets["small"]
    assert not target.based
    assert target.lacking


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_file_is_for_this_user_alone(tmp_path):
    journal = Journal(tmp_path / "new" / "a.sqlite")
    journal.made(1, SmallTarget(), POINT)
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) for one in journal.path.parent.iterdir()} == {0o600}
    journal.close()


def test_a_full_disk_keeps_nothing_of_the_step_and_says_so(tmp_path):
    journal, target = worked(tmp_path / "a.sqlite", 10)
    state = target.state()
    connection = journal._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    noise = "".join(random.Random(0).choices("abcdefghij", k=100_000))
    with pytest.raises(OSError, match="make room in"):
        journal.made(99, target, Edit(noise))
    assert replayed(open_journal(journal.path)).state() == state
    connection.execute("PRAGMA max_page_count = 1000000")
    journal.made(99, target, Edit(noise))
    journal.close()
    assert open_journal(journal.path).steps[-1][0][1].text == noise


def test_a_step_that_the_disk_refused_may_be_undone(tmp_path):
    journal = Journal(tmp_path / "a.sqlite")
    journal.made(1, SmallTarget(), POINT)
    journal.undone(2)
    journal.redone(2)
    journal.close()
    assert len(open_journal(journal.path).steps) == 1


def test_a_journal_in_use_is_not_left_over_and_not_removed(tmp_path):
    journal = journal_folder.new_journal(tmp_path)
    journal.made(1, SmallTarget(), POINT)
    assert journal_folder.left_over(tmp_path) == []
    assert journal_folder.remove(journal.path) == 0
    journal.close()
    assert journal_folder.left_over(tmp_path) == [journal.path]
    assert journal_folder.remove(journal.path) > 0
    assert not list(tmp_path.iterdir())


def test_old_journals_are_removed(tmp_path):
    for age in (10, 40):
        journal = journal_folder.new_journal(tmp_path)
        journal.made(1, SmallTarget(), POINT)
        journal.close()
        then = journal.path.stat().st_mtime - age * 24 * 3600
        os.utime(journal.path, (then, then))
    assert journal_folder.remove_old(tmp_path) == 1
    assert len(journal_folder.left_over(tmp_path)) == 1


def test_the_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv(journal_folder.FOLDER_VARIABLE, str(tmp_path))
    assert journal_folder.journal_folder() == tmp_path / "journals"


def test_a_damaged_journal_is_a_sentence(tmp_path):
    journal, _ = worked(tmp_path / "a.sqlite", 20)
    journal.close()
    whole, rng = journal.path.read_bytes(), random.Random(2)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randrange(1, 40)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        place = tmp_path / "damaged.sqlite"
        place.write_bytes(damaged[: rng.choice((len(damaged), rng.randrange(len(damaged))))])
        try:
            open_journal(place)
        except ValueError as error:
            refused += "cannot be read" in str(error)
    assert refused > 100


def test_a_foreign_database_is_refused(tmp_path):
    place = tmp_path / "foreign.sqlite"
    connection = sqlite3.connect(place)
    connection.execute("CREATE VIEW session AS SELECT 1")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(ValueError, match="it is no journal"):
        open_journal(place)


def test_planes_that_are_read_slowly_are_hashed_later(tmp_path):
    class Slow(SmallTarget):
        def image_hash(self, key):
            return ""

    journal, target = Journal(tmp_path / "a.sqlite"), Slow()
    journal.made(1, target, POINT)
    journal.keep_hashes(target, POINT, SmallTarget().image_hash)
    journal.keep_hashes(target, POINT, lambda key: "another")  # known already
    journal.close()
    (kept,) = open_journal(tmp_path / "a.sqlite").targets.values()
    assert set(kept.hashes.values()) == {SmallTarget().image_hash(key) for key in kept.hashes}
    assert kept.hashes
