"""How long the window is held when an object of many planes is committed, and when that is undone.

Usage: python benchmarks/long_commit.py [--planes 1000] [--side 384] [--radius 60]

A box is drawn in the middle plane of a stack; outlines of the other planes are given as if they had
been propagated. Python collects garbage when many objects are made, which holds the window too; the
longest collection is printed beside.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, SliceKey

CONTROL = Qt.KeyboardModifier.ControlModifier


class Collections:
    """Notes the longest garbage collection."""

    def __init__(self) -> None:
        self.longest = self._begun = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._begun = now
        else:
            self.longest = max(self.longest, now - self._begun)


def discs(planes: int, side: int, radius: int) -> list[Mask]:
    """Return ragged discs whose size changes from plane to plane."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] - side / 2
    sizes = radius - 5 + 5 * np.sin(np.arange(planes) / 9)
    return [Mask.of((np.hypot(x, y) < size) & (rng.random(x.shape) > 0.01)) for size in sizes]


def measured(
    window: Window, name: str, act: Callable[[], object], done: Callable[[], bool]
) -> None:
    """Print how long the event loop is held by an action, and how long it takes."""
    ends: list[float] = []
    collections, start = Collections(), time.perf_counter()

    def ended() -> bool:
        if not ends and done():
            ends.append(time.perf_counter())
        return bool(ends)

    held = window.held(act, ended)
    print(
        f"{name}: held {held:.2f} s at most, {ends[0] - start:.1f} s in all; "
        f"longest garbage collection {collections.longest:.2f} s"
    )


def measure(planes: int, side: int, radius: int) -> None:
    """Prompt one plane, commit all, undo."""
    masks, middle = discs(planes, side, radius), planes // 2
    plane = np.where(np.asarray(masks[middle]), 200, 30).astype(np.uint8)
    window = Window()
    image = np.broadcast_to(plane, (planes, side, side))
    window.viewer.add_image(image, name="stack", contrast_limits=(0, 255))
    window.viewer.dims.set_current_step(0, middle)
    window.open_dock()
    window.settle()
    context = window.dock.context
    low, high = side / 2 - radius - 1, side / 2 + radius + 1
    a, b = window.place(low, low), window.place(high, high)
    QTest.mousePress(window.canvas, Qt.MouseButton.LeftButton, pos=a)
    for step in range(1, 6):
        QTest.mouseMove(window.canvas, a + (b - a) * step / 5)
        window.rest(0.02)
    QTest.mouseRelease(window.canvas, Qt.MouseButton.LeftButton, pos=b)
    window.rest(0.3)
    window.until(window.quiet)
    (number,) = context.work.numbers()
    context.work.propagated[number] = {
        SliceKey((1, 2), ((0, place),)): Outline(mask, score=0.9, origin="propagated")
        for place, mask in enumerate(masks)
        if place != middle
    }

    def walked(label: int) -> bool:
        idle = not context.history.walking and bool(context.work.drawing()) != bool(label)
        labels = context.bench.results.layer.data
        return idle and all(int(labels[place].max()) == label for place in (0, middle, -1))

    enter = partial(QTest.keyClick, window.canvas, Qt.Key.Key_Return)
    undo = partial(QTest.keyClick, window.canvas, Qt.Key.Key_Z, CONTROL)
    measured(window, f"commit of {planes} planes", enter, lambda: walked(1))
    measured(window, "undo", undo, lambda: walked(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=1000)
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--radius", type=int, default=60)
    options = parser.parse_args()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_SAM_STATE_DIR"] = f"{folder}/state"
        os.environ["NAPARI_SAM_CACHE_DIR"] = f"{folder}/embeddings"
        measure(options.planes, options.side, options.radius)
        sys.stdout.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
