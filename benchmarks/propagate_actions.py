"""How many clicks and keys it takes to segment objects in all planes of a stack.

Usage: python benchmarks/propagate_actions.py [--planes 50] [--objects 1 20] [--pictures FOLDER]

A window shows a stack of bright columns that drift, grow and shrink, on a noisy ground. A box is
drawn about each of them in the middle plane, P follows them, U and another box correct the plane
that is least certain (where there is one object), Enter commits. All of it is done with mouse and
key events; a drag and a key count one each. Embeddings and the journal go to a folder of their own,
so nothing is ready beforehand.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy import ndimage
from window import Window

from napari_sam.widget.features.stack.logic import Stack

Place = tuple[float, float]
"""Row and column."""
SIDE = 400
PITCH = 76
PATIENCE = 1200.0
"""Seconds that following may take on a busy machine; it is nearly all computing with the model."""


def columns(planes: int, objects: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw the stack (planes, SIDE, SIDE) and its labels."""
    rng = np.random.default_rng(0)
    labels = np.zeros((planes, SIDE, SIDE), np.int32)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number in range(objects):
        row, column = 48 + PITCH * (number // 5), 48 + PITCH * (number % 5)
        phase = rng.uniform(0, 2 * np.pi, 4)
        for plane in range(planes):
            turn = 2 * np.pi * plane / planes
            cy, cx = row + 8 * np.sin(turn + phase[0]), column + 8 * np.cos(turn + phase[1])
            ry, rx = 17 + 5 * np.sin(turn + phase[2]), 17 + 5 * np.sin(turn + phase[3])
            labels[plane][((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1] = number + 1
    image = np.where(labels > 0, 150.0, 60.0)
    image = ndimage.gaussian_filter(image, (0, 1.5, 1.5)) + rng.normal(0, 12, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), labels


def corners(labels: NDArray[np.int32], number: int) -> tuple[Place, Place]:
    """Return two corners of a box about an object of a plane, a pixel larger on all sides."""
    rows, columns = np.nonzero(labels == number)
    return (rows.min() - 1, columns.min() - 1), (rows.max() + 1, columns.max() + 1)


class Actions:
    """Does what a person does in a window, and counts it."""

    def __init__(self, window: Window, pictures: Path | None) -> None:
        self.window, self.pictures, self.count = window, pictures, 0

    def press(self, key: Any) -> None:
        """Press a key and wait until all is done."""
        self.count += 1
        QTest.keyClick(self.window.canvas, key)
        self._wait()

    def drag(self, start: Place, stop: Place) -> None:
        """Draw a box and wait for the answer."""
        self.count += 1
        canvas, a, b = self.window.canvas, self.window.place(*start), self.window.place(*stop)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=a)
        for step in range(1, 6):
            QTest.mouseMove(canvas, a + (b - a) * step / 5)
            self.window.rest(0.02)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=b)
        self._wait()

    def picture(self, name: str) -> None:
        """Save what the window shows."""
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            path = self.pictures / f"{name}.png"
            self.window.viewer.screenshot(str(path), canvas_only=False)

    def _wait(self) -> None:
        self.window.rest(0.1)
        self.window.until(self.window.quiet, PATIENCE)
        self.window.rest(0.1)


def segmented(planes: int, objects: int, pictures: Path | None) -> tuple[int, float, float]:
    """Return the actions, the mean 3-D IoU, and the seconds of following."""
    image, truth = columns(planes, objects)
    window = Window()
    window.viewer.add_image(image, name="columns")
    window.viewer.dims.set_current_step(0, planes // 2)
    window.open_dock()
    window.settle()
    hands = Actions(window, pictures)
    for number in range(1, objects + 1):
        hands.drag(*corners(truth[planes // 2], number))
    hands.picture(f"prompted_{objects}")
    start = time.perf_counter()
    hands.press(Qt.Key.Key_P)
    seconds = time.perf_counter() - start
    hands.picture(f"propagated_{objects}")
    if objects == 1:
        hands.press(Qt.Key.Key_U)
        hands.picture("least_certain")
        strip = window.dock.feature(Stack).panel.strip
        hands.drag(*corners(truth[strip.current], 1))
        hands.picture("corrected")
    hands.press(Qt.Key.Key_Return)
    context = window.dock.context
    window.until(lambda: not (context.history.walking or context.work.drawing()))
    hands.picture(f"committed_{objects}")
    found = np.asarray(context.bench.results.layer.data)
    ious = [
        np.logical_and(found == k, truth == k).sum() / np.logical_or(found == k, truth == k).sum()
        for k in range(1, objects + 1)
    ]
    window.viewer.close()
    return hands.count, float(np.mean(ious)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=50)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    for objects in options.objects:
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            os.environ["NAPARI_SAM_STATE_DIR"] = f"{folder}/state"
            os.environ["NAPARI_SAM_CACHE_DIR"] = f"{folder}/embeddings"
            count, iou, seconds = segmented(options.planes, objects, options.pictures)
        print(
            f"{objects} objects, {options.planes} planes: {count} actions, mean 3-D IoU {iou:.3f}, "
            f"{seconds:.1f} s of following"
        )


if __name__ == "__main__":
    main()
