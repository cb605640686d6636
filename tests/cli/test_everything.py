"""`napari-sam everything`: parameters, planes, annotations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import zarr
from tiny import SceneModel

from napari_sam.cli import parser as cli
from napari_sam.everything.amg_params import AmgParams
from napari_sam.everything.rules import ENDING, Rule, write_rule
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


def test_small_objects_go_by_their_volume_in_micrometres(succeed, stub, volume, tmp_path):
    result = tmp_path / "a.tif"
    succeed("everything", volume, "-o", result)
    labels = np.asarray(io.read_image(result).data)
    small, large = sorted(np.unique(labels, return_counts=True)[1][1:] * 2.0 * 0.25**2)
    for least, objects in ((small, 2), (small + 0.1, 1), (large + 0.1, 0)):
        run = ("everything", volume, "-o", result, "--overwrite", "--least-volume", str(least))
        assert json.loads(succeed(*run))["objects"] == objects
    # voxels of a fifth of the side have 1/125 of the volume
    run = ("everything", volume, "-o", result, "--overwrite", "--spacing", "0.4,0.05,0.05")
    for least, objects in ((large / 125 - 1e-3, 1), (large / 125 + 1e-3, 0)):
        assert json.loads(succeed(*run, "--least-volume", f"{least}"))["objects"] == objects
    assert io.read_image(result).scale == pytest.approx((0.4, 0.05, 0.05))


def test_volumes_of_an_ome_zarr_are_those_of_its_scales(succeed, stub, volume, tmp_path):
    source, result = as_ome_zarr(volume, tmp_path / "a.ome.zarr"), tmp_path / "a.npy"
    succeed("everything", volume, "-o", result)
    large = np.unique(np.load(result), return_counts=True)[1][1:].max() * 2.0 * 0.25**2
    for least, objects in ((large - 0.1, 1), (large + 0.1, 0)):
        run = ("everything", source, "-o", result, "--overwrite", "--least-volume", str(least))
        assert json.loads(succeed(*run))["objects"] == objects


def test_voxels_of_unknown_size_need_a_spacing(succeed, fail, stub, volume, tmp_path):
    source, result = tmp_path / "plain.npy", tmp_path / "a.npy"
    np.save(source, io.read_image(volume).data)
    run = ("everything", source, "-o", result, "--least-volume", "1000")
    assert "give --spacing Z,Y,X" in fail(*run)
    assert json.loads(succeed(*run, "--spacing", "1,1,1"))["objects"] == 2
    assert json.loads(succeed(*run, "--spacing", "1,1,0.5", "--overwrite"))["objects"] == 0


def test_planes_with_pixels_that_are_not_square_are_seen_as_squares(
    succeed, stub, volume, tmp_path, monkeypatch
):
    sizes, encode = set(), SceneModel.encode

    def noted(self, rgb):
        sizes.add(rgb.shape[:2])
        return encode(self, rgb)

    monkeypatch.setattr(SceneModel, "encode", noted)
    succeed("everything", volume, "-o", tmp_path / "a.npy", "--axis", "x", "--slices", "10:12")
    assert sizes == {(40, 48)}  # 5 planes of 2 um, 48 rows of 0.25 um
    assert np.load(tmp_path / "a.npy").shape == (5, 48, 64)


@pytest.mark.parametrize("text", ["1,1", "1,1,1,1", "0,1,1", "a,1,1", "nan,1,1", "1,inf,1", ""])
def test_a_wrong_spacing(fail, volume, tmp_path, text):
    line = fail("everything", volume, "-o", tmp_path / "a.tif", f"--spacing={text}")
    assert "--spacing is Z,Y,X in this image, numbers above 0" in line


@pytest.fixture
def movie(tmp_path):
    """A time series of five frames in which an object divides beside one that stays."""
    frames = np.full((5, 96, 128), 20, np.uint8)
    frames[:, 60:80, 20:40] = 200
    frames[:2, 20:44, 60:90] = 200
    frames[2:, 22:42, 52:72] = 200
    frames[2:, 22:42, 78:98] = 200
    path = tmp_path / "movie.tif"
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX"})
    return path


def test_a_time_series_is_tracked(succeed, stub, movie, tmp_path):
    result, table = tmp_path / "a.tif", tmp_path / "res_track.txt"
    out = json.loads(succeed("everything", movie, "-o", result, "--tracks", table))
    assert (out["objects"], out["divided"]) == (4, 1)
    labels = np.asarray(io.read_image(result).data)
    mother, left, right = labels[0, 30, 70], labels[2, 30, 60], labels[2, 30, 90]
    assert (labels[:, 70, 30] == labels[0, 70, 30]).all()
    lines = {tuple(map(int, line.split())) for line in table.read_text().splitlines()}
    assert lines == {
        (mother, 0, 1, 0), (labels[0, 70, 30], 0, 4, 0), (left, 2, 4, mother),
        (right, 2, 4, mother),
    }  # fmt: skip


def test_tracks_need_time(fail, stub, movie, volume, tmp_path):
    table = tmp_path / "tracks.txt"
    run = ("-o", tmp_path / "a.tif", "--tracks", table)
    assert "in time" in fail("everything", volume, *run)
    assert "in time" in fail("everything", movie, *run, "--axis", "y")
    assert "two names" in fail(
        "everything", movie, "-o", table.with_suffix(".tif"), "--tracks", table.with_suffix(".tif")
    )
    assert "in space" in fail("everything", movie, "-o", tmp_path / "a.tif", "--least-volume", "3")
    table.write_text("earlier")
    assert "--overwrite" in fail("everything", movie, *run)
    assert table.read_text() == "earlier"


def test_the_contrast_decides_what_is_seen(succeed, fail, stub, plane, volume, tmp_path):
    result = tmp_path / "a.npy"
    for image in (plane, volume):
        run = ("everything", image, "-o", result, "--overwrite", "--contrast")
        assert json.loads(succeed(*run, "0,255"))["objects"] == 2
        assert json.loads(succeed(*run, "180,250"))["objects"] == 1  # the darker one is 200
        assert json.loads(succeed(*run, "240,255"))["objects"] == 0
    assert "LOW,HIGH" in fail("everything", plane, "-o", result, "--overwrite", "--contrast", "3")
    assert "must rise" in fail(*map(str, run), "9,3")


def test_a_plane_is_seen_with_square_pixels(succeed, stub, monkeypatch, plane, tmp_path):
    seen, encode = [], SceneModel.encode
    monkeypatch.setattr(
        SceneModel, "encode", lambda self, rgb: seen.append(rgb.shape) or encode(self, rgb)
    )
    result = tmp_path / "a.tif"
    out = json.loads(succeed("everything", plane, "-o", result, "--spacing", "0.5,1"))
    assert seen == [(48, 128, 3)]  # a pixel is twice as wide as high
    assert out["objects"] == 2
    assert io.read_image(result).data.shape == (48, 64)


def test_a_rule_gives_thresholds_and_sizes(succeed, fail, stub, plane, volume, tmp_path):
    rule, result = tmp_path / f"large{ENDING}", tmp_path / "labels.tif"
    params = AmgParams(points_per_side=12, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    write_rule(Rule(params, least_size=280.0), rule)
    succeed("everything", plane, "-o", result, "--rule", rule)
    labels = io.read_image(result).data
    assert labels.max() == 1  # the smaller disc has 249 pixels, the larger one 305
    assert labels[28, 46] == 1
    succeed("everything", plane, "-o", result, "--rule", rule, "--min-area", "1", "--overwrite")
    assert io.read_image(result).data.max() == 2
    write_rule(Rule(params, least_size=280.0 / 16, unit="µm²"), rule)
    succeed("everything", volume, "-o", result, "--rule", rule, "--overwrite")
    assert io.read_image(result).data.max() == 1
    error = fail("everything", plane, "-o", result, "--rule", rule, "--overwrite")
    assert "--spacing" in error
    assert "no rule" in fail("everything", plane, "-o", result, "--rule", plane, "--overwrite")
