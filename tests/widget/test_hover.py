"""The mask under the pointer while Shift is held: shown at once, gone at once, never kept."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tiny import SceneModel

SHIFT = Qt.KeyboardModifier.ShiftModifier
NONE = Qt.KeyboardModifier.NoModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}


class SlowDecoder(SceneModel):
    """Takes its time over every answer; remembers how many were asked for at a time."""

    delay = 0.15

    def __init__(self):
        super().__init__()
        self.running = self.most = 0

    def decode(self, *arguments):
        self.running += 1
        self.most = max(self.most, self.running)
        time.sleep(self.delay)
        self.running -= 1
        return super().decode(*arguments)


def move(hands, place, modifiers=SHIFT):
    """Move the pointer over the canvas, no button pressed."""
    local = QPointF(hands.place(*place))
    around = QPointF(hands.canvas.mapToGlobal(local.toPoint()))
    no_button = Qt.MouseButton.NoButton
    event = QMouseEvent(QEvent.Type.MouseMove, local, around, no_button, no_button, modifiers)
    QApplication.sendEvent(hands.canvas, event)


def encoded(hands):
    hands.until(lambda: "ready" in hands.prefetch.panel.text())


def shown(hands):
    return hands.bench.prompts.preview.data > 0


def hover(hands, place):
    """Hold Shift over a place and wait for the mask."""
    move(hands, place)
    hands.until(lambda: shown(hands).any())


def test_the_mask_under_the_pointer(hands, scene):
    encoded(hands)
    for k, place in CENTRES.items():
        move(hands, place)
        hands.until(lambda k=k: (shown(hands) == (scene[1] == k)).mean() > 0.99)
    assert not hands.labels.any()
    assert len(hands.bench.prompts.points.data) == 0
    hands.press(Qt.Key.Key_Return)
    assert not hands.labels.any()  # it cannot be committed
    assert "nothing to commit" in hands.status


def test_the_key_alone_asks_where_the_pointer_rests(hands, scene):
    encoded(hands)
    move(hands, CENTRES[2], NONE)
    hands.rest(0.05)
    QTest.keyPress(hands.canvas, Qt.Key.Key_Shift, SHIFT)
    hands.until(lambda: (shown(hands) == (scene[1] == 2)).mean() > 0.99)
    QTest.keyRelease(hands.canvas, Qt.Key.Key_Shift)
    assert not shown(hands).any()
    QApplication.sendEvent(hands.canvas, QEvent(QEvent.Type.Leave))
    QTest.keyPress(hands.canvas, Qt.Key.Key_Shift, SHIFT)
    hands.rest(0.2)
    assert not shown(hands).any()


def test_without_the_key_nothing_is_asked(hands):
    encoded(hands)
    asked = hands.context.session.predictor.model.decoded
    move(hands, CENTRES[1], NONE)
    move(hands, CENTRES[2], Qt.KeyboardModifier.ControlModifier)
    hands.rest(0.15)
    assert hands.context.session.predictor.model.decoded == asked
    assert not shown(hands).any()


@pytest.mark.parametrize("how", ["release", "leave", "off the image", "move without it"])
def test_it_goes_when_the_key_or_the_canvas_is_left(hands, how):
    encoded(hands)
    hover(hands, CENTRES[1])
    if how == "release":
        QTest.keyRelease(hands.canvas, Qt.Key.Key_Shift)
    elif how == "leave":
        QApplication.sendEvent(hands.canvas, QEvent(QEvent.Type.Leave))
    elif how == "off the image":
        move(hands, (-20, 28))
    else:
        move(hands, CENTRES[1], NONE)
    assert not shown(hands).any()
    hands.rest(0.1)
    assert not shown(hands).any()
    hover(hands, CENTRES[2])


def test_an_answer_on_its_way_is_dropped(hands, model):
    model.made = SlowDecoder()
    hands.source.loader.open_file("slow.pt")
    hands.until(lambda: hands.context.session is not None)
    encoded(hands)
    move(hands, CENTRES[1])
    hands.until(lambda: model.made.running)
    QTest.keyRelease(hands.canvas, Qt.Key.Key_Shift)
    hands.rest(0.4)
    assert not shown(hands).any()


def test_the_newest_place_wins_and_nothing_queues(hands, scene, model):
    model.made = SlowDecoder()
    hands.source.loader.open_file("slow.pt")
    hands.until(lambda: hands.context.session is not None)
    encoded(hands)
    for _ in range(20):
        for place in (CENTRES[1], CENTRES[2]):
            move(hands, place)
            hands.rest(0.005)
    hands.rest(0.05)  # vispy drops a move that follows another within 10 ms
    move(hands, CENTRES[3])
    moving = model.made.decoded
    hands.until(lambda: (shown(hands) == (scene[1] == 3)).mean() > 0.99)
    assert model.made.decoded - moving <= 2  # the one that ran, and the newest
    assert model.made.most == 1


def test_a_click_takes_over(hands, scene):
    encoded(hands)
    hover(hands, CENTRES[1])
    before = hands.answers
    place = hands.place(*CENTRES[1])
    QTest.mouseClick(hands.canvas, Qt.MouseButton.LeftButton, SHIFT, pos=place)
    hands.until(lambda: hands.answers is not before and hands.answers)
    move(hands, CENTRES[2])  # the key is still held
    hands.rest(0.2)
    assert (shown(hands) == (scene[1] == 1)).mean() > 0.99
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99
    hover(hands, CENTRES[2])  # a new object begins
    assert (hands.bench.prompts.preview.data[28, 90]) == 2


def test_background_points_have_no_preview(hands):
    encoded(hands)
    hands.press(Qt.Key.Key_T)
    move(hands, CENTRES[1])
    hands.rest(0.2)
    assert not shown(hands).any()


def test_a_plane_that_is_not_encoded_shows_nothing(open_dock, scene):
    stack = np.stack([scene[0]] * 2 + [np.fliplr(scene[0])] * 8)
    hands = open_dock(("add_image", stack, {"contrast_limits": (0, 255), "name": "stack"}))
    hands.viewer.dims.set_current_step(0, 0)
    encoded(hands)
    hover(hands, CENTRES[1])
    hands.viewer.dims.set_current_step(0, 8)
    assert not shown(hands).any()
    asked = hands.context.session.predictor.model.decoded
    move(hands, CENTRES[1])
    assert hands.context.session.predictor.model.decoded == asked
    hands.until(lambda: "plane 8 (0 to 9) - ready" in hands.prefetch.panel.text())
    hover(hands, (25, 127 - 28))
    assert np.allclose(hands.bench.prompts.preview.extent.world[0][0], 8)


def test_closing_the_dock_lets_go_of_the_pointer(hands):
    encoded(hands)
    hover(hands, CENTRES[1])
    keys = hands.viewer.keymap
    assert "Shift" in map(str, keys)
    hands.viewer.window.remove_dock_widget(hands.dock)
    assert not hands.viewer.mouse_move_callbacks
    assert "Shift" not in map(str, keys)
    move(hands, CENTRES[2])
    hands.rest(0.1)
