from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch
from stubs import stubbed_torchvision

from napari_sam.models import mobile_sam
from napari_sam.models.mask_decoder import MaskDecoder
from napari_sam.models.mobile_sam import TinyViT
from napari_sam.models.prompt_encoder import PromptEncoder
from napari_sam.models.recognition import recognise
from napari_sam.models.sam import Sam
from napari_sam.models.two_way import TwoWayTransformer

TOLERANCE = 1e-3  # in standard deviations of the reference's answer
RENAMED = (
    (r"^patch_embed\.conv1\.", "patch_embed.seq.0."),
    (r"^patch_embed\.conv2\.", "patch_embed.seq.2."),
    (r"^head\.norm\.", "norm_head."),
    (r"^head\.fc\.", "head."),
    (r"^stages\.", "layers."),
    (r"\.conv\.weight$", ".c.weight"),
)


def renamed(name):
    """Return the published name of one of timm's parameters."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    # timm puts the way between two stages into the later one
    found = re.match(r"layers\.(\d)\.downsample\.(.*)", name)
    return f"layers.{int(found[1]) - 1}.downsample.{found[2]}" if found else name


@pytest.fixture(scope="module")
def timms():
    """Return timm's TinyViT-5M, all drawn, with the stride that MobileSAM changed."""
    with stubbed_torchvision():
        from timm.models.tiny_vit import TinyVit
    model = TinyVit(
        embed_dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(2, 4, 5, 10),
        window_sizes=(7, 7, 14, 7),
    ).eval()
    model.stages[3].downsample.conv2.conv.stride = (1, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            drawn = torch.randn(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(0.5 + drawn.abs())
            elif value.ndim > 1:
                scale = 1.0 if "biases" in name else 1.2 / math.sqrt(value[0].numel())
                value.copy_(drawn * scale)
            else:
                value.copy_(0.2 * drawn + (1.0 if name.endswith("weight") else 0.0))
    return model


def test_parameters_have_their_published_names_and_shapes(timms):
    wanted = {renamed(name): tuple(v.shape) for name, v in timms.state_dict().items()}
    wanted |= {
        "neck.0.weight": (256, 320, 1, 1), "neck.1.weight": (256,), "neck.1.bias": (256,),
        "neck.2.weight": (256, 256, 3, 3), "neck.3.weight": (256,), "neck.3.bias": (256,),
    }  # fmt: skip
    own = TinyViT()
    assert {name: tuple(v.shape) for name, v in own.state_dict().items()} == wanted
    # with SAM's light half 10,130,092 numbers of 4 bytes: the published file has 40,728,226
    assert sum(p.numel() for p in own.parameters()) == 6_065_532


@pytest.mark.parametrize("size", [(224, 224), (256, 160)])
@torch.inference_mode()
def test_features_are_timms(timms, size):
    own = TinyViT().eval()
    weights = {renamed(name): value for name, value in timms.state_dict().items()}
    assert not own.load_state_dict(weights, strict=False).unexpected_keys
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(4))
    theirs = timms.forward_features(image)
    features = []
    own.neck.register_forward_pre_hook(lambda module, given: features.append(given[0]))
    assert own(image).shape == (2, 256, size[0] // 16, size[1] // 16)
    assert theirs.shape == (2, 320, size[0] // 16, size[1] // 16)
    assert theirs.std() > 0.1
    assert (features[0] - theirs).abs().max() / theirs.std() <= TOLERANCE


@torch.inference_mode()
def test_a_wrong_weight_of_each_layer_is_noticed(timms):
    own = TinyViT().eval()
    own.load_state_dict({renamed(k): v for k, v in timms.state_dict().items()}, strict=False)
    image = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(4))
    theirs = timms.forward_features(image)
    features = []
    own.neck.register_forward_pre_hook(lambda module, given: features.append(given[0]))
    unnoticed = []
    for name, value in own.state_dict().items():
        if not value.is_floating_point() or name.startswith(("neck", "norm_head", "head")):
            continue
        flat = value.view(-1)
        # of attention, a key's bias has no effect; of `qkv` each head's last part is the value
        place = -1 if "qkv" in name else 0 if "biases" in name else flat.numel() // 2
        kept = flat[place].clone()
        flat[place] += 1.0
        own(image)
        if (features.pop() - theirs).abs().max() / theirs.std() <= TOLERANCE:
            unnoticed.append(name)
        flat[place] = kept
    assert not unnoticed


@pytest.fixture(scope="module")
def published():
    """Return the state dict of a MobileSAM of random weights, as its file holds it."""
    torch.manual_seed(0)
    light = PromptEncoder(256, (64, 64), (1024, 1024), 16)
    return Sam(TinyViT(), light, MaskDecoder(256, TwoWayTransformer(2, 256, 8, 2048))).state_dict()


def test_a_checkpoint_is_recognised_and_built(published):
    found = recognise(published)
    assert found.family == "mobile_sam"
    assert found.nbytes < 40_728_226
    model = mobile_sam.build(found, "mine", "cpu")
    assert model.image_size == 1024
    assert all(b.device.type == "cpu" for b in model.sam.buffers())  # those not in the file too
    features = model.encode(np.zeros((20, 30, 3), np.uint8))
    assert torch.isfinite(features).all()
    for name, value in model.sam.state_dict().items():
        torch.testing.assert_close(value, published[name], rtol=0, atol=0)


def test_the_classifiers_head_may_be_missing(published):
    bare = {k: v for k, v in published.items() if not k.startswith("image_encoder.head.")}
    model = mobile_sam.build(recognise(bare), "mine", "cpu")
    assert "image_encoder.head.weight" not in model.sam.state_dict()


def test_a_missing_tensor_is_named(published):
    less = {k: v for k, v in published.items() if k != "image_encoder.neck.3.bias"}
    with pytest.raises(ValueError, match=r"lacks image_encoder\.neck\.3\.bias"):
        mobile_sam.build(recognise(less), "mine", "cpu")
