"""Files that commands read and write."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from tiny import SceneModel

import napari_sam
from napari_sam.cli import parser as cli
from napari_sam.formats import label_images
from napari_sam.images import readers as io


def test_results_say_where_they_come_from(succeed, stub, plane, tmp_path):
    result = tmp_path / "labels.tif"
    succeed("everything", plane, "-o", result, "--points-per-side", "2")
    with tifffile.TiffFile(result) as file:
        tree = tifffile.xml2dict(file.ome_metadata)
    note = json.loads(tree["OME"]["Image"]["Description"])
    assert note["version"] == napari_sam.__version__
    assert note["model"] == SceneModel().name
    assert note["parameters"]["points_per_side"] == 2
    assert note["parameters"]["pred_iou_thresh"] == SceneModel.amg_defaults["pred_iou_thresh"]


def test_a_new_format_is_a_function_and_a_line(
    succeed, fail, stub, capsys, monkeypatch, plane, volume, tmp_path
):
    def write_csv(path, labels, axes, scale, note):
        assert (axes, scale, json.loads(note)["command"]) == ("YX", None, "segment")
        np.savetxt(path, labels, "%d", ",")
        return labels

    csv = label_images.LabelFormat(write_csv, stacks=False)
    monkeypatch.setitem(label_images.LABEL_FORMATS, ".csv", csv)
    result = tmp_path / "a.csv"
    succeed("segment", plane, "-o", result, "--point", "16,20")
    labels = np.loadtxt(result, delimiter=",")
    assert labels.shape == (48, 64)
    assert labels[20, 16] == 1
    line = fail("everything", volume, "-o", tmp_path / "b.csv")
    assert "a .csv holds one plane" in line
    with pytest.raises(SystemExit):
        cli.main(["segment", "--help"])
    assert ".png or .csv" in capsys.readouterr().out


def test_a_result_is_replaced_when_asked(succeed, fail, stub, plane, tmp_path):
    result = tmp_path / "labels.tif"
    result.write_bytes(b"old")
    arguments = ["segment", plane, "-o", result, "--point", "16,20"]
    assert "--overwrite" in fail(*arguments)
    assert result.read_bytes() == b"old"
    succeed(*arguments, "--overwrite")
    assert io.read_image(result).data.shape == (48, 64)


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
def test_wrong_files(fail, plane, volume, tmp_path, command, case, sentence):
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
    line = fail(command[0], image, "-o", target, "--overwrite", *command[1:])
    assert sentence in line
