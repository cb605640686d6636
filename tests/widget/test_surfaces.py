"""Objects as surfaces in the 3-D view, and every key and button there."""

from __future__ import annotations

from threading import current_thread, main_thread

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Surface
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton

from napari_sam.objects import properties
from napari_sam.objects.search import outlines_in
from napari_sam.types import Progress, SliceKey
from napari_sam.widget.features.objects.logic import Objects
from napari_sam.widget.features.saving.logic import Saving
from napari_sam.widget.features.surfaces import chosen
from napari_sam.widget.features.surfaces.logic import SurfacesInSpace
from napari_sam.widget.features.surfaces.plane_view import camera_of
from napari_sam.widget.layers import colour_of
from napari_sam.widget.scheduler import Lane
from napari_sam.widget.work.reopening import as_painted

PLACE = {"scale": (5, 0.1, 0.1), "translate": (10, 2, 3)}


@pytest.fixture
def stack(scene):
    """A stack of six planes, (6, 96, 128), and its labels: objects 1 to 3 in planes 1 to 4."""
    truth = scene[1]
    labels = np.zeros((6, *truth.shape), np.int32)
    labels[1:5] = truth
    return np.where(labels > 0, 200, 20).astype(np.uint8), labels


@pytest.fixture
def kept(open_dock, stack):
    """A window on the stack, with its labels kept, as they lie in the world."""
    image, labels = stack
    hands = open_dock(
        ("add_image", image, {"name": "stack", **PLACE}),
        ("add_labels", labels, {"name": "stack objects", **PLACE}),
    )
    hands.until(lambda: hands.bench.results is not None)
    hands.prompting.tools.use("points")
    hands.go(2)
    hands.rest(0.1)
    return hands


def surfaces(hands):
    return [layer for layer in hands.viewer.layers if isinstance(layer, Surface)]


def show(hands):
    hands.press(Qt.Key.Key_G)
    hands.until(lambda: not hands.busy(Lane.SURFACES))


