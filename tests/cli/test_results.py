"""Files that commands read and write."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tifffile
from tiny import SceneModel

import napari_sam
from napari_sam.cli import commands
from napari_sam.cli import parser as cli
from napari_sam.formats import label_images
from napari_sam.images import plane_stack, tiff_files
from napari_sam.images import readers as io
from napari_sam.types import Progress


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
    def write_csv(path, labels, about):
        assert (about.axes, about.scale) == ("YX", None)
        assert json.loads(about.note)["command"] == "segment"
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
    assert ".dcm or .csv" in " ".join(capsys.readouterr().out.split())


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
        ("axes", "two axes to four, and colours or channels"),
        ("pipe", "a device or a pipe, not an image"),
        ("no folder", "no place for the result"),
        ("a folder", "no place for the result"),
        ("input", "would replace the input"),
        ("format", "labels are written as"),
        ("long name", "name too long"),
        ("device", "a device or a pipe, not a file"),
        ("stack as png", "one plane"),
    ],
)
def test_wrong_files(fail, plane, volume, tmp_path, command, case, sentence):
    if case in ("pipe", "device") and os.name == "nt":
        pytest.skip("there are no such files")
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
        np.save(image, np.zeros((2, 2, 3, 8, 8)))
    elif case == "no folder":
        target = tmp_path / "no" / "a.tif"
    elif case == "a folder":
        target = tmp_path / "results.tif"
        target.mkdir()
    elif case == "input":
        target = plane
    elif case == "pipe":
        image = tmp_path / "a.png"
        os.mkfifo(image)
    elif case == "long name":
        target = tmp_path / f"{'a' * 252}.tif"
    elif case == "device":
        target = tmp_path / "device.tif"
        target.symlink_to("/dev/null")
    elif case == "format":
        target = tmp_path / "a.jpg"
    else:
        image, target = volume, tmp_path / "a.png"
    line = fail(command[0], image, "-o", target, "--overwrite", *command[1:])
    assert sentence in line


@pytest.mark.parametrize("length", [243, 255])
def test_results_with_long_names_are_written(succeed, stub, plane, tmp_path, length):
    result = tmp_path / f"{'a' * (length - 4)}.tif"
    succeed("segment", plane, "-o", result, "--point", "16,20")
    assert io.read_image(result).data.max() == 1


def write_with_preview(path, image):
    with tifffile.TiffWriter(path) as writer:
        for page in (image[:16, :16], image, image):
            writer.write(page, metadata=None)


def test_an_image_of_several_is_chosen(succeed, fail, stub, plane, tmp_path):
    path, result = tmp_path / "scan.tif", tmp_path / "labels.tif"
    write_with_preview(path, io.read_image(plane).data)
    arguments = ["segment", path, "-o", result, "--point", "16,20,1"]
    assert "series 0 (YX 16 x 16), series 1 (IYX 2 x 48 x 64)" in fail(*arguments)
    succeed(*arguments, "--series", "1")
    assert io.read_image(result).data.shape == (2, 48, 64)
    assert "no series 2" in fail(*arguments, "--series", "2", "--overwrite")
    assert "no series 1" in fail("segment", plane, *arguments[2:], "--series", "1", "--overwrite")


def test_what_is_left_out_of_a_file_is_said(stub, capsys, plane, tmp_path):
    path = tmp_path / "slide.ome.tif"
    image = io.read_image(plane).data
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(image, metadata={"axes": "YX", "Name": "slide"})
        writer.write(image[:15, :20], metadata={"axes": "YX", "Name": "label image"})
    command = ["segment", str(path), "-o", str(tmp_path / "a.tif"), "--point", "16,20"]
    assert cli.main(command) == 0
    assert "also holds 1 other picture" in capsys.readouterr().err


def test_masks_are_replaced_with_their_labels(succeed, stub, plane, tmp_path):
    result, masks = tmp_path / "labels.tif", tmp_path / "masks.json"
    for _ in range(2):
        succeed("everything", plane, "-o", result, "--annotations", masks, "--overwrite")
    assert len(json.loads(masks.read_text())) == io.read_image(result).data.max()
    assert {path.name for path in tmp_path.iterdir()} == {"plane.png", "labels.tif", "masks.json"}


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_large_file_that_is_cut_short_during_a_run_ends_in_a_sentence(
    fail, monkeypatch, volume, tmp_path, compression
):
    image = io.read_image(volume).data
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, image, compression=compression, photometric="minisblack")
    for module in (plane_stack, io, tiff_files):
        monkeypatch.setattr(module, "LIMIT_BYTES", 5000)

    class Cuts(SceneModel):
        def encode(self, *args):
            os.truncate(path, 200)
            return super().encode(*args)

    def loading(*_):
        yield Progress(0, 0, "loading")
        return Cuts()

    monkeypatch.setattr(commands, "loading", loading)
    line = fail("everything", path, "-o", tmp_path / "a.tif")
    assert "large.tif was changed by another program" in line
    assert not (tmp_path / "a.tif").exists()
