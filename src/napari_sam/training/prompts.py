"""Simulated prompts: first clicks, boxes, strokes, outlines, corrections.

All objects of a batch at once, in torch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .crops import warp_grid
from .fields import LABELS, distance_to
from .rng import DeviceRandom

MIN_PIXELS = 12
"""Objects smaller than this, in pixels of the crop, are not prompted."""
STROKE = 4
"""Points of a stroke drawn across an object."""
CENTRAL = 0.6
"""Share of first clicks that lie in the middle of the object."""
GROWN = 0.025
"""How much larger than the earlier outline's the box is that looks for an object again."""


class PromptBatch(NamedTuple):
    """Prompts of P objects, as `PocketDecoder.forward` takes them.

    Attributes
    ----------
    coords : (P, N, 2) float, (x, y) in pixels of the crop
    labels : (P, N) int64
        1 object, 0 background, -1 padding.
    boxes : (P, 4) float, xyxy; NaN where there is none
    mask_input : (P, h, w) float; NaN where there is none
    """

    coords: Tensor
    labels: Tensor
    boxes: Tensor
    mask_input: Tensor

    def where(self, chosen: Tensor, other: PromptBatch) -> PromptBatch:
        """Return these prompts where `chosen` (P,) is true, and others elsewhere."""
        parts = (
            torch.where(chosen.view(-1, *[1] * (own.ndim - 1)), own, theirs)
            for own, theirs in zip(self, other, strict=True)
        )
        return PromptBatch(*parts)


def choose_objects(
    labels: Tensor, anchor: Tensor, count: int, rng: DeviceRandom
) -> tuple[Tensor, Tensor]:
    """Choose objects of each crop, that about which it was cut first.

    Parameters
    ----------
    labels : (B, S, S) int64
    anchor : (B,) int64
    count : int
        Objects per crop. Where there are fewer, the first is named again.
    rng : DeviceRandom

    Returns
    -------
    chosen : (B, count) int64
    valid : (B,) bool
        False where no object has `MIN_PIXELS` pixels.
    """
    flat = labels.flatten(1)
    pixels = torch.zeros(len(labels), LABELS, device=labels.device).scatter_add(
        1, flat, torch.ones_like(flat, dtype=torch.float32)
    )
    pixels[:, 0] = 0
    merit = rng.uniform(len(labels), LABELS) + 2 * F.one_hot(anchor, LABELS)
    merit = torch.where(pixels >= MIN_PIXELS, merit, -1.0)
    best, chosen = merit.topk(count, dim=1)
    return torch.where(best >= 0, chosen, chosen[:, :1]), best[:, 0] >= 0


def first_prompts(
    masks: Tensor, stride: int, rng: DeviceRandom, slots: int = 1, odds: float = 0.1
) -> PromptBatch:
    """Draw the first prompt of each object: a click, a box or both, a stroke, a rough mask.

    Parameters
    ----------
    masks : (P, S, S) bool
    stride : int
        Of the low-resolution logits.
    rng : DeviceRandom
    slots : int
        Points of each prompt; several are a stroke.
    odds : float
        Of rough masks; without them every object gets a click, a box or both.

    Returns
    -------
    PromptBatch
    """
    count = len(masks)
    rough = rng.chance(count, odds=odds)
    kind = rng.uniform(count)
    clicked = kind < torch.where(rough, 0.3, 0.6)
    boxed = kind > torch.where(rough, 0.8, 0.5)
    central = CENTRAL if slots == 1 else 0.0
    coords = torch.stack([click_in(masks, rng, central) for _ in range(slots)], dim=1)
    labels = torch.where(clicked, 1, -1)[:, None].expand(-1, slots)
    boxes = torch.where(boxed[:, None], loosened(box_of(masks), masks.shape[-1], rng), torch.nan)
    outline = disturbed(masks, stride, rng)
    return PromptBatch(
        coords * clicked[:, None, None],
        labels,
        boxes,
        torch.where(rough[:, None, None], outline, torch.nan),
    )


