"""Drawn images of microscopes in grey: blobs, rods, filaments, sheets of cells, electrons."""

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
    capsule_distance,
    colonies,
    filaments,
    look_up,
    mosaic,
    number,
    scatter,
)

_PLAIN: dict[str, tuple[float, float]] = {
    "level": (0.2, 0.7),  # brightness of the ground
    "slow": (0.0, 0.1),  # uneven light
    "body": (0.0, 0.0),  # brightness of objects above the ground
    "spread": (0.0, 0.4),  # difference of objects, part of `body`
    "dome": (0.0, 0.0),  # brighter in the middle
    "texture": (0.0, 0.06),  # of objects
    "fine": (0.7, 3.0),  # pixels, size of the texture
    "rough": (0.0, 0.03),  # texture of the ground
    "coarse": (0.7, 6.0),  # pixels, size of the ground's texture
    "holes": (0.0, 0.0),  # spots in objects, vacuoles
    "rim": (0.0, 0.0),  # along the edge
    "rim_at": (-0.5, 1.0),  # pixels inside of the edge
    "rim_wide": (0.8, 2.0),  # pixels
    "ragged": (0.0, 0.3),  # how uneven the rim is
    "halo": (0.0, 0.0),  # outside of the edge
    "halo_wide": (1.5, 6.0),  # pixels
    "haze": (0.0, 0.0),  # light from out of focus
    "shade": (0.0, 0.0),  # light from one side
    "edge": (0.3, 1.2),  # pixels, softness of the edge
    "optics": (0.3, 1.2),  # pixels, blur of everything
    "speckle": (0.0, 0.0),  # multiplied grain
    "grain": (0.005, 0.04),  # added noise
    "grain_wide": (0.2, 0.8),  # pixels
    "colour": (0.0, 0.0),  # 1: a single dye in colour
}
_NAMES = tuple(_PLAIN)
Style = dict[str, tuple[float, float]]

