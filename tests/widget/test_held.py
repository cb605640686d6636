"""What holds up the event loop: reads, waits and draws on the main thread, counted, not timed."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from tiny import SceneModel

from napari_sam.everything.amg_params import AmgParams
from napari_sam.widget.features.everything import joining, selection
from napari_sam.widget.features.prompting import asker as prompting_module
from napari_sam.widget.scheduler import Lane

CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
PLANES = 6


class Watched:
    """A stack that notes which planes the main thread reads."""

    def __init__(self, plane):
        self.plane = plane
        self.shape, self.dtype, self.ndim = (PLANES, *plane.shape), plane.dtype, 3
        self.read = []

    def __getitem__(self, index):
        if threading.current_thread() is threading.main_thread():
            self.read.append(index)
        return np.broadcast_to(self.plane, self.shape)[index]


class Gated(SceneModel):
    """Answers when it is let."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()

    def decode(self, *arguments):
        self.gate.wait(20)
        return super().decode(*arguments)


@pytest.fixture
def encoded(hands):
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    return hands


def pictures(hands):
    """Return a list that grows with each picture: whether the preview was in it."""
    shown = []
    preview = hands.bench.prompts.preview
    scene = hands.viewer.window._qt_viewer.canvas._scene_canvas
    scene.events.draw.connect(lambda event: shown.append(bool(preview.data.any())), position="last")
    return shown


def test_a_point_is_drawn_together_with_its_answer(encoded, monkeypatch):
    monkeypatch.setattr(prompting_module, "PATIENCE_MS", 20_000)
    encoded.click_and_wait(*CENTRES[1])
    encoded.press(Qt.Key.Key_Escape)
    shown = pictures(encoded)
    encoded.click_and_wait(*CENTRES[2])
    encoded.until(lambda: shown)
    assert shown[0]


def test_a_slow_answer_is_not_waited_for(open_dock, scene, model):
    model.made = Gated()
    hands = open_dock(("add_image", scene[0], {"name": "scene"}))
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    shown = pictures(hands)
    hands.click(*CENTRES[1])
    hands.until(lambda: shown)
    assert not shown[-1]
    model.made.gate.set()
    hands.until(lambda: shown[-1])


def test_a_plane_that_is_not_encoded_is_not_waited_for(encoded, monkeypatch):
    waits = []
    wait = encoded.scheduler.wait

    def watched(limit=-1, lane=None):
        waits.append(limit)
        return wait(limit, lane)

    monkeypatch.setattr(encoded.scheduler, "wait", watched)
    encoded.context.session.clear()
    encoded.click_and_wait(*CENTRES[1])
    assert waits == []
    encoded.click_and_wait(*CENTRES[2])
    assert waits == [prompting_module.PATIENCE_MS]


def test_the_preview_is_written_in_place(encoded):
    preview = encoded.bench.prompts.preview
    data, moved = preview.data, []
    preview.events.data.connect(moved.append)
    preview.events.translate.connect(moved.append)
    encoded.click_and_wait(*CENTRES[1])
    encoded.press(Qt.Key.Key_Escape)
    assert preview.data is data
    assert not data.any()
    assert moved == []


def test_the_main_thread_reads_a_plane_only_where_napari_shows_it(open_dock, scene):
    stack = Watched(scene[0])
    hands = open_dock(("add_image", stack, {"contrast_limits": (0, 255), "name": "watched"}))
    stack.read.clear()
    hands.viewer.dims.set_current_step(0, 1)
    hands.until(lambda: "ready" in hands.prefetch.panel.text())
    assert len(stack.read) == 1  # napari's own
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.everything.panel.set_params(AmgParams(points_per_side=4))
    hands.everything.run(all_planes=True)
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert len(stack.read) == 1


def test_prompts_are_cleared_with_asynchronous_slicing(open_dock, scene, monkeypatch):
    monkeypatch.setattr(get_settings().experimental, "async_", True)
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    hands.click_and_wait(*CENTRES[1])
    hands.rest(0.2)
    hands.press(Qt.Key.Key_Escape)
    hands.rest(0.2)
    assert len(hands.bench.prompts.points.data) == 0
    assert not hands.bench.prompts.preview.data.any()


def test_everything_links_beside_the_main_thread_and_nobody_paints_meanwhile(
    open_dock, scene, monkeypatch
):
    threads, editable = [], []
    hands = open_dock(("add_image", np.repeat(scene[0][None], 3, 0), {"name": "stack"}))
    everything, linked = hands.everything, joining.linked

    def watched(planes, **given):
        threads.append(threading.current_thread())
        return linked(planes, **given)

    monkeypatch.setattr(joining, "linked", watched)
    status = hands.context.status

    def progressed():
        if status.measured is not None:
            editable.append(everything.view.layer.editable)

    status.progressed.connect(progressed)
    hands.everything.panel.set_params(AmgParams(points_per_side=8, pred_iou_thresh=0.5))
    hands.everything.run(all_planes=True)
    hands.until(lambda: not hands.busy(Lane.BULK))
    assert threading.main_thread() not in threads
    assert threads
    assert editable
    assert not any(editable)
    assert everything.view.layer.editable
    assert not hands.dock.long_work.isVisibleTo(hands.dock)


def test_a_long_run_keeps_candidates_of_the_last_planes_only(open_dock, scene, monkeypatch):
    monkeypatch.setattr(selection, "KEPT_PLANES", 2)
    hands = open_dock(("add_image", np.repeat(scene[0][None], 4, 0), {"name": "stack"}))
    panel, everything = hands.everything.panel, hands.everything
    panel.set_params(AmgParams(points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.5))
    hands.everything.run(all_planes=True)
    hands.until_said("3 objects in 4 planes")
    assert "in the last 2" in hands.status
    before = everything.view.layer.data.copy()
    panel.widgets["pred_iou_thresh"].value = 1.0
    hands.until(lambda: not everything.view.layer.data[2:].any() and not hands.busy(Lane.BULK))
    assert np.array_equal(everything.view.layer.data[:2], before[:2])
