"""Proposals of everything mode accepted and rejected: by keys, by clicks, by a rule."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam.everything.amg_params import AmgParams
from napari_sam.objects import Canvas, ObjectStore, properties
from napari_sam.objects.overlap import free_pixels
from napari_sam.steps import drive
from napari_sam.types import SliceKey
from napari_sam.widget.features.everything import proposals as proposals_module
from napari_sam.widget.features.everything.accepted import Target, accepted
from napari_sam.widget.scheduler import Lane

SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
INSIDE = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
"""A pixel (row, column) of each object of the scene."""


@pytest.fixture(autouse=True)
def config_folder(tmp_path, monkeypatch):
    """Keep rules of no test in the user's own folder."""
    monkeypatch.setenv("NAPARI_SAM_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture
def planned(monkeypatch):
    """Proposals are planned to be accepted once this event is set."""
    event = threading.Event()

    def waiting(*args):
        event.wait(60)
        return (yield from accepted(*args))

    monkeypatch.setattr(proposals_module, "accepted", waiting)
    yield event
    event.set()


def run(hands, all_planes=False, **values):
    usual = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    hands.everything.panel.set_params(AmgParams(**usual | values))
    hands.everything.run(all_planes)
    hands.until(lambda: not hands.busy(Lane.BULK))


def settle(hands):
    """Wait until nothing is accepted, selected or written any more."""
    hands.rest()
    everything = hands.everything
    hands.until(
        lambda: (
            not everything.proposals.busy
            and not hands.busy(Lane.BULK, Lane.ACCEPT)
            and not hands.context.history.walking
        )
    )
    hands.rest()


def point_at(hands, row, column):
    QTest.mouseMove(hands.canvas, hands.place(row, column))
    hands.until(lambda: hands.viewer.mouse_over_canvas)
    hands.rest()


def press(hands, key, modifier=Qt.KeyboardModifier.NoModifier):
    hands.press(key, modifier)
    settle(hands)


def there(layer, truth):
    """Return which objects of the scene a layer shows."""
    return {k for k, place in INSIDE.items() if layer.data[..., *place].any() and truth[place] == k}


def test_the_one_under_the_pointer_is_accepted(hands, scene):
    run(hands)
    proposals, found = hands.everything.view.layer, hands.everything.view.layer.data.copy()
    point_at(hands, *INSIDE[2])
    press(hands, Qt.Key.Key_A)
    assert "1 proposal accepted into scene objects" in hands.status
    label = found[INSIDE[2]]
    assert np.array_equal(hands.labels > 0, found == label)
    assert np.array_equal(proposals.data, np.where(found == label, 0, found))
    (kept,) = hands.bench.results.store.objects.values()
    (outline,) = kept.outlines.values()
    assert outline.origin == "everything"
    assert outline.score == pytest.approx(0.9)
    assert 0.5 < kept.attributes["stability"] <= 1
    assert hands.everything.panel.verdicts.count.text() == "2 of 3 shown, 1 accepted"
    press(hands, Qt.Key.Key_Z, CONTROL)
    assert not hands.labels.any()
    assert np.array_equal(proposals.data, found)
    assert hands.everything.panel.verdicts.count.text() == "3 of 3 shown"
    press(hands, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert there(proposals, scene[1]) == {1, 3}
    assert there(hands.bench.results.layer, scene[1]) == {2}


def test_what_was_said_of_a_proposal_holds_when_a_threshold_moves(hands, scene):
    run(hands)
    layer, widget = hands.everything.view.layer, hands.everything.panel.widgets["pred_iou_thresh"]
    point_at(hands, *INSIDE[1])
    press(hands, Qt.Key.Key_A)
    point_at(hands, *INSIDE[3])
    press(hands, Qt.Key.Key_X)
    assert "rejected" in hands.status
    assert there(layer, scene[1]) == {2}
    for value, left in ((1.0, set()), (0.6, {2})):
        widget.value = value
        settle(hands)
        assert there(layer, scene[1]) == left
    assert there(hands.bench.results.layer, scene[1]) == {1}
    text = hands.everything.panel.verdicts.count.text()
    assert text == "1 of 3 shown, 1 accepted, 1 rejected"
    press(hands, Qt.Key.Key_Z, CONTROL)  # both moves of the threshold
    press(hands, Qt.Key.Key_Z, CONTROL)  # the rejection
    assert there(layer, scene[1]) == {2, 3}
    run(hands)
    assert there(layer, scene[1]) == {2, 3}


def test_all_are_accepted_as_one_step(hands, scene):
    run(hands)
    found = hands.everything.view.layer.data.copy()
    press(hands, Qt.Key.Key_A, SHIFT)
    assert "3 proposals accepted" in hands.status
    assert np.array_equal(hands.labels > 0, found > 0)
    assert set(hands.bench.results.store.objects) == {1, 2, 3}
    assert not hands.everything.view.layer.data.any()
    press(hands, Qt.Key.Key_A, SHIFT)
    assert "no proposal" in hands.status
    press(hands, Qt.Key.Key_Z, CONTROL)
    assert not hands.labels.any()
    assert np.array_equal(hands.everything.view.layer.data, found)


def test_where_no_proposal_is_shown_nothing_fails(hands):
    run(hands, pred_iou_thresh=1.0)
    press(hands, Qt.Key.Key_A, SHIFT)
    assert hands.status == proposals_module.NONE_SHOWN
    assert not hands.labels.any()


def test_only_where_nothing_is_labelled_yet(hands, scene):
    hands.click_and_wait(*INSIDE[2])
    hands.press(Qt.Key.Key_Return)
    hands.until(hands.labels.any)
    kept = hands.labels.copy()
    run(hands)
    layer, box = hands.everything.view.layer, hands.everything.panel.verdicts
    assert there(layer, scene[1]) == {1, 3}
    assert box.count.text() == "2 of 3 shown"
    box.only_new.setChecked(False)
    settle(hands)
    assert there(layer, scene[1]) == {1, 2, 3}
    box.only_new.setChecked(True)
    settle(hands)
    assert there(layer, scene[1]) == {1, 3}
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until_said("2 proposals accepted")
    settle(hands)
    assert there(hands.bench.results.layer, scene[1]) == {1, 2, 3}
    assert np.array_equal(hands.labels[kept > 0], kept[kept > 0])


def test_finished_objects_lose_no_pixel(hands, scene):
    hands.click_and_wait(*INSIDE[2])
    hands.press(Qt.Key.Key_Return)
    hands.until(hands.labels.any)
    results = hands.bench.results
    results.apply(properties.set_status(results.store, [1], "finished"))
    kept = hands.labels == 1
    run(hands)
    hands.everything.panel.verdicts.only_new.setChecked(False)
    settle(hands)
    hands.context.overlap = "overwrite"
    press(hands, Qt.Key.Key_A, SHIFT)
    assert np.array_equal(hands.labels == 1, kept)
    assert there(results.layer, scene[1]) == {1, 2, 3}


def test_clicks_accept_and_reject_until_escape(hands, scene):
    run(hands)
    layer, box = hands.everything.view.layer, hands.everything.panel.verdicts
    QTest.mouseClick(box.click_accepts, Qt.MouseButton.LeftButton)
    hands.click(*INSIDE[1])
    hands.until_said("accepted")
    settle(hands)
    hands.click(*INSIDE[3])
    hands.until_said("accepted")
    settle(hands)
    assert there(hands.bench.results.layer, scene[1]) == {1, 3}
    QTest.mouseClick(box.click_rejects, Qt.MouseButton.LeftButton)
    assert not box.click_accepts.isChecked()
    hands.click(*INSIDE[2])
    hands.until_said("rejected")
    settle(hands)
    assert not layer.data.any()
    assert not len(hands.bench.prompts.points.data)
    press(hands, Qt.Key.Key_Escape)
    assert not box.click_rejects.isChecked()
    assert hands.viewer.layers.selection.active is hands.bench.prompts.points
    hands.click_and_wait(*INSIDE[2])  # a prompt again


def test_a_click_selects_and_keys_act_on_the_selected_one(hands, scene):
    run(hands)
    layer = hands.everything.view.layer
    hands.viewer.layers.selection.active = layer
    layer.mode = "pan_zoom"
    hands.click(*INSIDE[3])
    hands.until_said("A accepts it, X rejects it")
    point_at(hands, 90, 5)  # on no proposal
    press(hands, Qt.Key.Key_X)
    assert there(layer, scene[1]) == {1, 2}
    press(hands, Qt.Key.Key_X)
    assert "point at a proposal" in hands.status
    assert there(layer, scene[1]) == {1, 2}


def test_there_is_nothing_to_accept_in_the_layer_of_the_proposals_itself(hands):
    press(hands, Qt.Key.Key_A, SHIFT)
    assert "run everything mode first" in hands.status
    run(hands)
    hands.bench.use_results(hands.everything.view.layer, 3)
    before = hands.everything.view.layer.data.copy()
    press(hands, Qt.Key.Key_A, SHIFT)
    assert "nothing to accept" in hands.status
    assert np.array_equal(hands.everything.view.layer.data, before)


def test_an_object_of_several_planes_is_accepted_whole(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 3), {"name": "stack"}))
    run(hands, all_planes=True)
    found = hands.everything.view.layer.data.copy()
    point_at(hands, *INSIDE[1])
    press(hands, Qt.Key.Key_A)
    assert np.array_equal(hands.labels > 0, found == found[(1, *INSIDE[1])])
    assert len(hands.bench.results.store.objects[1].outlines) == 3
    assert "6 of 9 outlines in 3 planes shown, 1 accepted" in (
        hands.everything.panel.verdicts.count.text()
    )
    press(hands, Qt.Key.Key_A, SHIFT)
    assert np.array_equal(hands.labels > 0, found > 0)
    assert len(hands.bench.results.store.objects) == 3
    assert not hands.everything.view.layer.data.any()


