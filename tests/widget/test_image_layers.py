"""Images of every kind, opened in every way: what is on screen is what the model is asked about."""

from __future__ import annotations

import time

import dask.array as da
import numpy as np
import pytest
from napari.viewer import current_viewer
from qtpy.QtWidgets import QApplication
from tiny import NotingModel

from napari_sam.widget.commands import find_dock
from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.source.logic import Source
from napari_sam.widget.scheduler import Lane


def stack(image, planes=4, step=4):
    """The scene moved to the right from plane to plane."""
    return np.stack([np.roll(image, step * k, 1) for k in range(planes)])


def overlap(found, truth):
    union = np.count_nonzero((found > 0) | (truth > 0))
    return np.count_nonzero((found > 0) & (truth > 0)) / union


@pytest.fixture
def noting(model):
    model.made = NotingModel()
    return model.made


# -- ways of opening --------------------------------------------------------------------------


def by_plugin_menu(viewer):
    return viewer.window.add_plugin_dock_widget("napari-sam-stack", "Segment Anything")[1]


def by_hand(viewer):
    dock = SegmentAnything(viewer)
    viewer.window.add_dock_widget(dock, name="Segment Anything")
    return dock


def by_command(viewer):
    return find_dock(viewer)


def by_command_with_a_proxy(viewer):
    return find_dock(current_viewer())


@pytest.mark.parametrize(
    "opened",
    [by_plugin_menu, by_hand, by_command, by_command_with_a_proxy],
    ids=lambda f: f.__name__,
)
def test_a_dock_works_however_it_is_opened(make_napari_viewer, model, scene, opened):
    viewer = make_napari_viewer(show=True)
    image = viewer.add_image(scene[0], name="scene")
    dock = opened(viewer)
    source = dock.feature(Source)
    try:
        end_of_loading(dock)
        assert dock.context.bench.frame.layer is image
        assert source.panel.image.currentText() == "scene"
        assert viewer.layers.selection.active is dock.context.bench.prompts.points
        dock.context.bench.prompts.points.add((25, 28))
        wait_until(dock.context.bench.prompts.preview.data.any)
        dock.context.bench.prompts.activate("boxes")
        assert viewer.layers.selection.active is dock.context.bench.prompts.boxes
        assert dock.context.bench.prompts.boxes.mode == "add_rectangle"
    finally:
        dock.close_dock()
        assert dock.context.scheduler.wait(10_000)
        dock.context.disk.wait()


def end_of_loading(dock):
    wait_until(lambda: dock.context.session is not None)


def wait_until(condition, seconds=20):

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        QApplication.processEvents()
        time.sleep(0.002)


# -- where the image lies ---------------------------------------------------------------------


def test_a_click_on_a_tilted_stack_is_answered_on_the_plane_shown(open_dock, scene):
    angle = np.deg2rad(3)
    tilt = np.eye(4)
    tilt[0, 0] = tilt[1, 1] = np.cos(angle)
    tilt[0, 1], tilt[1, 0] = -np.sin(angle), np.sin(angle)
    hands = open_dock(("add_image", stack(scene[0], 8), {"name": "tilted", "affine": tilt}))
    hands.viewer.dims.set_point(0, 2.0)
    hands.settled()
    hands.click_and_wait(72, 60)
    hands.prompting.commit()
    plane = hands.context.shown().key.fixed[0][1]
    assert [z for z in range(8) if hands.labels[z].any()] == [plane]
    assert overlap(hands.labels[plane], np.roll(scene[1] == 3, 4 * plane, 1)) > 0.9


def test_a_click_with_layers_of_other_units_lies_where_the_pointer_is(open_dock, scene):
    planes = stack(scene[0])
    hands = open_dock(
        ("add_image", planes, {"name": "um", "scale": (2, 1, 1), "units": ("um",) * 3}),
        ("add_image", planes, {"name": "nm", "scale": (2000, 1000, 1000), "units": ("nm",) * 3}),
    )
    for name in ("um", "nm"):
        hands.source.use_image(hands.viewer.layers[name])
        hands.viewer.dims.set_current_step(0, 1)
        hands.settled()
        factor = float(hands.viewer.layers["um"].extent.world[1][-1] + 0.5) / 128
        factor = 1000.0 if str(hands.viewer.dims.units[-1]) == "nanometer" else 1 / factor * 1.0
        hands.click_and_wait(25 * factor, 32 * factor)
        assert np.allclose(hands.bench.prompts.points.data[-1], (1, 25, 32), atol=1)
        hands.prompting.clear()


