"""The layers of prompts: made and taken away, where clicks go, what is said of changes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication

from napari_sam.types import SliceKey
from napari_sam.widget import layers
from napari_sam.widget.frame import frame_of
from napari_sam.widget.history import History
from napari_sam.widget.prompt_layers import PromptLayers
from napari_sam.widget.status import Status
from napari_sam.widget.workbench import Workbench

SQUARE = np.array([[5.0, 5], [5, 15], [15, 15], [15, 5]])


@pytest.fixture
def viewer(qapp):
    """A viewer without a window, which shows an image of 40 x 60 pixels."""
    made = ViewerModel()
    made.add_image(np.zeros((40, 60), np.uint8), name="image")
    return made


@pytest.fixture
def frame(viewer):
    return frame_of(viewer.layers["image"], viewer.dims)


@pytest.fixture
def prompts(viewer, frame):
    made = PromptLayers(viewer)
    made.ensure(frame)
    return made


@pytest.fixture
def heard(prompts):
    """The signals of the prompts, in the order in which they came."""
    names = []
    prompts.changed.connect(lambda: names.append("changed"))
    prompts.pasted.connect(lambda: names.append("pasted"))
    return names


def test_only_what_is_missing_is_made_and_clicks_go_where_they_went(viewer, frame):
    prompts = PromptLayers(viewer)
    assert list(prompts) == []
    assert prompts.ensure(frame)
    assert list(prompts) == [prompts.points, prompts.boxes, prompts.preview]
    assert [layer.name for layer in viewer.layers] == [
        "image",
        "SAM preview",
        "SAM boxes",
        "SAM points",
    ]
    assert viewer.layers.selection.active is viewer.layers["image"]
    assert not prompts.ensure(frame)
    points, boxes = prompts.points, prompts.boxes
    viewer.layers.remove(boxes)
    prompts.let_go(boxes)
    assert not prompts.are_complete
    assert prompts.drawing() == ()
    assert prompts.ensure(frame)
    assert prompts.points is points
    assert prompts.boxes in viewer.layers
    assert prompts.boxes is not boxes


def test_boxes_are_shown_while_they_are_of_use(viewer, prompts):
    assert not prompts.boxes.visible
    prompts.activate("boxes")
    assert viewer.layers.selection.active is prompts.boxes
    assert prompts.boxes.mode == "add_rectangle"
    assert prompts.boxes.visible
    prompts.activate("points")
    assert prompts.points.mode == "add"
    assert not prompts.boxes.visible
    prompts.boxes.add(SQUARE, shape_type="rectangle")
    assert prompts.boxes.visible
    prompts.boxes.visible = False  # by the user
    prompts.activate("boxes")
    prompts.activate("points")
    assert not prompts.boxes.visible


@pytest.mark.parametrize(("zoom", "width"), [(1.0, 2.0), (8.0, 0.25), (0.1, 20.0)])
def test_edges_have_a_width_on_the_screen(viewer, prompts, zoom, width):
    prompts.boxes.add(SQUARE, shape_type="rectangle")
    getattr(viewer, "scene", viewer).camera.zoom = zoom
    assert prompts.boxes.edge_width[0] == pytest.approx(width, rel=layers.EDGE_TOLERANCE)


def test_edges_keep_their_width_where_the_image_is_scaled(viewer, prompts):
    prompts.boxes.add(SQUARE, shape_type="rectangle")
    getattr(viewer, "scene", viewer).camera.zoom = 1.0
    viewer.layers["image"].scale = (0.1, 0.1)
    prompts.place(frame_of(viewer.layers["image"], viewer.dims))
    assert all(np.allclose(layer.scale, 0.1) for layer in prompts)
    assert prompts.boxes.edge_width[0] == pytest.approx(20)


def test_changes_of_the_user_are_announced_and_ours_are_not(prompts, heard):
    plane = SliceKey((0, 1), ())
    prompts.points.add((10, 20))
    prompts.boxes.add(SQUARE, shape_type="rectangle")
    assert heard == ["changed", "changed"]
    assert [one.placed.owner for one in prompts.drawn(plane)] == [None, None]
    drawing = prompts.drawing()
    prompts.redraw(remove=drawing)
    assert prompts.drawing() == ()
    assert not prompts.boxes.visible
    prompts.redraw((), drawing)
    assert prompts.drawing() == drawing
    assert prompts.boxes.visible
    prompts.clear(plane)
    assert prompts.drawing() == ()
    assert heard == ["changed", "changed"]


def test_pasted_prompts_are_announced_when_napari_is_done(prompts, heard):
    prompts.points.add((10, 20))
    QApplication.processEvents()
    heard.clear()
    prompts.points.selected_data = {0}
    prompts.points._copy_data()
    prompts.points._paste_data()
    assert heard == []
    QApplication.processEvents()
    assert heard == ["pasted"]


def test_the_kind_chosen_outlives_our_changes_and_a_new_layer(viewer, frame, prompts):
    prompts.set_kind(layers.BACKGROUND)
    prompts.redraw((), ())
    prompts.points.add((10, 20))
    viewer.layers.remove(prompts.points)
    prompts.let_go(prompts.points)
    prompts.ensure(frame)
    prompts.points.add((10, 20))
    assert list(prompts.points.features["label"]) == [layers.BACKGROUND]


def test_why_a_click_makes_no_prompt(viewer, prompts):
    assert "image is selected" in prompts.hindrance()
    prompts.activate("points")
    assert prompts.hindrance() == ""
    prompts.points.visible = False
    assert "SAM points is hidden" in prompts.hindrance()
    prompts.points.visible = True
    prompts.points.mode = "pan_zoom"
    assert "does not take clicks" in prompts.hindrance()
    viewer.layers.selection.clear()
    assert "no layer is selected" in prompts.hindrance()


def test_the_layers_go_at_once_or_when_napari_is_done(viewer, frame, prompts):
    prompts.remove()
    assert list(prompts) == []
    assert [layer.name for layer in viewer.layers] == ["image"]
    prompts.ensure(frame)
    ours = list(prompts)
    prompts.remove(soon=True)
    assert list(prompts) == []
    assert all(layer in viewer.layers for layer in ours)
    viewer.layers.remove(ours[0])  # by napari, which was at it
    QApplication.processEvents()
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_a_closed_one_leaves_boxes_and_zoom_alone(viewer, frame, prompts):
    boxes = prompts.boxes
    prompts.close()
    viewer.add_layer(boxes)
    boxes.visible = True
    getattr(viewer, "scene", viewer).camera.zoom = 50
    viewer.layers.selection.active = viewer.layers["image"]
    assert boxes.visible
    assert boxes.current_edge_width != pytest.approx(2 / 50)
    assert [layer.name for layer in viewer.layers] == ["image", "SAM boxes"]


def test_a_deleted_image_is_not_kept(viewer):
    bench = Workbench(viewer, History(), Status())
    image = viewer.layers["image"]
    bench.use_image(image)
    kept, results = weakref.ref(image.data), bench.results.layer
    viewer.layers.remove(image)
    del image
    QApplication.processEvents()
    gc.collect()
    assert bench.frame is None
    assert [layer.name for layer in viewer.layers] == [results.name]
    assert kept() is None
    bench.close()


def test_nothing_is_made_for_an_image_that_is_being_deleted(viewer):
    bench = Workbench(viewer, History(), Status())
    bench.use_image(viewer.layers["image"])
    for layer in [*bench.prompts, bench.results.layer]:
        viewer.layers.remove(layer)
    seen = []

    def hear_first(event):
        seen.append(bench.frame)
        bench.ensure_layers()

    viewer.layers.events.removed.connect(hear_first, position="first")
    viewer.layers.remove("image")
    QApplication.processEvents()
    assert seen[0] is not None  # the bench still had the image
    assert list(viewer.layers) == []
    assert bench.frame is None
    bench.close()