def test_sizes_are_limited_in_the_unit_of_the_image(open_dock, scene):
    options = {"name": "scene", "scale": (0.5, 0.5), "units": ("um", "um")}
    hands = open_dock(("add_image", scene[0], options))
    run(hands)
    panel, areas = hands.everything.panel, np.bincount(scene[1].ravel())[1:]
    assert panel.size.histogram.counts.sum() == 3
    panel.size.set_limits(int(areas.min()) + 100, 0)
    panel.size.changed.emit()
    settle(hands)
    assert panel.verdicts.count.text() == "2 of 3 shown"
    assert "µm²" in panel.size.readout.text()
    panel.size.slider.setValue((0, 1))  # the largest ones go
    settle(hands)
    assert panel.verdicts.count.text() == "0 of 3 shown"
    panel.size.slider.setValue((0, 100))
    settle(hands)
    assert panel.params().min_area == panel.params().max_area == 0
    assert panel.verdicts.count.text() == "3 of 3 shown"


def test_a_rule_is_saved_and_applied_to_each_new_image(hands, scene):
    panel = hands.everything.panel
    hands.dock.sections["Everything"].expand()
    assert not panel.rule.apply.isEnabled()
    run(hands)
    panel.size.set_limits(int((scene[1] == 1).sum()) + 100, 0)
    panel.rule.save_asked.emit("large ones")
    assert "is saved" in hands.status
    assert panel.rule.name == "large ones"
    hands.until(lambda: not hands.busy(Lane.BULK))
    panel.set_params(AmgParams())
    panel.rule.to_each.setChecked(True)
    hands.settled()
    assert not hands.labels.any()  # the image was there before
    hands.viewer.add_image(scene[0][:, ::-1].copy(), name="next")
    hands.source.use_image(hands.viewer.layers["next"])
    hands.until_said("2 proposals accepted")
    settle(hands)
    labels = hands.labels
    assert labels.shape == scene[0].shape
    assert np.array_equal(np.unique(labels), [0, 1, 2])
    assert not labels[:, ::-1][INSIDE[1]]
    hands.source.use_image(hands.viewer.layers["scene"])
    hands.settled()
    assert not hands.labels.any()
    QTest.mouseClick(panel.rule.apply, Qt.MouseButton.LeftButton)
    hands.until_said("2 proposals accepted")
    settle(hands)
    assert there(hands.bench.results.layer, scene[1]) == {2, 3}
    press(hands, Qt.Key.Key_Z, CONTROL)
    assert not hands.labels.any()


