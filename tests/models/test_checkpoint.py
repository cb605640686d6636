from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from safetensors.torch import save_file

from napari_sam.models import vit
from napari_sam.models.checkpoint import load_into, read
from napari_sam.models.recognition import recognise


class Trainer:
    """Stands for what training programs put into their checkpoints."""


@pytest.fixture(scope="module")
def small():
    return published(draw(SMALL))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_of_torch_are_read(tmp_path, small, zipped):
    path = tmp_path / "a.pt"
    torch.save({"model_state": small}, path, _use_new_zipfile_serialization=zipped)
    found = read(path)
    assert found.family == "vit"
    torch.testing.assert_close(
        found.tensors["image_encoder.pos_embed"], small["image_encoder.pos_embed"]
    )


def test_safetensors_are_read(tmp_path, small):
    for name in ("a.safetensors", "without_suffix"):
        save_file({k: value.contiguous() for k, value in small.items()}, tmp_path / name)
        assert read(tmp_path / name).tensors.keys() == small.keys()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (argparse.Namespace(lr=1), "argparse.Namespace"),
        (Trainer(), "Trainer"),
        (np.float64(0.5), "numpy"),
        (Path("x"), "pathlib"),
        (print, "print"),
        (torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
    ],
    ids=["namespace", "own class", "numpy", "path", "function", "module"],
)
def test_a_file_with_anything_else_is_refused_by_name(tmp_path, small, extra, named, zipped):
    path = tmp_path / "a.pt"
    content = {"model_state": small, "extra": extra}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=rf"(?s)({named}).*torch\.save\(model\.state_dict\(\)"):
        read(path)


class Harm:
    """Runs a command when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_nothing_in_a_file_is_run(tmp_path):
    torch.save({"a": Harm(tmp_path / "harm")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"(posix|nt)\.system"):
        read(tmp_path / "a.pt")
    assert not (tmp_path / "harm").exists()


def test_damaged_files_are_refused(tmp_path, small):
    torch.save(small, tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for name, content in {
        "half.pt": whole[: len(whole) // 2],
        "empty.pt": b"",
        "page.pt": b"<html>404</html>",
        "noise.pt": os.urandom(500),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_flipped_bits_end_in_a_sentence(tmp_path, zipped):
    torch.save({"x": torch.arange(20.0)}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    whole = (tmp_path / "a.pt").read_bytes()
    rng = np.random.default_rng(0)
    for k in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 1 + k % 3):
            broken[place] ^= 1 << rng.integers(8)
        (tmp_path / "b.pt").write_bytes(broken)
        with pytest.raises(ValueError, match=r"b\.pt"):  # no model, or damaged
            read(tmp_path / "b.pt")
    (tmp_path / "b.pt").write_bytes(whole.replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(ValueError, match=r"b\.pt"):
        read(tmp_path / "b.pt")


def test_a_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "program.pt")
    with pytest.raises(ValueError, match="TorchScript"):
        read(tmp_path / "program.pt")


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


def test_a_part_of_pocket_is_no_pocket(pocket):
    weights = pocket.model.pocket.state_dict()
    with pytest.raises(ValueError, match="no complete pocket model"):
        load_into(pocket.model.pocket, recognise(dict(list(weights.items())[:5])))
