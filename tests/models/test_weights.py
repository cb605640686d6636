from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from safetensors.torch import save_file

from napari_sam.models import weights


class Trainer:
    """Stands for what training programs put into their checkpoints."""


@pytest.fixture(scope="module")
def small():
    return published(draw(SMALL))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_files_of_torch_are_read(tmp_path, small, zipped):
    path = tmp_path / "a.pt"
    torch.save({"model_state": small}, path, _use_new_zipfile_serialization=zipped)
    found = weights.read(path)
    assert found.family == "vit"
    torch.testing.assert_close(
        found.tensors["image_encoder.pos_embed"], small["image_encoder.pos_embed"]
    )


def test_safetensors_are_read(tmp_path, small):
    for name in ("a.safetensors", "without_suffix"):
        save_file({k: value.contiguous() for k, value in small.items()}, tmp_path / name)
        assert weights.read(tmp_path / name).tensors.keys() == small.keys()


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
        weights.read(path)


class Harm:
    """Runs a command when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_nothing_in_a_file_is_run(tmp_path):
    torch.save({"a": Harm(tmp_path / "harm")}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"(posix|nt)\.system"):
        weights.read(tmp_path / "a.pt")
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
            weights.read(tmp_path / name)


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
            weights.read(tmp_path / "b.pt")
    (tmp_path / "b.pt").write_bytes(whole.replace(b"PK\x01\x02", b"PK\x01\x03"))
    with pytest.raises(ValueError, match=r"b\.pt"):
        weights.read(tmp_path / "b.pt")


def test_a_program_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "program.pt")
    with pytest.raises(ValueError, match="TorchScript"):
        weights.read(tmp_path / "program.pt")


def test_a_model_that_memory_cannot_hold_is_refused_before_it_is_tried(monkeypatch):
    class Little:
        available = 2_000_000_000

    monkeypatch.setattr(weights.psutil, "virtual_memory", lambda: Little)
    weights.check_memory(1_300_000_000, 600_000_000, "cpu", "vit_l")
    with pytest.raises(
        ValueError, match=r"vit_h needs about 3\.2 GB of memory on cpu, but 2\.0 GB"
    ):
        weights.check_memory(2_600_000_000, 600_000_000, "cpu", "vit_h")


def test_devices():
    assert weights.choose_device("cpu") == "cpu"
    assert weights.choose_device("auto") in ("cpu", "cuda", "mps")
    for wrong in ("tpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(ValueError, match=f"is {wrong!r}"):
            weights.choose_device(wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no cuda"):
        weights.choose_device("cuda:0")


def test_the_precision_is_measured_where_it_is_not_said(monkeypatch):
    assert weights.choose_dtype("float32", "cpu") is torch.float32
    assert weights.choose_dtype("bfloat16", "cpu") is torch.bfloat16
    for quick, expected in ((1.0, torch.bfloat16), (1.9, torch.float32)):
        times = {torch.float32: 2.0, torch.bfloat16: quick}
        monkeypatch.setattr(weights, "_product_time", times.get)
        assert weights.choose_dtype("auto", "cpu") is expected
    assert weights.choose_dtype("auto", "mps") is torch.float32
    with pytest.raises(ValueError, match="'half'"):
        weights.choose_dtype("half", "cpu")


def test_products_are_timed():
    assert 0 < weights._product_time(torch.float32) < 5
