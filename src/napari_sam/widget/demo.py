"""Open napari on the sample stack with the dock ready: `python -m napari_sam.widget.demo`."""

from __future__ import annotations

import napari

from ..images.samples import STACK_SCALE, cells_stack
from .dock import SegmentAnything


def main() -> None:
    """Open the window and run until it is closed."""
    viewer = napari.Viewer(title="napari_sam demo")
    viewer.add_image(cells_stack(), name="cells", scale=STACK_SCALE, units=("um",) * 3)
    viewer.dims.set_current_step(0, 12)
    viewer.window.add_dock_widget(SegmentAnything(viewer), name="Segment Anything")
    viewer.reset_view()
    napari.run()


if __name__ == "__main__":
    main()