def test_a_save_misses_proposals_only_while_there_are_any(hands, tmp_path):
    saves, missed = hands.context.saves, "the labels of everything mode are not in it"
    run(hands)
    point_at(hands, *INSIDE[1])
    press(hands, Qt.Key.Key_X)
    saves.save_as(tmp_path / "a.samproject")
    hands.until_said(missed)
    press(hands, Qt.Key.Key_A, SHIFT)
    told = []
    saves.saved.connect(told.append)
    saves.save()
    hands.until_said("saved 2 objects")
    assert missed not in hands.status
    assert told == [hands.context.history.number]
    press(hands, Qt.Key.Key_Z, CONTROL)
    saves.save()
    hands.until_said(missed)


def test_a_name_that_is_no_file_is_refused(hands):
    hands.everything.panel.rule.save_asked.emit("../other")
    assert "choose a name" in hands.status
    assert hands.everything.panel.rule.name == ""


def test_kept_objects_are_seen_on_a_contact_sheet(hands, scene):
    box, sheet = hands.everything.panel.verdicts, hands.everything.verdicts.sheet
    QTest.mouseClick(box.sheet, Qt.MouseButton.LeftButton)
    assert "no object to look at" in hands.status
    run(hands)
    press(hands, Qt.Key.Key_A, SHIFT)
    QTest.mouseClick(box.sheet, Qt.MouseButton.LeftButton)
    hands.until(lambda: sheet.window is not None and sheet.window.isVisible())
    picture = sheet.window.picture.pixmap()
    assert (picture.width(), picture.height()) == (3 * 100 + 4, 96 + 14 + 2 * 4)
    assert sheet.window.count.text() == "3 objects: label, predicted IoU"
    sheet.window.orders.picked.emit("score")
    hands.rest(0.2)
    hands.until(lambda: not hands.busy(Lane.SHEET))
    assert sheet.order == "score"


