"""The published SAM, built from its three parts, behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import packing
from .blocks import LayerNorm2d
from .checkpoint import Checkpoint
from .contract import Answers
from .device_check import noise, question
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .two_way import ImageSide, TwoWayTransformer
from .weights import choose_dtype

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
STRIDE = 16  # from the image to the embedding
PROBED = 576
"""Side, in pixels, of what a device is tried on: attention takes the rows of its grid in turns, and
its windows reach beyond it."""
AT_ONCE = 8
"""Prompts decoded together on a processor: their tokens share the reading of the weights."""
DECODER_HEADS = 8  # of every published decoder; its tensors do not tell


class Sam(nn.Module):
    """Image encoder, prompt encoder and mask decoder under their published names.

    Parameters
    ----------
    image_encoder : nn.Module
        Maps (1, 3, S, S) to (1, C, S/16, S/16).
    prompt_encoder : PromptEncoder
    mask_decoder : MaskDecoder
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self, image_encoder: nn.Module, prompt_encoder: PromptEncoder, mask_decoder: MaskDecoder
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        shape = (-1, 1, 1)
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN).view(shape), False)
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD).view(shape), False)


class SamModel:
    """Runs a `Sam` behind the contract.

    Parameters
    ----------
    sam : Sam
    name : str
    device : str
    """

    largest_scale = float("inf")
    mask_threshold = 0.0
    half_pixel = False
    takes_guide = False
    tidy_masks = False
    amg_defaults: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, sam: Sam, name: str, device: str = "cpu") -> None:
        self.sam = sam.eval().to(device)
        self.name = name
        self.device = device
        self.notice = ""
        self.image_size = sam.prompt_encoder.input_image_size[0]
        self._latest: tuple[Tensor, ImageSide] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return packing.fingerprint(self.sam)

    def padded_size(self, input_size: tuple[int, int]) -> tuple[int, int]:
        """Return the square that every input is padded to."""
        return self.image_size, self.image_size

    def lower(self, precision: str) -> None:
        """Let the model compute in another precision; see `PromptableModel.lower`."""
        dtype = choose_dtype(precision, self.device)
        lower = getattr(self.sam.image_encoder, "lower", None)
        if lower is not None:
            lower(dtype)
        self.sam.mask_decoder.lower(dtype)
        self._latest = None

    @torch.inference_mode()
    def probe(self) -> list[NDArray[np.float32]]:
        """Return what is computed of noise; see `PromptableModel.probe`."""
        encoder, side = self.sam.image_encoder, min(PROBED, self.image_size)
        glance: Callable[[Tensor], Tensor] = getattr(encoder, "glance", encoder)
        corner = glance(self._pixels(noise(side))[None])
        missing = (self.image_size - side) // STRIDE
        features = nn.functional.pad(corner, (0, missing, 0, missing))
        logits = self.decode(features, *question(side), None, True).low_res_logits
        return [corner.float().cpu().numpy(), logits]

    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return the embedding (1, C, S/16, S/16) of a resized plane (h, w, 3)."""
        h, w = rgb.shape[:2]
        size = self.image_size
        padded = nn.functional.pad(self._pixels(rgb), (0, size - w, 0, size - h))
        embedding: Tensor = self.sam.image_encoder(padded[None])
        return embedding

    def pack(self, features: Tensor) -> dict[str, NDArray[Any]]:
        """Return an embedding as arrays; see `packing`."""
        return packing.pack(features)

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Return the embedding that `pack` was given; see `PromptableModel.unpack`."""
        return packing.unpack(arrays, Tensor, self.device)

    def instance_fields(self, features: Tensor) -> None:
        """Return None: the published SAM has no instance head."""

    @torch.inference_mode()
    def decode(
        self,
        features: Tensor,
        coords: NDArray[np.float32],
        labels: NDArray[np.int64],
        boxes: NDArray[np.float32] | None,
        mask_input: NDArray[np.float32] | None,
        multimask_output: bool,
        guide: None = None,
    ) -> Answers:
        """Answer P prompts; see `PromptableModel.decode`."""
        light, side = self.sam.prompt_encoder, self._side(features)
        masks = slice(1, None) if multimask_output else slice(0, 1)
        step = AT_ONCE if self.device == "cpu" else max(1, len(coords))
        logits, scores = [], []
        for start in range(0, len(coords), step):
            some = slice(start, start + step)
            points, kinds = self._tensor(coords[some]), self._tensor(labels[some])
            sparse = light.sparse(
                points, kinds, None if boxes is None else self._tensor(boxes[some])
            )
            own = None
            if mask_input is not None:
                own = light.mask_downscaling(self._tensor(mask_input[some, None])) - light.no_mask()
            found, iou = self.sam.mask_decoder.answer(side, sparse, own, masks)
            logits += found
            scores.append(iou)
        return Answers(
            torch.stack(logits).float().cpu().numpy(), torch.cat(scores).float().cpu().numpy()
        )

    def _side(self, features: Tensor) -> ImageSide:
        """Return what the decoder needs of an embedding; that of the last one is kept."""
        latest = self._latest
        if latest is None or latest[0] is not features:
            light = self.sam.prompt_encoder
            side = self.sam.mask_decoder.side(features + light.no_mask(), light.get_dense_pe())
            latest = self._latest = (features, side)
        return latest[1]

    def _pixels(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return a plane (h, w, 3) as the encoder takes it, (3, h, w)."""
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1).float()
        return (pixels - self.sam.pixel_mean) / self.sam.pixel_std

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def neck(dim: int, out_chans: int) -> nn.Sequential:
    """Return what brings an encoder's tokens (B, dim, h, w) to the embedding's channels."""
    return nn.Sequential(
        nn.Conv2d(dim, out_chans, 1, bias=False),
        LayerNorm2d(out_chans),
        nn.Conv2d(out_chans, out_chans, 3, padding=1, bias=False),
        LayerNorm2d(out_chans),
    )


def assemble(image_encoder: nn.Module, checkpoint: Checkpoint, image_size: int) -> Sam:
    """Put the light half, read from a checkpoint, behind an image encoder and load both.

    Parameters
    ----------
    image_encoder : nn.Module
        May lie on torch's meta device, where building costs neither time nor memory.
    checkpoint : Checkpoint
    image_size : int
        Side of the square input, pixels.

    Returns
    -------
    Sam

    Raises
    ------
    ValueError
        If a tensor is missing, left over or of another shape.
    """
    shape = checkpoint.shape
    masks, dim = shape("mask_decoder.mask_tokens.weight")
    layers = "mask_decoder.transformer.layers."
    narrowed = shape(f"{layers}0.cross_attn_token_to_image.q_proj.weight")[0]
    cells = image_size // STRIDE
    with torch.device("meta"):
        prompt_encoder = PromptEncoder(
            dim,
            (cells, cells),
            (image_size, image_size),
            mask_in_chans=shape("prompt_encoder.mask_downscaling.3.weight")[0],
        )
        mask_decoder = MaskDecoder(
            dim,
            TwoWayTransformer(
                checkpoint.count(layers),
                dim,
                DECODER_HEADS,
                shape(f"{layers}0.mlp.lin1.weight")[0],
                dim // narrowed,
            ),
            masks - 1,
            checkpoint.count("mask_decoder.iou_prediction_head.layers."),
            shape("mask_decoder.iou_prediction_head.layers.0.weight")[0],
        )
    sam = Sam(image_encoder, prompt_encoder, mask_decoder)
    checkpoint.load_into(sam)
    return sam
