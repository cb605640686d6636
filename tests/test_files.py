"""Files that a result is written to."""

from __future__ import annotations

import pytest

from napari_sam import files


def test_no_place_for_the_result(tmp_path, monkeypatch):
    for target in (tmp_path / "no" / "labels.tif", tmp_path):
        with pytest.raises(ValueError, match="no place for the result"):
            files.check_target(target, None, overwrite=True)
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="write-protected"):
        files.check_target(tmp_path / "labels.tif", None, overwrite=True)


def test_a_text_is_written_beside_and_renamed(tmp_path):
    path = tmp_path / "a.json"
    files.write_text(path, "[]", None, overwrite=False)
    assert path.read_text() == "[]"
    with pytest.raises(ValueError, match="--overwrite"):
        files.write_text(path, "[1]", None, overwrite=False)
    assert list(tmp_path.iterdir()) == [path]
