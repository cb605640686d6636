"""Closing, deleting and switching in the middle of things; nothing comes late, nothing breaks."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from tiny import SceneModel, SlowModel

from napari_sam.widget.dock import SegmentAnything


@pytest.fixture
def slow(model):
    model.made = SlowModel()
    return model.made


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_closing_the_dock_takes_its_layers_and_keys_away(hands):
    hands.click_and_wait(25, 28)
    hands.prompting.commit()
    labels = hands.labels.copy()
    hands.viewer.window.remove_dock_widget(hands.dock)
    hands.rest()
    assert names(hands.viewer) == ["scene", "scene objects"]
    assert labels.max() == 1
    assert np.array_equal(hands.viewer.layers["scene objects"].data, labels)
    assert "N" not in [str(key) for key in hands.viewer.keymap]


def test_closing_during_a_run(open_dock, scene, slow):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click(25, 28)
    hands.everything.run()
    hands.viewer.window.remove_dock_widget(hands.dock)
    hands.rest(1.2)
    assert not hands.answers
    assert "SAM preview" not in names(hands.viewer)


@pytest.mark.parametrize("which", ["points", "boxes", "preview", "results", "image"])
def test_deleting_a_layer_during_a_run(open_dock, scene, slow, which):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click(25, 28)
    c = hands
    layer = {
        "points": c.bench.prompts.points,
        "boxes": c.bench.prompts.boxes,
        "preview": c.bench.prompts.preview,
        "results": c.bench.results.layer,
        "image": c.bench.frame.layer,
    }[which]
    hands.viewer.layers.remove(layer)
    hands.rest(1.0)
    if which == "image":
        assert c.bench.frame is None
        assert "open an image" in hands.status
        return
    c.prompting.clear()
    c.bench.prompts.activate("points")
    hands.click_and_wait(72, 55)
    c.prompting.commit()
    assert ((hands.labels > 0) == (scene[1] == 3)).mean() > 0.99


def test_switching_images_drops_the_late_answer(open_dock, scene, slow):
    hands = open_dock(
        ("add_image", scene[0], {"name": "first"}),
        ("add_image", np.flipud(scene[0]).copy(), {"name": "second"}),
    )
    hands.source.use_image(hands.viewer.layers["first"])
    hands.click(25, 28)
    hands.source.use_image(hands.viewer.layers["second"])
    hands.rest(1.0)
    assert not hands.answers
    assert not hands.bench.prompts.preview.data.any()
    hands.click_and_wait(95 - 72, 55)
    hands.prompting.commit()
    assert hands.viewer.layers["second objects"].data.max() == 1
    assert hands.viewer.layers["first objects"].data.max() == 0
    hands.source.use_image(hands.viewer.layers["first"])
    hands.source.use_image(hands.viewer.layers["second"])
    assert hands.bench.results.layer is hands.viewer.layers["second objects"]
    assert hands.bench.results.store.next_label == 2


def test_switching_models_asks_the_new_one(open_dock, scene, model):
    model.made = SlowModel()
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click(25, 28)
    model.made = SceneModel()
    hands.source.loader.open_file("another.pt")
    hands.until(lambda: hands.answers)
    assert hands.context.session.predictor.model is model.made


def test_new_pixels_in_the_image_layer_are_seen(hands, scene):
    hands.click_and_wait(25, 28)
    hands.prompting.clear()
    hands.viewer.layers["scene"].data = np.flipud(scene[0]).copy()
    hands.rest()
    hands.click_and_wait(95 - 72, 55)
    hands.prompting.commit()
    assert ((hands.labels > 0) == (np.flipud(scene[1]) == 3)).mean() > 0.99


def test_moving_to_another_plane_forgets_the_question(open_dock, scene, slow):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 4, 0), {"name": "stack"}))
    hands.viewer.dims.set_current_step(0, 0)
    hands.rest(0.9)
    hands.click(25, 28)
    hands.viewer.dims.set_current_step(0, 3)
    hands.rest(1.2)
    assert not hands.bench.prompts.preview.data.any()
    hands.viewer.dims.set_current_step(0, 0)  # the prompt is still there, and asked again
    hands.until(lambda: hands.answers)
    assert hands.bench.prompts.preview.data.any()


def test_dock_before_the_image(open_dock, scene):
    hands = open_dock()
    assert "open an image" in hands.status
    hands.viewer.add_image(scene[0], name="late")
    hands.viewer.reset_view()
    hands.rest(0.2)
    hands.click_and_wait(25, 28)
    hands.prompting.commit()
    assert hands.labels.max() == 1


def test_two_viewers_do_not_know_each_other(open_dock, scene):
    one = open_dock(("add_image", scene[0], {"name": "one"}))
    two = open_dock(("add_image", scene[0], {"name": "two"}))
    one.click_and_wait(25, 28)
    one.prompting.commit()
    assert one.labels.max() == 1
    assert not two.labels.any()
    assert not len(two.bench.prompts.points.data)


def test_the_event_loop_is_never_held_while_the_model_works(open_dock, scene, slow):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 6, 0), {"name": "stack"}))
    hands.rest(0.8)
    gaps, last = [], [time.perf_counter()]

    def tick():
        now = time.perf_counter()
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(tick)
    timer.start(5)
    hands.everything.run(all_planes=True)
    QApplication.processEvents()
    gaps.clear()
    end = time.monotonic() + 2.0
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.001)
    timer.stop()
    assert slow.encoded >= 2
    assert len(gaps) > 50
    assert np.percentile(gaps, 98) < 0.2  # the encoder alone holds its thread for 0.4 s
    hands.everything.cancel()


def test_cancel_frees_the_interface_at_once(open_dock, scene, slow):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.everything.run()
    hands.rest(0.05)
    assert hands.everything.panel.cancel_button.isEnabled()
    start = time.perf_counter()
    hands.everything.panel.cancel_button.click()
    assert time.perf_counter() - start < 0.3  # the encoder is not waited for
    assert hands.everything.panel.plane_button.isEnabled()
    hands.rest(0.8)
    assert not hands.everything.view.layer.data.any()


def test_dock_class_takes_the_viewer_by_napari_s_name():
    assert list(SegmentAnything.__init__.__annotations__) == ["napari_viewer", "return"]


def test_clicks_during_a_slow_encode_return_at_once(open_dock, scene, slow):
    slow.delay = 2.0
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.viewer.dims.set_current_step(0, 2)
    hands.rest(0.4)  # its encoding has begun
    times = []
    for place in ((25, 28), (72, 55), (28, 90)):
        start = time.perf_counter()
        hands.bench.prompts.points.add((2, *place))
        times.append(time.perf_counter() - start)
    assert max(times) < slow.delay / 2
    hands.until(lambda: hands.answers)
    assert len(hands.answers.objects[1].prompts.point_coords) == 3