def volume_of(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return abs(float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6)


def view_of(viewer):
    camera = camera_of(viewer)
    return (
        viewer.dims.ndisplay,
        tuple(viewer.dims.order),
        tuple(viewer.dims.current_step),
        tuple(np.round(camera.center, 6)),
        round(camera.zoom, 6),
        viewer.layers.selection.active,
        [(layer, layer.visible, str(layer.mode)) for layer in viewer.layers],
    )


def test_all_kept_objects_are_shown_in_the_world_and_the_same_key_goes_back(kept, stack):
    camera = camera_of(kept.viewer)
    camera.zoom *= 1.7
    camera.center = (0, 5, 9)
    before = view_of(kept.viewer)
    show(kept)
    (layer,) = surfaces(kept)
    assert kept.viewer.dims.ndisplay == 3
    assert [one for one in kept.viewer.layers if one.visible] == [layer]
    assert kept.status == "3 objects of stack objects in 3-D; drag turns the view, G goes back " + (
        "to the plane"
    )
    vertices, faces, _ = layer.data
    world = np.array([layer.data_to_world(one) for one in vertices])
    first, last = [10 + 5 * 0.5, 2 + 0.95, 3 + 1.15], [10 + 5 * 4.5, 2 + 8.35, 3 + 10.95]
    outside = np.concatenate([first - world.min(0), world.max(0) - last]) / (2 * PLACE["scale"])
    assert outside == pytest.approx(0, abs=0.15)  # pixels; a smooth surface lies a little inside
    assert volume_of(world, faces) == pytest.approx((stack[1] > 0).sum() * 5 * 0.01, rel=0.05)
    colours = {tuple(np.round(one, 4)) for one in layer.vertex_colors}
    labels = kept.bench.results.layer
    assert colours == {tuple(np.round(labels.get_color(k), 4)) for k in (1, 2, 3)}
    show(kept)
    assert not surfaces(kept)
    assert view_of(kept.viewer) == before
    assert kept.bench.plane().key.fixed == ((0, 2),)
    assert kept.bench.frame.layer.name == "stack"


def test_the_surfaces_are_no_part_of_the_annotation(kept):
    saving, number = kept.dock.feature(Saving).panel, kept.context.history.number
    state = saving.state.text()
    show(kept)
    kept.rest(0.3)
    assert kept.context.history.number == number
    assert saving.state.text() == state
    assert kept.bench.frame.layer.name == "stack"
    assert kept.bench.results.layer.name == "stack objects"
    kept.dock.close_dock()
    assert not surfaces(kept)
    assert kept.viewer.dims.ndisplay == 2
    assert kept.viewer.layers["stack"].visible


def test_clicks_mean_the_plane_again_after_the_return(kept):
    show(kept)
    show(kept)
    kept.rest(0.1)
    kept.click(2 + 2.5, 3 + 2.5)
    kept.until(lambda: kept.status.startswith("object 1 is kept"))
    assert kept.bench.plane().key.fixed == ((0, 2),)


def test_the_object_in_work_is_shown_if_it_lies_on_several_planes(open_dock, stack):
    hands = open_dock(("add_image", stack[0], {"name": "stack"}))
    hands.go(2)
    hands.settled()
    hands.click_and_wait(25, 25)
    show(hands)
    assert not surfaces(hands)
    assert "no object to show in 3-D" in hands.status
    hands.go(3)
    hands.settled()
    hands.click_and_wait(25, 25)
    show(hands)
    (layer,) = surfaces(hands)
    assert np.ptp(layer.data[0], axis=0) == pytest.approx([2, 30, 32], abs=2)
    assert layer.vertex_colors[0] == pytest.approx([0.94, 0.89, 0.26, 1])
    assert hands.status.startswith("1 object in work in 3-D")
    show(hands)
    assert hands.bench.plane().key.fixed == ((0, 3),)
    hands.until(lambda: hands.answers is not None)  # the preview is painted again
    assert hands.bench.prompts.preview.data.any()
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: (hands.labels[2:4] > 0).any(axis=(1, 2)).all())


def test_objects_selected_in_the_list_are_shown_alone(kept, stack):
    store, keys = kept.bench.results.store, [SliceKey((1, 2), ((0, z),)) for z in range(1, 5)]
    found = {
        label: {key: outlines_in(stack[1], key, [label])[label] for key in keys} for label in (2, 3)
    }
    kept.bench.results.apply(properties.set_status(store, [2, 3], "to check", found))
    objects = kept.dock.feature(Objects)
    objects.look()
    objects.panel.select([2])
    show(kept)
    (layer,) = surfaces(kept)
    assert kept.status.startswith("1 object selected in 3-D")
    assert layer.data[0].min(0) == pytest.approx([0.5, 11.5, 69.5], abs=0.15)
    assert layer.data[0].max(0) == pytest.approx([4.5, 43.5, 109.5], abs=0.15)


def opened_again(hands, truth, label):
    """Open an object that is kept on planes 1 to 4."""
    store = hands.bench.results.store
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(1, 5)]
    found = {label: {key: outlines_in(truth, key, [label])[label] for key in keys}}
    hands.bench.results.apply(properties.set_status(store, [label], "to check", found))
    objects = hands.dock.feature(Objects)
    objects.look()
    objects.reopen(label)
    hands.until(lambda: hands.context.work.numbers() == [-label])


def test_an_object_opened_again_is_shown_as_it_is_painted(kept, stack, monkeypatch):
    read_in = []

    def noted(*given):
        read_in.append(current_thread())
        return as_painted(*given)

    monkeypatch.setattr(chosen, "as_painted", noted)
    opened_again(kept, stack[1], 2)
    kept.go(1)
    kept.settled()
    kept.labels[4, 50:60, 70:110] = 2  # below it
    show(kept)
    (layer,) = surfaces(kept)
    assert kept.status.startswith("1 object in work in 3-D")
    assert layer.data[0].max(0) == pytest.approx([4.5, 59.5, 109.5], abs=0.5)
    assert len(read_in) == 4
    assert main_thread() not in read_in  # reading may take long
    assert tuple(layer.vertex_colors[0]) == pytest.approx(
        (*colour_of(kept.bench.results.layer, 2), 1)
    )


