"""The crops of a training step: real and drawn images, and earlier planes of some of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .augment import Style, photometric, removed
from .drawn import draw
from .fields import LABELS
from .image_set import LEVELS, ImageSet
from .rng import DeviceRandom

LONGEST = 512
"""Pixels that a model magnifies the longer side of an image to..."""
LARGEST_SCALE = 4.0
"""... by this factor at most."""
SCALES = (0.5, 1.7)
"""How much smaller or larger than a model would see it an image is shown."""
VANISHED = 0.2
"""Share of crops with an earlier plane whose object has ended."""


class Crops(NamedTuple):
    """B square crops, and G earlier planes that belong to the first G of them.

    Attributes
    ----------
    images : (B, 3, S, S) float, 0..1
    labels : (B, S, S) int64
    anchor : (B,) int64
        Label of the object that the crop was cut about.
    complete : (B, S, S) bool
        Where every object that is to be seen is labelled.
    earlier_images : (G, 3, S, S) float
    earlier_labels : (G, S, S) int64
        Equal labels are the same objects; some have ended in `labels`.
    """

    images: Tensor
    labels: Tensor
    anchor: Tensor
    complete: Tensor
    earlier_images: Tensor
    earlier_labels: Tensor


class Views(NamedTuple):
    """Where B crops lie in images of a set.

    Attributes
    ----------
    image, level : (B,) int64
    coords : (B, S, S, 2) float, (x, y) in pixels of the image
    anchor : (B,) int64
    """

    image: Tensor
    level: Tensor
    coords: Tensor
    anchor: Tensor


def draw_crops(
    images: ImageSet, count: int, drawn: int, earlier: int, size: int, rng: DeviceRandom
) -> Crops:
    """Draw the crops of one step.

    Parameters
    ----------
    images : ImageSet
    count : int
        Crops in all.
    drawn : int
        How many of them show scenes that are drawn, not images.
    earlier : int
        How many get an earlier plane.
    size : int
        Side in pixels.
    rng : DeviceRandom

    Returns
    -------
    Crops
    """
    views = draw_views(images, count - drawn, size, rng)
    pixels = images.read_pixels(views.image, views.level, views.coords)
    read = images.read_labels(views.image, views.coords)
    complete = images.exhaustive[views.image, None, None] & (read >= 0)
    labels, anchor = read.clamp(min=0), views.anchor
    if drawn:
        scene = draw(drawn, size, rng.generator)
        known = scene.labels < LABELS  # a large crop of tiny objects may have more
        scene_labels = scene.labels.long() * known
        pixels = torch.cat([pixels, scene.images])
        labels = torch.cat([labels, scene_labels])
        all_known = scene.exhaustive & known.flatten(1).all(1)
        complete = torch.cat([complete, all_known[:, None, None].expand_as(known)])
        anchor = torch.cat([anchor, _any_label(scene_labels, rng)])
    order = rng.order(count)
    real = order < len(views.image)
    where = order.clamp(max=len(views.image) - 1)
    pixels, labels, anchor, complete = (t[order] for t in (pixels, labels, anchor, complete))
    style = Style.drawn(count, rng)
    old, old_labels = pixels[:0], labels[:0]
    if earlier:
        source = Views(*(part[where[:earlier]] for part in views))
        old, old_labels = _earlier(
            images, source, real[:earlier], pixels[:earlier], labels[:earlier], rng
        )
        old, _ = photometric(old, style.beside(earlier, rng), rng)
        ended = rng.chance(earlier, 1, 1, odds=VANISHED)
        gone = (labels[:earlier] == anchor[:earlier, None, None]) & ended
        pixels = torch.cat([removed(pixels[:earlier], gone), pixels[earlier:]])
        labels = torch.cat([labels[:earlier] * ~gone, labels[earlier:]])
    shown, faded = photometric(pixels, style, rng)
    return Crops(shown, labels, anchor, complete & ~faded[:, None, None], old, old_labels)


def draw_views(images: ImageSet, count: int, size: int, rng: DeviceRandom) -> Views:
    """Draw a source, an image, an object, a scale, a place and an orientation for each crop."""
    first, shown = images.images_of[rng.choose(images.odds, count)].unbind(1)
    image = first + rng.below(shown)
    table = images.objects[images.first[image] + rng.below(images.count[image])]
    label, middle, diameter = table[:, 0].long(), table[:, 1:3], table[:, 3]
    extent = images.size[0, image].flip(1).float()  # (B, 2): width, height
    scale = (LONGEST / extent.amax(1)).clamp(max=LARGEST_SCALE)
    scale = scale * rng.log_uniform(count, low=SCALES[0], high=SCALES[1])
    # an object must fit into the crop, and be more than a speck
    scale = torch.minimum(scale, rng.uniform(count, low=0.45, high=0.95) * size / diameter)
    least = (rng.uniform(count, low=8.0, high=14.0) / diameter).clamp(max=6.0)
    scale = torch.maximum(scale, least)
    to_source = _orientations(count, rng) / scale[:, None, None]
    shift = rng.uniform(count, 2, low=-0.3, high=0.3) * size
    centre = middle + (to_source @ shift[..., None])[..., 0]
    reach = to_source.abs().sum(2) * size / 2 + 2
    inside = (2 * reach < extent) & rng.chance(count, 1, odds=0.8)  # seldom show what lies beyond
    kept = torch.maximum(torch.minimum(centre, extent - reach), reach)
    centre = torch.where(inside, kept, centre)
    level = (-scale.log2() + 0.5).floor().clamp(0, LEVELS - 1).long()
    grid = pixel_grid(size, rng.device).reshape(1, -1, 2)
    coords = grid @ to_source.mT + centre[:, None]
    return Views(image, level, coords.view(count, size, size, 2), label)


def _orientations(count: int, rng: DeviceRandom) -> Tensor:
    """Return matrices (B, 2, 2) that turn, mirror and slightly stretch."""
    angle = rng.integers(count, high=4) * (torch.pi / 2)
    tilt = rng.uniform(count, low=-torch.pi / 4, high=torch.pi / 4)
    angle = angle + torch.where(rng.chance(count, odds=0.5), tilt, 0.0)
    stretch = rng.normal(count, spread=0.08).exp()
    flip = torch.where(rng.chance(count, odds=0.5), -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * flip * stretch, -sin / stretch, sin * flip * stretch, cos / stretch]
    return torch.stack(rows, dim=1).view(count, 2, 2)


def pixel_grid(size: int, device: torch.device) -> Tensor:
    """Return (x, y) of every pixel of a crop about its middle, (S, S, 2)."""
    steps = torch.arange(size, device=device, dtype=torch.float32) - (size - 1) / 2
    return torch.stack([steps.expand(size, size), steps[:, None].expand(size, size)], dim=-1)


def _earlier(
    images: ImageSet,
    views: Views,
    real: Tensor,
    pixels: Tensor,
    labels: Tensor,
    rng: DeviceRandom,
) -> tuple[Tensor, Tensor]:
    """Return pixels and labels of planes before the given ones.

    A neighbouring plane of the stack where there is one; else the plane itself. Both are moved,
    turned, scaled and bent a little.
    """
    count, size = len(labels), labels.shape[-1]
    if not count:
        return pixels, labels
    side = rng.integers(count, 1, high=2)
    beside = images.neighbours[views.image].gather(1, side)[:, 0]
    has = (beside >= 0) & real
    beside = torch.where(has, beside, views.image)
    pixels = torch.where(
        has.view(-1, 1, 1, 1), images.read_pixels(beside, views.level, views.coords), pixels
    )
    beside_labels = images.read_labels(beside, views.coords).clamp(min=0)
    labels = torch.where(has.view(-1, 1, 1), beside_labels, labels)
    grid = warp_grid(size, rng, torch.where(has, 0.3, 1.0), torch.where(has, 0.2, 0.6))
    moved = F.grid_sample(pixels, grid, align_corners=False, padding_mode="border")
    kept = F.grid_sample(labels[:, None].float(), grid, mode="nearest", align_corners=False)
    return moved, kept[:, 0].round().long()


def warp_grid(
    size: int, rng: DeviceRandom, turn: Tensor, reach: Tensor, middle: Tensor | None = None
) -> Tensor:
    """Return sampling grids of small smooth movements.

    Parameters
    ----------
    size : int
    rng : DeviceRandom
    turn : (B,) float
        1 turns by about 0.15 and scales by an eighth.
    reach : (B,) float, in halves of the side
        Of the object that is moved by about an eighth and bent by a fifteenth of it.
    middle : (B, 2) float, optional, (x, y) in -1..1
        What is turned and scaled about; by default the middle of the plane.

    Returns
    -------
    (B, size, size, 2) float, for `grid_sample`
    """
    count = len(turn)
    angle = rng.normal(count, spread=0.15) * turn
    scale = (rng.normal(count, spread=0.12) * turn).exp()
    cos, sin = scale * angle.cos(), scale * angle.sin()
    matrix = torch.stack([cos, -sin, sin, cos], dim=1).view(count, 2, 2)
    about = torch.zeros(count, 2, device=rng.device) if middle is None else middle
    shift = about - (matrix @ about[..., None])[..., 0]
    shift = shift + rng.normal(count, 2, spread=0.12) * reach[:, None]
    theta = torch.cat([matrix, shift[..., None]], dim=2)
    grid = F.affine_grid(theta, [count, 1, size, size], align_corners=False)
    bend = rng.normal(count, 2, 5, 5, spread=0.07) * reach.view(-1, 1, 1, 1)
    bend = F.interpolate(bend, (size, size), mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)


def _any_label(labels: Tensor, rng: DeviceRandom) -> Tensor:
    """Return the label (B,) of a pixel drawn among those that have one."""
    flat = labels.flatten(1)
    passed = (flat > 0).cumsum(1)
    wanted = rng.below(passed[:, -1:].clamp(min=1)) + 1
    place = torch.searchsorted(passed, wanted).clamp(max=flat.shape[1] - 1)
    return flat.gather(1, place)[:, 0]
