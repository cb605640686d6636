"""`napari-sam everything`: parameters, planes, annotations."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_sam.cli import parser as cli
from napari_sam.everything.amg_params import AmgParams
from napari_sam.images import readers as io


def test_every_parameter_is_a_flag(capsys):
    with pytest.raises(SystemExit):
        cli.main(["everything", "--help"])
    text = capsys.readouterr().out
    for name, option in AmgParams.__dataclass_fields__.items():
        assert (f"--{name.replace('_', '-')} " in text) == bool(option.metadata)


def test_everything_with_the_bundled_model(succeed, plane, tmp_path):
    result, annotations = tmp_path / "labels.tif", tmp_path / "masks.json"
    out = succeed(
        "everything", plane, "-o", result, "--annotations", annotations,
        "--points-per-side", "2", "--pred-iou-thresh", "0", "--device", "cpu",
    )  # fmt: skip
    labels = io.read_image(result).data
    assert labels.shape == (48, 64)
    assert json.loads(out)["model"] == "pocket"
    for mask in json.loads(annotations.read_text()):
        assert mask["segmentation"]["size"] == [48, 64]
        assert sum(mask["segmentation"]["counts"]) == 48 * 64


def test_everything_in_some_planes(succeed, stub, volume, tmp_path):
    result = tmp_path / "labels.tif"
    succeed(
        "everything", volume, "-o", result, "--slices", "1:3", "--points-per-side", "3",
        "--pred-iou-thresh", "0", "--stability-score-thresh", "0",
    )  # fmt: skip
    labels = io.read_image(result).data
    assert labels.shape == (5, 48, 64)
    assert labels[1].any()
    assert not labels[[0, 3, 4]].any()
    assert np.array_equal(labels[1], labels[2])  # the planes are alike, so linking joins all


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
def test_wrong_parameters_of_everything(fail, volume, tmp_path, arguments, sentence):
    assert sentence in fail("everything", volume, "-o", tmp_path / "a.tif", *arguments)


def test_slices_need_a_stack(fail, plane, tmp_path):
    line = fail("everything", plane, "-o", tmp_path / "a.tif", "--slices", "0:1")
    assert "needs a stack" in line


def test_two_results_need_two_names(fail, plane, tmp_path):
    target = tmp_path / "a.tif"
    line = fail("everything", plane, "-o", target, "--annotations", target)
    assert "two names" in line
