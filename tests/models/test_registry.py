from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from safetensors.torch import save_file

from napari_sam.models import fetch, registry, weights
from napari_sam.models.specs import SPECS, ModelSpec
from napari_sam.predict.predictor import SamPredictor
from napari_sam.types import Prompts


def test_names_are_known_once():
    names = [spec.name for spec in SPECS]
    assert len(set(names)) == len(names)
    assert registry.find_spec("pocket").licence == "BSD-3-Clause"
    assert registry.available(registry.find_spec("pocket"))


def test_published_models_have_an_address_a_hash_and_a_licence():
    for spec in SPECS[1:]:
        assert spec.url.startswith("https://")
        assert re.fullmatch(r"sha256:[0-9a-f]{64}|xxh128:[0-9a-f]{32}", spec.hash)
        assert spec.licence
        assert spec.size > 1e7
        assert spec.image_size == 1024


def test_an_unknown_name_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'pocked'; choose one of .*pocket"):
        registry.load_model("pocked")


def test_a_file_of_weights_is_loaded_under_its_own_name(tmp_path, pocket):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(registry.bundled_path(registry.find_spec("pocket")).read_bytes())
    mine = SamPredictor(registry.load_model(path, device="cpu"))
    assert mine.model.name == "mine"
    plane = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    answers = [p.predict(p.encode(plane), Prompts([(5, 5)])) for p in (mine, pocket)]
    np.testing.assert_array_equal(answers[0].masks, answers[1].masks)


def test_a_sam_of_any_size_is_loaded_from_a_path_and_answers(tmp_path):
    torch.save({"model_state": published(draw(SMALL))}, tmp_path / "my_sam.pt")
    predictor = SamPredictor(registry.load_model(tmp_path / "my_sam.pt", device="cpu"))
    assert predictor.model.image_size == 128
    answer = predictor.predict(predictor.encode(np.eye(50)), Prompts([(5, 5)]))
    assert np.array(answer.masks).shape == (3, 50, 50)


def test_the_precision_of_the_encoder_can_be_said(tmp_path):
    torch.save(published(draw(SMALL)), tmp_path / "my_sam.pt")
    for precision, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        model = registry.load_model(tmp_path / "my_sam.pt", "cpu", precision=precision)
        assert model.sam.image_encoder.blocks[0].attn.qkv.weight.dtype == dtype
    with pytest.raises(ValueError, match="pocket computes in float32 only; leave"):
        registry.load_model("pocket", "cpu", precision="bfloat16")
    with pytest.raises(ValueError, match="but is 'half'"):
        registry.load_model(tmp_path / "my_sam.pt", "cpu", precision="half")


def test_missing_damaged_and_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file of weights"):
        registry.load_model(tmp_path / "none.safetensors", device="cpu")
    (tmp_path / "damaged.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        registry.load_model(tmp_path / "damaged.safetensors", device="cpu")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not those of a known model"):
        registry.load_model(tmp_path / "other.safetensors", device="cpu")


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """A published model whose file is in the cache already."""
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path))
    content = tmp_path / "content.pt"
    torch.save(published(draw(SMALL)), content)
    digest = hashlib.sha256(content.read_bytes()).hexdigest()
    spec = ModelSpec(
        "published", "SAM", "http://127.0.0.1:9/published.pt", f"sha256:{digest}",
        content.stat().st_size, "none", 128, "",
    )  # fmt: skip
    content.rename(fetch.cached_path(spec))
    monkeypatch.setattr(registry, "SPECS", (*SPECS, spec))
    return spec


def test_a_published_model_is_loaded_from_the_cache_by_its_name(downloaded):
    assert registry.available(downloaded)
    assert registry.load_model("published", "cpu", offline=True).name == "published"


def test_a_tampered_file_in_the_cache_is_not_loaded(downloaded):
    path = fetch.cached_path(downloaded)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="downloads are switched off"):
        registry.load_model("published", "cpu", offline=True)


def test_a_model_that_is_not_here_says_so_offline(downloaded, monkeypatch):
    fetch.cached_path(downloaded).unlink()
    assert not registry.available(downloaded)
    monkeypatch.setenv("NAPARI_SAM_OFFLINE", "1")
    with pytest.raises(ValueError, match="downloads are switched off"):
        registry.load_model("published", "cpu")


def test_memory_is_looked_at_before_anything_is_fetched(downloaded, monkeypatch):
    class Little:
        available = 500_000_000

    fetch.cached_path(downloaded).unlink()
    monkeypatch.setattr(weights.psutil, "virtual_memory", lambda: Little)
    large = replace(downloaded, size=2_600_000_000)
    monkeypatch.setattr(registry, "SPECS", (large,))
    with pytest.raises(ValueError, match=r"published needs about 3\.6 GB of memory"):
        registry.load_model("published", "cpu")
