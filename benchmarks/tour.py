"""The pictures of the tools in `docs/usage.md`, made by using them with mouse and keys.

Needs a display:

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/tour.py

`--out FOLDER` writes the pictures elsewhere. Run it again after the dock has changed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton
from tutorial import IMAGES, PLANE, Tutorial

from napari_sam.images.samples import STACK_SCALE, cells_stack_labels

SHIFT = Qt.KeyboardModifier.ShiftModifier
ZOOM = 14.0
TOUCHING = 13
"""The number of a nucleus that touches the one below it."""
Place = tuple[float, float]
"""Row and column, pixels of the plane."""


class Tour(Tutorial):
    """The same window and hands, in one plane, and its nuclei from the middle outwards."""

    name = "tour"

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        truth = cells_stack_labels()[PLANE]
        numbers = [k for k in np.unique(truth) if k and (truth == k).sum() > 150]
        centre = np.array(truth.shape) / 2
        places = [np.argwhere(truth == k) for k in numbers]
        self.places = sorted(places, key=lambda one: np.hypot(*(one.mean(axis=0) - centre)))

    def middle(self, number: int) -> Place:
        """Return the middle of a nucleus."""
        row, column = self.places[number].mean(axis=0)
        return float(row), float(column)

    def box(self, number: int) -> tuple[Place, Place]:
        """Return two corners of the box about a nucleus."""
        low, high = self.places[number].min(axis=0) - 1, self.places[number].max(axis=0) + 1
        return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))

    def look_at(self, place: Place, zoom: float = ZOOM) -> None:
        """Move the camera."""
        camera = self.viewer.scene.camera
        camera.center = (place[0] * STACK_SCALE[1], place[1] * STACK_SCALE[2])
        camera.zoom = zoom
        self.window.rest(0.4)

    def point_at(self, place: Place) -> None:
        """Move the pointer to a pixel."""
        QTest.mouseMove(self.window.canvas, self.place(*place))
        self.window.rest(0.3)

    def around(self, number: int) -> None:
        """Draw a line around a nucleus with the left button held."""
        row, column = self.middle(number)
        (top, left), (bottom, right) = self.box(number)
        turns = np.linspace(0, 2 * np.pi, 40)
        self.stroke(
            (row + (bottom - top) * 0.55 * s, column + (right - left) * 0.55 * c)
            for s, c in zip(np.sin(turns), np.cos(turns), strict=True)
        )

    def scribble(self, number: int, row: float) -> None:
        """Draw a line along a row of a nucleus, shorter than that is wide."""
        (_, left), (_, right) = self.box(number)
        self.stroke((row, column) for column in np.linspace(left + 4, right - 4, 20))

    def stroke(self, path: Iterable[Place]) -> None:
        """Draw a line with the left button held, and wait for the answer."""
        places = [self.place(*one) for one in path]
        QTest.mousePress(self.window.canvas, Qt.MouseButton.LeftButton, pos=places[0])
        for place in places[1:]:
            QTest.mouseMove(self.window.canvas, place)
            self.window.rest(0.02)
        QTest.mouseRelease(self.window.canvas, Qt.MouseButton.LeftButton, pos=places[-1])
        self.wait()

    def open_only(self, title: str) -> None:
        """Open one section of the dock and close the others."""
        for name, section in self.window.dock.sections.items():
            (section.expand if name == title else section.collapse)()
        self.window.rest(0.5)


def main() -> None:
    """Use each tool once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_SAM_STATE_DIR"] = folder  # no journal of before is offered
        take(Tour(options.out))


def take(hands: Tour) -> None:
    """Use the tools, and draw a picture of each."""
    hands.look_at(hands.middle(0))
    hands.click(*hands.middle(0))
    hands.picture("candidates")
    hands.press(Qt.Key.Key_Return)
    hands.look_at(hands.middle(1))
    hands.press(Qt.Key.Key_L)
    hands.around(1)
    hands.picture("region")
    hands.press(Qt.Key.Key_Return)
    hands.press(Qt.Key.Key_W)
    row, column = hands.middle(TOUCHING)
    hands.look_at((row + 20, column))
    hands.scribble(TOUCHING, hands.middle(TOUCHING)[0])
    hands.press(Qt.Key.Key_T)
    hands.scribble(TOUCHING, hands.box(TOUCHING)[1][0] + 2)
    hands.picture("scribble")
    hands.press(Qt.Key.Key_Escape)
    hands.press(Qt.Key.Key_W)
    for number in (2, 3):
        hands.look_at(hands.middle(number), 3.0)
        hands.drag(*hands.box(number))
    hands.press(Qt.Key.Key_Return)
    hands.viewer.reset_view()
    hands.open_only("Find similar")
    hands.point_at((1, 1))
    hands.press(Qt.Key.Key_F)
    hands.picture("similar")
    hands.push("End")
    hands.open_only("Everything")
    hands.push("This plane")
    hands.picture("proposals")
    hands.press(Qt.Key.Key_A, SHIFT)
    hands.wait()
    hands.open_only("Objects")
    hands.press(Qt.Key.Key_R)
    hands.picture("review")
    hands.open_only("Edit")
    largest = max(range(len(hands.places)), key=lambda k: len(hands.places[k]))
    hands.look_at(hands.middle(largest))
    hands.point_at(hands.middle(largest))
    hands.press(Qt.Key.Key_I)
    row, column = hands.middle(largest)
    (top, _), (bottom, _) = hands.box(largest)
    hands.click(row - (bottom - top) / 4, column)
    hands.click(row + (bottom - top) / 4, column)
    hands.picture("split")
    hands.viewer.layers.remove("SAM review")
    hands.viewer.dims.set_current_step(0, PLANE + 3)
    hands.wait()
    hands.viewer.reset_view()
    truth = cells_stack_labels()[PLANE + 3]
    spots = [np.argwhere(truth == k).mean(axis=0) for k in np.unique(truth) if k]
    hands.viewer.add_points(
        np.array([(PLANE + 3, *spot) for spot in spots]),
        name="spots",
        scale=STACK_SCALE,
        units=("um",) * 3,
        size=4,
    )
    hands.open_only("Prompts from a layer")
    batch = hands.window.dock.sections["Prompts from a layer"]
    plane = next(one for one in batch.findChildren(QPushButton) if one.text() == "This plane")
    QTest.mouseClick(plane, Qt.MouseButton.LeftButton)
    hands.wait()
    hands.picture("batch")


if __name__ == "__main__":
    main()
