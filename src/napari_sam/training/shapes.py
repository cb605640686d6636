"""Label maps of the drawn images: which of many candidate objects owns each pixel.

A candidate is a column of numbers in a table (B, P, N). Every pixel asks only the few candidates
that are nearest to its tile, so that the cost does not grow with the number of objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .canvas import Canvas

SMALLEST = 12
"""Objects with fewer visible pixels than this get no label."""
TILE = 8
"""Side in pixels of the squares that share their candidates."""
FAR = 1e4
"""A distance in pixels beyond everything in the image."""

Distance = Callable[[tuple[Tensor, ...], Tensor, Tensor], Tensor]


class Layout(NamedTuple):
    """Which candidate owns each pixel."""

    owner: Tensor  # (B, S, S) int64, index of the candidate
    depth: Tensor  # (B, S, S) float, pixels to the object's visible edge, positive inside


def arrange(
    distance: Distance,
    table: Tensor,
    grid: tuple[Tensor, Tensor],
    *,
    names: Tensor | None = None,
    priority: Tensor | None = None,
    bounded: bool = True,
    nearest: int = 8,
) -> Layout:
    """Find the owner of each pixel among candidate objects.

    Parameters
    ----------
    distance : callable
        Takes the rows of the table, and rows and columns of pixels; returns signed distances in
        pixels, negative inside.
    table : (B, P, N) float
    grid : two of (B, S, S) float
        Rows and columns of the pixels, bent or not.
    names : (B, N) float, optional
        Number of the object that a candidate is part of. By default each is one object.
    priority : (B, N) float, 0..1, optional
        An object lies above those of lower priority. Those of an image whose priorities are all 0
        share their overlap.
    bounded : bool
        False: the objects fill the plane and end only where another begins.
    nearest : int
        Candidates that a pixel asks.

    Returns
    -------
    Layout
    """
    batch, candidates = table.shape[0], table.shape[2]
    y, x = (F.pixel_unshuffle(axis[:, None], TILE).flatten(2) for axis in grid)  # (B, 64, T)
    coarse = distance(
        table[..., None].unbind(1), y.mean(1, keepdim=True), x.mean(1, keepdim=True)
    )  # (B, N, T)
    near = coarse.topk(min(nearest, candidates), dim=1, largest=False, sorted=False).indices
    if names is None:
        names = torch.arange(candidates, device=table.device).float().expand(batch, -1)
    level = torch.zeros_like(names) if priority is None else priority
    full = torch.cat((table, names[:, None], level[:, None]), 1)
    asked = full.gather(2, near.flatten(1)[:, None].expand(-1, full.shape[1], -1))
    rows = asked.view(batch, -1, near.shape[1], 1, near.shape[2]).unbind(1)  # (B, K, 1, T) each
    away = distance(rows[:-2], y[:, None], x[:, None])  # (B, K, 64, T)
    owner, gap, own = _resolve(away, rows[-2], rows[-1] if priority is not None else None)
    depth = torch.minimum(gap, -own) if bounded else gap
    side = grid[0].shape[-1] // TILE
    both = torch.stack((owner, depth), 1).view(batch, -1, side, side)
    owner, depth = F.pixel_shuffle(both, TILE).unbind(1)
    return Layout(owner.long(), depth)


def _resolve(away: Tensor, names: Tensor, level: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return each pixel's owner, the distance to its border with others, and to its own edge.

    Steps of numbers stand for comparisons: on a CPU true and false are many times slower.
    """
    key = away if level is None else away - FAR * level * _step(-away)
    behind = FAR * _step(key - key.amin(1, keepdim=True))
    owner = (names - behind).amax(1, keepdim=True)
    other = FAR * _step((names - owner).abs())
    own = (away + other).amin(1)
    gap = ((away - other).amin(1) + FAR - own) / 2  # halfway to the nearest other one
    if level is not None:
        above = _step(level - (level - behind).amax(1, keepdim=True))
        hidden = (away - FAR * above).amin(1) + FAR  # where the nearest upper one begins
        stacked = level.flatten(1).amax(1)[:, None, None] > 0
        gap = torch.where(stacked, hidden, gap)
    return owner[:, 0], gap, own


def _step(values: Tensor) -> Tensor:
    """Return 1 where `values` are positive and 0 elsewhere."""
    return (values * FAR**2).clamp(0, 1)


