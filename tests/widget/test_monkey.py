"""Random valid actions of a user in a real window; what must hold after each of them does.

`NAPARI_SAM_MONKEY_ACTIONS` and `NAPARI_SAM_MONKEY_SEED` run it for longer, or otherwise.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections import Counter

import numpy as np
import psutil
import pytest
from napari.layers import Image, Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox
from tiny import SceneModel, SlowBlocks

from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.features.prompting.logic import Prompting
from napari_sam.widget.features.source.logic import Source
from napari_sam.widget.scheduler import Lane

ACTIONS = int(os.environ.get("NAPARI_SAM_MONKEY_ACTIONS", "250"))
SEED = int(os.environ.get("NAPARI_SAM_MONKEY_SEED", "7"))
MOST_LAYERS = 12
"""Layers that the monkey lets stand, ours among them."""


class BriskBlocks(SlowBlocks):
    """Can be stopped while it encodes, and is not too slow for many actions."""

    blocks, delay = 6, 0.01


class Monkey:
    """Does things at random in a window, and checks it."""

    def __init__(self, viewer, model, scene, seed):
        self.viewer, self.model, self.scene = viewer, model, scene
        self.random = np.random.default_rng(seed)
        self.dock = None
        self.log, self.errors = [], []
        self.kept = {}  # a copy of each Labels layer of the dock, by layer
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.weights = {
            self.click: 24, self.drag: 8, self.press: 26, self.move_slider: 10,
            self.pick_layer: 4, self.show_or_hide: 2, self.rename: 2, self.add_image: 2,
            self.add_labels: 1, self.delete_layer: 2, self.delete_ours: 2, self.use_image: 2,
            self.use_results: 2, self.run_everything: 3, self.cancel: 2, self.move_threshold: 3,
            self.change_contrast: 2, self.change_pixels: 2, self.place_image: 2, self.roll: 1,
            self.show_3d: 1, self.change_model: 1, self.reopen: 1, self.paint: 3, self.wheel: 3,
            self.open_second: 1, self.wait: 6,
        }  # fmt: skip

    # -- the loop -------------------------------------------------------------------------

    def run(self, actions):
        names, weights = list(self.weights), np.array(list(self.weights.values()), float)
        for _ in range(actions):
            action = names[self.random.choice(len(names), p=weights / weights.sum())]
            self.log.append(action.__name__)
            action()
            self.turn()
            self.check()
        self.settle()
        self.check()

    def turn(self, times=3):
        for _ in range(times):
            QApplication.processEvents()

    def settle(self):
        """Wait until no work is left."""
        for _ in range(4000):
            QApplication.processEvents()
            if not self.dock.context.scheduler.any_busy(list(Lane)):
                break
            threading.Event().wait(0.005)
        else:
            self.fail("work does not end")
        self.turn()

    def fail(self, text):
        raise AssertionError(
            f"{text}; seed {SEED}, the last of {len(self.log)} actions: "
            f"{self.log[-15:]}; the status says {self.dock.status.text()!r}"
        )

    # -- what must hold -------------------------------------------------------------------

    def check(self):
        if self.errors:
            self.fail("\n".join(self.errors))
        names = Counter(layer.name.split(" [")[0] for layer in self.viewer.layers)
        for ours in ("SAM points", "SAM boxes", "SAM preview"):
            if names[ours] > 1:
                self.fail(f"{names[ours]} layers are called {ours}")
        if len(self.viewer.layers) > 3 * MOST_LAYERS:
            self.fail(f"there are {len(self.viewer.layers)} layers")
        if threading.active_count() > 24:
            self.fail(f"{threading.active_count()} threads are alive")
        self.check_labels()
        self.check_answer()

    def check_labels(self):
        """Labels change by commit, undo, everything and the user's tools, and by nothing else."""
        busy = self.dock.context.scheduler.any_busy(list(Lane))
        free = {"press", "run_everything", "move_threshold", "paint", "cancel", "wait", "reopen"}
        may_change = bool(free & set(self.log[-1:])) or busy or self.was_busy
        self.was_busy = busy
        preview = self.dock.context.bench.prompts.preview
        for layer in self.viewer.layers:
            if not isinstance(layer, Labels) or layer is preview:  # it may have been renamed
                continue
            if layer.name.startswith("SAM preview"):
                continue
            before = self.kept.get(layer)
            comparable = before is not None and before.shape == layer.data.shape
            if comparable and not may_change and not np.array_equal(before, layer.data):
                self.fail(f"{layer.name} was changed by {self.log[-1]}")
            self.kept[layer] = np.array(layer.data)
        self.kept = {one: kept for one, kept in self.kept.items() if one in self.viewer.layers}

    def check_answer(self):
        """What is shown is an answer about the plane that is shown."""
        context = self.dock.context
        shown = self.dock.feature(Prompting).asker.shown
        if shown is None:
            return
        plane = context.shown()
        if plane is None or plane.key != shown.plane.key or plane.image is not shown.plane.image:
            self.fail("an answer about another plane is shown")

    was_busy = False

    # -- what a user does -----------------------------------------------------------------

    def any_place(self):
        width, height = self.canvas.width(), self.canvas.height()
        return QPoint(
            int(self.random.integers(5, width - 5)), int(self.random.integers(5, height - 5))
        )

    def click(self):
        place = self.any_place()
        QTest.mouseMove(self.canvas, place)
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=place)

    def drag(self):
        tool = ("boxes", "points", "region", "scribble", "")[self.random.integers(5)]
        if tool:
            self.dock.feature(Prompting).tools.use(tool)
        a, b = self.any_place(), self.any_place()
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=a)
        for step in range(1, 5):
            QTest.mouseMove(self.canvas, a + (b - a) * step / 4)
            self.turn(1)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=b)

    def press(self):
        key, modifier = [
            (Qt.Key.Key_Return, 0), (Qt.Key.Key_Return, 0), (Qt.Key.Key_Escape, 0),
            (Qt.Key.Key_N, 0), (Qt.Key.Key_O, 0), (Qt.Key.Key_T, 0), (Qt.Key.Key_W, 0),
            (Qt.Key.Key_L, 0),
            (Qt.Key.Key_Z, 1), (Qt.Key.Key_Z, 1), (Qt.Key.Key_Z, 2), (Qt.Key.Key_D, 1),
        ][self.random.integers(12)]  # fmt: skip
        control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
        held = [Qt.KeyboardModifier.NoModifier, control, control | shift][modifier]
        self.log[-1] = f"press {key.name} {modifier}"
        QTest.keyClick(self.canvas, key, held)
        self.log[-1] = "press"

    def move_slider(self):
        dims = self.viewer.dims
        if dims.ndim > 2:
            axis = int(self.random.integers(dims.ndim - 2))
            dims.set_current_step(axis, int(self.random.integers(dims.nsteps[axis])))

    def layer(self, kind=object):
        found = [one for one in self.viewer.layers if isinstance(one, kind)]
        return found[self.random.integers(len(found))] if found else None

    def pick_layer(self):
        self.viewer.layers.selection.active = self.layer()

    def show_or_hide(self):
        layer = self.layer()
        if layer is not None:
            layer.visible = not layer.visible

    def rename(self):
        layer = self.layer()
        if layer is not None:
            layer.name = f"layer {self.random.integers(1000)}"

    def add_image(self):
        if len(self.viewer.layers) < MOST_LAYERS:
            image = self.scene if self.random.random() < 0.3 else np.stack([self.scene] * 4)
            self.viewer.add_image(image.copy(), name="image")

    def add_labels(self):
        image = self.layer(Image)
        if image is not None and len(self.viewer.layers) < MOST_LAYERS:
            shape = image.data.shape[: image.ndim]
            self.viewer.add_labels(np.zeros(shape, self.random.choice([np.uint8, np.int32])))

    def delete_layer(self):
        layer = self.layer()
        if layer is not None:
            self.viewer.layers.remove(layer)

    def delete_ours(self):
        prompts = self.dock.context.bench.prompts
        layer = [prompts.points, prompts.boxes, prompts.preview][self.random.integers(3)]
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.selection = {layer}
            self.viewer.layers.remove_selected()

    def use_image(self):
        self.dock.feature(Source).use_image(self.layer(Image))

    def use_results(self):
        panel = self.dock.feature(Source).panel.results
        if panel.count():
            index = int(self.random.integers(panel.count()))
            panel.setCurrentIndex(index)
            panel.activated.emit(index)

    def run_everything(self):
        self.dock.feature(Everything).run(all_planes=self.random.random() < 0.5)

    def cancel(self):
        self.dock.feature(Everything).cancel()

    def move_threshold(self):
        panel = self.dock.feature(Everything).panel
        panel.widgets["pred_iou_thresh"].value = round(float(self.random.uniform(0.3, 0.9)), 2)

    def change_contrast(self):
        image = self.layer(Image)
        if image is not None and not image.rgb:
            low = float(self.random.uniform(0, 40))
            image.contrast_limits = (low, low + float(self.random.uniform(50, 200)))

    def change_pixels(self):
        image = self.layer(Image)
        if image is not None:
            image.data[..., :10, :10] = int(self.random.integers(255))
            image.refresh()

    def place_image(self):
        image = self.layer(Image)
        if image is not None:
            image.scale = self.random.choice([0.5, 1, 2], image.ndim)

    def roll(self):
        if self.viewer.dims.ndim > 2:
            self.viewer.dims.roll()

    def show_3d(self):
        self.viewer.dims.ndisplay = 3
        self.turn()
        self.check()
        self.click()
        self.viewer.dims.ndisplay = 2

    def change_model(self):
        self.model.made = BriskBlocks() if self.random.random() < 0.5 else SceneModel()
        source = self.dock.feature(Source)
        source.loader.pick_device(str(self.random.choice(["cpu", "auto"])))

    def reopen(self):
        if self.dock is not None:
            if self.random.random() < 0.5:
                self.viewer.window.remove_dock_widget(self.dock)
            self.dock.close_dock()
        self.dock = SegmentAnything(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Segment Anything")

    def open_second(self):
        second = SegmentAnything(self.viewer)
        self.viewer.window.add_dock_widget(second, name="second")
        self.turn()
        self.viewer.window.remove_dock_widget(second)
        second.close_dock()

    def paint(self):
        results = self.dock.context.bench.results
        plane = self.dock.context.shown()
        if results is None or plane is None or not results.layer.editable:
            return
        where = [int(self.random.integers(n)) for n in results.layer.data.shape]
        for axis, position in plane.key.fixed:
            where[axis] = position
        results.layer.mode = "paint"
        results.layer.paint(where, int(self.random.integers(1, 5)))
        results.layer.mode = "pan_zoom"

    def wheel(self):
        """Turn the wheel over a chooser that has not been clicked: nothing may change."""
        boxes = [box for box in self.dock.findChildren(QComboBox) if box.isVisible()]
        if not boxes:
            return
        box = boxes[self.random.integers(len(boxes))]
        before, middle = box.currentIndex(), QPoint(box.width() // 2, box.height() // 2)
        down = QPoint(0, -120)
        event = QWheelEvent(
            middle.toPointF(), box.mapToGlobal(middle).toPointF(), QPoint(), down,
            Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(box, event)
        if not box.hasFocus() and box.currentIndex() != before:
            self.fail("the wheel changed a chooser that was not clicked")

    def wait(self):
        self.settle()


@pytest.fixture
def monkey(make_napari_viewer, model, scene, monkeypatch):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(900, 700)
    viewer.add_image(np.stack([scene[0]] * 4), name="stack")
    monkey = Monkey(viewer, model, scene[0], SEED)
    monkey.reopen()

    def on_error(kind, error, trace):
        monkey.errors.append("".join(traceback.format_exception(kind, error, trace)))

    def on_notification(note):
        if note.severity.value in ("error",):
            monkey.errors.append(note.message)

    monkeypatch.setattr(sys, "excepthook", on_error)
    notification_manager.notification_ready.connect(on_notification)
    yield monkey
    notification_manager.notification_ready.disconnect(on_notification)
    monkey.dock.close_dock()
    assert monkey.dock.context.scheduler.wait(10_000)
    monkey.dock.context.disk.wait()


@pytest.mark.slow  # what no single test thinks of
def test_random_actions_break_nothing(monkey):
    monkey.run(ACTIONS)


@pytest.mark.slow  # growth shows only after many objects
def test_memory_is_flat_over_many_objects(hands):
    def objects(count):
        for k in range(count):
            x = 12 + k % 10
            hands.bench.prompts.boxes.add_rectangles(np.array([[9, x], [9, 45], [41, 45], [41, x]]))
            hands.until(lambda: hands.answers is not None)
            hands.prompting.commit()
            if k % 3 == 2:
                hands.prompting.changes.undo()
            hands.prompting.clear()
            QApplication.processEvents()

    process = psutil.Process()
    objects(60)
    before, threads = process.memory_info().rss, threading.active_count()
    objects(240)
    assert threading.active_count() <= threads + 2
    assert process.memory_info().rss - before < 40e6
