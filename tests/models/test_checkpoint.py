from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published

from napari_sam.models import checkpoint, vit
from napari_sam.models.checkpoint import recognise


@pytest.fixture(scope="module")
def small():
    return published(draw(SMALL))


def prefixed(weights, prefix):
    return {f"{prefix}{name}": value for name, value in weights.items()}


WRAPPED = {
    "bare": lambda w: w,
    "ordered": collections.OrderedDict,
    "model_state": lambda w: {"model_state": w, "decoder_state": {"x": torch.zeros(2)}},
    "state_dict": lambda w: {"state_dict": prefixed(w, "module."), "epoch": 3},
    "model": lambda w: {"model": prefixed(w, "sam."), "optimizer": {"lr": 0.1}},
    "an empty wrapper": lambda w: {"state_dict": {}, "model": w},
    "twice": lambda w: {"model": {"state_dict": prefixed(w, "module.sam.")}},
    "torch_em": lambda w: {
        "model_state": prefixed(w, "sam."), "iteration": 7, "optimizer_state": {"state": {}},
    },
    "further parts": lambda w: w | {"decoder.conv.weight": torch.zeros(3), "loss": 0.25},
}  # fmt: skip


@pytest.mark.parametrize("form", WRAPPED)
def test_wrappers_and_prefixes_are_understood(small, form):
    found = recognise(WRAPPED[form](small))
    assert found.family == "vit"
    assert found.tensors.keys() == small.keys()


def test_every_size_is_read_from_the_tensors(small):
    model = vit.build(recognise(small), "mine", "cpu")
    encoder = model.sam.image_encoder
    assert model.image_size == SMALL["image_size"]
    assert len(encoder.blocks) == SMALL["num_hidden_layers"]
    assert [block.window_size for block in encoder.blocks] == [3, 0, 3]
    assert encoder.blocks[0].attn.num_heads == SMALL["num_attention_heads"]
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" for p in encoder.parameters())


@pytest.mark.parametrize(
    ("width", "depth", "heads", "whole"),
    [
        (768, 12, 12, (2, 5, 8, 11)),
        (1024, 24, 16, (5, 11, 17, 23)),
        (1280, 32, 16, (7, 15, 23, 31)),
    ],
    ids=["ViT-B", "ViT-L", "ViT-H"],
)
def test_the_published_sizes(width, depth, heads, whole):
    """Of tensors without memory: only their shapes count."""
    with torch.device("meta"):
        encoder = vit.ImageEncoderViT(
            embed_dim=width, depth=depth, num_heads=heads, mlp_dim=4 * width,
            global_attn_indexes=whole,
        )  # fmt: skip
    shapes = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert shapes["pos_embed"] == (1, 64, 64, width)
    assert shapes["blocks.0.attn.rel_pos_h"] == (27, width // heads)
    assert shapes[f"blocks.{whole[0]}.attn.rel_pos_w"] == (127, width // heads)
    assert shapes["neck.2.weight"] == (256, 256, 3, 3)
    counts = {768: 89_670_912, 1024: 308_278_272, 1280: 637_026_048}
    assert sum(p.numel() for p in encoder.parameters()) == counts[width]


def test_half_precision_becomes_float32_and_the_files_tensors_stay(small):
    half = {name: value.half() for name, value in small.items()}
    model = vit.build(recognise(half), "mine", "cpu")
    value = model.sam.image_encoder.pos_embed
    assert value.dtype == torch.float32
    own = vit.build(recognise(small), "mine", "cpu").sam.image_encoder.pos_embed
    own.data += 1
    assert not torch.equal(own, small["image_encoder.pos_embed"])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: w.pop("image_encoder.blocks.1.mlp.lin2.bias"), "lacks image_encoder.blocks.1"),
        (lambda w: w.pop("image_encoder.pos_embed"), "lacks image_encoder.pos_embed"),
        (lambda w: w.update({"mask_decoder.more": torch.zeros(1)}), "besides mask_decoder.more"),
        (
            lambda w: w.update({"image_encoder.neck.1.bias": torch.zeros(7)}),
            r"neck\.1\.bias is \(7,\) in place of \(256,\)",
        ),
    ],
)
def test_what_does_not_fit_is_named(small, change, text):
    weights = dict(small)
    change(weights)
    with pytest.raises(ValueError, match=text):
        vit.build(recognise(weights), "mine", "cpu")


def test_a_model_of_volumes_is_refused(small):
    weights = dict(small)
    weights["image_encoder.patch_embed.proj.weight"] = torch.zeros(24, 1, 16, 16, 16)
    with pytest.raises(ValueError, match="only 2-D models"):
        vit.build(recognise(weights), "mine", "cpu")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([1, 2], "no dictionary of tensors"),
        ({}, "no dictionary of tensors"),
        ({"epoch": 3, "model": {"name": "x"}}, "no dictionary of tensors"),
        ({"x": torch.zeros(2)}, "not those of a known model"),
        ({"image_encoder.trunk.pos_embed": torch.zeros(2)}, "SAM 2"),
        ({"mask_decoder.hf_token.weight": torch.zeros(2)}, "SAM-HQ"),
        ({"vision_encoder.pos_embed": torch.zeros(2)}, "transformers"),
        ({"image_encoder.blocks.0.attn.qkv.qkv_proj.weight": torch.zeros(2)}, "LoRA"),
        ({"sam.x": torch.zeros(2), "x": torch.zeros(2)}, "several models"),
    ],
)
def test_other_content_is_refused_in_words(content, text):
    with pytest.raises(ValueError, match=text):
        recognise(content)


def test_pocket_is_recognised(pocket):
    weights = pocket.model.pocket.state_dict()
    assert recognise(weights).family == "pocket"
    with pytest.raises(ValueError, match="no complete pocket model"):
        recognise(dict(list(weights.items())[:5])).load_into(pocket.model.pocket)


def test_numbers_of_modules_are_counted():
    tensors = {name: torch.zeros(1) for name in ("a.0.w", "a.0.b", "a.10.w", "b.3.w")}
    assert checkpoint.Checkpoint(tensors, "vit").count("a.") == 2
    assert np.isclose(checkpoint.Checkpoint(tensors, "vit").nbytes, 16)
