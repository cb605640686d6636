"""The list of objects: classes, status, locks, complete planes, by mouse and key in a window."""

from __future__ import annotations

import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam.objects import Outline, SegmentedObject, edits
from napari_sam.objects.complete import complete_boxes, is_complete
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.features.objects.logic import Objects
from napari_sam.widget.features.objects.table import ObjectTable

CTRL = Qt.KeyboardModifier.ControlModifier


def mask(x, y, size=(96, 128)):
    return Mask.of(np.ones((12, 12), bool), (x, y), size)


@pytest.fixture
def stack(open_dock, scene):
    """A window on six planes with an object in planes 1 to 3, and one in plane 4."""
    hands = open_dock(("add_image", np.repeat(scene[0][None], 6, 0), {"name": "stack"}))
    hands.objects = hands.dock.feature(Objects)
    hands.dock.sections["Objects"].expand()
    hands.bench.ensure_layers()
    view = hands.bench.results
    keys = [SliceKey((1, 2), ((0, z),)) for z in range(6)]
    first = {keys[z]: Outline(mask(20, 20)) for z in (1, 2, 3)}
    view.apply(edits.keep(view.store, [first, {keys[4]: Outline(mask(80, 60))}]))
    hands.objects.look()
    hands.go(1)
    hands.rest()
    return hands


def click_row(hands, row):
    table = hands.objects.panel.list
    where = table.visualRect(table.model().index(row, 1)).center()
    away = QPoint(-5, -5)
    QTest.mouseMove(hands.canvas, away)
    hands.viewer.mouse_over_canvas = False
    QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    hands.rest(0.02)


def point_at(hands, row, column):
    QTest.mouseMove(hands.canvas, hands.place(row, column))
    hands.viewer.mouse_over_canvas = True
    hands.rest(0.05)


def store_of(hands):
    return hands.bench.results.store


def test_a_click_in_the_list_shows_the_object(stack):
    assert stack.objects.panel.count.text() == "2 objects, 0 finished"
    click_row(stack, 1)
    assert stack.viewer.dims.current_step[0] == 4
    assert stack.bench.results.layer.selected_label == 2
    asked = []
    stack.context.reopen_asked.connect(lambda label, view: asked.append((label, view)))
    stack.objects.panel.reopen_asked.emit(1)
    assert asked == [(1, stack.bench.results)]
    assert stack.viewer.dims.current_step[0] == 3  # the nearest of its planes


def test_status_and_class_of_selected_objects_are_undone(stack):
    click_row(stack, 0)
    panel = stack.objects.panel
    panel.classes.name.setText("nucleus")
    panel.classes.add.click()
    panel.class_picked.emit("nucleus")
    panel.finish_asked.emit()
    one = store_of(stack).objects[1]
    assert (one.category, one.status) == ("nucleus", "finished")
    assert panel.selected == [1]
    panel.delete_asked.emit()
    assert "object 1 is finished" in stack.status
    panel.finish_asked.emit()
    assert store_of(stack).objects[1].status == ""
    for _ in range(4):  # unlocked, finished, classed, class added
        stack.prompting.changes.undo()
        stack.rest(0.03)
    stack.objects.look()
    assert store_of(stack).objects[1].category == ""
    assert not store_of(stack).properties
    assert panel.classes.table.rowCount() == 0
    panel.select([1])
    panel.delete_asked.emit()
    stack.until(lambda: list(store_of(stack).objects) == [2])
    assert not (stack.labels == 1).any()


def test_keys_act_on_the_object_under_the_pointer_or_on_the_next_ones(stack):
    panel = stack.objects.panel
    panel.classes.add_asked.emit("nucleus")
    point_at(stack, 25, 25)
    stack.press(Qt.Key.Key_1, CTRL)
    stack.press(Qt.Key.Key_Q)
    one = store_of(stack).objects[1]
    assert (one.category, one.status) == ("nucleus", "to check")
    point_at(stack, 90, 5)
    stack.press(Qt.Key.Key_1, CTRL)
    assert stack.context.category == "nucleus"
    assert panel.next_class.currentText() == "nucleus"
    stack.press(Qt.Key.Key_0, CTRL)
    assert stack.context.category == ""
    stack.press(Qt.Key.Key_5, CTRL)
    assert "no class has this key" in stack.status


