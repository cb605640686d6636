"""`napari-sam everything`: parameters, planes, annotations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from tiny import SceneModel

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


def as_ome_zarr(volume, folder):
    """Write a stack as an OME-Zarr of one level."""
    image = io.read_image(volume)
    group = zarr.open_group(folder, mode="w")
    chunks = (1, *image.data.shape[1:])
    group.create_array("0", data=np.asarray(image.data), chunks=chunks)
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    transforms = [{"type": "scale", "scale": list(image.scale)}]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group.attrs["ome"] = ome
    return folder


def test_an_ome_zarr_to_an_ome_zarr(succeed, stub, volume, tmp_path, monkeypatch):
    source, result = as_ome_zarr(volume, tmp_path / "a.ome.zarr"), tmp_path / "b.ome.zarr"
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    most = []
    get = zarr.Array.__getitem__

    def counted(self, index):
        found = get(self, index)
        most.append(np.size(found))
        return found

    monkeypatch.setattr(zarr.Array, "__getitem__", counted)
    out = json.loads(succeed("everything", source, "-o", result))
    assert max(most) == 48 * 64  # never more than a plane
    assert (out["objects"], out["shape"], out["dtype"]) == (2, [5, 48, 64], "int32")
    image = io.read_image(result)
    assert image.scale == (2.0, 0.25, 0.25)
    labels = np.asarray(image.data)
    assert len(np.unique(labels[:, 20, 16])) == 1  # joined
    assert labels[0, 28, 46] != labels[0, 20, 16]
    assert {path: path.stat().st_mtime_ns for path in source.rglob("*")} == before
    straight = tmp_path / "c.tif"
    succeed("everything", volume, "-o", straight)
    assert np.array_equal(io.read_image(straight).data, labels)


def test_a_plane_to_an_ome_zarr(succeed, stub, plane, tmp_path):
    result, masks = tmp_path / "a.ome.zarr", tmp_path / "a.json"
    succeed("everything", plane, "-o", result, "--annotations", masks)
    assert io.read_image(result).data.max() == 2
    assert len(json.loads(masks.read_text())) == 2


def test_the_axis_of_planes(succeed, stub, volume, tmp_path):
    result = tmp_path / "a.npy"
    succeed("everything", volume, "-o", result, "--axis", "x", "--slices", "10:20")
    labels = np.load(result)
    assert labels[..., 10:20].any()
    assert not labels[..., :10].any()
    assert not labels[..., 20:].any()


def test_planes_that_are_done_are_kept_when_it_is_interrupted(
    stub, volume, tmp_path, monkeypatch, capsys
):
    encode, calls = SceneModel.encode, []

    def interrupted(self, rgb):
        calls.append(rgb)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return encode(self, rgb)

    monkeypatch.setattr(SceneModel, "encode", interrupted)
    result = tmp_path / "a.ome.zarr"
    assert cli.main(["everything", str(volume), "-o", str(result)]) == 130
    lines = capsys.readouterr().err.splitlines()
    kept = f"napari-sam: the planes that are done, not joined yet, are in {result}"
    assert lines[-2:] == [kept, "napari-sam: interrupted"]
    labels = np.asarray(io.read_image(result).data)
    assert labels.any(axis=(1, 2)).tolist() == [True, True, False, False, False]
