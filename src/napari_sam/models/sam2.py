"""SAM 2.1 as a model of images, behind the contract (Ravi et al., ICLR 2025)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import stopping
from . import packing
from .checkpoint import fingerprint, load_into
from .contract import Answers
from .device_check import probe_image, probe_prompt
from .inputs import check_plane, check_prompts
from .recognition import Checkpoint
from .sam2_decoder import FineFeatures
from .sam2_neck import Sam2Features
from .sam2_net import Sam2Net, Sam2Sizes
from .sam2_tracking import Memory, followed, given, probed, remembered
from .sam_base import SamBase
from .threads import ThreadLimit, limited
from .two_way import ImageProjections
from .weights import choose_dtype

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
IMAGE_SIZE = 1024
"""Side of the input, pixels, where a model's name tells no other one."""
MEDSAM2, MEDSAM2_SIZE = "medsam2", 512
"""How the names of models begin that were trained at another size, and that size."""
STEP, LEAST_SIZE, MOST_SIZE = 32, 256, 2048
"""The tensors fit any multiple of `STEP`; a side beyond these bounds is another number."""
PROBE_SIZE = 256
"""Side, in pixels, of the image that devices are checked with."""
CPU_BATCH = 8
"""Prompts decoded together on a processor: their tokens share the reading of the weights."""
SIZE = re.compile(r"(?:^|[_-])(\d+)px(?![a-z0-9])", re.IGNORECASE)


