from __future__ import annotations

import pytest
import torch

from napari_sam.models.mask_decoder import (
    Attention,
    MaskDecoder,
    TwoWayTransformer,
    attend_to_few,
)


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


def test_attention_to_few_keys_is_attention():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, n, 8, generator=generator).double() for n in (50, 5, 5))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend_to_few(q, k, v), expected)


@pytest.mark.parametrize("tokens", [3, 9])  # few, and too many to be cheaper the other way
@pytest.mark.parametrize("images", [1, 2])
def test_tokens_and_image_attend_as_written_out(tokens, images):
    generator = torch.Generator().manual_seed(1)
    layer = Attention(32, 4, downsample_rate=1).double()
    for value in layer.parameters():
        value.data = torch.randn(value.shape, generator=generator).double() / 4
    token, image, placed = (
        torch.randn(b, n, 32, generator=generator).double()
        for b, n in ((2, tokens), (images, 50), (images, 50))
    )
    whole = [x.expand(2, -1, -1) for x in (placed, image)]
    torch.testing.assert_close(layer.to_image(token, placed, image), layer(token, *whole))
    torch.testing.assert_close(
        layer.from_image(placed, token, token + 1), layer(whole[0], token, token + 1)
    )
    assert layer._folds(token) == (tokens == 3)