def test_a_scale_set_later_moves_prompts_preview_and_objects(open_dock, scene):
    hands = open_dock(("add_image", stack(scene[0]), {"name": "a"}))
    hands.click_and_wait(25, 28)
    hands.viewer.layers["a"].scale = (2, 0.5, 0.5)
    hands.viewer.reset_view()
    hands.rest(0.1)
    ours = (*hands.bench.prompts, hands.bench.results.layer)
    assert len(ours) == 4
    assert all(np.array_equal(layer.scale, (2, 0.5, 0.5)) for layer in ours)
    hands.viewer.dims.set_point(0, 4.0)
    hands.settled()
    hands.click_and_wait(25 * 0.5, 40 * 0.5)
    assert np.allclose(hands.bench.prompts.points.data[-1], (2, 25, 40), atol=1)


def test_thick_slices_are_refused_with_a_sentence_and_work_again_when_thin(open_dock, scene):
    hands = open_dock(("add_image", stack(scene[0]), {"name": "a", "projection_mode": "max"}))
    hands.viewer.dims.thickness = (3, 0, 0)
    hands.rest()
    assert "thick slices" in hands.status
    hands.viewer.dims.thickness = (0, 0, 0)
    hands.rest()
    assert "thick" not in hands.status
    hands.click_and_wait(25, 30)


# -- pixels and contrast that change ----------------------------------------------------------


def test_pixels_changed_in_place_are_encoded_anew(open_dock, noting, scene):
    pixels = np.full_like(scene[0], 20)
    hands = open_dock(("add_image", pixels, {"name": "live", "contrast_limits": (0, 255)}))
    hands.settled()
    encoded = len(noting.seen)
    pixels[...] = scene[0]
    hands.viewer.layers["live"].refresh()
    hands.settled()
    assert len(noting.seen) == encoded + 1
    assert noting.seen[-1].max() > noting.seen[0].max()
    hands.click_and_wait(25, 28)


def test_zooming_and_panning_a_pyramid_are_no_change_of_its_pixels(open_dock, scene):
    fine = np.kron(scene[0], np.ones((24, 24), np.uint8))
    pyramid = [fine, fine[::4, ::4], fine[::16, ::16]]
    hands = open_dock(("add_image", pyramid, {"multiscale": True, "name": "pyramid"}))
    hands.settled()
    layer, camera = hands.viewer.layers["pyramid"], hands.viewer.camera
    revision, levels = hands.bench.plane().revision, {layer.data_level}
    for zoom, centre in ((4, (500, 500)), (4, (900, 1500)), (0.3, (1000, 1000))):
        camera.zoom, camera.center = zoom, centre
        hands.rest(0.2)
        levels.add(layer.data_level)
    assert len(levels) > 1
    assert hands.bench.plane().revision == revision
    layer.refresh()
    assert hands.bench.plane().revision == revision + 1


def test_showing_hiding_and_moving_encode_nothing_anew(open_dock, noting, scene):
    hands = open_dock(("add_image", stack(scene[0]), {"name": "a"}))
    hands.settled()
    for plane in (1, 2, 3, 0):
        hands.go(plane)
        hands.settled()
    encoded, image = len(noting.seen), hands.viewer.layers["a"]
    image.visible = False
    image.visible = True
    image.opacity = 0.5
    hands.click_and_wait(25, 28)
    hands.prompting.commit()
    hands.viewer.add_labels(np.zeros_like(scene[1]))
    hands.go(1)
    hands.go(0)
    hands.settled()
    assert len(noting.seen) == encoded


def test_other_contrast_limits_renew_the_answer(open_dock, noting, scene):
    hands = open_dock(("add_image", scene[0].astype(np.float32), {"name": "a"}))
    hands.settled()
    hands.click_and_wait(25, 28)
    before, encoded = hands.answers, len(noting.seen)
    hands.viewer.layers["a"].contrast_limits = (10, 500)
    hands.until(lambda: hands.answers is not None and hands.answers is not before)
    assert hands.answers.plane.contrast == (10, 500)
    assert len(noting.seen) == encoded + 1


def test_a_moved_lazy_image_keeps_its_contrast_unchosen(open_dock, scene):
    lazy = da.from_array(stack(scene[0]).astype(np.uint16), chunks=(1, 96, 128))
    hands = open_dock(("add_image", lazy, {"name": "lazy"}))
    layer = hands.viewer.layers["lazy"]
    layer.contrast_limits = (30, 60)
    assert hands.bench.plane().contrast == (30, 60)
    layer.scale = (3, 1, 1)
    assert hands.bench.plane().contrast == (30, 60)


# -- layers that come, go and change their names ----------------------------------------------


