"""The object in work spans planes, and a kept object is worked on again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_sam.objects import Edit
from napari_sam.objects.properties import set_status
from napari_sam.types import SliceKey
from napari_sam.widget.layers import GONE

CONTROL = Qt.KeyboardModifier.ControlModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}


def key(plane):
    return SliceKey((1, 2), ((0, plane),))


@pytest.fixture
def stack(open_dock, scene):
    """A window on five planes of the scene."""
    hands = open_dock(("add_image", np.repeat(scene[0][None], 5, 0), {"name": "stack"}))
    hands.go(1)
    hands.settled()
    return hands


@pytest.fixture
def kept(stack):
    """The same window with an object kept under label 1 in planes 1 and 3."""
    stack.click_and_wait(*CENTRES[1])
    stack.go(3)
    stack.settled()
    stack.click_and_wait(*CENTRES[1])
    stack.press(Qt.Key.Key_Return)
    return stack


def reopen(hands, row, column):
    """Press E with the pointer on a place."""
    hands.prompting.reopener.reopen(*reversed(at(hands, row, column)))
    hands.rest(0.05)


def at(hands, row, column):
    plane = hands.viewer.dims.current_step[0]
    return hands.bench.results, int(hands.labels[plane, row, column])


def alike(mask, truth):
    """Tell whether a mask is one of the scene, up to the resolution of the model's logits."""
    mask, truth = np.asarray(mask), np.asarray(truth)
    return bool((mask == truth).mean() > 0.99 and mask.any())


def test_prompts_on_several_planes_are_one_object(kept, scene):
    objects = kept.bench.results.store.objects
    assert list(objects) == [1]
    assert objects[1].keyframes == (key(1), key(3))
    for plane in (1, 3):
        assert alike(kept.labels[plane] > 0, scene[1] == 1)
    assert not kept.labels[[0, 2, 4]].any()
    assert not len(kept.bench.prompts.points.data)


def test_the_dock_says_which_object_is_in_work(stack):
    panel = stack.prompting.panel
    assert panel.work.text() == "no object in work"
    stack.click_and_wait(*CENTRES[1])
    assert panel.work.text() == "object 1, new"
    stack.go(2)
    stack.settled()
    stack.click_and_wait(*CENTRES[1])
    assert panel.work.text() == "object 1, new, planes 1; 2"
    stack.press(Qt.Key.Key_O)
    stack.click_and_wait(*CENTRES[2])
    assert panel.work.text() == "object 2, new, 1 more in work"
    stack.press(Qt.Key.Key_Return)
    assert panel.work.text() == "no object in work"
    assert set(np.unique(stack.labels)) == {0, 1, 2}


def test_a_prompt_on_another_plane_goes_on_with_the_object_that_lies_there(stack, scene):
    stack.click_and_wait(*CENTRES[1])
    stack.press(Qt.Key.Key_O)
    stack.click_and_wait(*CENTRES[2])
    stack.go(2)
    stack.settled()
    stack.click_and_wait(*CENTRES[1])
    stack.press(Qt.Key.Key_O)
    stack.click_and_wait(*CENTRES[3])
    stack.press(Qt.Key.Key_Return)
    objects = stack.bench.results.store.objects
    assert objects[1].keyframes == (key(1), key(2))
    assert objects[2].keyframes == (key(1),)
    assert objects[3].keyframes == (key(2),)
    assert alike(stack.labels[2] == 3, scene[1] == 3)


