"""What `pocket` learns from labelled images of a user, one batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ...models.checkpoint import load_into
from ...models.pocket import PocketModel
from ...models.pocket_net import Pocket
from ...models.recognition import Checkpoint
from ..crops import draw_crops
from ..fields import LABELS
from ..image_set import ImageSet
from ..labelled_images import LabelledImage
from ..loop import batch_loss
from ..params import TrainParams, plan_step
from ..rng import DeviceRandom
from .examples import Example
from .replay import replay_loss
from .tune_params import TuneParams

PLAN = TrainParams(
    crops=6,
    rounds=(1, 2, 3),
    round_odds=(0.5, 0.3, 0.2),
    sizes=(128, 192, 256),
    size_odds=(0.4, 0.3, 0.3),
    drawn=0.0,
    earlier=0.2,
)
"""Batches of a user's images; the others are those of the replay."""
REPLAYED = 0.5
"""Crops of the replay for each crop of a user's images."""
REPLAY_WEIGHT = 4.0
"""Of the replay beside what the user's images say."""
MOST_PIXELS = 200_000_000
"""Of all images; each takes about 8 bytes."""


LEARNING_RATE = 1e-3
"""After the warm-up."""


class PocketTuning:
    """Batches of a user's images and of the replay, and the weights that learn from them.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model that is tuned.
    examples : sequence of Example
        Those without an object are left out.
    part : {"heads", "all"}
        What learns: normalisations and heads, or everything.
    seed : int
    replay : float
        Factor of the weight of the replay; 0 leaves it out.
    plan : TrainParams
        How batches of the user's images are drawn.

    Raises
    ------
    ValueError
        If the model is incomplete, no example holds an object, or the images are too large
        together.
    """

    complete = True
    learning_rate = LEARNING_RATE

    def __init__(
        self,
        checkpoint: Checkpoint,
        examples: Sequence[Example],
        part: str = "all",
        seed: int = 0,
        replay: float = 1.0,
        plan: TrainParams = PLAN,
    ) -> None:
        pixels = sum(example.labels.size for example in examples)
        if pixels > MOST_PIXELS:
            raise ValueError(
                f"the images to learn from have {pixels / 1e6:.0f} megapixels, but "
                f"{MOST_PIXELS / 1e6:.0f} at most are kept in memory; leave some of them out"
            )
        self.pocket = Pocket()
        load_into(self.pocket, checkpoint)
        self.before = Pocket()
        load_into(self.before, checkpoint)
        self.before.eval().requires_grad_(False)
        self.images = ImageSet.of(labelled(examples))
        self.part = part
        self.replay = replay
        self.plan = replace(plan, seed=seed)
        # the others get gradients too: without, torch 2.13 crashes in convolutions of small planes
        self._learnt = chosen(self.pocket, part)

    def learnt(self) -> dict[str, nn.Parameter]:
        """Return the parameters that learn, by their names in the file."""
        return self._learnt

    def loss(self, index: int) -> tuple[Tensor, float]:
        """Return the loss of a batch, and the IoU that its first prompts reached."""
        plan = plan_step(self.plan, index)
        rng = DeviceRandom(plan.seed, self.images.device)
        self.pocket.train()
        self.pocket.zero_grad(set_to_none=True)
        crops = draw_crops(self.images, plan.crops, 0, plan.earlier, plan.size, rng)
        total, (first, _) = batch_loss(self.pocket, crops, plan, rng, unlabelled=0.0)
        if self.replay:
            count = max(1, round(plan.crops * REPLAYED))
            stayed = replay_loss(self.pocket, self.before, count, plan.size, plan.origin, rng)
            total = total + REPLAY_WEIGHT * self.replay * stayed
        return total, float(first)

    def weights(self) -> dict[str, Tensor]:
        """Return every tensor of the model."""
        return {name: value.detach().clone() for name, value in self.pocket.state_dict().items()}

    def model(self) -> PocketModel:
        """Return the model with the weights of now, a copy."""
        pocket = Pocket()
        pocket.load_state_dict(self.pocket.state_dict())
        return PocketModel(pocket, "tuned")

    def encodings(self, steps: int) -> float:
        """Return 0: the encoder learns, or is run with other crops each time."""
        return 0.0


def build(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    params: TuneParams,
    folder: Path,
    device: str,
) -> PocketTuning:
    """Return what learns, on the processor, with the settings of a training; see `PocketTuning`."""
    part = params.part or "all"
    return PocketTuning(checkpoint, examples, part, params.seed, params.replay, PLAN)


def chosen(pocket: Pocket, part: str) -> dict[str, nn.Parameter]:
    """Return the parameters of a part.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    if part == "all":
        return dict(pocket.named_parameters())
    if part != "heads":
        raise ValueError(f"pocket learns in its 'heads' or in 'all' of it, not in {part!r}")
    norms = {
        f"{path}.{name}"
        for path, module in pocket.named_modules()
        if isinstance(module, nn.GroupNorm | nn.LayerNorm)
        for name, _ in module.named_parameters()
    }
    return {
        name: parameter
        for name, parameter in pocket.named_parameters()
        if name in norms or name.startswith(HEADS)
    }


HEADS = (
    "encoder.out.", "encoder.instance_head.", "decoder.sample.", "decoder.mix4.", "decoder.mix8.",
    "decoder.up", "decoder.skip4.", "decoder.hyper.", "decoder.score_head.",
    "decoder.presence_head.", "decoder.iou_token.", "decoder.mask_tokens.",
)  # fmt: skip
"""Starts of the names of what makes answers of features."""


def labelled(examples: Sequence[Example]) -> list[LabelledImage]:
    """Return examples as the training code takes them.

    Labels are numbered anew, those of one stack alike. Ground that may hold objects without a
    label is -1. Of an image with more than 2047 objects the last are taken for such ground.
    """
    groups: dict[str, list[Example]] = {}
    for number, example in enumerate(examples):
        groups.setdefault(example.stack or f"\0{number}", []).append(example)
    found = []
    for stack, planes in groups.items():
        known = np.unique(np.concatenate([np.unique(plane.labels) for plane in planes]))
        known = known[known > 0]
        for plane in planes:
            labels = _renumbered(plane, known if len(known) < LABELS else np.array(plane.objects))
            linked = stack if len(known) < LABELS and plane.stack else ""
            found.append(
                LabelledImage(
                    "user",
                    "user",
                    plane.name,
                    "train",
                    plane.image,
                    labels,
                    not plane.sparse,
                    linked,
                    plane.place,
                )
            )
    return found


def _renumbered(example: Example, known: NDArray[np.integer]) -> NDArray[np.int32]:
    """Return labels numbered by their places in `known`, and -1 where nothing is known."""
    labels = example.labels
    numbers = np.searchsorted(known, labels) + 1
    kept = (labels > 0) & (numbers < LABELS)
    unknown = ~example.known | ((labels > 0) & ~kept)
    return np.where(kept, numbers, np.where(unknown, -1, 0)).astype(np.int32)
