"""Drawn images of medicine: stained tissue, smears of blood, ultrasound, sections of a body."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .canvas import Canvas, Drawn, blur
from .shapes import (
    Layout,
    arrange,
    blob_distance,
    blobs,
    hide,
    look_up,
    number,
    scatter,
    spread,
    thin,
)


def draw_stained(canvas: Canvas) -> Drawn:
    """Draw stained tissue: nuclei in stroma, in glands, with or without a brown marker."""
    candidates = canvas.crowd
    slow = canvas.noise(canvas.uniform(9, 24, 1), every=4)[:, 0]
    mid = canvas.noise(canvas.uniform(3, 8, 1), every=2)[:, 0]
    fine = canvas.noise(canvas.uniform(0.7, 1.5, 1))[:, 0]
    gaps = torch.sigmoid(6 * (slow - canvas.uniform(0.8, 3.0, 1, 1)))
    layout = _nuclei(canvas, candidates, gaps)
    depth, owner = layout.depth, layout.owner
    cover = torch.sigmoid(depth / canvas.uniform(0.4, 1.0, 1, 1))
    pale = canvas.uniform(0, 1, candidates) < canvas.uniform(-0.3, 0.7, 1)
    pale_here = look_up(pale.float(), owner)
    tone = 1 + canvas.uniform(0.05, 0.35, 1, 1) * look_up(canvas.normal(candidates), owner)
    chromatin = 1 + canvas.uniform(0.05, 0.45, 1, 1) * fine
    rim = torch.exp(-((depth - 0.8) / 1.1).square())
    blue = cover * (tone * chromatin * (1 - 0.6 * pale_here) + 0.5 * pale_here * rim)
    blue = canvas.uniform(0.6, 1.5, 1, 1) * blue.clamp(min=0)
    blue = blue + canvas.uniform(0, 0.25, 1, 1) * torch.exp(depth.clamp(max=0) / 6)
    pink = _fibres(canvas, slow, mid) * (1 - canvas.uniform(0.3, 0.9, 1, 1) * cover)
    brown, marked = _marker(canvas, layout, candidates, chromatin)
    pink = pink * canvas.uniform(0.3, 0.9, 1, 1) * (1 - 0.75 * marked)
    blue = blue * (1 - 0.3 * marked)
    tissue = 1 - gaps * (1 - cover)
    dyes = torch.stack((blue * tissue, pink * tissue, brown * tissue), 1)
    absorbed = torch.einsum("bdij,bdc->bcij", dyes, _dyes(canvas))
    images = canvas.uniform(0.88, 1.0, 3, 1, 1) * torch.exp(-absorbed.clamp(min=0))
    images = blur(images, canvas.uniform(0.3, 1.2, 1))
    images = images + canvas.uniform(0.003, 0.03, 1, 1, 1) * canvas.normal(*images.shape[1:])
    return Drawn(images.clamp(0, 1), number(layout, depth > 0, candidates), canvas.all_of(True))


def _nuclei(canvas: Canvas, candidates: int, gaps: Tensor) -> Layout:
    """Place nuclei in the tissue, in some images those of glands in rings."""
    radius = canvas.log_uniform(4, 18, 1)
    radii = (radius * (canvas.uniform(0.05, 0.35, 1) * canvas.normal(candidates)).exp()).clamp(3)
    count = canvas.log_uniform(0.2, 6, 1) * canvas.size**2 / (5 * radius.square())
    rings = 4
    of_ring = candidates // (2 * rings)
    index = torch.arange(candidates, device=canvas.device)
    ring = (index // of_ring).clamp(max=rings - 1)
    turn = index * (2 * math.pi / of_ring) + 0.08 * canvas.normal(candidates)
    wide = (radius * of_ring * canvas.uniform(0.15, 0.4, rings))[:, ring]
    wide = wide * (1 + 0.15 * torch.cos(2 * turn + canvas.uniform(0, 6.3, rings)[:, ring]))
    middle = (canvas.uniform(0.1, 0.9, 2, rings) * canvas.size)[:, :, ring]
    ringed = middle + torch.stack((turn.sin(), turn.cos()), 1) * wide[:, None]
    gland = (canvas.chance(0.3, 1) > 0) & (index < rings * of_ring)
    places = torch.stack(spread(canvas, candidates), 1)
    y, x = torch.where(gland[:, None], ringed, places).unbind(1)
    last = canvas.size - 1
    at = y.clamp(0, last).long() * canvas.size + x.clamp(0, last).long()
    alive = (gaps.flatten(1).gather(1, at) < 0.4) & (gland | (index < count.clamp(min=1)))
    y, x = hide(y, x, thin(y, x, radii * canvas.uniform(0.75, 1.2, 1), alive))
    stretch = (canvas.uniform(0.05, 0.8, 1) * canvas.normal(candidates).abs()).exp().clamp(max=3.5)
    table = blobs(canvas, y, x, radii, stretch, canvas.uniform(0.02, 0.13, 1))
    grid = canvas.grid(canvas.uniform(0, 0.1, 1) * radius, 0.6 * radius + 1)
    return arrange(blob_distance, table, grid, nearest=7)


def _fibres(canvas: Canvas, slow: Tensor, mid: Tensor) -> Tensor:
    """Return the density (B, S, S) of stroma with fibres."""
    steps = canvas.steps()
    turn = canvas.uniform(0, math.pi, 1, 1)
    across = steps[:, None] * turn.sin() + steps * turn.cos()
    waves = torch.sin(across / canvas.log_uniform(1, 5, 1, 1) + 3 * slow + 2.5 * mid)
    fibrous = canvas.uniform(-0.2, 0.25, 1, 1).clamp(min=0)
    return (0.7 + fibrous * waves * (0.5 + 0.5 * mid) + 0.25 * mid + 0.1 * slow).clamp(min=0.05)


def _marker(
    canvas: Canvas, layout: Layout, candidates: int, chromatin: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the density of a brown marker (B, S, S), and 1 for the images that have it."""
    marked = canvas.chance(0.3, 1, 1)
    positive = look_up(canvas.chance(canvas.uniform(0, 0.9, 1), candidates), layout.owner)
    strength = look_up(canvas.uniform(0.4, 1.2, candidates), layout.owner) * positive
    nuclear = canvas.chance(0.6, 1, 1)
    at_nucleus = nuclear * torch.sigmoid(layout.depth / 0.8) * chromatin
    at_membrane = (1 - nuclear) * torch.exp(-((layout.depth + 3) / 2).square())
    return marked * strength * (at_nucleus + at_membrane).clamp(min=0), marked


