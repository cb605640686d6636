"""The training loop, as a generator of steps: from scratch or from given weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..models.pocket_net import POSITION_SIZE, STRIDE, Pocket, normalise
from .data import Crops, CropSampler
from .losses import CLICK_WEIGHT, IOU_WEIGHT, click_loss, depth_loss, prompt_loss
from .simulate import PromptBatch, beside_objects, corrected, first_prompts
from .synthetic import draw_many

REDRAW = 400
"""Steps that the same drawn images are used for."""
DRAWN = 150
"""Drawn images in use at a time."""
NOTHING = 0.3
"""Weight of clicks beside all objects, whose predicted IoU is to be 0."""


@dataclass(frozen=True)
class TrainParams:
    """Settings of a training run.

    Attributes
    ----------
    steps : int
        Steps in all; the learning rate falls to its end over them.
    learning_rate : float
        After the warm-up.
    weight_decay : float
    warmup : int
        Steps until the learning rate is reached.
    rounds, round_odds : tuple
        How many times an object is prompted in a step, the first and the corrections that follow
        it, and how often each is drawn. Of many rounds the first, the last and one between learn.
    pixels : int
        Image area of one step, in pixels.
    prompts : int
        Objects per step, at crops of 128 pixels (fewer at larger ones, at equal cost).
    sizes, size_odds : tuple
        Sides of the crops and how often each is drawn.
    average : float
        Decay of the running average of the weights, which is what is kept in the end.
    synthetic : float
        Share of crops from drawn images.
    seed : int
    """

    steps: int = field(default=6000, metadata={"min": 1, "help": "steps in all"})
    learning_rate: float = field(default=1e-3, metadata={"min": 0.0, "help": "after the warm-up"})
    weight_decay: float = 0.02
    warmup: int = 150
    rounds: tuple[int, ...] = (1, 2, 3, 5, 8)
    round_odds: tuple[float, ...] = (0.3, 0.3, 0.2, 0.12, 0.08)
    pixels: int = 20 * 128 * 128
    prompts: int = 60
    sizes: tuple[int, ...] = (128, 192, 256)
    size_odds: tuple[float, ...] = (0.4, 0.2, 0.4)
    average: float = 0.999
    synthetic: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Step:
    """What one training step yields.

    Attributes
    ----------
    index : int
        Steps done so far.
    loss : float
    iou : tuple of float
        Mean IoU after each round of prompts, of the mask that was predicted to be best.
    seconds : float
        Time that the step took.
    """

    index: int
    loss: float
    iou: tuple[float, ...]
    seconds: float


class Trainer:
    """Model, averaged model, optimiser and random state; resumable.

    Parameters
    ----------
    sampler : CropSampler
        Its random generator is the run's.
    params : TrainParams
    device : str
        "cpu", "cuda", "mps".
    """

    def __init__(self, sampler: CropSampler, params: TrainParams, device: str = "cpu") -> None:
        torch.manual_seed(params.seed)
        self.params = params
        self.sampler = sampler
        self.device = torch.device(device)
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
        )
        self.done = 0

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Start from given weights instead of random ones; what they lack stays random."""
        for model in (self.model, self.averaged):
            model.load_state_dict(model.state_dict() | weights)

    def run(self) -> Iterator[Step]:
        """Yield after every step until `params.steps` are done."""
        while self.done < self.params.steps:
            start = time.perf_counter()
            if self.done % REDRAW == 0:
                self._redraw()
            loss, reached = self._step()
            self.done += 1
            yield Step(self.done, loss, reached, time.perf_counter() - start)

    def save(self, path: Path) -> None:
        """Write everything that `resume` needs; the file is replaced in one go."""
        state = {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "done": self.done,
            "rng": self.sampler.rng.bit_generator.state,
            "params": asdict(self.params),
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a file that `save` wrote; the parameters of this trainer hold."""
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = int(state["done"])
        self.sampler.rng.bit_generator.state = state["rng"]
        self._redraw()

    def _redraw(self) -> None:
        """Draw the synthetic images of this stretch of steps; the same ones after a resume."""
        if self.params.synthetic:
            rng = np.random.default_rng((self.params.seed, self.done // REDRAW))
            self.sampler.replace_source("synthetic", draw_many(rng, DRAWN))

    def _learning_rate(self) -> float:
        p = self.params
        rise = min(1.0, (self.done + 1) / p.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.done / p.steps)))
        return p.learning_rate * rise * max(fall, 0.01)

    def _draw(self) -> Crops:
        p, rng = self.params, self.sampler.rng
        size = int(rng.choice(p.sizes, p=np.array(p.size_odds) / sum(p.size_odds)))
        crops = max(1, p.pixels // (size * size))
        prompts = max(2, int(p.prompts * (128 / size) ** 2))
        batch = self.sampler.batch(crops, size, objects=max(1, -(-2 * prompts // crops)))
        if len(batch.owner) > prompts:  # keep the first objects of every crop
            keep = torch.from_numpy(np.sort(rng.permutation(len(batch.owner))[:prompts]))
            batch = batch.of(keep)
        return batch

    def _step(self) -> tuple[float, tuple[float, ...]]:
        self.model.train()
        batch = self._draw()
        images = normalise(batch.images.to(self.device))
        truth = F.avg_pool2d(batch.masks.float()[:, None], 2)[:, 0].to(self.device)
        features = self.model.encoder(images)
        prompts = first_prompts(batch.masks, STRIDE, self.sampler.rng, beside=batch.beside)
        room = max(0, POSITION_SIZE - batch.images.shape[-1])
        x, y = self.sampler.rng.uniform(0, room, 2)
        origin = (float(x), float(y))
        losses: list[Tensor] = []
        reached = []
        rounds, learning = self._rounds()
        for turn in range(rounds):
            with torch.set_grad_enabled(turn in learning):
                logits, iou = self._decode(features, batch.owner, prompts, origin)
                fine = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
                loss, best, true = prompt_loss(fine, iou, truth)
                coords, labels = prompts.coords.to(self.device), prompts.labels.to(self.device)
                loss = loss + CLICK_WEIGHT * click_loss(logits, coords, labels, STRIDE)
            if turn in learning:
                losses.append(loss)
            reached.append(float(true.gather(1, best[:, None]).mean()))
            if turn + 1 < rounds:
                chosen = logits.detach()[torch.arange(len(best), device=best.device), best]
                prompts = corrected(prompts, batch.masks, chosen.float().cpu(), self.sampler.rng)
        total = torch.stack(losses).mean()
        total = total + depth_loss(features.depth[:, 0], batch.labels, batch.exhaustive)
        nothing = beside_objects(batch.labels, batch.exhaustive, STRIDE, self.sampler.rng)
        if nothing is not None:
            owner, prompts = nothing
            _, iou = self._decode(features, owner, prompts, origin)
            total = total + NOTHING * IOU_WEIGHT * iou.square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self._learning_rate()
        self.optimiser.step()
        self._average()
        return float(total.detach()), tuple(reached)

    def _rounds(self) -> tuple[int, set[int]]:
        """Draw how many rounds there are, and those that learn."""
        p, rng = self.params, self.sampler.rng
        rounds = int(rng.choice(p.rounds, p=np.array(p.round_odds) / sum(p.round_odds)))
        return rounds, {0, int(rng.integers(rounds)), rounds - 1}

    def _decode(
        self, features: Any, owner: Tensor, prompts: PromptBatch, origin: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        device = self.device
        answer: tuple[Tensor, Tensor] = self.model.decoder(
            features,
            owner.to(device),
            prompts.coords.to(device),
            prompts.labels.to(device),
            prompts.boxes.to(device),
            prompts.mask_input.to(device),
            origin,
        )
        return answer

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.params.average, (1 + self.done) / (10 + self.done))
        pairs = zip(self.averaged.parameters(), self.model.parameters(), strict=True)
        for slow, fast in pairs:
            slow.lerp_(fast, 1 - decay)
