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
from napari_sam.widget.layers import label_at
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
    window.viewer.reset_view()  # the dock has made the canvas smaller
    window.rest(0.3)
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

    def note(name: str, action: Callable[[], object], said: str = "") -> None:
        window.rest(0.5)
        start, ends = time.perf_counter(), []

        def done() -> bool:
            if idle() and not ends:
                ends.append(time.perf_counter())
            return bool(ends)

        held = window.held(action, done)
        found[name] = 1000 * (ends[0] - start), 1000 * held
        text = window.dock.status.text()
        print(f"{name}: {text}", flush=True)
        if said not in text:
            raise RuntimeError(f"{name}: the status line does not say {said!r}")

    def press(key: Qt.Key, *modifiers: Qt.KeyboardModifier) -> Callable[[], object]:
        return lambda: QTest.keyClick(window.canvas, key, *modifiers)

    def point() -> None:
        """Point at the first disc, row by row, that there is a proposal of."""
        context, layer = window.dock.context, everything.view.layer
        half = SPACING // 2
        labels = context.shown().key.read_labels(layer.data)[half::SPACING, half::SPACING]
        row, column = np.argwhere(labels)[0].tolist()
        place = window.place(half + row * SPACING, half + column * SPACING)
        QTest.mouseMove(window.canvas, place)
        points = context.bench.prompts.points
        window.until(lambda: label_at(layer, points, window.viewer) == labels[row, column])

    quality = everything.panel.widgets["pred_iou_thresh"]
    note("everything on the plane shown", everything.run)
    note("a threshold moves", lambda: setattr(quality, "value", quality.value + 0.05))
    point()
    note("the first one accepted", press(Qt.Key.Key_A), "1 proposal accepted")
    point()
    note("one accepted", press(Qt.Key.Key_A), "1 proposal accepted")
    point()
    note("one rejected", press(Qt.Key.Key_X), "rejected")
    note("all accepted", press(Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier), "accepted")
    note("that taken back", press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier), "undone")
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
