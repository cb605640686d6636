"""A scripted annotator labels the nuclei of an image, by the plugin and by polygons.

Usage: python benchmarks/annotator.py --data FOLDER [--images NAME ...] [--ways WAY ...]

FOLDER holds `dsb2018.npz`; images are those of its validation part with 50 to 62 nuclei. The
annotator knows the true outlines and works with mouse and keys in a real window, on the first 50
nuclei. Four ways:

- prompts: a box about each nucleus, from one corner to the other; where the outline that is shown
  has an IoU below 0.75, one click on the largest error. Enter keeps all.
- both: everything mode is run first; nuclei that it misses, or finds with an IoU below 0.8, get a
  box. Enter keeps them, and accept all adds the proposals where nothing is labelled yet.
- everything: the same, with boxes only about nuclei that are missed, and no more than ten actions.
- polygons: napari's polygon tool in a Labels layer, with as many corners on the true outline as
  the mean IoU of "both" needs.

A click, a drag and a key count as one action each. A click takes 1.1 s of the annotator, a drag two
clicks, a key 0.4 s; the time that the window needs to answer is added as it was measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from scipy import ndimage
from skimage.draw import polygon2mask
from skimage.measure import find_contours
from sources import load_source
from window import Window

from napari_sam.widget.features.everything.logic import Everything

NUCLEI = 50
LEAST, MOST = 50, 62
"""Nuclei of an image that is taken."""
CLICK, KEY = 1.1, 0.4
"""Seconds of the annotator."""
GOOD = 0.75
"""IoU at which the annotator is content with what is shown."""
POOR = 0.8
"""IoU of a proposal below which a box is drawn instead."""
BUDGET = 10
"""Actions of everything and accept."""
Place = tuple[float, float]
"""Row and column."""


@dataclass
class Effort:
    """What was done, and how long it took.

    Attributes
    ----------
    actions : int
    seconds : float
        Of the annotator.
    waited : float
        Seconds of the window.
    """

    actions: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    @property
    def total(self) -> float:
        """Seconds altogether."""
        return self.seconds + self.waited


class Hands:
    """Mouse and keys of the annotator."""

    def __init__(self, window: Window) -> None:
        self.window, self.effort = window, Effort()

    def click(self, place: Place) -> None:
        """Press and release at a place of the image."""
        self._do(CLICK, lambda: self.window.click(*place))

    def press(self, key: Any) -> None:
        """Press a key."""
        self._do(KEY, lambda: QTest.keyClick(self.window.canvas, key))

    def push(self, button: Any) -> None:
        """Click on a button of the dock."""
        self._do(CLICK, lambda: QTest.mouseClick(button, Qt.MouseButton.LeftButton))

    def drag(self, start: Place, stop: Place) -> None:
        """Move the mouse with the left button held."""
        canvas, a, b = self.window.canvas, self.window.place(*start), self.window.place(*stop)

        def move() -> None:
            QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=a)
            for step in range(1, 6):
                QTest.mouseMove(canvas, a + (b - a) * step / 5)
                self.window.rest(0.01)
            QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=b)

        self._do(2 * CLICK, move)

    def _do(self, seconds: float, act: Callable[[], object]) -> None:
        self.effort.actions += 1
        self.effort.seconds += seconds
        start = time.perf_counter()
        act()
        self.window.rest(0.02)
        self.window.until(self._is_done, 600)
        self.effort.waited += time.perf_counter() - start - 0.02

    def accept_all(self) -> None:
        """Press the key that accepts all proposals, and wait until they are written."""
        shift = Qt.KeyboardModifier.ShiftModifier
        self._do(KEY, lambda: QTest.keyClick(self.window.canvas, Qt.Key.Key_A, shift))
        self._do(0.0, lambda: self.window.until(self._has_accepted, 600))
        self.effort.actions -= 1  # waiting is none

    def _has_accepted(self) -> bool:
        return "accepted" in self.window.dock.status.text()

    def _is_done(self) -> bool:
        dock = self.window.dock
        return dock is None or (self.window.quiet() and not dock.context.history.walking)


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the overlap of two masks (H, W)."""
    return float(np.logical_and(one, other).sum() / max(np.logical_or(one, other).sum(), 1))


