"""What a file holds is recognised by names and shapes alone."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from napari_sam.models.families import FAMILIES
from napari_sam.models.recognition import Checkpoint, recognise

SIGN = {family.name: family.tensor for family in FAMILIES if family.tensor}


@pytest.fixture
def small():
    """Names of a SAM, each with something that has a shape."""
    names = (SIGN["vit"], "image_encoder.pos_embed", "prompt_encoder.x", "mask_decoder.y")
    return {name: np.zeros((2, 3)) for name in names}


def prefixed(weights, prefix):
    return {f"{prefix}{name}": value for name, value in weights.items()}


WRAPPED = {
    "bare": lambda w: w,
    "ordered": collections.OrderedDict,
    "model_state": lambda w: {"model_state": w, "decoder_state": {"x": np.zeros(2)}},
    "state_dict": lambda w: {"state_dict": prefixed(w, "module."), "epoch": 3},
    "model": lambda w: {"model": prefixed(w, "sam."), "optimizer": {"lr": 0.1}},
    "an empty wrapper": lambda w: {"state_dict": {}, "model": w},
    "twice": lambda w: {"model": {"state_dict": prefixed(w, "module.sam.")}},
    "torch_em": lambda w: {
        "model_state": prefixed(w, "sam."), "iteration": 7, "optimizer_state": {"state": {}},
    },
    "compiled": lambda w: prefixed(w, "_orig_mod."),
    "compiled inside": lambda w: {
        name.replace("image_encoder.", "image_encoder._orig_mod."): v for name, v in w.items()
    },
    "parallel, compiled": lambda w: prefixed(w, "module._orig_mod."),
    "Lightning": lambda w: {
        "state_dict": prefixed(w, "model.") | {"criterion.weight": np.zeros(2)},
        "hyper_parameters": {"lr": 1}, "callbacks": {}, "optimizer_states": [{"state": {}}],
    },
    "any prefix": lambda w: prefixed(w, "net.sam_model.backbone_7."),
    "net": lambda w: {"net": w},
    "model_ema": lambda w: {"model_ema": prefixed(w, "module.")},
    "model and ema": lambda w: {"ema": {name: v + 1 for name, v in w.items()}, "model": w},
    "ema in one dictionary": lambda w: {
        "state_dict": prefixed({name: v + 1 for name, v in w.items()}, "model_ema.")
        | prefixed(w, "model.")
    },
    "any wrapper": lambda w: {"run": {"best": {"weights_of_net": w}}, "seed": 3},
    "a list": lambda w: [{"epoch": 3}, (prefixed(w, "sam."), {"loss": np.zeros(4)})],
    "an optimiser with names": lambda w: {
        "model": w, "optimizer": {"exp_avg": {name: v + 1 for name, v in w.items()}},
    },
    "twice the same": lambda w: {"best": w, "last": w},
    "further parts": lambda w: w | {"decoder.conv.weight": np.zeros(3), "loss": 0.25},
}  # fmt: skip


@pytest.mark.parametrize("form", WRAPPED)
def test_wrappers_and_prefixes_are_understood(small, form):
    found = recognise(WRAPPED[form](small))
    assert found.family == "vit"
    assert found.tensors.keys() == small.keys()
    assert all(found.tensors[name] is value for name, value in small.items())


def test_containers_that_hold_themselves_come_to_an_end(small):
    content = {"a": []}
    content["a"] += [content, content["a"]]
    with pytest.raises(ValueError, match="no dictionary of tensors"):
        recognise(content)
    content["model"] = small
    assert recognise(content).family == "vit"


def test_each_family_is_recognised_by_its_tensor():
    for family in (one for one in FAMILIES if one.tensor):
        more = {name: np.zeros(1) for name in (f"{part}more" for part in family.parts or ("x.",))}
        found = recognise({"state_dict": {family.tensor: np.zeros((2, 2)), **more}})
        assert found.family == family.name
        assert found.tensors.keys() == {family.tensor, *more}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([1, 2], "no dictionary of tensors"),
        ({}, "no dictionary of tensors"),
        ({"epoch": 3, "model": {"name": "x"}}, "no dictionary of tensors"),
        ({"x": np.zeros(2)}, "not those of a known model"),
        ({"image_encoder.trunk.body.stem.conv1.c.weight": np.zeros(2)}, "EdgeTAM"),
        ({"mask_decoder.hf_token.weight": np.zeros(2)}, "SAM-HQ"),
        ({"vision_encoder.pos_embed": np.zeros(2)}, "transformers"),
        ({"image_encoder.blocks.0.attn.qkv.qkv_proj.weight": np.zeros(2)}, "LoRA"),
        ({f"sam.{SIGN['vit']}": np.zeros(2), SIGN["vit"]: np.zeros(2)}, "several models"),
        ({"best": {SIGN["vit"]: np.zeros(2)}, "last": {SIGN["vit"]: np.ones(2)}}, "best, last"),
        ({f"{who}.{SIGN['pocket']}": np.zeros(2) for who in ("teacher", "student")}, "teacher"),
    ],
)
def test_other_content_is_refused_in_words(content, text):
    with pytest.raises(ValueError, match=text):
        recognise(content)


def test_an_error_names_what_can_be_loaded():
    with pytest.raises(ValueError, match=r"known are SAM \(ViT-B, .*\), .*, pocket and models"):
        recognise({"x": np.zeros(2)})


def test_pocket_is_recognised(pocket):
    weights = pocket.model.pocket.state_dict()
    assert recognise(weights).family == "pocket"
    assert recognise(weights).tensors.keys() == weights.keys()


def test_numbers_of_modules_are_counted():
    found = Checkpoint({name: np.zeros(1) for name in ("a.0.w", "a.0.b", "a.10.w", "b.3.w")}, "vit")
    assert found.count("a.") == 2


def test_shapes_and_bytes():
    found = Checkpoint({"a": np.zeros((2, 3)), "b": np.zeros(()), "c": np.zeros(4, np.int8)}, "vit")
    assert found.shape("a") == (2, 3)
    assert found.nbytes == 4 * (6 + 1 + 4)
    with pytest.raises(ValueError, match="the checkpoint lacks d"):
        found.shape("d")
    assert found.shape("a", 2) == (2, 3)
    with pytest.raises(ValueError, match=r"a must have 3 axes, .* but its shape is \(2, 3\)"):
        found.shape("a", 3)
