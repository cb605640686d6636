"""The command line as a program: start, errors, progress."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tiny import SceneModel

import napari_sam
from napari_sam.cli import commands
from napari_sam.cli import parser as cli


@pytest.mark.parametrize("arguments", [["models"], ["cache"], ["--help"], ["everything", "--help"]])
def test_torch_is_not_loaded_for_nothing(arguments):
    program = (
        "import sys; from napari_sam.cli import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit: pass\n"
        "wrong = {'torch', 'napari', 'qtpy'} & set(sys.modules)\n"
        "sys.exit(f'{wrong} loaded' if wrong else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_python_m_is_the_command_line():
    command = [sys.executable, "-m", "napari_sam", "segment", "no.tif", "-o", "a.tif"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "napari-sam: there is no file no.tif\n"


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert caught.value.code == 0
    assert napari_sam.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["fly"], ["segment"], ["segment", "a.tif"]])
def test_incomplete_command_lines(fail, arguments):
    fail(*arguments)


def test_interruption(fail, monkeypatch, plane, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "loading", interrupt)
    line = fail("everything", plane, "-o", tmp_path / "a.tif", code=130)
    assert line == "napari-sam: interrupted"


def test_full_memory_is_told(fail, monkeypatch, plane, tmp_path):
    def full(*_):
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(commands, "loading", full)
    assert "not enough memory" in fail("everything", plane, "-o", tmp_path / "a.tif")


def test_other_errors_of_torch_are_not_hidden(monkeypatch, plane, tmp_path):
    def broken(*_):
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(commands, "loading", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        cli.main(["everything", str(plane), "-o", str(tmp_path / "a.tif")])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_device_that_is_not_used_is_told(capsys, monkeypatch, stub, plane, tmp_path, terminal):
    sentence = "pocket runs on the CPU, because mps fails"
    monkeypatch.setattr(SceneModel, "notice", sentence)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    code = cli.main(["everything", str(plane), "-o", str(tmp_path / "a.tif")])
    captured = capsys.readouterr()
    assert code == 0
    lines = [line.rpartition("\x1b[K")[2] for line in captured.err.splitlines()]
    assert f"napari-sam: {sentence}" in lines
    assert json.loads(captured.out)["objects"] == 2


def test_progress_into_a_file_says_nothing_twice(capsys, monkeypatch):
    monkeypatch.setattr(cli, "PAUSE", 0.0)
    reporter = cli.Reporter()
    for text in ("loading pocket", "loading pocket", "point 1 of 2"):
        reporter.say(text)
    assert capsys.readouterr().err == "loading pocket\npoint 1 of 2\n"