def following_prompts(earlier: Tensor, stride: int, rng: DeviceRandom) -> PromptBatch:
    """Prompt objects of which only the outline in an earlier plane is known.

    Nothing but that plane, or a click in the deepest place of the outline, or its box, grown.

    Parameters
    ----------
    earlier : (P, S, S) bool
        The objects in the earlier plane.
    stride : int
    rng : DeviceRandom

    Returns
    -------
    PromptBatch with one point slot
    """
    count, size = len(earlier), earlier.shape[-1]
    kind = rng.uniform(count)
    clicked = (kind > 0.4) & (kind < 0.75)
    coords = click_in(earlier, rng, 1.0) * clicked[:, None]
    box = box_of(earlier)
    margin = GROWN * (box[:, 2:] - box[:, :2] + 1)
    box = torch.cat([box[:, :2] - margin, box[:, 2:] + margin], dim=1).clamp(0, size - 1)
    cells = size // stride
    return PromptBatch(
        coords[:, None],
        torch.where(clicked, 1, -1)[:, None],
        torch.where((kind > 0.75)[:, None], box, torch.nan),
        torch.full((count, cells, cells), torch.nan, device=earlier.device),
    )


def background_clicks(labels: Tensor, stride: int, rng: DeviceRandom) -> tuple[PromptBatch, Tensor]:
    """Click once beside all objects of every plane.

    Parameters
    ----------
    labels : (B, S, S) int64
        -1 where it is not known whether there is an object.
    stride : int
    rng : DeviceRandom

    Returns
    -------
    prompts : PromptBatch with one point slot
    found : (B,) bool
        Whether there is a place at least two pixels away from every object and what is not known.
    """
    size = labels.shape[-1]
    empty = F.max_pool2d((labels != 0).float()[:, None], 5, 1, 2)[:, 0] == 0
    cells = size // stride
    prompts = PromptBatch(
        _pixel_of(empty, rng)[:, None],
        torch.ones(len(labels), 1, dtype=torch.int64, device=labels.device),
        torch.full((len(labels), 4), torch.nan, device=labels.device),
        torch.full((len(labels), cells, cells), torch.nan, device=labels.device),
    )
    return prompts, empty.flatten(1).any(1)


