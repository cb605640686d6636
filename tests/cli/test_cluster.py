"""`--cluster`: results of one machine, killed workers, killed clients, errors."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module

import distributed
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from napari_sam.cli import cluster as clusters
from napari_sam.cli import cluster_checks, cluster_stack, cluster_tasks
from napari_sam.cli import parser as cli
from napari_sam.cli.cluster_folder import NOTES, take_notes
from napari_sam.cli.cluster_tasks import FileTask, do_file
from napari_sam.cli.manifest import LOCK, MANIFEST, Manifest, locked
from napari_sam.stack.blocks import NAMES

PLANES = 12


def disc(path, radius=5, size=32):
    y, x = np.mgrid[:size, :size]
    image = np.full((size, size), 20, np.uint8)
    image[np.hypot(x - size // 2, y - size // 2) <= radius] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture(scope="module")
def three():
    """A cluster of three workers."""
    with distributed.LocalCluster(
        n_workers=3, threads_per_worker=1, dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """An OME-Zarr of planes with two balls, and its labels from a run on one machine."""
    folder = tmp_path_factory.mktemp("stack")
    z, y, x = np.mgrid[:PLANES, :48, :64]
    image = np.random.default_rng(0).normal(50, 4, z.shape)
    for cz, cy, cx in ((4, 20, 16), (7, 28, 46)):
        image[(2 * (z - cz)) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < 81] += 150
    group = zarr.open_group(folder / "image.ome.zarr", mode="w")
    array = group.create_array("0", shape=z.shape, chunks=(1, 48, 64), dtype="uint8")
    array[:] = image.astype(np.uint8)
    axes = [{"name": one, "type": "space"} for one in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {
        "version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]
    }  # fmt: skip
    alone = folder / "alone.ome.zarr"
    assert cli.main(["everything", str(group.store.root), "-o", str(alone)]) == 0
    return group.store.root, alone


@pytest.fixture
def kept_planes(monkeypatch):
    """Note when each plane of a run was written, just before they are removed."""
    noted = {}
    remove = cluster_stack.shutil.rmtree

    def removing(folder, **options):
        noted.update(times(folder))
        remove(folder, **options)

    monkeypatch.setattr(cluster_stack.shutil, "rmtree", removing)
    return noted


def times(folder):
    chunks = folder.glob(f"{NAMES}/c/*/*/*")
    return {one.parts[-3]: one.stat().st_mtime_ns for one in chunks if one.is_file()}


FREE = 3
"""Planes that workers do before they wait for `held`."""


@pytest.fixture
def held(three, tmp_path):
    """A file; while it is there, workers wait before they keep a plane beyond the first ones."""
    gate = tmp_path.with_name(f"{tmp_path.name}.gate")
    gate.touch()

    def hold(path):
        from pathlib import Path

        from napari_sam.stack.blocks import KeptPlanes

        write = KeptPlanes.write

        def waiting(self, key, labels):
            while dict(key.fixed)[0] >= 3 and Path(path).exists():
                time.sleep(0.02)
            write(self, key, labels)

        KeptPlanes.write = waiting

    with distributed.Client(three, set_as_default=False) as client:
        client.run(hold, str(gate))
    yield gate
    gate.unlink(missing_ok=True)


def same(one, other):
    a, b = (zarr.open_group(path, mode="r") for path in (one, other))
    assert a["0"][:].max() > 0
    assert np.array_equal(a["0"][:], b["0"][:])
    assert dict(a.attrs) == dict(b.attrs)


@pytest.mark.slow  # workers load the model
def test_a_killed_worker_costs_its_block_only(three, stack, held, tmp_path, kept_planes, capsys):
    image, alone = stack
    out = tmp_path / "labels.ome.zarr"
    kept = tmp_path / ".labels.ome.zarr.blocks"
    with distributed.Client(three, set_as_default=False) as client:
        pids = client.run(os.getpid)
    ended, early = threading.Event(), {}

    def kill_one():
        while not early and not ended.wait(0.02):
            workers = list(three.scheduler.workers.items())
            busy = [name for name, one in workers if one.processing and name in pids]
            done = times(kept)
            if busy and len(done) == FREE:
                os.kill(pids[busy[0]], getattr(signal, "SIGKILL", signal.SIGTERM))
                early.update(done)
                held.unlink()

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        address = three.scheduler_address
        arguments = ["everything", image, "-o", out, "--cluster", address]
        assert cli.main([str(one) for one in arguments]) == 0
    finally:
        ended.set()
        killer.join()
    assert "dashboard of the cluster: http" in capsys.readouterr().err
    assert 1 <= len(early) < PLANES
    assert early.items() <= kept_planes.items()
    assert len(kept_planes) == PLANES
    same(out, alone)
    assert [one.name for one in tmp_path.iterdir()] == [out.name]


@pytest.mark.slow
def test_a_killed_client_goes_on(three, stack, held, tmp_path, kept_planes, succeed):
    image, alone = stack
    out = tmp_path / "labels.ome.zarr"
    kept = tmp_path / ".labels.ome.zarr.blocks"
    arguments = ["everything", image, "-o", out, "--cluster", three.scheduler_address]
    command = [sys.executable, "-m", "napari_sam", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(times(kept)) < FREE:
            time.sleep(0.02)
        process.kill()
    early = times(kept)
    held.unlink()
    assert not out.exists()
    assert len(early) == FREE
    found = json.loads(succeed(*arguments))
    assert found["model"] == "pocket"
    assert early.items() <= kept_planes.items()
    same(out, alone)


@pytest.mark.slow
def test_files_on_a_cluster(three, tmp_path, capsys):
    data = tmp_path / "data"
    for k in range(3):
        disc(data / "sub" / f"{k}.png", 4 + k)
    (data / "bad.png").write_bytes((data / "sub" / "0.png").read_bytes()[:50])
    found = {}
    for name, more in (("alone", []), ("many", ["--cluster", three.scheduler_address])):
        arguments = ["everything", str(data), "-o", str(tmp_path / name), "--to", "npy", *more]
        assert cli.main(arguments) == 1
        summary = json.loads(capsys.readouterr().out)
        assert (summary["done"], list(summary["failed"])) == (3, ["bad.png"])
        lines = (tmp_path / name / MANIFEST).read_text().splitlines()
        found[name] = {(r["file"], r["outcome"]): r for r in map(json.loads, lines)}
    for key, line in found["alone"].items():
        other = found["many"].pop(key)
        assert {k: v for k, v in line.items() if k != "seconds"} == {
            k: v for k, v in other.items() if k != "seconds"
        }
    assert not found["many"]
    here = {one.name for one in (tmp_path / "many").iterdir()}
    assert here == {"sub", MANIFEST, LOCK}
    assert cli.main([*arguments]) == 1
    assert json.loads(capsys.readouterr().out)["done_before"] == 3


def write(args, say):
    """Stand for a command: write a file as commands do."""
    from napari_sam.files import check_target, replacing

    check_target(args.output, None, args.overwrite)
    with replacing(args.output) as partial:
        partial.write_text("labels")
    say("a note", keep=True)
    return json.dumps({"objects": 1})


def test_a_file_whose_worker_ended_after_writing_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_tasks, "_model", lambda source: None)
    notes = tmp_path / NOTES
    notes.mkdir()
    line = {"file": "a.png", "result": "sub/a.tif", "sha256": "1", "place": "2"}
    args = {"output": tmp_path / "sub" / "a.tif", "overwrite": False}
    task = FileTask(None, write, args, line, frozenset(), notes / "1.json")
    first, again = do_file(task), do_file(task)  # the second one as another worker
    assert first.results == again.results
    assert first.notes == ("a note",)
    manifest = Manifest(tmp_path)
    take_notes(tmp_path, manifest)
    assert not notes.exists()
    assert Manifest(tmp_path).versions("sub/a.tif", line) == [first.results]
    with pytest.raises(ValueError, match="exists"):  # it is that of another run now
        do_file(task)


def test_a_file_of_others_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_tasks, "_model", lambda source: None)
    (tmp_path / "a.tif").write_text("foreign")
    line = {"file": "a.png", "result": "a.tif", "sha256": "1", "place": "2"}
    args = {"output": tmp_path / "a.tif", "overwrite": True}
    task = FileTask(None, write, args, line, frozenset(), tmp_path / "1.json")
    with pytest.raises(ValueError, match="move it away"):
        do_file(task)
    assert (tmp_path / "a.tif").read_text() == "foreign"


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("here", "--cluster is local, local:N for N workers, or tcp://HOST:PORT, but is 'here'"),
        ("local:0", "is local, local:N"),
        ("tcp://nowhere", "is local, local:N"),
        ("tcp://127.0.0.1:9", "no scheduler answers at tcp://127.0.0.1:9"),
    ],
)
def test_wrong_clusters(fail, volume, tmp_path, monkeypatch, where, sentence):
    monkeypatch.setattr(clusters, "CONNECT", 0.2)
    line = fail("everything", volume, "-o", tmp_path / "a.tif", "--cluster", where)
    assert sentence in line
    assert [one.name for one in tmp_path.iterdir() if "a.tif" in one.name] == []


def test_what_a_cluster_cannot_do(fail, plane, tmp_path):
    out = tmp_path / "a.tif"
    line = fail("everything", plane, "-o", out, "--cluster", "local")
    assert "several images or a stack" in line
    line = fail("segment", plane, "-o", out, "--cluster", "local", "--point", "3,4")
    assert "--cluster is for several images" in line


def test_dask_is_an_extra(fail, volume, tmp_path, monkeypatch):
    def absent(name):
        if name == "distributed":
            raise ImportError
        return import_module(name)

    monkeypatch.setattr(clusters, "import_module", absent)
    line = fail("everything", volume, "-o", tmp_path / "a.tif", "--cluster", "local")
    assert 'pip install "napari-sam-stack[distributed]"' in line


def test_a_scheduler_without_workers(fail, volume, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_checks, "FIRST_WORKER", 0.2)
    with distributed.LocalCluster(
        n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL
    ) as empty:
        address = empty.scheduler_address
        line = fail("everything", volume, "-o", tmp_path / "a.tif", "--cluster", address)
    assert "has no worker; start one with: dask worker" in line


class FakeClient:
    """Stands for workers of another machine."""

    def __init__(self, answers):
        self.answers = answers

    def wait_for_workers(self, count, timeout):
        pass

    def run(self, function, *given, on_error="raise"):
        return {"tcp://worker:1": self.answers(function, *given)}

    def scheduler_info(self, n_workers):
        return {"workers": {"tcp://worker:1": {"nthreads": 8}}}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (ModuleNotFoundError("No module named 'napari_sam'"), "lacks this program"),
        ("0.0.1", "has napari-sam-stack 0.0.1, but this is"),
    ],
)
def test_workers_of_another_program(answer, sentence):
    with pytest.raises(ValueError, match=sentence):
        cluster_checks.check_workers(
            FakeClient(lambda *given: answer), "tcp://a:1", lambda *told: None
        )


def test_threads_that_are_not_used_are_told():
    told = []
    client = FakeClient(lambda *given: cluster_checks.__version__)
    cluster_checks.check_workers(client, "tcp://a:1", lambda text, keep: told.append(text))
    assert told[0].startswith("1 workers have several threads")


def test_workers_that_do_not_see_the_files(tmp_path):
    image = tmp_path / "image.tif"
    tifffile.imwrite(image, np.zeros((4, 4), np.uint8))
    cluster_checks.check_files(
        FakeClient(lambda function, *given: function(*given)), [image], tmp_path
    )
    for hidden in (image.name, "."):

        def seen(function, path, *more, hidden=hidden):
            return not path.split("/")[-1].startswith(hidden)

        with pytest.raises(ValueError, match="does not see .*; all machines need to see the same"):
            cluster_checks.check_files(FakeClient(seen), [image], tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [image.name]


def test_a_refused_run_leaves_the_first_one_alone(fail, volume, tmp_path):
    folder = tmp_path / ".a.ome.zarr.blocks"
    with locked(folder):
        line = fail("everything", volume, "-o", tmp_path / "a.ome.zarr", "--cluster", "local:1")
        assert "another run writes to" in line
        assert (folder / LOCK).exists()


def test_a_file_that_an_older_worker_ends_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster_tasks, "_model", lambda source: None)
    line = {"file": "a.png", "result": "a.tif", "sha256": "1", "place": "2"}
    note = tmp_path / "1.json"

    def late(args, say):
        note.write_text(json.dumps({**line, "results": {"a.tif": "0"}}))
        from napari_sam.files import replacing

        with replacing(args.output) as partial:
            args.output.write_text("older")
            partial.write_text("labels")
        return json.dumps({"objects": 1})

    args = {"output": tmp_path / "a.tif", "overwrite": False}
    do_file(FileTask(None, late, args, line, frozenset(), note))
    assert (tmp_path / "a.tif").read_text() == "labels"
