from __future__ import annotations

import pytest
import torch

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
