"""SAM 2's published names of parameters, from those of transformers' writing of it."""

from __future__ import annotations

import re

import torch

MATRIX = "pe_layer.positional_encoding_gaussian_matrix"
RENAMED = (
    (r"^prompt_encoder\.shared_embedding\.positional_embedding$", f"sam_prompt_encoder.{MATRIX}"),
    (r"^prompt_encoder\.", "sam_prompt_encoder."),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"^vision_encoder\.backbone\.", "image_encoder.trunk."),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"^(image_encoder\.trunk\..*mlp)\.proj_in", r"\1.layers.0"),
    (r"^(image_encoder\.trunk\..*mlp)\.proj_out", r"\1.layers.1"),
    (r"^vision_encoder\.neck\.convs\.(\d)", r"image_encoder.neck.convs.\1.conv"),
    (r"^mask_decoder\.", "sam_mask_decoder."),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"^(sam_mask_decoder\.transformer.*mlp)\.proj_in", r"\1.layers.0"),
    (r"^(sam_mask_decoder\.transformer.*mlp)\.proj_out", r"\1.layers.1"),
    (r"(mlps\.\d|iou_prediction_head|pred_obj_score_head|object_pointer_proj)\.layers\.0",
     r"\1.layers.1"),
    (r"proj_in", "layers.0"),
    (r"proj_out", "layers.2"),
    (r"layer_norm_final_attn", "norm_final_attn"),
    (r"o_proj", "out_proj"),
    (r"^memory_attention\.layer_norm\.", "memory_attention.norm."),
    (r"mask_downsampler\.final_conv", "mask_downsampler.encoder.12"),
    (r"^memory_encoder\.feature_projection", "memory_encoder.pix_feat_proj"),
    (r"^memory_encoder\.projection", "memory_encoder.out_proj"),
    (r"^memory_encoder\.memory_fuser\.", "memory_encoder.fuser."),
    (r"depthwise_conv", "dwconv"),
    (r"pointwise_conv(\d)", r"pwconv\1"),
    (r"(fuser\.layers\.\d)\.scale$", r"\1.gamma"),
    (r"(fuser\.layers\.\d)\.layer_norm", r"\1.norm"),
    (r"layer_norm(\d)", r"norm\1"),
    (r"^no_memory_embedding$", "no_mem_embed"),
    (r"^no_memory_positional_encoding$", "no_mem_pos_enc"),
    (r"^memory_temporal_positional_encoding$", "maskmem_tpos_enc"),
    (r"^no_object_pointer$", "no_obj_ptr"),
    (r"^object_pointer_proj", "obj_ptr_proj"),
    (r"^temporal_positional_encoding_projection_layer", "obj_ptr_tpos_proj"),
    (r"^occlusion_spatial_embedding_parameter$", "no_obj_embed_spatial"),
)  # fmt: skip
DOWNSAMPLER = re.compile(r"^(memory_encoder\.mask_downsampler)\.layers\.(\d)\.(conv|layer_norm)\.")


def renamed(name: str) -> str:
    """Return the published name of a parameter of transformers'."""
    found = DOWNSAMPLER.match(name)
    if found:  # a convolution, a normalisation and an activation of each step follow each other
        place = 3 * int(found[2]) + (found[3] == "layer_norm")
        return f"{found[1]}.encoder.{place}.{name[found.end() :]}"
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def published(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of transformers' Sam2Model or Sam2VideoModel as they are published.

    It has the positional frequencies twice, and the embeddings of four kinds of points in one.
    """
    weights = {}
    for name, value in model.state_dict().items():
        if name.startswith("shared_image_embedding."):
            continue
        if name == "prompt_encoder.point_embed.weight":
            for kind, row in enumerate(value):
                weights[f"sam_prompt_encoder.point_embeddings.{kind}.weight"] = row[None]
        else:
            weights[renamed(name)] = value
    return weights