def test_painted_labels_become_objects_of_all_their_planes(stack):
    layer = stack.bench.results.layer
    layer.data[2:5, 70:80, 5:15] = 50
    layer.refresh()
    stack.go(3)
    point_at(stack, 75, 10)
    stack.press(Qt.Key.Key_K)
    store = store_of(stack)
    assert store.objects[50].locked
    stack.until(lambda: len(store.objects[50].outlines) == 3)
    stack.prompting.changes.undo()
    stack.rest(0.05)
    assert 50 not in store.objects


def test_planes_and_regions_are_marked_complete(stack):
    panel, key = stack.objects.panel, SliceKey((1, 2), ((0, 1),))
    point_at(stack, 90, 5)
    stack.press(Qt.Key.Key_Y)
    assert is_complete(store_of(stack), key)
    assert panel.complete.text() == "plane 1: complete; 1 of 6 planes complete"
    stack.press(Qt.Key.Key_Y)
    assert panel.complete.text() == "plane 1: not complete; 0 of 6 planes complete"
    before = stack.viewer.layers.selection.active
    panel.region_asked.emit()
    stack.drag((40, 50), (70, 100))
    stack.rest(0.05)
    (box,) = complete_boxes(store_of(stack), key)
    assert np.abs(np.subtract(box, (50, 40, 100, 70))).max() <= 1
    assert panel.complete.text().startswith("plane 1: 1 complete region")
    assert stack.viewer.layers.selection.active is before
    assert stack.viewer.camera.mouse_pan
    assert len(stack.bench.prompts.points.data) == 0


def test_a_commit_into_a_complete_plane_says_so(stack):
    stack.objects.toggle_complete()
    view = stack.bench.results
    view.apply(edits.keep(view.store, [{SliceKey((1, 2), ((0, 1),)): Outline(mask(60, 5))}]))
    stack.until_said("object 3 is new in a plane that is marked complete")


def test_colours_of_classes_come_and_go(stack):
    layer, panel = stack.bench.results.layer, stack.objects.panel
    own, pixels = layer.colormap, layer.data.copy()
    panel.classes.add_asked.emit("nucleus")
    panel.select([1])
    stack.viewer.mouse_over_canvas = False
    panel.class_picked.emit("nucleus")
    panel.by_class.click()
    assert np.allclose(layer.get_color(1)[:3], np.array([0x44, 0x77, 0xAA]) / 255, atol=0.01)
    assert np.allclose(layer.get_color(2)[:3], 0.6)
    panel.by_class.click()
    assert layer.colormap is own
    assert np.array_equal(layer.data, pixels)


def test_the_rule_for_overlaps_is_chosen(stack):
    assert stack.context.overlap == "keep"
    stack.objects.panel.rule_picked.emit("split")
    assert stack.context.overlap == "split"


def test_ten_thousand_objects_are_listed_sorted_and_filtered_quickly():
    table = ObjectTable(lambda label: (0, 0, 0))
    objects = {
        k: SegmentedObject(k, {}, "ab"[k % 2], "finished" if k % 5 == 0 else "")
        for k in range(1, 10_001)
    }
    start = time.thread_time()  # other programs do not count
    table.set_objects(objects)
    table.set_filter("a", "finished")
    assert time.thread_time() - start < 0.5
    assert table.rowCount() == 1000
    table.set_filter("*", "*")
    start = time.thread_time()
    table.sort(2)
    assert time.thread_time() - start < 0.5
    assert [table.label_at(k) for k in (0, 5000)] == [2, 1]
