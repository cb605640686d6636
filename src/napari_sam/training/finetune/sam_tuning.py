"""What the SAM families learn from labelled images of a user, one image at a time.

The mask decoder learns, and with LoRA the attention of the image encoder. While the encoder is
frozen, each image goes through it once, and its embedding is kept on the disk.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.adapters import ADDED
from ...models.checkpoint import fingerprint
from ...models.recognition import Checkpoint
from ...models.sam import SamModel
from ...models.two_way import ImageProjections
from ...models.weights import choose_device, choose_dtype
from ...predict.cache import DiskCache
from ...predict.session import disk_key
from ..losses import prompt_loss
from ..prompts import PromptBatch, corrected, first_prompts
from ..rng import DeviceRandom
from . import lora
from .examples import Example
from .sam_views import TURNS, View, known_turns, orientations, views_of
from .training_folder import EMBEDDINGS
from .tune_params import TuneParams

STRIDE = 4
"""Pixels of the input along a cell of the logits."""
PROMPTS = 6
"""Objects prompted in a step, all of one image."""
ROUNDS, ROUND_ODDS = (1, 2, 3), (0.5, 0.3, 0.2)
"""How many times an object is prompted, the first and the corrections, and how often each."""
IOU_WEIGHT = 2.0
"""Of the error of the predicted IoU."""
LEARNING_RATES = {"heads": 2e-4, "lora": 2e-4, "all": 2e-5}
"""After the warm-up, by what learns."""
QUOTA = 4_000_000_000
"""Bytes of embeddings on the disk."""
PARTS = ("heads", "lora", "all")
ENCODER, DECODER = "image_encoder.", "mask_decoder."


class SamTuning:
    """Steps on a user's images, and the weights that learn from them.

    Parameters
    ----------
    checkpoint : Checkpoint
        The model that is tuned, of a SAM family.
    examples : sequence of Example
    part : {"heads", "lora", "all"}
        What learns: the mask decoder, or adapters of the image encoder as well, or all of the
        image encoder as well.
    seed : int
    folder : Path
        Embeddings are kept in it.
    blocks : int, optional
        LoRA in so many of the first blocks only.
    device : str

    Raises
    ------
    ValueError
        If the model is incomplete, the part unknown, or no object is large enough.
    """

    complete = False

    def __init__(
        self,
        checkpoint: Checkpoint,
        examples: Sequence[Example],
        part: str,
        seed: int,
        folder: Path,
        blocks: int | None = None,
        device: str = "cpu",
    ) -> None:
        if part not in PARTS:
            raise ValueError(f"what learns of a SAM is one of {', '.join(PARTS)}, but is {part!r}")
        family: Any = import_module(f"napari_sam.models.{checkpoint.family}")
        whole: SamModel = family.build(checkpoint, "tuned", device)
        self.sam = whole.sam.requires_grad_(False)
        self.views = views_of(examples, whole.image_size)
        self.seed, self.part = seed, part
        self.learning_rate = LEARNING_RATES[part]
        self.dtype = choose_dtype("auto", device)
        self.frozen = part == "heads"
        encoder = self.sam.image_encoder
        if part != "all":
            set_precision = getattr(encoder, "set_precision", None)
            if set_precision is not None:
                set_precision(self.dtype)
        self.adapters = lora.adapted(encoder, blocks=blocks, seed=seed) if part == "lora" else {}
        if not self.frozen:
            lora.in_little_memory(encoder)
        own = {f"{DECODER}{k}": v for k, v in self.sam.mask_decoder.named_parameters()}
        if part == "all":
            own |= {f"{ENCODER}{k}": v for k, v in encoder.named_parameters()}
        self._before = {name: value.detach().clone() for name, value in own.items()}
        self._learnt = own | lora.parameters_of(self.adapters, ENCODER)
        for value in self._learnt.values():
            value.requires_grad_(True)
        cache = DiskCache(folder / EMBEDDINGS, QUOTA) if self.frozen else None
        self._answering = KnownImages(self.sam, device, cache)

    @property
    def epoch(self) -> int:
        """Steps in which every image is seen once."""
        return len(self.views)

    def encodings(self, steps: int) -> float:
        """Return how often a frozen encoder runs in so many steps, about; 0 where it learns.

        It runs once for each image and orientation in which that is seen.
        """
        if not self.frozen:
            return 0.0
        epochs, rest = divmod(steps, self.epoch)
        seen = (self.epoch - rest) * orientations(epochs)
        return seen + (rest * orientations(epochs + 1) if rest else 0.0)

    def learnt(self) -> dict[str, nn.Parameter]:
        """Return the parameters that learn, by their names in the file."""
        return self._learnt

    def weights(self) -> dict[str, Tensor]:
        """Return what a tuned file holds: differences in half precision, and adapters."""
        changed = {
            f"{name}{ADDED}": (self._learnt[name].detach() - before).half()
            for name, before in self._before.items()
        }
        return changed | lora.stored(self.adapters, ENCODER)

    def model(self) -> SamModel:
        """Return the model with the weights of now."""
        self._answering.forget()
        return self._answering

    def loss(self, index: int) -> tuple[Tensor, float]:
        """Return the loss of a step on one image, and the IoU that its first prompts reached."""
        view, turn, host = self._planned(index)
        rng = DeviceRandom(host.getrandbits(62), self._answering.device)
        rgb, labels = view.turned(turn)
        masks = self._masks(labels, host)
        truth = F.avg_pool2d(masks.float()[:, None], STRIDE)[:, 0]
        with self._lowered():
            projections = self._projections(self._embedding(rgb))
        total, reached = torch.zeros((), device=rng.device), []
        prompts = first_prompts(masks, STRIDE, rng, odds=0.0)
        rounds = host.choices(ROUNDS, ROUND_ODDS)[0]
        for done in range(1, rounds + 1):
            logits, iou = self._answers(projections, prompts)
            loss = prompt_loss(logits, iou, truth)
            total = total + (loss.masks + IOU_WEIGHT * loss.score).mean() / rounds
            reached.append(loss.reached.gather(1, loss.best[:, None]).mean())
            if done < rounds:
                best = loss.best[:, None, None, None].expand(-1, 1, *logits.shape[2:])
                shown = logits.detach().gather(1, best)[:, 0]
                prompts = corrected(prompts, masks, shown, rng)
        return total, float(reached[0])

    def _planned(self, index: int) -> tuple[View, int, random.Random]:
        """Return the image of a step, its orientation, and what draws the rest.

        Each image is seen once in an epoch. With a frozen encoder a new orientation costs a run of
        it, so they come one after the other.
        """
        epoch, place = divmod(index, len(self.views))
        order = random.Random(f"{self.seed} {epoch}").sample(self.views, len(self.views))
        host = random.Random(f"{self.seed} {epoch} {place}")
        known = known_turns(epoch) if self.frozen else TURNS
        return order[place], host.randrange(known), host

    def _masks(self, labels: NDArray[np.int32], host: random.Random) -> Tensor:
        """Return some of the objects as masks (P, S, S) bool."""
        numbers = View.objects_of(labels)
        chosen = host.sample(numbers, min(PROMPTS, len(numbers)))
        masks = np.zeros((len(chosen), *self.sam.prompt_encoder.input_image_size), bool)
        for mask, number in zip(masks, chosen, strict=True):
            mask[: labels.shape[0], : labels.shape[1]] = labels == number
        return torch.from_numpy(masks).to(self._answering.device)

    def _embedding(self, rgb: NDArray[np.uint8]) -> Tensor:
        if self.frozen:
            return self._answering.encode(rgb).clone()  # out of inference mode
        embedding: Tensor = self.sam.image_encoder(self._answering.padded(rgb))
        return embedding.float()

    def _projections(self, embedding: Tensor) -> ImageProjections:
        prompt_encoder = self.sam.prompt_encoder
        image = embedding + prompt_encoder.no_mask()
        return self.sam.mask_decoder.project_image(image, prompt_encoder.get_dense_pe())

    def _answers(
        self, projections: ImageProjections, prompts: PromptBatch
    ) -> tuple[Tensor, Tensor]:
        """Return logits (P, M, h, w) and predicted IoU (P, M); prompts of one form together."""
        boxed = ~prompts.boxes[:, 0].isnan()
        clicked = prompts.labels[:, 0] >= 0
        places, logits, scores = [], [], []
        for with_box, with_click in ((False, True), (True, False), (True, True)):
            place = torch.nonzero((boxed == with_box) & (clicked == with_click))[:, 0]
            if not len(place):
                continue
            some = PromptBatch(*(part[place] for part in prompts))
            first = 0 if with_click else 1  # the slot of a click that was not made
            points = some.coords[:, first:], some.labels[:, first:]
            with self._lowered():
                found, iou = self._decoded(projections, *points, some, with_box)
            places.append(place)
            logits.append(torch.stack(found).float())
            scores.append(iou.float())
        back = torch.cat(places).argsort()
        return torch.cat(logits)[back], torch.cat(scores)[back]

    def _decoded(
        self,
        projections: ImageProjections,
        coords: Tensor,
        labels: Tensor,
        prompts: PromptBatch,
        boxed: bool,
    ) -> tuple[list[Tensor], Tensor]:
        prompt_encoder = self.sam.prompt_encoder
        sparse = prompt_encoder.sparse(coords, labels, prompts.boxes if boxed else None)
        dense = None
        if not prompts.mask_input.isnan().any():
            dense = prompt_encoder.mask_downscaling(prompts.mask_input[:, None])
            dense = dense - prompt_encoder.no_mask()  # as the shared part of the image has it
        return self.sam.mask_decoder.predict_masks(projections, sparse, dense)

    def _lowered(self) -> AbstractContextManager[object]:
        """Return what computes products in bfloat16 where that pays."""
        kind = self._answering.device.partition(":")[0]
        return torch.autocast(kind, torch.bfloat16, enabled=self.dtype == torch.bfloat16)


class KnownImages(SamModel):
    """Answers with the weights of now; with a frozen encoder embeddings are kept.

    Parameters
    ----------
    sam : Sam
    device : str
    cache : DiskCache or None
        Of embeddings, where the encoder is frozen.
    """

    def __init__(self, sam: Any, device: str, cache: DiskCache | None) -> None:
        super().__init__(sam, "tuned", device)
        self._cache = cache
        self._weights = fingerprint(sam.image_encoder) if cache is not None else ""

    def encode(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return the embedding of a resized plane, rounded as it is kept on the disk."""
        if self._cache is None:
            return super().encode(rgb)
        key = disk_key(self._weights, rgb)
        arrays = self._cache.get(key)
        if arrays is None:
            arrays = self.pack(super().encode(rgb))
            self._cache.put(key, arrays)
        embedding: Tensor = self.unpack(arrays)
        return embedding

    def padded(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return a resized plane (h, w, 3) as the encoder takes it, (1, 3, S, S)."""
        h, w = rgb.shape[:2]
        return F.pad(self._pixels(rgb), (0, self.image_size - w, 0, self.image_size - h))[None]

    def forget(self) -> None:
        """Keep nothing that was computed with earlier weights."""
        self._latest = None


def build(
    checkpoint: Checkpoint,
    examples: Sequence[Example],
    params: TuneParams,
    folder: Path,
    device: str,
) -> SamTuning:
    """Return what learns, with the settings of a training; see `SamTuning`."""
    chosen = choose_device(device)
    part = params.part or "heads"
    return SamTuning(
        checkpoint, examples, part, params.seed, folder, device="cpu" if chosen == "mps" else chosen
    )
