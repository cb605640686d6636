"""A program with a window on a scene, in which objects are committed by keys until it is killed.

It prints a line after each commit: the number of objects, and a hash of the labels.
"""

from __future__ import annotations

import hashlib
import sys
import time

import napari
import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tiny import SceneModel

from napari_sam.types import Progress
from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.prompting.logic import Prompting
from napari_sam.widget.features.source import model_loader

SIZE, PLACES = (
    (160, 160),
    [(20 + 40 * row, 20 + 40 * column) for row in range(4) for column in range(4)],
)


def squares():
    """Sixteen bright squares on a dark ground, (160, 160) uint8."""
    image = np.full(SIZE, 20, np.uint8)
    for row, column in PLACES:
        image[row - 10 : row + 10, column - 10 : column + 10] = 200
    return image


def state_of(labels):
    return hashlib.sha256(labels.tobytes()).hexdigest()


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit("waited in vain")
        QApplication.processEvents()
        time.sleep(0.002)


def main():
    def loading(name, device):
        yield Progress(0, 0, "loading")
        return SceneModel()

    model_loader.loading = loading
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1000, 700)
    viewer.add_image(squares(), name="squares")
    dock = SegmentAnything(viewer)
    viewer.window.add_dock_widget(dock)
    until(lambda: dock.context.session is not None)
    canvas, asker = viewer.window._qt_viewer.canvas.native, dock.feature(Prompting).asker
    viewer.reset_view()
    QApplication.processEvents()
    for number, (row, column) in enumerate(PLACES, 1):
        zoom, centre = viewer.scene.camera.zoom, viewer.scene.camera.center
        x = canvas.width() / 2 + (column - centre[-1]) * zoom
        y = canvas.height() / 2 + (row - centre[-2]) * zoom
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
        until(lambda: asker.shown is not None)
        QTest.keyClick(canvas, Qt.Key.Key_Return)
        until(lambda number=number: len(dock.context.bench.results.store.objects) == number)
        sys.stdout.write(f"{number} {state_of(dock.context.bench.results.layer.data)}\n")
        sys.stdout.flush()
    until(lambda: False)


if __name__ == "__main__":
    main()
