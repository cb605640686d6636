from __future__ import annotations

import pytest
import torch

from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.two_way import Attention, TwoWayTransformer


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


def drawn(module, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        value.data = torch.randn(value.shape, generator=generator).double() / 4
    return module.double(), lambda *shape: torch.randn(shape, generator=generator).double()


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("per_prompt", [True, False])
def test_tokens_and_image_attend_as_written_out(shared, per_prompt):
    layer, draw = drawn(Attention(32, 4, downsample_rate=2))
    tokens, positions = draw(2, 7, 32), draw(50, 32)
    common = draw(50, 32) if shared else torch.zeros(50, 32).double()
    part = draw(2, 50, 32) if per_prompt else torch.zeros(2, 50, 32).double()
    whole = common + part
    given = part if per_prompt else None
    attended = layer.to_image(
        tokens,
        layer.project_keys(common + positions),
        layer.project_values(common) if shared or not per_prompt else None,
        given,
    )
    torch.testing.assert_close(attended, layer(tokens, whole + positions, whole))
    images = layer.from_image(
        whole, layer.project_queries(common + positions), given, tokens, tokens + 1
    )
    torch.testing.assert_close(
        torch.stack(images), whole + layer(whole + positions, tokens, tokens + 1)
    )


def test_the_prompts_part_of_the_image_counts_as_the_shared_one():
    transformer, draw = drawn(TwoWayTransformer(2, 32, 4, 64))
    image, per_prompt, places, tokens = (
        draw(1, 32, 5, 6),
        draw(2, 32, 5, 6),
        draw(1, 32, 5, 6),
        draw(2, 7, 32),
    )
    split = transformer(transformer.project_image(image, places), per_prompt, tokens)
    none = transformer(transformer.project_image(None, places), image + per_prompt, tokens)
    for one, other in zip(split, none, strict=True):
        torch.testing.assert_close(one, other)


@torch.inference_mode()
def test_some_of_the_masks_are_those_of_all():
    decoder, draw = drawn(full_size())
    image, places, sparse = draw(1, 256, 4, 6), draw(1, 256, 4, 6), draw(3, 2, 256)
    whole = decoder(image, places, sparse, torch.zeros(3, 256, 4, 6).double())
    projections = decoder.project_image(image, places)
    for masks in (slice(1, None), slice(0, 1)):
        logits, iou = decoder.predict_masks(projections, sparse, None, masks)
        for one, other in zip((torch.stack(logits), iou), whole, strict=True):
            torch.testing.assert_close(one, other[:, masks])


@torch.inference_mode()
def test_bfloat16_comes_close_and_leaves_what_it_returns_in_float32():
    decoder = full_size()
    generator = torch.Generator().manual_seed(2)
    image, places, sparse = (
        torch.randn(*shape, generator=generator)
        for shape in ((1, 256, 8, 8), (1, 256, 8, 8), (2, 2, 256))
    )
    mask = torch.randn(2, 256, 8, 8, generator=generator)

    def predict(*prompts):
        logits, iou = decoder.predict_masks(*prompts)
        return torch.stack(logits), iou

    exact, scores = predict(decoder.project_image(image, places), sparse, None)
    with_mask, _ = predict(decoder.project_image(image, places), sparse, mask)
    decoder.set_precision(torch.bfloat16)
    projections = decoder.project_image(image, places)
    assert projections.image.dtype == projections.layers[1].keys.dtype == torch.bfloat16
    logits, iou = predict(projections, sparse, None)
    assert logits.dtype == iou.dtype == torch.float32
    assert (logits - exact).abs().mean() < 0.03 * exact.std()
    assert (iou - scores).abs().max() < 0.03
    assert not torch.equal(logits, exact)
    logits, _ = predict(projections, sparse, mask)
    assert (logits - with_mask).abs().mean() < 0.03 * with_mask.std()


def test_it_can_be_trained_in_mixed_precision():
    decoder = full_size().train()
    given = [torch.randn(*shape) for shape in ((1, 256, 8, 6), (1, 256, 8, 6), (3, 2, 256))]
    dense = torch.randn(3, 256, 8, 6)
    exact, _ = decoder(*given, dense)
    with torch.autocast("cpu", torch.bfloat16):
        logits, iou = decoder(*given, dense)
    assert (logits - exact).std() < 0.05 * exact.std()
    (logits.float().square().mean() + iou.float().square().mean()).backward()
    for name, value in decoder.named_parameters():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        assert value.grad.any() or "k_proj.bias" in name, name
