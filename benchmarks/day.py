"""A day of work in a real napari window, on images of every kind, with the bundled model.

Needs a display (`xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/day.py --out FOLDER`).
For each kind of image: the dock is opened, an object is clicked, corrected and kept, another is
boxed and kept, everything mode runs, one of its objects is deleted, the deletion is undone and
redone, the labels are saved, the window is closed and opened again, and the work goes on with the
saved labels. Prints a table and writes a picture of the window for each kind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import Window

from napari_sam.images.samples import STACK_SCALE, cells_stack_with_labels
from napari_sam.widget.commands import find_dock
from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.features.prompting.logic import Prompting
from napari_sam.widget.scheduler import Lane

PLANE = 12
"""A plane of the drawn stack with many nuclei."""
GOOD = 0.7
"""IoU that counts as found."""

Pixels = NDArray[Any]
Added = tuple[Any, dict[str, Any]]


def with_hot_pixels(plane: Pixels) -> Pixels:
    """Return a plane with twenty pixels at the largest value."""
    hot = plane.copy()
    rows, columns = np.random.default_rng(0).integers(plane.shape[0], size=(2, 20))
    hot[rows, columns] = 65535
    return hot


def with_nan(plane: Pixels) -> Pixels:
    """Return a plane of floats with a border that is not a number."""
    floats = plane.astype(np.float32)
    floats[:8] = np.nan
    return floats


def in_colour(plane: Pixels) -> NDArray[np.uint8]:
    """Return a plane as violet nuclei on a light ground, as in a stained section."""
    depth = np.clip((plane - plane.min()) / (np.percentile(plane, 99.8) - plane.min()), 0, 1)
    light = np.array([235, 225, 235]) - depth[..., None] * np.array([140, 170, 90])
    return np.rint(light).astype(np.uint8)


def images(kind: str) -> tuple[list[Added], Pixels, tuple[int, ...]]:
    """Return what is added to the viewer, the true labels, and the order of the axes."""
    stack, truth = cells_stack_with_labels()
    plane, labels = stack[PLANE], truth[PLANE]
    spaced = {"name": "stack", "scale": STACK_SCALE}
    ground = np.random.default_rng(1).normal(300, 20, (2, *plane.shape)).astype(np.uint16)
    kinds: dict[str, tuple[list[Added], Pixels]] = {
        "2-D": ([(plane, {"name": "plane"})], labels),
        "stack, XY": ([(stack, spaced)], truth),
        "stack, XZ": ([(stack, spaced)], truth),
        "colour": ([(in_colour(plane), {"name": "section", "rgb": True})], labels),
        "three channels": (
            [(np.stack([*ground, plane]), {"channel_axis": 0, "name": ["a", "b", "nuclei"]})],
            labels,
        ),
        "4-D": ([(np.stack([stack, stack]), {"name": "movie"})], np.stack([truth, truth])),
        "pyramid": ([([plane, plane[::2, ::2]], {"name": "pyramid", "multiscale": True})], labels),
        "hot pixels": ([(with_hot_pixels(plane), {"name": "hot"})], labels),
        "not a number": ([(with_nan(plane), {"name": "nan"})], labels),
    }
    added, true = kinds[kind]
    ndim = true.ndim
    order = (1, 0, 2) if kind == "stack, XZ" else tuple(range(ndim))
    return added, true, order


class Day:
    """One kind of image in one window."""

    def __init__(self, kind: str, folder: Path, out: Path) -> None:
        self.kind, self.folder, self.out = kind, folder, out
        self.added, self.truth, self.order = images(kind)
        self.found: dict[str, str] = {}
        self.window = self.open()

    def open(self) -> Window:
        """Open a window with the images and, after a restart, the labels; then the dock."""
        window = Window()
        for data, options in self.added:
            window.viewer.add_image(data, **options)
        saved = self.folder / "labels.tif"
        if saved.exists():
            image = window.viewer.layers[-1]
            window.viewer.add_labels(tifffile.imread(saved), name="labels", scale=image.scale)
        window.viewer.dims.order = self.order
        window.dock = find_dock(window.viewer)
        window.settle()
        window.until(lambda: not window.dock.context.scheduler.is_busy(Lane.LABELS))
        if window.viewer.dims.ndim > 2:
            axis = window.viewer.dims.order[-3]
            middle = PLANE if axis == window.viewer.dims.ndim - 3 else 128
            window.viewer.dims.set_current_step(axis, middle)
        window.viewer.reset_view()
        window.settle()
        return window

    @property
    def bench(self) -> Any:
        """The layers of the dock."""
        return self.window.dock.context.bench

    @property
    def prompting(self) -> Any:
        """The dock's part for prompts."""
        return self.window.dock.feature(Prompting)

    def plane(self, array: Pixels) -> Pixels:
        """Return the plane shown of an array of labels."""
        key = self.window.dock.context.shown().key
        plane = array[key.index]
        return plane if key.displayed[0] < key.displayed[1] else plane.T

    def middles(self) -> list[tuple[int, int, int]]:
        """Return (label, row, column) of objects of the plane shown, the largest first."""
        plane = self.plane(self.truth)
        sizes = np.bincount(plane.ravel())
        labels = [int(k) for k in np.argsort(-sizes) if k and sizes[k] > 40]
        places = {k: np.argwhere(plane == k) for k in labels}
        return [(k, *(int(v) for v in places[k][len(places[k]) // 2])) for k in labels]

    def world(self, row: float, column: float) -> tuple[float, float]:
        """Return where a pixel of the plane lies on the canvas, in the world."""
        scale = self.bench.frame.transform["scale"]
        rows, columns = self.window.dock.context.shown().key.displayed
        return row * scale[rows], column * scale[columns]

    def answered(self, act: Callable[[], None]) -> None:
        """Do something and wait until a new answer is shown."""
        before = self.prompting.asker.shown
        act()
        self.window.until(
            lambda: (
                self.prompting.asker.shown not in (None, before)
                and not self.prompting.asker.pending
            ),
            20,
        )

    def overlap(self, label: int, mine: Pixels) -> float:
        """Return the best IoU of a label of ours with a true object."""
        true = self.plane(self.truth) == label
        best = 0.0
        for k in np.unique(mine[true]):
            found = mine == k
            best = max(best, float((found & true).sum() / (found | true).sum())) if k else best
        return best

    def step(self, name: str, act: Callable[[], str]) -> None:
        """Do one step; note what came of it."""
        try:
            self.found[name] = act()
        except (TimeoutError, ValueError, IndexError, AttributeError, KeyError) as error:
            self.found[name] = f"FAILED {type(error).__name__}: {error}"

    def click(self) -> str:
        """Click the first object, correct it with a second point, and keep it."""
        label, row, column = self.middles()[0]
        self.answered(lambda: self.window.click(*self.world(row, column)))
        self.answered(lambda: self.window.click(*self.world(row + 1, column + 1)))
        self.window.press(Qt.Key.Key_Return)
        return self.judged(label)

    def box(self) -> str:
        """Drag a box around the second object, and keep it."""
        label, *_ = self.middles()[1]
        rows, columns = np.nonzero(self.plane(self.truth) == label)
        self.prompting.tools.use("boxes")
        self.window.rest(0.2)
        a = self.window.place(*self.world(rows.min() - 1, columns.min() - 1))
        b = self.window.place(*self.world(rows.max() + 1, columns.max() + 1))

        def drag() -> None:
            QTest.mousePress(self.window.canvas, Qt.MouseButton.LeftButton, pos=a)
            for k in range(1, 6):
                QTest.mouseMove(self.window.canvas, a + (b - a) * k / 5)
                self.window.rest(0.03)
            QTest.mouseRelease(self.window.canvas, Qt.MouseButton.LeftButton, pos=b)

        self.answered(drag)
        self.window.press(Qt.Key.Key_Return)
        self.prompting.tools.use("points")
        return self.judged(label)

    def judged(self, label: int) -> str:
        """Return the IoU of a kept object."""
        score = self.overlap(label, self.plane(np.asarray(self.bench.results.layer.data)))
        return f"{'' if score >= GOOD else 'POOR '}{score:.2f}"

    def everything(self) -> str:
        """Run everything mode on the plane shown."""
        feature = self.window.dock.feature(Everything)
        feature.run(all_planes=False)
        self.window.until(lambda: not self.window.dock.context.scheduler.is_busy(Lane.BULK))
        self.window.rest(0.3)
        mine = self.plane(np.asarray(self.bench.everything.layer.data))
        hits = sum(self.overlap(label, mine) >= 0.5 for label, *_ in self.middles())
        return f"{hits} of {len(self.middles())}, {len(np.unique(mine)) - 1} found"

    def reject(self) -> str:
        """Delete one object of everything mode under the pointer; undo; redo."""
        layer = self.bench.everything.layer
        plane = self.plane(np.asarray(layer.data))
        kept = self.plane(np.asarray(self.bench.results.layer.data))
        free = np.argwhere((plane > 0) & (kept == 0))
        row, column = free[len(free) // 2]
        label = int(plane[row, column])
        self.window.viewer.layers.selection.active = layer
        self.window.hover(*self.world(row, column))
        QTest.mouseMove(self.window.canvas, self.window.place(*self.world(row, column)))
        self.window.rest(0.2)
        counts = []
        control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
        for key, held in (
            (Qt.Key.Key_D, control),
            (Qt.Key.Key_Z, control),
            (Qt.Key.Key_Z, control | shift),
        ):
            QTest.keyClick(self.window.canvas, key, held)
            self.window.rest(0.3)
            counts.append(int(np.count_nonzero(np.asarray(layer.data) == label)))
        good = counts[0] == 0 and counts[1] > 0 and counts[2] == 0
        return "ok" if good else f"FAILED {counts}: {self.window.dock.status.text()}"

    def reopen(self) -> str:
        """Save, close, open again, and go on with the third object."""
        self.window.viewer.window._qt_window.grab().save(str(self.out / f"{self.kind}.png"))
        before = np.asarray(self.bench.results.layer.data)
        tifffile.imwrite(self.folder / "labels.tif", before)
        self.window.dock.close_dock()
        self.window.viewer.close()
        self.window = self.open()
        if self.bench.results.layer.name != "labels":
            return f"FAILED objects go into {self.bench.results.layer.name}"
        label, row, column = self.middles()[2]
        self.answered(lambda: self.window.click(*self.world(row, column)))
        self.window.press(Qt.Key.Key_Return)
        after = np.asarray(self.bench.results.layer.data)
        added = sorted(set(np.unique(after)) - set(np.unique(before)))
        if added != [before.max() + 1] or not np.array_equal(after[before > 0], before[before > 0]):
            return f"FAILED new labels {added}"
        return self.judged(label)


def main() -> None:
    """Run a day for each kind, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--kind", help="one kind of image only; prints JSON")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.kind:
        with tempfile.TemporaryDirectory() as folder:
            day = Day(args.kind, Path(folder), args.out)
            steps = (day.click, day.box, day.everything, day.reject, day.reopen)
            for act in steps:
                day.step(act.__name__, act)
            print(json.dumps(day.found), flush=True)
            day.window.dock.close_dock()
            day.window.viewer.close()
        return
    kinds = (
        "2-D", "stack, XY", "stack, XZ", "colour", "three channels", "4-D", "pyramid",
        "hot pixels", "not a number",
    )  # fmt: skip
    print("| image | click, correct, keep | box, keep | everything | delete, undo, redo | reopen |")
    print("|---|---|---|---|---|---|")
    for kind in kinds:
        command = [sys.executable, __file__, "--out", str(args.out), "--kind", kind]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            print(f"| {kind} | FAILED, exit {done.returncode}: {done.stderr[-300:]} |")
            continue
        found = json.loads(lines[-1])
        print(f"| {kind} | {' | '.join(found.values())} |", flush=True)


if __name__ == "__main__":
    main()
