"""Surfaces of labels: where they lie, how large they are, and how much is read for them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import csgraph

from napari_sam.objects import surfaces
from napari_sam.objects.surfaces import Volume, surfaces_of_labels, surfaces_of_outlines
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey

STACK = Volume((0, 1, 2))
NEAR = 0.15  # pixels; a smooth surface lies a little inside


def ball(shape, centre, radius):
    places = np.indices(shape).reshape(len(shape), -1).T - np.array(centre)
    return (np.linalg.norm(places, axis=1) <= radius).reshape(shape)


def volume_of(vertices, faces):
    """Return what a closed surface holds, by the divergence theorem.

    It is positive where the corners of each face go round as napari wants it: it lights the
    outside of the surface then.
    """
    a, b, c = (vertices[faces[:, k]].astype(np.float64) for k in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6


def faces_of(made, label):
    return made.faces[made.labels[made.faces[:, 0]] == label]


def is_closed(faces):
    """Tell whether each edge belongs to two triangles, once in each direction."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).tolist()
    there = {tuple(one) for one in edges}
    return len(there) == len(edges) and all((b, a) in there for a, b in there)


def outlines_of(labels, label, axis=0):
    rows, columns = (k for k in range(3) if k != axis)
    planes = {}
    for place in range(labels.shape[axis]):
        mask = Mask.of(np.take(labels, place, axis) == label)
        if mask:
            planes[SliceKey((rows, columns), ((axis, place),))] = mask
    return planes


def test_a_surface_lies_around_the_pixels():
    labels = np.zeros((9, 40, 50), np.uint16)
    labels[2:7, 10:30, 5:45] = 4
    made = drive(surfaces_of_labels(labels, STACK))
    assert made.vertices.min(0) == pytest.approx([1.5, 9.5, 4.5], abs=NEAR)
    assert made.vertices.max(0) == pytest.approx([6.5, 29.5, 44.5], abs=NEAR)
    assert volume_of(made.vertices, made.faces) == pytest.approx(5 * 20 * 40, rel=0.05)
    assert is_closed(made.faces)
    assert set(made.labels) == {4}


def test_each_object_has_its_own_surface():
    labels = np.zeros((20, 30, 60), np.int32)
    labels[ball(labels.shape, (9, 14, 15), 9)] = 3
    labels[ball(labels.shape, (9, 14, 40), 7)] = 2_000_000_000
    made = drive(surfaces_of_labels(labels, STACK))
    assert set(made.labels) == {3, 2_000_000_000}
    for label, radius in ((3, 9), (2_000_000_000, 7)):
        faces = faces_of(made, label)
        assert is_closed(faces)
        there = int((labels == label).sum())
        assert volume_of(made.vertices, faces) == pytest.approx(there, rel=0.05)
        assert there == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)
    one = drive(surfaces_of_labels(labels, STACK, wanted=[3]))
    assert set(one.labels) == {3}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_outlines_give_the_same_surface_as_labels(axis):
    labels = np.zeros((14, 30, 40), np.uint8)
    labels[ball(labels.shape, (6, 14, 18), 6)] = 1
    labels[3:5, 20:28, 2:9] = 1
    made = drive(surfaces_of_labels(labels, STACK))
    outlined = drive(surfaces_of_outlines({1: outlines_of(labels, 1, axis)}, STACK))
    assert np.array_equal(made.vertices, outlined.vertices)
    assert np.array_equal(made.faces, outlined.faces)
    told = drive(surfaces_of_labels(labels, STACK, outlines={1: outlines_of(labels, 1, axis)}))
    assert np.array_equal(made.vertices, told.vertices)


def test_an_outline_with_its_axes_swapped_is_the_same():
    mask = np.zeros((30, 40), bool)
    mask[4:9, 10:30] = True
    key, turned = SliceKey((1, 2), ((0, 3),)), SliceKey((2, 1), ((0, 3),))
    plain = drive(surfaces_of_outlines({1: {key: Mask.of(mask)}}, STACK))
    swapped = drive(surfaces_of_outlines({1: {turned: Mask.of(mask.T)}}, STACK))
    assert np.array_equal(plain.vertices, swapped.vertices)


