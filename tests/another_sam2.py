"""Another writing of SAM 2 (transformers), small, its parameters drawn, in double precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from sam2_double import doubled
from tiny_sam2 import SIDE, TINY
from transformers import Sam2Config
from transformers.models.sam2 import modeling_sam2

from napari_sam.models.hiera import SHAPES
from napari_sam.models.sam2_net import Sam2Sizes

MEAN, STD = (255 * np.array(x) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

FLATTER, STEEPER = 0.1, 10.0
"""By which the last features, so that GELU leaves few zeros of them, and the single mask are
multiplied: so the outlines of some single masks are stable, and those of others are not."""


def config(sizes: Sam2Sizes = TINY, side: int = SIDE) -> Sam2Config:
    """Return the configuration of a network of these sizes."""
    shape, dims, cells = SHAPES[sizes.depths], list(sizes.dims), side // 16
    return Sam2Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "image_size": [side, side],
                "hidden_size": dims[0],
                "embed_dim_per_stage": dims,
                "num_attention_heads_per_stage": [shape.heads * 2**k for k in range(4)],
                "num_attention_heads": shape.heads,
                "blocks_per_stage": list(sizes.depths),
                "window_positional_embedding_background_size": list(sizes.background),
                "window_size_per_stage": list(shape.windows),
                "global_attention_blocks": list(shape.whole),
            },
            "backbone_channel_list": dims[::-1],
            "backbone_feature_sizes": [[4 * cells] * 2, [2 * cells] * 2, [cells] * 2],
            "fpn_hidden_size": sizes.dim,
        },
        prompt_encoder_config={"hidden_size": sizes.dim, "image_size": side},
        mask_decoder_config={
            "hidden_size": sizes.dim,
            "mlp_dim": sizes.decoder_mlp,
            "iou_head_hidden_dim": sizes.iou_hidden,
        },
    )


def draw(wanted: Sam2Config, seed: int = 5) -> torch.nn.Module:
    """Return a model whose every parameter is drawn from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = modeling_sam2.Sam2Model(wanted).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            drawn = torch.randn(value.shape, generator=generator).to(value.dtype)
            if "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.2 * drawn)
            elif value.ndim < 2 or "embed" in name or "token" in name:
                value.copy_(0.5 * drawn)
            else:
                value.copy_(drawn / math.sqrt(value[0].numel()))
        decoder = model.mask_decoder
        for module, factor in (
            (decoder.conv_s0, FLATTER),
            (decoder.upscale_conv2, FLATTER),
            (decoder.output_hypernetworks_mlps[0].proj_out, STEEPER),
        ):
            module.weight *= factor
            module.bias *= factor
        both = (model.shared_image_embedding, model.prompt_encoder.shared_embedding)
        both[1].positional_embedding.copy_(both[0].positional_embedding)
    # the same numbers as in a file of float32
    return model.float().double()


@contextmanager
def in_double() -> Iterator[None]:
    """Let the other writing compute in double where its code asks for float32."""
    with pytest.MonkeyPatch.context() as patch:
        doubled(patch, modeling_sam2)
        yield


def pixels(rgb):
    """Return a square plane (S, S, 3) uint8 as the other writing takes it, (1, 3, S, S)."""
    return torch.from_numpy((rgb - MEAN) / STD).permute(2, 0, 1)[None]


@torch.inference_mode()
def answer(model, embeddings, prompt, several):
    """Return logits (P, C, h, w), scores (P, C) and presence (P,) of the other writing."""
    inputs = {}
    if prompt["coords"].shape[1]:
        inputs["input_points"] = torch.from_numpy(prompt["coords"])[None]
        inputs["input_labels"] = torch.from_numpy(prompt["labels"])[None]
    if prompt["boxes"] is not None:
        inputs["input_boxes"] = torch.from_numpy(prompt["boxes"])[None]
    if prompt["mask_input"] is not None:
        inputs["input_masks"] = torch.from_numpy(prompt["mask_input"])[:, None]
    out = model(image_embeddings=list(embeddings), multimask_output=several, **inputs)
    return (
        out.pred_masks[0].numpy(),
        out.iou_scores[0].numpy(),
        out.object_score_logits[0, :, 0].sigmoid().numpy(),
    )
