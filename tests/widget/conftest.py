"""A real window with the dock in it, and hands to use it with."""

from __future__ import annotations

import gc
import itertools
import math
import time
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tiny import SceneModel

from napari_sam.types import Progress
from napari_sam.widget import history, in_turn
from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.features.prefetch.logic import Prefetch
from napari_sam.widget.features.prompting.logic import Prompting
from napari_sam.widget.features.settings.logic import Settings
from napari_sam.widget.features.source import model_loader
from napari_sam.widget.features.source.logic import Source
from napari_sam.widget.scheduler import Lane

TIMEOUT = 60.0  # on a busy machine; what is waited for takes a second at most
FINISHED = itertools.count(1)


def pytest_runtest_logfinish():
    """Leave what windows of napari keep for good out of later collections of garbage.

    These are some 8,000 objects of each window, and napari collects on every removal of a layer.
    """
    if not next(FINISHED) % 20:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory, monkeypatch):
    """Keep no plane in the user's own cache, nor find one of another test."""
    folder = tmp_path_factory.mktemp("planes") / "embeddings"
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(folder))
    return folder


class Hands:
    """Uses a napari window as a person does: through mouse and key events."""

    def __init__(self, viewer, dock):
        self.viewer, self.dock = viewer, dock
        self.context = dock.context
        self.scheduler = dock.context.scheduler
        parts = {type(one): one for one in dock.features}
        self.source, self.prefetch = parts[Source], parts.get(Prefetch)
        self.prompting, self.everything = parts[Prompting], parts.get(Everything)
        self.settings = parts.get(Settings)
        self.canvas = viewer.window._qt_viewer.canvas.native
        self._said = [self.status]
        self.context.status.changed.connect(self._said.append)

    def until(self, condition, timeout=TIMEOUT):
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"waited in vain; the status says {self.status!r}"
            QApplication.processEvents()
            time.sleep(0.002)

    def until_said(self, text):
        """Wait for a message of the dock; what replaces it at once does not hide it.

        Messages from before the last click or key, or the one found last, do not count.
        """

        def found():
            for place, message in enumerate(self._said):
                if text in message:
                    del self._said[:place]
                    return True
            return False

        self.until(found)

    def rest(self, seconds=0.05):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.002)

    @property
    def bench(self):
        return self.context.bench

    @property
    def answers(self):
        """The question whose answers are painted; None if there is none."""
        return self.prompting.asker.shown

    def busy(self, *lanes):
        return self.scheduler.any_busy(lanes)

    @property
    def status(self):
        return self.dock.status.text()

    def place(self, row, column):
        """Return where a world point of the displayed plane is painted on the canvas."""
        zoom = self.viewer.camera.zoom
        middle_row, middle_column = self.viewer.camera.center[-2:]
        x = self.canvas.width() / 2 + (column - middle_column) * zoom
        y = self.canvas.height() / 2 + (row - middle_row) * zoom
        return QPoint(round(x), round(y))

    def click(self, row, column):
        self._said.clear()
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=self.place(row, column))

    def drag(self, start, stop):
        self._said.clear()
        a, b = self.place(*start), self.place(*stop)
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=a)
        for step in range(1, 6):
            QTest.mouseMove(self.canvas, a + (b - a) * step / 5)
            self.rest(0.02)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=b)

    def press(self, key, modifier=Qt.KeyboardModifier.NoModifier):
        self._said.clear()
        QTest.keyClick(self.canvas, key, modifier)
        self.rest(0.02)

    def click_and_wait(self, row, column):
        """Click in the image and wait for the answer to be painted."""
        before = self.answers
        self.click(row, column)
        self.until(lambda: self.answers and self.answers is not before)

    def go(self, plane):
        self.viewer.dims.set_current_step(0, plane)

    def settled(self):
        """Wait until nothing is encoded any more, nor will be."""
        self.rest(0.3)
        self.until(lambda: not self.busy(Lane.PLANE, Lane.PREFETCH))
        self.rest(0.3)

    @property
    def labels(self):
        return self.bench.results.layer.data


class Turns:
    """Stands for the timer of the history: pieces are written when a test lets them be."""

    def __init__(self):
        self._waiting, self._free = [], False

    def singleShot(self, ms, go_on):
        (go_on if self._free else partial(self._waiting.append, go_on))()

    @property
    def waiting(self):
        """How many wait for their turn."""
        return len(self._waiting)

    def step(self):
        """Let the next one have its turn."""
        self._waiting.pop(0)()

    def until(self, condition):
        """Let pieces be written until something is so."""
        while not condition():
            self.step()

    def rest(self):
        """Write all that waits, and let what comes be written at once."""
        while self._waiting:
            self.step()
        self._free = True


@pytest.fixture
def in_one_go(request, monkeypatch):
    """A step is walked in one event, however long a busy machine takes; not with `turns`."""
    if "turns" not in request.fixturenames:
        monkeypatch.setattr(history, "SLICE", math.inf)


@pytest.fixture
def turns(monkeypatch):
    """Steps of the history are written a piece at a time, each when `turns` says so."""
    turns = Turns()
    monkeypatch.setattr(history, "SLICE", 0.0)
    monkeypatch.setattr(history, "QTimer", turns)
    return turns


@pytest.fixture
def events(monkeypatch):
    """What is done in turn is done when `events` says so, each in an event of its own."""
    turns = Turns()
    monkeypatch.setattr(in_turn, "QTimer", turns)
    return turns


@pytest.fixture
def scene():
    """Three bright objects on a dark ground, (96, 128) uint8, and their labels."""
    truth = np.zeros((96, 128), np.int32)
    truth[10:40, 12:44] = 1
    truth[12:44, 70:110] = 2
    truth[60:84, 30:80] = 3
    return np.where(truth > 0, 200, 20).astype(np.uint8), truth


@pytest.fixture
def model(monkeypatch):
    """The model that docks load: one that knows the answer; set `model.made` for another.

    Where it is None, what was picked is really loaded.
    """

    class Holder:
        made = SceneModel()

    holder = Holder()

    def loading(name, device):
        if holder.made is None:
            return (yield from really_loading(name, device))
        yield Progress(0, 0, f"loading {name}")
        return holder.made

    really_loading = model_loader.loading
    monkeypatch.setattr(model_loader, "loading", loading)
    return holder


@pytest.fixture
def open_dock(make_napari_viewer, model):
    """Return a function that opens a window on layers and waits until the dock is ready."""
    docks = []

    def open_window(*add, **options):
        viewer = make_napari_viewer(show=True)
        viewer.window._qt_window.resize(1200, 800)
        for method, data, keywords in add:
            getattr(viewer, method)(data, **keywords)
        dock = SegmentAnything(viewer)
        docks.append(dock)
        viewer.window.add_dock_widget(dock, name="Segment Anything")
        hands = Hands(viewer, dock)
        hands.until(lambda: dock.context.session is not None)
        hands.rest(0.1)
        viewer.reset_view()
        hands.rest(0.1)
        return hands

    yield open_window
    for dock in docks:
        dock.close_dock()
        assert dock.context.scheduler.wait(10_000)
        dock.context.disk.wait()
    QApplication.processEvents()


@pytest.fixture
def hands(open_dock, scene):
    """A window on the scene."""
    return open_dock(("add_image", scene[0], {"name": "scene"}))