def _dyes(canvas: Canvas) -> Tensor:
    """Return what haematoxylin, eosin and DAB absorb of red, green and blue: (B, 3, 3)."""
    # Ruifrok and Johnston, 2001
    dyes = [[0.65, 0.70, 0.29], [0.07, 0.85, 0.25], [0.27, 0.57, 0.78]]
    return torch.tensor(dyes, device=canvas.device) * canvas.uniform(0.75, 1.25, 3, 3)


def draw_smear(canvas: Canvas) -> Drawn:
    """Draw a few white cells, nucleus and cytoplasm as one object, among red cells."""
    white, candidates = 3, 56
    index = torch.arange(candidates, device=canvas.device)
    is_white = index < white
    radius = canvas.log_uniform(0.05, 0.16, 1) * canvas.size
    radii = radius * (0.9 + is_white * canvas.uniform(0.3, 0.9, candidates))
    radii = radii * (0.1 * canvas.normal(candidates)).exp()
    y, x = scatter(canvas, radii, canvas.uniform(8, candidates, 1), canvas.uniform(0.7, 1.1, 1))
    y, x = hide(y, x, (index == 0) | ~is_white | (canvas.uniform(0, 1, candidates) < 0.4))
    stretch = 1 + 0.12 * canvas.normal(candidates).abs()
    table = blobs(canvas, y, x, radii, stretch, canvas.uniform(0.01, 0.08, 1))
    grid = canvas.grid(canvas.uniform(0, 0.05, 1) * radius, 0.5 * radius)
    above = is_white.float().expand(canvas.count, -1)
    layout = arrange(blob_distance, table, grid, priority=above, nearest=6)
    inside = (layout.depth > 0) & (layout.owner < white)
    cover = torch.sigmoid(layout.depth / canvas.uniform(0.4, 1, 1, 1))
    is_body = (layout.owner < white) * cover
    dome = (layout.depth / look_up(radii, layout.owner)).clamp(0, 1)
    paler = 1 - canvas.uniform(0, 0.7, 1, 1) * (dome / canvas.uniform(0.6, 1, 1, 1)).square()
    ground = canvas.uniform(0.78, 0.96, 1, 1, 1) + canvas.uniform(-0.05, 0.05, 3, 1, 1)
    red = (cover - is_body) * paler
    pixels = ground * (1 - red[:, None] * (1 - _colour(canvas, (0.75, 0.4, 0.4), (0.95, 0.7, 0.7))))
    fine = canvas.noise(canvas.uniform(0.6, 2.5, 2))[:, :, None]
    cytoplasm = _colour(canvas, (0.6, 0.55, 0.72), (0.88, 0.82, 0.95))
    cytoplasm = cytoplasm * (1 + canvas.uniform(0, 0.12, 1, 1, 1) * fine[:, 0])
    pixels = pixels + is_body[:, None] * (cytoplasm - pixels)
    lobes = _lobes(canvas, y[:, :white], x[:, :white], radii[:, :white])
    nucleus = torch.sigmoid(lobes) * torch.sigmoid(layout.depth - 1.5) * is_body
    stain = _colour(canvas, (0.25, 0.1, 0.4), (0.5, 0.35, 0.65))
    stain = stain * (1 + canvas.uniform(0.02, 0.2, 1, 1, 1) * fine[:, 1])
    pixels = blur(pixels + nucleus[:, None] * (stain - pixels), canvas.uniform(0.4, 1.2, 1))
    pixels = pixels + canvas.uniform(0.003, 0.02, 1, 1, 1) * canvas.normal(*pixels.shape[1:])
    labels = number(layout, inside, candidates)
    return Drawn(pixels.clamp(0, 1), labels, canvas.all_of(False))


