from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_sam.models import registry, weights
from napari_sam.predictor import SamPredictor
from napari_sam.types import Prompts


def test_names_are_known_once():
    names = [spec.name for spec in registry.SPECS]
    assert len(set(names)) == len(names)
    assert registry.find_spec("pocket").licence == "BSD-3-Clause"
    assert registry.available(registry.find_spec("pocket"))


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


def test_missing_damaged_and_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file of weights"):
        registry.load_model(tmp_path / "none.safetensors", device="cpu")
    (tmp_path / "damaged.safetensors").write_bytes(b"12345678901234567890")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        registry.load_model(tmp_path / "damaged.safetensors", device="cpu")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="not the weights of"):
        registry.load_model(tmp_path / "other.safetensors", device="cpu")


def test_devices():
    assert weights.choose_device("cpu") == "cpu"
    assert weights.choose_device("auto") in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="'tpu'"):
        weights.choose_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no cuda"):
        weights.choose_device("cuda:0")
