"""`--channels`: which channels are looked at, said on stderr and in the summary."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from napari_sam.cli import parser as cli


@pytest.fixture
def channels(tmp_path):
    """Four channels (C, Y, X): a disc in the first, another in the last, noise between."""
    y, x = np.mgrid[:48, :64]
    image = np.random.default_rng(0).normal(100, 2, (4, 48, 64))
    image[0][(x - 16) ** 2 + (y - 20) ** 2 < 80] = 300
    image[3][(x - 46) ** 2 + (y - 28) ** 2 < 100] = 4000
    path = tmp_path / "channels.tif"
    tifffile.imwrite(path, image.astype(np.uint16), imagej=True, metadata={"axes": "CYX"})
    return path


def run(capsys, *arguments):
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("command", ["segment", "everything"])
def test_all_channels_are_seen_and_it_is_said(capsys, stub, channels, tmp_path, command):
    result = tmp_path / "labels.tif"
    prompts = ["--box", "8,12,24,28", "--box", "36,18,56,38"] if command == "segment" else []
    code, out, err = run(capsys, command, channels, "-o", result, *prompts)
    assert code == 0
    assert json.loads(out)["channels"] == [0, 1, 2, 3]
    assert "channels 0, 1, 2 and 3 are used" in err
    labels = tifffile.imread(result)
    assert labels[20, 16]
    assert labels[28, 46]


def test_one_channel_is_chosen(capsys, stub, channels, tmp_path):
    result = tmp_path / "labels.tif"
    code, out, err = run(capsys, "everything", channels, "-o", result, "--channels", "3")
    assert code == 0
    assert json.loads(out)["channels"] == [3]
    assert "channel 3 is used (the image has 0 to 3)" in err
    labels = tifffile.imread(result)
    assert labels[28, 46]
    assert not labels[20, 16]


def test_channels_of_a_stack(capsys, stub, channels, tmp_path):
    image = tifffile.imread(channels)
    path, result = tmp_path / "stack.tif", tmp_path / "labels.tif"
    stack = np.stack([image, np.roll(image, 1, 0)])
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZCYX"})
    code, out, _ = run(capsys, "everything", path, "-o", result, "--channels", "3")
    assert code == 0
    assert json.loads(out)["channels"] == [3]
    labels = tifffile.imread(result)
    assert labels[0, 28, 46]
    assert not labels[0, 20, 16]
    assert not labels[1].any()  # noise, seen over the range of the stack


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("4", "there is no channel 4: the image has 4, from 0 to 3"),
        ("1,1", "each is named once"),
        ("-1", "whole numbers and commas"),
        ("red", "whole numbers and commas"),
        ("", "whole numbers and commas"),
    ],
)
def test_channels_that_there_are_not(capsys, stub, channels, tmp_path, text, sentence):
    result = tmp_path / "labels.tif"
    code, out, err = run(capsys, "everything", channels, "-o", result, f"--channels={text}")
    assert (code, out) == (2, "")
    assert sentence in err


def test_an_image_without_channels_has_none_to_choose(capsys, stub, plane, tmp_path):
    result = tmp_path / "labels.tif"
    code, _, err = run(capsys, "everything", plane, "-o", result, "--channels", "0")
    assert code == 2
    assert "needs an image with channels" in err


def test_a_box_far_beyond_the_edge_gives_valid_json(capsys, stub, plane, tmp_path):
    result = tmp_path / "labels.tif"
    code, out, _ = run(capsys, "segment", plane, "-o", result, "--box", "8,12,3e38,1e300")
    assert code == 0
    assert np.isfinite(json.loads(out)["scores"]).all()
