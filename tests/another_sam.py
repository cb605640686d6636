"""Another writing of SAM (transformers), its parameters drawn anew and renamed as published."""

from __future__ import annotations

import math
import re

import numpy as np
import torch
from transformers.models import sam as other

MATRIX = "pe_layer.positional_encoding_gaussian_matrix"
RENAMED = (
    (r"^shared_image_embedding\.positional_embedding", f"prompt_encoder.{MATRIX}"),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding", f"prompt_encoder.{MATRIX}"),
    (r"^vision_encoder\.", "image_encoder."),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"neck\.conv1", "neck.0"),
    (r"neck\.layer_norm1", "neck.1"),
    (r"neck\.conv2", "neck.2"),
    (r"neck\.layer_norm2", "neck.3"),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"layer_norm_final_attn", "norm_final_attn"),
    (r"layer_norm(\d)", r"norm\1"),
    (r"(mlps\.\d|iou_prediction_head)\.layers\.0", r"\1.layers.1"),
    (r"proj_in", "layers.0"),
    (r"proj_out", "layers.2"),
)
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
SMALL = {
    "image_size": 128, "patch_size": 16, "hidden_size": 24, "num_hidden_layers": 3,
    "num_attention_heads": 2, "mlp_dim": 40, "window_size": 3, "global_attn_indexes": [1],
    "num_pos_feats": 128,
}  # fmt: skip
"""A grid of 8 x 8 cells in windows of 3, so that windows are padded; the middle block is global."""


def draw(vision=None, seed=5):
    """Return a model of the other writing whose every parameter is drawn from a seed."""
    small = {key: vision[key] for key in ("image_size", "patch_size")} if vision else {}
    config = other.SamConfig(vision_config=vision or {}, prompt_encoder_config=small)
    model = other.SamModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.named_parameters():
            drawn = torch.randn(value.shape, generator=generator)
            if "norm" in name and name.endswith("weight"):
                value.copy_(1 + 0.2 * drawn)
            elif value.ndim < 2 or "embed" in name or "token" in name:
                value.copy_(0.5 * drawn)
            else:  # rel_pos too, which are zero at the start of training
                value.copy_(drawn / math.sqrt(value[0].numel()))
        position = torch.randn(
            model.shared_image_embedding.positional_embedding.shape, generator=generator
        )
        model.shared_image_embedding.positional_embedding.copy_(position)
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(position)
        for module in model.mask_decoder.modules():  # the published code leaves torch's default
            if isinstance(module, torch.nn.LayerNorm) and not hasattr(module, "data_format"):
                module.eps = 1e-5
    return model


def renamed(name):
    """Return the published name of a parameter of the other writing."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def published(model):
    """Return the parameters of the other writing under their published names."""
    return {renamed(name): value for name, value in model.state_dict().items()}


def pixels(rgb, side):
    """Return a resized plane (h, w, 3) uint8 as the other writing takes it, (1, 3, side, side)."""
    values = ((rgb - MEAN) / STD).astype(np.float32)
    padded = np.zeros((side, side, 3), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    return torch.from_numpy(padded).permute(2, 0, 1)[None]


@torch.inference_mode()
def answer(model, embedding, prompt, several):
    """Return low-resolution logits (P, C, h, w) and scores (P, C) of the other writing."""
    inputs = {}
    if prompt["coords"].shape[1]:
        inputs["input_points"] = torch.from_numpy(prompt["coords"])[None]
        inputs["input_labels"] = torch.from_numpy(prompt["labels"])[None]
    if prompt["boxes"] is not None:
        inputs["input_boxes"] = torch.from_numpy(prompt["boxes"])[None]
    if prompt["mask_input"] is not None:
        inputs["input_masks"] = torch.from_numpy(prompt["mask_input"])[:, None]
    out = model(image_embeddings=embedding, multimask_output=several, **inputs)
    return out.pred_masks[0].numpy(), out.iou_scores[0].numpy()


def prompts(side, seed=3):
    """Return a prompt of every form, for an input of `side` x `side` pixels."""
    rng = np.random.default_rng(seed)
    coords = rng.uniform(0, side - 1, (2, 3, 2)).astype(np.float32)
    labels = np.array([[1, 0, 1], [0, 1, 1]])
    corners = np.sort(rng.uniform(0, side - 1, (2, 2, 2)), axis=1)
    boxes = corners.reshape(2, 4).astype(np.float32)
    mask = (3 * rng.normal(size=(1, side // 4, side // 4))).astype(np.float32)
    none = {"coords": coords[:, :0], "labels": labels[:, :0], "boxes": None, "mask_input": None}
    points = none | {"coords": coords, "labels": labels}
    return {
        "points": points,
        "one point": none | {"coords": coords[:, :1], "labels": labels[:, 2:]},
        "box": none | {"boxes": boxes},
        "both": points | {"boxes": boxes},
        "points and mask": {k: v if v is None else v[:1] for k, v in points.items()}
        | {"mask_input": mask},
        "box and mask": none
        | {"coords": coords[:1, :0], "labels": labels[:1, :0], "boxes": boxes[:1]}
        | {"mask_input": mask},
    }


def largest_error(theirs, ours):
    """Return the largest difference in standard deviations of the other writing's answer."""
    return float(np.abs(theirs - ours).max() / theirs.std())
