"""What the instance head learns: foreground, and a field that leads away from each object's centre.

All planes of a batch at once, in torch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LABELS = 2048
"""Labels of a plane are below this."""
CENTRAL = 0.3
"""How much depth, relative to the deepest, a centre may give up for each square root of the
object's area that it lies nearer to the centre of mass."""
CHECKED = 16
"""Steps of the distance from the centre between two looks whether all is reached."""

MOST_SUMS = 2**22
"""Sums of which `distance_to` takes the least, at a time: more would not fit into a cache."""


class InstanceTargets(NamedTuple):
    """Targets of the instance head for B planes.

    Attributes
    ----------
    foreground : (B, h, w) float, 0..1
        Share of the cell that objects cover.
    field : (B, 2, h, w) float, (x, y)
        Unit direction away from the object's centre, along the shortest way inside the object,
        times `depth`; 0 beside objects.
    depth : (B, h, w) float, 0..1
        Distance to the object's edge as a part of the largest such distance in that object.
    near : (B, h, w) bool
        Cells close to the edge of an object, on either side.
    """

    foreground: Tensor
    field: Tensor
    depth: Tensor
    near: Tensor


def instance_targets(labels: Tensor, stride: int = 4, offset: int = 0) -> InstanceTargets:
    """Return the targets of label planes.

    The centre of an object is its deepest cell, of nearly equal ones the one nearest to the centre
    of mass, so that a rod has one. The way to it is the solution of the eikonal equation in the
    object (Sethian, PNAS 93:1591, 1996), found by repeated relaxation. Distances are those on
    every second pixel.

    Parameters
    ----------
    labels : (B, S, S) int
        0 is background. An object that leaves the plane has no edge there.
    stride : int
        Pixels along a cell; a multiple of 2.
    offset : {0, 1}
        Which of two pixels is looked at; drawn anew at each step, no shift is learnt.

    Returns
    -------
    InstanceTargets at (h, w) = (S / stride, S / stride)
    """
    sparse = labels[:, offset::2, offset::2].long()
    distance = edge_distance(sparse)
    depth, centres = _relative_depth(sparse, distance)
    field = _outward(sparse, centres) * depth[:, None]
    pool = stride // 2
    return InstanceTargets(
        F.avg_pool2d((labels > 0).float(), stride),
        F.avg_pool2d(field, pool),
        F.avg_pool2d(depth, pool),
        F.max_pool2d((distance <= 3).float(), pool) > 0,
    )


def edge_distance(labels: Tensor) -> Tensor:
    """Return the distance of each cell to the nearest border between labels, (B, h, w) in cells."""
    border = torch.zeros_like(labels, dtype=torch.bool)
    for axis in (1, 2):
        side = labels.shape[axis]
        change = labels.narrow(axis, 1, side - 1) != labels.narrow(axis, 0, side - 1)
        border.narrow(axis, 1, side - 1).logical_or_(change)
        border.narrow(axis, 0, side - 1).logical_or_(change)
    return distance_to(border) + 0.5


