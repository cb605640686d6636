"""The command line: results on stdout, one line on stderr and 2 after an error."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from another_sam import SMALL, draw, published
from PIL import Image
from tiny import SceneModel

import napari_sam
from napari_sam.cli import commands, demo
from napari_sam.cli import parser as cli
from napari_sam.everything.amg_params import AmgParams
from napari_sam.images import readers as io
from napari_sam.predict.cache import DiskCache
from napari_sam.types import Progress


@pytest.fixture
def stub(monkeypatch):
    """Put a model that answers at once in the place of the bundled one."""

    def loading(name, device, offline, precision):
        yield Progress(0, 0, f"loading {name}")
        return SceneModel()

    monkeypatch.setattr(commands, "loading", loading)


@pytest.fixture
def plane(tmp_path):
    """A 2-D image with two bright discs."""
    y, x = np.mgrid[:48, :64]
    image = np.full((48, 64), 20, np.uint8)
    image[(x - 16) ** 2 + (y - 20) ** 2 < 80] = 200
    image[(x - 46) ** 2 + (y - 28) ** 2 < 100] = 230
    path = tmp_path / "plane.png"
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def volume(tmp_path, plane):
    """A stack of five such planes."""
    path = tmp_path / "volume.tif"
    image = np.stack([np.asarray(Image.open(plane))] * 5)
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 4), metadata=metadata)
    return path


def succeed(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def fail(capsys, *arguments, code=2):
    """Run a command that has to fail, and return its one line."""
    assert cli.main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[-1].startswith("napari-sam: ")
    progress = lines[:-1]
    assert len(progress) <= 1, lines  # "loading ...", if it came so far
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def test_models_is_a_table(capsys):
    table, note = succeed(capsys, "models").split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["name", "architecture", "size", "licence", "state", "note"]
    assert rows[0].startswith("pocket")
    assert "BSD-3-Clause" in rows[0]
    assert " here " in rows[0]
    assert [row.split()[0] for row in rows[1:5]] == ["mobile_sam", "vit_b", "vit_l", "vit_h"]
    assert "2,565 MB" in rows[4]
    assert "--model PATH" in note


@pytest.fixture
def published_sam(tmp_path):
    """The file of a small SAM of random weights."""
    torch.save({"state_dict": published(draw(SMALL))}, tmp_path / "small_sam.pth")
    return tmp_path / "small_sam.pth"


def test_models_of_a_file_says_whether_it_loads(capsys, published_sam):
    assert "loads: it is a model that sees 128 px" in succeed(
        capsys, "models", "--model", published_sam, "--device", "cpu"
    )
    assert "is a file already" in fail(capsys, "models", "--model", published_sam, "--fetch")


def test_evaluate_and_demo_take_a_file_of_weights(capsys, labelled, published_sam, tmp_path):
    model = ("--model", published_sam, "--device", "cpu")
    table = succeed(capsys, "evaluate", labelled, "--limit", "1", *model)
    assert "one" in table
    assert json.loads(succeed(capsys, "evaluate", labelled, "--limit", "1", "--json", *model))


@pytest.mark.parametrize(
    "arguments", [("segment", "--point", "20,20"), ("everything", "--points-per-side", "2")]
)
def test_a_file_of_weights_answers_in_every_command(
    capsys, plane, tmp_path, published_sam, arguments
):
    command, *more = arguments
    out = succeed(
        capsys, command, plane, "-o", tmp_path / "a.tif", *more, "--model", published_sam,
        "--device", "cpu",
    )  # fmt: skip
    assert json.loads(out)["model"] == "small_sam"


def test_a_model_that_is_not_here_and_must_not_be_fetched(capsys, monkeypatch, plane, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path / "models"))
    arguments = ("everything", plane, "-o", tmp_path / "a.tif", "--model", "mobile_sam")
    assert "downloads are switched off" in fail(capsys, *arguments, "--offline")
    monkeypatch.setenv("NAPARI_SAM_OFFLINE", "1")
    assert "downloads are switched off" in fail(capsys, *arguments)
    assert "downloads are switched off" in fail(capsys, "models", "--model", "vit_b", "--fetch")
    assert not (tmp_path / "a.tif").exists()


def test_fetch_wants_a_name(capsys):
    assert "--model vit_b --fetch" in fail(capsys, "models", "--fetch")
    assert "part of this package" in succeed(capsys, "models", "--model", "pocket", "--fetch")


def test_cache_tells_what_is_kept_and_empties_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(tmp_path / "cache"))
    disk = DiskCache()
    for key in ("0" * 64, "1" * 64):
        disk.put(key, {"codes": np.zeros(1_000_000, np.uint8)})
    out = succeed(capsys, "cache").splitlines()
    assert out[0].split() == ["folder", str(tmp_path / "cache")]
    assert out[1].split() == ["planes", "2"]
    assert out[2].split() == ["size", "2.0", "of", "5,000", "MB"]
    assert "2 planes, 2.0 MB, removed from" in succeed(capsys, "cache", "--clear")
    assert disk.usage().planes == 0
    assert "0 planes, 0.0 MB, removed" in succeed(capsys, "cache", "--clear")


def test_a_cache_that_cannot_be_emptied_is_told(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(tmp_path))
    (tmp_path / f"{'0' * 64}.safetensors").mkdir()  # no file, so it cannot be removed as one
    assert "cannot be removed" in fail(capsys, "cache", "--clear")


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


def test_every_parameter_is_a_flag(capsys):
    with pytest.raises(SystemExit):
        cli.main(["everything", "--help"])
    text = capsys.readouterr().out
    for name, option in AmgParams.__dataclass_fields__.items():
        assert (f"--{name.replace('_', '-')} " in text) == bool(option.metadata)


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png"])
def test_segment_with_points(capsys, stub, plane, tmp_path, suffix):
    result = tmp_path / f"labels{suffix}"
    out = succeed(
        capsys, "segment", plane, "-o", result, "--point", "16,20", "--background", "46,28"
    )
    summary = json.loads(out)
    labels = io.read_image(result).data
    assert summary["path"] == str(result)
    assert summary["objects"] == len(np.unique(labels)) - 1
    assert labels.shape == (48, 64)
    assert summary["dtype"] == str(labels.dtype)
    assert len(summary["scores"]) == 1


def test_each_box_is_a_label_and_free_points_another(capsys, stub, plane, tmp_path):
    out = succeed(
        capsys, "segment", plane, "-o", tmp_path / "a.tif",
        "--box", "6,10,26,30", "--box", "36,18,56,38", "--point", "16,20", "--point", "60,2",
    )  # fmt: skip
    summary = json.loads(out)
    assert len(summary["scores"]) == 3
    assert summary["absent"] == [3]  # the point lies on the ground


def test_segment_in_a_stack_keeps_the_other_planes_empty(capsys, stub, volume, tmp_path):
    result = tmp_path / "labels.tif"
    out = succeed(
        capsys, "segment", volume, "-o", result, "--point", "16,20,1", "--box", "36,18,56,38,3"
    )
    assert len(json.loads(out)["scores"]) == 2
    image = io.read_image(result)
    assert image.axes == "ZYX"
    assert image.scale == pytest.approx((2.0, 0.25, 0.25))
    assert image.data.shape == (5, 48, 64)
    assert not image.data[[0, 2, 4]].any()
    assert set(np.unique(image.data[1])) <= {0, 1}
    assert set(np.unique(image.data[3])) <= {0, 2}


def test_results_say_where_they_come_from(capsys, stub, plane, tmp_path):
    result = tmp_path / "labels.tif"
    succeed(capsys, "everything", plane, "-o", result, "--points-per-side", "2")
    with tifffile.TiffFile(result) as file:
        tree = tifffile.xml2dict(file.ome_metadata)
    note = json.loads(tree["OME"]["Image"]["Description"])
    assert note["version"] == napari_sam.__version__
    assert note["model"] == SceneModel().name
    assert note["parameters"]["points_per_side"] == 2
    assert note["parameters"]["pred_iou_thresh"] == SceneModel.amg_defaults["pred_iou_thresh"]


def test_everything_with_the_bundled_model(capsys, plane, tmp_path):
    result, annotations = tmp_path / "labels.tif", tmp_path / "masks.json"
    out = succeed(
        capsys, "everything", plane, "-o", result, "--annotations", annotations,
        "--points-per-side", "2", "--pred-iou-thresh", "0", "--device", "cpu",
    )  # fmt: skip
    labels = io.read_image(result).data
    assert labels.shape == (48, 64)
    assert json.loads(out)["model"] == "pocket"
    for mask in json.loads(annotations.read_text()):
        assert mask["segmentation"]["size"] == [48, 64]
        assert sum(mask["segmentation"]["counts"]) == 48 * 64


def test_everything_in_some_planes(capsys, stub, volume, tmp_path):
    result = tmp_path / "labels.tif"
    succeed(
        capsys, "everything", volume, "-o", result, "--slices", "1:3", "--points-per-side", "3",
        "--pred-iou-thresh", "0", "--stability-score-thresh", "0",
    )  # fmt: skip
    labels = io.read_image(result).data
    assert labels.shape == (5, 48, 64)
    assert labels[1].any()
    assert not labels[[0, 3, 4]].any()
    assert np.array_equal(labels[1], labels[2])  # the planes are alike, so linking joins all


def test_a_result_is_replaced_when_asked(capsys, stub, plane, tmp_path):
    result = tmp_path / "labels.tif"
    result.write_bytes(b"old")
    arguments = ["segment", plane, "-o", result, "--point", "16,20"]
    assert "--overwrite" in fail(capsys, *arguments)
    assert result.read_bytes() == b"old"
    succeed(capsys, *arguments, "--overwrite")
    assert io.read_image(result).data.shape == (48, 64)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "no prompt"),
        (["--point", "99,3"], "(99, 3) lies outside the image"),
        (["--point", "-3,4"], "(-3, 4) lies outside the image"),
        (["--background", "1,300", "--point", "1,1"], "(1, 300) lies outside"),
        (["--box", "70,70,80,80"], "lies outside the image"),
        (["--box", "30,5,10,8"], "x0 <= x1"),
        (["--box", "3,5,10"], "X0,Y0,X1,Y1 in this image"),
        (["--point", "3"], "X,Y in this image"),
        (["--point", "3,4,0"], "X,Y in this image"),
        (["--point", "a,b"], "numbers and commas"),
        (["--point", "3,"], "numbers and commas"),
        (["--point", "nan,3"], "finite"),
        (["--point", "inf,3"], "finite"),
        (["--background", "3,4"], "need an object"),
        (["--point"], "expected one argument"),
        (["--point", "3,4", "--model", "vit_z"], "no model is called 'vit_z'"),
        (["--point", "3,4", "--model", "no.safetensors"], "no file of weights"),
        (["--point", "3,4", "--device", "abacus"], "abacus"),
        (["--point", "3,4", "--device", "mps"], "no mps"),
        (["--pount", "3,4"], "unrecognized arguments"),
    ],
)
def test_wrong_prompts_and_flags(capsys, plane, tmp_path, arguments, sentence):
    if "mps" in arguments and sys.platform == "darwin":
        pytest.skip("this machine may have it")
    line = fail(capsys, "segment", plane, "-o", tmp_path / "a.tif", *arguments)
    assert sentence in line
    assert not (tmp_path / "a.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--point", "3,4"], "needs its plane: --point X,Y,Z"),
        (["--box", "3,4,9,9"], "needs its plane: --box X0,Y0,X1,Y1,Z"),
        (["--point", "3,4,5"], "z goes from 0 to 4"),
        (["--point", "3,4,-1"], "z goes from 0 to 4"),
        (["--point", "3,4,1.5"], "whole number"),
        (["--point", "3,4,inf"], "whole number"),
        (["--point", "3,4,5,6"], "4 numbers"),
        (["--point", "3,4,0", "--background", "3,4,1"], "need an object"),
    ],
)
def test_wrong_prompts_in_a_stack(capsys, volume, tmp_path, arguments, sentence):
    assert sentence in fail(capsys, "segment", volume, "-o", tmp_path / "a.tif", *arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--slices", "3:3"], "names no plane"),
        (["--slices", "4:2"], "names no plane"),
        (["--slices", "2:6"], "beyond the stack"),
        (["--slices", "7:9"], "has 5"),
        (["--slices", "two"], "two whole numbers"),
        (["--slices", "1:2:3"], "two whole numbers"),
        (["--annotations", "a.json"], "single plane"),
        (["--points-per-side", "0"], "points_per_side lies between 1 and 128"),
        (["--points-per-side", "many"], "invalid int value"),
        (["--pred-iou-thresh", "nan"], "pred_iou_thresh"),
        (["--crop-n-layers", "9"], "crop_n_layers"),
    ],
)
def test_wrong_parameters_of_everything(capsys, volume, tmp_path, arguments, sentence):
    assert sentence in fail(capsys, "everything", volume, "-o", tmp_path / "a.tif", *arguments)


def test_slices_need_a_stack(capsys, plane, tmp_path):
    line = fail(capsys, "everything", plane, "-o", tmp_path / "a.tif", "--slices", "0:1")
    assert "needs a stack" in line


def test_two_results_need_two_names(capsys, plane, tmp_path):
    target = tmp_path / "a.tif"
    line = fail(capsys, "everything", plane, "-o", target, "--annotations", target)
    assert "two names" in line


@pytest.mark.parametrize("command", [["segment", "--point", "3,4"], ["everything"]])
@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("missing", "there is no file"),
        ("text", "is not an image"),
        ("folder", "is a folder"),
        ("axes", "two axes or three, and colour"),
        ("no folder", "no place for the result"),
        ("a folder", "no place for the result"),
        ("input", "would replace the input"),
        ("format", "labels are written as"),
        ("stack as png", "one plane"),
    ],
)
def test_wrong_files(capsys, plane, volume, tmp_path, command, case, sentence):
    image, target = plane, tmp_path / "a.tif"
    if case == "missing":
        image = tmp_path / "no.png"
    elif case == "text":
        image = tmp_path / "a.txt"
        image.write_text("not a picture")
    elif case == "folder":
        image = tmp_path
    elif case == "axes":
        image = tmp_path / "a.npy"
        np.save(image, np.zeros((2, 3, 8, 8)))
    elif case == "no folder":
        target = tmp_path / "no" / "a.tif"
    elif case == "a folder":
        target = tmp_path / "results.tif"
        target.mkdir()
    elif case == "input":
        target = plane
    elif case == "format":
        target = tmp_path / "a.jpg"
    else:
        image, target = volume, tmp_path / "a.png"
    line = fail(capsys, command[0], image, "-o", target, "--overwrite", *command[1:])
    assert sentence in line


@pytest.mark.parametrize("arguments", [[], ["fly"], ["segment"], ["segment", "a.tif"]])
def test_incomplete_command_lines(capsys, arguments):
    fail(capsys, *arguments)


def test_interruption(capsys, monkeypatch, plane, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "loading", interrupt)
    line = fail(capsys, "everything", plane, "-o", tmp_path / "a.tif", code=130)
    assert line == "napari-sam: interrupted"


def test_full_memory_is_told(capsys, monkeypatch, plane, tmp_path):
    def full(*_):
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(commands, "loading", full)
    assert "not enough memory" in fail(capsys, "everything", plane, "-o", tmp_path / "a.tif")


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


@pytest.fixture
def labelled(tmp_path, plane):
    """A folder with a labelled plane, a labelled stack and a source."""
    folder = tmp_path / "labelled"
    folder.mkdir()
    image = np.asarray(Image.open(plane))
    labels = np.zeros(image.shape, np.uint8)
    labels[(image > 100) & (image < 215)] = 1
    labels[image > 215] = 2
    tifffile.imwrite(folder / "one.tif", image)
    tifffile.imwrite(folder / "one_labels.tif", labels)
    tifffile.imwrite(folder / "stack.tif", np.stack([image] * 5))
    tifffile.imwrite(folder / "stack_labels.tif", np.stack([labels] * 4 + [labels * 0]))
    tifffile.imwrite(folder / "alone.tif", image)
    np.savez(folder / "source.npz", image_000=image, labels_000=labels, n=1)
    return folder


def test_evaluate_is_a_table(capsys, stub, labelled):
    head, *rows = succeed(capsys, "evaluate", labelled).splitlines()
    for name in ("source", "objects", "1 click", "NoC@85", "sloppy box", "ellipse"):
        assert name in head
    assert [row.split()[:2] for row in rows] == [
        ["one", "2"], ["source", "2"], ["stack", "8"], ["mean", "12"],
    ]  # fmt: skip


def test_evaluate_scores_everything_mode(capsys, stub, labelled):
    _, table = succeed(capsys, "evaluate", labelled, "--everything", "--clicks", "1").split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["everything", "planes", "AP50", "AP75", "AP"]
    assert len(rows) == 3
    assert all(float(value) >= 0.5 for row in rows for value in row.split()[2:3])


def test_evaluate_as_json_with_the_bundled_model(capsys, labelled):
    out = succeed(
        capsys, "evaluate", labelled / "one_labels.tif", "--json", "--limit", "1", "--clicks", "2",
        "--whole-planes", "--pool",
    )  # fmt: skip
    result = json.loads(out)
    assert result["model"] == "pocket"
    [source] = result["sources"]
    assert source["objects"] == 1
    figures = source["figures"]
    assert all(0 <= figures[key]["mean"] <= 1 for key in ("1 click", "best of 3", "box"))
    assert figures["best of 3"]["mean"] >= figures["1 click"]["mean"]
    assert figures["box"]["low"] <= figures["box"]["mean"] <= figures["box"]["high"]
    assert result["mean"]["box"] == figures["box"]["mean"]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("missing", "there is no folder"),
        ("empty", "holds no labelled image"),
        ("lonely", "has no image"),
        ("shapes", "has the shape"),
        ("floats", "holds no labels"),
        ("background", "no labelled object"),
        ("archive", "not a source"),
        ("limit", "--limit"),
    ],
)
def test_wrong_labelled_images(capsys, stub, labelled, tmp_path, case, sentence):
    extra = []
    data = labelled
    if case == "missing":
        data = tmp_path / "no"
    elif case == "empty":
        data = tmp_path / "empty"
        data.mkdir()
    elif case == "lonely":
        (labelled / "one.tif").unlink()
    elif case == "shapes":
        tifffile.imwrite(labelled / "one.tif", np.zeros((8, 9), np.uint8))
    elif case == "floats":
        tifffile.imwrite(labelled / "one_labels.tif", np.zeros((48, 64), np.float32))
    elif case == "background":
        data = labelled / "one_labels.tif"
        tifffile.imwrite(data, np.zeros((48, 64), np.uint8))
    elif case == "archive":
        data = labelled / "source.npz"
        data.write_bytes(b"text")
    else:
        extra = ["--limit", "0"]
    assert sentence in fail(capsys, "evaluate", data, *extra)


def test_demo_writes_labels_and_an_overview(capsys, stub, monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "POINTS_PER_SIDE", 1)
    monkeypatch.setattr(demo, "PLANES", range(2, 4))
    monkeypatch.setattr(demo, "cells_stack", lambda: np.zeros((5, 40, 40), np.uint16))
    folder = tmp_path / "new" / "folder"
    lines = succeed(capsys, "demo", "-o", folder).splitlines()
    written = sorted(path.name for path in folder.iterdir())
    assert written == [
        "cell_labels.tif", "cells_stack_labels.tif", "coins_labels.tif",
        "immunohistochemistry_labels.tif", "overview.png",
    ]  # fmt: skip
    assert [line.split("  ")[0].split("/")[-1] for line in lines][-1] == "overview.png"
    assert io.read_image(folder / "coins_labels.tif").data.shape == (303, 384)
    assert io.read_image(folder / "overview.png").axes == "YXS"
    assert "--overwrite" in fail(capsys, "demo", "-o", folder)
    (tmp_path / "file").write_text("x")
    assert "no place" in fail(capsys, "demo", "-o", tmp_path / "file" / "folder")
