"""A review: from object to object, the riskiest first, until all were looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Labels

from ....objects import SegmentedObject
from ....objects.boxes import Box, box_around
from ....objects.risk import Assessed
from ....objects.segmented import upright
from ... import layers
from ...context import Context
from ...in_turn import in_turn
from ...labels_view import LabelsView
from ...looked_at import LookedAt
from ...placement import world_transform
from ...places import show_place
from .assessing import Assessing

KEYS = "K finishes it, E works on it again, N shows other outlines, R goes on"
IN_WORK = "an object is in work: Enter keeps it, Esc leaves it as it was; then R goes on"
MOVED = 8.0
"""Pixels of the screen that the pointer may move before another object under it is meant."""
PART = 1 / 3
"""How much of the view an object fills."""
LEAST_SIDE = 16
"""Smaller objects are magnified as if they had so many pixels, so that their ground is seen."""
MOST_REASONS = 3


class Review:
    """Goes from object to object; each is seen once in a pass.

    Parameters
    ----------
    context : Context
    assessing : Assessing
    selected : callable
        Called with the object that is shown.
    told : callable
        Called with why an object is shown, and with how many were looked at.
    """

    def __init__(
        self,
        context: Context,
        assessing: Assessing,
        selected: Callable[[Assessed], None],
        told: Callable[[str, str], None],
    ) -> None:
        self.context, self.assessing = context, assessing
        self._selected, self._told = selected, told
        self._view: LabelsView | None = None
        self._objects: Mapping[int, SegmentedObject] = {}
        self._seen: set[int] = set()
        self._visited: list[int] = []
        self._place = -1
        self._reason = ""
        self._later = False  # go on when all objects are assessed
        self._shown: SegmentedObject | None = None
        self._contour: Labels | None = None
        self._fill: tuple[Labels, int] | None = None  # the layer drawn as contours, as it was
        self._from: Any = None  # where the pointer rested
        context.viewer.mouse_move_callbacks.append(self._on_mouse_move)

    def follow(self, view: LabelsView | None, objects: Mapping[int, SegmentedObject]) -> None:
        """Go on with the objects as they are now; with another layer, begin afresh."""
        if view is not self._view:
            self.leave()
            self._view = view
            self._seen, self._visited, self._place = set(), [], -1
            self._reason = ""
            self._drop_contour()
        changed = objects is not self._objects
        self._objects = objects
        one = self._shown
        if one is not None and (one.label not in objects or self.context.work.numbers()):
            self.leave()
        elif one is not None and objects[one.label] is not one:
            self._hide_contour()
        if self.context.work.numbers():
            self._later = False
        if self._later and self.assessing.is_ready:
            self.go_on()
        elif changed:
            self._tell()

    def go_on(self) -> None:
        """Show the riskiest object that is not finished and was not looked at in this pass."""
        self._later = False
        self.context.status.acted()
        hindrance = self.context.hindrance()
        if hindrance or not self._objects:
            self.context.status.hint(hindrance or "there are no objects yet: commit one first")
            return
        if self.context.work.numbers():
            self.context.status.hint(IN_WORK)
            return
        self._later = not self.assessing.is_ready
        if self._later:
            self.context.status.hint("the objects are being measured; the first follows at once")
            return
        after = [label for label in self._visited[self._place + 1 :] if label in self._objects]
        if after:  # back was pressed before
            self._place = self._visited.index(after[0], self._place + 1)
            self._show(after[0])
            return
        open_ones = {label for label, one in self._objects.items() if not one.locked} - self._seen
        left = [one for label, one in self.assessing.assessed.items() if label in open_ones]
        if not left:
            again = "; R begins again" if self._seen else ""
            text = "all objects were looked at" if self._seen else "all objects are finished"
            self.leave()
            self._seen, self._visited, self._place = set(), [], -1
            self._reason = f"{text}{again}"
            self.context.status.hint(self._reason)
            self._tell()
            return
        label = min(left, key=lambda one: (-one.risk, one.measured.one.label)).measured.one.label
        self._visited.append(label)
        self._place = len(self._visited) - 1
        self._show(label)

    def go_back(self) -> None:
        """Show the object that was looked at before this one."""
        self.context.status.acted()
        if self.context.work.numbers():
            self.context.status.hint(IN_WORK)
            return
        before = [k for k in range(max(self._place, 0)) if self._visited[k] in self._objects]
        if not before or self.context.hindrance():
            text = self.context.hindrance() or "this is the first object of the review"
            self.context.status.hint(text if self._visited else "R begins a review")
            return
        self._place = before[-1]
        self._show(self._visited[self._place])

    def point_out(self, view: LabelsView, one: SegmentedObject) -> None:
        """Draw the contour of an object that is not part of the review, and let keys mean it."""
        self._shown, self.context.looked_at, self._from = one, LookedAt(view, one.label), None
        self._show_contour(view, fill=True)

    def leave(self) -> None:
        """Let the keys act on what is under the pointer again."""
        self.context.looked_at = self._shown = None
        self._later = False
        self._hide_contour()
        self._draw_fill()

    def close(self) -> None:
        """Let go of the viewer."""
        self.leave()
        self._drop_contour()
        self.context.viewer.mouse_move_callbacks.remove(self._on_mouse_move)

    # -- one object -----------------------------------------------------------------------------

    def _show(self, label: int) -> None:
        """Fly to an object, and say why."""
        view, one = self._view, self.assessing.assessed.get(label)
        if view is None or one is None:
            return
        self._seen.add(label)
        self._selected(one)
        view.layer.selected_label = label
        key, planes = one.key, one.measured.one.outlines
        if key is not None and one.measured.box is not None:
            show_place(self.context, [box_around(key, planes[key].mask)])
            self._fly(one.measured.box)
        self._shown = one.measured.one
        self.context.looked_at = LookedAt(view, label)
        self._from = None
        self._show_contour(view)
        self._reason = f"object {label}: {reason(one)}"
        self.context.status.hint(f"{self._reason}; {KEYS}")
        self._tell()

    def _fly(self, box: Box) -> None:
        """Let an object fill a part of the view."""
        frame, viewer = self.context.bench.frame, self.context.viewer
        if frame is None or len(box) != len(frame.shape):
            return
        to_world = world_transform(frame.transform, viewer.dims)
        low, high = np.array(box, float).T
        shown = list(viewer.dims.displayed)
        offset = viewer.dims.ndim - len(box)
        axes = [axis - offset for axis in shown]
        sides = (np.abs(to_world.linear_matrix) @ np.maximum(high - low, LEAST_SIDE))[axes]
        centre = np.asarray(to_world((low + high - 1) / 2))[axes]
        viewer.reset_view()
        whole = np.ptp(np.asarray(viewer.layers.extent.world)[:, shown], axis=0)
        camera = getattr(viewer, "scene", viewer).camera  # napari before 0.9 has no scene
        camera.zoom *= PART * float(whole.max() / sides.max())
        camera.center = (*tuple(camera.center)[:-2], *centre)

    def _tell(self) -> None:
        """Tell how many of the objects were looked at."""
        there = [label for label in self._seen if label in self._objects]
        left = sum(not one.locked and k not in self._seen for k, one in self._objects.items())
        count = f"{len(there):,} of {len(there) + left:,} looked at" if there else ""
        self._told(self._reason, count)

    # -- its outline ----------------------------------------------------------------------------

    def _show_contour(self, view: LabelsView, fill: bool = False) -> None:
        """Draw its outline in the plane shown, and all other objects as contours or filled.

        Each in an event of its own: on a large plane all this takes too long for one.
        """
        fills = partial(self._draw_fill, None if fill else view.layer)
        steps = fills, self._make_contour, self._draw_contour
        in_turn(*(partial(self._unless_left, view, self._shown, step) for step in steps))

    def _unless_left(
        self, view: LabelsView, one: SegmentedObject | None, step: Callable[[], None]
    ) -> None:
        """Do something for an object, unless it was left or changed by now."""
        if one is not None and one is self._shown and view.store.objects.get(one.label) is one:
            step()

    def _make_contour(self) -> None:
        frame = self.context.bench.frame
        if frame is not None and self._contour not in self.context.viewer.layers:
            self._contour = layers.make_contour(frame)
            self.context.bench.add_below_prompts(self._contour, overlay=True)

    def _draw_contour(self) -> None:
        frame, plane = self.context.bench.frame, self.context.shown()
        if frame is None or plane is None or self._shown is None or self._contour is None:
            return
        outline = self._shown.outlines.get(upright(plane.key))
        if outline is None or not outline.mask:
            self._hide_contour()
            return
        one = outline if upright(plane.key) == plane.key else outline.turned()
        layers.show_contour(self._contour, frame, plane.key, one.mask)

    def _hide_contour(self) -> None:
        if self._contour is not None:
            self._contour.visible = False

    def _drop_contour(self) -> None:
        layer, self._contour = self._contour, None
        if layer is not None and layer in self.context.viewer.layers:
            self.context.viewer.layers.remove(layer)

    def _draw_fill(self, contours: Labels | None = None) -> None:
        """Draw a layer as contours, so that the image is seen; the one before as it was."""
        if self._fill is not None and self._fill[0] is contours:
            return
        if self._fill is not None:
            self._fill[0].contour = self._fill[1]
        self._fill = None if contours is None else (contours, contours.contour)
        if contours is not None:
            contours.contour = 1

    def _on_mouse_move(self, viewer: Any, event: Any) -> None:
        looked = self.context.looked_at
        if looked is None or not looked.resting:
            return
        place = np.asarray(event.pos, float)
        if self._from is None:
            self._from = place
        looked.resting = bool(np.abs(place - self._from).max() <= MOVED)


def reason(one: Assessed) -> str:
    """Say why an object is to be looked at."""
    if not one.flags:
        return f"nothing conspicuous (risk {one.risk:.2f})"
    first, *others = one.flags[:MOST_REASONS]
    also = ", ".join(flag.name for flag in others)
    return f"{first.text}, also {also}" if also else first.text