def _colour(
    canvas: Canvas, low: tuple[float, float, float], high: tuple[float, float, float]
) -> Tensor:
    """Return a colour (B, 3, 1, 1) between two."""
    ends = torch.tensor((low, high), device=canvas.device)[..., None, None]
    return canvas.uniform(ends[0], ends[1], 3, 1, 1)


def _lobes(canvas: Canvas, y: Tensor, x: Tensor, radii: Tensor) -> Tensor:
    """Return a field (B, S, S) that is positive in nuclei of one to four lobes."""
    lobes = 4
    shape = (y.shape[1], lobes)
    lobed = canvas.uniform(0, 1, 1, 1)
    away = canvas.normal(2, *shape) * (0.12 + 0.33 * lobed[..., None]) * radii[:, None, :, None]
    wide = (radii * (0.62 - 0.25 * lobed[..., 0]))[..., None].expand(-1, -1, lobes)
    middle = torch.stack((y, x), 1)[..., None] + away
    offset = canvas.steps() - middle.flatten(2)[..., None]  # (B, 2, n, S)
    bumps = torch.exp(offset.square() / (-2 * wide.flatten(1)[:, None, :, None].square() * 0.4))
    return 14 * (bumps[:, 0].mT @ bumps[:, 1] - 0.6)


def draw_ultrasound(canvas: Canvas) -> Drawn:
    """Draw one lesion, organ or head in layered tissue under speckle, with its shadow."""
    size, others = canvas.size, 4
    grid = canvas.grid(canvas.uniform(0, 0.02, 1) * size, canvas.uniform(0.05, 0.2, 1) * size)
    radii = canvas.log_uniform(0.06, 0.38, 1 + others) * size
    low = torch.tensor([0.3] + [0.0] * others, device=canvas.device)
    y, x = canvas.uniform(low, 1 - low, 2, 1 + others).mul(size).unbind(1)
    stretch = canvas.uniform(1, 1.9, 1 + others)
    table = blobs(canvas, y, x, radii, stretch, canvas.uniform(0, 0.15, 1))
    away = blob_distance(table[..., None, None].unbind(1), grid[0][:, None], grid[1][:, None])
    lesion = -away[:, 0]
    patches = torch.sigmoid(-away[:, 1:] / canvas.uniform(1, 6, others, 1, 1))
    patches = patches * canvas.uniform(-0.25, 0.25, others, 1, 1)
    tissue = canvas.uniform(0.35, 0.6, 1, 1) + patches.sum(1) + _layers(canvas, grid[0] / size)
    inside = torch.sigmoid(lesion / canvas.uniform(0.7, 4, 1, 1))
    bright = canvas.chance(0.2, 1, 1)
    tone = canvas.uniform(0.03, 0.25, 1, 1) * (1 - bright) + bright * canvas.uniform(
        0.65, 0.9, 1, 1
    )
    tone = tone + canvas.uniform(0, 0.3, 1, 1) * (tissue - tone)
    pixels = tissue * (1 - inside) + tone * inside
    rim = torch.exp(-(lesion / canvas.uniform(0.03, 0.1, 1, 1) / radii[:, :1, None]).square())
    pixels = pixels + canvas.chance(0.35, 1, 1) * canvas.uniform(0.2, 0.7, 1, 1) * rim
    below = (inside.cumsum(1) / size) * (1 - inside)
    pixels = pixels * (1 + canvas.uniform(-2.0, 1.5, 1, 1) * below).clamp(0.1, 1.8)
    pixels = pixels * (1 + canvas.uniform(-0.6, 0.3, 1, 1) * grid[0] / size)
    fine = canvas.uniform(0.5, 1.6, 1)
    one, two = canvas.noise(fine.expand(-1, 2), fine.expand(-1, 2) * 1.6).unbind(1)
    envelope = 0.5 * (one.square() + two.square()) + 0.03  # mean about 1
    speckle = envelope.pow(canvas.uniform(0.1, 0.45, 1, 1))  # as displays compress it
    pixels = pixels.clamp(0.03, 1.2) * speckle
    images = blur(pixels[:, None], fine * canvas.uniform(0.4, 0.9, 1))
    alone = Layout(torch.zeros_like(lesion, dtype=torch.int64), lesion)
    labels = number(alone, lesion > 0, 1)
    return Drawn(images.clamp(0, 1).expand(-1, 3, -1, -1), labels, canvas.all_of(False))


