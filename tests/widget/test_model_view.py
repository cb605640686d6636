"""What the model sees: one layer, the layers on screen, or chosen channels."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tiny import NotingModel, SceneModel

from napari_sam.widget.model_view import ALONE, ON_SCREEN, Choice


@pytest.fixture
def noting(model):
    model.made = NotingModel()
    return model.made


@pytest.fixture
def halves(scene):
    """Two channels: the scene's first object, and its two others."""
    image, truth = scene
    ground = np.full_like(image, 20)
    return np.where(truth == 1, 200, ground), np.where(truth > 1, 200, ground)


def two_layers(halves, **options):
    looks = {"blending": "additive", "contrast_limits": (20, 200), **options}
    return (
        ("add_image", halves[0], {"name": "dapi", "colormap": "red", **looks}),
        ("add_image", halves[1], {"name": "gfp", "colormap": "green", **looks}),
    )


def pick(hands, row):
    """Choose a line of the list as a person does, with the keyboard."""
    chooser = hands.source.panel.view.choice
    chooser.setFocus()
    chooser.setCurrentIndex(row)
    chooser.activated.emit(row)
    hands.settled()


def note(hands):
    return hands.source.panel.view.note.text()


def test_two_layers_are_seen_as_on_screen(open_dock, noting, halves):
    hands = open_dock(*two_layers(halves))
    hands.settled()
    assert "sees this layer alone" in note(hands)
    pixmap = hands.source.panel.view.picture.pixmap()
    assert (pixmap.height(), pixmap.width()) == (48, 64)
    pick(hands, 1)
    assert note(hands) == "The model sees dapi + gfp."
    picture = noting.seen[-1]
    assert (picture[20, 20] == (255, 0, 0)).all()
    assert (picture[20, 90] == (0, 255, 0)).all()
    assert not picture[5, 5].any()
    screen = hands.viewer.screenshot(canvas_only=True, flash=False)
    at = hands.place(20, 20)
    factor = screen.shape[1] / hands.canvas.width()
    assert tuple(screen[int(at.y() * factor), int(at.x() * factor)][:3]) == (255, 0, 0)


def test_an_object_of_the_blend_goes_into_the_labels_of_the_image(open_dock, noting, halves, scene):
    hands = open_dock(*two_layers(halves))
    hands.settled()
    image, results = hands.bench.frame.layer, hands.bench.results
    pick(hands, 1)
    hands.viewer.layers.selection.active = hands.bench.prompts.points
    hands.click_and_wait(25, 28)
    hands.press(Qt.Key.Key_Return)
    assert hands.bench.results is results
    assert hands.bench.frame.layer is image
    assert hands.bench.frame.pixels is image.data
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99


def test_other_looks_are_other_pictures(open_dock, noting, halves):
    hands = open_dock(*two_layers(halves))
    pick(hands, 1)
    encoded = len(noting.seen)
    hands.viewer.layers["dapi"].colormap = "blue"
    hands.settled()
    assert (noting.seen[-1][20, 20] == (0, 0, 255)).all()
    hands.viewer.layers["dapi"].visible = False
    hands.settled()
    assert not noting.seen[-1][20, 20].any()
    assert note(hands) == "The model sees gfp."
    assert len(noting.seen) == encoded + 2
    hands.viewer.layers["gfp"].name = "membrane"
    hands.rest()
    assert note(hands) == "The model sees membrane."
    hands.viewer.layers.remove("dapi")
    hands.settled()
    assert not hands.bench.model_view.blends
    assert len(noting.seen) <= encoded + 3


def test_moving_through_a_stack_and_turning_it_makes_no_other_array(open_dock, noting, halves):
    stacks = [np.stack([half] * 4) for half in halves]
    hands = open_dock(*two_layers(stacks))
    pick(hands, 1)
    image = hands.bench.plane().image
    hands.go(2)
    hands.settled()
    hands.viewer.dims.order = (1, 0, 2)
    hands.rest()
    hands.viewer.layers["dapi"].opacity = 1.0
    assert hands.bench.plane().image is image
    assert hands.bench.plane().key.displayed == (0, 2)


def test_pixels_changed_in_place_are_seen(open_dock, noting, halves):
    hands = open_dock(*two_layers(halves))
    pick(hands, 1)
    layer = hands.bench.frame.layer
    layer.data[...] = 20
    layer.refresh()
    hands.settled()
    assert not noting.seen[-1][20, 90].any()