def corrected(
    prompts: PromptBatch, masks: Tensor, low_res: Tensor, rng: DeviceRandom
) -> PromptBatch:
    """Add a click in the deepest error, and the earlier answer as mask input.

    The scheme of Sofiiuk et al. (ICIP 2022), as `masks.worst_click` does it for one object.

    Parameters
    ----------
    prompts : PromptBatch
    masks : (P, S, S) bool, the truth
    low_res : (P, h, w) float, the earlier logits
    rng : DeviceRandom

    Returns
    -------
    PromptBatch with one point slot more
    """
    step = masks.shape[-1] // low_res.shape[-1]
    truth = masks[:, step // 2 :: step, step // 2 :: step]
    answer = low_res > 0
    missed, wrong = _depth(torch.cat([truth & ~answer, answer & ~truth])).chunk(2)
    deepest, place = torch.cat([missed, wrong], dim=1).flatten(1).max(1)
    h, w = low_res.shape[-2:]
    row, column = place // w, place % w
    cell = torch.stack([column, row % h], dim=1).float()
    coords = (cell + 0.5) * step - 0.5 + rng.uniform(len(masks), 2, low=-1, high=1)
    labels = torch.where(deepest > 0, (row < h).long(), -1)
    return PromptBatch(
        torch.cat([prompts.coords, coords[:, None]], 1),
        torch.cat([prompts.labels, labels[:, None]], 1),
        prompts.boxes,
        low_res,
    )


def click_in(masks: Tensor, rng: DeviceRandom, central: float) -> Tensor:
    """Return a click (P, 2), (x, y), in the middle of each object or anywhere on it.

    Parameters
    ----------
    masks : (P, S, S) bool
    rng : DeviceRandom
    central : float
        Odds of the middle: the deepest place, to within about three pixels.
    """
    anywhere = _pixel_of(masks, rng)
    if not central:
        return anywhere
    step = 4
    depth = _depth(masks[:, step // 2 :: step, step // 2 :: step])
    w = depth.shape[-1]
    # of cells of one depth, the one with the most of the object around it
    around = F.avg_pool2d(masks[:, None].float(), 3 * step, step, step)[:, 0]
    place = (depth + around).flatten(1).argmax(1)
    cell = torch.stack([place % w, place // w], dim=1).float()
    middle = (cell + 0.5) * step - 0.5 + rng.uniform(len(masks), 2, low=-1.0, high=1.0)
    column, row = middle.round().long().clamp(0, masks.shape[-1] - 1).unbind(1)
    on_it = masks[torch.arange(len(masks), device=masks.device), row, column]
    chosen = on_it & rng.chance(len(masks), odds=central)
    return torch.where(chosen[:, None], middle, anywhere)


def box_of(masks: Tensor) -> Tensor:
    """Return the tight boxes (P, 4), xyxy, of masks (P, S, S) bool; NaN of empty ones."""
    size = masks.shape[-1]
    steps = torch.arange(size, device=masks.device)
    corners = []
    for found in (masks.any(1), masks.any(2)):  # columns, then rows
        corners.append(torch.where(found, steps, size).amin(1))
        corners.append(torch.where(found, steps, -1).amax(1))
    x0, x1, y0, y1 = corners
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return torch.where((x1 >= 0)[:, None], boxes, torch.nan)


def loosened(boxes: Tensor, size: int, rng: DeviceRandom) -> Tensor:
    """Move the sides of half of the boxes (P, 4) by about a tenth of their length."""
    sides = (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)
    moved = boxes + (rng.normal(len(boxes), 4, spread=0.1) * sides).clamp(-20, 20)
    moved = moved.clamp(0, size - 1)
    good = (moved[:, 2:] > moved[:, :2]).all(1) & rng.chance(len(boxes), odds=0.5)
    return torch.where(good[:, None], moved, boxes)


def disturbed(masks: Tensor, stride: int, rng: DeviceRandom) -> Tensor:
    """Return logits of masks that were moved, turned, scaled, bent and swollen a little.

    A neighbouring plane's mask, or a polygon drawn in haste.

    Parameters
    ----------
    masks : (P, S, S) bool
    stride : int
        Of the low-resolution logits.
    rng : DeviceRandom

    Returns
    -------
    (P, S/stride, S/stride) float
    """
    count, size = len(masks), masks.shape[-1]
    soft = F.avg_pool2d(masks[:, None].float(), stride)
    area = masks.flatten(1).sum(1).clamp(min=1)
    steps = (torch.arange(size, device=masks.device) + 0.5) / size * 2 - 1
    middle = torch.stack([(masks.sum(axis) * steps).sum(1) / area for axis in (1, 2)], dim=1)
    reach = (area.sqrt() / size * 2).clamp(max=1)
    grid = warp_grid(size // stride, rng, torch.ones_like(reach), reach, middle)
    moved = F.grid_sample(soft, grid, align_corners=False)[:, 0]
    level = rng.uniform(count, 1, 1, low=0.25, high=0.75)
    return (moved - level) * rng.uniform(count, 1, 1, low=6, high=16)


def _depth(marked: Tensor) -> Tensor:
    """Return how far inside of marked cells (P, h, w) each lies; what lies beyond is not marked."""
    return distance_to(~marked, beyond=True) * marked


def _pixel_of(masks: Tensor, rng: DeviceRandom) -> Tensor:
    """Return a pixel (P, 2), (x, y) float, drawn from each mask; from anywhere if it is empty."""
    passed = masks.flatten(1).cumsum(1)
    wanted = rng.below(passed[:, -1:].clamp(min=1)) + 1
    size = masks.shape[-1]
    place = torch.searchsorted(passed, wanted)[:, 0].clamp(max=size * size - 1)
    return torch.stack([place % size, place // size], dim=1).float()