def _layers(canvas: Canvas, heights: Tensor) -> Tensor:
    """Return the echo of layers and of streaks along them, (B, S, S) around 0."""
    waves = torch.zeros_like(heights)
    for _ in range(4):
        phase = heights * canvas.log_uniform(3, 30, 1, 1) + canvas.uniform(0, 6.3, 1, 1)
        waves = waves + canvas.uniform(0, 0.08, 1, 1) * torch.sin(phase)
    streaks = canvas.noise(canvas.uniform(1, 5, 1), canvas.uniform(8, 30, 1))[:, 0]
    return waves + canvas.uniform(0.03, 0.12, 1, 1) * streaks


def draw_body(canvas: Canvas) -> Drawn:
    """Draw a section of a body: organs, vessels, bones with walls, faint lesions."""
    size, organs = canvas.size, 20
    grid = canvas.grid(canvas.uniform(0, 0.015, 1) * size, canvas.uniform(0.05, 0.15, 1) * size)
    scale = canvas.uniform(0.8, 2.2, 1)
    y, x = canvas.uniform(0.42, 0.58, 2, 1).mul(size).unbind(1)
    oval = canvas.uniform(1, 1.5, 1)
    outline = blobs(canvas, y, x, 0.42 * size * scale, oval, canvas.uniform(0, 0.08, 1))
    skin = -blob_distance(outline[..., None].unbind(1), *grid)
    fat = canvas.uniform(0.02, 0.1, 1, 1) * size * scale[..., None]
    radii = canvas.log_uniform(0.03, 0.22, organs) * size * scale.sqrt()
    y, x = scatter(canvas, radii, canvas.uniform(2, organs, 1), canvas.uniform(0.5, 1.1, 1))
    table = blobs(canvas, y, x, radii, canvas.uniform(1, 1.9, organs), canvas.uniform(0, 0.2, 1))
    priority = 1 - radii / size  # small ones lie in large ones
    layout = arrange(blob_distance, table, grid, priority=priority.clamp(0, 1))
    depth = torch.minimum(layout.depth, skin - fat)
    tone = canvas.uniform(0.1, 1.0, organs)
    faint = canvas.chance(0.4, organs)
    muscle = canvas.uniform(0.25, 0.6, 1)
    tone = tone + faint * (muscle + canvas.uniform(-0.12, 0.12, organs) - tone)
    edge = canvas.uniform(0.4, 1.5, 1, 1)
    pixels = canvas.uniform(0, 0.08, 1, 1) + canvas.uniform(0.1, 0.7, 1, 1) * torch.sigmoid(
        skin / edge
    )
    pixels = pixels + torch.sigmoid((skin - fat) / edge) * (muscle[..., None] - pixels)
    mid = canvas.noise(canvas.uniform(1.5, 6, 1))[:, 0]
    pixels = pixels + canvas.uniform(0, 0.06, 1, 1) * mid * torch.sigmoid(skin)
    cover = torch.sigmoid(depth / edge)
    pixels = pixels + cover * (look_up(tone, layout.owner) - pixels)
    walled = look_up(canvas.chance(0.25, organs), layout.owner)
    wall = look_up(canvas.uniform(0.06, 0.2, organs) * radii, layout.owner).clamp(min=1.2)
    ring = walled * cover * torch.sigmoid((wall - depth) / 0.5)
    pixels = pixels + ring * (look_up(canvas.uniform(0.7, 1.1, organs), layout.owner) - pixels)
    pixels = pixels * (
        1 + canvas.uniform(0, 0.15, 1, 1) * canvas.noise(canvas.uniform(0.2, 0.5, 1) * size)[:, 0]
    )
    images = blur(pixels[:, None], canvas.uniform(0.3, 1.3, 1))
    grain = canvas.noise(canvas.uniform(0.3, 1.0, 1))
    images = images + canvas.uniform(0.005, 0.05, 1, 1, 1) * grain
    labels = number(layout, depth > 0, organs)
    return Drawn(images.clamp(0, 1).expand(-1, 3, -1, -1), labels, canvas.all_of(False))
