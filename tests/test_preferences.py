"""Preferences: kept between starts, and no file on the disk can do harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_sam.preferences import Choices, Preferences, cache_folder, disk_cache


@pytest.fixture
def path(tmp_path):
    return tmp_path / "config" / "preferences.json"


def test_choices_are_there_at_the_next_start(path):
    preferences = Preferences(path)
    assert preferences.chosen == Choices()
    preferences.set(device="cpu", overlap="split", tidy=False, annotator="Åse")
    preferences.set(keys={"prompting.commit": "F2"})
    again = Preferences(path)
    assert again.chosen == Choices(
        device="cpu",
        overlap="split",
        tidy=False,
        annotator="Åse",
        keys={"prompting.commit": "F2"},
    )
    assert again.notice == ""


def test_file_is_written_only_when_something_changes(path):
    preferences = Preferences(path)
    preferences.set(device="auto")
    assert not path.exists()
    preferences.set(device="cpu")
    path.unlink()
    preferences.set(device="cpu")
    assert not path.exists()


def test_two_programs_keep_what_was_changed_in_each(path):
    one, other = Preferences(path), Preferences(path)
    one.set(device="cpu")
    other.set(annotator="B")
    one.set(annotator="A")
    assert Preferences(path).chosen == Choices(device="cpu", annotator="A")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b'{"format": "1"}', b"[" * 100_000, b"7"]
)
def test_damaged_file_is_ignored_with_a_sentence_and_replaced(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    preferences = Preferences(path)
    assert preferences.chosen == Choices()
    assert "is damaged" in preferences.notice
    preferences.set(device="cpu")
    assert preferences.notice == ""
    assert Preferences(path).chosen.device == "cpu"


def test_file_of_a_later_version_is_ignored_and_stays(path):
    path.parent.mkdir()
    content = json.dumps({"format": 2, "device": ["cuda"]})
    path.write_text(content)
    preferences = Preferences(path)
    assert preferences.chosen == Choices()
    assert "later version" in preferences.notice
    preferences.set(device="cpu")
    assert preferences.chosen.device == "cpu"
    assert path.read_text() == content


@pytest.mark.parametrize(
    "wrong",
    [
        {"overlap": "mine"},
        {"tidy": 1},
        {"cache_quota": 5},
        {"cache_quota": True},
        {"cache_quota": 10**30},
        {"keys": ["Enter"]},
        {"keys": {"prompting.commit": 7}},
        {"model": None},
        {"annotator": "a\nb"},
        {"cache_folder": "x" * 5000},
    ],
)
def test_values_that_cannot_be_are_left_out(path, wrong):
    path.parent.mkdir()
    path.write_text(json.dumps({"format": 1, "device": "cpu", "unknown": 3, **wrong}))
    assert Preferences(path).chosen == Choices(device="cpu")


def test_a_disk_that_refuses_is_said(path):
    path.parent.write_text("a file where the folder should be")
    preferences = Preferences(path)
    preferences.set(device="cpu")
    assert preferences.chosen.device == "cpu"
    assert "are not kept" in preferences.notice


def test_folder_of_the_environment_cannot_be(monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_CONFIG_DIR", "~nobody-of-this-name/x")
    preferences = Preferences()
    preferences.set(device="cpu")
    assert "NAPARI_SAM_CONFIG_DIR" in preferences.notice


def test_folder_of_the_environment_is_used(config_folder):
    Preferences().set(device="cpu")
    assert (config_folder / "preferences.json").exists()


def test_cache_is_where_and_as_large_as_chosen(tmp_path, monkeypatch):
    chosen = Choices(cache_folder=str(tmp_path / "planes"), cache_quota=10**9)
    monkeypatch.delenv("NAPARI_SAM_CACHE_DIR", raising=False)
    disk = disk_cache(chosen)
    assert (disk.folder, disk.quota_bytes) == (tmp_path / "planes", 10**9)
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(tmp_path / "environment"))
    assert cache_folder(chosen) == Path(tmp_path / "environment")
