"""Runs `pocket` (`pocket_net`): a prompt is answered in a window about it, and at half the size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from .checkpoint import load_into
from .contract import Answers, InstanceFields, require_float32
from .device_check import probe_image, probe_prompt
from .inputs import check_plane, check_prompts
from .pocket_decoder import Decoded, Guide
from .pocket_encoder import STRIDE, PocketFeatures, double, normalise
from .pocket_grid import PADDING, STRIDES
from .pocket_net import Pocket
from .pocket_windows import (
    Placed,
    PromptBatch,
    ScaleAnswers,
    at_half,
    cells,
    choose_scales,
    find_extent,
    in_windows,
    merge,
)
from .recognition import Checkpoint
from .threads import ThreadLimit, limited

PROBE_SIZE = 128
"""Side, in pixels, of the image that devices are checked with."""
PACKED_STEPS = 12
"""Steps in a channel's standard deviation where features are packed; `benchmarks/cache_size.py`."""


class TwoScales(NamedTuple):
    """Features of one plane.

    Attributes
    ----------
    full, half : PocketFeatures
        Of the input, and of the input at half its size.
    """

    full: PocketFeatures
    half: PocketFeatures


class DecoderCall(NamedTuple):
    """Placed prompts and the features of their windows.

    Attributes
    ----------
    windows : list of PocketFeatures, of one image each
    guides : list of (1, C, h, w) float
        Features of an earlier plane at stride 16, in the same windows; empty without a guide.
    placed : Placed
    """

    windows: list[PocketFeatures]
    guides: list[Tensor]
    placed: Placed


