"""Everything mode in the dock."""

from __future__ import annotations

import numpy as np

from napari_sam.everything.amg_params import SELECT_FIELDS, AmgParams
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
    assert hands.viewer.layers.selection.active is hands.bench.points


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
    stack = np.stack([scene[0], scene[0], np.zeros_like(scene[0]), scene[0]])
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    run(hands, all_planes=True)
    labels = hands.everything.view.layer.data
    assert not labels[2].any()
    assert np.array_equal(labels[0], labels[1])
    assert not set(np.unique(labels[3])) & set(np.unique(labels[0])) - {0}
    assert labels.max() == 6


def test_thresholds_select_anew_at_once(hands):
    run(hands)
    decoded = hands.context.session.predictor.model.decoded
    panel = hands.everything.panel
    panel.widgets["pred_iou_thresh"].value = 1.0
    hands.until(lambda: "0 objects" in hands.status)
    assert not hands.everything.view.layer.data.any()
    panel.widgets["pred_iou_thresh"].value = 0.5
    hands.until(lambda: "3 objects" in hands.status)
    assert hands.everything.view.layer.data.max() == 3
    assert hands.context.session.predictor.model.decoded == decoded  # the model was not asked


def test_an_edited_result_is_never_overwritten(hands):
    run(hands)
    layer = hands.everything.view.layer
    layer.selected_label = 50
    layer.paint((50, 60), 50)
    edited = layer.data.copy()
    hands.everything.panel.widgets["pred_iou_thresh"].value = 1.0
    hands.rest(0.2)
    assert "edited" in hands.status
    run(hands)
    assert np.array_equal(layer.data, edited)
    assert hands.everything.view.layer is not layer


def test_the_form_comes_from_the_parameters(hands):
    panel = hands.everything.panel
    wanted = {name for name, f in AmgParams.__dataclass_fields__.items() if f.metadata}
    assert set(panel.widgets) == wanted
    assert list(panel.widgets)[: len(SELECT_FIELDS)] == sorted(
        SELECT_FIELDS, key=list(AmgParams.__dataclass_fields__).index
    )
    panel.widgets["points_per_side"].value = 17
    assert panel.params().points_per_side == 17


def test_the_dock_fits_a_narrow_column(hands):
    hands.dock.sections["Everything"].expand(animate=False)
    hands.rest()
    scroll_bar = 16
    assert hands.dock.column.minimumSizeHint().width() <= 300 - scroll_bar
    assert hands.dock.column.sizeHint().height() <= 900
    for widget in hands.everything.panel.widgets.values():
        assert widget.native.width() >= 80
