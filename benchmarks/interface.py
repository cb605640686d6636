"""Clicks to painted previews, and how long the event loop is held, in a real napari window.

Needs a display (`xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/interface.py`). Every
click is a mouse event on the canvas; it counts until the window with the preview is on the screen.
The event loop is held as long as a timer of 1 ms does not come round. "alone" is napari without
the dock, doing the same; for the slider it has the layers that the dock would add.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from napari.settings import get_settings
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from window import Window, calls, ms, report

from napari_sam.images.samples import STACK_SCALE, cells_stack, cells_stack_labels
from napari_sam.predict.cache import DiskCache
from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.features.prompting.logic import Prompting

FIRST = 12
"""Planes from here on hold many nuclei."""
STAGES = ("handling", "waiting", "model", "handing back", "writing", "drawing")
SLOW = 0.5
"""Seconds that a plane of the slow stack takes to read."""
IMPORT = "import time; t = time.perf_counter(); import napari_sam; print(time.perf_counter() - t)"


def centres(z: int) -> list[tuple[float, float]]:
    """Return the middle of each nucleus of a plane, (row, column) in the world."""
    plane = cells_stack_labels()[z]
    middles = [np.argwhere(plane == k).mean(0) for k in np.unique(plane) if k]
    return [(row * STACK_SCALE[1], column * STACK_SCALE[2]) for row, column in middles]


def measure_alone(window: Window) -> dict[str, float]:
    """Return what napari takes without the dock: to draw, and to add and draw a point."""
    redraws, points = [], []
    layer = window.viewer.add_points(ndim=3, size=4)
    layer.mode = "add"
    window.rest(0.5)
    for row, column in centres(FIRST)[:10]:
        start = time.perf_counter()
        redraws.append(window.painted(window.canvas.update, lambda: True) - start)
        window.rest(0.1)
        count = len(layer.data)
        start = time.perf_counter()
        points.append(
            window.painted(
                lambda row=row, column=column: window.click(row, column),
                lambda count=count: len(layer.data) > count,
            )
            - start
        )
        window.rest(0.2)
    found = {"alone_redraw_ms": ms(redraws), "alone_click_ms": ms(points)}
    for count in ("first", "second"):
        labels = np.zeros(cells_stack().shape, np.int32)
        add = lambda labels=labels: window.viewer.add_labels(labels, scale=STACK_SCALE)  # noqa: E731
        found[f"alone_held_{count}_labels_ms"] = ms(window.held(add, lambda: True))
    window.viewer.add_shapes(ndim=3, scale=STACK_SCALE)
    found["alone_slide_ms"] = measure_slide(window)
    return found


def measure_slide(window: Window) -> float:
    """Return the median time until another plane is painted, in ms."""
    times = []
    for k in range(20):
        start = time.perf_counter()
        move = lambda k=k: window.viewer.dims.set_current_step(0, FIRST + k % 2)  # noqa: E731
        times.append(window.painted(move, lambda: True) - start)
        window.rest(0.1)
    return ms(times)


def measure_clicks(window: Window, count: int) -> dict[str, Any]:
    """Click nuclei on planes that are encoded."""
    context = window.dock.context
    asked = calls(context.scheduler, "submit")
    answered = calls(context.session, "predict_many")
    written = calls(window.dock.feature(Prompting).asker, "_on_answers")
    totals, parts, z = [], [], FIRST
    while len(totals) < count:
        window.viewer.dims.set_current_step(0, z)
        window.rest(0.3)
        window.until(window.quiet)
        for row, column in centres(z)[: count - len(totals)]:
            for times in (asked, answered, written):
                times.clear()
            start = time.perf_counter()
            end = window.painted(lambda r=row, c=column: window.click(r, c), lambda: written)
            totals.append(end - start)
            moments = (start, asked[0][0], *answered[0], *written[0], end)
            parts.append(np.diff(moments))
            window.rest(0.1)
            window.press(Qt.Key.Key_Escape)
        z += 1
    return {
        "clicks": count,
        "click_median_ms": ms(totals),
        "click_p95_ms": ms(totals, 95),
        "stages_ms": {name: ms([p[k] for p in parts]) for k, name in enumerate(STAGES)},
    }


def measure_hover(window: Window) -> float:
    """Return the median time from a move with Shift held to the painted mask, in ms."""
    hover = window.dock.feature(Prompting).hover
    written, times = calls(hover, "_on_answer"), []
    for row, column in centres(FIRST)[:10]:
        written.clear()
        start = time.perf_counter()
        moved = lambda r=row, c=column: window.hover(r, c)  # noqa: E731
        times.append(window.painted(moved, lambda: written) - start)
        window.rest(0.2)
    hover.end()
    return ms(times)


def measure_holds(window: Window, folder: str) -> dict[str, float]:
    """Return the longest holds of the event loop during what runs in the background, in ms."""
    context, done = window.dock.context, window.quiet
    prompting, everything = window.dock.feature(Prompting), window.dock.feature(Everything)
    begin = context.plane_changed.emit
    window.viewer.dims.set_current_step(0, FIRST)
    window.settle()
    found = {"nothing": window.held(lambda: None, done)}
    context.session.clear()
    found["encoding and prefetch"] = window.held(begin, done)
    context.session.clear()
    context.session.disk = DiskCache(Path(folder))
    found["the same, written to disk"] = window.held(begin, done)
    context.session.disk = None
    found["everything, first"] = window.held(everything.run, done)
    found["everything, again"] = window.held(everything.run, done)
    # as far as ten planes or so
    end = time.monotonic() + 5
    found["everything, all planes"] = window.held(
        lambda: everything.run(True), lambda: time.monotonic() > end
    )
    everything.cancel()
    window.until(done)
    window.click(*centres(FIRST)[0])
    window.until(lambda: prompting.asker.shown)
    window.rest(0.3)
    found["commit"] = window.held(prompting.commit, done)
    return {f"held {name}": ms(seconds) for name, seconds in found.items()}


def slow_stack() -> tuple[da.Array, list[int]]:
    """Return a stack whose planes take long to read, and a list of those read."""
    stack, read = cells_stack(), []

    def plane(block_info: Any = None) -> NDArray[np.uint16]:
        z = block_info[None]["chunk-location"][0]
        read.append(z)
        time.sleep(SLOW)
        return stack[z][None]

    chunks = ((1,) * len(stack), *((side,) for side in stack.shape[1:]))
    return da.map_blocks(plane, chunks=chunks, dtype=stack.dtype, meta=stack[:0]), read


def measure_slow_stack(asynchronous: bool) -> dict[str, float]:
    """Move the slider of a slow stack without the dock and with it."""
    get_settings().experimental.async_ = asynchronous
    window, found = Window(), {}
    name = "slow stack, asynchronous" if asynchronous else "slow stack"
    image, _ = slow_stack()
    window.viewer.add_image(image, contrast_limits=(0, 4000), scale=STACK_SCALE)
    window.rest(1.5)
    move = window.viewer.dims.set_current_step
    stop = time.monotonic() + 4 * SLOW
    found["alone"] = window.held(lambda: move(0, 3), lambda: time.monotonic() > stop)
    layer = window.viewer.add_points(ndim=3, size=4)
    layer.mode = "add"
    window.rest(1.0)
    places = centres(14)
    click = lambda k: window.click(*places[k])  # noqa: E731
    found["alone, first point"] = window.held(lambda: click(0), lambda: True)
    found["alone, second point"] = window.held(lambda: click(1), lambda: True)
    window.viewer.layers.remove(layer)
    found["opening the dock"] = window.held(
        window.open_dock, lambda: window.dock.context.session is not None
    )
    window.settle()
    found["with the dock"] = window.held(lambda: move(0, 14), window.quiet)
    found["first click"] = window.held(lambda: click(0), window.quiet)
    window.press(Qt.Key.Key_Escape)
    found["second click"] = window.held(lambda: click(1), window.quiet)
    window.viewer.close()
    get_settings().experimental.async_ = False
    return {f"held {name}, {what}": ms(seconds) for what, seconds in found.items()}


def opened() -> Window:
    """Return a window on the sample stack, without the dock."""
    window = Window()
    window.viewer.add_image(cells_stack(), name="cells", scale=STACK_SCALE)
    window.rest(0.5)
    return window


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--part", choices=("all", "clicks", "holds", "slow"), default="all")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    args = parser.parse_args()
    result: dict[str, Any] = {}
    if args.part in ("all", "holds"):
        window = opened()  # the first of this process: nothing of napari has been used before
        result["dock_open_fresh_ms"] = ms(window.open_dock())
        window.settle()
        with tempfile.TemporaryDirectory() as folder:
            result |= measure_holds(window, folder)
        window.viewer.close()
    if args.part in ("all", "clicks"):
        imports = [float(subprocess.check_output([sys.executable, "-c", IMPORT])) for _ in range(5)]
        result["import_ms"] = ms(imports)
        window = opened()
        result |= measure_alone(window)
        window.viewer.close()
        window = opened()
        result["dock_open_ms"] = ms(window.open_dock())
        window.settle()
        result["slide_ms"] = measure_slide(window)
        result |= measure_clicks(window, args.clicks)
        result["hover_median_ms"] = measure_hover(window)
        window.viewer.close()
    if args.part in ("all", "slow"):
        result |= measure_slow_stack(asynchronous=False)
        result |= measure_slow_stack(asynchronous=True)
    report(result, args.json)


if __name__ == "__main__":
    main()
