"""Prompts of several images: kept while another image is worked on, undone where they are."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def two(open_dock, scene):
    """A dock with two images, of which the first is worked on."""
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.viewer.add_image(np.flipud(scene[0]).copy(), name="flipped", visible=False)
    hands.bench.prompts.activate("points")
    return hands


def test_prompts_are_there_again_when_the_image_is(two):
    hands = two
    first = hands.bench.frame.layer
    hands.click_and_wait(25, 28)
    drawn = hands.bench.prompts.drawing()
    assert len(drawn) == 1
    other = hands.viewer.layers["flipped"]
    hands.bench.use_image(other)
    assert hands.bench.prompts.drawing() == ()
    hands.click_and_wait(65, 28)
    hands.bench.use_image(first)
    hands.until(lambda: hands.answers is not None)
    assert hands.bench.prompts.drawing() == drawn
    assert hands.bench.prompts.drawing()[0].owner == drawn[0].owner
    hands.prompting.changes.undo()  # the point on the other image
    assert hands.status.startswith("undone: a point on flipped")
    assert hands.bench.prompts.drawing() == drawn
    hands.prompting.changes.redo()
    hands.prompting.changes.undo()
    hands.prompting.changes.undo()
    assert hands.bench.prompts.drawing() == ()
    hands.bench.use_image(other)
    assert hands.bench.prompts.drawing() == ()
    hands.prompting.changes.redo()
    hands.prompting.changes.redo()
    assert len(hands.bench.prompts.drawing()) == 1
    hands.bench.use_image(first)
    assert hands.bench.prompts.drawing() == drawn


def test_prompts_of_an_image_that_is_removed_are_forgotten(two):
    hands = two
    first = hands.bench.frame.layer
    hands.click_and_wait(25, 28)
    hands.bench.use_image(hands.viewer.layers["flipped"])
    hands.viewer.layers.remove(first)
    hands.rest()
    assert hands.context.history.steps.newest is None
    assert [one.frame.layer.name for one in hands.bench._prompts_of] == ["flipped"]


def test_prompts_of_an_image_of_another_shape_are_forgotten(two):
    hands = two
    image = hands.bench.frame.layer
    hands.click_and_wait(25, 28)
    image.data = np.zeros((50, 60), np.uint8)
    hands.rest()
    assert hands.bench.prompts.drawing() == ()
    assert hands.context.history.steps.newest is None
