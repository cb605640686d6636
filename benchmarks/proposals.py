"""How long the window is held while proposals are chosen and accepted, on a large stack.

Usage: python benchmarks/proposals.py [--planes N] [--side N] [--json FILE]

The stack is drawn: every plane shows the same few hundred discs, and takes no memory. Its labels
are too large for memory and lie in a folder of the system's place for temporary files. Times are
in milliseconds; "held" is the longest time for which the window answered nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.scheduler import Lane

SPACING, RADIUS = 72, 22
"""Pixels between the centres of discs, and their largest radius."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--planes", type=int, default=200)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    plane = discs(args.side)
    stack = np.broadcast_to(plane, (args.planes, *plane.shape))
    window = Window()
    window.viewer.add_image(stack, name="discs")
    window.open_dock()
    window.settle()
    with TemporaryDirectory() as folder:
        window.dock.context.folder.use(str(Path(folder) / "labels"))
        found = measured(window)
        window.dock.close_dock()
        window.viewer.close()
    print("| what | takes, ms | held, ms |\n|---|---|---|")
    for name, (takes, held) in found.items():
        print(f"| {name} | {takes:.0f} | {held:.0f} |")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


def measured(window: Window) -> dict[str, tuple[float, float]]:
    """Return how long each action takes, and how long it holds the window, ms."""
    everything = window.dock.feature(Everything)
    scheduler, history = window.dock.context.scheduler, window.dock.context.history
    found: dict[str, tuple[float, float]] = {}

    def idle() -> bool:
        busy = scheduler.any_busy((Lane.BULK, Lane.ACCEPT, Lane.LABELS))
        return not busy and not everything.proposals.busy and not history.walking

    def note(name: str, action: Callable[[], object]) -> None:
        window.rest(0.5)
        start, ends = time.perf_counter(), []

        def done() -> bool:
            if idle() and not ends:
                ends.append(time.perf_counter())
            return bool(ends)

        held = window.held(action, done)
        found[name] = 1000 * (ends[0] - start), 1000 * held
        print(f"{name}: {window.dock.status.text()}", flush=True)

    def press(key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> Callable[[], object]:
        return lambda: QTest.keyClick(window.canvas, key, *modifiers)

    def point(row: float, column: float) -> None:
        QTest.mouseMove(window.canvas, window.place(row, column))
        window.rest(0.3)

    quality = everything.panel.widgets["pred_iou_thresh"]
    note("everything on the plane shown", everything.run)
    note("a threshold moves", lambda: setattr(quality, "value", quality.value + 0.05))
    point(SPACING / 2, SPACING / 2)
    note("the first one accepted", press(Qt.Key.Key_A))
    point(1.5 * SPACING, SPACING / 2)
    note("one accepted", press(Qt.Key.Key_A))
    point(SPACING / 2, 1.5 * SPACING)
    note("one rejected", press(Qt.Key.Key_X))
    note("all accepted", press(Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier))
    note("that taken back", press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier))
    return found


def discs(side: int) -> NDArray[np.uint8]:
    """Return a plane (side, side) of bright discs of several sizes on a dark ground with noise."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    rows, columns = y % SPACING - SPACING / 2, x % SPACING - SPACING / 2
    radius = RADIUS * random.uniform(0.5, 1, (side // SPACING + 1,) * 2)
    inside = rows**2 + columns**2 < radius[y // SPACING, x // SPACING] ** 2
    plane = np.where(inside, 170, 40) + random.normal(0, 8, (side, side))
    return plane.clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
