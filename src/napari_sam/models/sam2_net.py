"""SAM 2.1 with all its parts under their published names, its sizes read from the tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .blocks import MLP
from .hiera import SHAPES, STAGES, Hiera
from .hiera_order import BLOCK
from .recognition import Checkpoint
from .sam2_decoder import Sam2MaskDecoder
from .sam2_memory_attention import MemoryAttention
from .sam2_memory_encoder import MemoryEncoder
from .sam2_neck import FpnNeck, ImageEncoder, Sam2Features
from .sam2_prompts import Sam2PromptEncoder
from .two_way import TwoWayTransformer

STRIDE = 16  # from the image to the embedding
DECODER_HEADS = 8  # of every published decoder; its tensors do not tell
TRUNK = "image_encoder.trunk."
DECODER = "sam_mask_decoder."


@dataclass(frozen=True)
class Sam2Sizes:
    """The sizes of a network; by default those of the published tiny one.

    Attributes
    ----------
    dims, depths, hidden : (4,) int
        Of the trunk's stages: width, number of blocks, inner width of the MLPs.
    background : (h, w) int
        Of the trunk's coarse positional embedding.
    dim : int
        Channels of the embedding, width of the decoder and of memory attention.
    decoder_layers, decoder_mlp, decoder_inner : int
        Of the two-way transformer: blocks, inner widths of MLPs and of cross-attention.
    masks, iou_layers, iou_hidden : int
        Masks beside the single one; layers of the IoU head and their width.
    mask_hidden : int
        Hidden channels of the prompt encoder's mask branch.
    memory_dim, memory_layers, memory_mlp, fuser_layers, memories : int
        Channels of a memory; layers of memory attention and the inner width of their MLPs; blocks
        of the memory encoder; memories that positions in time are known for.
    """

    dims: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (1, 2, 7, 2)
    hidden: tuple[int, ...] = (384, 768, 1536, 3072)
    background: tuple[int, int] = (7, 7)
    dim: int = 256
    decoder_layers: int = 2
    decoder_mlp: int = 2048
    decoder_inner: int = 128
    masks: int = 3
    iou_layers: int = 3
    iou_hidden: int = 256
    mask_hidden: int = 16
    memory_dim: int = 64
    memory_layers: int = 4
    memory_mlp: int = 2048
    fuser_layers: int = 2
    memories: int = 7

    def __post_init__(self) -> None:
        if self.depths not in SHAPES:
            raise ValueError(
                f"its trunk has stages of {self.depths} blocks; those of SAM 2 have "
                f"{', '.join(map(str, SHAPES))}"
            )
        for stage, width in enumerate(self.dims):
            _require_multiple(f"width of stage {stage + 1}", width, self.heads * 2**stage)
        _require_multiple("width of the decoder", self.dim, DECODER_HEADS)
        _require_multiple("width of the decoder", self.dim, self.decoder_inner)
        _require_multiple("width of its attention", self.decoder_inner, DECODER_HEADS)
        _require_multiple("width of the decoder", self.dim, self.memory_dim)
        _require_multiple("number of channels of the mask branch", self.mask_hidden, 4)

    @property
    def heads(self) -> int:
        """Attention heads of the first stage."""
        return SHAPES[self.depths].heads

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Sam2Sizes:
        """Read the sizes of a checkpoint.

        Raises
        ------
        ValueError
            If a tensor is missing, or the sizes are not those of a SAM 2.
        """
        shape, count = checkpoint.shape, checkpoint.count
        if "no_obj_embed_spatial" not in checkpoint.tensors:
            raise ValueError("it is a SAM 2.0, or only a part of a model; take one of SAM 2.1")
        blocks = range(count(f"{TRUNK}blocks."))
        wider = [i for i in blocks if f"{TRUNK}blocks.{i}.proj.weight" in checkpoint.tensors]
        firsts = [0, *wider]
        ends = [*wider, len(blocks)]
        widths = [shape(f"{TRUNK}blocks.{i}.norm2.weight", 1)[0] for i in firsts]
        mlps = [shape(f"{TRUNK}blocks.{i}.mlp.layers.0.weight", 2)[0] for i in firsts]
        window = shape(f"{TRUNK}pos_embed_window", 4)
        if len(firsts) != STAGES or window[2:] != (BLOCK, BLOCK):
            raise ValueError(
                f"its trunk has {len(firsts)} stages and windows of {window[2:]}; a SAM 2 has "
                f"{STAGES} and {(BLOCK, BLOCK)}"
            )
        layers = f"{DECODER}transformer.layers."
        masks, dim = shape(f"{DECODER}mask_tokens.weight", 2)
        background = shape(f"{TRUNK}pos_embed", 4)
        return cls(
            dims=tuple(widths),
            depths=tuple(end - first for first, end in zip(firsts, ends, strict=True)),
            hidden=tuple(mlps),
            background=(background[2], background[3]),
            dim=dim,
            decoder_layers=count(layers),
            decoder_mlp=shape(f"{layers}0.mlp.layers.0.weight", 2)[0],
            decoder_inner=shape(f"{layers}0.cross_attn_token_to_image.q_proj.weight", 2)[0],
            masks=masks - 1,
            iou_layers=count(f"{DECODER}iou_prediction_head.layers."),
            iou_hidden=shape(f"{DECODER}iou_prediction_head.layers.0.weight", 2)[0],
            mask_hidden=shape("sam_prompt_encoder.mask_downscaling.3.weight", 4)[0],
            memory_dim=shape("maskmem_tpos_enc", 4)[3],
            memory_layers=count("memory_attention.layers."),
            memory_mlp=shape("memory_attention.layers.0.linear1.weight", 2)[0],
            fuser_layers=count("memory_encoder.fuser.layers."),
            memories=shape("maskmem_tpos_enc", 4)[0],
        )


class Sam2Net(nn.Module):
    """Encoder, prompts, decoder and memory.

    Parameters
    ----------
    sizes : Sam2Sizes
    image_size : int
        Side of the square input, pixels, a multiple of 32.
    """

    def __init__(self, sizes: Sam2Sizes, image_size: int = 1024) -> None:
        super().__init__()
        dim, memory_dim = sizes.dim, sizes.memory_dim
        cells = image_size // STRIDE
        self.image_encoder = ImageEncoder(
            Hiera(sizes.dims, sizes.hidden, sizes.depths, sizes.background),
            FpnNeck(sizes.dims, dim),
        )
        self.sam_prompt_encoder = Sam2PromptEncoder(
            dim, (cells, cells), (image_size, image_size), sizes.mask_hidden
        )
        transformer = TwoWayTransformer(
            sizes.decoder_layers, dim, DECODER_HEADS, sizes.decoder_mlp, dim // sizes.decoder_inner
        )
        self.sam_mask_decoder = Sam2MaskDecoder(
            dim, transformer, sizes.decoder_mlp, sizes.masks, sizes.iou_layers, sizes.iou_hidden
        )
        self.memory_attention = MemoryAttention(
            dim, memory_dim, sizes.memory_layers, sizes.memory_mlp
        )
        self.memory_encoder = MemoryEncoder(dim, memory_dim, sizes.fuser_layers)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(sizes.memories, 1, 1, memory_dim))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, dim))
        self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory_dim))
        self.mask_downsample = nn.Conv2d(1, 1, 4, 4)
        self.obj_ptr_proj = MLP(dim, dim, dim, 3)
        self.obj_ptr_tpos_proj = nn.Linear(dim, memory_dim)

    @property
    def image_size(self) -> int:
        """Side of the square input, pixels."""
        return self.sam_prompt_encoder.input_image_size[0]

    def encode(self, pixels: Tensor) -> Sam2Features:
        """Encode pixels (B, 3, S, S), normalised."""
        decoder = self.sam_mask_decoder
        features: Sam2Features = self.image_encoder(pixels, decoder.conv_s0, decoder.conv_s1)
        return features

    def without_memory(self, embedding: Tensor) -> Tensor:
        """Return an embedding (B, C, h, w) as it is where no other frame is remembered."""
        return embedding + self.no_mem_embed[0, :, :, None, None]


def _require_multiple(what: str, number: int, divisor: int) -> None:
    if not divisor or number % divisor:
        raise ValueError(f"the {what}, {number}, is no multiple of {divisor}")
