from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage.graph import MCP_Geometric

from napari_sam.training.fields import distance_to, edge_distance, instance_targets

Y, X = np.mgrid[:96, :96].astype(float)
DISC = np.hypot(Y - 40, X - 44) < 21
ROD = (np.abs(Y - 30) < 6) & (np.abs(X - 48) < 40)
TILTED = (np.abs(X - 2 * Y + 40) / 5**0.5 < 5) & (np.abs(2 * X + Y - 140) / 5**0.5 < 30)
# a band 12 wide, bent about (48, 48) at a distance of 30, open at the right
BENT = (np.abs(np.hypot(Y - 48, X - 48) - 30) < 6) & (np.abs(np.arctan2(Y - 48, X - 48)) > 0.7)
SHAPES = {"disc": DISC, "rod": ROD, "tilted rod": TILTED, "bent band": BENT}


def of(*planes, offset=0):
    """Return the targets of label planes, of which each cell is given as two by two pixels."""
    labels = torch.from_numpy(np.stack(planes).astype(np.int64))
    large = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    return instance_targets(large, 2, offset)


def walked_back(field, mask, steps=600):
    """Return where walks (N, 2), (x, y), from every cell of a mask against the field end."""
    place = np.argwhere(mask).astype(float)
    for _ in range(steps):
        way = field[::-1, *cell_of(place)]
        move = (-0.25 * way / np.maximum(np.hypot(*way), 1e-9)).T
        for part in ((1, 1), (1, 0), (0, 1)):  # along an edge, not through it
            moved = place + move * part
            inside = mask[cell_of(moved)]
            place = np.where(inside[:, None], moved, place)
            move = np.where(inside[:, None], 0, move)
    return place[:, ::-1]


def cell_of(place):
    return tuple(np.rint(place).astype(int).T)


def border_of(mask):
    """Return the cells of which one of four neighbours is on the other side."""
    cross = ndimage.generate_binary_structure(2, 1)
    highest = ndimage.maximum_filter(mask, footprint=cross)
    return highest != ndimage.minimum_filter(mask, footprint=cross)


@pytest.mark.parametrize("beyond", [False, True])
def test_distances_are_those_of_scipy(beyond):
    rng = np.random.default_rng(0)
    shapes = [(40, 57), (57, 40), (1, 9), (9, 1), (64, 64)]
    for shape, odds in zip(shapes, (0.01, 0.3, 0.2, 0.2, 0.002), strict=True):
        marked = rng.random((3, *shape)) < odds
        marked[:, 0, 0] = True
        found = distance_to(torch.from_numpy(marked), beyond)
        for plane, own in zip(marked, found, strict=True):
            padded = np.pad(~plane, 1, constant_values=not beyond)
            wanted = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
            np.testing.assert_allclose(own, wanted, rtol=1e-6)


def test_distances_where_nothing_is_marked():
    nothing = torch.zeros(1, 5, 9, dtype=torch.bool)
    assert (distance_to(nothing) >= 5 + 9).all()
    steps = torch.minimum(torch.arange(1.0, 10), torch.arange(9.0, 0, -1))
    wanted = torch.minimum(steps, torch.tensor([1.0, 2, 3, 2, 1])[:, None])
    assert torch.equal(distance_to(nothing, beyond=True)[0], wanted)


def test_edges_run_between_all_labels():
    labels = torch.zeros(1, 6, 12, dtype=torch.int64)
    labels[0, :, 4:8] = 5
    labels[0, :, 8:] = 3
    row = [3.5, 2.5, 1.5, 0.5, 0.5, 1.5, 1.5, 0.5, 0.5, 1.5, 2.5, 3.5]
    assert edge_distance(labels)[0].tolist() == [row] * 6
    assert torch.equal(edge_distance(labels.mT.contiguous()), edge_distance(labels).mT)


@pytest.mark.parametrize("name", SHAPES)
def test_depth_is_distance_to_the_edge_as_a_part_of_the_largest(name):
    mask = SHAPES[name]
    distance = ndimage.distance_transform_edt(~border_of(mask)) + 0.5
    wanted = np.where(mask, distance / distance[mask].max(), 0)
    targets = of(mask)
    np.testing.assert_allclose(targets.depth[0], wanted, atol=1e-5)
    np.testing.assert_array_equal(targets.foreground[0], mask)


def test_the_field_of_a_disc_points_outward_and_is_as_long_as_the_depth():
    targets = of(DISC)
    field, depth = targets.field[0].numpy(), targets.depth[0].numpy()
    away = np.stack([X - 44, Y - 40]) / np.maximum(np.hypot(Y - 40, X - 44), 1e-9)
    agreed = (field * away).sum(0)
    ring = DISC & (np.hypot(Y - 40, X - 44) > 2)
    np.testing.assert_allclose(np.hypot(*field)[ring], depth[ring], atol=1e-5)
    assert (agreed[ring] > 0.9 * depth[ring]).all()
    assert agreed[ring].mean() > 0.99 * depth[ring].mean()
    assert np.hypot(*field)[40, 44] < 1e-5  # the centre
    assert not field[:, ~DISC].any()


def test_the_field_of_a_rod_points_along_it():
    field = of(ROD).field[0].numpy()
    spine = ROD & (np.abs(Y - 30) < 3)
    for side in (-1, 1):
        far = spine & (side * (X - 48) > 8)
        cosine = side * field[0][far] / np.hypot(*field)[far]
        assert cosine.min() > 0.9
    tilted = of(TILTED).field[0].numpy()
    along = ((2 * X + Y - 140) / 5**0.5)[TILTED]
    forward = (np.array([2, 1]) / 5**0.5) @ tilted[:, TILTED]
    deep = np.hypot(*tilted)[TILTED] > 0.5
    far = deep & (np.abs(along) > 8)
    assert (forward * np.sign(along))[far].min() > 0.9 * 0.5


