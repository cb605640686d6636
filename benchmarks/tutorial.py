"""The pictures of `docs/tutorial.md`, made by doing what it says with mouse and keys.

Needs a display:

    xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/tutorial.py

`--out FOLDER` writes the pictures elsewhere. Run it again after the dock has changed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton
from window import Window

from napari_sam.images.samples import STACK_SCALE, cells_stack

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PLANE = 12
NUCLEUS = (109, 224)
"""Row and column of the nucleus in `PLANE`, pixels."""
BOX = ((100, 216), (118, 236))
"""Two corners of a box about it in the plane that is least certain."""
SIDE_PLANE = 222
IN_SIDE_VIEW = (13.2, 242)
"""Row and column of another nucleus in this plane of the view from the side."""
LONGEST = 600.0
"""Seconds that a step may take on a busy machine."""
COLOURS = 256
"""Of a picture; more make the files large."""

NONE, CONTROL = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier


class Tutorial:
    """A window on the stack of `make demo`, and the hands of its reader.

    Parameters
    ----------
    out : Path
        Folder of the pictures.

    Attributes
    ----------
    name : str
        With which the names of the pictures begin.
    """

    name = "tutorial"

    def __init__(self, out: Path) -> None:
        self.out = out
        self.window = Window()
        self.viewer = self.window.viewer
        self.viewer.add_image(cells_stack(), name="cells", scale=STACK_SCALE, units=("um",) * 3)
        self.viewer.dims.set_current_step(0, PLANE)
        self.window.open_dock()
        self.window.settle()
        self.viewer.reset_view()
        self.window.rest(0.5)

    def click(self, row: float, column: float) -> None:
        """Click on a pixel of the plane and wait for the answer."""
        place = self.place(row, column)
        QTest.mouseClick(self.window.canvas, Qt.MouseButton.LeftButton, pos=place)
        self.wait()

    def drag(self, start: tuple[int, int], stop: tuple[int, int]) -> None:
        """Draw a box between two pixels of the plane and wait for the answer."""
        first, last = (self.place(*corner) for corner in (start, stop))
        QTest.mousePress(self.window.canvas, Qt.MouseButton.LeftButton, pos=first)
        for step in range(1, 6):
            QTest.mouseMove(self.window.canvas, first + (last - first) * step / 5)
            self.window.rest(0.03)
        QTest.mouseRelease(self.window.canvas, Qt.MouseButton.LeftButton, pos=last)
        self.wait()

    def press(self, key: Qt.Key, modifier: Qt.KeyboardModifier = NONE) -> None:
        """Press a key and wait until all is done."""
        QTest.keyClick(self.window.canvas, key, modifier)
        self.wait()

    def push(self, text: str) -> None:
        """Click on a button of the dock and wait until all is done."""
        buttons = self.window.dock.findChildren(QAbstractButton)
        button = next(one for one in buttons if one.text() == text)
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.wait()

    def wait(self) -> None:
        """Wait until all is done."""
        status = self.window.dock.context.status
        self.window.rest(0.5)
        self.window.until(lambda: self.window.quiet() and status.measured is None, LONGEST)
        self.window.rest(0.3)

    def place(self, row: float, column: float) -> QPoint:
        """Return where a pixel of the plane is shown."""
        sides = [STACK_SCALE[axis] for axis in self.viewer.dims.displayed]
        return self.window.place(row * sides[0], column * sides[1])

    def picture(self, name: str) -> None:
        """Write what the window shows."""
        self.window.rest(0.5)
        pixels = self.viewer.screenshot(canvas_only=False, flash=False)
        image = Image.fromarray(pixels[..., :3]).quantize(
            COLOURS, kmeans=3, dither=Image.Dither.NONE
        )
        image.save(self.out / f"{self.name}_{name}.png", optimize=True)


def main() -> None:
    """Follow the tutorial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_SAM_STATE_DIR"] = folder  # no journal of before is offered
        follow(Tutorial(options.out))


def follow(hands: Tutorial) -> None:
    """Do what the tutorial says, and draw a picture of each step."""
    hands.click(*NUCLEUS)
    hands.picture("prompt")
    hands.press(Qt.Key.Key_P)
    hands.picture("propagated")
    hands.press(Qt.Key.Key_U)
    hands.picture("uncertain")
    hands.drag(*BOX)
    hands.picture("corrected")
    hands.press(Qt.Key.Key_Return)
    hands.press(Qt.Key.Key_E, CONTROL)
    hands.viewer.dims.set_current_step(2, SIDE_PLANE)
    hands.click(*IN_SIDE_VIEW)
    hands.press(Qt.Key.Key_P)
    hands.picture("side")
    hands.press(Qt.Key.Key_Return)
    hands.press(Qt.Key.Key_G)
    hands.picture("surfaces")
    hands.press(Qt.Key.Key_G)
    for _ in range(2):
        hands.press(Qt.Key.Key_E, CONTROL)
    hands.window.dock.sections["Everything"].expand()
    hands.push("All planes")
    hands.viewer.layers.selection.active = hands.window.dock.context.bench.everything.layer
    hands.press(Qt.Key.Key_G)
    hands.picture("everything")


if __name__ == "__main__":
    main()
