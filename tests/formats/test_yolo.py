from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from exchanged import annotation

from napari_sam.formats.imports import imported
from napari_sam.formats.yolo import found_in_yolo, read_yolo, write_yolo, yolo_losses
from napari_sam.objects.segmented import SegmentedObject


def test_yolo_keeps_pixels_without_holes_and_classes(tmp_path):
    first = annotation()
    path = tmp_path / "cells.yolo"
    write_yolo(first, path)
    write_yolo(first, path)  # over an earlier one
    assert sorted(one.name for one in path.iterdir()) == [
        *("cells_0.txt", "cells_1.txt", "cells_2.txt", "classes.txt", "data.yaml")
    ]
    again = read_yolo(path, first.labels.shape)
    expected = first.labels > 0
    expected[0, 4:6, 5:8] = True  # the hole
    np.testing.assert_array_equal(again.labels > 0, expected)
    assert [one.category for one in again.objects.values()] == ["nucleus", "nucleus", ""]
    assert (path / "classes.txt").read_text() == "nucleus\nobject\n"
    (path / "classes.txt").unlink()
    again = read_yolo(path / "cells_0.txt", first.labels.shape)  # a file of the folder was chosen
    assert [one.category for one in again.objects.values()] == ["nucleus", "nucleus", ""]
    assert "holes, and pieces of an object beside its largest" in yolo_losses(first)
    with pytest.raises(ValueError, match="open the image"):
        read_yolo(path)
    with pytest.raises(ValueError, match="2 texts|3 texts"):
        read_yolo(path, (2, 20, 30))


def test_boxes_are_prompts_and_polygons_objects(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("1 0.5 0.5 0.2 0.5\n0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n")
    (tmp_path / "data.yaml").write_text("nc: 2\nnames: ['cell, round', \"nu\\u0063leus\"]\n")
    objects, prompts = imported(path, (20, 30))
    ((_, outline),) = objects[0].outlines.items()
    assert outline.mask.box == (3, 2, 11, 9)
    assert objects[0].category == "cell, round"
    assert prompts[0].vertices[0] == (5.0, 12.0)
    assert prompts[0].vertices[2] == (14.0, 17.0)
    (tmp_path / "data.yaml").write_text("names:\n  0: cell # round\n  1: x\n")
    assert found_in_yolo(path, (20, 30)).objects[0].category == "cell"
    _, boxes = imported(path, (20, 30), as_prompts=True)
    assert boxes[1].vertices[0] == (2.0, 3.0)


@pytest.mark.parametrize(
    "line", ["x 0 0 1 1", "0 0.1", "0 a b c d", "0 nan 0 1 1", "0 1e9 0 1 1", "-1 0 0 1 1"]
)
def test_what_is_no_yolo_is_refused(tmp_path, line):
    path = tmp_path / "a.txt"
    path.write_text(line)
    with pytest.raises(ValueError, match="line 1 of a.txt"):
        found_in_yolo(path, (20, 30))


def test_another_folder_is_not_replaced(tmp_path):
    path = tmp_path / "a.yolo"
    path.mkdir()
    (path / "holiday.jpg").write_text("a picture")
    with pytest.raises(ValueError, match="another name"):
        write_yolo(annotation(), path)
    assert (path / "holiday.jpg").exists()


def test_a_rare_sign_in_a_class_shifts_no_other(tmp_path):
    whole = annotation()
    whole.objects[4] = replace(whole.objects[4], category="a\u2028b")
    whole.objects[7] = SegmentedObject(7, {}, "c")
    write_yolo(whole, tmp_path / "a.yolo")
    again = read_yolo(tmp_path / "a.yolo", whole.labels.shape)
    assert {one.category for one in again.objects.values()} == {"a\u2028b", "c"}