def test_one_moment_of_a_time_series_is_shown():
    labels = np.zeros((3, 6, 20, 20), np.uint8)
    labels[0, 1:4, 5:9, 5:9] = 1
    labels[2, 2:5, 10:19, 10:19] = 1
    volume = Volume((1, 2, 3), ((0, 2),))
    made = drive(surfaces_of_labels(labels, volume))
    assert made.vertices.min(0) == pytest.approx([2, 1.5, 9.5, 9.5], abs=NEAR)
    assert made.vertices.max(0) == pytest.approx([2, 4.5, 18.5, 18.5], abs=NEAR)
    key = SliceKey((2, 3), ((0, 0), (1, 2)))
    elsewhere = {1: {key: Mask.of(labels[0, 2] > 0)}}
    assert not len(drive(surfaces_of_outlines(elsewhere, volume)).faces)


def test_smoothing_keeps_what_is_thin_and_what_is_apart():
    labels = np.zeros((9, 20, 20), np.uint8)
    labels[4, 3, 3] = 1  # a single pixel
    labels[4, 8, 2:18] = 1  # a line
    labels[2:7, 12:14, 2:9] = labels[2:7, 12:14, 10:18] = 1  # two bars with a gap
    made = drive(surfaces_of_labels(labels, STACK))
    assert is_closed(made.faces)
    parts = connected_parts(made.faces, len(made.vertices))
    assert parts == 4


def connected_parts(faces, count):
    """Return how many closed surfaces there are."""
    pairs = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = sparse.coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    return csgraph.connected_components(graph, directed=False)[0]


def test_slabs_leave_no_seam(monkeypatch):
    labels = np.zeros((30, 30, 30), np.uint8)
    labels[ball(labels.shape, (14, 14, 14), 13)] = 1
    whole = drive(surfaces_of_labels(labels, STACK))
    monkeypatch.setattr(surfaces, "SLAB", 5000)
    pieces = drive(surfaces_of_labels(labels, STACK))
    assert len(pieces.vertices) == len(whole.vertices)
    assert len(pieces.faces) == len(whole.faces)
    assert is_closed(pieces.faces)


def test_large_objects_are_looked_at_in_fewer_places(monkeypatch):
    labels = np.zeros((6, 400, 300), np.uint8)
    labels[1:5, 20:380, 10:290] = 7
    monkeypatch.setattr(surfaces, "MOST_PLACES", 20_000)
    made = drive(surfaces_of_labels(labels, STACK))
    assert len(made.vertices) < 20_000
    extent = np.ptp(made.vertices, axis=0)
    assert extent[0] == 4  # few planes are all looked at
    assert extent[1:] == pytest.approx([360, 280], rel=0.05)
    assert volume_of(made.vertices, made.faces) == pytest.approx(4 * 360 * 280, rel=0.1)


def test_the_largest_of_many_objects_are_shown(monkeypatch):
    labels = np.zeros((4, 10, 100), np.uint16)
    for k in range(10):
        labels[1:3, 1 : 3 + k // 2, 10 * k + 1 : 10 * k + 4] = k + 1
    monkeypatch.setattr(surfaces, "MOST_OBJECTS", 4)
    made = drive(surfaces_of_labels(labels, STACK))
    assert set(made.labels) == {7, 8, 9, 10}
    assert made.left_out == 6


def test_nothing_there_gives_no_surface():
    empty = np.zeros((3, 5, 5), np.uint8)
    assert not len(drive(surfaces_of_labels(empty, STACK)).faces)
    assert not len(drive(surfaces_of_outlines({}, STACK)).faces)


class Read:
    """An array that notes what is read of it."""

    def __init__(self, data):
        self.data, self.shape, self.ndim, self.read = data, data.shape, data.ndim, []

    def __getitem__(self, index):
        part = self.data[index]
        self.read.append(part.size)
        return part


def test_of_a_large_array_only_the_planes_of_objects_are_read():
    labels = np.zeros((500, 60, 60), np.uint16)
    labels[200:210, 20:40, 20:40] = 1
    labels[205:220, 30:50, 42:50] = 2
    outlines = {label: outlines_of(labels[:230], label) for label in (1, 2)}
    array = Read(labels)
    made = drive(surfaces_of_labels(array, STACK, outlines=outlines))
    assert np.array_equal(made.vertices, drive(surfaces_of_labels(labels, STACK)).vertices)
    assert len(array.read) == 20  # each plane once
    assert max(array.read) <= 30 * 30
