"""Objects side by side, and every change as an edit that can be taken back and made again."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tiny import SceneModel, SlowModel

from napari_sam import Plane
from napari_sam.predict.session import Session
from napari_sam.widget import dock as dock_module
from napari_sam.widget import history
from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.features.prefetch.logic import Prefetch
from napari_sam.widget.features.saving.logic import Saving
from napari_sam.widget.features.settings.logic import Settings
from napari_sam.widget.features.source import logic as source_module
from napari_sam.widget.scheduler import Lane, Scheduler

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
BOXES = (
    [[8, 10], [8, 46], [42, 46], [42, 10]],
    [[10, 68], [10, 112], [46, 112], [46, 68]],
)


class Gated(SceneModel):
    """Answers when its gate is opened."""

    def __init__(self, **options):
        super().__init__(**options)
        self.gate = threading.Event()

    def decode(self, *given, **named):
        self.gate.wait(10)
        return super().decode(*given, **named)


@pytest.fixture
def encoded(hands):
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    hands.settled()
    return hands


@pytest.fixture
def submitted(monkeypatch):
    """The lanes that work is submitted to."""
    lanes = []
    submit = Scheduler.submit

    def noted(self, work, lane):
        lanes.append(lane)
        submit(self, work, lane)

    monkeypatch.setattr(Scheduler, "submit", noted)
    return lanes


def two_points(hands):
    """Prompt the first two objects by a point each, side by side."""
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_O)
    hands.click_and_wait(*CENTRES[2])


def test_two_objects_of_points_exist_side_by_side(hands, scene):
    truth = scene[1]
    two_points(hands)
    first, second = hands.answers.objects.values()
    assert np.allclose(first.prompts.point_coords, [[28, 25]], atol=0.5)
    assert np.allclose(second.prompts.point_coords, [[90, 28]], atol=0.5)
    assert set(np.unique(hands.bench.prompts.preview.data)) == {0, 1, 2}
    assert "2 objects" in hands.prompting.panel.answer.text()
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels == 1) == (truth == 1)).mean() > 0.99
    assert ((hands.labels == 2) == (truth == 2)).mean() > 0.99
    kept = hands.bench.results.store.objects
    outline = kept[2].outlines[hands.bench.plane().key]
    assert np.allclose(outline.prompts.point_coords, [[90, 28]], atol=0.5)


def test_a_background_point_belongs_to_the_object_prompted_last(hands):
    two_points(hands)
    hands.press(Qt.Key.Key_T)
    hands.click_and_wait(50, 60)
    first, second = hands.answers.objects.values()
    assert first.prompts.point_labels.tolist() == [1]
    assert second.prompts.point_labels.tolist() == [1, 0]


def test_a_prompt_keeps_its_object_when_it_is_moved(hands):
    hands.bench.prompts.boxes.add(np.array(BOXES[0]), shape_type="rectangle")
    hands.click_and_wait(*CENTRES[1])  # inside the box
    (numbers,) = [list(hands.answers.objects)]
    assert len(numbers) == 1
    before = hands.answers
    hands.bench.prompts.points.data = np.array([[72.0, 55.0]])  # far outside
    hands.bench.prompts.points.events.data(action="changed", data_indices=(0,), value=None)
    hands.until(lambda: hands.answers is not before)
    assert list(hands.answers.objects) == numbers


def test_only_the_object_that_changed_is_asked_again(encoded):
    model = encoded.context.session.predictor.model
    encoded.click_and_wait(*CENTRES[1])
    asked = model.decoded
    first = encoded.answers.objects[1]
    encoded.press(Qt.Key.Key_O)
    encoded.click_and_wait(*CENTRES[2])
    assert model.decoded == asked + 1
    assert encoded.answers.objects[1] is first


def test_next_answer_is_that_of_the_object_prompted_last(hands):
    two_points(hands)
    hands.press(Qt.Key.Key_N)
    first, second = hands.answers.objects.values()
    assert (first.shown, second.shown) == (0, 1)


def test_a_commit_asks_the_model_nothing(encoded, submitted):
    for corners in BOXES:
        encoded.bench.prompts.boxes.add(np.array(corners), shape_type="rectangle")
    encoded.until(lambda: encoded.answers and len(encoded.answers.objects) == 2)
    encoded.click(*CENTRES[3])
    encoded.until(lambda: len(encoded.answers.objects) == 3)
    model = encoded.context.session.predictor.model
    asked, reads = model.decoded, []
    encoded.bench.prompts.points.events.data.connect(reads.append)
    encoded.settled()
    submitted.clear()
    encoded.press(Qt.Key.Key_Return)
    encoded.rest(0.3)
    assert model.decoded == asked
    assert submitted == [Lane.REVIEW]  # the list measures what was kept
    assert len(reads) == 2  # napari's own: removing, removed
    assert set(np.unique(encoded.labels)) == {0, 1, 2, 3}


def test_a_click_on_a_ready_plane_is_one_piece_of_work(open_dock, scene, submitted):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 6, 0), {"name": "stack"}))
    hands.until(lambda: "(next" in hands.prefetch.panel.text())
    hands.settled()
    submitted.clear()
    hands.click_and_wait(*CENTRES[1])
    hands.settled()
    assert submitted == [Lane.CLICK]


def test_undo_and_redo_walk_over_all_layers(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.everything.run()
    hands.until_said("2 objects in 1 plane")
    found = hands.everything.view.layer.data.copy()
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    kept = hands.labels.copy()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert set(np.unique(hands.labels)) == {0, 1}
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert "undone: a point" in hands.status
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert hands.status == "undone: everything in the image"
    assert not hands.everything.view.layer.data.any()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert not hands.labels.any()
    hands.press(Qt.Key.Key_Z, CONTROL)
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert "nothing to undo" in hands.status
    for _ in range(5):
        hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert np.array_equal(hands.everything.view.layer.data, found)
    assert np.array_equal(hands.labels, kept)
    hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert "nothing to redo" in hands.status


def test_a_run_over_a_stack_and_its_thresholds_are_one_step(open_dock, scene):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.everything.run(all_planes=True)
    hands.until_said("objects in 3 planes")
    hands.everything.panel.widgets["pred_iou_thresh"].value = 1.0
    layer = hands.everything.view.layer
    hands.until(lambda: not layer.data.any() and not hands.busy(Lane.BULK))
    hands.everything.panel.widgets["pred_iou_thresh"].value = 0.5
    hands.until(lambda: layer.data.all(axis=0).any() and not hands.busy(Lane.BULK))
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert not layer.data.any()
    hands.press(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert layer.data.all(axis=0).any()


def test_the_object_under_the_pointer_is_deleted_and_comes_back(hands):
    two_points(hands)
    hands.press(Qt.Key.Key_Return)
    before = hands.labels.copy()
    hands.viewer.cursor.position = CENTRES[2]
    hands.viewer.mouse_over_canvas = False
    hands.press(Qt.Key.Key_D, CONTROL)
    assert np.array_equal(hands.labels, before)
    hands.viewer.mouse_over_canvas = True
    hands.press(Qt.Key.Key_D, CONTROL)
    assert set(np.unique(hands.labels)) == {0, 1}
    assert list(hands.bench.results.store.objects) == [1]
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert np.array_equal(hands.labels, before)
    hands.viewer.cursor.position = (90, 120)
    hands.press(Qt.Key.Key_D, CONTROL)
    assert np.array_equal(hands.labels, before)
    assert "point at a finished object" in hands.status


def test_the_deletion_of_labels_from_elsewhere_says_that_it_is_of_this_plane(open_dock, scene):
    planes, labels = np.stack([scene[0]] * 3), np.stack([scene[1]] * 3)
    hands = open_dock(("add_image", planes, {}), ("add_labels", labels.copy(), {"name": "mine"}))
    hands.until(lambda: hands.bench.results is not None)
    hands.go(1)
    hands.viewer.cursor.position = (1, *CENTRES[2])
    hands.viewer.mouse_over_canvas = True
    hands.press(Qt.Key.Key_D, CONTROL)
    label = scene[1][CENTRES[2]]
    assert hands.status.startswith(f"object {label} deleted in this plane")
    assert [(plane == label).any() for plane in hands.labels] == [True, False, True]


def test_labels_that_are_gone_on_with_are_put_on_the_image(open_dock, scene):
    scaled = {"name": "scene", "scale": (0.25, 0.25)}
    hands = open_dock(("add_image", scene[0], scaled), ("add_labels", scene[1].copy(), {}))
    hands.until(lambda: hands.bench.results is not None)
    layer = hands.bench.results.layer
    assert layer.data.any()
    assert np.allclose(layer.scale, 0.25)
    assert "scene objects" not in hands.viewer.layers


def test_the_contrast_is_the_plane_s_own_until_the_user_chooses(open_dock, scene):
    image = scene[0].astype(np.float32)
    image[0, 0] = 1e6  # a hot pixel, which napari's first limits reach
    hands = open_dock(("add_image", image, {"name": "hot"}))
    plane = hands.bench.plane()
    assert plane.contrast is None
    session = hands.context.session
    alone = Session(session.predictor).embedding(Plane(image))
    assert np.array_equal(session.embedding(plane).features, alone.features)
    hands.viewer.layers["hot"].contrast_limits = (10, 300)
    assert hands.bench.plane().contrast == (10, 300)


@pytest.mark.parametrize("gone", [Prefetch, Saving, Everything, Settings])
def test_a_feature_can_be_taken_out(open_dock, scene, monkeypatch, gone):
    for name in ("ABOVE", "BELOW"):
        kept = tuple(kind for kind in getattr(dock_module, name) if kind is not gone)
        monkeypatch.setattr(dock_module, name, kept)
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99


def test_enter_before_the_answer_keeps_the_object_as_soon_as_it_is_there(open_dock, scene, model):
    model.made = Gated()
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    hands.click(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert not hands.labels.any()
    assert len(hands.bench.prompts.points.data) == 1
    model.made.gate.set()
    hands.until(hands.labels.any)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99
    assert "object 1 committed" in hands.status


def test_enter_after_a_failed_question_waits_for_nothing(encoded, monkeypatch):
    def broken(*given, **named):
        raise RuntimeError("the kernel broke")

    model = encoded.context.session.predictor.model
    monkeypatch.setattr(model, "decode", broken)
    encoded.click(*CENTRES[1])
    encoded.until_said("the kernel broke")
    encoded.press(Qt.Key.Key_Return)
    assert "nothing to commit yet" in encoded.status
    monkeypatch.undo()
    encoded.click_and_wait(*CENTRES[1])
    encoded.press(Qt.Key.Key_Return)
    assert set(np.unique(encoded.labels)) == {0, 1}


def test_a_layer_has_one_view_whichever_image_it_serves(open_dock, scene):
    hands = open_dock(
        ("add_image", scene[0], {"name": "one"}), ("add_image", scene[0], {"name": "two"})
    )
    one, two = (hands.viewer.layers[name] for name in ("one", "two"))
    hands.source.use_image(one)
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    layer = hands.bench.results.layer
    hands.source.use_image(two)
    hands.source.use_results(layer)
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    hands.source.use_image(one)
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    assert set(np.unique(layer.data)) == {0, 1, 2, 3}
    for _ in range(6):  # three objects with their points
        hands.press(Qt.Key.Key_Z, CONTROL)
    assert not layer.data.any()


def test_other_data_in_the_layer_are_counted_before_the_next_commit(hands, scene):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    layer = hands.bench.results.layer
    layer.data = np.where(scene[1] == 2, 7, 0).astype(np.int32)
    hands.until(lambda: hands.bench.results is not None and not hands.busy(Lane.LABELS))
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    assert set(np.unique(layer.data)) == {0, 7, 8}
    for _ in range(4):  # object 8, its point, and what was done to the first point
        hands.press(Qt.Key.Key_Z, CONTROL)
    assert set(np.unique(layer.data)) == {0, 7}
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert "nothing to undo" in hands.status
    layer.data = np.zeros((20, 20), np.int32)
    assert "does not fit the image" in hands.status
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert hands.labels.shape == scene[0].shape


def test_results_that_were_given_other_data_meanwhile_are_counted_anew(open_dock, scene):
    hands = open_dock(
        ("add_image", scene[0], {"name": "one"}), ("add_image", scene[0], {"name": "two"})
    )
    one, two = (hands.viewer.layers[name] for name in ("one", "two"))
    hands.source.use_image(one)
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    old = hands.bench.results.layer
    hands.source.use_image(two)
    old.data = np.where(scene[1] == 2, 5, 0).astype(np.int32)
    hands.source.use_image(one)
    hands.until(lambda: not hands.busy(Lane.LABELS))
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    assert hands.bench.results.layer is old
    assert np.unique(old.data).tolist() == [0, 5, 6]
    assert np.array_equal(old.data == 5, scene[1] == 2)


def test_nothing_is_kept_while_labels_are_counted(hands, monkeypatch):
    gate = threading.Event()

    def slow(labels):
        yield from ()
        gate.wait(10)
        return 4

    monkeypatch.setattr(source_module, "largest_label", slow)
    mine = hands.viewer.add_labels(np.zeros((96, 128), np.int32), name="mine")
    hands.source.use_results(mine)
    before = len(hands.viewer.layers)
    hands.bench.prompts.activate("points")
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert len(hands.viewer.layers) == before
    assert len(hands.bench.prompts.points.data) == 1
    gate.set()
    hands.until(lambda: hands.bench.results is not None)
    hands.press(Qt.Key.Key_Return)
    assert set(np.unique(mine.data)) == {0, 5}


def test_a_copy_of_a_box_is_an_object_of_its_own(hands):
    boxes = hands.bench.prompts.boxes
    boxes.add(np.array(BOXES[0]), shape_type="rectangle")
    hands.until(lambda: hands.answers)
    boxes.selected_data = {0}
    boxes._copy_data()
    boxes._paste_data()
    boxes.data = [boxes.data[0], np.array(BOXES[1], float)]
    boxes.events.data(action="changed", data_indices=(1,), value=None)
    hands.until(lambda: len(hands.answers.objects) == 2)


def test_a_background_point_whose_object_is_gone_blocks_nothing(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_T)
    hands.click_and_wait(50, 60)
    hands.press(Qt.Key.Key_T)
    hands.press(Qt.Key.Key_O)
    hands.click_and_wait(*CENTRES[2])
    points = hands.bench.prompts.points
    points.selected_data = {0}
    points.remove_selected()
    hands.until(lambda: len(hands.answers.objects) == 1)
    (left,) = hands.answers.objects.values()
    assert sorted(left.prompts.point_labels.tolist()) == [0, 1]


def test_a_point_beside_the_image_does_not_count(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.bench.prompts.points.add((-20.0, -20.0))
    hands.rest(0.3)
    assert "does not count" in hands.status
    hands.press(Qt.Key.Key_Return)
    assert set(np.unique(hands.labels)) == {0, 1}


def test_our_layers_follow_the_image_in_the_world(hands, scene):
    image = hands.viewer.layers["scene"]
    image.scale = (2.0, 2.0)
    image.translate = (5.0, 7.0)
    row, column = CENTRES[3]
    hands.viewer.reset_view()
    hands.rest(0.1)
    hands.click_and_wait(5 + 2 * row, 7 + 2 * column)
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 3)).mean() > 0.99
    assert np.allclose(hands.bench.results.layer.scale, 2)


def test_a_long_undo_leaves_the_window_alive_and_is_not_crossed(open_dock, scene, monkeypatch):
    monkeypatch.setattr(history, "SLICE", 0.0)  # a turn of the window for every piece
    hands = open_dock(("add_image", np.repeat(scene[0][None], 6, 0), {"name": "stack"}))
    hands.everything.run(all_planes=True)
    hands.until_said("objects in 6 planes")
    layer = hands.everything.view.layer
    hands.prompting.changes.undo()
    assert layer.data.any()
    assert not layer.editable
    hands.prompting.changes.undo()
    assert "wait until" in hands.status
    hands.everything.run()
    assert "wait until" in hands.status
    hands.until(lambda: not layer.data.any() and layer.editable)
    hands.prompting.changes.redo()
    hands.until(lambda: layer.data.all(axis=0).any() and layer.editable)
    hands.prompting.changes.undo()
    hands.dock.close_dock()  # in the middle of it
    hands.rest(0.2)
    assert layer.data.all(axis=0).any()


def test_undo_waits_for_the_end_of_a_run(open_dock, scene, model):
    model.made = SlowModel()
    hands = open_dock(("add_image", np.repeat(scene[0][None], 4, 0), {"name": "stack"}))
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.everything.run(all_planes=True)
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert hands.labels.any()
    hands.everything.cancel()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert not hands.labels.any()


def test_the_keys_work_in_the_layer_of_everything_mode(hands):
    hands.everything.run()
    hands.until_said("3 objects in 1 plane")
    layer = hands.everything.view.layer
    hands.viewer.layers.selection.active = layer
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert not layer.data.any()
    assert hands.status == "undone: everything in the image"


def test_other_pixels_end_a_run(open_dock, scene, model):
    model.made = SlowModel()
    hands = open_dock(("add_image", np.repeat(scene[0][None], 5, 0), {"name": "stack"}))
    hands.everything.run(all_planes=True)
    hands.rest(0.2)
    hands.viewer.layers["stack"].data = np.zeros((5, *scene[0].shape), np.uint8)
    assert not hands.busy(Lane.BULK)
    assert hands.everything.view is None
