"""Seconds and memory to the first mask on a stack of 100 GB that is computed when it is read.

Needs a display, as `interface.py` does. Counted are adding the layer, its first picture, encoding
the plane, a click and the painted mask: with the dock open and the model loaded, and from the very
start of the plugin (napari itself stands already). Then two commits; the labels of such a stack go
to arrays in a folder.

    python benchmarks/lazy_stack.py --propagate

needs no display: an object of such a stack of 2,000 planes is followed through 100 of them, and
its labels are written to an OME-Zarr as they come. Counted are the time to the first plane, the
memory, the planes that were read, and the time from a stop to the end of the work.
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

from napari_sam import Mask, Plane, Prompts, SamPredictor, Session, SliceKey, load_model, stopping
from napari_sam.formats.label_result import label_result
from napari_sam.images.readers import StackImage
from napari_sam.stack.propagate import Found, FoundPlane, propagate
from napari_sam.widget.features.prompting.logic import Prompting

SIDE = 1024
DISC, ELSEWHERE = (400.0, 600.0), (900.0, 100.0)
RADIUS = 60
STACK, FOLLOWED = 2000, range(950, 1050)
"""Planes of the stack in which an object is followed, and those into which it is."""
STEADY = 20
"""Planes after which memory is expected to stay as it is."""
MOST_BYTES = 30_000_000
"""Of embeddings that are kept."""


def lazy(planes: int, read: list[int] | None = None) -> da.Array:
    """Return (planes, 1024, 1024) uint8: a bright disc on noise, computed plane by plane.

    The planes that are computed are added to `read`.
    """

    def plane(block_info: dict[None, dict[str, tuple[int, ...]]]) -> NDArray[np.uint8]:
        if read is not None:
            read.append(block_info[None]["chunk-location"][0])
        rows, columns = np.ogrid[:SIDE, :SIDE]
        disc = (rows - DISC[0]) ** 2 + (columns - DISC[1]) ** 2 < RADIUS**2
        noise = np.random.default_rng(0).integers(0, 60, (SIDE, SIDE), dtype=np.uint8)
        return (noise + 150 * disc.astype(np.uint8))[None]

    chunks = ((1,) * planes, (SIDE,), (SIDE,))
    return da.map_blocks(plane, chunks=chunks, dtype=np.uint8, meta=np.empty((0,) * 3, np.uint8))


def follow(model: str) -> dict[str, float]:
    """Return figures of an object that is followed through a part of a lazy stack."""
    read: list[int] = []
    stack, process = lazy(STACK, read), psutil.Process()
    image = StackImage(stack, "ZYX")  # any array that is read plane by plane
    predictor = SamPredictor(load_model(model))
    session = Session(predictor, max_bytes=MOST_BYTES)
    planes = [Plane(stack, SliceKey((1, 2), ((0, z),))) for z in range(STACK)]
    middle = FOLLOWED[len(FOLLOWED) // 2]
    row, column = DISC
    box = (column - RADIUS, row - RADIUS, column + RADIUS, row + RADIUS)
    start = time.perf_counter()
    answer = session.predict_many(planes[middle], [Prompts(box=box)])[0]
    keyframes = {1: {middle: answer.masks[answer.best]}}
    seconds: list[float] = []
    memory: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.ome.zarr"
        with label_result(path, image, None, False) as result:
            known = {number: Found(masks[middle], 1.0) for number, masks in keyframes.items()}
            result.labels[middle] = painted(FoundPlane(middle, known))
            for step in propagate(session, planes, keyframes, FOLLOWED):
                if isinstance(step, FoundPlane):
                    result.labels[step.place] = painted(step)
                    seconds.append(time.perf_counter() - start)
                    memory.append(process.memory_info().rss)
        found = sum(bool(np.any(result.labels[z])) for z in FOLLOWED)
    return {
        "first_plane_s": round(seconds[0], 2),
        "planes_in_2_s": sum(one <= 2 for one in seconds),
        "s_per_plane": round((seconds[-1] - seconds[0]) / (len(seconds) - 1), 3),
        "found_planes": found,
        "read_outside": len(set(read) - set(FOLLOWED)),
        "grown_after_20_mb": round((memory[-1] - memory[STEADY]) / 1e6),
        "stopped_ms": stopped(predictor, planes, keyframes),
    }


def painted(step: FoundPlane) -> NDArray[np.int32]:
    """Return the labels of a plane that an object was followed into."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, one in step.found.items():
        labels[one.mask.part][one.mask.bits] = number
    return labels


def stopped(
    predictor: SamPredictor, planes: list[Plane], keyframes: dict[int, dict[int, Mask]]
) -> float:
    """Return the longest time from a stop to the end of the work, ms, at ten moments."""
    slowest = 0.0
    for delay in np.linspace(0.5, 1.4, 10):
        session = Session(predictor, max_bytes=MOST_BYTES)
        end = time.perf_counter() + delay
        try:
            with stopping.stoppable(lambda end=end: time.perf_counter() >= end):
                for _ in propagate(session, planes, keyframes, FOLLOWED):
                    stopping.check()
        except stopping.Stopped:
            slowest = max(slowest, time.perf_counter() - end)
    return round(1000 * slowest)


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
    parser.add_argument("--propagate", action="store_true", help="follow an object; no display")
    parser.add_argument("--model", default="pocket", help="of --propagate")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    args = parser.parse_args()
    if args.propagate:
        report({f"{STACK} planes, {len(FOLLOWED)} followed": follow(args.model)}, args.json)
        return
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
