"""The folder of a training: one program at a time, and nothing of the user's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from filelock import FileLock

from napari_sam.training.finetune.training_folder import (
    BEST,
    EMBEDDINGS,
    LOCK,
    STATE,
    check_content,
    check_place,
    locked,
)

HOLD = """
import sys
from pathlib import Path
from napari_sam.training.finetune.training_folder import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_refused_until_the_first_has_ended(tmp_path):
    folder = tmp_path / "a.training"
    with locked(folder):
        (folder / STATE).touch()
        refusal = pytest.raises(ValueError, match=r"another program trains in .*a\.training; wait")
        with refusal, locked(folder):
            pass
        with locked(tmp_path / "b.training"):  # another folder
            pass
    with locked(folder):
        assert check_content(folder)
    assert {path.name for path in folder.iterdir()} == {STATE, LOCK}


def test_who_opened_the_file_before_the_end_keeps_others_out(tmp_path):
    with locked(tmp_path):
        waiting = (tmp_path / LOCK).stat()
    with locked(tmp_path):
        assert os.path.samestat(waiting, (tmp_path / LOCK).stat())
        assert not check_content(tmp_path)
    assert not check_content(tmp_path)


def test_a_disk_that_locks_no_files_is_refused(tmp_path, monkeypatch):
    def acquire(lock):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.raises(ValueError, match="cannot lock files; write"), locked(tmp_path):
        pass


def test_a_killed_program_holds_it_no_more(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(ValueError, match="another program trains in"), locked(tmp_path):
            pass
        other.kill()
        other.wait()
        assert (tmp_path / LOCK).exists()
        with locked(tmp_path):
            assert not check_content(tmp_path)


def test_other_files_are_refused(tmp_path):
    for name in (STATE, BEST):
        (tmp_path / name).touch()
    (tmp_path / EMBEDDINGS).mkdir()
    assert check_content(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"it holds thesis\.txt; move that away"):
        check_content(tmp_path)
    with pytest.raises(ValueError, match="but it is a file"):
        check_place(tmp_path / "thesis.txt", [])
    with pytest.raises(ValueError, match="is learnt from"):
        check_place(tmp_path, [tmp_path / "thesis.txt"])
    with pytest.raises(ValueError, match="cannot be used"), locked(tmp_path / "thesis.txt"):
        pass
