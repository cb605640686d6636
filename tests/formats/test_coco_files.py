from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from exchanged import annotation
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO

from napari_sam import masks
from napari_sam.formats import found
from napari_sam.formats.coco_files import coco_losses, found_in_coco, read_coco, write_coco
from napari_sam.formats.coco_lengths import compressed, decompressed, mask_of


def test_coco_keeps_pixels_identity_and_classes(tmp_path):
    first = annotation()
    write_coco(first, tmp_path / "a.coco.json")
    again = read_coco(tmp_path / "a.coco.json", first.labels.shape)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert {k: one.category for k, one in again.objects.items()} == {4: "nucleus", 7: ""}
    assert len(again.objects[4].outlines) == 2
    np.testing.assert_array_equal(read_coco(tmp_path / "a.coco.json").labels, first.labels)
    assert coco_losses(first) == ["the size of the pixels"]


def test_pycocotools_reads_what_is_written(tmp_path):
    first = annotation()
    write_coco(first, tmp_path / "a.coco.json")
    coco = COCO(str(tmp_path / "a.coco.json"))
    for image in coco.loadImgs(coco.getImgIds()):
        labels = np.zeros((20, 30), np.int32)
        for one in coco.loadAnns(coco.getAnnIds(image["id"])):
            mask = coco.annToMask(one)
            labels[mask > 0] = one["track_id"]
            assert one["area"] == mask.sum()
            rle = coco.annToRLE(one)
            assert coco_masks.toBbox(rle).tolist() == one["bbox"]
        np.testing.assert_array_equal(labels, first.labels[image["plane"][0]])


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        pixels = rng.random((40, 700)) < share
        theirs = coco_masks.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
        counts = masks.to_rle(pixels)["counts"]
        assert decompressed(theirs) == decompressed(compressed(counts)) == counts
        for one in (theirs, counts):
            mask = mask_of({"size": [40, 700], "counts": one}, (40, 700))
            np.testing.assert_array_equal(np.asarray(mask), pixels)


def test_files_of_others_are_read(tmp_path):
    square = [2, 2, 8, 2, 8, 6, 2, 6]
    data = {
        "images": [{"id": "a", "height": 20, "width": 30}, {"id": "b", "height": 20, "width": 30}],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [
            {"image_id": "b", "segmentation": [square], "category_id": 3},
            {"image_id": "a", "segmentation": [], "bbox": [4, 5, 10, 6], "category_id": 3},
        ],
    }
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data))
    other = found_in_coco(path)
    assert other.shape == (2, 20, 30)
    (one,) = other.objects
    ((key, outline),) = one.outlines.items()
    assert key.fixed == ((0, 1),)
    assert outline.mask.box == (2, 2, 7, 5)
    assert outline.mask.area == 24
    assert one.category == "cell"
    assert outline.origin == "imported"
    (row,) = other.prompts
    assert row.vertices[0] == (0.0, 4.5, 3.5)
    assert row.vertices[2] == (0.0, 10.5, 13.5)
    with pytest.raises(ValueError, match="20 x 30"):
        found_in_coco(path, (2, 20, 31))


def test_sa1b_is_read(tmp_path):
    pixels = np.zeros((20, 30), bool)
    pixels[3:7, 4:9] = True
    rle = {"size": [20, 30], "counts": compressed(masks.to_rle(pixels)["counts"])}
    entry = {"segmentation": rle, "predicted_iou": 0.9, "id": 5, "bbox": [4, 3, 5, 4]}
    image = {"image_id": 1, "height": 20, "width": 30, "file_name": "sa_1.jpg"}
    path = tmp_path / "sa_1.json"
    for data in ({"image": image, "annotations": [entry]}, [entry]):
        path.write_text(json.dumps(data))
        np.testing.assert_array_equal(read_coco(path).labels, pixels)


def test_a_class_called_object_is_kept(tmp_path):
    first = annotation()
    first.objects[4] = replace(first.objects[4], category="object")
    write_coco(first, tmp_path / "a.json")
    again = read_coco(tmp_path / "a.json")
    assert {k: one.category for k, one in again.objects.items()} == {4: "object", 7: ""}


def test_pieces_of_a_track_are_united_and_crowds_marked(tmp_path):
    def entry(track, x, crowd):
        square = [x, 2, x + 4, 2, x + 4, 6, x, 6]
        return {"image_id": 1, "segmentation": [square], "track_id": track, "iscrowd": crowd}

    data = {
        "images": [{"id": 1, "height": 20, "width": 30}],
        "annotations": [entry(1, 2, 0), entry(1, 12, 0), entry(2, 20, 1)],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    again = read_coco(tmp_path / "a.json")
    assert [(again.labels == k).sum() for k in (1, 2)] == [32, 16]
    assert [one.attributes for one in again.objects.values()] == [{}, {"crowd": True}]
    write_coco(again, tmp_path / "b.json")
    entries = json.loads((tmp_path / "b.json").read_text())["annotations"]
    assert [one["iscrowd"] for one in entries] == [0, 1]


def test_an_open_image_may_be_larger_than_a_file_says(tmp_path, monkeypatch):
    monkeypatch.setattr(found, "MOST_PIXELS", 100)
    monkeypatch.setattr(found, "PIXELS_PER_BYTE", 0)
    first = annotation()
    write_coco(first, tmp_path / "a.json")
    assert read_coco(tmp_path / "a.json", first.labels.shape).labels.shape == first.labels.shape
    with pytest.raises(ValueError, match="open the image"):
        read_coco(tmp_path / "a.json")


def test_the_supercategory_none_of_others_hides_no_class(tmp_path):
    write_coco(annotation(), tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    data["categories"] = [{**one, "supercategory": "none"} for one in data["categories"]]
    (tmp_path / "a.json").write_text(json.dumps(data))
    again = read_coco(tmp_path / "a.json")
    assert {k: one.category for k, one in again.objects.items()} == {4: "nucleus", 7: ""}


def test_a_class_without_a_name_is_none(tmp_path):
    write_coco(annotation(), tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    data["categories"] = [{**one, "name": " "} for one in data["categories"]]
    (tmp_path / "a.json").write_text(json.dumps(data))
    again = read_coco(tmp_path / "a.json")
    assert {one.category for one in again.objects.values()} == {""}
    assert again.properties == {}
