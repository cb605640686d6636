"""What users do to our layers in napari's own ways: nothing raises, and nothing is asked unseen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam.widget import layers
from napari_sam.widget.features.everything.logic import Everything

CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
CONTROL = Qt.KeyboardModifier.ControlModifier


def labels_asked(hands):
    """The kinds of the points of each object that is shown."""
    return [one.prompts.point_labels.tolist() for one in hands.answers.objects.values()]


def test_a_kind_changed_in_the_table_of_features_is_asked_anew_and_undone(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.click_and_wait(27, 40)
    points = hands.bench.prompts.points
    table = points.features.copy()
    table.loc[1, "label"] = "background"
    points.features = table
    hands.until(lambda: hands.answers and labels_asked(hands) == [[1, 0]])
    hands.press(Qt.Key.Key_Z, CONTROL)
    hands.until(lambda: hands.answers and labels_asked(hands) == [[1, 1]])


@pytest.mark.parametrize("table", [{"x": [1]}, {"label": ["nonsense"]}, {"object": ["many"]}])
def test_a_table_of_features_that_was_replaced_is_made_readable(hands, scene, table):
    hands.click_and_wait(*CENTRES[1])
    points = hands.bench.prompts.points
    points.features = pd.DataFrame(table)
    assert list(points.features["label"]) == [layers.OBJECT]
    assert str(points.face_color_mode) == "cycle"
    hands.until(lambda: hands.answers)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99


def test_boxes_whose_features_were_replaced_go_on(hands):
    boxes = hands.bench.prompts.boxes
    hands.drag((8, 10), (42, 46))
    boxes.features = pd.DataFrame({"x": [1]})
    hands.drag((10, 68), (46, 112))
    hands.until(lambda: hands.answers and len(hands.answers.objects) == 2)
    hands.press(Qt.Key.Key_Return)
    assert set(np.unique(hands.labels)) == {0, 1, 2}
    assert list(boxes.features["x"]) == []  # the user's own column stays


def draw_polygon(hands, corners):
    hands.prompting.tools.use("boxes")
    hands.bench.prompts.boxes.mode = "add_polygon"
    for corner in corners:
        QTest.mouseMove(hands.canvas, hands.place(*corner))
        hands.rest(0.05)
        hands.click(*corner)
        hands.rest(0.5)  # two clicks in a shorter time are a double click


@pytest.mark.parametrize("key", [Qt.Key.Key_Escape, Qt.Key.Key_Return])
def test_keys_end_a_polygon_that_is_being_drawn(hands, scene, key):
    draw_polygon(hands, [(9, 11), (9, 45), (41, 45), (41, 11)])
    boxes = hands.bench.prompts.boxes
    assert hands.bench.prompts.is_drawing
    assert boxes.nshapes == 1
    hands.press(key)
    assert not hands.bench.prompts.is_drawing
    if key == Qt.Key.Key_Escape:
        assert boxes.nshapes == 0
        return
    hands.until(lambda: hands.answers)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99


def test_what_clicks_do_is_said_when_a_layer_is_hidden_or_has_another_mode(hands):
    points = hands.bench.prompts.points
    points.visible = False
    assert "is hidden" in hands.status
    points.visible = True
    assert "click an object" in hands.status
    points.mode = "select"
    assert "does not take clicks" in hands.status
    hands.prompting.tools.use("boxes")
    assert "drag a box" in hands.status
    hands.prompting.tools.use("points")
    assert "click an object" in hands.status


def test_prompt_layers_that_are_moved_by_hand_go_back(hands, scene):
    points = hands.bench.prompts.points
    points.translate = (0, 40)
    points.scale = (2, 2)
    assert np.array_equal(points.translate, (0, 0))
    assert np.array_equal(points.scale, (1, 1))
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 3)).mean() > 0.99


def test_labels_written_in_place_from_outside_are_not_merged(hands):
    layer = hands.bench.results.layer
    layer.data[:5, :5] = 1
    layer.refresh()
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    assert (layer.data == 1).sum() == 25
    assert set(np.unique(layer.data)) == {0, 1, 2}


def test_enter_makes_another_layer_where_the_results_were_deleted(hands, scene):
    hands.click_and_wait(*CENTRES[1])
    hands.viewer.layers.remove(hands.bench.results.layer)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99
    assert hands.bench.results.layer in hands.viewer.layers


def test_with_slicing_in_the_background_prompts_are_cleared(open_dock, scene, monkeypatch):
    monkeypatch.setattr(get_settings().experimental, "async_", True)
    hands = open_dock(("add_image", np.stack([scene[0]] * 4), {"name": "stack"}))
    hands.click_and_wait(*CENTRES[1])
    hands.prompting.tools.set_kind(layers.BACKGROUND)
    hands.click_and_wait(5, 5)
    hands.press(Qt.Key.Key_Return)
    assert len(hands.bench.prompts.points.data) == 0
    assert set(np.unique(hands.labels)) == {0, 1}


def test_an_answer_in_a_hidden_preview_is_announced(hands):
    hands.bench.prompts.preview.visible = False
    hands.click_and_wait(*CENTRES[1])
    assert "preview is hidden" in hands.status


def test_everything_stops_where_its_layer_was_given_other_data(hands):
    everything = hands.dock.feature(Everything)
    everything.run()
    hands.until_said("objects in")
    layer = everything.view.layer
    layer.data = np.zeros_like(layer.data)
    assert "is no longer filled" in hands.status
    assert layer.editable
    everything.run()
    hands.until(lambda: everything.view is not None and everything.view.layer.data.any())
    assert not layer.data.any()


def test_everything_says_that_the_disk_is_full(hands):
    class Full:
        def __init__(self, data):
            self.shape, self.dtype, self._data = data.shape, data.dtype, data

        def __getitem__(self, index):
            return self._data[index]

        def __setitem__(self, index, value):
            raise OSError(28, "No space left on device")

    everything = hands.dock.feature(Everything)
    everything.run()
    hands.until_said("objects in")
    canvas = everything.view.store.canvas
    canvas.data = Full(canvas.data)
    everything.panel.widgets["pred_iou_thresh"].value = 0.99
    hands.until_said("No space left")
