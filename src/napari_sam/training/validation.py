"""A quick table of validation, computed where the network was trained.

Every object in a window of its own, as `pocket` answers a box; what the whole plugin reaches is
measured by `napari_sam.evaluate.scores`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.pocket_decoder import Decoded
from ..models.pocket_encoder import STRIDE, normalise
from ..models.pocket_net import Pocket
from .crops import LARGEST_SCALE, LONGEST, Views, pixel_grid
from .image_set import LEVELS, ImageSet
from .labelled_images import LabelledImage
from .prompts import (
    MIN_PIXELS,
    PromptBatch,
    background_clicks,
    box_of,
    click_in,
    corrected,
)
from .rng import DeviceRandom

WINDOW = 256
"""Side of the window about each object, pixels."""
FILLED = 0.7
"""Part of the window that an object takes up at most."""
CLICKS = 8
BATCH = 32


@dataclass(frozen=True)
class SourceFigures:
    """Means over the objects of one source.

    Attributes
    ----------
    source : str
    objects : int
    click, best, clicks, box : float
        IoU after one click of the mask ranked first and of the best one, after eight clicks, and
        from the tight box.
    denied : float
        Share of objects that are said to be absent after one click.
    noticed : float
        Share of clicks on background that are answered by absence; nan where background is not
        known.
    """

    source: str
    objects: int
    click: float
    best: float
    clicks: float
    box: float
    denied: float
    noticed: float


@torch.inference_mode()
def validate(
    model: Pocket,
    images: Sequence[LabelledImage],
    device: torch.device | str,
    limit: int = 48,
) -> list[SourceFigures]:
    """Score at most `limit` objects of each source, spread evenly over its objects.

    Parameters
    ----------
    model : Pocket
    images : sequence of LabelledImage
        Not trained on.
    device : torch.device or str
    limit : int

    Returns
    -------
    list of SourceFigures
    """
    model.eval()
    rows = []
    for source in sorted({item.source for item in images}):
        own = [item for item in images if item.source == source and item.labels.any()]
        if not own:
            continue
        shown = ImageSet.of(own, device)
        count = len(shown.objects)
        chosen = torch.linspace(0, count - 1, min(limit, count), device=device).long()
        parts = [
            _score(model, shown, batch, DeviceRandom(k, device))
            for k, batch in enumerate(torch.split(chosen, BATCH))
        ]
        figures = torch.cat(parts)
        if not len(figures):
            continue
        known = figures[:, 5].isfinite()
        noticed = figures[known, 5].mean() if known.any() else figures.new_tensor(torch.nan)
        means: list[float] = [*figures[:, :5].mean(0).tolist(), float(noticed)]
        rows.append(SourceFigures(source, len(figures), *means))
    return rows


def as_table(rows: Sequence[SourceFigures]) -> str:
    """Return the figures of sources as a markdown table, the mean last."""
    lines = [
        "| source | objects | 1 click | best of 3 | 8 clicks | box | denied | noticed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    values = torch.tensor([[r.click, r.best, r.clicks, r.box, r.denied, r.noticed] for r in rows])
    names = [(row.source, row.objects) for row in rows]
    table = [*zip(names, values.tolist(), strict=True)]
    total = sum(row.objects for row in rows)
    table.append((("mean over sources", total), values.nanmean(0).tolist()))
    for (name, count), figures in table:
        cells = " | ".join("" if f != f else f"{f:.3f}" for f in figures)
        lines.append(f"| {name} | {count} | {cells} |")
    return "\n".join(lines) + "\n"


def _score(model: Pocket, images: ImageSet, chosen: Tensor, rng: DeviceRandom) -> Tensor:
    """Return the figures (P, 6) of objects, one row each, in the order of `SourceFigures`."""
    views = _views(images, chosen)
    pixels = images.read_pixels(views.image, views.level, views.coords)
    labels = images.read_labels(views.image, views.coords)  # -1: unknown ground
    masks = labels == views.anchor[:, None, None]
    good = masks.flatten(1).sum(1) >= MIN_PIXELS
    pixels, labels, masks = pixels[good], labels[good], masks[good]
    if not len(masks):
        return pixels.new_zeros(0, 6)
    exhaustive = images.exhaustive[views.image][good]
    features = model.encoder(normalise(pixels))
    owner = torch.arange(len(masks), device=rng.device)

    def answer(prompts: PromptBatch) -> Decoded:
        decoded: Decoded = model.decoder(features, owner, *prompts)
        return decoded

    def reached(logits: Tensor) -> Tensor:
        """Return the IoU (P,) of logits (P, h, w)."""
        fine = F.interpolate(logits[:, None], scale_factor=STRIDE, mode="bilinear")[:, 0] > 0
        both = (fine & masks).flatten(1).sum(1)
        return both / (fine | masks).flatten(1).sum(1).clamp(min=1)

    count, cells = len(masks), WINDOW // STRIDE
    blank = torch.full((count, 4), torch.nan, device=rng.device)
    no_mask = torch.full((count, cells, cells), torch.nan, device=rng.device)
    ones = torch.ones(count, 1, dtype=torch.int64, device=rng.device)
    boxed = answer(
        PromptBatch(
            torch.zeros_like(ones)[..., None] * blank.new_zeros(2), -ones, box_of(masks), no_mask
        )
    )
    prompts = PromptBatch(click_in(masks, rng, 1.0)[:, None], ones, blank, no_mask)
    first = last = answer(prompts)
    several = torch.stack([reached(first.logits[:, k]) for k in range(1, first.iou.shape[1])], 1)
    ranked = several.gather(1, first.iou[:, 1:].argmax(1, keepdim=True))[:, 0]
    shown = first.logits[owner, first.iou[:, 1:].argmax(1) + 1]
    for _ in range(CLICKS - 1):
        prompts = corrected(prompts, masks, shown, rng)
        last = answer(prompts)
        shown = last.logits[:, 0]
    beside, found = background_clicks(labels, STRIDE, rng)
    absent = answer(beside).presence < 0
    noticed = torch.where(found & exhaustive, absent.float(), torch.nan)
    figures = [
        ranked,
        several.amax(1),
        reached(shown),
        reached(boxed.logits[:, 0]),
        (first.presence < 0).float(),
        noticed,
    ]
    return torch.stack(figures, dim=1)


def _views(images: ImageSet, chosen: Tensor) -> Views:
    """Return the window about each object, at the scale that the model sees it at."""
    image = torch.searchsorted(images.first, chosen, right=True) - 1
    table = images.objects[chosen]
    extent = images.size[0, image].flip(1).float()
    scale = (LONGEST / extent.amax(1)).clamp(max=LARGEST_SCALE)
    scale = torch.minimum(scale, FILLED * WINDOW / table[:, 3])
    reach = WINDOW / 2 / scale[:, None]
    centre = torch.maximum(torch.minimum(table[:, 1:3], extent - reach), reach)
    centre = torch.where(2 * reach < extent, centre, (extent - 1) / 2)
    level = (-scale.log2() + 0.5).floor().clamp(0, LEVELS - 1).long()
    coords = pixel_grid(WINDOW, images.device) / scale.view(-1, 1, 1, 1) + centre[:, None, None]
    return Views(image, level, coords, table[:, 0].long())
