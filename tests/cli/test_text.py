"""`napari-sam everything --text`: the best objects stay, with the words as their class."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from text_pair import Knows, write_model
from tiny import SceneModel

from napari_sam.cli import parser as cli
from napari_sam.cli import worded
from napari_sam.formats.label_tiff import read_label_tiff
from napari_sam.images.readers import read_image

VALUES = (150, 250, 190)


@pytest.fixture
def shapes(tmp_path):
    """Three squares of different brightness on black: a stack of four planes."""
    pixels = np.zeros((4, 64, 96), np.uint8)
    for k, value in enumerate(VALUES):
        pixels[:, 20:40, 8 + 30 * k : 26 + 30 * k] = value
    path = tmp_path / "shapes.tif"
    tifffile.imwrite(path, pixels, metadata={"axes": "ZYX"}, photometric="minisblack")
    return path


@pytest.fixture
def knows(monkeypatch):
    model = Knows()

    def loading(name, device, offline):
        yield from ()
        return model

    monkeypatch.setattr(worded, "check_text_model", lambda name: None)
    monkeypatch.setattr(worded, "loading_text_model", loading)
    monkeypatch.setattr(worded, "_loaded", {})
    return model


def test_the_best_objects_stay_with_the_words_as_their_class(succeed, stub, knows, plane, tmp_path):
    result = tmp_path / "labels.tif"
    arguments = ("everything", plane, "-o", result, "--text-model", "known")
    told = json.loads(succeed(*arguments, "--text", " bright ", "--text-share", "0.5"))
    labels = tifffile.imread(result)
    assert labels[28, 46] > 0 == labels[20, 16]  # the brighter of two discs
    ((label, score),) = told["text_scores"].items()
    assert int(label) == labels[28, 46]
    assert (told["objects"], told["of"], told["text"]) == (1, 2, "bright")
    (kept,) = read_label_tiff(result).objects.values()
    assert (kept.category, kept.attributes) == ("bright", {"text_score": score})
    told = json.loads(succeed(*arguments, "--text", "dark", "--text-share", "0.5", "--overwrite"))
    labels = tifffile.imread(result)
    assert labels[20, 16] > 0 == labels[28, 46]


def test_an_object_of_a_stack_stays_in_all_its_planes(succeed, stub, knows, shapes, tmp_path):
    result = tmp_path / "labels.ome.zarr"
    told = json.loads(succeed(
        "everything", shapes, "-o", result, "--text", "bright", "--text-model", "known",
        "--text-share", "0.6", "--contrast", "0,255", "--slices", "1:4",
    ))  # fmt: skip
    labels = read_image(result).data
    scores = list(told["text_scores"].values())
    assert scores == sorted(scores, reverse=True)
    assert told["objects"] == 2
    assert told["of"] == 3
    for column, here in zip((15, 45, 75), (False, True, True), strict=True):
        values = np.asarray(labels[1:, 30, column])
        assert bool(values.all()) == here
        assert len(set(values.tolist())) == 1
    assert not np.asarray(labels[0]).any()


def test_all_stay_where_the_share_is_1(succeed, stub, knows, plane, tmp_path):
    told = json.loads(succeed(
        "everything", plane, "-o", tmp_path / "labels.npy", "--text", "dark", "--text-model",
        "known", "--text-share", "1",
    ))  # fmt: skip
    assert told["objects"] == told["of"] == 2


def test_a_model_from_a_folder(succeed, stub, plane, tmp_path):
    write_model(tmp_path / "pair")
    told = json.loads(succeed(
        "everything", plane, "-o", tmp_path / "labels.png", "--text", "round cell",
        "--text-model", tmp_path / "pair", "--device", "cpu",
    ))  # fmt: skip
    assert told["objects"] == 1  # a quarter of two, rounded up


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (("--rule", "none.toml"), "the rule none.toml cannot be read"),
        (("--model", "none.pt"), "there is no file of weights"),
        (("--contrast", "5,1"), "contrast limits must"),
        (("--channels", "9"), "--channels 9 needs"),
    ],
)
def test_the_model_is_loaded_after_all_else_was_checked(
    fail, monkeypatch, plane, tmp_path, wrong, sentence
):
    monkeypatch.setattr(worded, "check_text_model", lambda name: None)
    monkeypatch.setattr(worded, "loading_text_model", lambda *_: pytest.fail("it was loaded"))
    arguments = ("everything", plane, "-o", tmp_path / "labels.tif", "--text", "cell")
    assert sentence in fail(*arguments, "--text-model", "known", *wrong)


def test_a_damaged_model_is_told_before_objects_are_looked_for(
    fail, stub, plane, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(SceneModel, "encode", lambda *_: pytest.fail("it was encoded"))
    write_model(tmp_path / "pair")
    capsys.readouterr()
    (tmp_path / "pair" / "tokenizer.json").write_text("{", encoding="utf-8")
    arguments = ("--text", "cell", "--text-model", tmp_path / "pair", "--device", "cpu")
    assert "tokenizer" in fail("everything", plane, "-o", tmp_path / "labels.tif", *arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--text-share", "0.5"], "--text-share goes together with --text"),
        (["--text-model", "siglip_base"], "--text-model goes together with --text"),
        (["--text", "cell"], "--text needs --text-model"),
        (["--text", " ", "--text-model", "siglip_base"], "--text is empty"),
        (["--text", "cell", "--text-model", "none"], "there is no folder none"),
        (["--text", "cell", "--text-model", "x", "--text-share", "0"], "above 0 and up to 1"),
        (["--text", "cell", "--text-model", "x", "--annotations", "a.json"], "tells of all"),
        (["--text", "cell", "--text-model", "x", "--tracks", "a.txt"], "--tracks"),
    ],
)
def test_what_cannot_be_done_is_said(fail, stub, plane, tmp_path, arguments, sentence):
    assert sentence in fail("everything", plane, "-o", tmp_path / "labels.tif", *arguments)
    assert not (tmp_path / "labels.tif").exists()


def test_records_are_of_all_masks(capsys, stub, plane, tmp_path):
    arguments = ("--to", "sa1b", "--text", "cell", "--text-model", "x")
    arguments = ("everything", plane, "-o", tmp_path / "one", *arguments)
    assert cli.main([str(argument) for argument in arguments]) == 1
    assert "records are of all masks" in capsys.readouterr().err
