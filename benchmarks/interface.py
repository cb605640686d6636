"""Clicks to painted previews, and how long the event loop is held, in a real napari window.

Needs a display (`xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/interface.py`). Every
click is a mouse event on the canvas; it counts until the canvas has been drawn with the preview.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam.samples import cells_stack, cells_stack_labels
from napari_sam.widget.dock import SegmentAnything


class Window:
    """A napari window with the dock, on the drawn stack."""

    def __init__(self) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window._qt_window.resize(1380, 900)
        self.viewer.add_image(cells_stack(), name="cells")
        start = time.perf_counter()
        self.dock = SegmentAnything(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Segment Anything")
        self.opened = time.perf_counter() - start
        self.until(lambda: self.dock.controller.session is not None)
        self.rest(1.0)
        self.canvas = self.viewer.window._qt_viewer.canvas.native
        scene = self.viewer.window._qt_viewer.canvas._scene_canvas
        self.drawn = 0
        scene.events.draw.connect(self._on_draw, position="last")

    def _on_draw(self, event: object = None) -> None:
        self.drawn += 1

    def until(self, condition: Callable[[], bool], timeout: float = 120.0) -> None:
        """Run the event loop until something holds."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(self.dock.status.text())
            QApplication.processEvents()
            time.sleep(0.0005)  # as an idle event loop does, leave the core to the worker

    def rest(self, seconds: float) -> None:
        """Run the event loop for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)

    def place(self, row: float, column: float) -> QPoint:
        """Return the canvas position of a pixel of the plane."""
        zoom = self.viewer.camera.zoom
        middle = self.viewer.camera.center[-2:]
        x = self.canvas.width() / 2 + (column - middle[1]) * zoom
        y = self.canvas.height() / 2 + (row - middle[0]) * zoom
        return QPoint(round(x), round(y))

    def click(self, row: float, column: float) -> float:
        """Click, and return the seconds until the preview is on the canvas."""
        controller = self.dock.controller
        before = controller._answers
        start = time.perf_counter()
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=self.place(row, column))
        self.until(lambda: bool(controller._answers) and controller._answers is not before)
        drawn = self.drawn
        self.until(lambda: self.drawn > drawn)
        return time.perf_counter() - start

    def gaps(self, action: Callable[[], None], done: Callable[[], bool]) -> list[float]:
        """Return the intervals of a 1 ms timer while something runs, in seconds."""
        intervals: list[float] = []
        last = time.perf_counter()

        def tick() -> None:
            nonlocal last
            now = time.perf_counter()
            intervals.append(now - last)
            last = now

        timer = QTimer()
        timer.timeout.connect(tick)
        timer.start(1)
        action()
        self.until(done)
        timer.stop()
        return intervals


def centres(plane: np.ndarray) -> list[tuple[float, float]]:
    """Return the middle of each object of a label plane, (row, column)."""
    return [tuple(np.argwhere(plane == k).mean(0)) for k in np.unique(plane) if k]  # type: ignore[misc]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    window, labels = Window(), cells_stack_labels()
    times = []
    z = 12
    while len(times) < args.clicks:
        window.viewer.dims.set_current_step(0, z)
        window.rest(1.0)  # the plane is encoded by itself
        for row, column in centres(labels[z]):
            if len(times) < args.clicks:
                times.append(window.click(row, column))
                QTest.keyClick(window.canvas, Qt.Key.Key_Escape)
                window.rest(0.1)
        z += 1
    controller, everything = window.dock.controller, window.dock.everything
    controller.session.clear()

    def encode() -> None:
        controller.say_ready()

    encoding = window.gaps(
        encode, lambda: not controller.jobs.busy and not controller._settle.isActive()
    )
    window.dock.everything_panel.set_values({"points_per_side": 16})
    done = lambda: not everything.jobs.busy  # noqa: E731
    first = window.gaps(window.dock.run_everything, done)  # napari adds the result layer
    running = window.gaps(window.dock.run_everything, done)
    result = {
        "clicks": len(times),
        "click_median_ms": round(1000 * float(np.median(times)), 1),
        "click_p95_ms": round(1000 * float(np.percentile(times, 95)), 1),
        "held_encode_ms": round(1000 * max(encoding), 1),
        "held_first_everything_ms": round(1000 * max(first), 1),
        "held_everything_ms": round(1000 * max(running), 1),
        "dock_open_ms": round(1000 * window.opened, 1),
    }
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20s} {value}")
    window.viewer.close()


if __name__ == "__main__":
    main()
