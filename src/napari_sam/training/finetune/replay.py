"""What keeps a model from forgetting: it goes on answering other images as it did before.

Learning without forgetting (Li and Hoiem, TPAMI 40:2935, 2018): on images that have nothing to do
with what is learnt, the model as it was says what is right. The images are drawn scenes
(`training.drawn`) and those that come with scikit-image, so that any installed copy has them.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from skimage import data
from skimage.transform import downscale_local_mean
from torch import Tensor
from torch.nn import functional as F

from ...models.pocket_encoder import PocketFeatures
from ...models.pocket_net import Pocket
from ..crops import Crops, draw_crops
from ..image_set import ImageSet
from ..labelled_images import LabelledImage
from ..loop import decode, encode
from ..rng import DeviceRandom
from ..task import draw_task

IMAGES = (
    "cell", "coins", "immunohistochemistry", "retina", "moon", "hubble_deep_field", "brick",
    "gravel", "grass", "camera", "chelsea", "coffee",
)  # fmt: skip
"""Images that are part of scikit-image; none of them is downloaded."""
LONGEST = 512
"""Pixels of the longer side that they are cut to."""
SHRUNK = (1, 4, 8)
"""Factors that they are shrunk by: a model magnifies small images, and knows blurred ones."""
SIDES = (24, 40, 64, 104)
"""Sides of the squares that are asked about, pixels."""
DRAWN = 0.5
"""Share of crops that show drawn scenes."""
FIELDS = 4.0
"""Weight of the instance head's squared error, as in its own loss."""


@cache
def replay_images() -> ImageSet:
    """Return the images, cut into squares of various sizes in place of objects.

    What is asked of them needs no true answer, only places to ask at.
    """
    found = []
    for name in IMAGES:
        image = np.asarray(getattr(data, name)())
        h, w = (min(side, LONGEST) for side in image.shape[:2])
        top, left = (image.shape[0] - h) // 2, (image.shape[1] - w) // 2
        whole = image[top : top + h, left : left + w]
        for factor in SHRUNK:
            factors = (factor, factor, 1)[: whole.ndim]
            shown = downscale_local_mean(whole, factors)  # type: ignore[no-untyped-call]
            pixels = np.rint(shown).astype(np.uint8)
            labels = squares((pixels.shape[0], pixels.shape[1]))
            source = f"{name} / {factor}"
            found.append(
                LabelledImage(source, "replay", name, "train", pixels, labels, exhaustive=False)
            )
    return ImageSet.of(found)


def squares(size: tuple[int, int]) -> NDArray[np.int32]:
    """Return labels (H, W) of squares, of one side in each quarter of the plane."""
    labels = np.zeros(size, np.int32)
    middle = (size[0] // 2, size[1] // 2)
    last = 0
    for k, side in enumerate(SIDES):
        rows = slice(0, middle[0]) if k < 2 else slice(middle[0], None)
        columns = slice(0, middle[1]) if k % 2 == 0 else slice(middle[1], None)
        part = labels[rows, columns]
        y, x = (np.arange(n) // side for n in part.shape)
        part[:] = last + 1 + y[:, None] * (x[-1] + 1) + x
        last = int(part.max())
    return labels


def replay_loss(
    model: Pocket,
    before: Pocket,
    count: int,
    size: int,
    origin: tuple[float, float],
    rng: DeviceRandom,
) -> Tensor:
    """Return how far a model's answers have moved from those that it gave before.

    Parameters
    ----------
    model, before : Pocket
    count, size : int
        Crops, and their side in pixels.
    origin : (x, y) float
        See `StepPlan`.
    rng : DeviceRandom

    Returns
    -------
    () float; least where the answers are the same
    """
    drawn = min(int(count * DRAWN + float(rng.uniform(1))), count - 1)
    crops = draw_crops(replay_images(), count, drawn, 0, size, rng)
    features = encode(model, crops.images)
    with torch.no_grad():
        known = encode(before, crops.images)
    task = draw_task(known_everywhere(crops), features, 1, rng)
    answer = decode(model, features, task, task.first, origin)
    with torch.no_grad():
        wanted = decode(before, known, task, task.first, origin)
    masks = moved(answer.logits.sigmoid(), wanted.logits.sigmoid()).mean()
    presence = F.binary_cross_entropy_with_logits(answer.presence, wanted.presence.sigmoid())
    score = (answer.iou - wanted.iou).abs().mean()
    return masks + score + 0.3 * presence + _fields_loss(features, known)


def moved(chance: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 - Dice of masks (P, M, h, w), 0..1, as (P, M); it is 0 only where they are equal.

    With squares in the denominator (Milletari et al., 3DV 2016).
    """
    apart = (chance - wanted).square().sum(dim=(-2, -1))
    return apart / (chance.square() + wanted.square()).sum(dim=(-2, -1)).clamp(min=1)


def known_everywhere(crops: Crops) -> Crops:
    """Return crops in which a click beside all objects may be drawn anywhere."""
    return crops._replace(complete=torch.ones_like(crops.complete))


def _fields_loss(features: PocketFeatures, known: PocketFeatures) -> Tensor:
    """Return how far the answers of the instance head have moved."""
    own, wanted = features.instances, known.instances
    raw = F.binary_cross_entropy_with_logits(own[:, 0], wanted[:, 0].sigmoid())
    return raw + FIELDS * (own[:, 1:] - wanted[:, 1:]).square().sum(1).mean()