def number(layout: Layout, inside: Tensor, candidates: int) -> Tensor:
    """Return labels that number the visible objects of each image from 1.

    Parameters
    ----------
    layout : Layout
    inside : (B, S, S) bool
    candidates : int

    Returns
    -------
    (B, S, S) int32
    """
    raw = ((layout.owner + 1) * inside).flatten(1)
    areas = torch.zeros((raw.shape[0], candidates + 1), dtype=torch.int32, device=raw.device)
    areas = areas.scatter_add(1, raw, torch.ones_like(raw, dtype=torch.int32))
    kept = areas >= SMALLEST
    kept[:, 0] = False
    return (kept.cumsum(1) * kept).gather(1, raw).view_as(inside).to(torch.int32)


def look_up(values: Tensor, owner: Tensor) -> Tensor:
    """Return to each pixel (B, S, S) the value of its owner, from (B, N)."""
    return values.gather(1, owner.flatten(1)).view(owner.shape)


def blob_distance(rows: tuple[Tensor, ...], y: Tensor, x: Tensor) -> Tensor:
    """Return the signed distance to ovals with waves on their edges (`blobs` makes the table)."""
    middle_y, middle_x, cos, sin, by_long, by_short, *waves = rows
    dy, dx = y - middle_y, x - middle_x
    u = torch.addcmul(dx * (cos * by_long), dy, sin * by_long)
    v = torch.addcmul(dy * (cos * by_short), dx, sin * by_short, value=-1)
    uu, vv = u * u, v * v
    square = uu + vv + 1e-6
    by_far = square.rsqrt()  # much faster than a square root
    re, im = u * by_far, v * by_far
    re2, im2 = re * re - im * im, 2 * re * im
    re3, im3 = re2 * re - im2 * im, re2 * im + im2 * re
    edge = torch.addcmul(re2 * waves[0], im2, waves[1])
    edge = torch.addcmul(torch.addcmul(edge, re3, waves[2]), im3, waves[3]).clamp(min=-0.7)
    far = square * by_far
    slope = torch.addcmul(uu * by_long.square() + 1e-12, vv, by_short.square())
    return (far - 1 - edge) * far * slope.rsqrt()


def capsule_distance(rows: tuple[Tensor, ...], y: Tensor, x: Tensor) -> Tensor:
    """Return the signed distance to bent capsules (`capsules` makes the table)."""
    middle_y, middle_x, cos, sin, half, radius, bend = rows
    dy, dx = y - middle_y, x - middle_x
    u = torch.addcmul(dx * cos, dy, sin)
    v = torch.addcmul(dy * cos, dx, sin, value=-1)
    along = torch.maximum(torch.minimum(u, half), -half)
    v = torch.addcmul(v, bend * along, along, value=-1)
    u = u - along
    square = torch.addcmul(u * u + 1e-6, v, v)
    return square * square.rsqrt() - radius


def blobs(
    canvas: Canvas, y: Tensor, x: Tensor, radius: Tensor, stretch: Tensor, wobble: Tensor
) -> Tensor:
    """Return the table (B, 10, N) of ovals with irregular edges.

    Parameters
    ----------
    canvas : Canvas
    y, x : (B, N) float
        Middles, pixels.
    radius : (B, N) float
        Geometric mean of the half axes, pixels.
    stretch : (B, N) float
        Long axis by short axis, 1 or more.
    wobble : (B, 1) float
        Deviation of the waves' height, part of the radius.
    """
    shape = y.shape[1]
    angle = canvas.uniform(0, math.pi, shape)
    root = stretch.sqrt()
    rows = [y, x, angle.cos(), angle.sin(), 1 / (radius * root), root / radius]
    for waves in (2, 2, 3, 3):
        rows.append(canvas.normal(shape) * wobble * (1.6 / waves))
    return torch.stack(rows, 1)


def capsules(
    y: Tensor, x: Tensor, angle: Tensor, half: Tensor, radius: Tensor, bend: Tensor
) -> Tensor:
    """Return the table (B, 7, N) of capsules from (B, N) each; `bend` is 1 / pixels."""
    return torch.stack((y, x, angle.cos(), angle.sin(), half, radius, bend), 1)


def scatter(
    canvas: Canvas, radius: Tensor, count: Tensor, spacing: Tensor
) -> tuple[Tensor, Tensor]:
    """Place discs at random and put those that come too close to an earlier one out of sight.

    Parameters
    ----------
    canvas : Canvas
    radius : (B, N) float
    count : (B, 1) float
        Discs to try, at least 1 and at most N.
    spacing : (B, 1) float
        Smallest distance of two middles, part of the sum of their radii.

    Returns
    -------
    y, x : (B, N) float
    """
    candidates = radius.shape[1]
    y, x = spread(canvas, candidates)
    alive = torch.arange(candidates, device=canvas.device) < count
    return hide(y, x, thin(y, x, radius * spacing, alive))


