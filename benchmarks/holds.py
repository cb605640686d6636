"""How long each tool of the dock holds the window, on a stack of 2048 x 2048 x 200.

Usage: python benchmarks/holds.py [--side 2048] [--planes 200] [--pictures FOLDER]

The stack shows discs that drift from plane to plane. Every action is a mouse or key event; the
event loop is held as long as a timer of 1 ms does not come round. The first lines are napari alone:
what it takes to draw such a plane again, to add a point, and to move the slider.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam.widget.features.everything.logic import Everything

PITCH, RADIUS = 96, 30
KEYS = Qt.Key
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
PLAIN = Qt.KeyboardModifier.NoModifier


def stack(planes: int, side: int) -> NDArray[np.uint8]:
    """Return discs on a noisy ground (planes, side, side)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:PITCH, :PITCH] - PITCH / 2 + 0.5
    cell = np.where(np.hypot(x, y) < RADIUS, 150, 40)
    plane = np.tile(cell, (side // PITCH + 1,) * 2)[:side, :side]
    plane = np.clip(plane + rng.normal(0, 8, plane.shape), 0, 255).astype(np.uint8)
    image = np.empty((planes, side, side), np.uint8)
    for place in range(planes):
        image[place] = np.roll(plane, place - planes // 2, axis=1)
    return image


class Holds:
    """Does one action after the other and prints how long the window was held."""

    def __init__(self, window: Window, pictures: Path | None) -> None:
        self.window, self.pictures = window, pictures

    def measure(self, name: str, act: Callable[[], object]) -> None:
        """Print the longest time that the event loop is held until all is quiet again."""
        held = self.window.held(act, self._is_quiet, 600)
        print(f"| {name} | {1000 * held:.0f} |", flush=True)
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            path = self.pictures / f"{name.replace(' ', '_')}.png"
            self.window.viewer.screenshot(str(path), canvas_only=False)
            self.window.rest(0.5)

    def key(self, name: str, key: Any, modifier: Any = PLAIN) -> None:
        """Press a key with the pointer where it is."""
        self.measure(name, partial(QTest.keyClick, self.window.canvas, key, modifier))

    def point_at(self, row: float, column: float) -> None:
        """Move the pointer."""
        QTest.mouseMove(self.window.canvas, self.window.place(row, column))
        self.window.rest(0.3)

    def _is_quiet(self) -> bool:
        dock = self.window.dock
        if dock is None:
            return True
        return self.window.quiet() and not dock.context.history.walking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--planes", type=int, default=200)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_SAM_STATE_DIR"] = f"{folder}/state"
        os.environ["NAPARI_SAM_CACHE_DIR"] = f"{folder}/embeddings"
        os.environ["NAPARI_SAM_CONFIG_DIR"] = f"{folder}/config"
        run(stack(options.planes, options.side), Path(folder) / "labels", options.pictures)
        sys.stdout.flush()
        os._exit(0)


def run(image: NDArray[np.uint8], labels: Path, pictures: Path | None) -> None:
    """Measure all actions."""
    window = Window()
    window.viewer.add_image(image, name="stack", contrast_limits=(0, 255))
    middle = len(image) // 2
    window.viewer.dims.set_current_step(0, middle)
    window.rest(1)
    hands = Holds(window, pictures)
    print("| action | longest hold, ms |\n|---|---|")
    points = window.viewer.add_points(ndim=3, size=4)
    points.mode = "add"
    window.rest(1)
    at = [PITCH / 2 + PITCH * k for k in range(image.shape[1] // PITCH)]
    hands.measure("napari alone: draw again", window.canvas.update)
    hands.measure("napari alone: a point", partial(window.click, at[9], at[9]))
    hands.measure(
        "napari alone: slider", partial(window.viewer.dims.set_current_step, 0, middle + 1)
    )
    window.viewer.layers.remove(points)
    window.viewer.dims.set_current_step(0, middle)
    window.open_dock()
    window.settle()
    context = window.dock.context
    labels.mkdir()
    context.folder.use(str(labels))
    window.settle()
    hands.measure("slider", partial(window.viewer.dims.set_current_step, 0, middle + 1))
    hands.measure("slider back", partial(window.viewer.dims.set_current_step, 0, middle))
    hands.measure("a click", partial(window.click, at[9], at[9]))
    hands.key("next candidate", KEYS.Key_N)
    hands.measure("a second click", partial(window.click, at[9] + 8, at[9]))
    hands.key("step back", KEYS.Key_B)
    hands.key("commit", KEYS.Key_Return)
    hands.key("undo", KEYS.Key_Z, CONTROL)
    hands.key("redo", KEYS.Key_Z, CONTROL | SHIFT)
    hands.point_at(at[9], at[9])
    hands.key("grow", KEYS.Key_Period)
    hands.key("smooth", KEYS.Key_J)
    hands.key("fill holes", KEYS.Key_H)
    hands.key("open again", KEYS.Key_E)
    hands.key("leave it", KEYS.Key_Escape)
    hands.measure("a click for propagation", partial(window.click, at[11], at[9]))
    hands.key("propagate", KEYS.Key_P)
    hands.key("commit of all planes", KEYS.Key_Return)
    button = window.dock.feature(Everything).panel.plane_button
    hands.measure("everything", partial(QTest.mouseClick, button, Qt.MouseButton.LeftButton))
    hands.key("accept all", KEYS.Key_A, SHIFT)
    window.rest(2)
    hands.point_at(at[9], at[9])
    hands.key("find similar", KEYS.Key_F)
    hands.key("next to look at", KEYS.Key_R)
    hands.key("delete", KEYS.Key_D, CONTROL)


if __name__ == "__main__":
    main()
