"""Time of commits, undo and redo in a window with the journal on, and the bytes of the journal.

python benchmarks/history.py [--in-memory] [--operations 300]

A stack of 200 planes of 2048 x 2048 pixels, whose labels go to a folder; with --in-memory one of
50 planes, whose labels do not. Each object is a disc with a prompt, on a random plane. The
times are those of the functions that the keys call, with the journal, the labels and the layer's
refresh. `paint` also waits for the window.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QApplication
from window import Window

from napari_sam.objects import edits
from napari_sam.objects.journal_folder import size
from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, Prompts, SliceKey
from napari_sam.widget.history import Done
from napari_sam.widget.labels_view import LabelsView

SIDE, RADIUS = 2048, 40
WARM_UP = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--in-memory", action="store_true")
    parser.add_argument("--operations", type=int, default=300)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_SAM_STATE_DIR"] = f"{folder}/state"
        os.environ["NAPARI_SAM_CACHE_DIR"] = f"{folder}/embeddings"
        measure(Path(folder), 50 if args.in_memory else 200, args.operations)
        os._exit(0)


def measure(folder: Path, planes: int, operations: int) -> None:
    """Commit objects, take all back, make them again."""
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 255, (SIDE, SIDE), np.uint8)
    window = Window()
    window.viewer.add_image(np.broadcast_to(plane, (planes, SIDE, SIDE)), name="stack")
    window.open_dock()
    window.settle()
    context = window.dock.context
    if context.bench.results is None:
        context.folder.ready(lambda: None)
        context.folder.use(str(folder / "labels"))
        context.folder.open_objects(context.shown().key, lambda: None)
        window.until(lambda: context.bench.results is not None)
    view: LabelsView = context.bench.results
    times: dict[str, list[float]] = {"commit": [], "undo": [], "redo": [], "paint": []}

    def timed(name: str, do: Callable[[], None]) -> None:
        begun = time.perf_counter()
        do()
        times[name].append(time.perf_counter() - begun)
        QApplication.processEvents()
        if name == "commit":
            times["paint"].append(time.perf_counter() - begun)

    def commit() -> None:
        key = SliceKey((1, 2), ((0, int(rng.integers(planes))),))
        outline = disc(rng.integers(RADIUS, SIDE - RADIUS, 2))
        view.apply(edits.keep(view.store, [{key: outline}]))

    def walked(walk: Callable[[Done], None]) -> None:
        walk(lambda text, boxes: None)
        while context.history.walking:
            QApplication.processEvents()

    for _ in range(operations + WARM_UP):
        timed("commit", commit)
    journal = context.recording.journal
    nbytes = size(journal.path)
    for name, walk in (("undo", context.history.undo), ("redo", context.history.redo)):
        for _ in range(operations):
            timed(name, lambda walk=walk: walked(walk))
    where = "in a folder" if view.info().stored else "in memory"
    print(f"{planes} x {SIDE} x {SIDE}, labels {where}, {operations} operations each")
    for name, seconds in times.items():
        measured = 1000 * np.array(seconds[WARM_UP if name in ("commit", "paint") else 0 :])
        print(f"{name:7} median {np.median(measured):6.1f} ms, max {measured.max():6.1f} ms")
    count = operations + WARM_UP
    print(
        f"journal {nbytes / 1e6:.2f} MB after {count} commits, {nbytes / count / 1e3:.1f} kB each"
    )
    window.dock.close_dock()


def disc(centre: NDArray[np.integer]) -> Outline:
    """Return a disc with the point that made it."""
    y, x = (int(one) for one in centre)
    rows, columns = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    bits = rows**2 + columns**2 <= RADIUS**2
    bits ^= np.random.default_rng(y * SIDE + x).random(bits.shape) < 0.02  # no outline is smooth
    mask = Mask.of(bits, (x - RADIUS, y - RADIUS), (SIDE, SIDE))
    prompts = Prompts(np.array([[x, y]], float), np.array([1]))
    return Outline(mask, prompts, 0, 0.9, "prompted", "pocket")


if __name__ == "__main__":
    main()
