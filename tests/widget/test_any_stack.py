"""Clicks and dragged boxes in XY and XZ of stacks, time series and colour: the object under them.

Each commit is checked pixel by pixel: the object of the plane shown, and nothing elsewhere.
"""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam.widget.placement import world_transform

SHAPE = (24, 60, 80)
CENTRES = ((10, 20, 24), (14, 38, 56))
RADII = ((7, 12, 15), (6, 14, 12))
MOVED = (5, -6)
"""Columns by which an object lies elsewhere at the next time."""


def ellipsoids(shift=(0, 0)):
    """Draw the labels of two objects, moved by some columns each."""
    grid = np.indices(SHAPE).astype(float)
    labels = np.zeros(SHAPE, np.int32)
    for label, (centre, radius, by) in enumerate(zip(CENTRES, RADII, shift, strict=True), 1):
        at = np.add(centre, (0, 0, by))
        parts = [((g - c) / r) ** 2 for g, c, r in zip(grid, at, radius, strict=True)]
        labels[sum(parts) <= 1] = label
    return labels


def stack():
    truth = ellipsoids()
    image = np.where(truth > 0, 200, 20).astype(np.uint8)
    return image, truth, {"scale": (2, 0.5, 0.5), "translate": (40, -30, 7)}, CENTRES


def time_series():
    """Three times; what is shown is the second one, where the objects have moved."""
    truth = np.stack([ellipsoids(), ellipsoids(MOVED), ellipsoids()])
    image = np.where(truth > 0, 200, 20).astype(np.uint8)
    centres = [(1, z, y, x + by) for (z, y, x), by in zip(CENTRES, MOVED, strict=True)]
    return image, truth, {"scale": (1, 2, 0.5, 0.5)}, centres


def colour():
    truth = ellipsoids()
    image = np.zeros((*SHAPE, 3), np.uint8)
    image[truth > 0] = (220, 180, 160)
    return image, truth, {"rgb": True, "scale": (2, 0.5, 0.5)}, CENTRES


KINDS = {"stack": stack, "time series": time_series, "colour": colour}
SIDES = {"XY": (-2, -1), "XZ": (-3, -1), "ZX": (-1, -3), "YZ": (-2, -3)}
"""The axes that are shown as rows and columns, counted from the last one."""
CASES = [
    *(("stack", side) for side in ("XZ", "ZX", "YZ")),
    *((kind, side) for kind in ("time series", "colour") for side in ("XY", "XZ")),
]


class Shown:
    """A window that shows a plane through places of an array."""

    def __init__(self, hands, displayed):
        self.hands, self.dims = hands, hands.viewer.dims
        self.displayed = [self.dims.ndim + axis for axis in displayed]
        self.hidden = [k for k in range(self.dims.ndim) if k not in self.displayed]
        self.dims.order = (*self.hidden, *self.displayed)
        hands.viewer.reset_view()
        hands.rest(0.1)

    def go(self, place):
        world = self._world(place)
        for axis in self.hidden:
            self.dims.set_point(axis, world[axis])
        self.hands.settled()

    def click(self, place):
        self.hands.click_and_wait(*self._world(place)[self.displayed])

    def drag(self, place, radius):
        """Drag a box a pixel larger than an object, in the plane through its centre."""
        reach = np.zeros(self.dims.ndim)
        reach[-3:] = np.array(radius) + 1
        before = self.hands.answers
        first, last = (self._world(place + sign * reach)[self.displayed] for sign in (-1, 1))
        self.hands.drag(first, last)
        self.hands.until(lambda: self.hands.answers and self.hands.answers is not before)

    def index(self, place):
        return tuple(place[k] if k in self.hidden else slice(None) for k in range(self.dims.ndim))

    def _world(self, place):
        transform = world_transform(self.hands.bench.frame.transform, self.dims)
        return np.asarray(transform(np.asarray(place, float)))


@pytest.mark.parametrize(("kind", "side"), CASES)
def test_a_click_and_a_box_give_the_object_in_its_plane_alone(open_dock, kind, side):
    image, truth, options, centres = KINDS[kind]()
    hands = open_dock(("add_image", image, {"name": "a", **options}))
    shown = Shown(hands, SIDES[side])
    expected = np.zeros_like(truth)
    for label, (centre, radius) in enumerate(zip(centres, RADII, strict=True), 1):
        shown.go(centre)
        assert dict(hands.bench.plane().key.fixed) == {k: centre[k] for k in shown.hidden}
        hands.prompting.tools.use("points" if label == 1 else "boxes")
        if label == 1:
            shown.click(centre)
        else:
            shown.drag(centre, radius)
        hands.press(Qt.Key.Key_Return)
        hands.until_said(f"object {label} committed")
        there = shown.index(centre)
        expected[there][truth[there] == label] = label
    wrong = np.count_nonzero(hands.labels != expected)
    assert wrong < 0.05 * np.count_nonzero(expected)  # the model's answers are smooth
    for centre in centres:
        there = shown.index(centre)
        assert set(np.unique(hands.labels[there])) == set(np.unique(expected[there]))
