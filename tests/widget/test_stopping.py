"""The dock stops an encoding that nobody waits for any more, and no other."""

from __future__ import annotations

import time

import numpy as np
import pytest
from tiny import SlowBlocks

from napari_sam.widget.scheduler import Lane

PLANES = 24  # napari opens the middle one, whose neighbours are then encoded too
WHOLE = SlowBlocks.blocks * SlowBlocks.delay


@pytest.fixture
def slow(model):
    """A model that encodes at once until it is told to take its time."""
    model.made = SlowBlocks()
    model.made.delay = 0.0
    return model.made


@pytest.fixture
def hands(open_dock, scene, slow):
    """A window on plane 0 of a stack whose planes 4 to 10 are not encoded yet."""
    stack = np.stack([np.where(scene[0] > 100, 200 + z, 20) for z in range(PLANES)])
    stack = stack.astype(np.uint8)
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    layer = hands.viewer.layers["stack"]
    layer.contrast_limits = (0.001, 255)  # chosen by the user, so that planes differ for the model
    hands.go(0)
    hands.settled()
    slow.delay = SlowBlocks.delay
    slow.begun.clear()
    slow.stopped.clear()
    return hands


def encoding(hands, slow, plane):
    """Wait until a plane has been encoded for a moment."""
    hands.until(lambda: slow.begun and slow.begun[-1] == 200 + plane)
    hands.rest(0.2)


def test_a_neighbour_makes_way_for_the_plane_that_is_clicked(hands, slow):
    hands.go(4)  # it is encoded for 2 s, then its neighbours
    encoding(hands, slow, 5)
    limits = hands.viewer.layers["stack"].contrast_limits
    hands.viewer.layers["stack"].contrast_limits = (limits[0], 254)  # so it is not ready any more
    slow.blocks = 2
    start = time.monotonic()
    hands.click_and_wait(25, 28)
    assert time.monotonic() - start < WHOLE / 2
    assert slow.stopped == [205]


def test_a_neighbour_goes_on_while_a_plane_that_is_ready_is_clicked(hands, slow):
    slow.blocks = 20
    hands.go(4)
    encoding(hands, slow, 5)
    hands.click_and_wait(25, 28)
    hands.until(lambda: "next 5" in hands.prefetch.panel.text())
    assert slow.stopped == []
    assert slow.begun[:2] == [204, 205]


def test_the_slider_stops_the_plane_that_was_shown(hands, slow):
    hands.go(5)
    encoding(hands, slow, 5)
    slow.blocks = 2
    start = time.monotonic()
    hands.go(7)
    hands.until(lambda: "plane 7 (0 to 23) - ready" in hands.prefetch.panel.text())
    assert time.monotonic() - start < WHOLE / 2
    assert slow.stopped == [205]
    assert slow.begun[:2] == [205, 207]


def test_the_slider_stops_a_click_on_the_plane_that_was_shown(hands, slow):
    hands.go(5)
    hands.click(25, 28)
    encoding(hands, slow, 5)
    slow.blocks = 2
    hands.go(7)
    hands.until(lambda: "plane 7 (0 to 23) - ready" in hands.prefetch.panel.text())
    assert slow.stopped == [205]
    assert not hands.busy(Lane.CLICK)
    hands.go(5)  # the prompt is still there
    hands.until(lambda: hands.answers)


def test_the_slider_does_not_stop_the_plane_that_it_comes_to(hands, slow):
    slow.blocks = 20
    hands.go(4)
    encoding(hands, slow, 5)
    hands.go(5)
    hands.until(lambda: "plane 5 (0 to 23) - ready" in hands.prefetch.panel.text())
    assert slow.stopped == []
    assert slow.begun[:2] == [204, 205]


def test_cancelling_everything_stops_its_encoder(hands, slow):
    hands.go(5)
    hands.everything.run()
    encoding(hands, slow, 5)
    start = time.monotonic()
    hands.everything.panel.cancel_button.click()
    hands.scheduler.wait(lane=Lane.BULK)
    assert time.monotonic() - start < WHOLE / 2
    assert slow.stopped == [205]
    assert "cancelled" in hands.status  # no error is told
    hands.rest(0.1)
    assert "cancelled" in hands.status


def test_closing_the_dock_stops_what_is_encoded(hands, slow):
    hands.go(5)
    encoding(hands, slow, 5)
    hands.dock.close_dock()
    start = time.monotonic()
    hands.scheduler.wait()
    assert time.monotonic() - start < WHOLE / 2
    assert slow.stopped == [205]
