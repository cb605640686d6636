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
from ..instances import InstanceFields
from ..types import Answers
from . import packing
from .checkpoint import Checkpoint
from .pocket_decoder import Decoded, Guide
from .pocket_encoder import PADDING, STRIDE, PocketFeatures, normalise
from .pocket_net import Pocket
from .trial import noise, question
from .weights import only_float32

WINDOW = 256
"""Side of the window that a prompt is answered in, pixels of the input."""
LARGEST = 176
"""A box whose longer side exceeds this, in pixels of the input, is answered at half the size."""
OUTSIDE = -10.0
"""Logit of what lies outside the window."""
PROBED = 128
"""Side, in pixels, of what a device is tried on."""
COARSE = 16
"""Stride of the coarsest features: windows begin at its multiples."""
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


class Asked(NamedTuple):
    """P prompts in the frame that they are answered in.

    Attributes
    ----------
    points : (P, N, 2) float, (x, y) in pixels of the frame
    kinds : (P, N) int
    boxes : (P, 4) float; NaN where there is none
    masks : (P, h, w) float at stride 4; NaN where there is none
    earlier : (P, h, w) float at stride 4
        Logits of the object in an earlier plane; NaN where there is none.
    """

    points: Tensor
    kinds: Tensor
    boxes: Tensor
    masks: Tensor
    earlier: Tensor

    def of(self, chosen: Tensor) -> Asked:
        """Return some of the prompts, chosen by (P,) bool."""
        return Asked(*(part[chosen] for part in self))

    def moved(self, start: Tensor, size: Tensor) -> Asked:
        """Return them in windows of `size` at `start` (P, 2), without points beyond a window."""
        points = self.points - start[:, None]
        seen = ((points >= -0.5) & (points <= size - 0.5)).all(dim=-1)
        kinds = torch.where(seen, self.kinds, -1)
        masks, earlier = (
            torch.stack([cut(m, place, size, STRIDE) for m, place in zip(part, start, strict=True)])
            for part in (self.masks, self.earlier)
        )
        return Asked(points, kinds, self.boxes - start.repeat(1, 2), masks, earlier)


class Question(NamedTuple):
    """Prompts and what they are asked of.

    Attributes
    ----------
    features : PocketFeatures of B images
    owner : (P,) int
        The image that each prompt is asked of.
    asked : Asked, in that image
    earlier : (B, C, h, w) float or None
        Features of an earlier plane at stride 16, in the same windows.
    """

    features: PocketFeatures
    owner: Tensor
    asked: Asked
    earlier: Tensor | None


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


