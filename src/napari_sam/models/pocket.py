"""Runs `pocket` (`pocket_net`): a prompt is answered in a window about it, and at half the size."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .. import stopping
from . import packing
from .checkpoint import Checkpoint
from .contract import Answers, InstanceFields
from .device_check import noise, question
from .pocket_decoder import Decoded, Guide
from .pocket_encoder import PADDING, STRIDE, PocketFeatures, normalise
from .pocket_net import Pocket
from .pocket_windows import (
    OUTSIDE,
    Asked,
    Question,
    at_half,
    extent,
    fitted,
    fitting,
    in_windows,
    whole_frame,
    windows_of,
)
from .weights import only_float32

PROBED = 128
"""Side, in pixels, of what a device is tried on."""
KEPT_STEPS = 12
"""Steps in a channel's standard deviation where features are kept; `benchmarks/cache_size.py`."""


class TwoScales(NamedTuple):
    """Features of one plane.

    Attributes
    ----------
    full, half : PocketFeatures
        Of the input, and of the input at half its size.
    """

    full: PocketFeatures
    half: PocketFeatures


class PocketModel:
    """Runs a `Pocket` behind the contract of `models.sam.PromptableModel`.

    A click does not say how large its object is. Points alone are therefore answered in a window of
    the input and in the whole input at half its size, and the answer with the higher predicted
    IoU stays. A box, an earlier answer or an earlier plane says it: the prompt is answered where
    they fit.

    Parameters
    ----------
    pocket : Pocket
    name : str
    device : str
    """

    image_size = 512
    largest_scale = 4.0
    mask_threshold = 0.0
    half_pixel = True
    takes_guide = True
    tidy_masks = True
    amg_defaults: Mapping[str, Any] = MappingProxyType(
        {
            "seeds": "auto",
            "pred_iou_thresh": 0.4,
            "stability_score_thresh": 0.4,
            "box_nms_thresh": 0.3,
            "points_per_side": 20,
        }
    )

    def __init__(self, pocket: Pocket, name: str = "pocket", device: str = "cpu") -> None:
        self.pocket = pocket.eval().to(device)
        self.name = name
        self.device = device
        self.notice = ""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return packing.fingerprint(self.pocket)

    def padded_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """Return the sides rounded up to the encoder's stride."""
        h, w = (-(-side // PADDING) * PADDING for side in input_size)
        return h, w

    def lower(self, precision: str) -> None:
        """Refuse any other precision than float32; see `PromptableModel.lower`."""
        only_float32(precision, self.name)

    def probe(self) -> list[NDArray[np.float32]]:
        """Return what is computed of noise; see `PromptableModel.probe`."""
        features = self.encode(noise(PROBED))
        logits = self.decode(features, *question(PROBED), None, True).low_res_logits
        return [*(level.float().cpu().numpy() for level in features.full), logits]

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> TwoScales:
        """Return the features of a resized plane (h, w, 3)."""
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1).float() / 255
        half = F.avg_pool2d(pixels[None], 2, ceil_mode=True)
        coarse = self._features(half)
        stopping.check()
        return TwoScales(self._features(pixels[None]), coarse)

    def pack(self, features: TwoScales) -> dict[str, NDArray[Any]]:
        """Return features as arrays; see `packing`."""
        return packing.pack(features, KEPT_STEPS)

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Return the features that `pack` was given; see `PromptableModel.unpack`."""
        return packing.unpack(arrays, TwoScales, self.device)

    @torch.inference_mode()
    def instance_fields(self, features: TwoScales) -> tuple[InstanceFields, ...]:
        """Return the fields of the instance head at both scales; see `PromptableModel`."""
        found = []
        for scale, level in enumerate(features):
            instances = level.instances[0].float().cpu()
            stride = float(STRIDE * 2**scale)
            found.append(
                InstanceFields(instances[0].sigmoid().numpy(), instances[1:].numpy(), stride)
            )
        return tuple(found)

    @torch.inference_mode()
    def decode(
        self,
        features: TwoScales,
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
        guide: tuple[TwoScales, NDArray[np.float32]] | None = None,
    ) -> Answers:
        """Answer P prompts; see `PromptableModel.decode`."""
        count = len(coords)
        cells = features.full.s4.shape[-2:]
        points, kinds = torch.from_numpy(coords), torch.from_numpy(labels)
        if not points.shape[1]:  # as in training, a prompt has at least a padding point
            points, kinds = torch.zeros(count, 1, 2), torch.full((count, 1), -1)
        box = torch.full((count, 4), torch.nan) if boxes is None else torch.from_numpy(boxes)
        none = torch.full((count, *cells), torch.nan)
        mask = none if mask_input is None else torch.from_numpy(mask_input)
        earlier = none if guide is None else torch.from_numpy(guide[1])
        asked = Asked(points, kinds, box, mask, earlier)
        span = extent(asked)
        near, far = fitting(asked, span, max(cells) * STRIDE)
        size, start = windows_of(span, (cells[0] * STRIDE, cells[1] * STRIDE))
        before = None if guide is None else guide[0]
        questions = []
        if near.any():
            s16 = None if before is None else before.full.s16
            questions.append(in_windows(features.full, s16, asked.of(near), start[near], size))
        if far.any():
            s16 = None if before is None else before.half.s16
            questions.append(at_half(features.half, s16, asked.of(far)))
        answers = iter(self._answer(questions))
        masks = self.pocket.decoder.masks
        whole = Decoded(
            torch.full((count, masks, *cells), OUTSIDE),
            torch.full((count, masks), -1.0),
            torch.zeros(count),
        )
        if near.any():
            part = next(answers)
            whole.logits[near] = whole_frame(part.logits, start[near], (cells[0], cells[1]))
            whole.iou[near], whole.presence[near] = part.iou, part.presence
        if far.any():
            part = next(answers)
            magnified = F.interpolate(part.logits, scale_factor=2, mode="bilinear")
            logits = fitted(magnified, (cells[0], cells[1]))
            better = part.iou.amax(1) > whole.iou[far].amax(1)
            for own, new in zip(whole, (logits, part.iou, part.presence), strict=True):
                own[far] = torch.where(better.view(-1, *[1] * (own.ndim - 1)), new, own[far])
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        return Answers(
            whole.logits[:, chosen].numpy(),
            whole.iou[:, chosen].numpy(),
            whole.presence.sigmoid().numpy(),
        )

    def _answer(self, questions: list[Question]) -> list[Decoded]:
        """Answer each question; those of one size are asked at once."""
        if len({question.features.s4.shape[1:] for question in questions}) > 1:
            return [answer for question in questions for answer in self._together([question])]
        return self._together(questions)

    def _together(self, questions: list[Question]) -> list[Decoded]:
        """Answer questions of one size in one call of the decoder."""
        counts = [len(question.owner) for question in questions]
        images = [len(question.features.s4) for question in questions]
        before = np.cumsum([0, *images])[:-1]
        levels = zip(*(question.features for question in questions), strict=True)
        features = PocketFeatures(*(torch.cat(level) for level in levels))
        owner = torch.cat([q.owner + int(n) for q, n in zip(questions, before, strict=True)])
        *given, outline = (
            torch.cat(part) for part in zip(*(q.asked for q in questions), strict=True)
        )
        earlier = [q.earlier for q in questions if q.earlier is not None]
        guide = None
        if earlier:
            guide = Guide(torch.cat(earlier), owner.to(self.device), outline.to(self.device))
        placed = (part.to(self.device) for part in (owner, *given))
        answer = self.pocket.decoder(features, *placed, guide=guide)
        parts = (part.float().cpu().split(counts) for part in answer)
        return [Decoded(*own) for own in zip(*parts, strict=True)]

    def _features(self, pixels: Tensor) -> PocketFeatures:
        h, w = pixels.shape[-2:]
        high, wide = self.padded_size((h, w))
        padded = F.pad(pixels, (0, wide - w, 0, high - h))
        features: PocketFeatures = self.pocket.encoder(normalise(padded))
        return features


def build(checkpoint: Checkpoint, name: str, device: str) -> PocketModel:
    """Return the `pocket` that a checkpoint holds.

    Raises
    ------
    ValueError
        If a tensor is missing, left over or of another shape.
    """
    pocket = Pocket()
    checkpoint.load_into(pocket)
    return PocketModel(pocket, name, device)