def test_a_proposal_that_is_covered_in_one_plane_leaves_nothing_behind():
    labels = np.zeros((2, 20, 30), np.int32)
    labels[:, 2:8, 2:8], labels[:, 10:16, 2:8] = 4, 5
    kept = np.zeros(labels.shape, np.uint16)
    kept[0, 2:8, 2:8] = 1
    keys = dict.fromkeys(SliceKey((1, 2), ((0, place),)) for place in (0, 1))
    into = ObjectStore(Canvas(kept, "objects"), 1)
    proposals = ObjectStore(Canvas(labels, "proposals"), 5)
    verdicts = drive(accepted(proposals, keys, None, Target(into, free_pixels, True)))
    assert (verdicts.labels, verdicts.covered) == ([4, 5], 0)
    for store, edit in ((into, verdicts.kept), (proposals, verdicts.gone)):
        for patch in edit.patches:
            store.canvas.write(patch)
    assert not labels.any()
    assert (kept[0, 2:8, 2:8] == 1).all()
    assert (kept[1, 2:8, 2:8] == 2).all()
    assert (kept[:, 10:16, 2:8] == 3).all()


def test_keys_act_on_what_was_pointed_at(hands, scene, turns):
    run(hands)
    layer = hands.everything.view.layer
    for key, place in ((Qt.Key.Key_A, 1), (Qt.Key.Key_A, 1), (Qt.Key.Key_X, 3)):
        point_at(hands, *INSIDE[place])
        hands.press(key)
    point_at(hands, *INSIDE[2])
    turns.rest()
    hands.until_said("rejected")
    settle(hands)
    assert there(hands.bench.results.layer, scene[1]) == {1}
    assert there(layer, scene[1]) == {2}
    assert sorted(hands.everything.verdicts.filled.verdicts.values()) == ["accepted", "rejected"]


