"""Runs `pocket` (`pocket_net`) on torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .. import stopping
from . import packing
from .checkpoint import fingerprint, load_into
from .inputs import check_plane
from .pocket_base import PACKED_STEPS, Decoded, DecoderCall, Levels, PocketBase
from .pocket_decoder import Guide
from .pocket_encoder import PocketFeatures, double, normalise
from .pocket_net import Pocket
from .pocket_windows import PromptBatch
from .recognition import Checkpoint
from .threads import ThreadLimit, limited


class TwoScales(NamedTuple):
    """Features of one plane.

    Attributes
    ----------
    full, half : PocketFeatures
        Of the input, and of the input at half its size.
    """

    full: PocketFeatures
    half: PocketFeatures


class PocketModel(PocketBase):
    """Runs a `Pocket` behind the contract; see `PocketBase`.

    Parameters
    ----------
    pocket : Pocket
    name : str
    device : str
    """

    def __init__(self, pocket: Pocket, name: str = "pocket", device: str = "cpu") -> None:
        super().__init__(name, device)
        self.pocket = pocket.eval().to(device)
        self.threads = ThreadLimit()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return fingerprint(self.pocket)

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

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> TwoScales:
        """Return the features that `pack` was given; see `PromptableModel.unpack`."""
        features: TwoScales = packing.unpack(arrays, TwoScales, self._tensor)
        return features

    @limited
    @torch.inference_mode()
    def _decode_calls(self, calls: list[DecoderCall]) -> list[Decoded]:
        return super()._decode_calls(calls)

    def _run_decoder(
        self,
        windows: list[Levels],
        owner: NDArray[np.int64],
        prompts: PromptBatch,
        guides: list[Tensor],
    ) -> Decoded:
        features = PocketFeatures(*(torch.cat(level) for level in zip(*windows, strict=True)))
        owners, count = self._tensor(owner), len(owner)
        every = (count, *features.s4.shape[-2:])
        guide = None
        if guides:
            guide = Guide(torch.cat(guides), owners, self._given(prompts.guide_logits, every))
        answer = self.pocket.decoder(
            features,
            owners,
            self._tensor(prompts.coords),
            self._tensor(prompts.labels),
            self._given(prompts.boxes, (count, 4)),
            self._given(prompts.mask_input, every),
            guide=guide,
        )
        return Decoded(*map(self._to_numpy, answer))

    def _to_numpy(self, maps: Tensor) -> NDArray[np.float32]:
        array: NDArray[np.float32] = maps.float().cpu().numpy()
        return array

    def _double(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._to_numpy(double(torch.from_numpy(logits)))

    def _given(self, array: NDArray[Any] | None, missing: tuple[int, ...]) -> Tensor:
        """Return an array as a tensor; NaN of the shape `missing` where it is None."""
        if array is None:
            return torch.full(missing, torch.nan, device=self.device)
        return self._tensor(array)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)

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
