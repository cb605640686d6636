"""With points, a drag draws a box and a press a point; regions and scribbles have their tools."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam.predict.prompt_kinds import PROMPT_KINDS

CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
LEFT = Qt.MouseButton.LeftButton
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


def to_hex(colour):
    """Return "#rrggbb" of red, green, blue and opacity from 0 to 1."""
    return "#" + "".join(f"{round(float(part) * 255):02x}" for part in colour[:3])


def nudge(hands, place, pixels):
    """Press, move by so many pixels of the screen, and release."""
    start = hands.place(*place)
    QTest.mousePress(hands.canvas, LEFT, pos=start)
    QTest.mouseMove(hands.canvas, start + QPoint(pixels, 0))
    hands.rest(0.02)
    QTest.mouseRelease(hands.canvas, LEFT, pos=start + QPoint(pixels, 0))


def test_a_drag_draws_a_box_while_points_are_drawn(hands, scene):
    boxes, points = hands.bench.prompts.boxes, hands.bench.prompts.points
    camera = hands.viewer.camera
    centre, zoom = camera.center, camera.zoom
    assert not boxes.visible
    hands.drag((8, 10), (42, 46))
    hands.until(lambda: hands.answers)
    assert hands.viewer.layers.selection.active is points
    assert (points.mode, boxes.mode, len(boxes.selected_data)) == ("add", "pan_zoom", 0)
    assert boxes.visible
    (corners,) = boxes.data
    np.testing.assert_allclose([corners.min(0), corners.max(0)], [(8, 10), (42, 46)], atol=0.5)
    assert (len(points.data), camera.center, camera.zoom) == (0, centre, zoom)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99


def test_several_boxes_and_points_and_their_undo(hands, scene):
    hands.drag((8, 10), (42, 46))
    hands.drag((9, 66), (47, 113))
    hands.click_and_wait(*CENTRES[3])
    hands.until(lambda: len(hands.answers.objects) == 3)
    hands.press(Qt.Key.Key_Z, CONTROL)
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert len(hands.bench.prompts.boxes.data) == 1
    hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert len(hands.bench.prompts.boxes.data) == 2
    hands.until(lambda: hands.answers and len(hands.answers.objects) == 2)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == ((scene[1] == 1) | (scene[1] == 2))).mean() > 0.99


def test_a_press_that_moves_less_than_a_drag_is_a_point(hands):
    nudge(hands, CENTRES[1], 3)
    hands.until(lambda: hands.answers)
    assert (len(hands.bench.prompts.points.data), len(hands.bench.prompts.boxes.data)) == (1, 0)
    nudge(hands, CENTRES[2], 40)
    hands.until(lambda: len(hands.bench.prompts.boxes.data) == 0)  # it has no height
    hands.until_said("makes no box")
    assert len(hands.bench.prompts.points.data) == 1


def test_the_key_goes_from_prompts_to_regions_to_scribbles(hands):
    prompts, panel = hands.bench.prompts, hands.prompting.panel
    seen = []
    for _ in range(4):
        seen.append((prompts.tool, panel.tool, panel.region_row.isVisible()))
        hands.press(Qt.Key.Key_W)
    assert seen == [
        ("points", "prompt", False),
        ("region", "region", True),
        ("scribble", "scribble", False),
        ("points", "prompt", False),
    ]
    hands.prompting.tools.use("points")
    modes = []
    for _ in range(4):
        hands.press(Qt.Key.Key_L)
        modes.append(str(prompts.boxes.mode))
    assert modes == ["add_polygon_lasso", "add_polygon", "add_ellipse", "add_polygon_lasso"]
    prompts.boxes.mode = "add_polyline"  # by napari's own button
    assert (prompts.tool, panel.tool) == ("scribble", "scribble")
    prompts.boxes.mode = "add_rectangle"
    assert (prompts.tool, panel.tool) == ("boxes", "prompt")


def loop(hands, corners):
    """Drag through all corners, with a few moves between each two of them."""
    places = [hands.place(*corner) for corner in corners]
    QTest.mousePress(hands.canvas, LEFT, pos=places[0])
    for a, b in pairwise(places):
        for step in range(1, 4):
            QTest.mouseMove(hands.canvas, a + (b - a) * step / 3)
            hands.rest(0.02)
    QTest.mouseRelease(hands.canvas, LEFT, pos=places[-1])


LASSO = [(6, 10), (8, 45), (42, 47), (41, 11), (20, 9)]


def test_a_lasso_snaps_to_the_object_and_is_kept_with_it(hands, scene):
    hands.press(Qt.Key.Key_W)
    loop(hands, LASSO)
    hands.until(lambda: hands.answers)
    assert hands.bench.prompts.boxes.shape_type == ["polygon"]
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99
    (outline,) = hands.bench.results.store.objects[1].outlines.values()
    region = outline.prompts.region
    assert len(region) >= 4
    np.testing.assert_allclose(region.min(0), (9, 6), atol=2)
    np.testing.assert_allclose(region.max(0), (47, 42), atol=2)
    hands.prompting.reopener.reopen(1, hands.bench.results)
    (vertices,) = hands.bench.prompts.boxes.data
    assert hands.bench.prompts.boxes.shape_type == ["polygon"]
    np.testing.assert_array_equal(vertices[:, ::-1], region)
    assert hands.answers.objects[-1].kept  # its prompts are those it was kept with
    hands.press(Qt.Key.Key_Escape)
    assert len(hands.bench.prompts.boxes.data) == 0


def test_an_ellipse_comes_back_as_the_polygon_that_was_asked(hands, scene):
    for _ in range(3):
        hands.press(Qt.Key.Key_L)
    hands.drag((8, 9), (43, 47))
    hands.until(lambda: hands.answers)
    assert hands.bench.prompts.boxes.shape_type == ["ellipse"]
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.97
    before = hands.labels.copy()
    hands.prompting.reopener.reopen(1, hands.bench.results)
    assert hands.answers.objects[-1].kept
    assert hands.bench.prompts.boxes.shape_type == ["polygon"]
    hands.press(Qt.Key.Key_Return)
    assert np.array_equal(hands.labels, before)


def test_scribbles_on_the_object_and_beside_it(hands, scene):
    prompts = hands.bench.prompts
    hands.prompting.tools.use("scribble")
    hands.drag((25, 16), (25, 40))
    hands.until(lambda: hands.answers)
    assert list(prompts.boxes.shape_type) == ["path"]
    hands.press(Qt.Key.Key_T)
    hands.drag((50, 16), (50, 40))
    hands.until(lambda: len(prompts.boxes.data) == 2 and not hands.prompting.asker.pending)
    assert list(prompts.boxes.features["label"]) == ["object", "background"]
    colours = [str(PROMPT_KINDS[name].colour) for name in ("scribble", "background_scribble")]
    shown = [to_hex(colour) for colour in prompts.boxes.edge_color]
    assert shown == colours
    (one,) = hands.answers.objects.values()
    assert [stroke.label for stroke in one.prompts.strokes] == [1, 0]
    assert not len(one.prompts.point_coords)
    assert one.asked.mask_input is not None  # it goes on from the first answer
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99
    hands.prompting.reopener.reopen(1, hands.bench.results)
    assert list(prompts.boxes.features["label"]) == ["object", "background"]
    assert [to_hex(colour) for colour in prompts.boxes.edge_color] == colours
    assert hands.answers.objects[-1].kept


def test_another_tool_chosen_in_a_drag_ends_the_drag(hands):
    prompts, boxes = hands.bench.prompts, hands.bench.prompts.boxes
    start, moved = hands.place(8, 10), hands.place(42, 46)
    QTest.mousePress(hands.canvas, LEFT, pos=start)
    for step in range(1, 6):
        QTest.mouseMove(hands.canvas, start + (moved - start) * step / 5)
        hands.rest(0.02)
    hands.press(Qt.Key.Key_W)
    hands.until(lambda: prompts.tool == "region")
    QTest.mouseRelease(hands.canvas, LEFT, pos=moved)
    hands.press(Qt.Key.Key_W)
    hands.press(Qt.Key.Key_W)
    assert (prompts.tool, len(boxes.data)) == ("points", 1)
    for column in (60, 70, 80):  # no button is held
        QTest.mouseMove(hands.canvas, hands.place(60, column))
        hands.rest(0.02)
    assert len(boxes.selected_data) == 0
    hands.press(Qt.Key.Key_Escape)
    hands.until(lambda: not boxes.visible)
    assert len(boxes.data) == 0
    hands.drag((9, 66), (47, 113))
    hands.until(lambda: hands.answers)
    (corners,) = boxes.data
    np.testing.assert_allclose([corners.min(0), corners.max(0)], [(9, 66), (47, 113)], atol=0.5)


def test_the_kind_chosen_while_a_scribble_is_drawn_is_that_of_the_next_one(hands):
    boxes = hands.bench.prompts.boxes
    hands.prompting.tools.use("scribble")
    start, stop = hands.place(25, 16), hands.place(25, 40)
    QTest.mousePress(hands.canvas, LEFT, pos=start)
    for step in range(1, 6):
        QTest.mouseMove(hands.canvas, start + (stop - start) * step / 5)
        hands.rest(0.02)
        if step == 3:
            hands.press(Qt.Key.Key_T)
    QTest.mouseRelease(hands.canvas, LEFT, pos=stop)
    hands.until(lambda: hands.answers)
    hands.until(lambda: not boxes.selected_data)  # or its handles would hide it
    hands.drag((50, 16), (50, 40))
    hands.until(lambda: len(boxes.data) == 2 and not hands.bench.prompts.is_drawing)
    assert list(boxes.features["label"]) == ["object", "background"]
    colours = [PROMPT_KINDS[name].colour for name in ("scribble", "background_scribble")]
    assert [to_hex(colour) for colour in boxes.edge_color] == colours


def test_undo_takes_a_background_scribble_back_and_redo_brings_it_again(hands):
    prompts = hands.bench.prompts
    hands.click_and_wait(*CENTRES[1])
    hands.prompting.tools.use("scribble")
    hands.press(Qt.Key.Key_T)
    hands.drag((50, 16), (50, 40))
    hands.until(lambda: len(prompts.boxes.data) == 1 and not hands.prompting.asker.pending)
    hands.press(Qt.Key.Key_Z, CONTROL)
    hands.until_said("undone: a scribble")
    assert len(prompts.boxes.data) == 0
    hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert list(prompts.boxes.features["label"]) == ["background"]


def test_a_scribble_that_is_only_a_dot_goes(hands):
    hands.prompting.tools.use("scribble")
    hands.bench.prompts.boxes.add([[20, 20], [20.5, 20.5]], shape_type="path")
    hands.until_said("too small to be a prompt")
    assert len(hands.bench.prompts.boxes.data) == 0


def test_the_image_is_moved_while_space_is_held(hands):
    boxes, points, camera = (
        hands.bench.prompts.boxes, hands.bench.prompts.points, hands.viewer.camera,
    )  # fmt: skip
    before = camera.center
    QTest.keyPress(hands.canvas, Qt.Key.Key_Space)
    hands.until(lambda: str(points.mode) == "pan_zoom")
    hands.drag((20, 20), (40, 60))
    QTest.keyRelease(hands.canvas, Qt.Key.Key_Space)
    hands.until(lambda: str(points.mode) == "add")
    assert camera.center != before
    assert (len(points.data), len(boxes.data)) == (0, 0)
    hands.drag((20, 20), (40, 60))
    hands.until(lambda: len(boxes.data) == 1)


@pytest.mark.parametrize("tool", ["region", "scribble"])
def test_a_shape_that_is_given_up_leaves_nothing_behind(hands, tool):
    hands.drag((20, 20), (40, 60))
    hands.until(lambda: hands.answers)
    hands.prompting.tools.use(tool)
    hands.click(60, 60)  # begins to draw
    assert hands.bench.prompts.is_drawing
    hands.rest(0.5)  # two clicks in a shorter time are a double click
    hands.click(60, 60)  # napari gives it up
    boxes = hands.bench.prompts.boxes
    hands.until(lambda: len(boxes.edge_color) == 1)
    assert list(boxes.features["object"]) == [1]
    assert (boxes.nshapes, len(boxes.features), len(boxes.edge_color)) == (1, 1, 1)
    hands.viewer.dims.ndisplay = 3
    hands.viewer.dims.ndisplay = 2
    assert boxes.nshapes == 1
