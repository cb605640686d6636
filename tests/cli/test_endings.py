"""Commands that are stopped from outside: signals, closed pipes."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from napari_sam.cli import endings

WRITES_SLOWLY = """
import signal, sys, time
from napari_sam.cli import everything, parser
from napari_sam.files import replacing

# tests that run in the background of a shell inherit that it is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)

def slow(args, say):
    with replacing(args.output) as partial:
        partial.write_text("half")
        print("writing", flush=True)
        time.sleep(60)

everything.everything = slow
sys.exit(parser.main(["everything", "a.tif", "-o", sys.argv[1]]))
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_leaves_nothing_behind(tmp_path, name):
    number = getattr(signal, name)
    target = tmp_path / "labels.tif"
    target.write_text("earlier")
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES_SLOWLY, str(target)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert errors in ("napari-sam: terminated\n", "napari-sam: interrupted\n")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "earlier"


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["models"], 0),
        (["segment", "no.tif", "-o", "a.tif"], 2),
    ],
)
def test_a_closed_pipe_is_no_traceback(arguments, status, stream):
    reader, writer = os.pipe()
    os.close(reader)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: writer}
    command = [sys.executable, "-m", "napari_sam", *arguments]
    done = subprocess.run(command, text=True, **streams)
    os.close(writer)
    unread = stream == "stdout" and arguments == ["models"]
    assert done.returncode == (141 if unread else status)
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in (text or "")
        assert "BrokenPipe" not in (text or "")


@pytest.mark.skipif(os.name == "nt", reason="there is no such shell")
def test_streams_that_are_closed_from_the_start(tmp_path):
    command = f"{sys.executable} -m napari_sam segment no.tif -o a.tif >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("variable", "command"),
    [("NAPARI_SAM_CACHE_DIR", "cache"), ("NAPARI_SAM_MODELS", "models")],
)
def test_a_folder_in_an_unknown_home_is_a_sentence(fail, monkeypatch, variable, command):
    monkeypatch.setenv(variable, "~nobody-of-this-name/folder")
    assert f"unknown user; set {variable}" in fail(command)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
@pytest.mark.parametrize("arguments", [["--help"], ["models"]])
def test_a_full_disk_behind_stdout_is_a_sentence(arguments):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "napari_sam", *arguments]
        done = subprocess.run(command, text=True, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr == "napari-sam: stdout cannot be written to: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device")
def test_progress_that_cannot_be_written_ends_nothing():
    with Path("/dev/full").open("w") as full:
        assert endings.written("plane 1", full) is not None
        assert endings.written("plane 2", full) is None  # redirected


def test_characters_that_a_stream_cannot_encode_are_escaped():
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    assert endings.written("\u00e9\udcff", stream) is None
    assert stream.buffer.getvalue() == b"\\xe9\\udcff"
