"""How long the surfaces of all objects of a stack take, and how large they are.

    python benchmarks/surfaces.py --stacks FOLDER

The folder holds NAME_labels.tif. The longest step is the time between two places at which the work
can be stopped. The last rows are drawn: many small objects, and one that fills a large stack.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from pathlib import Path

import numpy as np
import tifffile

from napari_sam.evaluate.report import as_markdown
from napari_sam.objects.surfaces import Surfaces, Volume, surfaces_of_labels


def main() -> None:
    """Parse the command line, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stacks", type=Path, required=True)
    args = parser.parse_args()
    rows = [("stack", "shape", "objects", "s", "longest step, s", "vertices", "peak MB")]
    for path in sorted(args.stacks.glob("*_labels.tif")):
        labels = tifffile.imread(path).astype(np.int32)
        if labels.ndim == 3:
            rows.append(measure(path.stem.removesuffix("_labels"), labels))
    rows.append(measure("drawn, many", many()))
    rows.append(measure("drawn, large", large()))
    print(as_markdown(rows))


def measure(name: str, labels: np.ndarray) -> tuple[str, ...]:
    """Return a row of the table: times without, memory with a second run that is traced."""
    made, seconds, longest = run(labels)
    tracemalloc.start()
    run(labels)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    shape = " x ".join(str(n) for n in labels.shape)
    count = len(np.unique(made.labels)) + made.left_out
    return (
        name,
        shape,
        str(count),
        f"{seconds:.2f}",
        f"{longest:.2f}",
        f"{len(made.vertices):,}",
        f"{peak:.0f}",
    )


def run(labels: np.ndarray) -> tuple[Surfaces, float, float]:
    """Make the surfaces; return them, the seconds in all, and those of the longest step."""
    steps = surfaces_of_labels(labels, Volume((0, 1, 2)))
    start = last = time.perf_counter()
    longest = 0.0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            now = time.perf_counter()
            return end.value, now - start, max(longest, now - last)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now


def many() -> np.ndarray:
    """Return 8,000 cubes in a stack of 100 planes."""
    labels = np.zeros((100, 400, 400), np.int32)
    places = np.argwhere(np.ones((20, 20, 20), bool))
    for label, (z, y, x) in enumerate(places, 1):
        labels[5 * z : 5 * z + 4, 20 * y : 20 * y + 15, 20 * x : 20 * x + 15] = label
    return labels


def large() -> np.ndarray:
    """Return a ball in a stack of 200 planes of 1,000 x 1,000 pixels."""
    z, y, x = (np.linspace(-1, 1, n) ** 2 for n in (200, 1000, 1000))
    return (z[:, None, None] + y[:, None] + x < 0.95).astype(np.int32)


if __name__ == "__main__":
    main()
