"""What is drawn in prompt layers, as values that are removed and drawn again; no window."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from napari.viewer import ViewerModel

from napari_sam.objects.drawn import DrawnRow, sentence, without
from napari_sam.widget import layers
from napari_sam.widget.drawing import read_drawing, redraw
from napari_sam.widget.frame import frame_of

BOX = np.array([[1.0, 5, 6], [1, 5, 26], [1, 25, 26], [1, 25, 6]])


@pytest.fixture
def ours():
    """A layer of points and one of boxes on a stack of 3 planes."""
    image = Image(np.zeros((3, 40, 50), np.uint8))
    viewer = ViewerModel()
    viewer.add_layer(image)
    frame = frame_of(image, viewer.dims)
    points, boxes = layers.make_points(frame), layers.make_boxes(frame)
    points.add([1.0, 10, 12])
    layers.own(points, [4])
    layers.set_label_kind(points, layers.BACKGROUND)
    points.add([2.0, 30, 31])
    boxes.add(BOX, shape_type="rectangle")
    layers.own(boxes, [7])
    return points, boxes


def told(rows):
    return [(row.layer, row.mark, row.vertices, row.owner) for row in rows]


def test_everything_drawn_is_read(ours):
    point, background, box = read_drawing(*ours)
    assert told([point]) == [("points", "object", ((1, 10, 12),), 4)]
    assert (background.mark, background.owner) == ("background", 0)
    assert (box.layer, box.mark, box.owner) == ("shapes", "rectangle", 7)
    assert box.box == ((1, 2), (5, 26), (6, 27))


def test_what_is_removed_comes_back_as_it_was(ours):
    boxes = ours[1]
    boxes.add(BOX, shape_type="polygon")
    boxes.add(BOX[:2], shape_type="path")
    boxes.add(BOX[:3], shape_type="path")
    boxes.features.loc[3, layers.KIND] = layers.BACKGROUND
    before = read_drawing(*ours)
    assert [row.mark for row in before[-3:]] == ["polygon", "path", "background path"]
    redraw(*ours, remove=before, add=())
    assert read_drawing(*ours) == ()
    redraw(*ours, remove=(), add=before)
    assert told(read_drawing(*ours)) == told(before)
    points = ours[0]
    assert [str(one) for one in points.symbol] == ["disc", "cross"]
    assert not np.allclose(points.face_color[0], points.face_color[1])
    assert np.allclose(boxes.edge_color[1], boxes.edge_color[2])
    assert not np.allclose(boxes.edge_color[2], boxes.edge_color[3])


def test_only_what_is_there_is_removed_and_equal_ones_one_by_one(ours):
    points, boxes = ours
    point = read_drawing(*ours)[0]
    points.add([1.0, 10, 12])
    gone = DrawnRow("points", "object", ((0.0, 0.0, 0.0),))
    redraw(points, boxes, remove=(point, gone), add=())
    assert len(points.data) == 2
    assert len(boxes.data) == 1


def test_differences_count_equal_rows():
    a, b = (DrawnRow("points", "object", ((x, 0.0),)) for x in (1.0, 2.0))
    assert without((a, a, b), (a,)) == (a, b)
    assert without((a,), (a, b)) == ()


@pytest.mark.parametrize(
    ("vertices", "beside"),
    [
        (((1.0, -0.4, 49.4),), False),
        (((1.0, -0.6, 10.0),), True),
        (((1.0, 10.0, 49.6),), True),
        (((-1.0, 10.0, 10.0),), True),
        (((3.0, 10.0, 10.0),), True),
        (((1.0, -20.0, -20.0), (1.0, 5.0, 5.0)), False),
        (((1.0, -20.0, -20.0), (1.0, -5.0, 5.0)), True),
        (((1.0, 5.0, 60.0), (1.0, 9.0, 80.0)), True),
    ],
)
def test_beside_the_image(vertices, beside):
    layer = "points" if len(vertices) == 1 else "shapes"
    assert DrawnRow(layer, "", vertices).lies_beside((3, 40, 50)) == beside


@pytest.mark.parametrize(("side", "begun"), [(0.0, True), (1.9, True), (2.0, False)])
def test_a_box_without_an_area_is_only_begun(side, begun):
    row = DrawnRow("shapes", "rectangle", ((1.0, 5.0, 5.0), (1.0, 5.0 + side, 20.0)))
    assert row.is_begun == begun
    assert not DrawnRow("points", "object", ((1.0, 5.0, 5.0),)).is_begun


def test_changes_in_words():
    a, b = (DrawnRow("points", "object", ((x, 0.0),)) for x in (1.0, 2.0))
    box = DrawnRow("shapes", "rectangle", ((0.0, 0.0), (9.0, 9.0)))
    assert sentence((), (a,)) == "a point"
    assert sentence((), (box,)) == "a box"
    assert sentence((a,), (b,)) == "the move of a point"
    assert sentence((a, b, box), ()) == "the removal of 3 prompts"
