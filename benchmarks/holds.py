"""How long each tool of the dock holds the window, on a stack of 2048 x 2048 x 200.

Usage: python benchmarks/holds.py [--side 2048] [--planes 200] [--pictures FOLDER]

The stack shows discs that drift from plane to plane. Every action is a mouse or key event; the
event loop is held as long as a timer of 1 ms does not come round. On a machine that does other
things as well, what the main thread itself computes in one event is the better measure. The last
column is what napari alone takes for the largest part of an action, on the same stack in the same
run: to draw a plane again, to add a point, a layer, to take a layer out of the viewer, and what one
collection of Python's garbage takes there.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.scheduler import Lane

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
        self.alone: dict[str, str] = {}  # what napari alone takes

    def measure(self, name: str, act: Callable[[], object], alone: str = "") -> None:
        """Print the longest time that the event loop is held until all is quiet again."""
        held, computed = self.window.holds(act, self._is_quiet, 600)
        times = f"{1000 * held:.0f} | {1000 * computed:.0f}"
        if self.window.dock is None:
            self.alone[name] = f"{name}: {1000 * held:.0f}, {1000 * computed:.0f}"
            name = f"napari alone: {name}"
        print(f"| {name} | {times} | {self.alone.get(alone, '')} |", flush=True)
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            path = self.pictures / f"{name.replace(' ', '_')}.png"
            self.window.viewer.screenshot(str(path), canvas_only=False)
            self.window.rest(0.5)

    def key(self, name: str, key: Any, modifier: Any = PLAIN, alone: str = "") -> None:
        """Press a key with the pointer where it is."""
        act = partial(QTest.keyClick, self.window.canvas, key, modifier)
        self.measure(name, act, alone)

    def point_at(self, row: float, column: float) -> None:
        """Move the pointer."""
        QTest.mouseMove(self.window.canvas, self.window.place(row, column))
        self.window.rest(0.3)

    def _is_quiet(self) -> bool:
        dock = self.window.dock
        if dock is None:
            return True
        measuring = dock.context.scheduler.any_busy((Lane.REVIEW, Lane.LABELS, Lane.ACCEPT))
        return self.window.quiet() and not measuring and not dock.context.history.walking


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


def measure_napari(
    hands: Holds, shape: tuple[int, ...], labels: Path, place: tuple[float, float]
) -> None:
    """Measure what napari takes without the dock."""
    window, viewer = hands.window, hands.window.viewer
    points = viewer.add_points(ndim=3, size=4)
    points.mode = "add"
    viewer.add_labels(np.zeros((1, 1, 1), np.uint8))  # the first of a kind takes longer
    window.rest(1)
    step = viewer.dims.current_step[0] + 1
    hands.measure("draw again", window.canvas.update)
    hands.measure("a point", partial(window.click, *place))
    hands.measure("slider", partial(viewer.dims.set_current_step, 0, step))
    array = zarr.create_array(labels, shape=shape, chunks=(1, *shape[1:]), dtype=np.int32)
    hands.measure("add a layer", partial(viewer.add_labels, array))
    hands.measure("refresh it", viewer.layers[-1].refresh)
    hands.measure("contours", partial(setattr, viewer.layers[-1], "contour", 1))
    hands.measure("remove it", partial(viewer.layers.remove, viewer.layers[-1]))
    hands.measure("garbage", gc.collect)
    for layer in viewer.layers[1:]:
        viewer.layers.remove(layer)
    window.rest(1)


def run(image: NDArray[np.uint8], labels: Path, pictures: Path | None) -> None:
    """Measure all actions."""
    window = Window()
    window.viewer.add_image(image, name="stack", contrast_limits=(0, 255))
    middle = len(image) // 2
    window.viewer.dims.set_current_step(0, middle)
    window.rest(1)
    hands = Holds(window, pictures)
    print("| action | longest hold, ms | most computed in an event | napari alone |")
    print("|---|---|---|---|")
    at = [PITCH / 2 + PITCH * k for k in range(image.shape[1] // PITCH)]
    measure_napari(hands, image.shape, labels.with_name("alone.zarr"), (at[9], at[9]))
    window.viewer.dims.set_current_step(0, middle)
    window.open_dock()
    window.settle()
    context = window.dock.context
    labels.mkdir()
    context.folder.use(str(labels))
    window.settle()
    hands.measure("slider", partial(window.viewer.dims.set_current_step, 0, middle + 1))
    hands.measure("slider back", partial(window.viewer.dims.set_current_step, 0, middle))
    hands.measure("a click", partial(window.click, at[9], at[9]), "a point")
    hands.key("next candidate", KEYS.Key_N)
    hands.measure("a second click", partial(window.click, at[9] + 8, at[9]))
    hands.key("step back", KEYS.Key_B)
    hands.key("commit", KEYS.Key_Return, alone="add a layer")
    hands.key("undo", KEYS.Key_Z, CONTROL, alone="refresh it")
    hands.key("redo", KEYS.Key_Z, CONTROL | SHIFT, alone="refresh it")
    hands.point_at(at[9], at[9])
    hands.key("grow", KEYS.Key_Period)
    hands.key("smooth", KEYS.Key_J)
    hands.key("fill holes", KEYS.Key_H)
    hands.key("open again", KEYS.Key_E)
    hands.key("leave it", KEYS.Key_Escape)
    hands.measure("a click for propagation", partial(window.click, at[11], at[9]))
    hands.key("propagate", KEYS.Key_P)
    hands.key("commit of all planes", KEYS.Key_Return, alone="refresh it")
    button = window.dock.feature(Everything).panel.plane_button
    press = partial(QTest.mouseClick, button, Qt.MouseButton.LeftButton)
    hands.measure("everything", press, "add a layer")
    hands.key("accept all", KEYS.Key_A, SHIFT)
    window.rest(2)
    hands.point_at(at[9], at[9])
    hands.key("find similar", KEYS.Key_F, alone="garbage")
    hands.key("next to look at", KEYS.Key_R, alone="contours")
    hands.key("delete", KEYS.Key_D, CONTROL, alone="contours")


if __name__ == "__main__":
    main()
