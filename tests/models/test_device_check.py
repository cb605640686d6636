"""A device that fails, or computes something else than the CPU, is not used."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published

from napari_sam.models import device_check, mobile_sam, registry, weights
from napari_sam.models.pocket import PocketModel
from napari_sam.models.sam import PROBE_SIZE, SamModel
from napari_sam.models.vit import ImageEncoderViT

OFF = r"is [\d.]+ % off what the CPU computes"
ELSEWHERE = "cpu:0"  # another name of the CPU, which stands for a device that works


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(published(draw(SMALL)), path)
    return path


@pytest.fixture(params=["pocket", "mine"])
def name(request, checkpoint):
    return "pocket" if request.param == "pocket" else checkpoint


@pytest.fixture(params=["auto", "cuda"])
def device(request, monkeypatch):
    """What the user asks for; `ELSEWHERE` is what there is."""
    monkeypatch.setattr(weights, "choose_device", lambda name: ELSEWHERE)
    return request.param


def spoil(monkeypatch, change):
    """Let models compute something else on any device but the CPU."""
    for family in (PocketModel, SamModel):
        real = family.probe

        def probe(self, real=real):
            answers = real(self)
            return answers if self.device == "cpu" else change(answers)

        monkeypatch.setattr(family, "probe", probe)


def not_finite(answers):
    answers[-1][0, 0, 0, 0] = np.nan
    return answers


def fails(error):
    def change(answers):
        raise error

    return change


def test_a_device_that_agrees_is_used(name, device):
    model = registry.load_model(name, device)
    assert model.device == ELSEWHERE
    assert model.notice == ""


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda answers: [*answers[:-1], 1.5 * answers[-1]], OFF),
        (lambda answers: [answers[0][..., ::-1], *answers[1:]], OFF),
        (not_finite, "gives numbers that are not finite"),
        (fails(RuntimeError("CUDA error: no kernel\nmore")), r"fails \(CUDA error: no kernel\)"),
        (fails(RuntimeError()), r"fails \(RuntimeError\)"),
        (fails(NotImplementedError("not there " * 50)), r"fails \(not there .* \.\.\.\)"),
        (fails(TypeError("MPS has no float64")), r"fails \(MPS has no float64\)"),
    ],
    ids=["wrong", "mirrored", "not finite", "error", "bare error", "not implemented", "type"],
)
def test_any_other_is_not(name, device, monkeypatch, change, trouble):
    spoil(monkeypatch, change)
    model = registry.load_model(name, device)
    assert model.device == "cpu"
    reason = re.escape(f"{model.name} runs on the CPU, because {ELSEWHERE} ") + trouble
    assert re.fullmatch(f"{reason}; update torch and the driver, or choose cpu", model.notice)
    assert len(model.notice) < 250


def test_a_device_that_cannot_take_the_weights_is_not_used(name, monkeypatch):
    monkeypatch.setattr(weights, "choose_device", lambda name: "meta")
    model = registry.load_model(name)
    assert model.device == "cpu"
    assert "because meta fails" in model.notice


def test_other_errors_are_not_the_devices(name, monkeypatch, device):
    spoil(monkeypatch, fails(ValueError("ours")))
    with pytest.raises(ValueError, match="ours"):
        registry.load_model(name, device)


def test_the_cpus_memory_is_looked_at_before_it_is_used(checkpoint, monkeypatch, device):
    def check_memory(nbytes, working, device, name):
        if device == "cpu":
            raise ValueError(f"{name} needs more")

    monkeypatch.setattr(weights, "check_memory", check_memory)
    assert registry.load_model(checkpoint, device).device == ELSEWHERE
    spoil(monkeypatch, not_finite)
    with pytest.raises(ValueError, match=r"cpu:0 gives .* not finite, and mine needs more"):
        registry.load_model(checkpoint, device)


def test_the_cpu_is_not_checked(name, monkeypatch):
    for family in (PocketModel, SamModel):
        monkeypatch.setattr(family, "probe", fails(RuntimeError("checked")))
    assert registry.load_model(name, "cpu").notice == ""


def test_bfloat16_is_within_the_tolerance(checkpoint, device):
    model = registry.load_model(checkpoint, device, precision="bfloat16")
    assert (model.device, model.notice) == (ELSEWHERE, "")
    assert model.sam.image_encoder.blocks[0].attn.qkv.weight.dtype == torch.bfloat16


def test_a_fifth_is_too_much():
    a = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    for share, trouble in ((0.0, False), (0.15, False), (-0.15, False), (0.25, True)):
        assert bool(device_check.disagreement([a, (1 + share) * a], [a, a])) == trouble
    zeros = np.zeros(3, np.float32)
    assert not device_check.disagreement([zeros], [zeros])
    assert device_check.disagreement([a[0, :3]], [zeros])
    for wrong in (np.nan, np.inf):
        assert "not finite" in device_check.disagreement([zeros + np.float32(wrong)], [zeros])


@torch.inference_mode()
def test_a_corner_goes_through_windows_and_the_whole_grid():
    encoder = ImageEncoderViT(
        img_size=PROBE_SIZE + 64, embed_dim=8, depth=4, num_heads=2, mlp_dim=8, out_chans=4,
        global_attn_indexes=(1, 3),
    )  # fmt: skip
    used = []
    for index, block in enumerate(encoder.blocks):
        block.register_forward_hook(lambda *_, index=index: used.append(index))
    cells = PROBE_SIZE // 16
    assert encoder.encode_corner(torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE)).shape == (
        1,
        4,
        cells,
        cells,
    )
    assert used == [2, 3]


def test_every_part_of_a_sam_is_checked(tiny_predictor):
    model = tiny_predictor.model
    corner, logits = model.probe()
    assert corner.shape == (1, 32, 4, 4)
    assert logits.shape == (1, 3, 16, 16)
    sam = model.sam
    for weight in (sam.image_encoder.patches.weight, sam.mask_decoder.mask_tokens.weight):
        former = weight.data
        weight.data = 2 * former
        found = model.probe()
        weight.data = former
        assert device_check.disagreement(found, [corner, logits])
    assert not device_check.disagreement(model.probe(), [corner, logits])


def test_mobile_sam_is_checked_on_a_part_of_its_input():
    encoder = mobile_sam.TinyViT((8, 8, 8, 8), (1, 1, 1, 1), (2, 2, 2), num_classes=0).eval()
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE)).shape == (1, 256, 36, 36)
