"""A real napari window and hands to use it with, for `interface.py` and `lazy_stack.py`."""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtCore import QEvent, QEventLoop, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.prefetch.logic import Prefetch
from napari_sam.widget.scheduler import Lane

warnings.filterwarnings("ignore", category=DeprecationWarning)
os.environ.setdefault("NAPARI_SAM_CONFIG_DIR", tempfile.mkdtemp())  # not the user's preferences
Calls = list[tuple[float, float]]
"""When each call of a method began and ended, in seconds."""


class Window:
    """A napari window; the dock is opened by `open_dock`."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(1380, 900)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        self.dock: Any = None
        self.rest(1.0)

    def open_dock(self) -> float:
        """Open the dock; returns the seconds that took, the model not included."""
        start = time.perf_counter()
        self.dock = SegmentAnything(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Segment Anything")
        return time.perf_counter() - start

    def settle(self) -> None:
        """Wait for the model, the plane shown and its neighbours."""
        self.until(lambda: self.dock.context.session is not None)
        self.until(self.quiet)
        self.rest(0.2)

    def quiet(self) -> bool:
        """Tell whether nothing runs in the background, nor is about to."""
        scheduler = self.dock.context.scheduler
        settling = self.dock.feature(Prefetch)._timer.isActive()
        return not settling and not scheduler.any_busy(lane for lane in Lane if lane.computes)

    def until(self, condition: Callable[[], object], timeout: float = 60.0) -> None:
        """Run the event loop until something holds."""
        loop, timer, end = QEventLoop(), QTimer(), time.monotonic() + timeout
        timer.timeout.connect(
            lambda: loop.quit() if condition() or time.monotonic() > end else None
        )
        timer.start(2)
        loop.exec()
        timer.stop()
        if time.monotonic() > end:
            raise TimeoutError(self.dock.status.text() if self.dock else "")

    def rest(self, seconds: float) -> None:
        """Run the event loop for a while."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def held(
        self, action: Callable[[], object], done: Callable[[], object], timeout: float = 60.0
    ) -> float:
        """Return the longest time that the event loop is held from an action on, in seconds."""
        return self.holds(action, done, timeout)[0]

    def holds(
        self, action: Callable[[], object], done: Callable[[], object], timeout: float = 60.0
    ) -> tuple[float, float]:
        """Return `held`, and the most that the main thread computes in one event, in seconds."""
        longest = computed = 0.0
        last, spent = time.perf_counter(), time.thread_time()

        def tick() -> None:
            nonlocal longest, computed, last, spent
            now, own = time.perf_counter(), time.thread_time()
            longest, computed = max(longest, now - last), max(computed, own - spent)
            last, spent = now, own

        timer = QTimer()
        timer.setTimerType(Qt.TimerType.PreciseTimer)
        timer.timeout.connect(tick)
        timer.start(1)
        action()
        tick()
        self.until(done, timeout)
        self.rest(0.3)  # what was put off counts too
        timer.stop()
        return longest, computed

    def painted(self, action: Callable[[], object], ready: Callable[[], object]) -> float:
        """Return when the first picture was on the screen after an action, with something ready."""
        pictures: list[float] = []

        def note() -> None:
            if ready():
                pictures.append(time.perf_counter())

        self.canvas.frameSwapped.connect(note)
        action()
        self.until(lambda: pictures)
        self.canvas.frameSwapped.disconnect(note)
        return pictures[0]

    def place(self, row: float, column: float) -> QPoint:
        """Return the canvas position of a place of the world."""
        camera = self.viewer.scene.camera
        x = self.canvas.width() / 2 + (column - camera.center[-1]) * camera.zoom
        y = self.canvas.height() / 2 + (row - camera.center[-2]) * camera.zoom
        return QPoint(round(x), round(y))

    def click(self, row: float, column: float) -> None:
        """Press and release the left button."""
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=self.place(row, column))

    def hover(self, row: float, column: float) -> None:
        """Move the pointer with Shift held."""
        place = self.place(row, column)
        around = QPointF(self.canvas.mapToGlobal(place))
        none, shift = Qt.MouseButton.NoButton, Qt.KeyboardModifier.ShiftModifier
        moved = QMouseEvent(QEvent.Type.MouseMove, QPointF(place), around, none, none, shift)
        QApplication.sendEvent(self.canvas, moved)

    def press(self, key: Qt.Key) -> None:
        """Press a key and wait until all is quiet."""
        QTest.keyClick(self.canvas, key)
        self.rest(0.3)
        self.until(self.quiet)


def calls(owner: Any, name: str) -> Calls:
    """Return a list that grows with each call of a method."""
    inner, times = getattr(owner, name), []

    def outer(*values: Any) -> Any:
        begun = time.perf_counter()
        result = inner(*values)
        times.append((begun, time.perf_counter()))
        return result

    setattr(owner, name, outer)
    return times


def ms(seconds: float | list[float], percentile: float = 50) -> float:
    """Return a percentile in milliseconds."""
    return round(1000 * float(np.percentile(seconds, percentile)), 1)


def report(result: dict[str, Any], path: Path | None) -> None:
    """Print figures, and add them to a file if there is one."""
    print(json.dumps(result, indent=1))
    if path:
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | result, indent=1) + "\n")