class Sam2Model(SamBase):
    """Runs a `Sam2Net` on single planes, and follows objects through them.

    Parameters
    ----------
    net : Sam2Net
    name : str
    device : str
    """

    square_input = True
    remembers = True
    fine_features = True
    # the published generator's; its other defaults are those of SAM
    amg_defaults: Mapping[str, Any] = MappingProxyType({"pred_iou_thresh": 0.8})

    def __init__(self, net: Sam2Net, name: str, device: str = "cpu") -> None:
        super().__init__(name, device, net.image_size)
        self.net = net.eval().to(device)
        self.threads = ThreadLimit()
        shape = (-1, 1, 1)
        self._mean = torch.tensor(PIXEL_MEAN, device=device).view(shape)
        self._std = torch.tensor(PIXEL_STD, device=device).view(shape)
        self._latest: tuple[Sam2Features, ImageProjections, FineFeatures] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return fingerprint(self.net)

    def set_precision(self, precision: str) -> None:
        """Compute products in another precision; see `PromptableModel.set_precision`."""
        dtype = choose_dtype(precision, self.device)
        self.net.image_encoder.trunk.set_precision(dtype)
        self.net.sam_mask_decoder.set_precision(dtype)
        self.net.memory_attention.set_precision(dtype)
        self.precision = str(dtype).removeprefix("torch.")
        self._latest = None

    @torch.inference_mode()
    def probe(self) -> list[NDArray[np.float32]]:
        """Return what is computed of noise; see `PromptableModel.probe`."""
        side = min(PROBE_SIZE, self.image_size)
        corner = self.net.encode(self._pixels(probe_image(side))[None])
        features = Sam2Features(*(self._to_full_size(x, side) for x in corner))
        logits = self.decode(features, *probe_prompt(side), None, True).low_res_logits
        remembering = probed(self.net, corner)
        return [*(x.float().cpu().numpy() for x in (*corner, remembering)), logits]

    @limited
    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> Sam2Features:
        """Return the features of a plane (S, S, 3)."""
        check_plane(rgb, self.image_size)
        h, w = rgb.shape[:2]
        if not h == w == self.image_size:
            raise ValueError(
                f"{self.name} sees {self.image_size} x {self.image_size} pixels, not {h} x {w}; "
                "resize both sides of the plane"
            )
        return self.net.encode(self._pixels(rgb)[None])

    def pack(self, features: Sam2Features) -> dict[str, NDArray[Any]]:
        """Return features as arrays; see `packing`."""
        return packing.pack(features)

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Sam2Features:
        """Return the features that `pack` was given; see `PromptableModel.unpack`."""
        features: Sam2Features = packing.unpack(arrays, Sam2Features, self._tensor)
        return features

    def feature_maps(self, features: Sam2Features) -> tuple[NDArray[np.float32], ...]:
        """Return the maps of all three strides; see `PromptableModel`."""
        return tuple(x[0].float().cpu().numpy() for x in features)

    @limited
    @torch.inference_mode()
    def decode(
        self,
        features: Sam2Features,
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
        guide: None = None,
    ) -> Answers:
        """Answer P prompts; see `PromptableModel.decode`."""
        prompt_encoder, decoder = self.net.sam_prompt_encoder, self.net.sam_mask_decoder
        double = prompt_encoder.no_mask_embed.weight.dtype == torch.float64
        check_prompts(
            coords, labels, boxes, mask_input, prompt_encoder.mask_input_size,
            real=np.float64 if double else np.float32,
        )  # fmt: skip
        projections, fine = self._project_image(features)
        step = CPU_BATCH if self.device == "cpu" else max(1, len(coords))
        logits, scores, presence = [], [], []
        for start in range(0, len(coords), step):
            batch = slice(start, start + step)
            corners = None if boxes is None else self._tensor(boxes[batch])
            sparse = prompt_encoder.sparse(
                self._tensor(coords[batch]), self._tensor(labels[batch]), corners
            )
            dense = None
            if mask_input is not None:  # the shared part of the image has the "no mask" in it
                dense = prompt_encoder.mask_downscaling(self._tensor(mask_input[batch, None]))
                dense = dense - prompt_encoder.no_mask()
            found = decoder.answer(projections, fine, sparse, dense, multimask_output)
            logits += found.logits
            scores.append(found.iou)
            presence.append(found.presence.sigmoid())
        return Answers(
            torch.stack(logits).float().cpu().numpy(),
            torch.cat(scores).float().cpu().numpy(),
            torch.cat(presence).float().cpu().numpy(),
        )

    @limited
    @torch.inference_mode()
    def memory_of(
        self, features: Sam2Features, masks: NDArray[np.float32], place: int, length: int
    ) -> list[Memory]:
        """Return what is remembered of P objects; see `RememberingModel.memory_of`."""
        memories = []
        for start in range(0, len(masks), CPU_BATCH):
            stopping.check()
            found = given(self.net, features, self._tensor(masks[start : start + CPU_BATCH, None]))
            frames = remembered(self.net, features, found, place, from_prompts=True)
            memories += [Memory(length).shown(frame) for frame in frames]
        return memories

    @limited
    @torch.inference_mode()
    def follow(
        self, features: Sam2Features, memories: Sequence[Memory], place: int
    ) -> tuple[Answers, list[Memory]]:
        """Look for P objects in the next plane; see `RememberingModel.follow`."""
        count, answers, after = len(self.net.maskmem_tpos_enc), [], []
        for start in range(0, len(memories), CPU_BATCH):
            batch = memories[start : start + CPU_BATCH]
            found = followed(self.net, features, batch, place)
            stopping.check()
            frames = remembered(self.net, features, found, place, from_prompts=False)
            after += [one.found(frame, count) for one, frame in zip(batch, frames, strict=True)]
            answers.append((found.logits[:, None], found.iou[:, None], found.presence.sigmoid()))
        columns = (torch.cat(one).float().cpu().numpy() for one in zip(*answers, strict=True))
        return Answers(*columns), after

    def _project_image(self, features: Sam2Features) -> tuple[ImageProjections, FineFeatures]:
        """Return what the decoder needs of features; that of the latest ones is kept."""
        latest = self._latest
        if latest is None or latest[0] is not features:
            prompt_encoder, decoder = self.net.sam_prompt_encoder, self.net.sam_mask_decoder
            image = self.net.without_memory(features.s2) + prompt_encoder.no_mask()
            projections = decoder.project_image(image, prompt_encoder.get_dense_pe())
            fine = FineFeatures.of(features.s0, features.s1, projections.final_keys.dtype)
            latest = self._latest = (features, projections, fine)
        return latest[1:]

    def _to_full_size(self, corner: Tensor, side: int) -> Tensor:
        """Return a map of the first `side` pixels with zeros for the rest of the input."""
        more = corner.shape[3] * (self.image_size - side) // side
        return nn.functional.pad(corner, (0, more, 0, more))

    def _pixels(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return a plane (h, w, 3) as the encoder takes it, (3, h, w)."""
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1).float() / 255
        return (pixels - self._mean) / self._std

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def image_size_of(name: str) -> tuple[int, str]:
    """Return the side of the input that a model's name tells, as `mine_512px`.

    The tensors do not tell it.

    Returns
    -------
    side : int, pixels
    notice : str
        What a user should know of it; empty where the name says it, or says nothing.
    """
    found = SIZE.search(name)
    side = MEDSAM2_SIZE if name.lower().startswith(MEDSAM2) else IMAGE_SIZE
    if found:
        told = int(found[1])
        if LEAST_SIZE <= told <= MOST_SIZE and told % STEP == 0:
            return told, ""
        return side, (
            f"{name} sees {side} x {side} pixels: {told} px in its name is no multiple of {STEP} "
            f"from {LEAST_SIZE} to {MOST_SIZE}"
        )
    if side != IMAGE_SIZE:
        return side, (
            f"{name} sees {side} x {side} pixels, as MedSAM2 was trained; if it was trained at "
            f"{IMAGE_SIZE}, end the name of its file in _{IMAGE_SIZE}px"
        )
    return side, ""


def build(checkpoint: Checkpoint, name: str, device: str) -> Sam2Model:
    """Return the model that a checkpoint holds.

    Raises
    ------
    ValueError
        If a tensor is missing, left over or of another shape.
    """
    sizes = Sam2Sizes.of(checkpoint)
    side, notice = image_size_of(name)
    with torch.device("meta"):
        net = Sam2Net(sizes, side)
    load_into(net, checkpoint)
    model = Sam2Model(net, name, device)
    model.notice = notice
    return model