_FLUORESCENCE: Style = {
    "level": (0.01, 0.15), "slow": (0.0, 0.03), "body": (0.2, 0.7), "spread": (0.1, 0.8),
    "dome": (0.0, 0.3), "texture": (0.0, 0.15), "rough": (0.0, 0.01), "haze": (0.0, 0.35),
    "optics": (0.5, 1.8), "colour": (0.0, 1.3),
}  # fmt: skip
_HOLES: Style = {**_FLUORESCENCE, "holes": (-0.4, -0.1), "texture": (0.05, 0.2)}
_FAINT: Style = {**_FLUORESCENCE, "body": (0.1, 0.25), "dome": (0.0, 0.05), "grain": (0.03, 0.07)}
_PHASE: Style = {
    "level": (0.4, 0.55), "body": (-0.15, 0.05), "texture": (0.02, 0.1), "halo": (0.12, 0.4),
    "rim": (-0.25, 0.0), "rim_at": (0.5, 2.0), "holes": (-0.15, 0.15), "halo_wide": (1.5, 5.0),
    "rough": (0.01, 0.04),
}  # fmt: skip
_DARK_PHASE: Style = {
    "level": (0.5, 0.75), "body": (-0.55, -0.25), "spread": (0.0, 0.25), "dome": (-0.1, 0.1),
    "halo": (0.1, 0.35), "halo_wide": (2.0, 6.0), "edge": (0.7, 1.5), "optics": (0.7, 1.4),
}  # fmt: skip
_BRIGHTFIELD: Style = {
    "level": (0.5, 0.75), "body": (-0.08, 0.12), "rim": (-0.45, -0.15), "rim_wide": (0.9, 2.2),
    "halo": (0.0, 0.15), "texture": (0.0, 0.06), "holes": (-0.15, 0.1), "slow": (0.02, 0.1),
}  # fmt: skip
_SHADED: Style = {
    "level": (0.4, 0.6), "shade": (0.6, 2.0), "body": (-0.05, 0.05), "texture": (0.0, 0.1),
    "rough": (0.0, 0.02),
}  # fmt: skip
_TEXTURED: Style = {
    "level": (0.35, 0.6), "slow": (0.0, 0.12), "texture": (0.1, 0.2), "fine": (0.7, 1.6),
    "rough": (0.03, 0.15), "coarse": (2.0, 6.0), "body": (-0.06, 0.06),
}  # fmt: skip
_SPECKLED: Style = {
    "level": (0.25, 0.6), "body": (-0.2, 0.3), "speckle": (0.3, 0.9), "rough": (0.0, 0.05),
    "optics": (0.3, 0.6),
}  # fmt: skip
_NOISY: Style = {
    "level": (0.35, 0.6), "body": (-0.3, -0.12), "grain": (0.05, 0.1), "grain_wide": (0.2, 0.7),
}  # fmt: skip
_BRIGHT: Style = {"level": (0.1, 0.5), "body": (0.15, 0.5), "rough": (0.0, 0.06)}
_DARK: Style = {"level": (0.5, 0.85), "body": (-0.5, -0.15), "rough": (0.0, 0.06)}
_MEMBRANE_DYE: Style = {
    "level": (0.05, 0.2), "body": (0.0, 0.1), "rim": (0.15, 0.7), "rim_at": (-0.3, 0.3),
    "rim_wide": (0.8, 2.2), "ragged": (0.1, 0.8), "optics": (0.4, 1.4), "colour": (0.0, 1.3),
    "haze": (0.0, 0.3),
}  # fmt: skip
_EPITHELIUM: Style = {
    "level": (0.45, 0.6), "body": (-0.1, 0.1), "rim": (-0.3, -0.07), "rim_at": (-0.3, 0.5),
    "ragged": (0.2, 1.0), "texture": (0.03, 0.1), "holes": (-0.12, 0.12), "fine": (0.7, 2.0),
}  # fmt: skip
_WEAK_BORDERS: Style = {
    "level": (0.2, 0.5), "body": (0.05, 0.25), "spread": (0.4, 1.0), "dome": (0.0, 0.12),
    "rim": (-0.12, -0.03), "ragged": (0.0, 0.8), "texture": (0.01, 0.06),
}  # fmt: skip
_ELECTRONS: Style = {
    "level": (0.6, 0.8), "slow": (0.0, 0.05), "body": (-0.05, 0.05), "spread": (0.0, 1.0),
    "texture": (0.02, 0.09), "fine": (0.6, 1.4), "edge": (0.4, 1.0), "optics": (0.3, 0.9),
    "grain": (0.02, 0.09),
}  # fmt: skip

_OF_BLOBS = (
    _FLUORESCENCE, _FLUORESCENCE, _HOLES, _FAINT, _PHASE, _PHASE, _DARK_PHASE, _BRIGHTFIELD,
    _SHADED, _TEXTURED, _SPECKLED, _NOISY, _BRIGHT, _DARK,
)  # fmt: skip
_OF_RODS = (
    _DARK_PHASE, _DARK_PHASE, _DARK_PHASE, _FLUORESCENCE, _FLUORESCENCE, _FAINT, _BRIGHTFIELD,
    _PHASE, _SHADED, _NOISY,
)  # fmt: skip
_OF_FILAMENTS = (
    _FLUORESCENCE, _DARK_PHASE, _PHASE, _BRIGHTFIELD, _SHADED, _BRIGHT, _DARK, _NOISY,
)  # fmt: skip
_OF_SHEETS = (
    _MEMBRANE_DYE, _MEMBRANE_DYE, _EPITHELIUM, {**_EPITHELIUM, "rim": (0.06, 0.25)}, _WEAK_BORDERS,
    {**_WEAK_BORDERS, "body": (0.1, 0.3), "rim": (0.0, 0.0)},
)  # fmt: skip
_OF_ELECTRONS = (_ELECTRONS,)


