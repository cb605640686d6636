"""`segment --prompts FILE`: an object for each prompt of another system, with class and score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.formats.label_tiff import read_label_tiff
from napari_sam.formats.ome_zarr import read_ome_zarr

LEFT, RIGHT = [6, 10, 21, 21], [36, 18, 21, 21]


def result(box: list[int], kind: int = 1, score: float = 0.75, **more: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": kind, "bbox": box, "score": score, **more}


def given(tmp_path: Path, entries: list[dict[str, Any]]) -> Path:
    path = tmp_path / "results.json"
    names = [{"id": 1, "name": "cell"}, {"id": 2, "name": "nucleus"}]
    images = [{"id": 1, "file_name": "plane.png"}]
    path.write_text(json.dumps({"images": images, "annotations": entries, "categories": names}))
    return path


def overlap(labels: np.ndarray, label: int, image: Path, brightness: int) -> float:
    wanted = np.asarray(Image.open(image)) == brightness
    own = labels == label
    return float((own & wanted).sum() / (own | wanted).sum())


@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_class_and_score_are_kept(succeed, stub, plane, tmp_path, suffix):
    path = given(tmp_path, [result(LEFT, 2, 0.875), result(RIGHT)])
    out = json.loads(succeed("segment", plane, "-o", tmp_path / f"a{suffix}", "--prompts", path))
    first, second = out["prompts"]
    assert (first["label"], first["class"], first["prompt_score"]) == (1, "nucleus", 0.875)
    assert (second["label"], second["outcome"], second["where"]) == (2, "object", "entry 2")
    read = read_label_tiff if suffix == ".tif" else read_ome_zarr
    found = read(tmp_path / f"a{suffix}")
    labels = np.asarray(found.labels)
    assert overlap(labels, 1, plane, 200) > 0.9
    assert overlap(labels, 2, plane, 230) > 0.9
    assert {k: one.category for k, one in found.objects.items()} == {1: "nucleus", 2: "cell"}
    assert found.objects[1].attributes == {"prompt score": 0.875}


def test_duplicates_and_what_is_not_there(succeed, stub, plane, tmp_path):
    near = [7, 11, 20, 20]
    entries = [result(LEFT), result(near, score=0.5), result([200, 200, 9, 9])]
    out = json.loads(
        succeed("segment", plane, "-o", tmp_path / "a.npy", "--prompts", given(tmp_path, entries))
    )
    assert sorted(one["outcome"] for one in out["prompts"]) == ["duplicate", "object", "outside"]
    assert out["prompts"][2]["outcome"] == "outside"
    labels = np.load(tmp_path / "a.npy")
    (kept,) = (one["label"] for one in out["prompts"] if one["outcome"] == "object")
    assert np.unique(labels).tolist() == [0, kept]


def test_masks_are_rough_outlines(succeed, stub, plane, tmp_path):
    rough = [[8, 12, 25, 14, 22, 28, 10, 26]]
    entries = [result(LEFT, segmentation=rough)]
    succeed("segment", plane, "-o", tmp_path / "a.npy", "--prompts", given(tmp_path, entries))
    assert overlap(np.load(tmp_path / "a.npy"), 1, plane, 200) > 0.9


def test_typed_prompts_come_first(succeed, stub, plane, tmp_path):
    (tmp_path / "p.csv").write_text("x,y,class\n46,28,bright\n16,21,same\n")
    out = json.loads(
        succeed(
            "segment", plane, "-o", tmp_path / "a.npy", "--point", "16,20",
            "--prompts", tmp_path / "p.csv",
        )
    )  # fmt: skip
    assert [one["outcome"] for one in out["prompts"]] == ["object", "duplicate"]
    labels = np.load(tmp_path / "a.npy")
    assert (labels[20, 16], labels[28, 46]) == (1, 2)


def test_a_gaze(succeed, stub, plane, tmp_path, capsys):
    track = [(16 + k % 2, 20, k) for k in range(12)] + [(30, 5, 12)]
    track += [(46, 28 + k % 2, 13 + k) for k in range(12)]
    lines = [f"{x},{y},{k * 20}" for x, y, k in track]
    (tmp_path / "g.csv").write_text("\n".join(["x,y,time_ms", *lines]))
    succeed(
        "segment", plane, "-o", tmp_path / "a.npy", "--prompts", tmp_path / "g.csv",
        "--dwell", "0.2", "--dispersion", "5",
    )  # fmt: skip
    labels = np.load(tmp_path / "a.npy")
    assert (labels[20, 16], labels[28, 46]) == (1, 2)


def test_planes_of_a_stack_are_followed(succeed, stub, volume, tmp_path):
    (tmp_path / "p.csv").write_text("x,y,z,class\n16,20,1,cell\n46,28,3,cell\n")
    path = tmp_path / "a.tif"
    succeed("segment", volume, "-o", path, "--prompts", tmp_path / "p.csv")
    labels = tifffile.imread(path)
    assert [(labels[z, 20, 16], labels[z, 28, 46]) for z in range(5)] == [
        (0, 0), (1, 0), (0, 0), (0, 2), (0, 0),
    ]  # fmt: skip
    options = ("--propagate", "--overwrite")
    succeed("segment", volume, "-o", path, "--prompts", tmp_path / "p.csv", *options)
    labels = tifffile.imread(path)
    assert (labels[:, 20, 16] == 1).all()
    assert (labels[:, 28, 46] == 2).all()
    assert read_label_tiff(path).objects[2].category == "cell"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--one-object", "--propagate"], "--one-object does not go with --prompts"),
        (["--axis", "y"], "--axis does not go with --prompts"),
        (["--dwell", "0"], "longer than 0 seconds"),
        (["--least-score", "0.9"], "holds no prompt for"),
    ],
)
def test_what_cannot_be(fail, stub, volume, tmp_path, options, text):
    (tmp_path / "p.csv").write_text("x,y,z,score\n16,20,1,0.5\n")
    arguments = ("segment", volume, "-o", tmp_path / "a.tif", "--prompts", tmp_path / "p.csv")
    assert text in fail(*arguments, *options)


def test_errors_name_file_and_line(fail, stub, plane, tmp_path):
    (tmp_path / "p.csv").write_text("x,y\n16,20\n16,here\n")
    arguments = ("segment", plane, "-o", tmp_path / "a.tif", "--prompts", tmp_path / "p.csv")
    assert "p.csv: line 3: y is a number, but is 'here'" in fail(*arguments)


def test_names_of_another_axis_than_that_of_the_image_are_refused(fail, stub, tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((3, 48, 64), np.uint8), metadata={"axes": "ZYX"})
    images = [{"id": k, "file_name": f"s_t{k}.png"} for k in range(3)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"images": images, "annotations": [result(LEFT)]}))
    line = fail("segment", tmp_path / "s.tif", "-o", tmp_path / "a.npy", "--prompts", path)
    assert "s_t0.png names planes of t, but the image has planes of z" in line
