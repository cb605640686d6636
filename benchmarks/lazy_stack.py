"""Seconds and memory to the first mask on a stack of 100 GB that is computed when it is read.

Needs a display, as `interface.py` does. Counted are adding the layer, its first picture, encoding
the plane, a click and the painted mask: with the dock open and the model loaded, and from the very
start of the plugin (napari itself stands already). Then two commits; the labels of such a stack go
to arrays in a folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
import psutil
from numpy.typing import NDArray
from window import Window, calls, ms, report

from napari_sam.widget.features.prompting.logic import Prompting

SIDE = 1024
DISC, ELSEWHERE = (400.0, 600.0), (900.0, 100.0)
RADIUS = 60


def lazy(planes: int) -> da.Array:
    """Return (planes, 1024, 1024) uint8: a bright disc on noise, computed plane by plane."""

    def plane(block_info: object = None) -> NDArray[np.uint8]:
        rows, columns = np.ogrid[:SIDE, :SIDE]
        disc = (rows - DISC[0]) ** 2 + (columns - DISC[1]) ** 2 < RADIUS**2
        noise = np.random.default_rng(0).integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
        return (noise + 150 * disc.astype(np.uint8))[None]

    chunks = ((1,) * planes, (SIDE,), (SIDE,))
    return da.map_blocks(plane, chunks=chunks, dtype=np.uint8, meta=np.empty((0,) * 3, np.uint8))


def first_mask(window: Window, stack: da.Array) -> None:
    """Add a stack to the window and click the disc as soon as the dock has taken the layer."""
    window.viewer.add_image(stack, contrast_limits=(0, 255))
    if window.dock is None:
        window.open_dock()
    context = window.dock.context
    window.until(lambda: context.bench.prompts.points is not None)
    window.until(lambda: context.session is not None)
    written = calls(window.dock.feature(Prompting).asker, "_on_answers")
    window.painted(lambda: window.click(*DISC), lambda: written)


def commits(window: Window, folder: str) -> dict[str, float]:
    """Return how long commits to arrays in a folder hold the event loop, in ms."""
    context, prompting, found = window.dock.context, window.dock.feature(Prompting), {}
    context.folder.use(folder)
    for name, place in (("first", DISC), ("next", ELSEWHERE)):
        window.click(*place)
        window.until(lambda: prompting.asker.shown)
        window.rest(0.3)
        committed = lambda: context.bench.results and not prompting.asker.shown  # noqa: E731
        found[f"held_{name}_commit_ms"] = ms(window.held(prompting.commit, committed))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=100_000)
    parser.add_argument("--cold", action="store_true", help="from the very start of the plugin")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    args = parser.parse_args()
    stack, window = lazy(args.planes), Window()
    if not args.cold:
        window.viewer.add_image(lazy(3)[:, :64, :64], contrast_limits=(0, 255))
        window.open_dock()
        window.settle()
        window.viewer.layers.clear()
        window.rest(0.5)
    process = psutil.Process()
    before, start = process.memory_info().rss, time.perf_counter()
    first_mask(window, stack)
    seconds, grown = time.perf_counter() - start, process.memory_info().rss - before
    name = f"{stack.nbytes / 1e9:.0f} GB, {'cold' if args.cold else 'warm'}"
    window.settle()
    settled = process.memory_info().rss - before
    figures = {
        "first_mask_s": round(seconds, 2),
        "grown_mb": round(grown / 1e6),
        "grown_with_neighbours_mb": round(settled / 1e6),
    }
    with tempfile.TemporaryDirectory() as folder:
        figures |= commits(window, folder)
    window.viewer.close()
    report({name: figures}, args.json)


if __name__ == "__main__":
    main()
