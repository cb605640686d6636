"""Painting into the preview and erasing it with napari's own tools, by the mouse in a window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def window(open_dock, scene):
    """A window on three bright objects, with an answer for the first of them."""
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.truth = scene[1]
    hands.click_and_wait(25, 25)
    return hands


def use(hands, mode):
    preview = hands.bench.prompts.preview
    hands.viewer.layers.selection.active = preview
    preview.mode = mode
    preview.brush_size = 5
    return preview


def strokes(hands):
    return [
        (row.mark.split()[0], row.owner)
        for row in hands.bench.prompts.drawing()
        if row.layer == "shapes"
    ]


def said(hands):
    return hands.prompting.asker.current.prompts


def test_a_painted_stroke_is_a_scribble_of_the_object(window):
    preview = use(window, "paint")
    before, number = window.answers, window.prompting.asker.current_number
    window.drag((20, 30), (20, 50))
    window.until(lambda: window.answers is not before and not window.prompting.asker.pending)
    (stroke,) = said(window).strokes
    assert stroke.label == 1
    assert stroke.path[0] == pytest.approx((30, 20), abs=1)
    assert stroke.path[-1] == pytest.approx((50, 20), abs=1)
    assert len(said(window).point_coords) == 1
    assert [owner for _, owner in strokes(window)] == [number]
    assert np.array_equal(preview.data > 0, np.asarray(window.prompting.asker.current.mask))
    assert not window.labels.any()
    window.viewer.layers.selection.active = window.bench.prompts.points
    window.press(Qt.Key.Key_Z, CTRL)
    window.until(lambda: not said(window).strokes)


def test_an_erased_stroke_lies_beside_the_object_and_a_dab_is_a_point(window):
    preview = use(window, "erase")
    before = window.answers
    window.drag((30, 20), (30, 40))
    window.until(lambda: window.answers is not before and not window.prompting.asker.pending)
    (stroke,) = said(window).strokes
    assert stroke.label == 0
    assert preview.data[15, 15] == 1
    use(window, "paint")
    before = window.answers
    window.click(35, 15)
    window.until(lambda: window.answers is not before and not window.prompting.asker.pending)
    assert said(window).point_coords.tolist()[-1] == pytest.approx([15, 35], abs=1)
    assert said(window).point_labels.tolist() == [1, 1]


def test_without_an_outline_paint_begins_an_object_and_the_eraser_says_why_not(window):
    window.press(Qt.Key.Key_Escape)
    window.until(lambda: window.prompting.asker.shown is None)
    preview = use(window, "erase")
    window.drag((20, 80), (20, 100))
    window.until_said("there is no outline to erase yet")
    assert not preview.data.any()
    use(window, "paint")
    window.drag((20, 80), (20, 100))
    window.until(lambda: window.answers is not None)
    assert set(window.truth[np.asarray(window.prompting.asker.current.mask)]) == {2}
    window.press(Qt.Key.Key_Return)
    window.until(lambda: window.labels.max() == 1)
    assert set(np.unique(window.truth[window.labels > 0])) == {2}


def test_other_tools_of_napari_leave_the_preview_as_it_was(window):
    preview = use(window, "fill")
    before = preview.data.copy()
    window.click(70, 10)
    window.until_said("only napari's paint brush and eraser change the preview")
    assert np.array_equal(preview.data, before)
    assert not strokes(window)


def test_encircling_with_the_right_button_leaves_the_preview_as_it_was(window):
    preview = use(window, "paint")
    before = preview.data.copy()
    QTest.mouseClick(window.canvas, Qt.MouseButton.RightButton, pos=window.place(60, 100))
    QTest.mouseMove(window.canvas, window.place(60, 80))
    window.until(lambda: preview.data[60, 85])
    window.click(60, 80)  # pans
    for row, column in ((85, 80), (85, 100), (60, 100)):
        QTest.mouseMove(window.canvas, window.place(row, column))
        window.rest(0.02)
    window.until_said("only napari's paint brush and eraser change the preview")
    assert np.array_equal(preview.data, before)
    assert not strokes(window)
    assert said(window).point_coords.tolist() == [pytest.approx([25, 25], abs=1)]


def test_the_brush_erases_where_its_label_is_0(window):
    preview = use(window, "paint")
    preview.selected_label = 0
    before = window.answers
    window.drag((30, 20), (30, 40))
    window.until(lambda: window.answers is not before and not window.prompting.asker.pending)
    (stroke,) = said(window).strokes
    assert stroke.label == 0


def test_a_press_while_the_brush_is_resized_says_nothing(window):
    preview = use(window, "paint")
    preview.cursor = "circle_frozen"
    window.click(35, 15)
    preview.cursor = "circle"
    before = window.answers
    window.click(35, 35)
    window.until(lambda: window.answers is not before and not window.prompting.asker.pending)
    assert said(window).point_coords.tolist() == [
        pytest.approx([25, 25], abs=1),
        pytest.approx([35, 35], abs=1),
    ]


def test_paint_in_3_d_does_not_stay(open_dock, scene):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.viewer.dims.ndisplay = 3
    preview = use(hands, "paint")
    with preview.block_history():  # as napari does for a stroke
        preview.paint((0, 15, 15), 1)
        assert preview.data.any()
    assert not preview.data.any()
    assert hands.status == hands.context.hindrance() != ""