def test_the_plane_comes_back_where_napari_refuses_the_layer(kept, monkeypatch):
    def refuse(viewer, layer):
        raise ValueError("no such layer")

    before = view_of(kept.viewer)
    feature = kept.dock.feature(SurfacesInSpace)
    entered = []
    monkeypatch.setattr(feature, "_enter", lambda *given: entered.append(given))
    show(kept)
    monkeypatch.undo()
    monkeypatch.setattr(ViewerModel, "add_layer", refuse)
    with pytest.raises(ValueError, match="no such layer"):
        feature._enter(*entered[0])
    assert view_of(kept.viewer) == before
    assert feature.layer is None
    monkeypatch.undo()
    show(kept)
    assert len(surfaces(kept)) == 1


def test_the_surfaces_fill_the_view(kept):
    show(kept)
    (layer,) = surfaces(kept)
    camera, extent = camera_of(kept.viewer), layer.extent.world
    assert camera.center == pytest.approx(extent.mean(0))
    largest = np.linalg.norm(np.ptp(extent, axis=0)) * camera.zoom
    side = min(kept.canvas.width(), kept.canvas.height())
    assert 0.4 * side < largest <= side


def test_nothing_is_said_of_hidden_layers_in_3d(kept):
    note = kept.source.panel.view.note
    kept.viewer.layers["stack"].visible = False
    kept.until(lambda: "stack is hidden" in note.text())
    kept.viewer.layers["stack"].visible = True
    kept.until(lambda: not note.text())
    show(kept)
    kept.rest(0.1)
    assert not note.text()
    show(kept)
    kept.rest(0.1)
    assert not note.text()


def test_the_plane_comes_back_however_it_was_turned(kept):
    kept.viewer.dims.order = (1, 0, 2)
    kept.viewer.dims.set_current_step(1, 20)
    kept.rest(0.1)
    before = view_of(kept.viewer)
    show(kept)
    assert surfaces(kept)
    assert kept.viewer.dims.order == (0, 1, 2)
    show(kept)
    assert view_of(kept.viewer) == before


def test_napari_s_own_button_goes_back_too(kept):
    before = view_of(kept.viewer)
    show(kept)
    kept.viewer.dims.ndisplay = 2
    kept.rest(0.1)
    assert not surfaces(kept)
    assert view_of(kept.viewer) == before


def test_a_layer_of_surfaces_that_the_user_deletes_is_forgotten(kept):
    show(kept)
    kept.viewer.layers.remove(surfaces(kept)[0])
    kept.rest(0.1)
    assert kept.viewer.dims.ndisplay == 2
    assert kept.bench.frame.layer.visible
    show(kept)
    assert len(surfaces(kept)) == 1


def test_the_image_may_be_removed_meanwhile(kept):
    show(kept)
    kept.viewer.layers.remove(kept.bench.frame.layer)
    kept.rest(0.1)
    assert not surfaces(kept)
    assert kept.viewer.dims.ndisplay == 2


def test_a_single_plane_has_nothing_to_show(hands):
    show(hands)
    assert hands.viewer.dims.ndisplay == 2
    assert "no third axis" in hands.status


def test_the_key_stops_what_takes_long(kept, monkeypatch):
    def endless(*given):
        while True:
            yield Progress(1, 2, "reading plane 1 of 2")

    monkeypatch.setattr(chosen, "surfaces_of_labels", endless)
    kept.press(Qt.Key.Key_G)
    kept.until_said("G stops it")
    assert kept.dock.feature(SurfacesInSpace).panel.button.text() == "Stop  G"
    kept.press(Qt.Key.Key_G)
    kept.rest(0.1)
    assert not surfaces(kept)
    assert kept.viewer.dims.ndisplay == 2
    assert kept.status == "stopped; no surfaces are shown"
    assert kept.dock.feature(SurfacesInSpace).panel.button.text() == "Show in 3-D  G"