@pytest.mark.parametrize("images", [1, 2, 3])
def test_all_layers_can_be_deleted_at_once(open_dock, scene, images):
    hands = open_dock(*(("add_image", scene[0], {"name": f"a{k}"}) for k in range(images)))
    hands.click_and_wait(25, 28)
    hands.viewer.layers.select_all()
    hands.viewer.layers.remove_selected()
    hands.rest(0.1)
    assert len(hands.viewer.layers) == 0
    assert hands.bench.frame is None


def test_one_of_our_layers_deleted_with_the_image_leaves_none_behind(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "a"}))
    hands.viewer.layers.selection = {hands.viewer.layers["a"], hands.bench.prompts.points}
    hands.viewer.layers.remove_selected()
    hands.rest(0.1)
    left = [layer.name for layer in hands.viewer.layers]
    assert left == ["a objects"]


def test_a_renamed_image_is_renamed_in_the_dock(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "a"}))
    hands.viewer.layers["a"].name = "nuclei of day 3"
    hands.rest()
    assert hands.source.panel.image.currentText() == "nuclei of day 3"


def test_other_images_on_screen_are_named(open_dock, scene):
    hands = open_dock(
        ("add_image", scene[0], {"name": "dapi"}), ("add_image", scene[0], {"name": "gfp"})
    )
    note = hands.source.panel.view.note
    assert "dapi" in note.text()
    hands.viewer.layers["dapi"].visible = False
    hands.rest()
    assert note.text() == ""
    hands.viewer.layers["gfp"].visible = False
    hands.rest()
    assert "gfp is hidden" in note.text()


def test_labels_of_an_earlier_day_are_gone_on_with(open_dock, scene):
    earlier = np.zeros_like(scene[1])
    earlier[60:84, 30:80] = 7
    hands = open_dock(
        ("add_labels", np.zeros_like(scene[1]), {"name": "other labels"}),
        ("add_image", scene[0], {"name": "a"}),
        ("add_labels", earlier, {"name": "a labels"}),
    )
    hands.until(lambda: not hands.busy(Lane.LABELS))
    names = [layer.name for layer in hands.viewer.layers]
    assert "a objects" not in names
    hands.click_and_wait(25, 28)
    hands.prompting.commit()
    assert np.unique(hands.viewer.layers["a labels"].data).tolist() == [0, 7, 8]


def test_labels_of_another_shape_are_left_alone(open_dock, scene):
    hands = open_dock(
        ("add_image", scene[0], {"name": "a"}), ("add_labels", scene[1][:50], {"name": "half"})
    )
    assert hands.bench.results.layer.name == "a objects"


def test_the_dock_says_what_to_do_in_3d(open_dock, scene):
    hands = open_dock(("add_image", stack(scene[0]), {"name": "a"}))
    hands.viewer.dims.ndisplay = 3
    hands.rest()
    assert "2-D view" in hands.status
    hands.viewer.dims.ndisplay = 2
    hands.rest(0.2)
    hands.click_and_wait(25, 28)


def test_box_edges_keep_their_width_on_screen(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "a", "scale": (0.1, 0.1)}))
    hands.use_boxes = hands.prompting.tools.use("boxes")
    boxes = hands.bench.prompts.boxes
    boxes.add_rectangles(np.array([[10, 12], [10, 44], [40, 44], [40, 12]]))
    for zoom in (20.0, 200.0):
        hands.viewer.camera.zoom = zoom
        hands.rest()
        assert boxes.edge_width[0] * 0.1 * zoom == pytest.approx(2, rel=0.25)


def test_where_a_click_would_do_nothing_the_status_says_why(open_dock, scene):
    hands = open_dock(("add_image", scene[0], {"name": "nuclei"}))
    assert hands.status.startswith("click an object")
    hands.viewer.layers.selection.active = hands.viewer.layers["nuclei"]
    hands.rest()
    assert hands.status.startswith("nuclei is selected")
    hands.prompting.tools.use("points")
    hands.rest()
    assert hands.status.startswith("click an object")
    hands.bench.prompts.points.visible = False
    hands.prompting.clear()
    assert "is hidden" in hands.status
    hands.bench.prompts.points.visible = True
    hands.bench.prompts.points.mode = "pan_zoom"
    hands.prompting.clear()
    assert "does not take clicks" in hands.status


def test_objects_that_go_into_a_hidden_layer_are_said_to(hands):
    hands.bench.results.layer.visible = False
    hands.click_and_wait(25, 28)
    hands.prompting.commit()
    assert "scene objects, which is hidden" in hands.status


def test_the_dock_opens_where_the_environment_names_no_folder(open_dock, scene, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", "~nobody-of-this-name/cache")
    hands = open_dock(("add_image", scene[0], {"name": "a"}))
    assert hands.context.disk.folder.name == "embeddings"
