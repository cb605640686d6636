"""`segment` and `everything` over folders, globs and lists: bad files, resuming, the record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from filelock import FileLock
from medical import phantom, write_series
from PIL import Image
from tiny import SceneModel

from napari_sam.cli import commands
from napari_sam.cli import parser as cli
from napari_sam.cli.kept_results import digest_of
from napari_sam.cli.manifest import LOCK, MANIFEST, Manifest
from napari_sam.formats.coco_files import read_coco
from napari_sam.images import readers as io

TESTS = Path(__file__).parents[1]
CLICK = ("--point", "8,7")
OURS = {MANIFEST, LOCK}


def picture(path, radius=3, size=16):
    """Write an image with a bright disc."""
    y, x = np.mgrid[:size, :size]
    image = np.full((size, size), 20, np.uint8)
    image[np.hypot(x - size // 2, y - size // 2 + 1) <= radius] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return image


def pictures(folder, count):
    for k in range(count):
        picture(folder / f"{k:04d}.png", 3 + k % 3)


def lines(folder):
    return [json.loads(line) for line in (folder / MANIFEST).read_text().splitlines()]


def results(folder):
    """Return the files of results, but the manifest, and when each was written."""
    files = (one for one in folder.rglob("*") if one.is_file() and one.name not in OURS)
    return {one.relative_to(folder).as_posix(): one.stat().st_mtime_ns for one in files}


@pytest.fixture
def run(capsys):
    """Return what runs a command over several images: its code, its summary, its last lines."""

    def go(*arguments):
        code = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err.splitlines()

    return go


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_one_corrupt_file_of_many_is_named(stub, run, tmp_path, count):
    data, out = tmp_path / "data", tmp_path / "out"
    pictures(data, count)
    bad = data / "0007.png"
    bad.write_bytes(bad.read_bytes()[:40])
    code, found, errors = run("segment", data, "-o", out, *CLICK)
    assert code == 1
    assert (found["files"], found["done"], found["objects"]) == (count, count - 1, count - 1)
    assert list(found["failed"]) == ["0007.png"]
    named = [line for line in errors if line.startswith("napari-sam: ")]
    assert len(named) == 1
    assert "0007.png" in named[0]
    assert str(tmp_path) not in named[0]
    assert sorted(results(out)) == [f"{k:04d}.tif" for k in range(count) if k != 7]
    before = results(out)
    picture(bad)
    code, found, _ = run("segment", data, "-o", out, *CLICK)
    assert (code, found["done"], found["done_before"]) == (0, 1, count - 1)
    assert before.items() <= results(out).items()


def test_the_manifest_says_what_was_done(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    picture(data / "sub" / "a.png")
    (data / "b.png").write_text("broken")
    run("segment", data, "-o", out, *CLICK, "--to", "npy")
    assert str(tmp_path) not in (out / MANIFEST).read_text()
    failed, begun, done = lines(out)
    assert (failed["file"], failed["outcome"]) == ("b.png", "failed")
    assert "is not an image" in failed["reason"]
    assert begun["outcome"] == "begun"
    assert sorted(begun) == ["file", "outcome", "place", "result", "results", "sha256"]
    assert begun["results"] == done["results"]
    assert (done["file"], done["result"], done["objects"]) == ("sub/a.png", "sub/a.npy", 1)
    assert done["sha256"] == digest_of(data / "sub" / "a.png")
    assert done["results"] == {"sub/a.npy": digest_of(out / "sub" / "a.npy")}
    assert (done["model"], done["fingerprint"]) == ("stub", "stub")
    assert done["parameters"]["point"] == ["8,7"]
    assert done["seconds"] > 0


def test_the_model_is_loaded_once(stub, run, tmp_path, monkeypatch):
    loads = []

    def loading(*given):
        loads.append(given)
        yield from ()
        return SceneModel()

    monkeypatch.setattr(commands, "loading", loading)
    pictures(tmp_path / "data", 3)
    run("segment", tmp_path / "data", "-o", tmp_path / "out", *CLICK)
    assert len(loads) == 1


def test_progress_counts_the_files(stub, run, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "PAUSE", 0)
    pictures(tmp_path / "data", 2)
    _, _, errors = run("segment", tmp_path / "data", "-o", tmp_path / "out", *CLICK)
    assert "file 1 of 2: 0000.png" in errors


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tiny import SceneModel
from napari_sam.cli import commands, parser

class Slow(SceneModel):
    def encode(self, rgb):
        time.sleep(0.05)
        return super().encode(rgb)

def loading(*given):
    yield from ()
    return Slow()

commands.loading = loading
sys.exit(parser.main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_killed_run_goes_on(stub, run, tmp_path, name):
    data, out = tmp_path / "data", tmp_path / "out"
    pictures(data, 30)
    arguments = [str(one) for one in ("segment", data, "-o", out, *CLICK)]
    command = [sys.executable, "-c", KILLED, str(TESTS), *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out / "0004.tif").exists():
        pass
    process.send_signal(getattr(signal, name))
    process.communicate(timeout=30)
    finished = {one["result"] for one in lines(out) if one["outcome"] == "done"}
    before = results(out)
    assert 4 <= len(finished) < 30
    code, found, _ = run(*arguments)
    assert (code, found["done"]) == (0, 30 - len(finished))
    assert found["done_before"] == len(finished)
    after = results(out)
    assert sorted(after) == [f"{k:04d}.tif" for k in range(30)]  # and nothing half-done
    assert all(after[one] == before[one] for one in finished)


def test_a_torn_line_of_the_manifest_is_ignored(tmp_path):
    Manifest(tmp_path).add(result="a", outcome="done")
    with (tmp_path / MANIFEST).open("a") as file:
        file.write('{"result": "b", "outc')
    again = Manifest(tmp_path)
    assert again.done("a") is not None
    assert again.done("b") is None
    again.add(result="c", outcome="done")
    assert Manifest(tmp_path).done("c") is not None


@pytest.mark.parametrize("change", ["input", "parameters", "removed", "truncated", "overwrite"])
def test_what_is_no_longer_true_is_done_again(stub, run, tmp_path, change):
    data, out = tmp_path / "data", tmp_path / "out"
    for k in range(2):
        image = picture(data / f"{k:04d}.png", 3 + k)
        image[12:, 12:] = 200  # a second object
        Image.fromarray(image).save(data / f"{k:04d}.png")
    arguments = ["segment", data, "-o", out, *CLICK]
    run(*arguments)
    earlier = io.read_image(out / "0001.tif").data
    again = 1
    if change == "input":
        picture(data / "0001.png", 5)
    elif change == "parameters":
        arguments, again = ["segment", data, "-o", out, "--point", "14,14"], 2
    elif change == "removed":
        (out / "0001.tif").unlink()
    elif change == "truncated":
        (out / "0001.tif").write_bytes((out / "0001.tif").read_bytes()[:100])
    else:
        arguments, again = [*arguments, "--overwrite"], 2
    code, found, _ = run(*arguments)
    assert (code, found["done"], found["done_before"]) == (0, again, 2 - again)
    run(*arguments[:3], tmp_path / "fresh", *arguments[4:])
    for name in ("0000.tif", "0001.tif"):
        fresh = io.read_image(tmp_path / "fresh" / name).data
        assert fresh.any()
        assert np.array_equal(io.read_image(out / name).data, fresh)
    differs = not np.array_equal(io.read_image(out / "0001.tif").data, earlier)
    assert differs == (change in ("input", "parameters"))


def test_corrected_results_are_not_replaced(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    pictures(data, 2)
    run("segment", data, "-o", out, *CLICK)
    tifffile.imwrite(out / "0001.tif", np.full((16, 16), 9, np.uint8))
    code, found, _ = run("segment", data, "-o", out, *CLICK)
    assert (code, found["done_before"]) == (0, 2)
    code, found, _ = run("segment", data, "-o", out, "--point", "7,7")
    assert (code, list(found["failed"])) == (1, ["0001.png"])
    assert "was changed after it was written" in found["failed"]["0001.png"]
    assert (io.read_image(out / "0001.tif").data == 9).all()


def test_results_of_others_are_not_replaced(stub, run, tmp_path):
    out = tmp_path / "out"
    picture(tmp_path / "one" / "a.png", 3)
    picture(tmp_path / "two" / "a.png", 5)
    picture(tmp_path / "two" / "b.png")
    run("segment", tmp_path / "one", "-o", out, *CLICK)
    (out / "b.tif").write_text("foreign")
    before = results(out)
    for _ in range(2):  # a refusal does not make them ours
        code, found, _ = run("segment", tmp_path / "two", "-o", out, *CLICK)
        assert (code, sorted(found["failed"])) == (1, ["a.png", "b.png"])
        assert all("--overwrite" in reason for reason in found["failed"].values())
        assert results(out) == before


def test_a_result_that_was_made_by_hand_is_not_replaced(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    (data / "a.png").write_text("broken")
    assert run("segment", data, "-o", out, *CLICK)[0] == 1
    tifffile.imwrite(out / "a.tif", np.full((16, 16), 9, np.uint8))
    picture(data / "a.png")
    code, found, _ = run("segment", data, "-o", out, *CLICK)
    assert (code, list(found["failed"])) == (1, ["a.png"])
    assert (io.read_image(out / "a.tif").data == 9).all()


def test_names_mirror_folders_and_never_collide(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    image = picture(data / "a.png")
    tifffile.imwrite(data / "a.tif", image)
    picture(data / "a.png.bmp")
    picture(data / "sub" / "a.png")
    picture(data / "b.png")
    tifffile.imwrite(data / "b_labels.tif", image)  # labels of b.png
    picture(data / ".hidden" / "c.png")
    (data / "notes.csv").write_text("x")
    _, found, errors = run("segment", data, "-o", out, *CLICK)
    assert found["done"] == 5
    names = ["a.png.bmp.tif", "a.png.tif", "a.tif.tif", "b.tif", "sub/a.tif"]
    assert sorted(results(out)) == names
    assert any("1 label images beside their images are left out" in line for line in errors)


def test_globs_lists_and_several_paths(stub, run, tmp_path, monkeypatch):
    data = tmp_path / "data"
    for name in ("x/a1.png", "x/a2.png", "x/b.png", "y/a1.png"):
        picture(data / name)
    run("segment", data / "*" / "a*.png", "-o", tmp_path / "glob", *CLICK)
    assert sorted(results(tmp_path / "glob")) == ["x/a1.tif", "x/a2.tif", "y/a1.tif"]
    run("segment", data / "**" / "a1.png", "-o", tmp_path / "deep", *CLICK)
    assert sorted(results(tmp_path / "deep")) == ["x/a1.tif", "y/a1.tif"]
    (data / "list.txt").write_text("# chosen\nx/a1.png\n\nx/b.png\nx/b.png\nx/none.png\n")
    code, found, _ = run("segment", data / "list.txt", "-o", tmp_path / "list", *CLICK)
    assert sorted(results(tmp_path / "list")) == ["a1.tif", "b.tif"]
    assert (code, list(found["failed"])) == (1, ["none.png"])
    monkeypatch.chdir(data)
    run("segment", "x/a1.png", "y", "-o", tmp_path / "paths", *CLICK)
    assert sorted(results(tmp_path / "paths")) == ["x/a1.tif", "y/a1.tif"]
    run("segment", "x/a1.png", "-o", tmp_path / "single", *CLICK)
    assert sorted(results(tmp_path / "single")) == ["a1.tif"]


def test_results_may_lie_among_the_images(stub, run, tmp_path):
    pictures(tmp_path / "data", 2)
    for before in (0, 2):
        _, found, _ = run(
            "segment", tmp_path / "data", "-o", tmp_path / "data" / "out", *CLICK, "--to", "png"
        )
        assert (found["files"], found["done_before"]) == (2, before)


def test_a_folder_of_dicom_files_is_one_image(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    picture(data / "plane.png")
    write_series(data / "1.2.840", phantom()[0])
    code, found, _ = run("everything", data, "-o", out, "--to", "nii.gz")
    assert (code, found["files"]) == (0, 2)
    assert sorted(results(out)) == ["1.2.840.nii.gz", "plane.nii.gz"]
    assert io.read_image(out / "1.2.840.nii.gz").data.shape == (7, 40, 48)


def test_prompts_of_a_folder(stub, run, tmp_path):
    data, prompts, out = tmp_path / "data", tmp_path / "prompts", tmp_path / "out"
    for name in ("a.png", "sub/b.png", "c.png"):
        picture(data / name)
    (prompts / "sub").mkdir(parents=True)
    (prompts / "a.txt").write_text("0 0.5 0.47 0.4 0.4 0.9\n")
    (prompts / "sub" / "b.csv").write_text("x,y\n8,7\n")
    code, found, _ = run("segment", data, "-o", out, "--prompts", prompts)
    assert (code, found["objects"]) == (1, 2)
    assert found["failed"] == {"c.png": "there are no prompts for c.png in prompts"}
    (prompts / "a.txt").write_text("0 0.5 0.47 0.5 0.5 0.9\n")
    _, found, _ = run("segment", data, "-o", out, "--prompts", prompts)
    assert (found["done"], found["done_before"]) == (1, 1)


def test_a_stack_that_fails_in_the_middle_leaves_nothing(run, tmp_path, monkeypatch, volume):
    class Failing(SceneModel):
        def encode(self, rgb):
            if self.encoded == 3:
                raise MemoryError
            return super().encode(rgb)

    def loading(*given):
        yield from ()
        return Failing()

    monkeypatch.setattr(commands, "loading", loading)
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(volume, data / "volume.tif")
    for form in ("tif", "ome.zarr", "sa1b"):
        out = tmp_path / form
        code, found, _ = run("everything", data, "-o", out, "--to", form)
        assert (code, found["failed"]) == (1, {"volume.tif": "not enough memory"})
        assert {one.name for one in out.iterdir()} == OURS


def test_an_interrupted_stack_leaves_nothing(fail, tmp_path, monkeypatch, volume):
    class Interrupted(SceneModel):
        def encode(self, rgb):
            if self.encoded == 3:
                raise KeyboardInterrupt
            return super().encode(rgb)

    def loading(*given):
        yield from ()
        return Interrupted()

    monkeypatch.setattr(commands, "loading", loading)
    out = tmp_path / "out"
    assert cli.main(["everything", str(volume), "-o", str(out)]) == 130
    assert [one.name for one in out.iterdir()] == [LOCK]


def test_records_of_sa1b(stub, run, tmp_path, plane, volume):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(plane, data / "plane.png")
    shutil.copy(volume, data / "volume.tif")
    code, found, _ = run("everything", data, "-o", out, "--to", "sa1b")
    assert (code, found["done"], found["objects"]) == (0, 2, 12)
    stack = [f"volume.tif/volume_z{k}.{kind}" for k in range(5) for kind in ("json", "png")]
    assert sorted(results(out)) == ["plane.json", "plane.png", *stack]
    record = json.loads((out / "plane.json").read_text())
    assert record["image"].items() > {"width": 64, "height": 48, "file_name": "plane.png"}.items()
    pixels = np.asarray(Image.open(out / "plane.png"))
    assert pixels.shape == (48, 64)
    masks = record["annotations"]
    assert len({one["id"] for one in masks}) == 2
    for one in masks:
        assert one["predicted_iou"] == pytest.approx(0.9)
        assert 0.75 <= one["stability_score"] <= 1
        assert one["crop_box"] == [0, 0, 64, 48]
        ((x, y),) = one["point_coords"]
        assert pixels[round(y), round(x)] > 100
    values = np.asarray(Image.open(plane))
    areas = sorted([(values == 200).sum(), (values == 230).sum()])
    assert sorted(one["area"] for one in masks) == pytest.approx(areas, rel=0.1)
    found_in_it = read_coco(out / "plane.json").labels > 0
    assert found_in_it.sum() == sum(one["area"] for one in masks)
    assert (found_in_it != (pixels > 100)).sum() < 0.1 * found_in_it.sum()
    code, found, _ = run("everything", data, "-o", out, "--to", "sa1b")
    assert (code, found["done_before"]) == (0, 2)
    code, found, _ = run("everything", data, "-o", out, "--to", "sa1b", "--overwrite")
    assert (code, found["done"]) == (0, 2)
    assert sorted(results(out)) == ["plane.json", "plane.png", *stack]


def contents(folder):
    return {one: (folder / one).read_bytes() for one in results(folder)}


@pytest.fixture
def recorded(stub, run, tmp_path, plane, volume):
    """Records of a plane and a stack; returns their folder and what runs the command again."""
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(plane, data / "plane.png")
    shutil.copy(volume, data / "volume.tif")
    command = ("everything", data, "-o", out, "--to", "sa1b")
    run(*command)
    return out, lambda *more: run(*command, *more)


def test_corrected_records_are_not_replaced(recorded):
    out, again = recorded
    stack = out / "volume.tif"
    for record in (out / "plane.json", stack / "volume_z1.json"):
        document = json.loads(record.read_text())
        document["annotations"] = document["annotations"][:1]
        record.write_text(json.dumps(document))
    (stack / "volume_z2.txt").write_text("mine")
    before = contents(out)
    code, found, _ = again()
    assert (code, found["done_before"], contents(out) == before) == (0, 2, True)
    code, found, _ = again("--points-per-side", "24")
    assert (code, sorted(found["failed"])) == (1, ["plane.png", "volume.tif"])
    assert contents(out) == before
    for lost in (out / "plane.png", stack / "volume_z3.png"):
        del before[lost.relative_to(out).as_posix()]
        lost.unlink()
    code, found, _ = again()
    assert (code, sorted(found["failed"])) == (1, ["plane.png", "volume.tif"])
    assert "plane.json was changed after it was written" in found["failed"]["plane.png"]
    assert contents(out) == before


def test_files_beside_the_records_of_a_stack_stay(recorded):
    out, again = recorded
    mine = out / "volume.tif" / "mine.png"
    mine.write_bytes(b"mine")
    (out / "volume.tif" / "volume_z3.png").unlink()
    code, found, _ = again()
    assert (code, list(found["failed"])) == (1, ["volume.tif"])
    assert "volume.tif/mine.png is no part of the result" in found["failed"]["volume.tif"]
    assert mine.read_bytes() == b"mine"
    mine.unlink()
    code, found, _ = again()
    assert (code, found["done"], found["done_before"]) == (0, 1, 1)
    assert (out / "volume.tif" / "volume_z3.png").exists()


def test_a_zarr_that_lacks_a_chunk_is_done_again(stub, run, tmp_path, volume):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    shutil.copy(volume, data / "volume.tif")
    command = ("everything", data, "-o", out, "--to", "ome.zarr")
    run(*command)
    place = out / "volume.ome.zarr"
    before = io.read_image(place).data[2]
    chunk = next(one for one in (place / "0").rglob("*") if one.is_file() and "c/2" in str(one))
    chunk.unlink()
    assert not io.read_image(place).data[2].any()
    code, found, _ = run(*command)
    assert (code, found["done"], found["done_before"]) == (0, 1, 0)
    assert before.any()
    assert np.array_equal(io.read_image(place).data[2], before)
    chunk.write_bytes(chunk.read_bytes()[:5])  # cut off
    assert run(*command)[1]["done"] == 1
    assert np.array_equal(io.read_image(place).data[2], before)
    labels = zarr.open_array(place / "0", mode="r+")
    labels[1] = 7
    code, found, _ = run(*command)
    assert (code, found["done_before"]) == (0, 1)
    assert (io.read_image(place).data[1] == 7).all()


def test_a_parameter_of_zero_counts(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    picture(data / "a.png")
    command = ("everything", data, "-o", out)
    run(*command)
    for arguments in (("--min-mask-region-area", "0"), ("--series", "0")):
        assert run(*command, *arguments)[1]["done"] == 1
        assert run(*command, *arguments)[1]["done_before"] == 1
    assert lines(out)[-1]["parameters"] == {"series": 0}


@pytest.mark.parametrize("error", [KeyboardInterrupt, KeyError("a bug")])
def test_what_was_made_by_hand_after_an_interruption_stays(stub, run, tmp_path, monkeypatch, error):
    def raising(*given):
        raise error

    data, out = tmp_path / "data", tmp_path / "out"
    picture(data / "a.png")
    command = ["segment", str(data), "-o", str(out), *CLICK]
    with monkeypatch.context() as patch:
        patch.setattr(SceneModel, "encode", raising)
        with suppress(KeyError):
            assert cli.main(command) == 130
    tifffile.imwrite(out / "a.tif", np.full((16, 16), 9, np.uint8))
    code, found, _ = run(*command)
    assert (code, list(found["failed"])) == (1, ["a.png"])
    assert (io.read_image(out / "a.tif").data == 9).all()


@pytest.mark.parametrize("by_hand", [False, True])
def test_only_what_a_killed_run_put_in_place_is_replaced(stub, run, tmp_path, by_hand):
    data, out = tmp_path / "data", tmp_path / "out"
    picture(data / "a.png")
    command = ("segment", data, "-o", out, *CLICK)
    run(*command)
    expected = io.read_image(out / "a.tif").data
    record = out / MANIFEST
    record.write_text("".join(record.read_text().splitlines(keepends=True)[:1]))  # "begun"
    if by_hand:
        tifffile.imwrite(out / "a.tif", np.full((16, 16), 9, np.uint8))
    code, found, _ = run(*command)
    assert (code, found["done"]) == ((1, 0) if by_hand else (0, 1))
    labels = io.read_image(out / "a.tif").data
    assert (labels == 9).all() if by_hand else np.array_equal(labels, expected)


def test_what_is_said_of_an_interrupted_run(tmp_path, monkeypatch, stub, capsys):
    def raising(*given):
        raise KeyboardInterrupt

    picture(tmp_path / "data" / "a.png")
    command = ["segment", str(tmp_path / "data"), "-o", str(tmp_path / "out"), *CLICK]
    monkeypatch.setattr(SceneModel, "encode", raising)
    cli.main([*command, "--overwrite"])
    assert "the same command, without --overwrite, goes on there" in capsys.readouterr().err


def test_numbers_of_records_are_never_alike(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    for name in ("a/x/0.png", "b/x/0.png", "x/0.png"):
        picture(data / name, 8, 48)
    run("everything", data, "-o", out, "--to", "sa1b")
    documents = [json.loads(one.read_text()) for one in sorted(out.rglob("*.json"))]
    assert len({one["image"]["image_id"] for one in documents}) == 3
    masks = [mask["id"] for one in documents for mask in one["annotations"]]
    assert len(set(masks)) == len(masks) >= 3
    assert max(masks) < 2**53
    run("everything", data, "-o", out, "--to", "sa1b", "--overwrite")
    assert documents == [json.loads(one.read_text()) for one in sorted(out.rglob("*.json"))]


def test_results_may_lie_behind_a_link(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    picture(data / "sub" / "a.png")
    for folder in (out, tmp_path / "elsewhere"):
        folder.mkdir()
    (out / "sub").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for before in (0, 1):
        code, found, _ = run("segment", data, "-o", out, *CLICK)
        assert (code, found["done_before"]) == (0, before)
    assert lines(out)[-1]["results"] == {"sub/a.tif": digest_of(tmp_path / "elsewhere" / "a.tif")}


def test_a_glob_names_no_results(stub, run, fail, tmp_path):
    data, out = tmp_path / "data", tmp_path / "data" / "out"
    picture(data / "sub" / "a.png")
    for before in (0, 1):
        _, found, _ = run("segment", data / "**" / "*.png", "-o", out, *CLICK, "--to", "png")
        assert (found["files"], found["done_before"]) == (1, before)
    line = fail("segment", out / "sub" / "a.png", data, "-o", out, *CLICK)
    assert "lies in the folder of results; choose another -o" in line
    _, found, errors = run("segment", data / "**" / "*.png", "-o", tmp_path / "new", *CLICK)
    assert found["files"] == 1
    assert any("1 results of earlier runs are left out" in one for one in errors)


def test_what_is_left_out_is_said(stub, run, tmp_path):
    data = tmp_path / "data[1]"
    picture(data / "sub" / "a.png")
    write_series(data / "scan", phantom()[0])
    picture(data / "scan" / "preview.png")
    (data / "link").symlink_to(data / "sub", target_is_directory=True)
    run("segment", data / "sub", "-o", data / "earlier", *CLICK)
    code, found, errors = run("everything", data, "-o", tmp_path / "out")
    assert (code, found["files"]) == (0, 2)
    assert sorted(results(tmp_path / "out")) == ["scan.tif", "sub/a.tif"]
    for what in (
        "1 pictures in folders of DICOM files",
        "1 links to folders",
        "1 folders of results of earlier runs",
    ):
        assert f"napari-sam: {what} are left out" in errors
    _, found, _ = run("segment", data / "s*" / "a.png", "-o", tmp_path / "glob", *CLICK)
    assert found["files"] == 1


def test_a_folder_that_cannot_be_read_is_named(stub, run, tmp_path, monkeypatch):
    data, iterdir = tmp_path / "data", Path.iterdir
    picture(data / "a.png")
    picture(data / "closed" / "b.png")

    def refusing(folder):  # root may read everywhere
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied")
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    code, found, _ = run("segment", data, "-o", tmp_path / "out", *CLICK)
    assert (code, found["done"], found["failed"]) == (1, 1, {"closed": "Permission denied"})


def test_a_missing_file_changes_no_names(stub, run, tmp_path):
    picture(tmp_path / "data" / "a.png")
    text = f"{tmp_path / 'data' / 'a.png'}\n{tmp_path / 'elsewhere' / 'none.png'}\n"
    (tmp_path / "list.txt").write_text(text)
    code, found, _ = run("segment", tmp_path / "list.txt", "-o", tmp_path / "out", *CLICK)
    assert (code, found["failed"]) == (1, {"none.png": "there is no file"})
    assert sorted(results(tmp_path / "out")) == ["a.tif"]


def test_prompts_of_images_that_differ_in_their_ending(stub, run, tmp_path):
    image = picture(tmp_path / "data" / "sub" / "a.png")
    tifffile.imwrite(tmp_path / "data" / "sub" / "a.tif", image)
    (tmp_path / "prompts" / "sub").mkdir(parents=True)
    (tmp_path / "prompts" / "sub" / "a.csv").write_text("x,y\n8,7\n")
    code, found, _ = run(
        "segment", tmp_path / "data", "-o", tmp_path / "out", "--prompts", tmp_path / "prompts"
    )
    assert (code, found["objects"]) == (0, 2)


def test_one_run_at_a_time(stub, fail, tmp_path):
    picture(tmp_path / "data" / "a.png")
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / LOCK):
        line = fail("segment", tmp_path / "data", "-o", tmp_path / "out", *CLICK)
    assert "another run writes to" in line
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_folders_that_hold_no_results(stub, fail, tmp_path, volume):
    picture(tmp_path / "data" / "a.png")
    foreign = tmp_path / "foreign" / MANIFEST
    foreign.parent.mkdir()
    foreign.write_text('{"audio": "a.wav", "duration": 1}\n')
    line = fail("segment", tmp_path / "data", "-o", foreign.parent, *CLICK)
    assert "is not the record of such a run" in line
    assert foreign.read_text() == '{"audio": "a.wav", "duration": 1}\n'
    write_series(tmp_path / "scan", phantom()[0])
    zarr.save_array(tmp_path / "array", np.zeros((4, 4), np.uint8))
    for name in ("scan", "array"):
        line = fail("segment", tmp_path / "data", "-o", tmp_path / name, *CLICK)
        assert "is an image, not a folder of results" in line


def test_records_of_a_plane_beside_a_folder_of_its_name(stub, run, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture(tmp_path / "data" / "b.png"))
    (tmp_path / "out" / "a.tif").mkdir(parents=True)
    code, _, _ = run("everything", tmp_path / "a.tif", "-o", tmp_path / "out", "--to", "sa1b")
    assert code == 0
    assert sorted(results(tmp_path / "out")) == ["a.json", "a.png"]


def test_a_folder_that_comes_in_the_way_is_not_replaced(stub, run, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    image = picture(data / "b.png")
    tifffile.imwrite(data / "a.tif", image)
    run("everything", data / "a.tif", "-o", out, "--to", "sa1b")
    tifffile.imwrite(data / "a.tif", np.stack([image] * 5))
    (out / "a.tif").mkdir()
    (out / "a.tif" / "mine.png").write_bytes(b"mine")
    code, found, _ = run("everything", data / "a.tif", "-o", out, "--to", "sa1b")
    assert (code, list(found["failed"])) == (1, ["a.tif"])
    assert (out / "a.tif" / "mine.png").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["segment"], "there is no prompt; give --point"),
        (["segment", "--prompts", "none"], "there is no file none"),
        (["everything", "--rule", "none.json"], "the rule none.json cannot be read"),
    ],
)
def test_wrong_use_is_said_once(stub, fail, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "data", 2)
    assert sentence in fail(arguments[0], "data", "-o", "out", *arguments[1:])
    assert not (tmp_path / "out").exists()


def test_the_folder_of_results_is_listed_once(stub, run, tmp_path, monkeypatch):
    listed, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda *given: listed.append(given[0].name) or glob(*given))
    pictures(tmp_path / "data", 5)
    run("segment", tmp_path / "data", "-o", tmp_path / "out", *CLICK)
    assert listed.count("out") <= 2  # before the run, and in it


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["data", "-o", "a.tif"], "data is a folder, so -o is a folder of results"),
        (["data/a.png", "data", "-o", "a.tif"], "-o is a folder of results"),
        (["data/a.png", "-o", "a.tif", "--to", "npy"], "--to is for a folder of results"),
        (["empty", "-o", "out"], "no image in empty"),
        (["*.nothing", "-o", "out"], "nothing is called like *.nothing"),
        (["data", "-o", "data"], "choose another -o"),
        (["data", "-o", "file"], "so -o is a folder of results"),
        (["data", "-o", "out", "--annotations", "a.json"], "--annotations is of one image"),
    ],
)
def test_wrong_folders(stub, fail, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "data" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert sentence in fail("everything", *arguments)


def test_a_folder_of_results_that_cannot_be_written(stub, fail, tmp_path, monkeypatch):
    picture(tmp_path / "data" / "a.png")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda *given: False)  # root may write everywhere
    line = fail("segment", tmp_path / "data", "-o", tmp_path / "out", *CLICK)
    assert "is write-protected" in line
