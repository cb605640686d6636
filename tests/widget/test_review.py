"""A review: from object to object by a key, with the reason, the contour and the counter."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_sam.objects import Outline, edits, properties
from napari_sam.types import Mask, SliceKey
from napari_sam.widget.features.objects import assessing
from napari_sam.widget.features.objects.logic import Objects
from napari_sam.widget.features.objects.table import FLAGS, HEADINGS, IOU, RISK, SIZE

SHIFT = Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier
KEYS = [SliceKey((1, 2), ((0, z),)) for z in range(6)]


def outline(x, y, side=12, score=0.99):
    mask = Mask.of(np.ones((side, side), bool), (x, y), (96, 128))
    return Outline(mask, score=score, model="tiny")


@pytest.fixture
def stack(open_dock, scene):
    """Six planes: 1 is sound, 2 jumps between planes 3 and 4, 3 has a low score in plane 5."""
    hands = open_dock(
        ("add_image", np.repeat(scene[0][None], 6, 0), {"name": "stack", "scale": (3, 0.5, 0.5)})
    )
    hands.objects = hands.dock.feature(Objects)
    hands.dock.sections["Objects"].expand()
    hands.bench.ensure_layers()
    view = hands.bench.results
    sound = {KEYS[z]: outline(20, 20) for z in (1, 2)}
    jump = {KEYS[z]: outline(60, 20) for z in (2, 3)} | {KEYS[4]: outline(66, 26)}
    doubtful = {KEYS[5]: outline(20, 60, score=0.65)}
    view.apply(edits.keep(view.store, [sound, jump, doubtful]))
    look(hands)
    return hands


def look(hands):
    hands.objects.look()
    hands.until(lambda: hands.objects.assessing.is_ready and hands.objects.assessing.assessed)


def shown(hands):
    looked = hands.context.looked_at
    return None if looked is None else looked.label


def point_at(hands, row, column):
    QTest.mouseMove(hands.canvas, hands.place(row, column))
    hands.viewer.mouse_over_canvas = True
    hands.rest(0.05)


def cell(hands, label, column):
    table = hands.objects.table
    (row,) = table.rows_of([label])
    return table.data(table.index(row, column))


def contours(hands):
    return [one for one in hands.viewer.layers if one.name == "SAM review" and one.visible]


def test_the_table_says_what_may_be_wrong(stack):
    assert cell(stack, 2, FLAGS) == "jump"
    assert cell(stack, 3, FLAGS) == "low score"
    assert cell(stack, 1, FLAGS) is None
    assert cell(stack, 3, IOU) == "0.65"
    assert cell(stack, 2, RISK) == "0.80"
    assert cell(stack, 3, SIZE) == "144 px"
    for layer in (stack.viewer.layers[0], stack.bench.results.layer):
        layer.units = ("um", "um", "um")
    stack.until(lambda: cell(stack, 3, SIZE) == "36 µm²")
    assert cell(stack, 1, SIZE) == "216 µm³"
    header = stack.objects.panel.list.horizontalHeader()
    QTest.mouseClick(
        header.viewport(),
        Qt.MouseButton.LeftButton,
        pos=QPoint(header.sectionViewportPosition(RISK) + 8, 8),
    )
    assert [stack.objects.table.label_at(row) for row in range(3)] == [2, 3, 1]


def test_a_key_goes_from_the_riskiest_object_to_the_next(stack):
    panel = stack.objects.panel
    stack.press(Qt.Key.Key_R)
    stack.until_said("object 2: jump between planes 3 and 4 (IoU 0.14); K finishes it")
    assert shown(stack) == 2
    assert stack.viewer.dims.current_step[0] == 4
    assert panel.selected == [2]
    assert panel.looked.text() == "1 of 3 looked at"
    assert "jump between planes 3 and 4" in panel.reason.text()
    pictures = panel.pictures
    assert pictures.risk.counts.sum() == 3
    assert pictures.risk.passing == (0.0, pytest.approx(0.8))
    assert pictures.size.counts.sum() == 2  # the volumes
    low, high = pictures.size.passing
    (blue,) = np.flatnonzero((low <= pictures.size.middles) & (pictures.size.middles <= high))
    assert pictures.size.counts[blue] == 1
    stack.until(lambda: contours(stack) and contours(stack)[0].data.shape == (1, 14, 14))
    (contour,) = contours(stack)
    assert np.allclose(contour.data_to_world((0, 1, 1)), (12, 13, 33))
    assert stack.bench.results.layer.contour == 1
    camera = stack.viewer.scene.camera
    assert np.allclose(camera.center[-2:], (14.25, 34.25), atol=0.5)
    part = 9 * camera.zoom / stack.canvas.height()  # its 18 rows of half a unit
    assert 0.2 < part < 0.5
    stack.press(Qt.Key.Key_R)
    stack.until_said("object 3: low score (predicted IoU 0.65)")
    assert stack.viewer.dims.current_step[0] == 5
    stack.press(Qt.Key.Key_R, SHIFT)
    assert shown(stack) == 2
    stack.press(Qt.Key.Key_R)
    assert shown(stack) == 3
    stack.press(Qt.Key.Key_R)
    stack.until_said("object 1: nothing conspicuous")
    assert panel.looked.text() == "3 of 3 looked at"
    stack.press(Qt.Key.Key_R)
    stack.until_said("all objects were looked at; R begins again")
    assert shown(stack) is None
    assert not contours(stack)
    assert stack.bench.results.layer.contour == 0
    stack.press(Qt.Key.Key_R)
    assert shown(stack) == 2


def test_the_reason_stays_when_the_contour_appears(stack):
    stack.go(4)
    stack.settled()
    stack.press(Qt.Key.Key_R)
    stack.until(lambda: contours(stack))
    stack.rest(0.2)
    assert stack.status.startswith("object 2: jump between planes 3 and 4")


def test_keys_act_on_the_object_of_the_review_until_the_pointer_is_on_another(stack):
    store = stack.bench.results.store
    point_at(stack, 13, 13)
    stack.press(Qt.Key.Key_R)
    stack.press(Qt.Key.Key_K)
    assert store.objects[2].locked
    stack.until(lambda: not contours(stack))
    look(stack)
    stack.press(Qt.Key.Key_R)
    assert shown(stack) == 3
    stack.press(Qt.Key.Key_Q)
    assert store.objects[3].status == "to check"
    stack.press(Qt.Key.Key_D, CTRL)
    stack.until_said("object 3 deleted")
    look(stack)
    stack.press(Qt.Key.Key_R)
    assert shown(stack) == 1
    stack.go(2)
    stack.viewer.reset_view()
    stack.rest()
    for row in (13, 13.4):  # its first move tells where it rests
        point_at(stack, row, 33)
    point_at(stack, 5, 5)
    point_at(stack, 13, 33)
    stack.press(Qt.Key.Key_K)
    assert not store.objects[2].locked
    assert not store.objects[1].locked
    point_at(stack, 5, 5)
    stack.press(Qt.Key.Key_K)
    assert store.objects[1].locked


def test_an_object_of_a_review_is_worked_on_again(stack):
    stack.press(Qt.Key.Key_R)
    stack.until(lambda: contours(stack))
    stack.press(Qt.Key.Key_E)
    stack.until_said("object 2 is in work again")
    assert stack.context.work.numbers() == [-2]
    stack.press(Qt.Key.Key_R)
    stack.until_said("an object is in work: Enter keeps it")
    stack.until(lambda: not contours(stack))
    assert shown(stack) is None
    assert stack.bench.results.layer.contour == 0


def test_what_others_or_a_brush_take_from_an_object_is_noticed(stack):
    view = stack.bench.results
    stack.go(1)
    layer = view.layer
    layer.brush_size = 12
    layer.paint((1, 20, 26), 0)
    stack.until(lambda: cell(stack, 1, FLAGS) == "painted")
    stack.prompting.changes.undo()
    stack.until(lambda: cell(stack, 1, FLAGS) is None)


def test_a_review_of_nothing_says_so(hands):
    hands.press(Qt.Key.Key_R)
    hands.until_said("there are no objects yet")
    hands.press(Qt.Key.Key_R, SHIFT)
    hands.until_said("R begins a review")


def test_a_review_that_waits_gives_up_when_there_is_nothing_to_show(stack, monkeypatch):
    review, view, said = stack.objects.review, stack.objects.view, []
    monkeypatch.setattr(stack.context.status, "hint", said.append)
    review._later = True  # R was pressed while objects were being measured
    review.follow(view, {})  # all were deleted meanwhile
    review.follow(view, {})
    assert said == ["there are no objects yet: commit one first"]
    review._later = True
    stack.context.reopen_asked.emit(1, view)
    said.clear()
    review.follow(view, view.store.objects)
    review.follow(view, view.store.objects)
    assert not said
    assert shown(stack) is None


def test_a_review_goes_on_where_objects_cannot_be_measured(stack, monkeypatch):
    view = stack.bench.results

    def fail(*args):
        raise ValueError("they cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr(assessing, "measure_all", fail)
        stack.go(1)
        view.layer.brush_size = 12
        view.layer.paint((1, 20, 26), 0)
        view.apply(edits.delete(view.store, 2))
        stack.until_said("they cannot be read")
        stack.until(lambda: stack.objects.assessing.is_ready)
        stack.press(Qt.Key.Key_R)
        assert shown(stack) == 3
    view.apply(properties.set_category(view.store, [3], "cell"))  # all are measured anew
    stack.until(lambda: cell(stack, 1, FLAGS) == "painted")


def test_another_image_ends_a_review(stack):
    stack.press(Qt.Key.Key_R)
    layer = stack.viewer.add_image(np.zeros((32, 32), np.uint8), name="other")
    stack.source.panel.image.picked.emit(layer)
    stack.objects.look()
    assert shown(stack) is None
    assert not contours(stack)


def test_ten_thousand_objects_do_not_hold_the_window(open_dock):
    """CPU time of the main thread alone, which is the same on a busy machine."""
    hands = open_dock(("add_image", np.zeros((1200, 1200), np.uint8), {"name": "many"}))
    hands.bench.ensure_layers()
    view, objects = hands.bench.results, hands.dock.feature(Objects)
    key, bits = SliceKey((0, 1)), np.ones((10, 10), bool)
    outlines = [
        {key: Outline(Mask.of(bits, (12 * (k % 100), 12 * (k // 100)), (1200, 1200)))}
        for k in range(10_000)
    ]
    view.apply(edits.keep(view.store, outlines))
    objects.look()
    hands.until(lambda: objects.assessing.is_ready)
    assert objects.table.rowCount() == 10_000
    changed = {**view.store.objects, 1: replace(view.store.objects[1], category="a")}
    acts = [objects.look, lambda: objects.table.set_objects(changed)]
    acts += [partial(objects.table.sort, column) for column in range(len(HEADINGS))]
    assert max(map(seconds, acts)) < 0.1
    objects.review.go_on()  # makes the layer of contours
    assert seconds(objects.review.go_on) < 0.5


def seconds(act):
    start = time.thread_time()
    act()
    return time.thread_time() - start
