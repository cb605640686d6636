from __future__ import annotations

import pytest
import torch
from another_sam import SMALL, draw, published
from reference_decoder import new_sam
from safetensors.torch import load_file, save_file
from stubs import stubbed_torchvision

from napari_sam.models import registry
from napari_sam.models.adapters import export_full, fingerprint_of, write_tuned
from napari_sam.models.cards import Card
from napari_sam.models.checkpoint import read
from napari_sam.steps import drive

QKV, PROJ = "image_encoder.blocks.0.attn.qkv", "image_encoder.blocks.1.attn.proj"
TOKEN = "mask_decoder.iou_token.weight"
NORM = "mask_decoder.transformer.norm_final_attn.weight"


@pytest.fixture(scope="module")
def weights():
    return published(draw(SMALL))


@pytest.fixture
def base(weights, tmp_path):
    torch.save(weights, tmp_path / "base.pth")
    return tmp_path / "base.pth"


def changes(weights):
    """Return what a tuned file holds, and all weights that should come of it."""
    drawn = torch.Generator().manual_seed(0)
    (width, inputs), rows = weights[f"{PROJ}.weight"].shape, torch.arange(48, 72)
    stored = {
        f"{QKV}.lora_a": torch.randn(4, inputs, generator=drawn),
        f"{QKV}.lora_b": torch.randn(24, 4, generator=drawn),
        f"{QKV}.lora_rows": rows,
        f"{PROJ}.lora_a": torch.randn(2, inputs, generator=drawn),
        f"{PROJ}.lora_b": torch.randn(width, 2, generator=drawn),
        f"{TOKEN}.added": torch.randn(1, 256, generator=drawn).half(),
        NORM: torch.randn(256, generator=drawn),
    }
    wanted = {name: value.clone() for name, value in weights.items()}
    wanted[f"{QKV}.weight"][rows] += stored[f"{QKV}.lora_b"] @ stored[f"{QKV}.lora_a"]
    wanted[f"{PROJ}.weight"] += stored[f"{PROJ}.lora_b"] @ stored[f"{PROJ}.lora_a"]
    wanted[TOKEN] += stored[f"{TOKEN}.added"].float()
    wanted[NORM] = stored[NORM]
    return stored, wanted


def card(base, **options):
    return Card(str(base), fingerprint_of(read(base)), **options)


def test_a_tuned_file_loads_as_its_base_with_what_it_changes(base, weights, tmp_path):
    stored, wanted = changes(weights)
    tuned = tmp_path / "tuned.safetensors"
    write_tuned(tuned, stored, card(base))
    model = registry.load_model(tuned, "cpu", precision="float32")
    assert model.name == "tuned"
    found = model.sam.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-6)
    untouched = set(weights) - {f"{QKV}.weight", f"{PROJ}.weight", TOKEN, NORM}
    assert all((found[name] == weights[name]).all() for name in untouched)


def test_a_tuned_file_may_be_the_base_of_another(base, weights, tmp_path):
    stored, wanted = changes(weights)
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    write_tuned(first, stored, card(base))
    merged = fingerprint_of(drive(registry.reading(first, "cpu")))
    write_tuned(second, {f"{NORM}.added": torch.ones(256)}, Card(str(first), merged))
    found = registry.load_model(second, "cpu", precision="float32").sam.state_dict()
    torch.testing.assert_close(found[NORM], wanted[NORM] + 1)
    torch.testing.assert_close(found[f"{PROJ}.weight"], wanted[f"{PROJ}.weight"])


def test_a_base_is_found_beside_the_file_when_both_were_moved(base, weights, tmp_path):
    write_tuned(tmp_path / "tuned.safetensors", changes(weights)[0], card(base))
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("base.pth", "tuned.safetensors"):
        (tmp_path / name).rename(moved / name)
    registry.load_model(moved / "tuned.safetensors", "cpu")
    (moved / "base.pth").unlink()
    with pytest.raises(ValueError, match=r"base\.pth, which is not there; put base\.pth beside it"):
        registry.load_model(moved / "tuned.safetensors", "cpu")


def test_another_base_is_refused(base, weights, tmp_path):
    tuned = tmp_path / "tuned.safetensors"
    write_tuned(tuned, changes(weights)[0], card(base))
    torch.save(weights | {NORM: weights[NORM] + 1e-3}, base)
    with pytest.raises(ValueError, match=r"tuned on other weights than those of .*base\.pth; load"):
        registry.load_model(tuned, "cpu")