def best_ious(found: NDArray[np.integer[Any]], truth: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return, for each true nucleus, the IoU of the label that covers most of it."""
    ious = []
    for number in range(1, NUCLEI + 1):
        inside = truth == number
        counts = np.bincount(found[inside])
        counts[:1] = 0
        ious.append(iou(found == counts.argmax(), inside) if counts.any() else 0.0)
    return np.array(ious)


def corners(inside: NDArray[np.bool_]) -> tuple[Place, Place]:
    """Return two corners of the box about a mask, at the outer edges of its pixels."""
    rows, columns = np.nonzero(inside)
    return (rows.min() - 0.45, columns.min() - 0.45), (rows.max() + 0.45, columns.max() + 0.45)


def largest_error(shown: NDArray[np.bool_], inside: NDArray[np.bool_]) -> tuple[Place, bool]:
    """Return the deepest place of what is wrong, and whether it is missing."""
    wrong = np.pad(shown != inside, 1)
    depth = ndimage.distance_transform_edt(wrong)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(row), float(column)), bool(inside[row, column])


def opened(image: NDArray[np.uint8]) -> Window:
    """Return a window with the image and the dock, the plane encoded."""
    window = Window()
    window.viewer.add_image(image, name="nuclei")
    window.open_dock()
    window.settle()
    return window


def kept(window: Window, shape: tuple[int, int]) -> NDArray[np.int32]:
    """Return the labels of the objects that were kept."""
    results = window.dock.context.bench.results
    return np.zeros(shape, np.int32) if results is None else np.asarray(results.layer.data)


def by_prompts(window: Window, hands: Hands, truth: NDArray[np.int32]) -> None:
    """Draw a box about each nucleus, correct once where the outline is poor, keep all."""
    work = window.dock.context.work
    background = False
    for number in range(1, NUCLEI + 1):
        inside = truth == number
        hands.drag(*corners(inside))
        outlines = work.answers[window.dock.context.shown().key].objects
        shown = outlines[max(outlines)].mask
        shown = np.zeros(truth.shape, bool) if shown is None else np.asarray(shown)
        if iou(shown, inside) < GOOD:
            place, missing = largest_error(shown, inside)
            if missing == background:
                hands.press(Qt.Key.Key_T)
                background = not background
            hands.click(place)
    hands.press(Qt.Key.Key_Return)


def by_everything(
    window: Window, hands: Hands, truth: NDArray[np.int32], least: float, boxes: int
) -> float:
    """Draw boxes about what everything mode does not find well, accept the rest.

    Returns the share that was found without boxes.
    """
    hands.push(window.dock.feature(Everything).panel.plane_button)
    found = best_ious(np.asarray(window.dock.context.bench.everything.layer.data), truth)
    poor = np.flatnonzero(found < least)[:boxes] + 1
    for number in poor:
        hands.drag(*corners(truth == number))
    if len(poor):
        hands.press(Qt.Key.Key_Return)
    hands.accept_all()
    return float((found >= 0.5).mean())


def polygon(inside: NDArray[np.bool_], least: float) -> NDArray[np.float64]:
    """Return as few corners as an IoU takes, evenly along the true outline.

    They are (N, 2), row and column.
    """
    outline = max(find_contours(np.pad(inside, 1).astype(float), 0.5), key=len) - 1
    steps = np.hypot(*np.diff(outline, axis=0).T)
    along = np.concatenate([[0], np.cumsum(steps)])
    best = outline[:3]
    for count in range(3, 60):
        places = np.linspace(0, along[-1], count, endpoint=False)
        best = np.stack([np.interp(places, along, outline[:, k]) for k in (0, 1)], axis=1)
        if iou(polygon2mask(inside.shape, best), inside) >= least:
            break
    return best


def by_polygons(window: Window, hands: Hands, truth: NDArray[np.int32], least: float) -> Any:
    """Draw each nucleus in a Labels layer by hand; returns the labels."""
    labels = window.viewer.add_labels(np.zeros(truth.shape, np.int32))
    labels.mode = "polygon"
    for number in range(1, NUCLEI + 1):
        labels.selected_label = number
        for row, column in polygon(truth == number, least):
            hands.click((row, column))
        hands.press(Qt.Key.Key_Return)
    return labels.data


def labelled(
    image: NDArray[np.uint8], truth: NDArray[np.int32], way: str, least: float, picture: Path | None
) -> tuple[Effort, NDArray[np.float64], float]:
    """Return the effort, the IoU of each nucleus, and what everything mode found by itself."""
    share = 0.0
    if way == "polygons":
        window = Window()
        window.viewer.add_image(image, name="nuclei")
        window.rest(0.5)
        hands = Hands(window)
        found = by_polygons(window, hands, truth, least)
    else:
        window = opened(image)
        hands = Hands(window)
        if way == "prompts":
            by_prompts(window, hands, truth)
        elif way == "both":
            share = by_everything(window, hands, truth, POOR, NUCLEI)
        else:
            share = by_everything(window, hands, truth, 0.5, BUDGET - 3)
        found = kept(window, truth.shape)
    if picture is not None:
        picture.parent.mkdir(parents=True, exist_ok=True)
        window.viewer.screenshot(str(picture), canvas_only=False)
    ious = best_ious(np.asarray(found), truth)
    window.viewer.close()
    return hands.effort, ious, share


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", nargs="*", default=[], help="beginnings of their names")
    ways = ["prompts", "everything", "both", "polygons"]
    parser.add_argument("--ways", nargs="+", default=ways, choices=ways)
    parser.add_argument(
        "--least", type=float, default=0.85, help='IoU of polygons where the way "both" is left out'
    )
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    print("| image | way | actions per nucleus | mean IoU | found | seconds per nucleus |")
    print("|---|---|---|---|---|---|")
    for item in load_source(options.data / "dsb2018.npz", ["validation"]):
        numbers = np.unique(item.labels)[1:]
        if not LEAST <= len(numbers) <= MOST:
            continue
        if options.images and not item.name.startswith(tuple(options.images)):
            continue
        order = np.zeros(int(numbers.max()) + 1, np.int32)
        order[numbers] = np.arange(1, len(numbers) + 1)
        truth, least = order[item.labels], options.least
        for way in options.ways:
            name = item.name[:6]
            picture = options.pictures and options.pictures / f"{name}_{way}.png"
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                os.environ["NAPARI_SAM_STATE_DIR"] = f"{folder}/state"
                os.environ["NAPARI_SAM_CACHE_DIR"] = f"{folder}/embeddings"
                os.environ["NAPARI_SAM_CONFIG_DIR"] = f"{folder}/config"
                effort, ious, share = labelled(item.image, truth, way, least, picture)
            if way == "both":
                least = float(ious.mean())
            alone = f" ({share:.2f} without boxes)" if share else ""
            print(
                f"| {name} | {way} | {effort.actions / NUCLEI:.2f} | {ious.mean():.3f} "
                f"| {(ious >= 0.5).mean():.2f}{alone} | {effort.total / NUCLEI:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