@pytest.mark.parametrize("name", SHAPES)
def test_all_ways_back_end_in_one_place(name):
    mask = SHAPES[name]
    ends = walked_back(of(mask).field[0].numpy(), mask)
    middle = np.median(ends, axis=0)
    assert np.hypot(*(ends - middle).T).max() < 2
    depth = of(mask).depth[0].numpy()
    column, row = np.rint(middle).astype(int)
    assert depth[row, column] > 0.9
    if name != "bent band":  # its centre of mass lies beside it
        assert np.hypot(*(middle - [X[mask].mean(), Y[mask].mean()])) < 2


def test_the_field_of_a_bent_band_follows_the_band():
    field = of(BENT).field[0].numpy()
    centre = np.median(walked_back(field, BENT), axis=0)
    start = tuple(np.rint(centre[::-1]).astype(int))
    way, _ = MCP_Geometric(np.where(BENT, 1.0, -1.0)).find_costs([start])
    assert way[BENT].max() > 60  # from one end it is far to the other
    smooth = np.stack(np.gradient(np.where(BENT, way, np.nan)))[::-1]
    known = np.isfinite(smooth).all(0) & (way > 6)
    assert known.sum() > 0.6 * BENT.sum()
    smooth = smooth[:, known] / np.hypot(*smooth[:, known])
    cosine = (field[:, known] * smooth).sum(0) / np.hypot(*field[:, known])
    # steps of a graph go in eight directions, so that its ways are up to 22 degrees off
    assert cosine.min() > 0.8
    assert cosine.mean() > 0.96
    # away from the centre on either side: against the sense of the clock, or with it
    tangent = np.stack([48 - Y, X - 48]) / np.maximum(np.hypot(Y - 48, X - 48), 1e-9)
    turn = np.arctan2(Y - 48, X - 48) - np.arctan2(centre[1] - 48, centre[0] - 48)
    sense = np.sign(np.sin(turn / 2) * np.cos(turn / 2))
    middle = BENT & (np.abs(np.hypot(Y - 48, X - 48) - 30) < 1) & (way > 15) & (way < 70)
    along = ((field * tangent).sum(0) * sense)[middle] / np.hypot(*field)[middle]
    # a shortest way is tangent to the inner edge, whose radius is 24: 24 / 30, and more nearby
    assert along.min() > 0.75


def test_touching_objects_flip():
    labels = np.zeros((96, 96), int)
    labels[20:50, 10:40] = 4
    labels[20:50, 40:70] = 9
    field = of(labels).field[0].numpy()
    left, right = field[0, 24:46, 39], field[0, 24:46, 40]
    assert (left > 0).all()
    assert (right < 0).all()
    depth = of(labels).depth[0].numpy()
    assert (depth[24:46, 39:41] < 0.1).all()
    assert depth[34:36, 24:26].min() > 0.9
    near = of(labels).near[0].numpy()
    assert near[30, 37:43].all()  # 0.5, 1.5 and 2.5 cells away from where they touch
    assert not near[30, 14:37].any()


def test_cells_near_an_edge_are_those_within_three_cells():
    near = of(DISC).near[0].numpy()
    wanted = ndimage.distance_transform_edt(~border_of(DISC)) + 0.5 <= 3
    np.testing.assert_array_equal(near, wanted)


def test_an_object_that_leaves_the_plane_has_no_edge_there():
    half = np.hypot(Y - 48, X) < 30  # cut at the left
    targets = of(half)
    depth, field = targets.depth[0].numpy(), targets.field[0].numpy()
    column, row = np.median(walked_back(field, half), axis=0)
    assert depth[48, 0] == depth.max() == 1
    assert column <= 10  # the deepest places lie there
    assert abs(row - 48) < 2
    full = np.zeros((96, 96), int) + 2
    assert (of(full).depth == 1).all()
    assert not of(full).near.any()


def test_targets_of_several_planes_are_those_of_each():
    planes = [DISC * 3, ROD * 1023 + DISC * 0, np.zeros_like(DISC)]
    together = of(*planes)
    for k, plane in enumerate(planes):
        for part, own in zip(together, of(plane), strict=True):
            assert torch.equal(part[k], own[0])
    assert not together.field[2].any()
    assert not together.foreground[2].any()


def test_cells_of_a_stride_are_means_and_the_offset_is_what_is_looked_at():
    generator = np.random.default_rng(0)
    labels = ndimage.zoom(generator.integers(0, 3, (8, 8)), 8, order=0)
    labels = np.roll(labels, 3, (0, 1))
    planes = torch.from_numpy(labels)[None]
    fine, coarse = instance_targets(planes, 2), instance_targets(planes, 4)
    share = (labels > 0).reshape(16, 4, 16, 4).mean((1, 3))
    np.testing.assert_allclose(coarse.foreground[0], share)
    for part, own in zip(coarse[1:3], fine[1:3], strict=True):
        pooled = torch.nn.functional.avg_pool2d(part.new_tensor(own.numpy()), 2)
        torch.testing.assert_close(part, pooled)
    moved = instance_targets(planes.roll((1, 1), (1, 2)), 4, 1)
    inner = np.s_[..., 1:, 1:]  # what rolled in is another edge
    same = (moved.depth - coarse.depth)[inner].abs() < 1e-6
    assert same.float().mean() > 0.5
    wide = instance_targets(torch.from_numpy(DISC.astype(int))[None], 4)
    assert wide.field.shape == (1, 2, 24, 24)
