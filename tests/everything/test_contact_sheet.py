"""The contact sheet: which objects it shows, and where their pictures and outlines are."""

from __future__ import annotations

import numpy as np

from napari_sam.everything.contact_sheet import (
    CELL,
    COLOUR,
    COLUMNS,
    GAP,
    LINE,
    MOST,
    contact_sheet,
    ordered,
)
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane, SliceKey


def square(label, side, score=1.0, plane=0):
    """A square in a plane of (60, 80) of a stack of two."""
    bits = np.zeros((60, 80), bool)
    bits[20 : 20 + side, 30 : 30 + side] = True
    key = SliceKey((1, 2), ((0, plane),))
    return SegmentedObject(label, {key: Outline(Mask.of(bits), score=score)})


def test_the_largest_or_the_least_certain_come_first():
    objects = [square(1, 4, 0.9), square(2, 12, 0.8), square(3, 8, 0.2), SegmentedObject(4, {})]
    assert [one.label for one in ordered(objects, "size")] == [2, 3, 1]
    assert [one.label for one in ordered(objects, "score")] == [3, 2, 1]
    assert len(ordered([square(k, 4) for k in range(1, 150)], "size")) == MOST


def test_each_picture_shows_its_object_in_its_plane():
    image = np.zeros((2, 60, 80), np.uint8)
    image[1] = 100  # the second plane is brighter
    image[:, 20:32, 30:42] += 100
    objects = [square(k, 12, plane=k % 2) for k in range(1, COLUMNS + 2)]

    def read(plane):
        return plane.key.read(plane.image), (0.0, 255.0)

    sheet = drive(contact_sheet(objects, lambda key: Plane(image, key), read))
    high = CELL + LINE + GAP
    assert sheet.shape == (2 * high + GAP, COLUMNS * (CELL + GAP) + GAP, 3)
    for place, one in enumerate(objects):
        row, column = divmod(place, COLUMNS)
        x, y = GAP + column * (CELL + GAP), GAP + row * high
        picture = sheet[y : y + CELL, x : x + CELL]
        bright = one.label % 2 * 100
        assert tuple(picture[2, 2]) == (bright,) * 3
        assert tuple(picture[CELL // 2, CELL // 2]) == (bright + 100,) * 3
        edge = (picture == COLOUR).all(-1)
        rows, columns = np.flatnonzero(edge.any(1)), np.flatnonzero(edge.any(0))
        # 12 of 18 pixels, the margin being 3
        assert (rows[0], rows[-1], columns[0], columns[-1]) == (16, 79, 16, 79)
        assert edge.sum() == 4 * 64 - 4
        assert sheet[y + CELL : y + CELL + LINE, x : x + CELL].max() > 200  # the label


def test_an_object_at_the_border_and_one_of_a_pixel():
    image = np.zeros((60, 80), np.uint8)
    corner, dot = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    corner[:5, :20] = True
    dot[59, 79] = True
    key = SliceKey((0, 1))
    objects = [SegmentedObject(k, {key: Outline(Mask.of(m))}) for k, m in ((1, corner), (2, dot))]

    def read(plane):
        return plane.key.read(plane.image), (0.0, 255.0)

    sheet = drive(contact_sheet(objects, lambda key: Plane(image, key), read))
    assert sheet.shape == (CELL + LINE + 2 * GAP, 2 * (CELL + GAP) + GAP, 3)
    assert (sheet == COLOUR).all(-1).any(0)[: CELL + GAP].any()
