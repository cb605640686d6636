from __future__ import annotations

import pytest
import torch
from tiny import tiny_sam

from napari_sam.models import weights


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


def test_the_precision_is_what_the_processor_can_do(monkeypatch):
    assert weights.choose_dtype("float32", "cpu") is torch.float32
    assert weights.choose_dtype("bfloat16", "cpu") is torch.bfloat16
    for able, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(weights, "has_bfloat16", lambda able=able: able)
        assert weights.choose_dtype("auto", "cpu") is expected
        assert weights.choose_dtype("auto", "mps") is torch.float32
    with pytest.raises(ValueError, match="'half'"):
        weights.choose_dtype("half", "cpu")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx2 avx512f", False),
        ("avx512f avx512_bf16", True),
        ("amx_bf16 amx_tile", True),
        ("", False),
    ],
)
def test_instructions_for_bfloat16(monkeypatch, tmp_path, flags, expected):
    """By torch's list, by Linux's where torch has none, and none without both."""
    listed = dict.fromkeys(flags.split(), True) | {"avx512_vnni": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: listed, raising=False)
    assert weights.has_bfloat16() is expected
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(weights, "CPU_INFO", tmp_path / "cpuinfo")
    assert not weights.has_bfloat16()
    (tmp_path / "cpuinfo").write_text(f"model name\t: some\nflags\t\t: fpu {flags} vnni\n")
    assert weights.has_bfloat16() is expected


def test_a_model_says_its_precision(monkeypatch):
    sam = tiny_sam()
    assert sam.precision == "float32"
    sam.set_precision("bfloat16")
    assert sam.precision == "bfloat16"
    monkeypatch.setattr(weights, "has_bfloat16", lambda: False)
    sam.set_precision("auto")
    assert sam.precision == "float32"
