"""Planes so large that the model looks only at the part that is on screen."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtCore import Qt
from tiny import SceneModel, discs

from napari_sam.masks import iou
from napari_sam.widget.scheduler import Lane
from napari_sam.widget.visible import visible_window

SIDE = 640
CENTRE = (500, 200)


@pytest.fixture
def hands(open_dock, model):
    model.made = SceneModel(image_size=128)
    image = discs((SIDE, SIDE), [CENTRE, (100, 500)], 10)
    return open_dock(("add_image", image, {"name": "slide", "contrast_limits": (0, 255)}))


def look_at(hands, row, column, zoom):
    hands.viewer.camera.center = (0, row, column)
    hands.viewer.camera.zoom = zoom
    hands.rest(0.1)


def test_the_part_on_screen_follows_the_camera(hands):
    frame, key = hands.bench.frame, hands.context.shown().key
    assert visible_window(frame, key) == (0, 0, SIDE, SIDE)
    look_at(hands, 200, 500, 8.0)
    x0, y0, x1, y1 = visible_window(frame, key)
    assert x1 - x0 == pytest.approx(hands.canvas.width() / 8, abs=3)
    assert y1 - y0 == pytest.approx(hands.canvas.height() / 8, abs=3)
    assert (x0 + x1) / 2 == pytest.approx(500, abs=2)
    assert (y0 + y1) / 2 == pytest.approx(200, abs=2)


def test_a_click_is_answered_from_the_part_on_screen(hands):
    hands.settled()
    session = hands.context.session
    assert session.predictor.model.encoded == 0
    assert "very large" in hands.prefetch.panel.text()
    look_at(hands, 200, 500, 6.0)
    hands.click_and_wait(200, 500)
    (answer,) = (one.answer for one in hands.answers.objects.values())
    x0, y0, x1, y1 = answer.window
    assert max(x1 - x0, y1 - y0) <= 128
    assert x0 <= 490
    assert x1 >= 510
    truth = discs((SIDE, SIDE), [CENTRE], 10) > 0
    assert iou(answer.masks[answer.best], truth) > 0.8
    assert not session.ready(hands.context.shown())
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.bench.results is not None and hands.labels.any())
    assert iou(hands.labels > 0, truth) > 0.8


def test_prompts_are_asked_again_where_the_image_looks_otherwise(hands):
    hands.settled()
    look_at(hands, 200, 500, 6.0)
    hands.click_and_wait(200, 500)
    before = hands.answers
    hands.viewer.layers["slide"].contrast_limits = (0, 200)
    assert hands.answers is None
    hands.until(lambda: hands.answers)
    assert hands.answers is not before
    assert hands.answers.plane.contrast == (0.0, 200.0)


class Gated(SceneModel):
    """Encodes some tiles, and the others when it is let on."""

    def __init__(self, tiles):
        super().__init__(image_size=128)
        self.tiles, self.gate = tiles, threading.Event()

    def encode(self, rgb):
        if self.encoded >= self.tiles:
            self.gate.wait(60)
        return super().encode(rgb)


def test_what_the_tiles_showed_that_were_done_is_seen_and_stays_after_a_cancel(hands, monkeypatch):
    monkeypatch.setattr("napari_sam.everything.amg.TILES", 10)
    hands.settled()
    predictor = hands.context.session.predictor
    predictor.model = gated = Gated(25)
    hands.everything.run()
    hands.until(
        lambda: hands.everything.view is not None and hands.everything.view.layer.data.any()
    )
    assert hands.everything.view.layer.data.max() == 1
    assert iou(hands.everything.view.layer.data > 0, discs((SIDE, SIDE), [CENTRE], 10) > 0) > 0.8
    hands.everything.cancel()
    gated.gate.set()
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert "what was found stays" in hands.status
    hands.rest(0.1)
    assert hands.everything.view.layer.data.max() == 1
    hands.everything.run()
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert hands.everything.view.layer.data.max() == 2
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: hands.everything.view.layer.data.max() == 1)
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: not hands.everything.view.layer.data.any())