def test_channels_of_an_axis_become_red_green_and_blue(open_dock, noting, halves, scene):
    image = np.stack([np.stack([half] * 12) for half in halves])  # C, Z, Y, X
    hands = open_dock(("add_image", image, {"name": "a", "axis_labels": ("c", "z", "y", "x")}))
    hands.viewer.dims.set_current_step(1, 6)
    hands.settled()
    panel = hands.source.panel.view
    assert panel.choice.count() == 2
    pick(hands, 1)
    assert note(hands) == "The model sees red c: 0, green c: 1, each stretched by itself."
    assert [one.currentText() for one in panel.colours] == ["c: 0", "c: 1", "none"]
    assert (noting.seen[-1][20, 20] == (255, 0, 0)).all()
    assert (noting.seen[-1][20, 90] == (0, 255, 0)).all()
    red = panel.colours[0]
    red.setCurrentIndex(1)
    red.activated.emit(1)
    hands.settled()
    assert (noting.seen[-1][20, 90] == (255, 255, 0)).all()
    hands.viewer.layers.selection.active = hands.bench.prompts.points
    hands.click_and_wait(25, 90)
    hands.press(Qt.Key.Key_Return)
    assert [tuple(at) for at in np.unique(np.argwhere(hands.labels)[:, :2], axis=0)] == [(0, 6)]
    assert ((hands.labels[0, 6] > 0) == (scene[1] == 2)).mean() > 0.99


def test_no_channel_at_all_is_refused_with_a_sentence(open_dock, halves):
    hands = open_dock(("add_image", np.stack(halves), {"name": "a"}))
    view = hands.source.seen
    view.choose(Choice("channels", (None, None, None)))
    assert "choose a channel" in hands.status
    assert hands.bench.model_view.choice is ALONE


def test_there_is_nothing_to_choose_for_one_plain_image(hands):
    panel = hands.source.panel.view
    assert panel.choice.isHidden()
    assert all(one.parent().isHidden() for one in panel.colours)
    assert panel.isHidden()


def test_pixels_that_are_not_square_are_said_to_be_resampled(open_dock, scene):
    stack = np.stack([scene[0]] * 8)
    hands = open_dock(("add_image", stack, {"name": "a", "scale": (4, 1, 1)}))
    hands.settled()
    assert note(hands) == ""
    hands.viewer.dims.order = (1, 0, 2)
    hands.settled()
    assert note(hands) == "The model sees rows 4 times as far apart as columns."
    picture = hands.source.panel.view.picture.pixmap()
    assert (picture.height(), picture.width()) == (16, 64)


def test_layers_elsewhere_or_of_another_shape_are_not_blended(open_dock, halves):
    hands = open_dock(
        ("add_image", halves[0], {"name": "a"}),
        ("add_image", halves[1], {"name": "moved", "translate": (5, 0)}),
        ("add_image", halves[1][:50], {"name": "half"}),
        ("add_image", halves[1], {"name": "b"}),
    )
    assert [layer.name for layer in hands.bench.model_view.layers] == ["a", "b"]
    pick(hands, 1)
    assert note(hands) == "The model sees a + b. Of another shape: moved, half."
    hands.viewer.layers["moved"].translate = (0, 0)
    hands.settled()
    assert "moved" in note(hands).split(".")[0]


def test_the_choice_stays_for_another_image_and_the_dock_lets_go(open_dock, noting, halves):
    hands = open_dock(*two_layers(halves))
    pick(hands, 1)
    hands.source.use_image(hands.viewer.layers["dapi"])
    hands.settled()
    view = hands.bench.model_view
    assert view.choice is ON_SCREEN
    assert view.blends
    hands.dock.close_dock()
    assert not view.blends
    hands.viewer.layers["dapi"].colormap = "blue"
    assert not view.blends


def test_a_pyramid_is_blended_at_its_levels(open_dock, model, halves):
    model.made = SceneModel()
    levels = [[half, half[::2, ::2]] for half in halves]
    options = {"multiscale": True, "blending": "additive"}
    hands = open_dock(*(("add_image", one, dict(options)) for one in levels))
    pick(hands, 1)
    plane = hands.bench.plane()
    assert plane.key.level == 0
    assert plane.size == halves[0].shape
    assert [one.shape for one in plane.image] == [(96, 128, 3), (48, 64, 3)]
