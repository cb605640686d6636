"""What a step asks of the network: objects, their first prompts, and clicks where there is none."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models.pocket_decoder import Guide
from ..models.pocket_encoder import STRIDE, PocketFeatures
from .crops import Crops
from .prompts import (
    PromptBatch,
    background_clicks,
    choose_objects,
    first_prompts,
    following_prompts,
)
from .rng import DeviceRandom

BACKGROUND = 0.4
"""Share of crops whose last prompt is a click beside all objects."""
PROMPTS = 3
"""Objects prompted in each crop."""


class Task(NamedTuple):
    """P objects to be found.

    Attributes
    ----------
    owner : (P,) int64
        The crop of each.
    masks : (P, S, S) bool
        Empty where there is nothing to be found.
    weight : (P,) float
        0 where there is no object to be learnt from.
    present : (P,) float
        1 where there is an object.
    known : (P,) float
        1 where it is known whether there is one.
    first : PromptBatch
    guide : Guide or None
    """

    owner: Tensor
    masks: Tensor
    weight: Tensor
    present: Tensor
    known: Tensor
    first: PromptBatch
    guide: Guide | None


def draw_task(crops: Crops, features: PocketFeatures, slots: int, rng: DeviceRandom) -> Task:
    """Choose objects and the first prompt of each.

    Objects of crops that come with an earlier plane are chosen there, and prompted by what is known
    of them there; some have ended since. The last prompt of some of the other crops is a click on
    background.

    Parameters
    ----------
    crops : Crops
    features : PocketFeatures of the crops and, behind them, of their earlier planes
    slots : int
        Points of a first prompt.
    rng : DeviceRandom
    """
    count, earlier = len(crops.labels), len(crops.earlier_labels)
    where = torch.cat([crops.earlier_labels, crops.labels[earlier:]])
    chosen, valid = choose_objects(where, crops.anchor, PROMPTS, rng)
    masks = crops.labels[:, None] == chosen[..., None, None]
    known = valid[:, None].expand(-1, PROMPTS)
    guided = earlier * PROMPTS
    first = first_prompts(masks.flatten(0, 1), STRIDE, rng, slots)
    guide = None
    if guided:
        old = (where[:earlier, None] == chosen[:earlier, :, None, None]).flatten(0, 1)
        following = following_prompts(old, STRIDE, rng)
        first = PromptBatch(
            *(torch.cat([a, b[guided:]]) for a, b in zip(following, first, strict=True))
        )
        owner = torch.arange(earlier, device=rng.device).repeat_interleave(PROMPTS)
        logits = (F.avg_pool2d(old[:, None].float(), STRIDE)[:, 0] - 0.5) * 16
        guide = Guide(features.s16[count:], owner, logits)
    if slots == 1:
        ground = torch.where(crops.complete, crops.labels, -1)
        clicks, found = background_clicks(ground, STRIDE, rng)
        nothing = found & rng.chance(count, odds=BACKGROUND)
        nothing[:earlier] = False
        last = torch.zeros(count, PROMPTS, dtype=torch.bool, device=rng.device)
        last[:, -1] = nothing
        spread = PromptBatch(*(part.repeat_interleave(PROMPTS, 0) for part in clicks))
        first = spread.where(last.flatten(), first)
        masks = masks & ~last[..., None, None]
        known = known | last
    masks = masks.flatten(0, 1)
    present = masks.flatten(1).any(1) & known.flatten()
    return Task(
        torch.arange(count, device=rng.device).repeat_interleave(PROMPTS),
        masks,
        (known.flatten() & present).float(),
        present.float(),
        known.flatten().float(),
        first,
        guide,
    )
