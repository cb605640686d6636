"""How long it takes until a kept object is in work again, in a window on a large stack.

Usage: python benchmarks/reopen.py [--planes 200] [--size 2048] [--repeats 15]

Objects with one keyframe and with fifty are opened and closed in turn. The time is that from the
request until prompts and outline are painted, the drawing of the canvas included.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
from window import Window

from napari_sam.objects import Outline, edits
from napari_sam.types import Mask, Prompts, SliceKey

RADIUS = 60


def outlines(size: int, plane: int, keyframes: int, place: int) -> dict[SliceKey, Outline]:
    """Return a disc with a point and a background point in some neighbouring planes."""
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    middle = (200 + 150 * (place % 10), 200 + 150 * (place // 10))
    disc = Mask.of(
        y * y + x * x <= RADIUS * RADIUS,
        (middle[0] - RADIUS, middle[1] - RADIUS),
        (size, size),
    )
    prompts = Prompts([middle, (middle[0] + RADIUS + 5, middle[1])], [1, 0])
    keys = [SliceKey((1, 2), ((0, plane + k),)) for k in range(keyframes)]
    return {key: Outline(disc, prompts) for key in keys}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=200)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    window = Window()
    shape = (options.planes, options.size, options.size)
    image = np.zeros(shape, np.uint8)
    image[0] = np.random.default_rng(0).integers(0, 255, shape[1:])
    window.viewer.add_image(image, name="stack")
    window.viewer.dims.set_current_step(0, 0)
    window.open_dock()
    window.settle()
    context = window.dock.context
    labels = window.viewer.add_labels(np.zeros(shape, np.int32), name="labels")
    context.bench.use_results(labels, 0)
    view = context.bench.results
    for place, keyframes in enumerate([1] * 10 + [50] * 10):
        view.apply(edits.keep(view.store, [outlines(options.size, 0, keyframes, place)]))
    window.rest(0.5)
    prompting = next(one for one in window.dock.features if hasattr(one, "reopener"))
    print(f"reopening an object of a {shape} stack, ms")
    print("keyframes  median   max")
    for first, keyframes in ((1, 1), (11, 50)):
        times = []
        for repeat in range(options.repeats):
            start = time.perf_counter()
            prompting.reopener.reopen(first + repeat % 10, view)
            window.canvas.repaint()
            times.append(1000 * (time.perf_counter() - start))
            prompting.clear()
            window.rest(0.3)
        print(f"{keyframes:9d}  {median(times[1:]):6.1f}  {max(times[1:]):6.1f}")
    window.viewer.close()


if __name__ == "__main__":
    main()
