"""Everything mode in the dock."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from tiny import SlowModel

from napari_sam.everything.amg_params import AmgParams
from napari_sam.widget.features.everything.panel import WORDS
from napari_sam.widget.scheduler import Lane


def run(hands, all_planes=False, **values):
    usual = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    hands.everything.panel.set_params(AmgParams(**usual | values))
    hands.everything.run(all_planes)
    hands.until(lambda: not hands.busy(Lane.BULK))


def test_plane(hands, scene):
    run(hands)
    labels = hands.everything.view.layer.data
    assert labels.max() == 3
    for k in (1, 2, 3):
        own = labels[scene[1] == k]
        assert np.unique(own[own > 0]).size == 1
        assert (own > 0).mean() > 0.95
    assert "3 objects in 1 plane" in hands.status
    assert hands.viewer.layers.selection.active is hands.bench.prompts.points


def test_a_plane_is_encoded_once_for_clicks_and_everything(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 3), {"name": "stack"}))
    hands.settled()
    model = hands.context.session.predictor.model
    assert model.encoded == 3  # the plane shown and its neighbours
    run(hands, all_planes=True)
    assert hands.everything.view.layer.data.max() == 3
    assert model.encoded == 3
    run(hands, crop_n_layers=1)
    assert model.encoded == 3 + 4
    hands.click_and_wait(25, 25)
    assert model.encoded == 3 + 4


def test_stack_is_linked(open_dock, scene):
    blank = np.zeros_like(scene[0])
    stack = np.stack([scene[0], scene[0], blank, blank, scene[0]])
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    run(hands, all_planes=True)
    labels = hands.everything.view.layer.data
    assert not labels[2:4].any()
    assert np.array_equal(labels[0], labels[1])
    assert not set(np.unique(labels[4])) & set(np.unique(labels[0])) - {0}
    assert labels.max() == 6


def test_thresholds_select_anew_at_once(hands):
    run(hands)
    decoded = hands.context.session.predictor.model.decoded
    panel = hands.everything.panel
    panel.widgets["pred_iou_thresh"].value = 1.0
    hands.until_said("0 objects")
    assert not hands.everything.view.layer.data.any()
    panel.widgets["pred_iou_thresh"].value = 0.5
    hands.until_said("3 objects")
    assert hands.everything.view.layer.data.max() == 3
    assert hands.context.session.predictor.model.decoded == decoded  # the model was not asked


def test_an_edited_result_is_never_overwritten(hands):
    run(hands)
    layer = hands.everything.view.layer
    found = layer.data > 0
    layer.brush_size = 3
    layer.paint((50, 60), 50)
    painted = layer.data == 50
    assert painted.sum() > 1
    hands.everything.panel.widgets["pred_iou_thresh"].value = 1.0
    hands.until_said("1 object in")
    assert np.array_equal(layer.data > 0, painted)
    hands.everything.panel.widgets["pred_iou_thresh"].value = 0.5
    hands.until_said("4 objects")
    run(hands)
    assert hands.everything.view.layer is layer
    assert np.array_equal(layer.data == 50, painted)
    assert np.array_equal((layer.data > 0) & ~painted, found)


def point_at(hands, row, column):
    QTest.mouseMove(hands.canvas, hands.place(row, column))
    hands.until(lambda: hands.viewer.mouse_over_canvas)
    hands.rest(0.05)


def test_an_object_that_was_deleted_stays_away(hands, scene):
    run(hands)
    layer = hands.everything.view.layer
    found = layer.data > 0
    point_at(hands, 72, 55)
    hands.press(Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert "deleted" in hands.status
    rest = found & (scene[1] != 3)
    assert np.array_equal(layer.data > 0, rest)
    widget = hands.everything.panel.widgets["pred_iou_thresh"]
    for value, mask in ((1.0, np.zeros_like(rest)), (0.5, rest)):
        widget.value = value
        hands.until(lambda: not hands.busy(Lane.BULK))
        assert np.array_equal(layer.data > 0, mask)
    hands.prompting.changes.undo()  # both moves of the threshold
    hands.prompting.changes.undo()  # the deletion
    assert np.array_equal(layer.data > 0, found)
    widget.value = 1.0
    hands.until(lambda: not layer.data.any())
    hands.until_said(": 0 objects")


def test_an_object_of_several_planes_is_deleted_from_all(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 4), {"name": "stack"}))
    run(hands, all_planes=True)
    view, key = hands.everything.view, hands.context.shown().key
    labels = view.layer.data
    before = labels.copy()
    label = int(labels[key.fixed[0][1], 72, 55])
    view.delete(label, key)
    hands.until(lambda: not hands.context.history.walking)
    assert not (labels == label).any()
    assert np.array_equal(labels[labels > 0], before[(before > 0) & (before != label)])
    hands.everything.panel.widgets["pred_iou_thresh"].value = 0.6
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert np.array_equal(labels > 0, (before > 0) & (before != label))
    assert len(np.unique(labels)) == 3  # still linked
    for _ in range(2):
        hands.prompting.changes.undo()
        hands.until(lambda: not hands.context.history.walking)
    assert np.array_equal(labels, before)


def test_commits_go_into_the_result_of_everything(hands, scene):
    run(hands)
    layer = hands.everything.view.layer
    found = layer.data > 0
    label = int(layer.data[72, 55])
    hands.everything.view.delete(label, hands.context.shown().key)
    assert layer.name in [
        hands.source.panel.results.itemText(k) for k in range(hands.source.panel.results.count())
    ]
    hands.source.use_results(layer)
    hands.click_and_wait(72, 55)
    hands.prompting.commit()
    committed = layer.data == 4
    assert (committed == (scene[1] == 3)).mean() > 0.99
    hands.everything.panel.widgets["pred_iou_thresh"].value = 1.0
    hands.until_said("1 object in")
    assert np.array_equal(layer.data == 4, committed)
    assert np.array_equal(layer.data > 0, committed)
    hands.everything.panel.widgets["pred_iou_thresh"].value = 0.5
    hands.until_said("3 objects")
    assert np.array_equal(layer.data == 4, committed)
    assert np.array_equal((layer.data > 0) & ~committed, found & (scene[1] != 3) & ~committed)
    assert hands.bench.results.store.next_label > layer.data.max()


def test_undoing_a_run_takes_its_candidates_back(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 2), {"name": "stack"}))
    hands.go(0)
    run(hands)
    layer = hands.everything.view.layer
    hands.go(1)
    run(hands)
    assert [len(np.unique(plane)) for plane in layer.data] == [4, 4]
    hands.prompting.changes.undo()
    assert not layer.data[1].any()
    hands.everything.panel.widgets["pred_iou_thresh"].value = 0.6
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert not layer.data[1].any()  # no threshold brings it back
    assert layer.data[0].any()
    hands.prompting.changes.undo()
    hands.prompting.changes.redo()
    hands.prompting.changes.undo()
    hands.prompting.changes.undo()
    assert not layer.data.any()


def test_a_threshold_moved_during_a_run_counts_for_all_planes(open_dock, scene, model):
    model.made = SlowModel()
    model.made.delay = 0.2
    hands = open_dock(("add_image", np.stack([scene[0]] * 4), {"name": "stack"}))
    panel = hands.everything.panel
    panel.set_params(AmgParams(points_per_side=8, stability_score_thresh=0.5, pred_iou_thresh=0.5))
    hands.everything.run(all_planes=True)
    layer = hands.everything.view.layer
    hands.until(lambda: layer.data[0].max() > 0)
    panel.widgets["pred_iou_thresh"].value = 0.95  # the stub's score is 0.9
    hands.until(lambda: not layer.data.any())  # while the run goes on
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert not layer.data.any()
    assert "0 objects in 4 planes" in hands.status
    panel.widgets["pred_iou_thresh"].value = 0.5
    hands.until_said("3 objects in 4 planes")
    assert (layer.data == layer.data[0]).all()


def test_small_objects_are_removed_at_once(hands, scene):
    run(hands)
    layer = hands.everything.view.layer
    found = layer.data.copy()
    areas = [(scene[1] == k).sum() for k in (1, 2, 3)]
    hands.everything.panel.widgets["min_mask_region_area"].value = sorted(areas)[0] + 10
    hands.until_said("2 objects")
    hands.everything.panel.widgets["min_mask_region_area"].value = 0
    hands.until_said("3 objects")
    assert np.array_equal(layer.data, found)


def test_all_planes_of_a_stack_with_two_more_axes(open_dock, scene):
    image = np.broadcast_to(scene[0], (2, 3, *scene[0].shape)).copy()
    hands = open_dock(("add_image", image, {"name": "movie", "axis_labels": ("t", "z", "y", "x")}))
    panel = hands.everything.panel
    texts = [panel.planes.itemText(k) for k in range(panel.planes.count())]
    assert texts == ["all t and z (6 planes)", "all z (3 planes)", "all t (2 planes)"]
    assert panel.planes.currentText() == texts[0]
    hands.viewer.dims.set_current_step(0, 1)
    panel.planes.setCurrentIndex(1)
    panel.planes.activated.emit(1)
    run(hands, all_planes=True)
    layer = hands.everything.view.layer
    assert not layer.data[0].any()
    assert (layer.data[1] == layer.data[1, 0]).all()
    assert "3 objects in 3 planes, linked along z" in hands.status
    panel.planes.activated.emit(0)
    run(hands, all_planes=True)
    assert "6 objects in 6 planes, linked along z" in hands.status
    assert (layer.data == layer.data[:, :1]).all()
    assert not set(np.unique(layer.data[0])) & set(np.unique(layer.data[1])) - {0}


def test_a_stack_of_one_more_axis_needs_no_choice(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 3), {"name": "stack"}))
    hands.dock.sections["Everything"].expand()
    hands.rest()
    assert not hands.everything.panel.planes.isVisible()
    assert "3 planes" in hands.everything.panel.stack_button.toolTip()


def test_another_plane_and_another_image_may_be_shown_during_a_run(open_dock, scene, model):
    model.made = SlowModel()
    model.made.delay = 0.1
    hands = open_dock(
        ("add_image", np.stack([scene[0]] * 4), {"name": "stack"}),
        ("add_image", scene[0], {"name": "other"}),
    )
    hands.source.use_image(hands.viewer.layers["stack"])
    panel = hands.everything.panel
    panel.set_params(AmgParams(points_per_side=8, stability_score_thresh=0.5, pred_iou_thresh=0.5))
    hands.everything.run(all_planes=True)
    layer = hands.everything.view.layer
    for plane in (3, 1, 0):
        hands.go(plane)
        hands.rest(0.1)
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert len(np.unique(layer.data)) == 4
    assert (layer.data == layer.data[0]).all()
    done = layer.data.copy()
    hands.everything.run(all_planes=True)
    hands.rest(0.1)
    hands.source.use_image(hands.viewer.layers["other"])
    assert not hands.busy(Lane.BULK)
    hands.rest(0.3)
    assert np.array_equal(layer.data > 0, done > 0)
    run(hands)
    assert hands.everything.view.layer.data.shape == scene[0].shape


def test_the_form_comes_from_the_parameters(hands):
    panel = hands.everything.panel
    wanted = {name for name, f in AmgParams.__dataclass_fields__.items() if f.metadata}
    assert set(panel.widgets) == set(WORDS) == wanted - {"min_area", "max_area"}
    assert panel.params().min_area == 0
    panel.widgets["points_per_side"].value = 17
    assert panel.params().points_per_side == 17