def distance_to(marked: Tensor, beyond: bool = False) -> Tensor:
    """Return the Euclidean distance of each cell to the nearest marked one (exact, separable).

    The two passes of Felzenszwalb and Huttenlocher (Theory of Computing 8:415, 2012), the second
    one as a minimum over all rows.

    Parameters
    ----------
    marked : (B, h, w) bool
    beyond : bool
        Whether what lies beyond the plane counts as marked.

    Returns
    -------
    (B, h, w) float, in cells; a large number where nothing is marked
    """
    h, w = marked.shape[-2:]
    far = float(2 * (h + w))
    column = torch.arange(w, device=marked.device, dtype=torch.float32)
    edge = 0.0 if beyond else far
    left = torch.where(marked, column, -1.0 - edge).cummax(-1).values
    right = torch.where(marked, column, w + edge).flip(-1).cummin(-1).values.flip(-1)
    along = torch.minimum(column - left, right - column).clamp(max=far)
    row = torch.arange(h, device=marked.device, dtype=torch.float32)
    apart = (row[:, None] - row) ** 2  # (h, h)
    along = (along * along)[:, None]
    lines = max(1, MOST_SUMS // max(1, marked.numel()))  # of the result
    squared = torch.cat(  # (B, h, w)
        [(part[:, :, None] + along).amin(2) for part in torch.split(apart, lines)], dim=1
    )
    if beyond:
        outside = torch.minimum(row + 1, h - row)[:, None]
        squared = torch.minimum(squared, outside * outside)
    return squared.sqrt()


def _per_label(labels: Tensor, values: Tensor, reduce: str) -> Tensor:
    """Reduce values (B, h, w) over the cells of each label; returns (B, LABELS)."""
    table = values.new_full((len(labels), LABELS), 0.0 if reduce == "sum" else -torch.inf)
    flat = labels.flatten(1)
    if reduce == "sum":
        return table.scatter_add(1, flat, values.flatten(1))
    return table.scatter_reduce(1, flat, values.flatten(1), "amax")


def _spread(labels: Tensor, table: Tensor) -> Tensor:
    """Give each cell (B, h, w) the value of its label in a table (B, LABELS)."""
    return table.gather(1, labels.flatten(1)).view(labels.shape)


def _relative_depth(labels: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """Return depth relative to the deepest cell of each object, and where the centres are."""
    inside = labels > 0
    depth = distance * inside
    depth = depth / _spread(labels, _per_label(labels, depth, "amax")).clamp(min=0.5)
    h, w = labels.shape[-2:]
    y = torch.arange(h, device=labels.device, dtype=torch.float32)[:, None].expand_as(depth)
    x = torch.arange(w, device=labels.device, dtype=torch.float32).expand_as(depth)
    area = _per_label(labels, inside.float(), "sum").clamp(min=1)
    middle = [_spread(labels, _per_label(labels, axis, "sum") / area) for axis in (x, y)]
    away = ((x - middle[0]) ** 2 + (y - middle[1]) ** 2).sqrt()
    merit = depth - CENTRAL * away / _spread(labels, area).sqrt()
    merit = merit + (y * w + x) * (1e-2 / (h * w))  # no two cells are equal, in single precision
    best = _spread(labels, _per_label(labels, merit, "amax"))
    return depth, (merit == best) & inside


def _outward(labels: Tensor, centres: Tensor) -> Tensor:
    """Return the unit direction (B, 2, h, w) away from the centre of each cell's object."""
    h, w = labels.shape[-2:]
    far = float(4 * (h + w))
    padded = F.pad(labels, (1, 1, 1, 1), value=-1)
    walls = [
        torch.where(padded[:, dy : dy + h, dx : dx + w] == labels, 0.0, far)
        for dy, dx in ((1, 0), (1, 2), (0, 1), (2, 1))
    ]  # to the left, to the right, above, below
    way = torch.where(centres, 0.0, far)
    start = way
    for step in range(3 * max(h, w) // 2):
        x, y = _upwind(way, walls)
        low, high = torch.minimum(x, y), torch.maximum(x, y)
        gap = high - low
        both = (low + high + (2 - gap * gap).clamp(min=0).sqrt()) / 2
        new = torch.minimum(start, torch.where(gap < 1, both, low + 1)).clamp(max=far)
        if step % CHECKED == CHECKED - 1 and torch.equal(new, way):
            break
        way = new
    around = F.pad(way[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    near = [
        torch.where(wall > 0, way, around[:, dy : dy + h, dx : dx + w])
        for wall, (dy, dx) in zip(walls, ((1, 0), (1, 2), (0, 1), (2, 1)), strict=True)
    ]
    slope = torch.stack([near[1] - near[0], near[3] - near[2]], dim=1)
    slope = slope * ((way < far) & (labels > 0))[:, None]
    return slope / slope.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)


def _upwind(way: Tensor, walls: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the least distance among each cell's horizontal, and vertical, neighbours."""
    around = F.pad(way[:, None], (1, 1, 1, 1), value=1e6)[:, 0]
    h, w = way.shape[-2:]
    x = torch.minimum(around[:, 1:-1, :w] + walls[0], around[:, 1:-1, 2:] + walls[1])
    y = torch.minimum(around[:, :h, 1:-1] + walls[2], around[:, 2:, 1:-1] + walls[3])
    return x, y
