"""The two graphs of each family: modules, the inputs to trace them with, names of the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from ..models.contract import PromptableModel
from ..models.onnx_pocket import ENCODER_OUTPUTS, LEVELS
from ..models.pocket import PocketModel
from ..models.sam import STRIDE, SamModel
from .graphs_pocket import PocketDecoderGraph, PocketEncoderGraph
from .graphs_sam import SamDecoderGraph, SamEncoderGraph
from .tracing import Inputs

PROMPTS, POINTS, WINDOWS, GUIDES = 3, 2, 2, 2  # of the examples; more than 1 stays free
EXAMPLE = (203, 332)
"""Size (h, w) of the example plane, no multiple of any stride."""


@dataclass(frozen=True)
class Graph:
    """A module that can be traced.

    Attributes
    ----------
    module : nn.Module
    inputs : Inputs
    outputs : sequence of str
    """

    module: nn.Module
    inputs: Inputs
    outputs: Sequence[str]


def family_of(model: PromptableModel) -> str:
    """Return the family of exported models that a model belongs to.

    Raises
    ------
    ValueError
        If it is of none.
    """
    if isinstance(model, PocketModel):
        return "pocket"
    _sam_of(model)
    return "sam"


def network_of(model: PromptableModel) -> nn.Module:
    """Return the module that holds a model's weights."""
    return model.pocket if isinstance(model, PocketModel) else _sam_of(model).sam


def _sam_of(model: PromptableModel) -> SamModel:
    if not isinstance(model, SamModel):
        raise ValueError(f"{model.name} cannot be exported: it is neither a SAM nor a pocket")
    return model


def encoder_of(model: PromptableModel) -> Graph:
    """Return the graph from a plane (h, w, 3) uint8 to its features."""
    h, w = (min(side, model.image_size - 1) for side in EXAMPLE)
    inputs = Inputs({"image": torch.zeros(h, w, 3, dtype=torch.uint8)}, {"image": (0, 1)})
    if isinstance(model, PocketModel):
        return Graph(PocketEncoderGraph(model.pocket), inputs, ENCODER_OUTPUTS)
    return Graph(SamEncoderGraph(_sam_of(model).sam), inputs, ("image_embeddings",))


def decoder_of(model: PromptableModel, single_mask: bool = False) -> Graph:
    """Return the graph from features and prompts to masks.

    Parameters
    ----------
    model : PromptableModel
    single_mask : bool
        Answer with one mask, of a SAM; see `SamDecoderGraph`.
    """
    points = {
        "point_coords": torch.zeros(PROMPTS, POINTS, 2),
        "point_labels": torch.ones(PROMPTS, POINTS),
    }
    free: dict[str, tuple[int, ...]] = {"point_coords": (0, 1), "point_labels": (0, 1)}
    if isinstance(model, PocketModel):
        return _pocket_decoder(model, points, free)
    sam = _sam_of(model).sam
    cells = model.image_size // STRIDE
    example = {
        "image_embeddings": torch.zeros(1, sam.mask_decoder.transformer_dim, cells, cells),
        **points,
        "mask_input": torch.zeros(PROMPTS, 1, 4 * cells, 4 * cells),
        "has_mask_input": torch.ones(1),
        "orig_im_size": torch.tensor([30.0, 50.0]),
    }
    return Graph(
        SamDecoderGraph(sam, single_mask),
        Inputs(example, {**free, "mask_input": (0,)}),
        ("masks", "iou_predictions", "low_res_masks"),
    )


def _pocket_decoder(
    model: PocketModel, points: dict[str, torch.Tensor], free: dict[str, tuple[int, ...]]
) -> Graph:
    h, w = 48, 64  # at stride 4
    c4, c8, dim = (cast(nn.Conv2d, level).out_channels for level in model.pocket.encoder.out)
    shapes = ((c4, h, w), (c8, h // 2, w // 2), (dim, h // 4, w // 4), (3, h, w))
    example = {
        **{name: torch.zeros(WINDOWS, *shape) for name, shape in zip(LEVELS, shapes, strict=True)},
        "owner": torch.tensor([0, 1, 1]),
        **points,
        "boxes": torch.zeros(PROMPTS, 4),
        "mask_input": torch.zeros(PROMPTS, 1, h, w),
        "has_mask_input": torch.ones(1),
        "guide_embeddings": torch.zeros(GUIDES, *shapes[2]),
        "guide_owner": torch.tensor([0, 1, 0]),
        "guide_mask": torch.zeros(PROMPTS, 1, h, w),
        "has_guide": torch.ones(1),
    }
    maps = (*LEVELS, "mask_input", "guide_embeddings", "guide_mask")
    free = {
        **free,
        **dict.fromkeys(maps, (0, 2, 3)),
        **dict.fromkeys(("owner", "boxes", "guide_owner"), (0,)),
    }
    return Graph(
        PocketDecoderGraph(model.pocket),
        Inputs(example, free),
        ("low_res_masks", "iou_predictions", "presence"),
    )
