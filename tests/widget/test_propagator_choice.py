"""Where the model has a memory, the user chooses how objects are found in the next plane."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from remembering import RememberingModel
from tiny import SceneModel

from napari_sam.widget.features.source.logic import Source
from napari_sam.widget.features.stack.logic import Stack
from napari_sam.widget.scheduler import Lane

PLANES = 6


@pytest.fixture
def stack(open_dock, scene, model):
    model.made = RememberingModel()
    image = np.repeat(scene[0][None], PLANES, 0)
    image[4:] = 20  # the objects end before
    image[:, :2, :2] = 200
    hands = open_dock(("add_image", image, {"name": "stack", "contrast_limits": (0, 255)}))
    hands.go(2)
    hands.settled()
    hands.stack = hands.dock.feature(Stack)
    return hands


def propagate(hands):
    hands.press(Qt.Key.Key_P)
    hands.rest(0.05)
    hands.until(lambda: not hands.busy(Lane.FOLLOW, Lane.CLICK))
    hands.rest(0.05)


def pick(hands, name):
    box = hands.stack.panel.propagator
    row = box.findText(name)
    box.setCurrentIndex(row)
    box.activated.emit(row)


def test_objects_are_followed_by_the_memory_or_by_how_they_look(stack, scene, model):
    choice = stack.stack.panel.propagator
    assert choice.isVisible()
    assert choice.currentText() == "by memory"
    stack.click_and_wait(25, 28)
    propagate(stack)
    passes = model.made.passes
    assert [places for batch in passes for places in batch].count((2,)) == 2  # both ways
    asked = len(passes)
    pick(stack, "by appearance")
    propagate(stack)  # anew
    assert len(passes) == asked
    stack.press(Qt.Key.Key_Return)
    for plane in range(4):
        assert ((stack.labels[plane] == 1) == (scene[1] == 1)).mean() > 0.99
    assert not stack.labels[4:].any()


def use(hands, model, other):
    """Let another model answer."""
    model.made = other
    hands.dock.feature(Source).loader.pick("pocket")
    assert hands.context.session is None
    hands.until(lambda: hands.context.session is not None)
    assert hands.context.session.predictor.model is other


def test_the_choice_is_kept_when_another_model_is_loaded(stack, model):
    choice, propagation = stack.stack.panel.propagator, stack.stack.propagation
    pick(stack, "by appearance")
    use(stack, model, RememberingModel())
    assert choice.currentText() == "by appearance"
    assert propagation.propagator == "appearance"
    pick(stack, "by memory")
    use(stack, model, SceneModel())
    assert not choice.isVisible()
    stack.click_and_wait(25, 28)
    propagate(stack)  # by appearance
    assert any(one.mask for one in propagation.work.outlines(propagation.work.current).values())
    use(stack, model, RememberingModel())
    assert choice.isVisible()
    assert propagation.propagator == "memory"


def test_of_an_object_that_is_small_for_the_memory_the_other_way_is_told(stack, model):
    use(stack, model, RememberingModel(image_size=16))
    stack.click_and_wait(25, 28)
    stack.press(Qt.Key.Key_P)
    stack.until_said("following by appearance may do better")


def test_without_a_memory_there_is_nothing_to_choose(open_dock, scene, model):
    model.made = SceneModel()
    hands = open_dock(("add_image", np.repeat(scene[0][None], PLANES, 0), {"name": "stack"}))
    panel = hands.dock.feature(Stack).panel
    assert panel.axis is not None
    assert panel.go.isVisible()
    assert not panel.propagator.isVisible()
