"""From the key that saves to "saved": 1,000 objects in 200 planes of 2048 x 2048, in a window.

Needs a display (`xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/saving.py`). Once the
labels are in a folder, as the dock keeps those of such a stack, and once in memory. Prints the
seconds of two saves, the longest pause of the window meanwhile, and the size of the project. With
`--painting`, an object is kept while each save runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from window import Window

from napari_sam.formats.labels_store import open_labels
from napari_sam.formats.project import PROJECT
from napari_sam.objects.edit import Edit
from napari_sam.objects.patch import Patch
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.types import Mask, SliceKey

DISC = np.hypot(*np.mgrid[-20:20, -20:20]) < 19


def drawn_objects(labels: Any, planes: int, count: int) -> dict[int, SegmentedObject]:
    """Draw discs into labels, the same number into each plane; return them as objects."""
    random = np.random.default_rng(0)
    side = labels.shape[-1]
    objects = {}
    each = count // planes
    for z in range(planes):
        plane = np.zeros(labels.shape[1:], labels.dtype)
        for label in range(1 + z * each, 1 + (z + 1) * each):
            y, x = (int(n) for n in random.integers(0, side - 40, 2))
            plane[y : y + 40, x : x + 40][DISC] = label
            outline = Outline(Mask.of(DISC, (x, y), (side, side)))
            objects[label] = SegmentedObject(label, {SliceKey((1, 2), ((0, z),)): outline})
        labels[z] = plane
    return objects


class Pauses:
    """Measures for how long the window does not answer."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._on_timeout)
        self._timer.start(1)

    def _on_timeout(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last)
        self._last = now

    def end(self) -> float:
        """Return the longest pause, s."""
        self._timer.stop()
        return self.longest


def save(window: Window, place: Path, number: int, painting: bool) -> None:
    """Press the key and print what it took."""
    saves, view = window.dock.context.saves, window.dock.context.bench.results
    pauses, start = Pauses(), time.perf_counter()
    QTest.keyClick(window.canvas, Qt.Key.Key_S)
    pressed = time.perf_counter() - start
    if painting:
        box = (slice(number, number + 1), slice(0, 9), slice(0, 9))
        old = view.store.canvas.read(box)
        view.apply(Edit("a box", (Patch.of(box, old, np.full_like(old, 1001)),)))
    window.until(lambda: not saves.busy)
    seconds = time.perf_counter() - start
    pause = pauses.end()
    size = sum(one.stat().st_size for one in place.rglob("*") if one.is_file())
    print(
        f"  save {number}: {seconds:.2f} s, longest pause {pause * 1000:.0f} ms (key "
        f"{pressed * 1000:.0f} ms), {size / 1e6:.1f} MB"
    )
    found = PROJECT.read(place, None)
    for z in (0, number, found.labels.shape[0] - 1):
        if not np.array_equal(found.labels[z], view.layer.data[z]):
            raise RuntimeError(f"plane {z} was not saved as it is")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--planes", type=int, default=200)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--painting", action="store_true")
    options = parser.parse_args()
    shape = (options.planes, options.side, options.side)
    window = Window()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in ("folder", "memory"):
            image = window.viewer.add_image(np.zeros(shape, np.uint8), name="stack")
            if window.dock is None:
                window.open_dock()
            bench, saves = window.dock.context.bench, window.dock.context.saves
            bench.use_image(image)
            if kind == "folder":
                labels = open_labels(folder / "labels", "objects", shape, (1, 2), "zyx", {})
            else:
                labels = np.zeros(shape, np.uint16)
            objects = drawn_objects(labels, options.planes, options.objects)
            layer = window.viewer.add_labels(labels)
            bench.use_results(layer, options.objects)
            made = {label: (None, one) for label, one in objects.items()}
            bench.results.apply(Edit("objects", objects=made))
            place = folder / f"{kind}.samproject"
            saves.use_place(image, place)
            window.rest(1.0)
            print(f"labels in {kind}: {labels.dtype}, {labels.nbytes / 1e9:.1f} GB")
            for number in (1, 2):
                save(window, place, number, options.painting)
            window.viewer.layers.clear()
    window.viewer.close()


if __name__ == "__main__":
    main()
