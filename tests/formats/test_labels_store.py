"""Labels in a folder: made, continued, refused; what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_sam.formats import labels_store
from napari_sam.formats.labels_store import (
    check_folder,
    free_name,
    largest_label,
    needs_folder,
    open_labels,
)
from napari_sam.steps import drive

SHAPE = (4, 6, 8)


def make(folder, name="objects", shape=SHAPE, displayed=(1, 2)):
    axes = "tzyx"[-len(shape) :]
    return open_labels(folder, name, shape, displayed, axes, {"scale": [2.0, 1.0, 1.0]})


def test_only_stacks_over_the_limit_need_a_folder():
    assert not needs_folder((250, 1000, 1000))  # a billion bytes
    assert needs_folder((251, 1000, 1000))
    assert not needs_folder((40_000, 40_000))  # one plane
    assert needs_folder((10**6, 10**6, 10**6))  # more than 64 bits


def test_a_new_array_has_one_plane_to_a_chunk(tmp_path):
    array = make(tmp_path / "new")
    assert array.shape == SHAPE
    assert array.dtype == np.int32
    assert array.chunks == (1, 6, 8)
    array[2, 1:3, 1:3] = 5
    stored = tmp_path / "new" / "objects.zarr"
    files = sorted(p.relative_to(stored).as_posix() for p in stored.rglob("*") if p.is_file())
    assert files == ["c/2/0/0", "zarr.json"]
    header = json.loads((stored / "zarr.json").read_text())
    assert header["zarr_format"] == 3
    assert header["dimension_names"] == ["z", "y", "x"]
    assert header["attributes"]["scale"] == [2.0, 1.0, 1.0]


def test_a_plane_is_what_is_displayed(tmp_path):
    assert make(tmp_path, displayed=(2, 0)).chunks == (4, 1, 8)


def test_labels_are_continued_and_never_overwritten(tmp_path):
    make(tmp_path)[1, 2, 3] = 7
    again = make(tmp_path)
    assert again[1, 2, 3] == 7
    again[3, 0, 0] = 8
    assert np.asarray(make(tmp_path)[:]).sum() == 15


@pytest.mark.parametrize("shape", [(4, 6, 9), (4, 6), (2, 4, 6, 8)])
def test_labels_of_another_shape_are_refused(tmp_path, shape):
    make(tmp_path, shape=shape, displayed=(0, 1))[...] = 3
    with pytest.raises(ValueError, match=r"objects.zarr.*\(4, 6, 8\).*new or an empty folder"):
        make(tmp_path)
    assert (zarr.open_array(tmp_path / "objects.zarr", mode="r")[...] == 3).all()


def test_what_is_not_labels_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="notes.txt"):
        check_folder(tmp_path, SHAPE)
    (tmp_path / "notes.txt").unlink()
    check_folder(tmp_path, SHAPE)
    (tmp_path / ".DS_Store").touch()  # a file manager's
    check_folder(tmp_path, SHAPE)
    (tmp_path / "objects.zarr").mkdir()
    (tmp_path / "objects.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(ValueError, match="objects.zarr"):
        check_folder(tmp_path, SHAPE)


@pytest.mark.parametrize(
    "options", [{"dtype": "float32"}, {"dtype": "int32", "chunks": (1, 2, 2), "shards": (2, 6, 8)}]
)
def test_arrays_that_are_not_ours_are_refused(tmp_path, options):
    zarr.create_array(tmp_path / "objects.zarr", shape=SHAPE, **options)
    with pytest.raises(ValueError, match="objects.zarr"):
        make(tmp_path)


def damage(place, case):
    """Damage an array in one of the ways in which disks, people and programs do."""
    header = place / "zarr.json"
    values = json.loads(header.read_text())
    if case in ("[]", "null", "3", "{", ""):
        header.write_text(case)
    elif case == "binary":
        header.write_bytes(bytes(range(256)))
    elif case == "no header":
        header.unlink()
    elif case == "header is a folder":
        header.unlink()
        header.mkdir()
    elif case == "loop":
        header.unlink()
        header.symlink_to(header)
    elif case == "folder loop":
        for path in sorted(place.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        place.rmdir()
        place.symlink_to(place)
    else:
        key, value = case
        header.write_text(json.dumps({**values, key: value}))


@pytest.mark.parametrize(
    "case",
    [
        "[]", "null", "3", "{", "", "binary", "no header", "header is a folder", "loop",
        "folder loop", ("fill_value", "NaN"), ("fill_value", 7), ("fill_value", None),
        ("shape", [4, 6]), ("shape", None), ("shape", "many"), ("data_type", "float32"),
        ("data_type", None), ("codecs", []), ("codecs", [{"name": "unknown"}]), ("codecs", None),
        ("chunk_grid", []), ("chunk_key_encoding", 1), ("zarr_format", 9), ("node_type", "group"),
    ],
)  # fmt: skip
def test_damaged_arrays_are_refused_in_a_sentence(tmp_path, case):
    make(tmp_path)[1, 2, 3] = 7
    damage(tmp_path / "objects.zarr", case)
    with pytest.raises(ValueError, match=r"objects.zarr|no place for labels") as caught:
        make(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 5, 20])
def test_a_damaged_chunk_is_named(tmp_path, kept):
    array = make(tmp_path)
    array[:] = np.arange(array.size).reshape(array.shape)
    chunk = tmp_path / "objects.zarr" / "c" / "2" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"objects.zarr that begins at \[2, 0, 0\] is damaged"):
        drive(largest_label(make(tmp_path)))


HOLDS = """
import sys
from pathlib import Path
from napari_sam.formats.labels_store import open_labels
array = open_labels(Path(sys.argv[1]), "objects", (4, 6, 8), (1, 2), "zyx", {})
print("open", flush=True)
sys.stdin.read()
"""


def test_a_folder_belongs_to_one_program_at_a_time(tmp_path):
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout.readline() == "open\n"
    for name in ("objects", "everything"):
        with pytest.raises(ValueError, match="another program writes labels to"):
            make(tmp_path, name)
    other.communicate("")
    first, second = make(tmp_path), make(tmp_path, "everything")
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    options = {"input": "", "capture_output": True, "text": True}
    del first
    assert "another program" in subprocess.run(command, **options).stderr
    del second
    assert subprocess.run(command, **options).returncode == 0


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        make(tmp_path / "file")


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="nothing is write-protected here")
def test_a_protected_folder_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="write-protected"):
        make(tmp_path)


def test_a_place_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="no place for labels"):
        make(tmp_path / "file" / "below")


def test_names_that_are_taken(tmp_path):
    assert free_name(tmp_path, "everything") == "everything"
    make(tmp_path, "everything")
    assert free_name(tmp_path, "everything") == "everything 2"
    make(tmp_path, "everything 2")
    assert free_name(tmp_path, "everything") == "everything 3"


def test_only_written_planes_are_read_to_find_the_largest(tmp_path):
    array = open_labels(tmp_path, "objects", (10_000, 2000, 2000), (1, 2), "zyx", {})
    assert list(largest_label(array)) == []
    assert drive(largest_label(array)) == 0
    array[7, 5, 5] = 41
    array[9000, 5, 5] = 12
    assert [(step.done, step.total) for step in largest_label(array)] == [(1, 2), (2, 2)]
    assert drive(largest_label(array)) == 41
    array[8000, 1999, 1999] = 99
    assert drive(largest_label(array)) == 99


@pytest.mark.parametrize("shape", [(6, 8), (4, 6, 8), (2, 4, 6, 8)])
def test_the_largest_label_of_an_array_in_memory(shape):
    labels = np.zeros(shape, np.int32)
    assert drive(largest_label(labels)) == 0
    labels[..., 3, 5] = np.arange(1, 1 + labels[..., 3, 5].size).reshape(shape[:-2])
    assert drive(largest_label(labels)) == int(np.prod(shape[:-2]))
    assert drive(largest_label(da.from_array(labels))) == int(np.prod(shape[:-2]))


WRITER = """
import sys
from pathlib import Path
import numpy as np
from napari_sam.formats.labels_store import open_labels
array = open_labels(Path(sys.argv[1]), "objects", (8, 1500, 1500), (1, 2), "zyx", {})
noise = np.random.default_rng(0).integers(1, 2**30, (1500, 1500), np.int32)  # hard to compress
print("writing", flush=True)
while True:
    for z in range(8):
        array[z] = noise + z
"""


def test_a_kill_leaves_whole_planes(tmp_path):
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "writing\n"
    time.sleep(0.7)
    writer.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    noise = np.random.default_rng(0).integers(1, 2**30, (1500, 1500), np.int32)
    array = open_labels(tmp_path, "objects", (8, 1500, 1500), (1, 2), "zyx", {})
    written = [z for z in range(8) if np.any(array[z])]
    assert written
    for z in written:
        assert np.array_equal(array[z], noise + z)
    largest = drive(largest_label(array))
    assert largest == int(noise.max()) + max(written)


def test_importing_loads_no_zarr():
    code = "import sys; import napari_sam.formats.labels_store; sys.exit('zarr' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert labels_store.LIMIT_BYTES == 10**9