def test_the_precision_of_a_base_file_and_the_order_of_its_tensors_play_no_part(weights, tmp_path):
    coarse = {name: value.half() for name, value in weights.items()}
    torch.save(coarse, tmp_path / "half.pth")
    again = {name: coarse[name].float() for name in reversed(coarse)}
    torch.save({"model": again}, tmp_path / "whole.pth")
    a, b = (fingerprint_of(read(tmp_path / name)) for name in ("half.pth", "whole.pth"))
    assert a == b


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"mask_decoder.other": torch.ones(2)}, "lacks mask_decoder.other"),
        ({NORM: torch.ones(3)}, r"is \(3,\) in place of \(256,\)"),
        ({f"{QKV}.lora_a": torch.ones(4, 24)}, "nothing that .* belongs to"),
        ({"x.lora_a": torch.ones(4, 24), "x.lora_b": torch.ones(72, 4)}, "nothing that"),
        ({f"{QKV}.lora_a": torch.ones(4, 23), f"{QKV}.lora_b": torch.ones(72, 4)}, "do not fit"),
        (
            {
                f"{QKV}.lora_a": torch.ones(4, 24),
                f"{QKV}.lora_b": torch.ones(2, 4),
                f"{QKV}.lora_rows": torch.tensor([0, 72]),
            },
            "rows that its weight does not have",
        ),
    ],
)
def test_what_does_not_fit_the_base_is_refused(base, tmp_path, wrong, error):
    tuned = tmp_path / "tuned.safetensors"
    write_tuned(tuned, wrong, card(base))
    with pytest.raises(ValueError, match=error):
        registry.load_model(tuned, "cpu")


def test_a_damaged_file_is_refused(base, weights, tmp_path):
    tuned = tmp_path / "tuned.safetensors"
    write_tuned(tuned, changes(weights)[0], card(base))
    whole = tuned.read_bytes()
    tuned.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ValueError, match="its checksum is wrong; copy or make it again"):
        registry.load_model(tuned, "cpu")
    tuned.write_bytes(whole[:-50])
    with pytest.raises(ValueError, match="damaged"):
        registry.load_model(tuned, "cpu")


def test_a_complete_file_needs_no_base(weights, tmp_path):
    tuned = tmp_path / "tuned.safetensors"
    write_tuned(tuned, weights, Card("nowhere.pth", "", complete=True))
    found = registry.load_model(tuned, "cpu", precision="float32").sam.state_dict()
    assert all((found[name] == value).all() for name, value in weights.items())
    whole = tuned.read_bytes()
    tuned.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(ValueError, match="its checksum is wrong"):
        registry.load_model(tuned, "cpu")


def test_an_exported_model_is_complete_in_both_formats(base, weights, tmp_path):
    stored, wanted = changes(weights)
    write_tuned(tmp_path / "tuned.safetensors", stored, card(base))
    for name in ("full.pth", "full.safetensors"):
        export_full(tmp_path / "tuned.safetensors", tmp_path / name)
        found = registry.load_model(tmp_path / name, "cpu", precision="float32").sam.state_dict()
        for key, value in wanted.items():
            torch.testing.assert_close(found[key], value, rtol=0, atol=1e-6)
    torch.load(tmp_path / "full.pth", weights_only=True)
    assert load_file(tmp_path / "full.safetensors").keys() == wanted.keys()


@pytest.mark.slow
def test_an_exported_vit_b_loads_in_the_published_program(tmp_path):
    """On random weights of the published shape; equal weights answer alike (`test_official`)."""
    with stubbed_torchvision():
        import segment_anything
    weights = new_sam("vit_b").state_dict()
    save_file(weights, tmp_path / "base.safetensors")
    name = "mask_decoder.mask_tokens.weight"
    stored = {f"{name}.added": torch.ones(4, 256).half()}
    write_tuned(tmp_path / "tuned.safetensors", stored, card(tmp_path / "base.safetensors"))
    export_full(tmp_path / "tuned.safetensors", tmp_path / "full.pth")
    theirs = segment_anything.sam_model_registry["vit_b"](checkpoint=str(tmp_path / "full.pth"))
    found = theirs.state_dict()
    assert found.keys() == weights.keys()
    for key, value in weights.items():
        assert (found[key] == (value + 1 if key == name else value)).all()