def test_a_commit_of_several_planes_is_one_step(kept):
    before = kept.labels.copy()
    kept.press(Qt.Key.Key_Z, CONTROL)
    assert not kept.labels.any()
    assert len(kept.bench.prompts.points.data) == 2
    kept.press(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert np.array_equal(kept.labels, before)


def test_a_plane_left_before_its_answer_is_asked_about_at_the_commit(stack, scene):
    stack.click(*CENTRES[1])
    stack.viewer.dims.set_current_step(0, 4)
    stack.settled()
    stack.click_and_wait(*CENTRES[1])
    stack.press(Qt.Key.Key_Return)
    stack.until(stack.labels.any)
    for plane in (1, 4):
        assert alike(stack.labels[plane] > 0, scene[1] == 1)
    assert len(stack.bench.results.store.objects) == 1


def test_an_object_comes_back_with_its_prompts_and_its_mask(kept, scene, model):
    asked = model.made.decoded
    reopen(kept, *CENTRES[1])
    points = kept.bench.prompts.points
    assert np.allclose(points.data, [[1, 25, 28], [3, 25, 28]], atol=0.5)
    assert list(points.features["object"]) == [-1, -1]
    assert model.made.decoded == asked
    assert alike(kept.bench.prompts.preview.data[0] == 1, scene[1] == 1)
    assert kept.prompting.panel.work.text() == "object 1, reopened, planes 1; 3"
    assert kept.labels.any()  # the pixels stay


def test_a_click_goes_on_under_the_same_label(kept, scene):
    reopen(kept, *CENTRES[1])
    kept.go(4)
    kept.settled()
    kept.click_and_wait(*CENTRES[1])
    kept.press(Qt.Key.Key_Return)
    objects = kept.bench.results.store.objects
    assert list(objects) == [1]
    assert objects[1].keyframes == (key(1), key(3), key(4))
    assert alike(kept.labels[4] == 1, scene[1] == 1)


def test_only_the_changed_object_changes(kept, scene):
    kept.click_and_wait(*CENTRES[2])
    kept.press(Qt.Key.Key_Return)
    others = kept.labels == 2
    reopen(kept, *CENTRES[1])
    points = kept.bench.prompts.points
    points.selected_data = {1}  # that of plane 3, which is shown
    points.data = np.array([points.data[0], [3, *CENTRES[3]]])
    kept.until(lambda: kept.answers and not kept.prompting.asker.pending)
    preview = kept.bench.prompts.preview.data[0]
    assert alike(preview == GONE, scene[1] == 1)  # what Enter takes away is seen
    kept.press(Qt.Key.Key_Return)
    assert np.array_equal(kept.labels == 2, others)
    assert alike(kept.labels[3] == 1, scene[1] == 3)
    assert alike(kept.labels[1] == 1, scene[1] == 1)


def test_escape_leaves_a_reopened_object_as_it_was(kept):
    before, objects = kept.labels.copy(), dict(kept.bench.results.store.objects)
    reopen(kept, *CENTRES[1])
    kept.click_and_wait(30, 35)
    kept.press(Qt.Key.Key_Escape)
    assert np.array_equal(kept.labels, before)
    assert dict(kept.bench.results.store.objects) == objects
    assert not len(kept.bench.prompts.points.data)
    assert kept.prompting.panel.work.text() == "no object in work"
    assert "stays as it was" in kept.status


def test_enter_without_a_change_closes_it(kept):
    number = kept.context.history.number
    reopen(kept, *CENTRES[1])
    before = kept.labels.copy()
    kept.press(Qt.Key.Key_Return)
    assert np.array_equal(kept.labels, before)
    assert "was not changed" in kept.status
    assert kept.context.history.number >= number
    assert kept.prompting.panel.work.text() == "no object in work"


def test_undo_of_a_change_opens_the_object_again(kept, scene):
    before = kept.labels.copy()
    reopen(kept, *CENTRES[1])
    kept.go(4)
    kept.settled()
    kept.click_and_wait(*CENTRES[1])
    kept.press(Qt.Key.Key_Return)
    kept.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(kept.labels, before)
    assert kept.prompting.panel.work.text().startswith("object 1, reopened")
    kept.press(Qt.Key.Key_Return)
    assert alike(kept.labels[4] == 1, scene[1] == 1)
    assert list(kept.bench.results.store.objects) == [1]


def test_a_finished_object_is_not_opened(kept):
    view = kept.bench.results
    view.apply(set_status(view.store, [1], "finished"))
    reopen(kept, *CENTRES[1])
    assert "object 1 is finished; K unlocks it" in kept.status
    assert not len(kept.bench.prompts.points.data)


def test_another_model_is_named(kept):
    view = kept.bench.results
    known = view.store.objects[1]
    other = {
        k: replace(outline, model="vit_h", model_hash="other")
        for k, outline in known.outlines.items()
    }
    view.apply(Edit("another model", (), {1: (known, replace(known, outlines=other))}))
    reopen(kept, *CENTRES[1])
    assert "vit_h made it" in kept.status
    assert "its pixels stay" in kept.status


def test_what_was_painted_is_opened_with_its_pixels(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    layer = hands.bench.results.layer
    layer.selected_label = 5
    layer.data_setitem(np.nonzero(scene[1] == 1), 5)
    view = hands.bench.results
    hands.prompting.reopener.reopen(5, view)
    hands.rest(0.05)
    preview = hands.bench.prompts.preview.data
    assert alike(preview > 0, scene[1] == 1)
    hands.click_and_wait(*CENTRES[2])  # the model answers with another object
    hands.press(Qt.Key.Key_Return)
    assert alike(hands.labels == 5, scene[1] == 2)
    assert list(view.store.objects) == [5]


def test_what_was_painted_on_an_object_comes_back_with_it(kept, scene):
    layer = kept.bench.results.layer
    rows, columns = np.nonzero(scene[1] == 3)
    layer.data_setitem((np.full(len(rows), 3), rows, columns), 1)
    reopen(kept, *CENTRES[1])
    preview = kept.bench.prompts.preview.data[0]
    assert alike(preview == 1, np.isin(scene[1], (1, 3)))
    kept.prompting.candidates.next_candidate()  # the model knows but one of them
    kept.until(lambda: kept.answers and not kept.prompting.asker.pending)
    kept.press(Qt.Key.Key_Return)
    assert alike(kept.labels[3] == 1, scene[1] == 1)
    assert alike(kept.labels[1] == 1, scene[1] == 1)


def test_the_tool_opens_the_object_that_is_clicked(kept):
    kept.prompting.tools.use("objects")
    kept.click(*CENTRES[1])
    kept.rest(0.1)
    assert kept.prompting.panel.work.text() == "object 1, reopened, planes 1; 3"
    assert kept.prompting.tools.tool == "points"
    kept.press(Qt.Key.Key_Escape)
    kept.prompting.tools.use("objects")
    kept.click(90, 120)
    kept.rest(0.1)
    assert "no finished object here" in kept.status


def test_e_opens_the_selected_object(kept):
    kept.bench.results.layer.selected_label = 1
    kept.press(Qt.Key.Key_E)
    assert kept.prompting.panel.work.text().startswith("object 1, reopened")


def test_clear_on_a_plane_without_prompts_asks_first(stack):
    stack.click_and_wait(*CENTRES[1])
    stack.go(4)
    stack.settled()
    stack.press(Qt.Key.Key_Escape)
    assert "Esc again clears" in stack.status
    assert len(stack.bench.prompts.points.data) == 1
    stack.press(Qt.Key.Key_Escape)
    assert not len(stack.bench.prompts.points.data)


def test_everything_objects_are_opened_in_their_layer(stack, scene):
    layer = Labels(np.repeat((scene[1] * 7)[None], 5, 0), name="found")
    stack.bench.add_below_prompts(layer)
    stack.bench.everything = stack.bench.view_of(layer, 21)
    stack.context.overlap = "overwrite"
    stack.prompting.reopener.reopen(7, stack.bench.everything)
    stack.click_and_wait(*CENTRES[3])
    stack.press(Qt.Key.Key_Return)
    assert alike(layer.data[1] == 7, scene[1] == 3)
    assert np.array_equal(layer.data[2] == 7, scene[1] == 1)
    assert list(stack.bench.everything.store.objects) == [7]
    assert not stack.labels.any()
    stack.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(layer.data[1] == 7, scene[1] == 1)


def test_a_commit_to_two_layers_is_all_or_nothing(stack, scene, monkeypatch):
    layer = Labels(np.repeat((scene[1] * 7)[None], 5, 0), name="found")
    stack.bench.add_below_prompts(layer)
    view = stack.bench.everything = stack.bench.view_of(layer, 21)
    stack.context.overlap = "overwrite"
    stack.click_and_wait(*CENTRES[2])
    stack.prompting.reopener.reopen(7, view)
    stack.click_and_wait(*CENTRES[3])
    before = layer.data.copy()

    def full(edit):
        raise OSError("the disk is full")
        yield

    monkeypatch.setattr(view, "write_in_pieces", full)
    stack.press(Qt.Key.Key_Return)
    assert "the disk is full" in stack.status
    assert not stack.labels.any()
    assert not stack.bench.results.store.objects
    assert np.array_equal(layer.data, before)
    assert len(stack.bench.prompts.points.data) == 2
    monkeypatch.undo()
    stack.press(Qt.Key.Key_Return)
    assert alike(stack.labels[1] > 0, scene[1] == 2)
    assert alike(layer.data[1] == 7, scene[1] == 3)
