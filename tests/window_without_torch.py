"""A program without torch that clicks in a window; prints what it found.

It prints a line of JSON: the model, where it clicked, the pixels of the object there, whether a
training can be started and why not, and what of torch was loaded.
"""

from __future__ import annotations

import torch_hidden  # isort: skip

import json
import sys
import time

import napari
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam.images.samples import cells_stack
from napari_sam.widget.dock import SegmentAnything
from napari_sam.widget.features.learning.logic import Learning
from napari_sam.widget.features.prompting.logic import Prompting

PLACE = 48, 202
"""Row and column of the click, in a cell."""


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit("waited in vain")
        QApplication.processEvents()
        time.sleep(0.002)


def main():
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1000, 700)
    viewer.add_image(cells_stack()[12], name="cells")
    dock = SegmentAnything(viewer)
    viewer.window.add_dock_widget(dock)
    until(lambda: dock.context.session is not None)
    canvas, asker = viewer.window._qt_viewer.canvas.native, dock.feature(Prompting).asker
    viewer.reset_view()
    QApplication.processEvents()
    zoom, centre = viewer.camera.zoom, viewer.camera.center
    x = canvas.width() / 2 + (PLACE[1] - centre[-1]) * zoom
    y = canvas.height() / 2 + (PLACE[0] - centre[-2]) * zoom
    QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))
    until(lambda: asker.shown is not None)
    QTest.keyClick(canvas, Qt.Key.Key_Return)
    until(lambda: len(dock.context.bench.results.store.objects) == 1)
    area = int((dock.context.bench.results.layer.data == 1).sum())
    learning = dock.feature(Learning).panel
    found = {
        "model": dock.context.model,
        "place": PLACE,
        "area": area,
        "trains": learning.start.isEnabled(),
        "why": learning.hindrance.text(),
        "loaded": [name for name in torch_hidden.HIDDEN if name in sys.modules],
    }
    sys.stdout.write(f"found {json.dumps(found)}\n")
    dock.close_dock()
    dock.context.scheduler.wait(10_000)
    viewer.close()


if __name__ == "__main__":
    main()
