"""The pictures of the dock in `docs/images/`: prompts, everything mode, proposals chosen by words.

Needs a display (`xvfb-run -a -s "-screen 0 1400x1000x24" python benchmarks/pictures.py`). Run it
again after the dock has changed.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from skimage import data
from text_shapes import CELL, draw, train
from window import Window

from napari_sam.images.samples import STACK_SCALE, cells_stack
from napari_sam.widget.commands import find_dock
from napari_sam.widget.features.everything.logic import Everything
from napari_sam.widget.features.prompting.logic import Prompting

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COINS = ((54, 45), (56, 100), (52, 155), (52, 216), (53, 276))
"""(row, column) of the upper coins."""
BOX = ((90, 18), (143, 73))
"""Two corners, (row, column), about a coin of the second row."""
PLANE = 12
SHOWN = 22
"""Per cent of the proposals that are chosen by words."""
COLOURS = 256
"""Of a picture whose noise would make its file large."""


def open_window(image: np.ndarray, name: str, scale: tuple[float, ...]) -> Window:
    """Return a window on an image with the dock open and the plane encoded."""
    window = Window()
    window.viewer.add_image(image, name=name, scale=scale)
    if image.ndim == 3:
        window.viewer.dims.set_current_step(0, PLANE)
    window.dock = find_dock(window.viewer)
    window.settle()
    window.viewer.reset_view()
    window.rest(0.5)
    return window


def draw_prompts(out: Path) -> None:
    """Commit five coins, box a sixth, and take a picture."""
    window = open_window(data.coins(), "coins", (1.0, 1.0))
    asker = window.dock.feature(Prompting).asker
    for row, column in COINS:
        window.click(row, column)
        window.until(lambda: asker.shown is not None and not asker.pending)
        window.press(Qt.Key.Key_Return)
    start, stop = (window.place(*corner) for corner in BOX)
    QTest.mousePress(window.canvas, Qt.MouseButton.LeftButton, pos=start)
    for step in range(1, 6):
        QTest.mouseMove(window.canvas, start + (stop - start) * step / 5)
        window.rest(0.03)
    QTest.mouseRelease(window.canvas, Qt.MouseButton.LeftButton, pos=stop)
    window.until(lambda: asker.shown is not None and not asker.pending)
    save(window, out / "prompt.png")


def draw_everything(out: Path) -> None:
    """Run everything mode on a plane of the drawn stack, and take a picture."""
    window = open_window(cells_stack(), "cells", STACK_SCALE)
    window.dock.sections["Everything"].expand()
    window.dock.feature(Everything).run(all_planes=False)
    window.settle()
    save(window, out / "everything.png")


def draw_text(out: Path) -> None:
    """Find dark circles by words, with a model that is trained for it in a few minutes."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ |= {"NAPARI_SAM_MODELS": folder, "NAPARI_SAM_STATE_DIR": folder}
        train(Path(folder) / "shapes and words")
        image = draw(np.random.default_rng(1000)).pixels[: 6 * CELL, : 6 * CELL]
        window = open_window(image, "shapes", (1.0, 1.0))
        for section in window.dock.sections.values():
            section.collapse()
        window.dock.sections["Everything"].expand()
        feature = window.dock.feature(Everything)
        feature.run(all_planes=False)
        window.settle()
        box = feature.panel.text
        box.words.setText("dark circle")
        QTest.keyClick(box.words, Qt.Key.Key_Return)
        window.until(lambda: feature.proposals.hidden)
        box.slider.setValue(SHOWN)
        save(window, out / "text_prompt.png", COLOURS)


def save(window: Window, path: Path, colours: int | None = None) -> None:
    """Write a picture of the window, perhaps of few colours, and close it."""
    window.rest(1.0)
    pixels = window.viewer.window.screenshot(canvas_only=False, flash=False)
    image = Image.fromarray(pixels[..., :3] if colours else pixels)
    if colours:
        image = image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
    window.viewer.close()


def main() -> None:
    """Draw all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=IMAGES)
    out = parser.parse_args().out
    draw_prompts(out)
    draw_everything(out)
    draw_text(out)


if __name__ == "__main__":
    main()
