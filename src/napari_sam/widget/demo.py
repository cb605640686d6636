"""Open napari on the sample stack with the dock ready: `python -m napari_sam.widget.demo`."""

from __future__ import annotations

import napari
from qtpy.QtGui import QGuiApplication

from ..images.samples import STACK_SCALE, cells_stack
from .dock import SegmentAnything

SIZE = (1400, 940)
"""Of the window, pixels, as far as the screen is that large: most of the dock is seen."""


def main() -> None:
    """Open the window and run until it is closed."""
    viewer = napari.Viewer(title="napari_sam demo")
    viewer.add_image(cells_stack(), name="cells", scale=STACK_SCALE, units=("um",) * 3)
    viewer.dims.set_current_step(0, 12)
    viewer.window.add_dock_widget(SegmentAnything(viewer), name="Segment Anything")
    room = QGuiApplication.primaryScreen().availableSize()
    viewer.window.resize(min(SIZE[0], room.width()), min(SIZE[1], room.height()))
    viewer.reset_view()
    napari.run()


if __name__ == "__main__":
    main()
