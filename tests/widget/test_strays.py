"""Prompts that do not count do no harm; a click on a kept object selects it; keys always answer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tiny import SceneModel

CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
CONTROL = Qt.KeyboardModifier.ControlModifier


class Gated(SceneModel):
    """Answers when its gate is opened."""

    def __init__(self, **options):
        super().__init__(**options)
        self.gate = threading.Event()
        self.gate.set()

    def decode(self, *given, **named):
        self.gate.wait(10)
        return super().decode(*given, **named)


def test_a_stray_point_goes_and_the_next_click_answers(hands, scene):
    hands.click(25, -8)
    hands.until_said("was removed")
    assert len(hands.bench.prompts.points.data) == 0
    hands.press(Qt.Key.Key_Return)
    assert "nothing to commit" in hands.status
    hands.click_and_wait(*CENTRES[1])
    hands.click(25, -8)
    hands.until_said("was removed")
    assert ((hands.bench.prompts.preview.data > 0) == (scene[1] == 1)).mean() > 0.99
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99
    hands.press(Qt.Key.Key_Z, CONTROL)
    hands.press(Qt.Key.Key_Z, CONTROL)
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert "nothing to undo" in hands.status  # strays are no steps


def test_a_point_dragged_out_of_the_image_is_removed_and_comes_back(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.bench.prompts.points.data = np.array([[25.0, -30.0]])
    hands.until(lambda: len(hands.bench.prompts.points.data) == 0)
    assert "does not count" in hands.status
    assert not hands.bench.prompts.preview.data.any()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert np.allclose(hands.bench.prompts.points.data, [CENTRES[1]], atol=0.5)
    assert hands.bench.prompts.preview.data.any()


def test_boxes_without_an_area_and_beside_the_image_go(hands, scene):
    hands.prompting.tools.use("boxes")
    hands.click(*CENTRES[1])
    hands.until_said("makes no box")
    assert len(hands.bench.prompts.boxes.data) == 0
    boxes = hands.bench.prompts.boxes
    boxes.add([[-30, -30], [-30, -10], [-10, -10], [-10, -30]], shape_type="rectangle")
    hands.until_said("was removed")
    assert len(hands.bench.prompts.boxes.data) == 0
    hands.drag((8, 68), (46, 112))
    hands.until(lambda: hands.answers)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 2)).mean() > 0.99


@pytest.mark.parametrize("start", [(-6, -5), (42, -5), (-6, 46)])
def test_a_box_dragged_past_an_edge_of_a_stack_is_answered(open_dock, scene, start):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.go(1)
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    hands.bench.prompts.activate("boxes")
    hands.drag((42, 46) if start == (-6, -5) else (25, 28), start)
    hands.until(lambda: hands.answers and not hands.prompting.asker.pending)
    hands.rest(0.2)
    assert hands.answers is not None
    assert np.squeeze(hands.bench.prompts.preview.data)[20, 20]
    hands.press(Qt.Key.Key_Return)
    assert hands.labels[1].any()
    assert not hands.labels[[0, 2]].any()


def test_a_click_on_a_kept_object_selects_it_and_the_next_one_prompts(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.click(*CENTRES[1])
    hands.until(lambda: len(hands.bench.prompts.points.data) == 0)
    assert "object 1 (" in hands.status
    assert "px) is kept: E works on it again, Ctrl+D deletes it" in hands.status
    assert hands.bench.results.layer.selected_label == 1
    assert hands.prompting.asker.question is None
    hands.click_and_wait(*CENTRES[1])
    assert len(hands.bench.prompts.points.data) == 1
    hands.press(Qt.Key.Key_Escape)
    hands.click_and_wait(*CENTRES[2])  # elsewhere a click prompts at once
    hands.click_and_wait(*CENTRES[1])  # and belongs to the object in work
    assert len(hands.bench.prompts.points.data) == 2


def test_the_next_object_starts_with_an_object_point(hands):
    hands.drag((8, 10), (42, 46))
    hands.until(lambda: hands.answers)
    hands.press(Qt.Key.Key_T)
    hands.click_and_wait(60, 60)
    hands.press(Qt.Key.Key_Return)
    assert "committed" in hands.status
    hands.click_and_wait(*CENTRES[2])
    assert list(hands.bench.prompts.points.features["label"]) == ["object"]
    hands.press(Qt.Key.Key_T)
    hands.click_and_wait(50, 100)
    hands.press(Qt.Key.Key_T)
    hands.bench.prompts.points.mode = "select"
    hands.bench.prompts.points.selected_data = {1}  # the background point
    hands.bench.prompts.activate("points")
    hands.click_and_wait(20, 90)
    assert list(hands.bench.prompts.points.features["label"])[-1] == "object"


def test_enter_waits_for_a_correction_and_computing_is_seen(open_dock, scene, model):
    model.made = Gated()
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    hands.click_and_wait(*CENTRES[1])
    model.made.gate.clear()
    hands.click(*CENTRES[2])
    hands.until(lambda: "computing" in hands.prompting.panel.answer.text())
    assert "computing" in hands.status
    hands.press(Qt.Key.Key_N)
    hands.press(Qt.Key.Key_Return)
    assert "committed as soon as" in hands.status
    assert not hands.labels.any()
    model.made.gate.set()
    hands.until(hands.labels.any)
    (kept,) = hands.bench.results.store.objects.values()
    (outline,) = kept.outlines.values()
    assert len(outline.prompts.point_coords) == 2
    assert "computing" not in hands.status


def test_a_correction_that_fails_leaves_nothing_to_commit(hands, monkeypatch):
    hands.click_and_wait(*CENTRES[1])

    def broken(*given, **named):
        raise RuntimeError("the kernel broke")

    monkeypatch.setattr(hands.context.session.predictor.model, "decode", broken)
    hands.click(*CENTRES[2])
    hands.until_said("the kernel broke")
    hands.press(Qt.Key.Key_Return)
    assert "nothing to commit yet" in hands.status
    assert not hands.labels.any()


def test_keys_with_nothing_to_act_on_say_something(hands):
    for key, modifier, words in (
        (Qt.Key.Key_N, Qt.KeyboardModifier.NoModifier, "no answer yet"),
        (Qt.Key.Key_Escape, Qt.KeyboardModifier.NoModifier, "no prompts to clear"),
        (Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier, "nothing to commit"),
        (Qt.Key.Key_Z, CONTROL, "nothing to undo"),
        (Qt.Key.Key_D, CONTROL, "point at a finished object"),
        (Qt.Key.Key_W, Qt.KeyboardModifier.NoModifier, "drag once around an object"),
        (Qt.Key.Key_L, Qt.KeyboardModifier.NoModifier, "click corners around an object"),
        (Qt.Key.Key_L, Qt.KeyboardModifier.NoModifier, "drag an ellipse"),
        (Qt.Key.Key_W, Qt.KeyboardModifier.NoModifier, "drag along an object"),
        (Qt.Key.Key_W, Qt.KeyboardModifier.NoModifier, "click an object"),
        (Qt.Key.Key_T, Qt.KeyboardModifier.NoModifier, "lies beside it"),
        (Qt.Key.Key_O, Qt.KeyboardModifier.NoModifier, "begins another object"),
    ):
        hands.press(key, modifier)
        assert words in hands.status
    hands.viewer.layers.remove(hands.viewer.layers["scene"])
    hands.rest(0.1)
    for act in (
        hands.prompting.commit,
        hands.prompting.clear,
        hands.prompting.tools.toggle,
        hands.prompting.tools.toggle_region,
        hands.prompting.tools.toggle_kind,
        hands.prompting.begin_object,
        hands.prompting.changes.delete,
    ):
        hands.context.status.hint("")
        act()
        assert "open an image" in hands.status


def test_a_deleted_layer_of_ours_leaves_no_stale_answer(hands, scene):
    hands.click_and_wait(*CENTRES[1])
    prompts = hands.bench.prompts
    hands.viewer.layers.remove(prompts.preview)
    hands.until(lambda: prompts.preview is not None and prompts.preview.data.any())
    hands.viewer.layers.remove(hands.bench.prompts.points)
    hands.until(lambda: hands.bench.prompts.points is not None)
    assert hands.answers is None
    hands.press(Qt.Key.Key_Return)
    assert not hands.labels.any()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert ((hands.bench.prompts.preview.data > 0) == (scene[1] == 1)).mean() > 0.99