def windows_of(span: tuple[Tensor, Tensor], frame: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the size (x, y) of windows in a frame (h, w), and where each prompt's begins (P, 2).

    They lie about the `extent` of each prompt and begin at whole cells of every level of features.
    """
    h, w = frame
    size = torch.tensor([min(WINDOW, w), min(WINDOW, h)])
    low, high = span
    start = ((low + high - size) / 2 / COARSE).round() * COARSE
    return size, start.clamp(min=0).minimum(torch.tensor([w, h]) - size).long()


def in_windows(
    features: PocketFeatures, earlier: Tensor | None, asked: Asked, start: Tensor, size: Tensor
) -> Question:
    """Ask each prompt in a window about it."""
    starts, owner = torch.unique(start, dim=0, return_inverse=True)
    strides = (STRIDE, 2 * STRIDE, COARSE, STRIDE)

    def windows(level: Tensor, stride: int) -> Tensor:
        return torch.cat([cut(level, place, size, stride) for place in starts])

    shown = PocketFeatures(*map(windows, features, strides))
    before = None if earlier is None else windows(earlier, COARSE)
    return Question(shown, owner, asked.moved(start, size), before)


def at_half(features: PocketFeatures, earlier: Tensor | None, asked: Asked) -> Question:
    """Ask each prompt in the whole plane at half its size."""
    h, w = features.s4.shape[-2:]
    masks, outlines = (
        fitted(F.avg_pool2d(part[:, None], 2, ceil_mode=True)[:, 0], (h, w))
        for part in (asked.masks, asked.earlier)
    )
    halved = Asked(
        (asked.points + 0.5) / 2 - 0.5, asked.kinds, (asked.boxes + 0.5) / 2 - 0.5, masks, outlines
    )
    return Question(features, torch.zeros(len(masks), dtype=torch.int64), halved, earlier)


def whole_frame(answers: Tensor, start: Tensor, cells: tuple[int, int]) -> Tensor:
    """Put answers (P, C, h, w) to windows that begin at `start` into the frame of `cells`."""
    h, w = answers.shape[-2:]
    if (h, w) == cells:
        return answers
    logits = answers.new_full((*answers.shape[:2], *cells), OUTSIDE)
    for (x, y), whole, part in zip((start // STRIDE).tolist(), logits, answers, strict=True):
        whole[:, y : y + h, x : x + w] = part
    return logits


def extent(asked: Asked) -> tuple[Tensor, Tensor]:
    """Return the least and the largest (x, y), (P, 2), of object points, box and outlines."""
    outlines = bounds(torch.where(asked.masks.isnan(), asked.earlier, asked.masks))
    corners = torch.cat([asked.boxes, outlines], dim=1).reshape(-1, 4, 2)
    places = torch.cat([asked.points, corners], dim=1)
    counts = torch.cat([asked.kinds == 1, ~corners[..., 0].isnan()], dim=1)
    if not counts.any(dim=1).all():  # background points alone, or a mask alone
        seen = counts.any(dim=1, keepdim=True)
        counts = torch.where(seen, counts, torch.cat([asked.kinds >= 0, counts[:, -4:]], dim=1))
    low = torch.where(counts[..., None], places, torch.inf).amin(dim=1)
    high = torch.where(counts[..., None], places, -torch.inf).amax(dim=1)
    none = low.isinf()
    return torch.where(none, 0.0, low), torch.where(none, 0.0, high)


def fitting(asked: Asked, span: tuple[Tensor, Tensor], frame: int) -> tuple[Tensor, Tensor]:
    """Tell which prompts (P,) are answered in a window, and which at half the size.

    A frame that is no larger than a window shows everything in it.
    """
    side = (span[1] - span[0]).amax(dim=1)
    outlined = (asked.masks > 0) | (asked.earlier > 0)
    known = ~asked.boxes[:, 0].isnan() | outlined.flatten(1).any(dim=1)
    near = (side <= LARGEST) | torch.tensor(frame <= WINDOW)
    return near, ~near | ~known


def bounds(masks: Tensor) -> Tensor:
    """Return the boxes (P, 4), xyxy in pixels, of logits (P, h, w); NaN where nothing is marked."""
    marked = masks > 0
    corners = []
    for found in (marked.any(dim=1), marked.any(dim=2)):  # columns, then rows
        cells = torch.arange(found.shape[1])
        corners.append(torch.where(found, cells, found.shape[1]).amin(dim=1) * STRIDE)
        corners.append(torch.where(found, cells, -1).amax(dim=1) * STRIDE + STRIDE - 1)
    x0, x1, y0, y1 = corners
    boxes = torch.stack([x0, y0, x1, y1], dim=1).float()
    return torch.where(marked.flatten(1).any(dim=1)[:, None], boxes, torch.nan)


def cut(maps: Tensor, start: Tensor, size: Tensor, stride: int) -> Tensor:
    """Return the window of maps (..., h, w) that `start` and `size`, (x, y) in pixels, name."""
    x, y = (start // stride).tolist()
    w, h = (size // stride).tolist()
    return maps[..., y : y + h, x : x + w]


def fitted(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut or continue maps (..., h, w) at their far ends to `size`."""
    h, w = size
    maps = maps[..., :h, :w]
    missing = (0, w - maps.shape[-1], 0, h - maps.shape[-2])
    if not any(missing):
        return maps
    flat = maps.flatten(0, -3)[None]
    padded: Tensor = F.pad(flat, missing, mode="replicate")
    return padded.reshape(*maps.shape[:-2], h, w)


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
