"""How well a model answers one click on examples that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...evaluate.scores import MIN_PIXELS
from ...masks import iou, middle_of
from ...models.contract import PromptableModel
from ...predict.predictor import SamPredictor
from ...types import Prompts
from .examples import Example

IMAGES = 6
"""Examples that are looked at."""
OBJECTS = 16
"""Objects of each."""

Item = TypeVar("Item")


def held_out_iou(model: PromptableModel, examples: Sequence[Example]) -> float:
    """Return the mean IoU after one click, of the mask that the model ranks first.

    Parameters
    ----------
    model : PromptableModel
    examples : sequence of Example
        A few of them and a few of their objects count, spread evenly.

    Returns
    -------
    float; 0 without an object
    """
    predictor = SamPredictor(model)
    found = []
    shown = [example for example in examples if example.objects]
    for example in spread(shown, IMAGES):
        masks = [example.labels == label for label in spread(example.objects, OBJECTS)]
        masks = [mask for mask in masks if np.count_nonzero(mask) >= MIN_PIXELS]
        prompts = [Prompts([middle_of(mask)], [1]) for mask in masks]
        if prompts:
            embedding = predictor.encode(in_colour(example.image))
            answers = predictor.predict_many(embedding, prompts)
            found += [
                iou(answer.masks[answer.best], mask)
                for answer, mask in zip(answers, masks, strict=True)
            ]
    return float(np.mean(found)) if found else 0.0


def in_colour(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image (H, W) or (H, W, 3) as (H, W, 3), whose contrast nobody stretches again."""
    return image if image.ndim == 3 else np.stack([image] * 3, axis=-1)


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[k] for k in np.linspace(0, len(items) - 1, most).astype(int)]