class PocketModel:
    """Runs a `Pocket` behind the contract, `PromptableModel`.

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
    fine_features = True
    precision = "float32"
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
        self.threads = ThreadLimit()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return packing.fingerprint(self.pocket)

    def padded_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """Return the sides rounded up to the encoder's stride."""
        h, w = (-(-side // PADDING) * PADDING for side in input_size)
        return h, w

    def set_precision(self, precision: str) -> None:
        """Refuse any other precision than float32; see `PromptableModel.set_precision`."""
        require_float32(precision, self.name)

    def probe(self) -> list[NDArray[np.float32]]:
        """Return what is computed of noise; see `PromptableModel.probe`."""
        features = self.encode(probe_image(PROBE_SIZE))
        logits = self.decode(features, *probe_prompt(PROBE_SIZE), None, True).low_res_logits
        return [*(level.float().cpu().numpy() for level in features.full), logits]

    @limited
    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> TwoScales:
        """Return the features of a resized plane (h, w, 3)."""
        check_plane(rgb, self.image_size)
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1).float() / 255
        half = F.avg_pool2d(pixels[None], 2, ceil_mode=True)
        coarse = self._features(half)
        stopping.check()
        return TwoScales(self._features(pixels[None]), coarse)

    def pack(self, features: TwoScales) -> dict[str, NDArray[Any]]:
        """Return features as arrays; see `packing`."""
        return packing.pack(features, PACKED_STEPS)

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

    def feature_maps(self, features: TwoScales) -> tuple[NDArray[np.float32], ...]:
        """Return the levels of the input at its full size; see `PromptableModel`."""
        levels = features.full[: len(STRIDES)]
        return tuple(level[0].float().cpu().numpy() for level in levels)

    @limited
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
        count, grid = len(coords), _grid(features.full)
        earlier, outlines = (None, None) if guide is None else guide
        check_prompts(coords, labels, boxes, mask_input, grid, outlines)
        if not coords.shape[1]:  # as in training, a prompt has at least a padding point
            coords, labels = np.zeros((count, 1, 2), np.float32), np.full((count, 1), -1)
        prompts = PromptBatch(coords, labels, boxes, mask_input, outlines)
        frame = (grid[0] * STRIDE, grid[1] * STRIDE)
        extent = find_extent(prompts)
        near, far = choose_scales(prompts, extent, max(frame))
        calls = []
        if near.any():
            placed = in_windows(prompts.select(near), (extent[0][near], extent[1][near]), frame)
            calls.append(_cut(features.full, None if earlier is None else earlier.full, placed))
        if far.any():
            placed = at_half(prompts.select(far), _grid(features.half))
            calls.append(_cut(features.half, None if earlier is None else earlier.half, placed))
        decoded = iter(self._decode_calls(calls))
        window = (_to_numpy(next(decoded), near), calls[0].placed) if near.any() else None
        half = _to_numpy(next(decoded), far) if far.any() else None
        masks = slice(1, None) if multimask_output else slice(0, 1)
        logits, iou, presence = merge(window, half, grid, masks, _double)
        return Answers(logits, iou, torch.from_numpy(presence).sigmoid().numpy())

    def _decode_calls(self, calls: list[DecoderCall]) -> list[Decoded]:
        """Answer each call; those whose windows have one size go through the decoder together."""
        if len({_grid(call.windows[0]) for call in calls}) > 1:
            return [answer for call in calls for answer in self._decode_batch([call])]
        return self._decode_batch(calls)

    def _decode_batch(self, calls: list[DecoderCall]) -> list[Decoded]:
        """Answer calls whose windows have one size."""
        counts = [len(call.placed.owner) for call in calls]
        windows = [window for call in calls for window in call.windows]
        features = PocketFeatures(*(torch.cat(level) for level in zip(*windows, strict=True)))
        offsets = np.cumsum([0, *(len(call.windows) for call in calls)])[:-1]
        owners = [c.placed.owner + offset for c, offset in zip(calls, offsets, strict=True)]
        owner = torch.from_numpy(np.concatenate(owners)).to(self.device)
        given = zip(*(call.placed.prompts for call in calls), strict=True)
        coords, labels, boxes, mask_input, outlines = given
        every = (sum(counts), *_grid(features))
        guide = None
        if calls[0].guides:
            s16 = torch.cat([s16 for call in calls for s16 in call.guides])
            guide = Guide(s16, owner, self._join(outlines, every))
        answer = self.pocket.decoder(
            features,
            owner,
            self._join(coords),
            self._join(labels),
            self._join(boxes, (sum(counts), 4)),
            self._join(mask_input, every),
            guide=guide,
        )
        parts = (part.float().cpu().split(counts) for part in answer)
        return [Decoded(*split) for split in zip(*parts, strict=True)]

    def _join(self, parts: Sequence[NDArray[Any] | None], missing: tuple[int, ...] = ()) -> Tensor:
        """Return arrays one after another; NaN of the shape `missing` where they are None."""
        given = [part for part in parts if part is not None]
        if not given:
            return torch.full(missing, torch.nan, device=self.device)
        return torch.from_numpy(np.concatenate(given)).to(self.device)

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
    load_into(pocket, checkpoint)
    return PocketModel(pocket, name, device)


def _cut(features: PocketFeatures, earlier: PocketFeatures | None, placed: Placed) -> DecoderCall:
    """Return placed prompts with the features of their windows, and those of an earlier plane."""
    windows, guides = [], []
    for start in placed.starts:
        indices = [cells(start, placed.size, stride) for stride in (*STRIDES, STRIDE)]
        parts = (level[index] for level, index in zip(features, indices, strict=True))
        windows.append(PocketFeatures(*parts))
        if earlier is not None:
            guides.append(earlier.s16[indices[2]])
    return DecoderCall(windows, guides, placed)


def _grid(features: PocketFeatures) -> tuple[int, int]:
    """Return the size (h, w) of the finest features, and so of the logits."""
    h, w = features.s4.shape[-2:]
    return h, w


def _to_numpy(decoded: Decoded, chosen: NDArray[np.bool_]) -> ScaleAnswers:
    return ScaleAnswers(chosen, *(part.numpy() for part in decoded))


def _double(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Magnify logits (P, C, h, w) by two."""
    return double(torch.from_numpy(logits)).numpy()
