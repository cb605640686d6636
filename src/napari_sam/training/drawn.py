"""Images that the training code draws itself, in batches on the device, with exact labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .canvas import Canvas, Drawn
from .medical import draw_body, draw_smear, draw_stained, draw_ultrasound
from .micrographs import draw_blobs, draw_electron, draw_filaments, draw_rods, draw_sheet

__all__ = ["Drawn", "draw"]


def draw(count: int, size: int, generator: torch.Generator) -> Drawn:
    """Draw labelled images of random kinds.

    Parameters
    ----------
    count : int
        Images.
    size : int
        Side in pixels, a multiple of 16.
    generator : torch.Generator
        Source of all randomness; its device is the device of the result.

    Returns
    -------
    Drawn
        Each image has at least one object of 12 pixels.
    """
    if size % 16 or size <= 0:
        raise ValueError(f"size is {size}, expected a positive multiple of 16")
    seed = torch.randint(2**31, (1,), generator=generator, device=generator.device)
    picker = torch.Generator().manual_seed(int(seed.item()))
    shares = torch.tensor([share for _, share in KINDS])
    picked = torch.multinomial(shares, count, replacement=True, generator=picker)
    counts = torch.bincount(picked, minlength=len(KINDS)).tolist()
    drawn = _join(
        [
            kind(Canvas(part, size, generator))
            for (kind, _), part in zip(KINDS, counts, strict=True)
            if part
        ]
    )
    # Sorted by kind so far; `picked` is a random order of the kinds.
    order = picked.argsort(stable=True).argsort().to(generator.device)
    return _never_empty(Drawn(*(field[order] for field in drawn)), generator)


def _join(parts: list[Drawn]) -> Drawn:
    return Drawn(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def _never_empty(drawn: Drawn, generator: torch.Generator) -> Drawn:
    """Put a disc into images without an object."""
    images, labels, exhaustive = drawn
    canvas = Canvas(labels.shape[0], labels.shape[-1], generator)
    steps = canvas.steps()
    radius = canvas.log_uniform(3, 0.4 * canvas.size, 1, 1)
    middle = canvas.uniform(0.3, 0.7, 2, 1) * canvas.size
    away = (steps[:, None] - middle[:, 0, :, None]).square() + (steps - middle[:, 1, None]).square()
    disc = (away < radius.square()) & ~labels.flatten(1).any(1)[:, None, None]
    images = torch.where(disc[:, None], 0.25 * images + 0.6, images)
    return Drawn(images, torch.where(disc, disc.to(labels.dtype), labels), exhaustive)


def _degraded(canvas: Canvas) -> Drawn:
    """Draw scenes whose pixels tell little: magnified, faint or blank."""
    kinds = (draw_blobs, draw_filaments, draw_sheet, draw_body)
    pick = (canvas.uniform(0, len(kinds))).long().clamp(max=len(kinds) - 1)
    counts = torch.bincount(pick, minlength=len(kinds)).tolist()
    images, labels, exhaustive = _join(
        [
            kind(Canvas(part, canvas.size, canvas.generator))
            for kind, part in zip(kinds, counts, strict=True)
            if part
        ]
    )
    mode = canvas.uniform(0, 1)
    blank, faint = mode < 0.2, (mode >= 0.2) & (mode < 0.45)
    resample = _resampling(canvas)
    poor = (resample @ images @ resample.mT).clamp(0, 1)
    contrast = torch.where(blank, 0.0, torch.where(faint, canvas.uniform(0.03, 0.15), 1.0))
    level = canvas.uniform(0.1, 0.9)
    level, contrast = (v[:, None, None, None] for v in (level * (contrast < 1), contrast))
    source = torch.where(faint[:, None, None, None], images, poor)
    grain = canvas.log_uniform(0.002, 0.08, 1, 1, 1) * canvas.noise(canvas.uniform(0.2, 1.5, 1))
    few = (contrast == 1) * 0.2 + (contrast < 1) * 1.0
    images = (level + contrast * (source - 0.5 * (contrast < 1)) + few * grain).clamp(0, 1)
    return Drawn(images, labels, exhaustive & ~blank & ~faint)


def _resampling(canvas: Canvas) -> Tensor:
    """Return matrices (B, 1, S, S) that make an axis 2..5 times coarser and stretch it again."""
    steps = canvas.steps()
    factor = canvas.uniform(2, 5, 1, 1)
    shrink = torch.exp(((steps[:, None] * factor - steps) / (0.5 * factor)).square() / -2)
    shrink = shrink / shrink.sum(-1, keepdim=True).clamp(min=1e-6)
    away = (steps[:, None] / factor - steps).abs()
    smooth = (1 - away).clamp(min=0)
    blocks = (away <= 0.5).float()
    stretch = torch.where(canvas.chance(0.2, 1, 1) > 0, blocks, smooth)
    stretch = stretch / stretch.sum(-1, keepdim=True).clamp(min=1e-6)
    return (stretch @ shrink)[:, None]


KINDS: tuple[tuple[Callable[[Canvas], Drawn], float], ...] = (
    (draw_blobs, 0.18),
    (draw_rods, 0.10),
    (draw_filaments, 0.08),
    (draw_sheet, 0.13),
    (draw_electron, 0.10),
    (draw_stained, 0.13),
    (draw_smear, 0.05),
    (draw_ultrasound, 0.05),
    (draw_body, 0.08),
    (_degraded, 0.10),
)
"""The kinds of images and the share of each."""
