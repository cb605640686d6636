"""What `pocket` is whatever runs its network: how a prompt is answered, in numpy alone.

Features are arrays of the runtime's own kind. Here they are only cut by an index.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .contract import Answers, InstanceFields, require_float32
from .device_check import probe_image, probe_prompt
from .inputs import check_prompts
from .pocket_grid import PADDING, STRIDES
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

PROBE_SIZE = 128
"""Side, in pixels, of the image that devices are checked with."""
PACKED_STEPS = 12
"""Steps in a channel's standard deviation where features are packed; `benchmarks/cache_size.py`."""

Levels = Sequence[Any]
"""Maps (1, C, h, w) of one image: features at strides 4, 8 and 16, and the instance head's at 4."""
Scales = tuple[Levels, Levels]
"""Levels of a plane's input, and of the input at half its size."""


class DecoderCall(NamedTuple):
    """Placed prompts and the features of their windows.

    Attributes
    ----------
    windows : list of Levels
    guides : list of (1, C, h, w) float
        Features of an earlier plane at stride 16, in the same windows; empty without a guide.
    placed : Placed
    """

    windows: list[Levels]
    guides: list[Any]
    placed: Placed


class Decoded(NamedTuple):
    """What the decoder answers to P prompts.

    Attributes
    ----------
    logits : (P, M, h, w) float32, at stride 4
    iou : (P, M) float32, 0..1, predicted
    presence : (P,) float32, a logit
    """

    logits: NDArray[np.float32]
    iou: NDArray[np.float32]
    presence: NDArray[np.float32]


class PocketBase(ABC):
    """`pocket` behind the contract, `PromptableModel`, but for the running of its network.

    A click does not say how large its object is. Points alone are therefore answered in a window of
    the input and in the whole input at half its size, and the answer with the higher predicted
    IoU stays. A box, an earlier answer or an earlier plane says it: the prompt is answered where
    they fit.

    Parameters
    ----------
    name : str
    device : str
    """

    image_size = 512
    square_input = False
    largest_scale = 4.0
    mask_threshold = 0.0
    half_pixel = True
    takes_guide = True
    remembers = False
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

    def __init__(self, name: str, device: str) -> None:
        self.name = name
        self.device = device
        self.notice = ""

    @abstractmethod
    def encode(self, rgb: NDArray[np.uint8]) -> Any:
        """Return the features of a resized plane (h, w, 3), `Scales`."""

    @abstractmethod
    def _run_decoder(
        self,
        windows: list[Levels],
        owner: NDArray[np.int64],
        prompts: PromptBatch,
        guides: list[Any],
    ) -> Decoded:
        """Answer P prompts on B windows of one size.

        Parameters
        ----------
        windows : list of Levels
        owner : (P,) int64
            The window of each prompt.
        prompts : PromptBatch
        guides : list of (1, C, h, w) float
            Of each window, features of an earlier plane at stride 16; empty without a guide.
        """

    @abstractmethod
    def _to_numpy(self, maps: Any) -> NDArray[np.float32]:
        """Return maps as an array."""

    @abstractmethod
    def _double(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Magnify logits (P, C, h, w) by two, bilinearly."""

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
        return [*(self._to_numpy(level) for level in features[0]), logits]

    def instance_fields(self, features: Scales) -> tuple[InstanceFields, ...]:
        """Return the fields of the instance head at both scales; see `PromptableModel`."""
        found = []
        for scale, levels in enumerate(features):
            foreground, *field = self._to_numpy(levels[-1])[0]
            stride = float(STRIDES[0] * 2**scale)
            found.append(InstanceFields(_sigmoid(foreground), np.stack(field), stride))
        return tuple(found)

    def feature_maps(self, features: Scales) -> tuple[NDArray[np.float32], ...]:
        """Return the levels of the input at its full size; see `PromptableModel`."""
        return tuple(self._to_numpy(level)[0] for level in features[0][: len(STRIDES)])

    def decode(
        self,
        features: Scales,
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
        guide: tuple[Scales, NDArray[np.float32]] | None = None,
    ) -> Answers:
        """Answer P prompts; see `PromptableModel.decode`."""
        (full, half), grid = features, _grid(features[0])
        earlier, outlines = (None, None) if guide is None else guide
        check_prompts(coords, labels, boxes, mask_input, grid, outlines)
        if not coords.shape[1]:  # as in training, a prompt has at least a padding point
            coords = np.zeros((len(coords), 1, 2), np.float32)
            labels = np.full((len(coords), 1), -1)
        prompts = PromptBatch(coords, labels, boxes, mask_input, outlines)
        frame = (grid[0] * STRIDES[0], grid[1] * STRIDES[0])
        extent = find_extent(prompts)
        near, far = choose_scales(prompts, extent, max(frame))
        calls = []
        if near.any():
            placed = in_windows(prompts.select(near), (extent[0][near], extent[1][near]), frame)
            calls.append(_cut(full, None if earlier is None else earlier[0], placed))
        if far.any():
            placed = at_half(prompts.select(far), _grid(half))
            calls.append(_cut(half, None if earlier is None else earlier[1], placed))
        decoded = iter(self._decode_calls(calls))
        in_window = (ScaleAnswers(near, *next(decoded)), calls[0].placed) if near.any() else None
        in_half = ScaleAnswers(far, *next(decoded)) if far.any() else None
        masks = slice(1, None) if multimask_output else slice(0, 1)
        logits, iou, presence = merge(in_window, in_half, grid, masks, self._double)
        return Answers(logits, iou, _sigmoid(presence))

    def _decode_calls(self, calls: list[DecoderCall]) -> list[Decoded]:
        """Answer each call; those whose windows have one size go through the decoder together."""
        if len({_grid(call.windows[0]) for call in calls}) > 1:
            return [answer for call in calls for answer in self._decode_batch([call])]
        return self._decode_batch(calls)

    def _decode_batch(self, calls: list[DecoderCall]) -> list[Decoded]:
        """Answer calls whose windows have one size."""
        offsets = np.cumsum([0, *(len(call.windows) for call in calls)])[:-1]
        owners = [c.placed.owner + offset for c, offset in zip(calls, offsets, strict=True)]
        answer = self._run_decoder(
            [window for call in calls for window in call.windows],
            np.concatenate(owners),
            PromptBatch(*map(_joined, zip(*(call.placed.prompts for call in calls), strict=True))),
            [s16 for call in calls for s16 in call.guides],
        )
        ends = np.cumsum([len(owner) for owner in owners])[:-1]
        parts = zip(*(np.split(part, ends) for part in answer), strict=True)
        return [Decoded(*part) for part in parts]


def _joined(parts: Sequence[NDArray[Any] | None]) -> Any:
    """Return arrays one after another; None where they are None."""
    given = [part for part in parts if part is not None]
    return np.concatenate(given) if given else None


def _cut(levels: Levels, earlier: Levels | None, placed: Placed) -> DecoderCall:
    """Return placed prompts with the features of their windows, and those of an earlier plane."""
    windows: list[Levels] = []
    guides = []
    for start in placed.starts:
        indices = [cells(start, placed.size, stride) for stride in (*STRIDES, STRIDES[0])]
        windows.append([level[index] for level, index in zip(levels, indices, strict=True)])
        if earlier is not None:
            guides.append(earlier[2][indices[2]])
    return DecoderCall(windows, guides, placed)


def _grid(levels: Levels) -> tuple[int, int]:
    """Return the size (h, w) of the finest features, and so of the logits."""
    h, w = levels[0].shape[-2:]
    return h, w


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # of the exponential, whose reciprocal is then 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
