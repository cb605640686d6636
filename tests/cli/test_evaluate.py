"""`napari-sam evaluate`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_sam.cli import parser as cli


def test_evaluate_is_a_table(succeed, stub, labelled):
    head, *rows = succeed("evaluate", labelled).splitlines()
    for name in ("source", "objects", "1 click", "NoC@85", "sloppy box", "ellipse"):
        assert name in head
    assert [row.split()[:2] for row in rows] == [
        ["one", "2"], ["source", "2"], ["stack", "8"], ["mean", "12"],
    ]  # fmt: skip


def test_evaluate_scores_everything_mode(succeed, stub, labelled):
    _, table = succeed("evaluate", labelled, "--everything", "--clicks", "1").split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["everything", "planes", "AP50", "AP75", "AP"]
    assert len(rows) == 3
    assert all(float(value) >= 0.5 for row in rows for value in row.split()[2:3])


def test_evaluate_as_json_with_the_bundled_model(succeed, labelled):
    out = succeed(
        "evaluate", labelled / "one_labels.tif", "--json", "--limit", "1", "--clicks", "2",
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


def test_evaluate_and_demo_take_a_file_of_weights(succeed, labelled, published_sam, tmp_path):
    model = ("--model", published_sam, "--device", "cpu")
    table = succeed("evaluate", labelled, "--limit", "1", *model)
    assert "one" in table
    assert json.loads(succeed("evaluate", labelled, "--limit", "1", "--json", *model))


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
def test_wrong_labelled_images(fail, stub, labelled, tmp_path, case, sentence):
    extra = []
    data = labelled
    if case == "missing":
        data = tmp_path / "no"
    elif case == "empty":
        data = tmp_path / "empty"
        data.mkdir()
    elif case == "lonely":
        data = labelled / "one_labels.tif"
        (labelled / "one.tif").unlink()
    elif case == "shapes":
        data = labelled / "one_labels.tif"
        tifffile.imwrite(labelled / "one.tif", np.zeros((8, 9), np.uint8))
    elif case == "floats":
        data = labelled / "one_labels.tif"
        tifffile.imwrite(data, np.zeros((48, 64), np.float32))
    elif case == "background":
        data = labelled / "one_labels.tif"
        tifffile.imwrite(data, np.zeros((48, 64), np.uint8))
    elif case == "archive":
        data = labelled / "source.npz"
        data.write_bytes(b"text")
    else:
        extra = ["--limit", "0"]
    assert sentence in fail("evaluate", data, *extra)


def test_a_file_that_cannot_be_read_is_named_and_left_out(stub, labelled, capsys):
    (labelled / "one.tif").write_bytes(b"broken")
    assert cli.main(["evaluate", str(labelled), "--json"]) == 1
    captured = capsys.readouterr()
    assert [one["source"] for one in json.loads(captured.out)["sources"]] == ["source", "stack"]
    assert captured.err.count("one.tif") == 1
    assert "the file is left out" in captured.err


def test_a_glob_of_labelled_files(succeed, stub, labelled):
    _, *rows = succeed("evaluate", labelled / "s*_labels.tif").splitlines()
    assert [row.split()[:2] for row in rows] == [["stack", "8"], ["mean", "8"]]
