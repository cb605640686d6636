"""Runs `pocket` (`pocket_net`): looks at a plane at two scales, answers at the one that suits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .checkpoint import Checkpoint
from .pocket_net import PADDING, Pocket, PocketFeatures, normalise


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

    A click does not say how large its object is. Points alone are therefore answered at the
    input's size and at half of it, and the answer with the higher predicted IoU stays. A box says
    it: it is answered at the input's size.

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

    def __init__(self, pocket: Pocket, name: str = "pocket", device: str = "cpu") -> None:
        self.pocket = pocket.eval().to(device)
        self.name = name
        self.device = device

    def padded_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """Return the sides rounded up to the encoder's stride."""
        h, w = (-(-side // PADDING) * PADDING for side in input_size)
        return h, w

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> TwoScales:
        """Return the features of a resized plane (h, w, 3)."""
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1).float() / 255
        half = F.avg_pool2d(pixels[None], 2, ceil_mode=True)
        return TwoScales(self._features(pixels[None]), self._features(half))

    @torch.inference_mode()
    def decode(
        self,
        features: TwoScales,
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Answer P prompts; see `PromptableModel.decode`."""
        count = len(coords)
        points, kinds = torch.from_numpy(coords), torch.from_numpy(labels)
        if not points.shape[1]:  # as in training, a prompt has at least a padding point
            points, kinds = torch.zeros(count, 1, 2), torch.full((count, 1), -1)
        size = features.full.s4.shape[-2:]
        box = torch.full((count, 4), torch.nan) if boxes is None else torch.from_numpy(boxes)
        mask = torch.full((count, *size), torch.nan)
        if mask_input is not None:
            mask = torch.from_numpy(mask_input)
        chosen = slice(1, None) if multimask_output else slice(0, 1)
        logits, iou = self._decode(features.full, points, kinds, box, mask, chosen)
        if boxes is None:
            cells = features.half.s4.shape[-2:]
            coarse = F.avg_pool2d(mask[:, None], 2, ceil_mode=True)[:, 0]
            coarse = _fitted(coarse, (cells[0], cells[1]))
            answer, score = self._decode(
                features.half, (points + 0.5) / 2 - 0.5, kinds, box, coarse, chosen
            )
            fine = F.interpolate(answer, scale_factor=2, mode="bilinear", align_corners=False)
            better = score.amax(1) > iou.amax(1)
            fine = _fitted(fine, (size[0], size[1]))
            logits = torch.where(better[:, None, None, None], fine, logits)
            iou = torch.where(better[:, None], score, iou)
        return logits.float().cpu().numpy(), iou.float().cpu().numpy()

    def _features(self, pixels: Tensor) -> PocketFeatures:
        h, w = pixels.shape[-2:]
        high, wide = self.padded_size((h, w))
        padded = F.pad(pixels, (0, wide - w, 0, high - h))
        features: PocketFeatures = self.pocket.encoder(normalise(padded))
        return features

    def _decode(
        self,
        features: PocketFeatures,
        points: Tensor,
        kinds: Tensor,
        box: Tensor,
        mask: Tensor,
        chosen: slice,
    ) -> tuple[Tensor, Tensor]:
        owner = torch.zeros(len(points), dtype=torch.int64, device=self.device)
        prompts = [tensor.to(self.device) for tensor in (points, kinds, box, mask)]
        logits, iou = self.pocket.decoder(features, owner, *prompts)
        return logits[:, chosen], iou[:, chosen]


def _fitted(maps: Tensor, size: tuple[int, int]) -> Tensor:
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
