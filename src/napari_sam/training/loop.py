"""The training loop, as a generator of steps: from scratch or from given weights.

A step runs where the network runs: crops, prompts, targets and losses are batched tensor
operations, and all that is drawn comes from one seed and the number of the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..files import written_beside
from ..models.pocket_decoder import Decoded
from ..models.pocket_encoder import STRIDE, PocketFeatures, normalise
from ..models.pocket_net import Pocket
from .crops import Crops, draw_crops
from .fields import instance_targets
from .image_set import ImageSet
from .losses import CLICK_WEIGHT, UNLABELLED, click_loss, instance_loss, prompt_loss
from .params import StepPlan, TrainParams, plan_step
from .prompts import PromptBatch, corrected
from .rng import DeviceRandom
from .task import Task, draw_task

IOU_WEIGHT = 2.0
"""Of the error of the predicted IoU."""
PRESENCE_WEIGHT = 0.3
"""Of the cross-entropy of presence."""
LONGEST_STEP = 30.0
"""Seconds above which a step was paused, which does not count as training."""


@dataclass(frozen=True)
class Step:
    """What one training step yields.

    Attributes
    ----------
    index : int
        Steps done so far.
    crops : int
        Crops seen in it.
    loss : float
    iou : tuple of float
        Mean IoU after the first and after the last round of prompts, of the mask that was predicted
        to be best.
    seconds : float
        Time that the step took.
    """

    index: int
    crops: int
    loss: float
    iou: tuple[float, float]
    seconds: float


class Trainer:
    """Model, averaged model and optimiser; resumable.

    Parameters
    ----------
    images : ImageSet
        Lies on the device that trains.
    params : TrainParams
    """

    def __init__(self, images: ImageSet, params: TrainParams) -> None:
        torch.manual_seed(params.seed)
        self.params = params
        self.images = images
        self.device = images.device
        self.model = Pocket().to(self.device)
        self.averaged = Pocket().to(self.device)
        self.averaged.load_state_dict(self.model.state_dict())
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        plain = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": params.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=params.learning_rate,
            betas=(0.9, 0.99),
            fused=True,
        )
        self.done = 0
        self.spent = 0.0

    def load_weights(self, weights: dict[str, Tensor]) -> list[str]:
        """Start from given weights instead of random ones; returns what they lack."""
        own = self.model.state_dict()
        fitting = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
        for model in (self.model, self.averaged):
            model.load_state_dict(model.state_dict() | fitting)
        return sorted(own.keys() - fitting.keys())

    def run(self, minutes: float | None = None) -> Iterator[Step]:
        """Yield after every step, until `params.steps` are done or the time is up.

        Parameters
        ----------
        minutes : float, optional
            Of this trainer's life; the learning rate falls over this time in place of the steps.
        """
        while True:
            passed = self.done / self.params.steps
            if minutes is not None:
                passed = self.spent / (60 * minutes)
            if passed >= 1:
                return
            start = time.perf_counter()
            for group in self.optimiser.param_groups:
                group["lr"] = self._learning_rate(passed)
            crops, loss, first, last = self._step()
            self.done += 1
            seconds = time.perf_counter() - start
            self.spent += min(seconds, LONGEST_STEP)
            yield Step(self.done, crops, loss, (first, last), seconds)

    def save(self, path: Path) -> None:
        """Write everything that `resume` needs; the file is replaced in one go."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "done": self.done,
            "params": asdict(self.params),
        }
        with written_beside(path) as partial:
            torch.save(state, partial)

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; the parameters of this trainer hold."""
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["done"])

    def _learning_rate(self, passed: float) -> float:
        rise = min(1.0, (self.done + 1) / self.params.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, passed)))
        return self.params.learning_rate * rise * max(fall, 0.01)

    def _step(self) -> tuple[int, float, float, float]:
        """Learn from one batch; returns crops, loss, and the IoU of the first and last round."""
        plan = plan_step(self.params, self.done)
        rng = DeviceRandom(plan.seed, self.device)
        self.model.train()
        crops = draw_crops(self.images, plan.crops, plan.drawn, plan.earlier, plan.size, rng)
        total, reached = batch_loss(self.model, crops, plan, rng)
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self._average()
        loss, first, last = torch.stack([total.detach(), *reached]).tolist()
        return plan.crops, loss, first, last

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.params.average, (1 + self.done) / (10 + self.done))
        torch._foreach_lerp_(
            list(self.averaged.parameters()), list(self.model.parameters()), 1 - decay
        )


def batch_loss(
    model: Pocket,
    crops: Crops,
    plan: StepPlan,
    rng: DeviceRandom,
    unlabelled: float = UNLABELLED,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Prompt objects of a batch round after round.

    Parameters
    ----------
    model : Pocket
    crops : Crops
    plan : StepPlan
        Its rounds, and which of them learn.
    rng : DeviceRandom
    unlabelled : float
        See `instance_loss`.

    Returns
    -------
    loss : () float
    reached : two of () float
        Mean IoU of the first and of the last round.
    """
    targets = instance_targets(crops.labels, STRIDE, plan.offset)
    features = encode(model, torch.cat([crops.images, crops.earlier_images]))
    task = draw_task(crops, features, plan.slots, rng)
    present = PocketFeatures(*(part[: len(crops.labels)] for part in features))
    truth = F.avg_pool2d(task.masks.float()[:, None], 2)[:, 0]
    weight = task.weight / task.weight.sum().clamp(min=1)
    complete = F.avg_pool2d(crops.complete.float(), STRIDE) == 1
    total = instance_loss(present.instances, targets, complete, unlabelled)
    prompts, reached = task.first, []
    for turn in range(plan.rounds):
        with torch.set_grad_enabled(turn in plan.learning):
            answer = decode(model, present, task, prompts, plan.origin)
            if turn in plan.learning:
                loss, iou = _round_loss(answer, prompts, task, truth, weight)
                total = total + loss / len(plan.learning)
                reached.append(iou)
        if turn + 1 < plan.rounds:
            best = answer.iou.detach().argmax(1)[:, None, None, None]
            logits = answer.logits.detach()
            chosen = logits.gather(1, best.expand(-1, 1, *logits.shape[2:]))[:, 0]
            prompts = corrected(prompts, task.masks, chosen, rng)
    return total, (reached[0], reached[-1])


