"""Strokes over finished objects: their pixels stay, the rest of the stroke is a step."""

from __future__ import annotations

import numpy as np

from napari_sam.objects import Canvas, edits
from napari_sam.objects.locks import sentence, spare


def painted(data, box, value):
    """Return the edit of a stroke of one box, which is painted."""
    ys, xs = (axis.ravel() for axis in np.mgrid[box])
    atom = ((ys, xs), data[ys, xs].copy(), value)
    data[ys, xs] = value
    return edits.stroke(Canvas(data), [atom])


def test_a_stroke_is_divided_at_finished_objects():
    data = np.zeros((10, 10), np.int32)
    data[2:5, 2:5], data[6:9, 6:9] = 3, 4
    before = data.copy()
    spared = spare(painted(data, np.s_[4:7, 4:7], 9), {3, 8})
    assert spared.labels == (3,)
    assert sentence(spared.labels) == "object 3 is finished: its pixels stay; K unlocks it"
    expected = before.copy()
    expected[4:7, 4:7] = 9
    expected[4, 4] = 3
    Canvas(data).write(*spared.restored)
    assert np.array_equal(data, expected)
    Canvas(data).write(*spared.edit.inverse().patches)
    assert np.array_equal(data, before)


def test_a_finished_object_gets_no_pixels():
    data = np.zeros((10, 10), np.int32)
    data[2:5, 2:5] = 3
    before = data.copy()
    spared = spare(painted(data, np.s_[3:9, 3:9], 3), {3})
    assert not spared.edit.changes
    Canvas(data).write(*spared.restored)
    assert np.array_equal(data, before)


def test_other_strokes_are_left_as_they_are():
    data = np.zeros((10, 10), np.int32)
    edit = painted(data, np.s_[3:9, 3:9], 7)
    assert spare(edit, ()).edit is edit
    assert spare(edit, {3}).edit is edit
    assert spare(edit, {3}).restored == ()
