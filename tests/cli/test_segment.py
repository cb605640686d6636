"""`napari-sam segment`: prompts as they are typed, labels as they are written."""

from __future__ import annotations

import json
import sys
from functools import partial

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiny import SceneModel

from napari_sam.cli import parser as cli
from napari_sam.images import readers as io
from napari_sam.predict.prompt_kinds import PROMPT_KINDS, PromptKind
from napari_sam.predict.prompt_values import add_points


@pytest.mark.parametrize("suffix", [".tif", ".npy", ".png", ".ome.zarr"])
def test_segment_with_points(succeed, stub, plane, tmp_path, suffix):
    result = tmp_path / f"labels{suffix}"
    out = succeed("segment", plane, "-o", result, "--point", "16,20", "--background", "46,28")
    summary = json.loads(out)
    labels = io.read_image(result).data
    assert summary["path"] == str(result)
    assert summary["objects"] == len(np.unique(labels)) - 1
    assert labels.shape == (48, 64)
    assert summary["dtype"] == str(labels.dtype)
    assert len(summary["scores"]) == 1


def test_each_box_is_a_label_and_free_points_another(succeed, stub, plane, tmp_path):
    out = succeed(
        "segment", plane, "-o", tmp_path / "a.tif",
        "--box", "6,10,26,30", "--box", "36,18,56,38", "--point", "16,20", "--point", "60,2",
    )  # fmt: skip
    summary = json.loads(out)
    assert len(summary["scores"]) == 3
    assert summary["absent"] == [3]  # the point lies on the ground


def test_segment_in_a_stack_keeps_the_other_planes_empty(succeed, stub, volume, tmp_path):
    result = tmp_path / "labels.tif"
    out = succeed("segment", volume, "-o", result, "--point", "16,20,1", "--box", "36,18,56,38,3")
    assert len(json.loads(out)["scores"]) == 2
    image = io.read_image(result)
    assert image.axes == "ZYX"
    assert image.scale == pytest.approx((2.0, 0.25, 0.25))
    assert image.data.shape == (5, 48, 64)
    assert not image.data[[0, 2, 4]].any()
    assert set(np.unique(image.data[1])) <= {0, 1}
    assert set(np.unique(image.data[3])) <= {0, 2}


@pytest.fixture
def asked(monkeypatch):
    """What the model is asked for: "plane", or so many objects."""
    found = []
    encode, decode = SceneModel.encode, SceneModel.decode

    def encoding(self, rgb):
        found.append("plane")
        return encode(self, rgb)

    def decoding(self, features, coords, *given):
        found.append(len(coords))
        return decode(self, features, coords, *given)

    monkeypatch.setattr(SceneModel, "encode", encoding)
    monkeypatch.setattr(SceneModel, "decode", decoding)
    return found


def test_labels_lie_on_their_objects_and_the_earlier_one_keeps_its_pixels(
    succeed, stub, asked, plane, tmp_path
):
    result = tmp_path / "a.npy"
    boxes = ("6,10,26,30", "36,18,56,38", "7,11,25,29")  # the first object twice
    succeed("segment", plane, "-o", result, *(f"--box={box}" for box in boxes))
    labels, image = np.load(result), np.asarray(Image.open(plane))
    for label, brightness in ((1, 200), (2, 230)):
        own, wanted = labels == label, image == brightness
        assert (own & wanted).sum() / (own | wanted).sum() > 0.9
    assert not (labels == 3).any()
    assert asked == ["plane", 3]


def test_objects_are_numbered_by_plane(succeed, stub, asked, volume, tmp_path):
    result = tmp_path / "a.npy"
    given = ("--box=6,10,26,30,3", "--box=36,18,56,38,1", "--point=16,20,1", "--box=36,18,56,38,3")
    succeed("segment", volume, "-o", result, *given)
    labels = np.load(result)
    assert {(z, int(labels[z, y, x])) for z in range(5) for x, y in ((16, 20), (46, 28))} == {
        (0, 0), (1, 2), (1, 1), (2, 0), (3, 3), (3, 4), (4, 0),
    }  # fmt: skip
    assert asked == ["plane", 1, 1, "plane", 2]  # a box and a point are not of one form


@pytest.mark.parametrize("command", [["segment", "--point", "16,20"], ["everything"]])
def test_one_hot_pixel_does_not_flatten_the_plane(succeed, stub, plane, tmp_path, command):
    image = np.asarray(Image.open(plane)).astype(np.uint16) * 50
    image[0, 0] = 65535
    tifffile.imwrite(tmp_path / "hot.tif", image)
    result = tmp_path / "a.npy"
    succeed(command[0], tmp_path / "hot.tif", "-o", result, *command[1:])
    assert np.load(result)[20, 16] > 0


def test_a_new_kind_of_prompt_is_a_flag(succeed, stub, capsys, monkeypatch, plane, tmp_path):
    kind = PromptKind(
        "trail", "trails", "X0,Y0,X1,Y1,...", "a path along one object",
        partial(add_points, label=1), "place", "shapes", "add_path", np.asarray, ("trail",),
    )  # fmt: skip
    monkeypatch.setitem(PROMPT_KINDS, kind.name, kind)
    result = tmp_path / "labels.tif"
    succeed("segment", plane, "-o", result, "--trail", "46,28,48,29,50,28")
    labels = io.read_image(result).data
    assert (labels[28, 46], labels[20, 16]) == (1, 0)
    with tifffile.TiffFile(result) as file:
        tree = tifffile.xml2dict(file.ome_metadata)
    note = json.loads(tree["OME"]["Image"]["Description"])
    assert note["prompts"] == {
        "point": [], "background": [], "box": [], "region": [], "scribble": [],
        "background_scribble": [], "trail": ["46,28,48,29,50,28"],
    }  # fmt: skip
    with pytest.raises(SystemExit):
        cli.main(["segment", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--trail X0,Y0,X1,Y1,...[,Z[,T]] a path along one object; repeatable" in text
    assert (
        "--point X,Y[,Z[,T]] a point on the object, in pixels; Z is the plane of a stack;" in text
    )


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
        (["--box", "0,0,nan,5"], "--box is X0,Y0,X1,Y1, finite numbers"),
        (["--background", "3,4"], "need an object"),
        (["--point"], "expected one argument"),
        (["--point", "3,4", "--model", "vit_z"], "no model is called 'vit_z'"),
        (["--point", "3,4", "--model", "no.safetensors"], "no file of weights"),
        (["--point", "3,4", "--device", "abacus"], "abacus"),
        (["--point", "3,4", "--device", "mps"], "no mps"),
        (["--pount", "3,4"], "unrecognized arguments"),
    ],
)
def test_wrong_prompts_and_flags(fail, plane, tmp_path, arguments, sentence):
    if "mps" in arguments and sys.platform == "darwin":
        pytest.skip("this machine may have it")
    line = fail("segment", plane, "-o", tmp_path / "a.tif", *arguments)
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
def test_wrong_prompts_in_a_stack(fail, volume, tmp_path, arguments, sentence):
    assert sentence in fail("segment", volume, "-o", tmp_path / "a.tif", *arguments)


def test_an_object_without_a_pixel_is_named(succeed, stub, capsys, plane, tmp_path):
    box = ["--box", "6,10,26,30"]
    summary = json.loads(succeed("segment", plane, "-o", tmp_path / "a.tif", *box, *box))
    assert (summary["objects"], summary["empty"], summary["absent"]) == (1, [2], [])