def encode(model: Pocket, images: Tensor) -> PocketFeatures:
    """Return the features (float32) of images (B, 3, S, S), 0..1."""
    with _lowered(images.device, encoder=True):
        features = model.encoder(normalise(images))
    return PocketFeatures(*(part.float() for part in features))


def decode(
    model: Pocket,
    features: PocketFeatures,
    task: Task,
    prompts: PromptBatch,
    origin: tuple[float, float],
) -> Decoded:
    """Return the answers (float32) to the prompts of a task."""
    with _lowered(features.s4.device, encoder=False):
        answer = model.decoder(features, task.owner, *prompts, origin, task.guide)
    return Decoded(*(part.float() for part in answer))


def _lowered(device: torch.device, encoder: bool) -> AbstractContextManager[object]:
    """Return what computes products in bfloat16 where that pays.

    On a processor it does in the encoder alone.
    """
    enabled = device.type == "cuda"
    if device.type == "cpu" and torch._C._has_mkldnn:
        enabled = encoder and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def _round_loss(
    answer: Decoded, prompts: PromptBatch, task: Task, truth: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss of one round, and the mean IoU that it reached."""
    fine = F.interpolate(answer.logits, scale_factor=2, mode="bilinear", align_corners=False)
    loss = prompt_loss(fine, answer.iou, truth)
    known = task.known / task.known.sum().clamp(min=1)
    presence = F.binary_cross_entropy_with_logits(answer.presence, task.present, reduction="none")
    heeded = torch.where(task.present[:, None] > 0, prompts.labels, -1)
    total = (
        (loss.masks * weight).sum()
        + IOU_WEIGHT * (loss.score * known).sum()
        + PRESENCE_WEIGHT * (presence * known).sum()
        + CLICK_WEIGHT * click_loss(answer.logits, prompts.coords, heeded, STRIDE)
    )
    iou = loss.reached.gather(1, loss.best[:, None])[:, 0]
    return total, (iou * weight).sum()