def draw_blobs(canvas: Canvas) -> Drawn:
    """Draw irregular blobs, few or many, apart, touching or one above the other."""
    candidates = canvas.crowd
    radius = canvas.log_uniform(4, 0.45 * canvas.size, 1)
    radii = radius * (canvas.uniform(0, 0.5, 1) * canvas.normal(candidates)).exp()
    radii = radii.clamp(3, max(3, 0.48 * canvas.size))
    count = canvas.log_uniform(0.1, 6, 1) * canvas.size**2 / (4 * radius.square())
    y, x = scatter(canvas, radii, count.clamp(1, candidates), canvas.uniform(0.65, 1.3, 1))
    slender = canvas.chance(0.4, 1) * canvas.uniform(0, 1.2, 1)
    stretch = (0.25 + slender * canvas.uniform(0.6, 1.0, candidates)).exp()
    stretch = 1 + (stretch - 1) * canvas.uniform(0.3, 1, candidates)
    table = blobs(canvas, y, x, radii, stretch, canvas.uniform(0, 0.22, 1))
    grid = canvas.grid(canvas.uniform(0, 0.2, 1) * radius.clamp(max=20), 0.45 * radius + 2)
    priority = canvas.chance(0.4, 1) * canvas.uniform(0, 1, candidates)
    layout = arrange(blob_distance, table, grid, priority=priority, nearest=7)
    images = _micrograph(canvas, layout, candidates, _OF_BLOBS)
    labels = number(layout, layout.depth > 0, candidates)
    return Drawn(images, labels, canvas.all_of(True))


def draw_rods(canvas: Canvas) -> Drawn:
    """Draw colonies of bacteria that lie side by side."""
    width = canvas.log_uniform(5, 20, 1)
    table = colonies(canvas, width, canvas.log_uniform(1.5, 6, 1))
    grid = canvas.grid(canvas.uniform(0, 0.6, 1) * width, 2.5 * width)
    layout = arrange(capsule_distance, table, grid)
    images = _micrograph(canvas, layout, table.shape[2], _OF_RODS)
    labels = number(layout, layout.depth > canvas.uniform(-0.3, 0.5, 1, 1), table.shape[2])
    return Drawn(images, labels, canvas.all_of(True))


def draw_filaments(canvas: Canvas) -> Drawn:
    """Draw worms, fibres and bent cells; the upper one of a crossing owns it."""
    count = 16
    table, names, priority = filaments(canvas, count, 18)
    grid = canvas.grid(canvas.uniform(0, 3, 1), canvas.uniform(6, 20, 1))
    layout = arrange(capsule_distance, table, grid, names=names, priority=priority, nearest=10)
    images = _micrograph(canvas, layout, count, _OF_FILAMENTS)
    return Drawn(images, number(layout, layout.depth > 0, count), canvas.all_of(True))


def draw_sheet(canvas: Canvas) -> Drawn:
    """Draw cells that touch, with or without nuclei; the objects are the cells or the nuclei."""
    spacing = canvas.log_uniform(10, 0.5 * canvas.size, 1)
    joined = canvas.chance(0.3, 1) * 0.3
    table, layout, grid = _mosaic(canvas, spacing, canvas.uniform(0.3, 1, 1), joined)
    candidates = table.shape[2]
    images = _micrograph(canvas, layout, candidates, _OF_SHEETS)
    # A nucleus lies within its cell, so that a pixel asks only the cell's.
    inner = canvas.uniform(0.35, 0.65, 1, 1)
    middle_y, middle_x = (look_up(table[:, k], layout.owner) for k in (0, 1))
    away = ((grid[0] - middle_y).square() + (grid[1] - middle_x).square()).sqrt()
    nucleus = torch.minimum(inner * (away + layout.depth) - away, layout.depth - 0.5)
    with_nuclei = canvas.chance(0.5, 1, 1)
    only_nuclei = (with_nuclei * canvas.chance(0.5, 1, 1)).bool()
    tone = 1 + canvas.uniform(0, 0.3, 1, 1) * look_up(
        canvas.uniform(-1, 1, candidates), layout.owner
    )
    texture = 1 + canvas.uniform(0, 0.25, 1, 1) * canvas.noise(canvas.uniform(0.7, 2, 1))[:, 0]
    cover = with_nuclei * torch.sigmoid(nucleus / canvas.uniform(0.4, 1.2, 1, 1)) * tone * texture
    strength = canvas.uniform(0.12, 0.6, 1, 1) * (1 - 2 * canvas.chance(0.25, 1, 1))
    tint = 1 - canvas.chance(0.4, 1, 1) * canvas.uniform(0, 1, 3, 1)
    images = (images + (strength * cover)[:, None] * tint[..., None]).clamp(0, 1)
    inside = torch.where(only_nuclei, nucleus > 0, layout.depth > canvas.uniform(-1, 1, 1, 1))
    return Drawn(images, number(layout, inside, candidates), canvas.all_of(True))


