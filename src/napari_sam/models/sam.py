"""The published SAM, built from its three parts, behind the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from . import packing
from .blocks import LayerNorm2d
from .checkpoint import fingerprint, load_into
from .contract import Answers
from .device_check import probe_image, probe_prompt
from .inputs import check_plane, check_prompts
from .mask_decoder import MaskDecoder
from .prompt_encoder import PromptEncoder
from .recognition import Checkpoint
from .sam_base import SamBase
from .threads import ThreadLimit, limited
from .two_way import ImageProjections, TwoWayTransformer
from .weights import choose_dtype

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
STRIDE = 16  # from the image to the embedding
PROBE_SIZE = 576
"""Side, in pixels, of the image that devices are checked with: attention takes the rows of its grid
in several chunks, and its windows reach beyond it."""
CPU_BATCH = 8
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


class SamModel(SamBase):
    """Runs a `Sam` behind the contract.

    Parameters
    ----------
    sam : Sam
    name : str
    device : str
    """

    def __init__(self, sam: Sam, name: str, device: str = "cpu") -> None:
        super().__init__(name, device, sam.prompt_encoder.input_image_size[0])
        self.sam = sam.eval().to(device)
        self.threads = ThreadLimit()
        self._latest: tuple[Tensor, ImageProjections] | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        return fingerprint(self.sam)

    def set_precision(self, precision: str) -> None:
        """Compute products in another precision; see `PromptableModel.set_precision`."""
        dtype = choose_dtype(precision, self.device)
        set_precision = getattr(self.sam.image_encoder, "set_precision", None)
        if set_precision is not None:
            set_precision(dtype)
        self.sam.mask_decoder.set_precision(dtype)
        self.precision = str(dtype).removeprefix("torch.")
        self._latest = None

    @torch.inference_mode()
    def probe(self) -> list[NDArray[np.float32]]:
        """Return what is computed of noise; see `PromptableModel.probe`."""
        encoder, side = self.sam.image_encoder, min(PROBE_SIZE, self.image_size)
        encode_corner: Callable[[Tensor], Tensor] = getattr(encoder, "encode_corner", encoder)
        corner = encode_corner(self._pixels(probe_image(side))[None])
        missing = (self.image_size - side) // STRIDE
        features = nn.functional.pad(corner, (0, missing, 0, missing))
        logits = self.decode(features, *probe_prompt(side), None, True).low_res_logits
        return [corner.float().cpu().numpy(), logits]

    @limited
    @torch.inference_mode()
    def encode(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return the embedding (1, C, S/16, S/16) of a resized plane (h, w, 3)."""
        size = self.image_size
        check_plane(rgb, size)
        h, w = rgb.shape[:2]
        padded = nn.functional.pad(self._pixels(rgb), (0, size - w, 0, size - h))
        embedding: Tensor = self.sam.image_encoder(padded[None])
        return embedding

    def pack(self, features: Tensor) -> dict[str, NDArray[Any]]:
        """Return an embedding as arrays; see `packing`."""
        return packing.pack(features)

    def unpack(self, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """Return the embedding that `pack` was given; see `PromptableModel.unpack`."""
        return packing.unpack(arrays, Tensor, self._tensor)

    def feature_maps(self, features: Tensor) -> tuple[NDArray[np.float32], ...]:
        """Return the embedding; see `PromptableModel`."""
        return (features[0].float().cpu().numpy(),)

    @limited
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
        prompt_encoder = self.sam.prompt_encoder
        double = prompt_encoder.no_mask_embed.weight.dtype == torch.float64
        check_prompts(
            coords, labels, boxes, mask_input, prompt_encoder.mask_input_size,
            real=np.float64 if double else np.float32,
        )  # fmt: skip
        projections = self._project_image(features)
        masks = slice(1, None) if multimask_output else slice(0, 1)
        step = CPU_BATCH if self.device == "cpu" else max(1, len(coords))
        logits, scores = [], []
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
            some, iou = self.sam.mask_decoder.predict_masks(projections, sparse, dense, masks)
            logits += some
            scores.append(iou)
        return Answers(
            torch.stack(logits).float().cpu().numpy(), torch.cat(scores).float().cpu().numpy()
        )

    def _project_image(self, features: Tensor) -> ImageProjections:
        """Return what the decoder needs of an embedding; that of the latest one is kept."""
        latest = self._latest
        if latest is None or latest[0] is not features:
            prompt_encoder = self.sam.prompt_encoder
            image, positions = features + prompt_encoder.no_mask(), prompt_encoder.get_dense_pe()
            projections = self.sam.mask_decoder.project_image(image, positions)
            latest = self._latest = (features, projections)
        return latest[1]

    def _pixels(self, rgb: NDArray[np.uint8]) -> Tensor:
        """Return a plane (h, w, 3) as the encoder takes it, (3, h, w)."""
        pixels = torch.from_numpy(np.array(rgb)).to(self.device).permute(2, 0, 1).float()
        return (pixels - self.sam.pixel_mean) / self.sam.pixel_std

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def neck(dim: int, out_chans: int) -> nn.Sequential:
    """Return the neck: maps an encoder's tokens (B, dim, h, w) to the embedding's channels."""
    return nn.Sequential(
        nn.Conv2d(dim, out_chans, 1, bias=False),
        LayerNorm2d(out_chans),
        nn.Conv2d(out_chans, out_chans, 3, padding=1, bias=False),
        LayerNorm2d(out_chans),
    )


def assemble(image_encoder: nn.Module, checkpoint: Checkpoint, image_size: int) -> Sam:
    """Put prompt encoder and mask decoder behind an image encoder and load a checkpoint into all.

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
    masks, dim = shape("mask_decoder.mask_tokens.weight", 2)
    layers = "mask_decoder.transformer.layers."
    inner_dim = shape(f"{layers}0.cross_attn_token_to_image.q_proj.weight", 2)[0]
    embedding = shape("image_encoder.neck.0.weight", 4)[0]
    hidden = shape("prompt_encoder.mask_downscaling.3.weight", 4)[0]
    for what, number, divisor in (
        ("width of the decoder", dim, DECODER_HEADS),
        ("width of the decoder", dim, inner_dim),
        ("width of its attention", inner_dim, DECODER_HEADS),
        ("number of channels of the mask branch", hidden, 4),
    ):
        if number % divisor:
            raise ValueError(f"the {what}, {number}, is no multiple of {divisor}")
    if embedding != dim or masks < 2:
        raise ValueError(
            f"an embedding of {embedding} channels, or {masks} masks of {dim} channels, are not "
            "those of a SAM"
        )
    cells = image_size // STRIDE
    with torch.device("meta"):
        prompt_encoder = PromptEncoder(
            dim,
            (cells, cells),
            (image_size, image_size),
            mask_in_chans=hidden,
        )
        mask_decoder = MaskDecoder(
            dim,
            TwoWayTransformer(
                checkpoint.count(layers),
                dim,
                DECODER_HEADS,
                shape(f"{layers}0.mlp.lin1.weight", 2)[0],
                dim // inner_dim,
            ),
            masks - 1,
            checkpoint.count("mask_decoder.iou_prediction_head.layers."),
            shape("mask_decoder.iou_prediction_head.layers.0.weight", 2)[0],
        )
    sam = Sam(image_encoder, prompt_encoder, mask_decoder)
    load_into(sam, checkpoint)
    return sam
