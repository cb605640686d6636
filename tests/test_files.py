"""Files that a result is written to."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from napari_sam import files


def refused(path, sentence, overwrite=True):
    with pytest.raises(ValueError, match=sentence):
        files.check_target(path, None, overwrite)


def test_no_place_for_the_result(tmp_path, monkeypatch):
    for target in (tmp_path / "no" / "labels.tif", tmp_path):
        refused(target, "no place for the result")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    refused(tmp_path / "labels.tif", "write-protected")


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "device.tif").symlink_to("/dev/null")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    for name in ("pipe.tif", "device.tif"):
        refused(tmp_path / name, "a device or a pipe")
    refused(tmp_path / "loop.tif", "no place for the result")


@pytest.mark.parametrize("character", ["a", "\u00e4"])
@pytest.mark.parametrize("length", [200, 243, 255])
def test_every_name_that_the_disk_takes_is_written(tmp_path, length, character):
    stem = character * ((length - 4) // len(character.encode()))
    path = tmp_path / f"{stem}.txt"
    files.write_text(path, "text", None, overwrite=False)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_name_that_is_too_long_is_refused_at_once(tmp_path):
    refused(tmp_path / f"{'a' * 252}.txt", "name too long")


def test_a_disk_that_takes_no_file_is_noticed(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.Path, "touch", full)
    refused(tmp_path / "labels.tif", "No space left")


def test_a_text_is_written_beside_and_renamed(tmp_path):
    path = tmp_path / "a.json"
    files.write_text(path, "[]", None, overwrite=False)
    assert path.read_text() == "[]"
    with pytest.raises(ValueError, match="--overwrite"):
        files.write_text(path, "[1]", None, overwrite=False)
    assert list(tmp_path.iterdir()) == [path]


LEAVES = """
import os, signal, sys
from napari_sam.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    print(partial.name, flush=True)
    signal.pause()
"""


def test_what_a_killed_process_left_is_removed(tmp_path):
    target = tmp_path / "labels.tif"
    command = [sys.executable, "-c", LEAVES, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        left = tmp_path / process.stdout.readline().strip()
        files.check_target(target, None, overwrite=True)
        assert left.exists()  # it is still being written
        process.kill()
    others = [tmp_path / ".labels.partial.tif", tmp_path / ".b.123456-9.partial.tif.bak"]
    elsewhere = tmp_path / f".labels.ffffff-{process.pid}.partial.tif"
    for other in (*others, elsewhere):
        other.write_text("of somebody else")
    files.check_target(tmp_path / "other.tif", None, overwrite=True)
    assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([*others, elsewhere])
    long_ago = time.time() - 2 * files.ABANDONED
    os.utime(elsewhere, (long_ago, long_ago))
    files.check_target(tmp_path / "other.tif", None, overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_results_that_belong_together_are_replaced_together(tmp_path):
    pair = [tmp_path / "labels.tif", tmp_path / "masks.json"]
    for run in ("first", "second"):
        with files.replacing_all(pair) as partials:
            for partial in partials:
                partial.write_text(run)
        assert [path.read_text() for path in pair] == [run, run]
    with pytest.raises(ZeroDivisionError), files.replacing_all(pair) as partials:
        partials[0].write_text(str(1 / 0))
    assert [path.read_text() for path in pair] == ["second", "second"]
    assert sorted(tmp_path.iterdir()) == sorted(pair)


@pytest.mark.parametrize("step", range(3))
def test_an_interruption_never_leaves_a_pair_of_two_runs(tmp_path, monkeypatch, step):
    """Each change of the folder is the last one before the process is killed."""
    pair = [tmp_path / "labels.tif", tmp_path / "masks.json"]
    for path in pair:
        path.write_text("first")
    done = []

    def counted(change):
        def changed(path, *args, **options):
            if len(done) == step:
                raise KeyboardInterrupt
            done.append(path)
            return change(path, *args, **options)

        return changed

    def write():
        with files.replacing_all(pair) as partials:
            for partial in partials:
                partial.write_text("second")
            monkeypatch.setattr(files.Path, "unlink", counted(files.Path.unlink))
            monkeypatch.setattr(files.Path, "replace", counted(files.Path.replace))

    with pytest.raises(KeyboardInterrupt):
        write()
    monkeypatch.undo()
    assert len({path.read_text() for path in pair if path.exists()}) == 1


KEEPS_WRITING = """
import sys
from napari_sam.files import replacing_all
print("ready", flush=True)
for run in range(10**9):
    with replacing_all(sys.argv[1:]) as partials:
        for partial in partials:
            partial.write_text(str(run))
"""


def test_kills_never_leave_a_pair_of_two_runs(tmp_path):
    pair = [tmp_path / "labels.tif", tmp_path / "masks.json"]
    for number in range(5):
        command = [sys.executable, "-c", KEEPS_WRITING, *map(str, pair)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(0.05 + 0.013 * number)
            process.kill()
        assert pair[0].exists()
        assert len({path.read_text() for path in pair if path.exists()}) == 1
        files.check_target(pair[0], None, overwrite=True)
        assert not list(tmp_path.glob(".*"))


def test_a_folder_of_an_unknown_user_is_a_sentence():
    with pytest.raises(ValueError, match="unknown user; set SOME_FOLDER"):
        files.named_folder("~nobody-of-this-name/cache", "SOME_FOLDER")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text_are_written(tmp_path):
    path = tmp_path / os.fsdecode(b"out\xff.txt")
    files.write_text(path, "text", None, overwrite=False)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_write_that_stops_short_says_so(tmp_path):
    """As `numpy.save` does on a full disk: an error without a number."""
    with (
        pytest.raises(ValueError, match="the disk does not take it all"),
        files.replacing(tmp_path / "a.npy"),
    ):
        raise OSError("49152 requested and 896 written")
    assert not list(tmp_path.iterdir())