NEED_A_PLANE = ("Enter", "Escape", "N", "O", "E", "T", "W", "Control-D", "K", "Q", "Y", "P")
BUTTONS = (
    *("Commit  Enter", "Clear  Esc", "Next answer  N", "New object  O", "This plane", "All planes"),
    *("Finished  K", "To check  Q", "Complete  Y", "Region", "Propagate  P"),
    *("prompt", "region", "scribble", "objects"),
)
IN_3D = "switch to the 2-D view to prompt"


def show_3d(hands, surfaces_shown):
    if surfaces_shown:
        show(hands)
    else:
        hands.viewer.dims.ndisplay = 3  # as by napari's own button
        hands.rest(0.1)


@pytest.mark.parametrize("surfaces_shown", [True, False])
def test_every_key_says_what_to_do_in_3d(kept, surfaces_shown):
    show_3d(kept, surfaces_shown)
    labels = kept.labels.copy()
    keymap = {key: act for feature in kept.dock.features for key, act in feature.keys.items()}
    for key, act in keymap.items():
        if key in ("G", "S", "Shift-S"):
            continue
        kept.context.status.acted()
        kept.context.status.hint("")
        act()
        kept.rest(0.02)
        assert kept.status == IN_3D if key in NEED_A_PLANE else kept.status, key
    assert np.array_equal(kept.labels, labels)
    assert kept.viewer.dims.ndisplay == 3


@pytest.mark.parametrize("surfaces_shown", [True, False])
def test_the_buttons_say_what_to_do_in_3d(kept, surfaces_shown):
    show_3d(kept, surfaces_shown)
    for text in BUTTONS:
        button = next(one for one in kept.dock.findChildren(QAbstractButton) if one.text() == text)
        kept.context.status.hint("")
        button.click()
        kept.rest(0.02)
        assert kept.status == IN_3D, text


@pytest.mark.parametrize("tool", ["points", "boxes"])
def test_clicks_make_no_prompt_in_3d_and_do_so_again_after_it(open_dock, stack, tool):
    hands = open_dock(("add_image", stack[0], {"name": "stack"}))
    hands.go(2)
    hands.settled()
    hands.prompting.tools.use(tool)
    hands.viewer.dims.ndisplay = 3
    hands.rest(0.1)
    assert hands.status == IN_3D
    hands.prompting.tools.use(tool)  # by its button
    middle = hands.canvas.rect().center()
    QTest.mouseClick(hands.canvas, Qt.MouseButton.LeftButton, pos=middle)
    hands.rest(0.1)
    assert not hands.bench.prompts.drawing()
    hands.viewer.dims.ndisplay = 2
    hands.viewer.reset_view()
    hands.rest(0.1)
    if tool == "points":
        hands.click_and_wait(25, 25)
    else:
        hands.drag((8, 8), (42, 46))
        hands.until(lambda: hands.answers is not None)
    assert len(hands.bench.prompts.drawing()) == 1


def test_an_object_of_the_list_is_not_opened_in_3d(kept, stack):
    store, key = kept.bench.results.store, SliceKey((1, 2), ((0, 2),))
    found = {2: {key: outlines_in(stack[1], key, [2])[2]}}
    kept.bench.results.apply(properties.set_status(store, [2], "to check", found))
    objects = kept.dock.feature(Objects)
    objects.look()
    objects.panel.select([2])
    show(kept)
    objects.reopen(2)
    assert kept.status == IN_3D
    assert not kept.context.work.numbers()
    show(kept)
    objects.reopen(2)
    assert kept.context.work.numbers() == [-2]
