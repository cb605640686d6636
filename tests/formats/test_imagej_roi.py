from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import read_roi
import roifile
from exchanged import annotation

from napari_sam.formats import imagej_roi
from napari_sam.formats.imagej_roi import found_in_rois, read_rois, write_rois
from napari_sam.formats.imports import import_objects, imported
from napari_sam.objects import Canvas, ObjectStore
from napari_sam.objects.history import History
from napari_sam.steps import drive


def test_rois_keep_every_pixel_with_holes(tmp_path):
    first = annotation()
    write_rois(first, tmp_path / "a.zip")
    again = read_rois(tmp_path / "a.zip", first.labels.shape)
    np.testing.assert_array_equal(again.labels, first.labels)
    assert {k: one.category for k, one in again.objects.items()} == {4: "nucleus", 7: ""}


def test_read_roi_reads_simple_outlines(tmp_path):
    first = annotation()
    first.labels[0][first.labels[0] == 4] = 0
    write_rois(first, tmp_path / "a.zip")
    theirs = read_roi.read_roi_zip(str(tmp_path / "a.zip"))
    one = theirs["7-2"]
    assert sorted(zip(one["x"], one["y"], strict=True)) == [(20, 10), (20, 20), (30, 10), (30, 20)]
    assert theirs["4-2-nucleus"]["position"] == {"channel": 0, "slice": 2, "frame": 0} or theirs[
        "4-2-nucleus"
    ]["position"] in (2, {"channel": 1, "slice": 2, "frame": 1})


def test_shapes_and_points_of_imagej(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for name, kind in (("r", roifile.ROI_TYPE.RECT), ("o", roifile.ROI_TYPE.OVAL)):
            roi = roifile.ImagejRoi(roitype=kind, left=2, top=3, right=12, bottom=9, position=2)
            file.writestr(f"{name}.roi", roi.tobytes())
        points = roifile.ImagejRoi.frompoints(np.array([(5.5, 6.5), (7.5, 8.5)]))
        points.roitype = roifile.ROI_TYPE.POINT
        file.writestr("p.roi", points.tobytes())
    found = found_in_rois(tmp_path / "a.zip", (3, 20, 30))
    areas = [o.mask.area for one in found.objects for o in one.outlines.values()]
    assert areas[0] == 60
    assert abs(areas[1] - np.pi * 5 * 3) < 4
    assert {key.fixed for one in found.objects for key in one.outlines} == {((0, 1),)}
    assert [row.vertices for row in found.prompts] == [((0.0, 6.0, 5.0),), ((0.0, 8.0, 7.0),)]
    with pytest.raises(ValueError, match="plane 2"):
        found_in_rois(tmp_path / "a.zip", (20, 30))


def test_import_is_one_edit_under_new_labels(tmp_path):
    first = annotation()
    write_rois(first, tmp_path / "a.zip")
    objects, prompts = imported(tmp_path / "a.zip", first.labels.shape)
    labels = np.zeros(first.labels.shape, np.int32)
    labels[1, :4] = 1
    store = ObjectStore(Canvas(labels), 1)
    history = History()
    history.make(store, drive(import_objects(store, objects)))
    assert sorted(store.objects) == [2, 3]
    assert not prompts
    assert store.objects[2].category == "nucleus"
    np.testing.assert_array_equal(labels[0] == 2, first.labels[0] == 4)
    assert (labels[1, :4] == 1).all()
    history.undo()
    assert labels.sum() == 4 * 30
    none, boxes = imported(tmp_path / "a.zip", first.labels.shape, as_prompts=True)
    assert not none
    assert len(boxes) == 3
    assert boxes[0].vertices[0] == (0.0, 2.0, 3.0)


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.roi", b"\0" * 5000)
    monkeypatch.setattr(imagej_roi, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="larger than"):
        found_in_rois(tmp_path / "a.zip", (20, 30))


def test_lines_are_counted_and_names_of_classes_stay(tmp_path):
    first = annotation()
    name = "a/b: c-1 é%2F"
    first.objects[4] = replace(first.objects[4], category=name)
    write_rois(first, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as file:
        line = roifile.ImagejRoi.frompoints(np.array([(1.5, 1.5), (9.5, 9.5)]))
        line.roitype = roifile.ROI_TYPE.POLYLINE
        file.writestr("line.roi", line.tobytes())
        far = roifile.ImagejRoi(
            roitype=roifile.ROI_TYPE.RECT, left=90, top=90, right=95, bottom=95, position=1
        )
        file.writestr("far.roi", far.tobytes())
    again = read_rois(tmp_path / "a.zip", first.labels.shape)
    assert again.objects[4].category == name
    assert again.notice == "2 ROIs that enclose no pixel of the image"
    np.testing.assert_array_equal(again.labels, first.labels)
