"""Seconds and memory to the first mask on a stack of 100 GB that is computed when it is read.

Needs a display, as `interface.py` does. Counted are adding the layer, its first picture, encoding
the plane, a click and the painted mask: with the dock open and the model loaded, and from the very
start of the plugin (napari itself stands already). Then two commits; the labels of such a stack go
to arrays in a folder.

    python benchmarks/lazy_stack.py --propagate

needs no display: an object of such a stack of 2,000 planes is followed through 100 of them, and
its labels are written to an OME-Zarr as they come. Nothing is encoded beforehand, but the model is
loaded: the times begin with the box, and contain the encoding of its plane and of the neighbours.
Counted are the time to the first plane, the memory after every 25 planes, the planes that were
read, and the time from a stop to the end of the work, at moments spread over two seconds.

    python benchmarks/lazy_stack.py --across

needs no display: planes of files of 1.1 GB are read one after another, along the planes of the file
and across them. Counted are the time to the first plane, the mean time of those after it, and the
memory.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import psutil
import tifffile
import zarr
from numpy.typing import NDArray
from window import Window, calls, ms, report

from napari_sam import Mask, Plane, Prompts, SamPredictor, Session, SliceKey, load_model, stopping
from napari_sam.formats.label_result import label_result
from napari_sam.images.readers import StackImage, read_image
from napari_sam.stack.propagate import Found, FoundPlane, propagate
from napari_sam.widget.features.prompting.logic import Prompting

SIDE = 1024
DISC, ELSEWHERE = (400.0, 600.0), (900.0, 100.0)
RADIUS = 60
STACK, FOLLOWED = 2000, range(950, 1050)
"""Planes of the stack in which an object is followed, and those into which it is."""
EVERY = 25
"""Planes after which the memory is noted again."""
NEXT = 20
"""Planes that are read one after another."""
STOPS = 21
"""Moments at which the work is stopped."""
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


def follow(model: str) -> dict[str, Any]:
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
    noted = range(EVERY - 1, len(memory) - 1, EVERY)
    return {
        "first_plane_s": round(seconds[0], 2),
        "planes_in_2_s": sum(one <= 2 for one in seconds),
        "s_per_plane": round((seconds[-1] - seconds[0]) / (len(seconds) - 1), 3),
        "found_planes": found,
        "read_outside": len(set(read) - set(FOLLOWED)),
        "resident_mb": {k + 1: round(memory[k] / 1e6) for k in (0, *noted, len(memory) - 1)},
        **stopped(predictor, planes, keyframes),
    }


def painted(step: FoundPlane) -> NDArray[np.int32]:
    """Return the labels of a plane that an object was followed into."""
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number, one in step.found.items():
        labels[one.mask.part][one.mask.bits] = number
    return labels


def stopped(
    predictor: SamPredictor, planes: list[Plane], keyframes: dict[int, dict[int, Mask]]
) -> dict[str, int]:
    """Return the time from a stop to the end of the work, ms: the median and the longest."""
    times = []
    for delay in np.linspace(0.1, 2.1, STOPS):
        session = Session(predictor, max_bytes=MOST_BYTES)
        end = time.perf_counter() + delay
        try:
            with stopping.stoppable(lambda end=end: time.perf_counter() >= end):
                for _ in propagate(session, planes, keyframes, FOLLOWED):
                    stopping.check()
        except stopping.Stopped:
            times.append(1000 * (time.perf_counter() - end))
    return {"stopped_ms_median": round(np.median(times)), "stopped_ms_longest": round(max(times))}


def across() -> dict[str, dict[str, float]]:
    """Return figures of planes that are read from files of several kinds."""
    shape = (512, SIDE, SIDE)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, chunks in (
            ("zarr, a plane to a chunk", (1, SIDE, SIDE)),
            ("zarr, chunks of 64 x 64 x 64", (64, 64, 64)),
            ("tiff, compressed", None),
        ):
            path = Path(folder) / name.partition(",")[0]
            write_stack(path, shape, chunks)
            for text, displayed, fixed in (("XY", (1, 2), 0), ("XZ", (0, 2), 1)):
                image = read_image(path)
                figures[f"{name}: {text}"] = stepped(image.data, displayed, fixed)
            if path.is_dir():
                shutil.rmtree(path)
    return figures


def write_stack(path: Path, shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> None:
    """Write a stack of noise, as zarr where there are chunks, else as TIFF."""
    depth, *size = shape
    rng = np.random.default_rng(0)
    rows = np.add.outer(np.arange(size[0]), np.arange(size[1])).astype(np.uint16)
    planes = (rows + z + rng.integers(0, 64, size, np.uint16) for z in range(depth))
    if chunks is None:
        options = {"photometric": "minisblack", "compression": "zlib"}
        tifffile.imwrite(path, planes, shape=shape, dtype=np.uint16, **options)
        return
    array = zarr.create_array(path, shape=shape, chunks=chunks, dtype="u2")
    for start in range(0, depth, chunks[0]):
        layer = np.stack(list(itertools.islice(planes, chunks[0])))
        array[start : start + chunks[0]] = layer


def stepped(stack: Any, displayed: tuple[int, int], axis: int) -> dict[str, float]:
    """Return the times of some planes that follow one another, from the middle of an axis on."""
    process = psutil.Process()
    before, times = process.memory_info().rss, []
    middle = stack.shape[axis] // 2
    for place in range(middle, middle + NEXT):
        start = time.perf_counter()
        SliceKey(displayed, ((axis, place),)).read(stack)
        times.append(1000 * (time.perf_counter() - start))
    return {
        "first_ms": round(times[0]),
        "next_ms": round(float(np.mean(times[1:])), 1),
        "grown_mb": round((process.memory_info().rss - before) / 1e6),
    }


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
    parser.add_argument("--across", action="store_true", help="read files across; no display")
    parser.add_argument("--model", default="pocket", help="of --propagate")
    parser.add_argument("--json", type=Path, help="add the figures to this file")
    args = parser.parse_args()
    if args.propagate:
        report({f"{STACK} planes, {len(FOLLOWED)} followed": follow(args.model)}, args.json)
        return
    if args.across:
        report(across(), args.json)
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
