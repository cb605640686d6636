"""Undo takes what the user did last, prompts too; answers come back with them."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from tiny import DiscModel

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}


def undo(hands):
    hands.press(Qt.Key.Key_Z, CONTROL)


def redo(hands):
    hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)


def test_prompts_are_taken_back_before_the_last_commit(hands, scene):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    kept = hands.labels.copy()
    hands.click_and_wait(*CENTRES[2])
    first = hands.answers.objects
    hands.click_and_wait(90, 120)
    undo(hands)
    assert len(hands.bench.prompts.points.data) == 1
    assert np.array_equal(hands.labels, kept)
    assert "undone: a point" in hands.status
    assert hands.answers.objects == first  # known, not asked again
    redo(hands)
    assert len(hands.bench.prompts.points.data) == 2
    undo(hands)
    hands.press(Qt.Key.Key_Escape)
    assert len(hands.bench.prompts.points.data) == 0
    undo(hands)
    assert "the removal of a point" in hands.status
    assert ((hands.bench.prompts.preview.data > 0) == (scene[1] == 2)).mean() > 0.99


def test_a_commit_taken_back_shows_its_prompts_and_the_mask_that_was_kept(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_N)
    hands.press(Qt.Key.Key_T)
    hands.click_and_wait(80, 120)
    hands.press(Qt.Key.Key_N)
    chosen = hands.bench.prompts.preview.data > 0
    hands.press(Qt.Key.Key_Return)
    kept = hands.labels.copy()
    undo(hands)
    assert not hands.labels.any()
    assert list(hands.bench.prompts.points.features["label"]) == ["object", "background"]
    assert np.array_equal(hands.bench.prompts.preview.data > 0, chosen)
    redo(hands)
    assert np.array_equal(hands.labels, kept)
    assert len(hands.bench.prompts.points.data) == 0
    assert not hands.bench.prompts.preview.data.any()
    undo(hands)
    hands.press(Qt.Key.Key_Return)
    assert np.array_equal(hands.labels, kept)


def test_moves_and_pasted_prompts_are_single_steps(hands):
    hands.click_and_wait(*CENTRES[1])
    points, before = hands.bench.prompts.points, hands.answers
    points.data = np.array([CENTRES[2]], float)
    hands.until(lambda: hands.answers is not before)
    points.selected_data = {0}
    points._copy_data()
    points._clipboard["data"] = points._clipboard["data"] + [44, -35]
    points._paste_data()
    hands.until(lambda: any(len(o.prompts.point_coords) == 2 for o in pending(hands)))
    undo(hands)
    assert len(points.data) == 1
    undo(hands)
    assert "the move of a point" in hands.status
    assert np.allclose(points.data, [CENTRES[1]], atol=0.5)
    undo(hands)
    assert len(points.data) == 0


def pending(hands):
    """Return the objects of the newest question."""
    question = hands.prompting.asker.question
    return [] if question is None else question.objects.values()


def test_the_plane_is_shown_where_something_was_taken_back(open_dock, scene):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 4, 0), {"scale": (3, 1, 1)}))
    hands.go(1)
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.go(3)
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    undo(hands)
    assert hands.viewer.dims.current_step[0] == 1
    assert "object 1 in plane 1" in hands.status
    assert ((np.squeeze(hands.bench.prompts.preview.data) > 0) == (scene[1] == 1)).mean() > 0.99
    hands.go(0)
    redo(hands)
    assert hands.viewer.dims.current_step[0] == 1
    assert hands.labels[1].any()
    assert not hands.bench.prompts.preview.data.any()


def test_answers_are_there_again_after_another_plane(open_dock, scene):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.go(0)
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_N)
    hands.press(Qt.Key.Key_N)
    shown = hands.answers
    hands.go(2)
    assert hands.answers is None
    assert not hands.bench.prompts.preview.data.any()
    hands.go(0)
    assert hands.answers.objects == shown.objects  # at once
    assert hands.prompting.panel.answer.text().startswith("answer 3/3")


def test_prompts_of_another_image_are_not_drawn_here(open_dock, scene, model):
    model.made = DiscModel()
    hands = open_dock(
        ("add_image", scene[0], {"name": "one"}), ("add_image", scene[0], {"name": "two"})
    )
    hands.source.use_image(hands.viewer.layers["one"])
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    layer = hands.bench.results.layer
    hands.source.use_image(hands.viewer.layers["two"])
    undo(hands)
    assert not layer.data.any()
    assert "object 1 on one" in hands.status
    assert len(hands.bench.prompts.points.data) == 0
    hands.source.use_image(hands.viewer.layers["one"])
    assert len(hands.bench.prompts.points.data) == 1  # they wait on their own image
    hands.source.use_image(hands.viewer.layers["two"])
    undo(hands)
    assert "a point on one" in hands.status
    undo(hands)
    assert "nothing to undo" in hands.status
    hands.source.use_image(hands.viewer.layers["one"])
    assert len(hands.bench.prompts.points.data) == 0