def test_a_second_click_on_the_same_proposal_is_no_error(hands, scene, turns):
    run(hands)
    QTest.mouseClick(hands.everything.panel.verdicts.click_accepts, Qt.MouseButton.LeftButton)
    for _ in range(2):
        hands.click(*INSIDE[2])
    turns.rest()
    settle(hands)
    assert "1 proposal accepted" in hands.status
    assert there(hands.bench.results.layer, scene[1]) == {2}


def test_what_is_planned_can_be_cancelled_and_what_is_written_is_finished(hands, planned, turns):
    run(hands)
    proposals, history = hands.everything.proposals, hands.context.history
    hands.press(Qt.Key.Key_A, SHIFT)
    history.run(iter([None, None]), lambda failed: None)
    planned.set()
    hands.until(lambda: not hands.busy(Lane.ACCEPT))
    proposals.cancel()
    turns.until(lambda: not history.walking)
    settle(hands)
    assert not hands.labels.any()
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.until(lambda: history.walking)
    proposals.cancel()
    assert proposals.busy
    turns.rest()
    hands.until_said("3 proposals accepted")
    settle(hands)
    assert not proposals.busy


def test_what_cannot_be_planned_again_is_given_up(hands, planned, monkeypatch):
    run(hands)
    proposals = hands.everything.proposals
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.click_and_wait(*INSIDE[2])
    hands.press(Qt.Key.Key_Return)
    hands.until(hands.labels.any)
    monkeypatch.setattr(proposals, "_may_write", lambda filled: False)
    planned.set()
    hands.until(lambda: not proposals.busy)
    assert "proposals ..." not in hands.status


def test_a_choice_made_during_a_run_counts(hands, scene):
    hands.click_and_wait(*INSIDE[2])
    hands.press(Qt.Key.Key_Return)
    hands.until(hands.labels.any)
    hands.everything.panel.set_params(
        AmgParams(points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.5)
    )
    hands.everything.run()
    hands.everything.panel.verdicts.only_new.setChecked(False)
    hands.until_said("everything: 3 objects")
    settle(hands)
    assert there(hands.everything.view.layer, scene[1]) == {1, 2, 3}


def test_a_rule_says_whether_kept_objects_hide_proposals(hands):
    panel = hands.everything.panel
    hands.click_and_wait(*INSIDE[2])
    hands.press(Qt.Key.Key_Return)
    hands.until(hands.labels.any)
    panel.set_params(AmgParams(points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.5))
    panel.verdicts.only_new.setChecked(False)
    panel.rule.save_asked.emit("all")
    panel.verdicts.only_new.setChecked(True)
    hands.context.overlap = "overwrite"
    QTest.mouseClick(panel.rule.apply, Qt.MouseButton.LeftButton)
    hands.until_said("3 proposals accepted")
    assert not panel.verdicts.only_new.isChecked()


def test_a_rule_waits_until_what_was_accepted_before_is_done(hands, scene, planned):
    run(hands)
    panel = hands.everything.panel
    panel.rule.save_asked.emit("all")
    panel.rule.to_each.setChecked(True)
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.viewer.add_image(scene[0][:, ::-1].copy(), name="next")
    hands.source.use_image(hands.viewer.layers["next"])
    hands.settled()
    assert hands.everything.view is None
    planned.set()
    hands.until_said("not accepted: another image")
    hands.until_said("3 proposals accepted")
    settle(hands)
    assert set(hands.bench.results.store.objects) == {1, 2, 3}


def test_proposals_in_a_pyramid_are_accepted(open_dock, scene):
    fine = np.kron(scene[0], np.ones((2, 2), np.uint8))
    options = {"multiscale": True, "name": "pyramid"}
    hands = open_dock(("add_image", [fine, fine[::2, ::2]], options))
    truth = np.kron(scene[1], np.ones((2, 2), np.int32))
    run(hands)
    place = tuple(2 * k for k in INSIDE[2])
    point_at(hands, *place)
    press(hands, Qt.Key.Key_A)
    assert set(np.unique(truth[hands.labels > 0])) == {2}
    run(hands)
    assert not hands.everything.view.layer.data[place]
    press(hands, Qt.Key.Key_A, SHIFT)
    assert set(np.unique(truth[hands.labels > 0])) == {1, 2, 3}
