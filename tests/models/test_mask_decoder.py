from __future__ import annotations

import re

import pytest
import torch

from napari_sam.models.mask_decoder import Attention, MaskDecoder, TwoWayTransformer
from napari_sam.models.prompt_encoder import PromptEncoder


def linear(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name, width=256):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def attention(name, inner):
    names = {}
    for part in ("q_proj", "k_proj", "v_proj"):
        names |= linear(f"{name}.{part}", inner, 256)
    return names | linear(f"{name}.out_proj", 256, inner)


def published():
    names = {"iou_token.weight": (1, 256), "mask_tokens.weight": (4, 256)}
    for layer in ("transformer.layers.0", "transformer.layers.1"):
        names |= attention(f"{layer}.self_attn", 256)
        names |= attention(f"{layer}.cross_attn_token_to_image", 128)
        names |= attention(f"{layer}.cross_attn_image_to_token", 128)
        names |= linear(f"{layer}.mlp.lin1", 2048, 256) | linear(f"{layer}.mlp.lin2", 256, 2048)
        for k in (1, 2, 3, 4):
            names |= norm(f"{layer}.norm{k}")
    names |= attention("transformer.final_attn_token_to_image", 128)
    names |= norm("transformer.norm_final_attn")
    names |= {
        "output_upscaling.0.weight": (256, 64, 2, 2),
        "output_upscaling.0.bias": (64,),
        "output_upscaling.3.weight": (64, 32, 2, 2),
        "output_upscaling.3.bias": (32,),
    }
    names |= norm("output_upscaling.1", 64)
    for head, outputs in (
        ("output_hypernetworks_mlps.0", 32),
        ("output_hypernetworks_mlps.1", 32),
        ("output_hypernetworks_mlps.2", 32),
        ("output_hypernetworks_mlps.3", 32),
        ("iou_prediction_head", 4),
    ):
        names |= linear(f"{head}.layers.0", 256, 256) | linear(f"{head}.layers.1", 256, 256)
        names |= linear(f"{head}.layers.2", outputs, 256)
    return names


def full_size():
    torch.manual_seed(0)
    return MaskDecoder(256, TwoWayTransformer(2, 256, 8, 2048)).eval()


def test_parameters_have_their_published_names_and_shapes():
    decoder = full_size()
    assert {name: tuple(t.shape) for name, t in decoder.state_dict().items()} == published()
    assert sum(p.numel() for p in decoder.parameters()) == 4_058_340


@torch.inference_mode()
def test_shapes_of_the_answer():
    logits, iou = full_size()(
        torch.randn(1, 256, 8, 6),
        torch.randn(1, 256, 8, 6),
        torch.randn(5, 3, 256),
        torch.randn(5, 256, 8, 6),
    )
    assert logits.shape == (5, 4, 32, 24)
    assert iou.shape == (5, 4)


def test_heads_must_divide_the_inner_width():
    with pytest.raises(ValueError, match="inner width 10 is not a multiple of 4"):
        Attention(20, 4, downsample_rate=2)


@torch.inference_mode()
def test_attention_is_that_of_torch():
    torch.manual_seed(1)
    ours, theirs = Attention(24, 3), torch.nn.MultiheadAttention(24, 3, batch_first=True)
    parts = (ours.q_proj, ours.k_proj, ours.v_proj)
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    q, k, v = (torch.randn(2, n, 24) for n in (5, 7, 7))
    torch.testing.assert_close(ours(q, k, v), theirs(q, k, v)[0], atol=1e-5, rtol=1e-5)


RENAMED = (
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


@pytest.fixture(scope="module")
def another_sam():
    """Another writing of SAM, with every weight drawn anew, on a grid of 8 x 8 cells."""
    sam = pytest.importorskip("transformers.models.sam")
    small = {"image_size": 128, "patch_size": 16}
    vision = dict(small, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, mlp_dim=8)
    config = sam.SamConfig(
        vision_config=vision | {"num_pos_feats": 128, "global_attn_indexes": [0]},
        prompt_encoder_config=small,
    )
    model = sam.SamModel(config).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.15)
        shared = model.shared_image_embedding.positional_embedding
        model.prompt_encoder.shared_embedding.positional_embedding.copy_(shared)
    return model


def ours_like(model):
    prompt = PromptEncoder(256, (8, 8), (128, 128), mask_in_chans=16).eval()
    decoder = full_size()
    weights = {}
    for name, tensor in model.state_dict().items():
        renamed = name
        for pattern, replacement in RENAMED:
            renamed = re.sub(pattern, replacement, renamed)
        weights[renamed] = tensor
    matrix = weights.pop("shared_image_embedding.positional_embedding")
    weights.pop("prompt_encoder.shared_embedding.positional_embedding", None)
    weights["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] = matrix
    for module, prefix in ((prompt, "prompt_encoder."), (decoder, "mask_decoder.")):
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        module.load_state_dict(own)
    return prompt, decoder


@pytest.mark.parametrize("kind", ["points", "box", "both", "mask"])
@torch.inference_mode()
def test_answers_are_those_of_another_writing_of_sam(another_sam, kind):
    prompt, decoder = ours_like(another_sam)
    generator = torch.Generator().manual_seed(9)
    image = torch.randn(1, 256, 8, 8, generator=generator)
    coords = torch.rand(2, 3, 2, generator=generator) * 127
    labels = torch.tensor([[1, 0, 1], [0, 1, 1]])
    boxes = torch.tensor([[5.0, 6.0, 60.0, 90.0], [30.0, 3.0, 99.0, 64.0]])
    mask = torch.randn(1, 1, 32, 32, generator=generator)
    inputs = {}
    if kind != "box":
        inputs |= {"input_points": coords[None], "input_labels": labels[None]}
    if kind in ("box", "both"):
        inputs["input_boxes"] = boxes[None]
    if kind == "mask":
        inputs["input_masks"] = mask
    theirs = another_sam(image_embeddings=image, multimask_output=True, **inputs)
    if kind == "box":
        coords, labels = coords[:, :0], labels[:, :0]
    sparse, dense = prompt(
        coords,
        labels,
        boxes if kind in ("box", "both") else None,
        mask.expand(2, -1, -1, -1) if kind == "mask" else None,
    )
    logits, iou = decoder(image, prompt.get_dense_pe(), sparse, dense)
    assert logits.std() > 0.1
    scale = float(logits.abs().max())
    torch.testing.assert_close(theirs.pred_masks[0], logits[:, 1:], atol=1e-4 * scale, rtol=0)
    scale = float(iou.abs().max())
    torch.testing.assert_close(theirs.iou_scores[0], iou[:, 1:], atol=1e-4 * scale, rtol=0)
