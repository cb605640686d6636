"""Click, look, commit: through real mouse and key events."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam.widget import frame, layers

CONTROL = Qt.KeyboardModifier.ControlModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}


def our_layer(hands, name):
    c = hands
    return {
        "points": c.bench.prompts.points,
        "boxes": c.bench.prompts.boxes,
        "preview": c.bench.prompts.preview,
        "results": c.bench.results.layer,
        "image": c.bench.frame.layer,
    }[name]


@pytest.mark.parametrize("active", ["points", "boxes", "preview", "results", "image"])
def test_click_preview_enter(hands, scene, active):
    truth = scene[1]
    hands.click_and_wait(*CENTRES[2])
    shown = hands.bench.prompts.preview.data.copy()
    assert ((shown > 0) == (truth == 2)).mean() > 0.99
    assert not hands.labels.any()
    hands.viewer.layers.selection.active = our_layer(hands, active)
    hands.press(Qt.Key.Key_Return)
    written = hands.labels
    assert set(np.unique(written)) == {0, 1}
    assert (written > 0).sum() == (shown > 0).sum()
    assert ((written > 0) == (truth == 2)).mean() > 0.99
    assert not hands.bench.prompts.preview.data.any()
    assert len(hands.bench.prompts.points.data) == 0


def test_a_click_where_the_model_sees_nothing_says_so(hands):
    hands.click_and_wait(50, 5)
    assert hands.status.startswith("the model sees no object there")
    hands.press(Qt.Key.Key_Escape)
    hands.click_and_wait(*CENTRES[1])
    assert hands.status.startswith("Enter commits it")


def test_the_status_after_a_commit_is_that_of_the_tool_in_use(hands):
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert hands.status.startswith("object 1 committed (Ctrl+Z undoes it); click an object")
    hands.prompting.tools.use("boxes")
    assert hands.status.startswith("drag a box")
    hands.bench.prompts.boxes.add(np.array([[60, 30], [83, 79]]), shape_type="rectangle")
    hands.until(lambda: hands.answers)
    hands.press(Qt.Key.Key_Return)
    assert hands.status.startswith("object 2 committed (Ctrl+Z undoes it); drag a box")


def test_the_words_of_an_answer_widen_nothing(hands):
    panel = hands.prompting.panel
    before = panel.minimumSizeHint().width()
    panel.set_answer(1, 3, 0.5, "12,345,678 px (1,234.5 um2)", 12)
    assert panel.answer.text() == "answer 1/3, score 0.50, 12,345,678 px (1,234.5 um2), 12 objects"
    assert panel.minimumSizeHint().width() == before


def test_masks_are_tidied_if_wanted(hands):
    panel, predictor = hands.settings.panel, hands.context.session.predictor
    hands.dock.sections["Settings"].expand()
    assert not panel.tidy.isChecked()
    hands.bench.frame.layer.data[20:24, 20:24] = 20  # a small hole in the first object
    hands.bench.frame.layer.refresh()
    hands.bench.pixels_changed.emit()
    hands.click_and_wait(*CENTRES[1])
    raw = np.count_nonzero(hands.bench.prompts.preview.data)
    before = hands.answers
    box = QPoint(8, panel.tidy.height() // 2)
    QTest.mouseClick(panel.tidy, Qt.MouseButton.LeftButton, pos=box)
    assert predictor.tidy_masks
    hands.until(lambda: hands.answers and hands.answers is not before)
    assert np.count_nonzero(hands.bench.prompts.preview.data) > raw


def test_objects_get_the_next_labels_and_come_back(hands):
    for k in (1, 2, 3):
        hands.click_and_wait(*CENTRES[k])
        hands.press(Qt.Key.Key_Return)
        assert hands.labels.max() == k
    before = hands.labels.copy()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert hands.labels.max() == 2
    assert np.array_equal(hands.labels, np.where(before == 3, 0, before))
    for _ in range(4):  # point 3, object 2, point 2, object 1
        hands.press(Qt.Key.Key_Z, CONTROL)
    assert not hands.labels.any()
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert len(hands.bench.prompts.points.data) == 0
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert "nothing to undo" in hands.status


def test_box_makes_an_object(hands, scene):
    hands.prompting.tools.use("boxes")
    assert hands.viewer.layers.selection.active is hands.bench.prompts.boxes
    hands.drag((58, 28), (86, 82))
    hands.until(lambda: hands.answers)
    assert len(hands.bench.prompts.boxes.data) == 1
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 3)).mean() > 0.99
    assert len(hands.bench.prompts.boxes.data) == 0


def test_the_layer_of_boxes_is_shown_while_it_is_used(hands):
    bench = hands.bench
    assert not bench.prompts.boxes.visible  # it is empty, and clicks go to the points
    bench.prompts.activate("boxes")
    assert bench.prompts.boxes.visible
    hands.drag((8, 68), (46, 112))
    hands.until(lambda: hands.answers)
    bench.prompts.activate("points")
    assert len(bench.prompts.boxes.data) == 1
    assert bench.prompts.boxes.visible
    hands.press(Qt.Key.Key_Return)
    assert len(bench.prompts.boxes.data) == 0
    assert not bench.prompts.boxes.visible
    bench.prompts.boxes.add_rectangles(np.array([[8.0, 68], [46, 112]]))
    assert bench.prompts.boxes.visible
    bench.prompts.boxes.visible = False  # by the user, who does not want to see it
    bench.prompts.activate("boxes")
    bench.prompts.activate("points")
    assert not bench.prompts.boxes.visible


def test_the_boxes_of_another_image_are_hidden_too(hands):
    first = hands.bench.prompts.boxes
    hands.viewer.add_image(np.zeros((40, 50)), name="other")
    hands.source.use_image(hands.viewer.layers["other"])
    second = hands.bench.prompts.boxes
    assert second is not first
    assert not second.visible
    hands.bench.prompts.activate("boxes")
    assert second.visible


def test_two_boxes_are_two_objects(hands):
    corners = [[[8, 10], [8, 46], [42, 46], [42, 10]], [[10, 68], [10, 112], [46, 112], [46, 68]]]
    for box in corners:
        hands.bench.prompts.boxes.add(np.array(box), shape_type="rectangle")
    hands.until(lambda: hands.answers and len(hands.answers.objects) == 2)
    hands.press(Qt.Key.Key_Return)
    assert hands.labels[25, 28] == 1
    assert hands.labels[28, 90] == 2


def test_keys_cycle_clear_and_toggle(hands):
    hands.click_and_wait(*CENTRES[1])
    first = hands.prompting.panel.answer.text()
    assert first.startswith("answer 1/3")
    hands.press(Qt.Key.Key_N)
    assert hands.prompting.panel.answer.text().startswith("answer 2/3")
    hands.press(Qt.Key.Key_Escape)
    assert len(hands.bench.prompts.points.data) == 0
    assert not hands.bench.prompts.preview.data.any()
    assert hands.prompting.panel.answer.text() == "no object yet"
    hands.press(Qt.Key.Key_T)
    hands.click(80, 120)
    hands.rest()
    assert list(hands.bench.prompts.points.features["label"]) == ["background"]
    assert "background points need an object" in hands.status


def test_a_correction_goes_on_from_the_answer(hands):
    hands.click_and_wait(*CENTRES[1])
    chosen = hands.answers.objects[1].answer.logits(0)
    hands.press(Qt.Key.Key_T)
    hands.click_and_wait(80, 120)
    asked = hands.answers.objects[1].asked
    assert asked.point_labels.tolist() == [1, 0]
    assert np.array_equal(asked.mask_input.values, chosen.values)
    assert asked.mask_input.frame == chosen.frame
    hands.press(Qt.Key.Key_Return)
    hands.click_and_wait(*CENTRES[2])  # another object knows nothing of the last one
    (another,) = hands.answers.objects.values()
    assert another.asked.mask_input is None


def test_other_objects_keep_their_pixels(hands, scene):
    layer = hands.bench.results.layer
    layer.data[20:30, 80:90] = 7
    hands.bench.results.store.next_label = 8
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    assert (layer.data[20:30, 80:90] == 7).all()
    assert layer.data[13, 71] == 8
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert set(np.unique(layer.data)) == {0, 7}


def test_a_label_beyond_the_type_is_refused(open_dock, scene):
    full = np.zeros(scene[0].shape, np.uint8)
    full[0, 0] = 255
    hands = open_dock(
        ("add_labels", full, {"name": "small"}), ("add_image", scene[0], {"name": "scene"})
    )
    hands.source.use_results(hands.viewer.layers["small"])
    hands.until(lambda: hands.bench.results is not None)
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert "uint8" in hands.status
    assert (full > 0).sum() == 1
    assert len(hands.bench.prompts.points.data) == 1  # nothing is lost: the prompt stays


def test_strokes_of_the_user_count_and_undo_in_order(hands):
    layer = hands.bench.results.layer
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    layer.selected_label = 9
    layer.mode = "paint"
    layer.paint((80, 110), 9)
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    assert layer.data[28, 90] == 10
    for _ in range(3):  # object 10, its point, the stroke
        hands.press(Qt.Key.Key_Z, CONTROL)
    assert set(np.unique(layer.data)) == {0, 1}


def test_planes_of_a_stack(open_dock, scene):
    stack = np.zeros((5, *scene[0].shape), np.uint8)
    stack[2] = scene[0]
    hands = open_dock(
        ("add_image", stack, {"scale": (3, 0.5, 0.5), "translate": (10, 4, 2), "name": "stack"})
    )
    hands.viewer.dims.set_current_step(0, 2)
    hands.rest()
    row, column = CENTRES[2]
    hands.click_and_wait(row * 0.5 + 4, column * 0.5 + 2)
    preview = hands.bench.prompts.preview
    assert preview.data.shape == (1, 96, 128)
    assert np.allclose(preview.extent.world[0], (16, 4, 2))
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels[2] > 0) == (scene[1] == 2)).mean() > 0.99
    assert not hands.labels[[0, 1, 3, 4]].any()
    assert np.allclose(hands.bench.results.layer.scale, (3, 0.5, 0.5))
    assert np.allclose(hands.viewer.layers["stack"].scale, (3, 0.5, 0.5))
    assert np.allclose(hands.viewer.layers["stack"].translate, (10, 4, 2))


def test_only_the_shown_plane_of_a_lazy_stack_and_its_neighbours_are_read(open_dock, scene):
    read = set()

    def plane(block_info=None):
        place = block_info[None]["chunk-location"]
        read.add(place[:2])
        return scene[0][None, None]

    lazy = da.map_blocks(
        plane, chunks=((1,) * 4, (1,) * 50, (96,), (128,)), dtype=np.uint8, meta=np.empty((0,) * 4)
    )
    hands = open_dock(("add_image", lazy, {"contrast_limits": (0, 255), "name": "lazy"}))
    hands.viewer.dims.set_current_step((0, 1), (1, 8))
    hands.viewer.dims.set_current_step(1, 7)
    hands.rest()
    read.clear()
    hands.click_and_wait(*CENTRES[3])
    hands.press(Qt.Key.Key_Return)
    assert read <= {(1, z) for z in (8, 7, 6, 5, 4)}
    assert ((hands.labels[1, 7] > 0) == (scene[1] == 3)).mean() > 0.99
    assert hands.labels.any(axis=(2, 3)).sum() == 1


def test_transposed_axes(open_dock, scene):
    stack = np.repeat(scene[0][:, None, :], 3, axis=1)  # planes along axis 1
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    hands.viewer.dims.order = (1, 2, 0)  # rows are columns now
    hands.viewer.reset_view()
    hands.rest()
    row, column = CENTRES[2]
    hands.bench.prompts.points.add((row, hands.viewer.dims.current_step[1], column))
    hands.until(lambda: hands.answers)
    hands.press(Qt.Key.Key_Return)
    plane = hands.labels[:, hands.viewer.dims.current_step[1], :]
    assert ((plane > 0) == (scene[1] == 2)).mean() > 0.99


def test_colour_image(open_dock, scene):
    colour = np.repeat(scene[0][..., None], 3, axis=2)
    hands = open_dock(("add_image", colour, {"rgb": True, "name": "colour"}))
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    assert hands.labels.shape == (96, 128)
    assert ((hands.labels > 0) == (scene[1] == 1)).mean() > 0.99


def test_multiscale_image_is_worked_on_at_a_bounded_level(open_dock, scene, monkeypatch):
    monkeypatch.setattr(frame, "LARGEST_LEVEL", 128)
    fine = np.kron(scene[0], np.ones((4, 4), np.uint8))
    pyramid = [fine, fine[::2, ::2], fine[::4, ::4]]
    hands = open_dock(
        ("add_image", pyramid, {"multiscale": True, "scale": (0.5, 0.5), "name": "pyramid"})
    )
    assert hands.bench.frame.level == 2
    row, column = CENTRES[2]
    hands.click_and_wait(row * 2, column * 2)
    hands.press(Qt.Key.Key_Return)
    assert hands.labels.shape == (96, 128)
    assert ((hands.labels > 0) == (scene[1] == 2)).mean() > 0.99
    world = hands.bench.results.layer.extent.world
    assert np.allclose(world, hands.viewer.layers["pyramid"].extent.world, atol=1.1)


def test_rotated_layer(open_dock, scene):
    hands = open_dock(
        (
            "add_image",
            scene[0],
            {"rotate": 30, "affine": np.diag([2.0, 2.0, 1.0]), "name": "turned"},
        )
    )
    layer = hands.viewer.layers["turned"]
    hands.click_and_wait(*layer.data_to_world(CENTRES[3]))
    hands.press(Qt.Key.Key_Return)
    assert ((hands.labels > 0) == (scene[1] == 3)).mean() > 0.99


def test_three_dimensional_view_is_declined(open_dock, scene):
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.viewer.dims.ndisplay = 3
    hands.bench.prompts.points.add((1, 25, 28))
    hands.rest()
    assert "2-D view" in hands.status
    assert not hands.answers


def test_point_and_background_colours_differ_in_more_than_hue():
    on, beside = layers.POINT_KINDS["object"], layers.POINT_KINDS["background"]
    assert on.colour != beside.colour
    assert on.symbol != beside.symbol
