"""Which objects an editing tool acts on, and whether it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ....objects import SegmentedObject
from ....objects.segmented import Origin, upright
from ....stack.planes import all_planes
from ....types import Plane, SliceKey
from ...context import Context
from ...labels_view import LabelsView
from ...layers import label_at


@dataclass(frozen=True, eq=False)
class Targets:
    """Objects of one Labels layer.

    Attributes
    ----------
    view : LabelsView
    labels : tuple of int
        At least one.
    plane : Plane
        The one that was shown.
    everywhere : bool
        All planes of the objects are meant, or the one that was shown.
    """

    view: LabelsView
    labels: tuple[int, ...]
    plane: Plane
    everywhere: bool = False

    @property
    def key(self) -> SliceKey:
        """The plane, with its axes in the order of the array."""
        return upright(self.plane.key)

    @property
    def name(self) -> str:
        """Of the objects, for the status line."""
        if len(self.labels) == 1:
            return f"object {self.labels[0]}"
        return f"{len(self.labels)} objects"

    def known(self) -> dict[int, SegmentedObject | None]:
        """Return the objects as the store knows them now."""
        objects = self.view.store.objects
        return {label: objects.get(label) for label in self.labels}

    def keys(self) -> list[SliceKey]:
        """Return the planes that are meant, with the axes shown."""
        return self._planes() if self.everywhere else [self.key]

    def search(self) -> list[SliceKey]:
        """Return the planes in which objects may lie that the store does not know yet.

        Labels that are not in memory are not searched.
        """
        in_memory = isinstance(self.view.layer.data, np.ndarray)
        if not in_memory or all(self.known().values()):
            return []
        return all_planes(self.view.store.canvas.shape, self.key)

    def origin(self, context: Context) -> Origin:
        """Return where pixels come from of which no outline is known."""
        return "everything" if self.view is context.bench.everything else "painted"

    def _planes(self) -> list[SliceKey]:
        outlines = {key for one in self.known().values() if one is not None for key in one.outlines}
        here = self.key
        alike = {key for key in outlines if key.displayed == here.displayed}
        return sorted(alike | {here, *self.search()}, key=lambda one: one.fixed)


def meant(context: Context, everywhere: bool = False) -> Targets | None:
    """Return the object under the pointer or of a review, or else those selected in the list.

    While the pointer is not on the image, as on the list, only those selected are meant.
    """
    plane = context.shown()
    if plane is None:
        return None
    view, labels = context.listed, context.selected()
    if context.viewer.mouse_over_canvas:
        pointed_at, label = context.object_meant(*_views(context))
        if pointed_at is not None:
            view, labels = pointed_at, [label]
    if view is None or not labels or not fits(context, view):
        return None
    return Targets(view, tuple(labels), plane, everywhere)


def object_at(context: Context, position: Any) -> Targets | None:
    """Return the object at a place of the world in the plane shown."""
    plane, points = context.shown(), context.bench.prompts.points
    if plane is None or points is None:
        return None
    for view in _views(context):
        label = label_at(view.layer, points, position)
        if label:
            return Targets(view, (label,), plane)
    return None


def refusal(context: Context, targets: Targets) -> str:
    """Return why objects must not be changed, in one sentence; empty if they may."""
    for label, one in targets.known().items():
        if one is not None and one.locked:
            return f"object {label} is finished and stays as it is; K unlocks it"
        work = context.work
        if -label in work.numbers() and work.reopened.view(label) is targets.view:
            return f"object {label} is in work; end that with Enter or Esc first"
    return ""


def fits(context: Context, view: LabelsView) -> bool:
    """Tell whether a layer lies on the image that is worked on."""
    frame = context.bench.frame
    return frame is not None and view.store.canvas.shape == frame.shape


def _views(context: Context) -> list[LabelsView]:
    """Return the layers that an object may be pointed at in, in this order."""
    bench = context.bench
    views = dict.fromkeys((context.listed, bench.results, bench.everything))
    return [view for view in views if view is not None and fits(context, view)]