def draw_electron(canvas: Canvas) -> Drawn:
    """Draw tissue under an electron microscope: dark membranes belong to no object."""
    spacing = canvas.log_uniform(10, 0.4 * canvas.size, 1)
    table, layout, _ = _mosaic(
        canvas, spacing, canvas.uniform(0.5, 1.3, 1), canvas.uniform(0, 0.7, 1)
    )
    candidates = table.shape[2]
    wall = torch.minimum(canvas.uniform(0.75, 2.5, 1), 0.1 * spacing)
    depth = layout.depth - wall[..., None]
    images = _micrograph(canvas, Layout(layout.owner, depth), candidates, _OF_ELECTRONS)
    darker = _organelles(canvas, depth)
    membrane = torch.sigmoid(-depth / canvas.uniform(0.3, 0.8, 1, 1))
    darker = darker + canvas.uniform(0.2, 0.6, 1, 1) * membrane
    images = images - blur(darker[:, None], canvas.uniform(0.3, 0.9, 1))
    flip = canvas.chance(0.1, 1, 1, 1)
    images = (images + flip * (0.9 - 2 * images)).clamp(0, 1)
    return Drawn(images, number(layout, depth > 0, candidates), canvas.all_of(True))


def _mosaic(
    canvas: Canvas, spacing: Tensor, disorder: Tensor, joined: Tensor
) -> tuple[Tensor, Layout, tuple[Tensor, Tensor]]:
    """Fill the plane with cells; return their table, the layout and the bent grid."""
    stretch = canvas.uniform(-0.5, 1.2, 1).clamp(min=0)
    table, names = mosaic(canvas, spacing, disorder, stretch, joined)
    grid = canvas.grid(canvas.uniform(0.02, 0.14, 1) * spacing, 0.35 * spacing + 1)
    return table, arrange(capsule_distance, table, grid, names=names, bounded=False), grid


def _organelles(canvas: Canvas, depth: Tensor) -> Tensor:
    """Return how much mitochondria and vesicles in cells of `depth` absorb, (B, S, S)."""
    count = 40
    radius = canvas.log_uniform(2.5, 8, 1) * canvas.uniform(0.6, 1.4, count)
    y, x = scatter(canvas, radius, canvas.uniform(1, count, 1), canvas.uniform(1.2, 2.0, 1))
    table = blobs(canvas, y, x, radius, canvas.uniform(1, 3, count), canvas.uniform(0, 0.15, 1))
    grid = canvas.grid(canvas.uniform(0, 1.5, 1), canvas.uniform(4, 10, 1))
    within = torch.minimum(arrange(blob_distance, table, grid, nearest=4).depth, depth - 1)
    cristae = torch.sin(within * canvas.uniform(1.2, 2.5, 1, 1))
    darker = canvas.uniform(0.05, 0.35, 1, 1) * torch.sigmoid(within / 0.6) * (1 + 0.4 * cristae)
    ring = torch.exp(-(within / 0.9).square()) * torch.sigmoid(4 * (depth - 1))
    vesicles = torch.sigmoid(8 * (canvas.noise(canvas.uniform(0.9, 1.8, 1))[:, 0] - 1.7))
    vesicles = vesicles * torch.sigmoid(depth - 1)
    return darker + canvas.uniform(0, 0.3, 1, 1) * ring + canvas.uniform(0, 0.3, 1, 1) * vesicles


