"""`napari-sam evaluate A B`: two annotators of one image."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.cli.disagreement import BOTH, ONLY_A, ONLY_B, OTHERS, draw_disagreement, kinds
from napari_sam.evaluate.annotators import compare
from napari_sam.formats.annotation import Annotation, Geometry
from napari_sam.formats.exchange import format_of
from napari_sam.objects import Outline, SegmentedObject
from napari_sam.types import Mask, SliceKey


@pytest.fixture
def two(tmp_path):
    """Two label images: one pair of partners with an IoU of 0.6, one object missed by each."""
    a, b = np.zeros((30, 40), np.uint16), np.zeros((30, 40), np.uint16)
    a[2:10, 2:12], b[4:12, 2:12] = 1, 5
    a[20:25, 5:15], b[20:25, 25:35] = 2, 6
    tifffile.imwrite(tmp_path / "a.tif", a)
    np.save(tmp_path / "b.npy", b)
    return tmp_path / "a.tif", tmp_path / "b.npy"


def test_two_annotators_as_a_table(succeed, two):
    lines = succeed("evaluate", *two).splitlines()
    assert lines[1].split() == [
        "all", "2", "2", "1", "0.600", "0.333", "0.000", "0.067", "1", "1",
    ]  # fmt: skip
    assert "Dice of the foreground: 0.462" in lines  # 2 * 60 / (130 + 130)
    assert "missed by A: 6 (labels of B)" in lines
    assert "one object of A, several of B: none" in lines


def test_two_annotators_as_json_with_a_picture(succeed, fail, two, tmp_path):
    figure = tmp_path / "differences.png"
    result = json.loads(succeed("evaluate", *two, "--json", "--figure", figure))
    assert result["partners"] == [{"a": 1, "b": 5, "iou": 0.6}]
    assert result["AP"]["0.50"] == pytest.approx(1 / 3)
    assert (result["missed_by_a"], result["missed_by_b"]) == ([6], [2])
    assert result["same_class"] is None
    colours = set(map(tuple, np.asarray(Image.open(figure)).reshape(-1, 3).tolist()))
    assert {BOTH, ONLY_A, ONLY_B} <= colours
    assert "exists" in fail("evaluate", *two, "--figure", figure)
    succeed("evaluate", *two, "--figure", figure, "--overwrite")


def test_projects_and_outlines_are_compared_by_class(succeed, two, tmp_path):
    a, key = tifffile.imread(two[0]).astype(np.int32), SliceKey((0, 1))
    objects = {
        k: SegmentedObject(k, {key: Outline(Mask.of(a == k))}, name)
        for k, name in ((1, "cell"), (2, "debris"))
    }
    geometry = Geometry(("y", "x"), (1.0, 1.0), ("pixel", "pixel"), (0.0, 0.0))
    properties = {"classes": [{"name": n, "colour": "#4477aa"} for n in ("cell", "debris")]}
    annotation = Annotation(a, objects, geometry, properties)
    for name in ("one.samproject", "one.zip"):
        form = format_of(name)
        form.write(annotation, tmp_path / name)
    out = succeed("evaluate", tmp_path / "one.samproject", tmp_path / "one.samproject")
    assert "partners of the same class: 100.0 %" in out
    assert [row.split()[:4] for row in out.splitlines()[2:4]] == [
        ["cell", "1", "1", "1"], ["debris", "1", "1", "1"],
    ]  # fmt: skip
    out = json.loads(succeed("evaluate", tmp_path / "one.zip", two[1], "--json"))
    assert out["partners"] == [{"a": 1, "b": 5, "iou": 0.6}]


def test_what_cannot_be_compared_is_one_sentence(fail, two, tmp_path):
    np.save(tmp_path / "small.npy", np.ones((3, 3), np.uint8))
    np.save(tmp_path / "image.npy", np.ones((30, 40), np.float32))
    assert "have the shape (3, 3), but the others (30, 40)" in fail(
        "evaluate", two[0], tmp_path / "small.npy"
    )
    assert "holds no labels but float32" in fail("evaluate", two[0], tmp_path / "image.npy")
    assert "there is no file" in fail("evaluate", two[0], tmp_path / "none.tif")
    assert "name the second one" in fail("evaluate", two[0], "--figure", tmp_path / "f.png")
    assert "is written as .png" in fail("evaluate", *two, "--figure", tmp_path / "f.jpg")


def test_each_pixel_of_the_picture_is_of_one_kind():
    a = np.array([[0, 1, 1, 2, 0, 3]])
    b = np.array([[0, 5, 5, 6, 7, 0]])
    found = kinds(a, b, np.array([[1, 5]]))
    assert found.tolist() == [[0, 1, 1, 4, 3, 2]]


def test_of_a_stack_the_planes_that_differ_most_are_drawn():
    a = np.zeros((7, 10, 10), int)
    a[:, 1:9, 1:9] = 1
    b = a.copy()
    b[:, 0] = 1
    for plane in range(4):
        b[plane, 3:] = 0
    b[:, 8] = 2
    picture = draw_disagreement(a, b, compare(a, b), ("a.tif", "b.tif"))
    colours = set(map(tuple, picture.reshape(-1, 3).tolist()))
    assert {BOTH, ONLY_A, ONLY_B, OTHERS} <= colours
    assert picture.shape[0] > 2 * 80