def spread(canvas: Canvas, candidates: int) -> tuple[Tensor, Tensor]:
    """Return random places (B, N): rows and columns, the first well inside of the image."""
    first = torch.arange(candidates, device=canvas.device) == 0
    low = torch.where(first, 0.25, -0.1)
    y, x = (canvas.uniform(low, 1 - low, 2, candidates) * canvas.size).unbind(1)
    return y, x


def hide(y: Tensor, x: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Move the candidates that are not shown out of sight."""
    return y - FAR * ~shown, x


def thin(y: Tensor, x: Tensor, reach: Tensor, alive: Tensor) -> Tensor:
    """Keep candidates in order, but none that is nearer to an earlier one than both reaches.

    Parameters
    ----------
    y, x, reach : (B, N) float
    alive : (B, N) bool

    Returns
    -------
    (B, N) bool
    """
    index = torch.arange(y.shape[1], device=y.device)
    square = (y[:, :, None] - y[:, None]).square() + (x[:, :, None] - x[:, None]).square()
    close = square < (reach[:, :, None] + reach[:, None]).square()
    close = close & (index[:, None] > index)  # (B, N, N): of i to an earlier j
    waiting, kept = alive, torch.zeros_like(alive)
    for _ in range(5):
        taken = waiting & ~(close & waiting[:, None]).any(2)
        kept = kept | taken
        waiting = waiting & ~taken & ~(close & taken[:, None]).any(2)
    return kept


def mosaic(
    canvas: Canvas, spacing: Tensor, disorder: Tensor, stretch: Tensor, joined: Tensor
) -> tuple[Tensor, Tensor]:
    """Return seeds of cells that fill the plane.

    Parameters
    ----------
    canvas : Canvas
    spacing : (B, 1) float
        Distance of neighbouring seeds, pixels; at least 10 to cover the image.
    disorder : (B, 1) float
        0 is a honeycomb, 1 is chance.
    stretch : (B, 1) float
        Length of the seeds, part of the spacing: 0 for round cells.
    joined : (B, 1) float
        Share of the seeds that make one cell with a neighbour.

    Returns
    -------
    table : (B, 7, N) float
    names : (B, N) float
    """
    side = canvas.size // 8
    count = side * side
    index = torch.arange(count, device=canvas.device)
    row, column = index // side, index % side
    jitter = canvas.normal(2, count) * disorder[..., None] * 0.35
    middle = (side - 1) / 2
    y = (row - middle + jitter[:, 0]) * spacing
    x = (column - middle + 0.5 * (row % 2) + jitter[:, 1]) * spacing
    turn = canvas.uniform(-0.25, 0.25, 1)
    y, x = y * turn.cos() + x * turn.sin(), x * turn.cos() - y * turn.sin()
    shown = canvas.uniform(0, 1, count) > 0.3 * disorder
    angle = canvas.uniform(0, math.pi, 1) + 0.4 * canvas.normal(count)
    half = canvas.uniform(0, 0.5, count) * stretch * spacing
    weight = canvas.uniform(0, 1, count).square() * disorder * spacing
    y, x = hide(y + canvas.size / 2, x + canvas.size / 2, shown)
    follows = ((row + column) % 2 == 1) & (canvas.uniform(0, 1, count) < joined)
    leader = (index + torch.where(canvas.uniform(0, 1, count) < 0.5, 1, side)).clamp(max=count - 1)
    names = torch.where(follows, leader, index).float()
    return capsules(y, x, angle, half, weight, torch.zeros_like(y)), names


def colonies(canvas: Canvas, width: Tensor, aspect: Tensor, candidates: int = 256) -> Tensor:
    """Return the table (B, 7, N) of rods that lie side by side in a few colonies.

    Parameters
    ----------
    canvas : Canvas
    width : (B, 1) float
        Pixels.
    aspect : (B, 1) float
        Mean length by width.
    candidates : int
    """
    domains, rows, columns = 3, 25, 9
    length = width * aspect
    shape = (domains, rows, columns)
    wide, mean = width[..., None, None], length[..., None, None]
    lengths = mean * canvas.uniform(0.65, 1.35, *shape)
    end = lengths.cumsum(3) + mean * canvas.uniform(-0.5, 0.5, domains, rows, 1)
    along = end - lengths / 2 - mean * columns / 2
    pitch = canvas.uniform(0.94, 1.12, 1, 1, 1)
    index = torch.arange(rows, device=canvas.device, dtype=torch.float32)[:, None]
    across = (index - rows // 2) * wide * pitch + 0.08 * wide * canvas.normal(*shape)
    turn = canvas.uniform(0, math.pi, domains, 1, 1)
    seed_y, seed_x = canvas.uniform(0.1, 0.9, 2, domains).mul(canvas.size).unbind(1)
    y = seed_y[..., None, None] + along * turn.sin() + across * turn.cos()
    x = seed_x[..., None, None] + along * turn.cos() - across * turn.sin()
    y, x = y.flatten(1), x.flatten(1)
    away = (y[..., None] - seed_y[:, None]).square() + (x[..., None] - seed_x[:, None]).square()
    near, domain = away.sqrt().topk(2, dim=-1, largest=False)  # (B, slots, 2)
    own = torch.arange(domains, device=canvas.device).repeat_interleave(rows * columns)
    reach = canvas.log_uniform(0.15, 1.5, domains)[:, own] * canvas.size
    gap = canvas.uniform(0, 0.6, 1) * length  # few rods of two colonies overlap
    shown = (domain[..., 0] == own) & (near[..., 0] < reach)
    shown &= near[..., 1] - near[..., 0] > gap * canvas.uniform(0, 1, y.shape[1])
    shown &= canvas.uniform(0, 1, y.shape[1]) > canvas.uniform(0, 0.15, 1)
    outside = (y - canvas.size / 2).abs().maximum((x - canvas.size / 2).abs()) - canvas.size / 2
    shown &= outside < length / 2
    order = (near[..., 0] + FAR * ~shown).topk(candidates, largest=False).indices
    y, x = hide(y, x, shown)
    angle = (turn + 0.05 * canvas.normal(*shape)).flatten(1)
    half = (lengths.flatten(1) - width * 0.94).clamp(min=0) / 2
    bend = canvas.normal(y.shape[1]) * canvas.uniform(0, 0.35, 1) / length
    radius = (width / 2) * canvas.uniform(0.9, 1.05, y.shape[1])
    table = capsules(y, x, angle, half, radius, bend)
    return table.gather(2, order[:, None].expand(-1, table.shape[1], -1))


def filaments(canvas: Canvas, count: int, parts: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return worms, fibres and bent cells as chains of capsules.

    Parameters
    ----------
    canvas : Canvas
    count : int
        Filaments, at most.
    parts : int
        Capsules of a filament.

    Returns
    -------
    table : (B, 7, count * parts) float
    names, priority : (B, count * parts) float
    """
    radius = canvas.log_uniform(1.8, 0.08 * canvas.size, 1)
    radii = radius * canvas.uniform(0.8, 1.2, count)
    longest = (canvas.size * 1.8 / radius).clamp(min=8)
    length = radius * 5 * (longest / 5).pow(canvas.uniform(0, 1, 1))
    lengths = length * canvas.uniform(0.6, 1.3, count)
    step = (lengths / parts)[..., None]  # (B, count, 1)
    curl = canvas.uniform(0, 1, 1, 1) * (0.5 * step / radii[..., None]).clamp(max=0.35)
    drift = canvas.normal(count, 1) * 0.5
    angle = canvas.uniform(0, 2 * math.pi, count, 1)
    angle = angle + (curl * (canvas.normal(count, parts) + drift)).cumsum(2)
    moves = torch.stack((angle.sin(), angle.cos()), 1) * step[:, None]  # (B, 2, count, parts)
    path = moves.cumsum(3) - moves / 2
    path = path - path.mean(3, keepdim=True)
    covered = (2 * radius * length).clamp(min=1)
    shown = canvas.uniform(0.05, 0.55, 1) * canvas.size**2 / covered
    alive = torch.arange(count, device=canvas.device) < shown.clamp(1, count).round()
    start = canvas.uniform(0.05, 0.95, 2, count) * canvas.size
    y, x = (path + start[..., None]).unbind(1)
    y, x = hide(y.flatten(1), x.flatten(1), alive.repeat_interleave(parts, 1))
    t = torch.linspace(-1, 1, parts, device=canvas.device)
    taper = canvas.chance(0.4, 1, 1) * canvas.uniform(0.3, 0.8, 1, 1)
    thick = radii[..., None] * (1 - taper * t.abs() ** 3)
    half = (step / 2).expand(-1, -1, parts).flatten(1)
    table = capsules(y, x, angle.flatten(1), half, thick.flatten(1), torch.zeros_like(y))
    names = torch.arange(count, device=canvas.device).repeat_interleave(parts).float()
    names = names.expand(canvas.count, -1)
    return table, names, (names + 1) / count