_Values = dict[str, Tensor]


def _sample(canvas: Canvas, styles: tuple[Style, ...]) -> _Values:
    """Pick a style for each image and a number (B, 1, 1) from each of its ranges."""
    ranges = torch.tensor(
        [[{**_PLAIN, **style}[name] for name in _NAMES] for style in styles], device=canvas.device
    )
    pick = (canvas.uniform(0, len(styles))).long().clamp(max=len(styles) - 1)
    low, high = ranges[pick].unbind(-1)
    drawn = canvas.uniform(low, high, len(_NAMES))
    return {name: drawn[:, k, None, None] for k, name in enumerate(_NAMES)}


def _micrograph(
    canvas: Canvas, layout: Layout, candidates: int, styles: tuple[Style, ...]
) -> Tensor:
    """Show a layout (B, S, S) in grey, in one of the styles."""
    v = _sample(canvas, styles)
    depth = layout.depth
    slow = canvas.uniform(0.08, 0.4, 1) * canvas.size
    light = canvas.noise(slow, every=4)[:, 0]
    fine, coarse = canvas.noise(torch.cat((v["fine"], v["coarse"]), 1)[..., 0]).unbind(1)
    cover = torch.sigmoid(depth / v["edge"])
    tone = 1 + v["spread"] * look_up(canvas.uniform(-1, 1, candidates), layout.owner)
    inner = 1 - torch.exp(-depth.clamp(min=0) / canvas.log_uniform(2, 12, 1, 1))
    bodies = tone * (v["body"] + v["dome"] * inner)
    bodies = bodies + v["texture"] * fine * (0.5 + 0.5 * inner)
    bodies = bodies + v["holes"] * torch.sigmoid(6 * (coarse - 1.2)) * inner
    rim = torch.exp(-((depth - v["rim_at"]) / v["rim_wide"]).square())
    rim = v["rim"] * rim * (1 + v["ragged"] * coarse).clamp(0, 1.6)
    halo = v["halo"] * torch.exp(depth.clamp(max=0) / v["halo_wide"]) * (1 - cover)
    pixels = cover * bodies + (1 - cover) * v["rough"] * coarse + rim + halo
    pixels = pixels + v["shade"] * _lit(canvas, torch.tanh(depth / 4) + 0.2 * fine * cover)
    sharp = blur(pixels[:, None], v["optics"][:, 0])[:, 0]
    haze = blur((cover * bodies)[:, None], canvas.uniform(0.04, 0.15, 1) * canvas.size)[:, 0]
    return _expose(canvas, v["level"] + v["slow"] * light + sharp + v["haze"] * haze, v)


def _lit(canvas: Canvas, height: Tensor) -> Tensor:
    """Return the slope of (B, S, S) in the direction of a light."""
    turn = canvas.uniform(0, 2 * math.pi, 1, 1)
    down, across = torch.gradient(height, dim=(1, 2))
    return turn.sin() * down + turn.cos() * across


def _expose(canvas: Canvas, pixels: Tensor, v: _Values) -> Tensor:
    """Add the grain of the detector to (B, S, S) and return colours (B, 3, S, S)."""
    one, two, grain = canvas.noise(v["grain_wide"][..., 0].expand(-1, 3)).unbind(1)
    rayleigh = (one.square() + two.square()).sqrt() * 0.8
    pixels = pixels * (1 + v["speckle"] * (rayleigh - 1))
    shot = canvas.chance(0.4, 1, 1)
    grain = v["grain"] * grain * (1 + shot * (1.6 * pixels.clamp(0.02).sqrt() - 1))
    pixels = (pixels + grain)[:, None]
    dyed = (v["colour"][..., None] > 1).float()
    dye = canvas.uniform(-0.3, 1.3, 3, 1, 1).clamp(0, 1)
    return (pixels * (1 + dyed * (dye / dye.amax(1, keepdim=True).clamp(min=0.3) - 1))).clamp(0, 1)
