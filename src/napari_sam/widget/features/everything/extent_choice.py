"""What "all planes" means for the image, as it is displayed; and how those planes are joined."""

from __future__ import annotations

from dataclasses import replace

from ....types import Plane, SliceKey
from ...context import Context
from ...frame import Frame
from .extent import Extent, extents
from .joining import Joining
from .panel import EverythingPanel
from .voxels import square_micrometres, voxel_size
from .words import all_tip


class ExtentChoice:
    """Offers the meanings of "all planes", and what suits the one that is chosen.

    Parameters
    ----------
    context : Context
    panel : EverythingPanel

    Attributes
    ----------
    extent : Extent or None
        What is chosen; None if there is only one plane.
    """

    def __init__(self, context: Context, panel: EverythingPanel) -> None:
        self.context, self.panel = context, panel
        self.extent: Extent | None = None
        self._offered: list[Extent] | None = None
        panel.planes.picked.connect(self._on_extent_picked)
        context.plane_changed.connect(self.show)

    def show(self) -> None:
        """Offer what there is for the plane shown."""
        plane, frame = self.context.shown(), self.context.bench.frame
        if plane is None or frame is None:
            return
        pixel = square_micrometres(frame.transform, plane.key.displayed)
        self.panel.size.set_unit(pixel or 1.0, "µm²" if pixel else "px")
        offered = extents(frame, plane.key, self.context.viewer.dims)
        if offered == self._offered:
            return
        self._offered = offered
        axes = None if self.extent is None else self.extent.axes
        self.extent = next((one for one in offered if one.axes == axes), None)
        if self.extent is None and offered:
            self.extent = offered[0]
        several = offered if len(offered) > 1 else []
        self.panel.set_extents([one.text for one in several], several, self.extent)
        self._show_extent()

    def planes(self, plane: Plane, frame: Frame, all_planes: bool) -> list[Plane]:
        """Return the planes of a run: the one shown, or all that were chosen."""
        if not all_planes or self.extent is None:
            return [plane]
        return [replace(plane, key=key) for key in self.extent.planes(plane.key, frame.shape)]

    def joining(self, extent: Extent | None, frame: Frame, key: SliceKey) -> Joining | None:
        """Return how planes of an extent are to be joined, as the panel says it."""
        axis = None if extent is None else extent.linking_axis
        if axis is None:
            return None
        across, voxel = self.panel.across, voxel_size(frame.transform, (axis, *key.displayed))
        return Joining(axis, across.is_time_series, across.least_volume / voxel.volume)

    def _show_extent(self) -> None:
        """Say what is run on, and offer what suits the axis along which planes are joined."""
        self.panel.set_all_tip(all_tip(self.extent))
        plane, frame, extent = self.context.shown(), self.context.bench.frame, self.extent
        axis = None if extent is None else extent.linking_axis
        if plane is None or frame is None or extent is None or axis is None:
            self.panel.across.hide()
            return
        self.panel.across.show()
        voxel = voxel_size(frame.transform, (axis, *plane.key.displayed))
        self.panel.across.offer(extent.time_series, voxel)

    def _on_extent_picked(self, extent: Extent) -> None:
        self.extent = extent
        self._show_extent()
