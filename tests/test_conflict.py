"""The older plugin of the same import name."""

from __future__ import annotations

import pytest

from napari_sam import conflict
from napari_sam.cli.parser import main


@pytest.fixture
def old_plugin(tmp_path, monkeypatch):
    """Pretend that the older plugin is installed."""
    folder = tmp_path / "napari_sam-0.4.13.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: napari-sam\nVersion: 0.4.13\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_alone():
    assert conflict.conflict() is None


def test_old_plugin_is_named_with_its_remedy(old_plugin):
    said = conflict.conflict()
    assert "0.4.13" in said
    assert "pip uninstall napari-sam" in said


def test_command_line_says_so(old_plugin, capsys):
    assert main(["models"]) == 0
    assert "pip uninstall napari-sam" in capsys.readouterr().err
