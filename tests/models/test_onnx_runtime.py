"""ONNX Runtime: devices, threads and errors; which models it runs where torch is not installed."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from exported import export_bundled
from safetensors.numpy import load_file, save_file

from napari_sam.models import installed, onnx_runtime, onnx_sessions, registry
from napari_sam.models.adapters import write_tuned
from napari_sam.models.cards import Card, with_card
from napari_sam.models.onnx_pocket import OnnxPocket
from napari_sam.models.onnx_pocket_file import FOLDER, WEIGHTS
from napari_sam.models.pocket import PocketModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "cells"
    export_bundled(folder)
    return folder


@pytest.fixture
def no_torch(monkeypatch):
    for module in (installed, registry):
        monkeypatch.setattr(module, "has_torch", lambda: False)


def providers(monkeypatch, *kinds):
    names = [onnx_sessions.PROVIDERS[kind] for kind in kinds]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)


# -- devices -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("cpu",), "cpu"),
        (("cpu", "cuda"), "cuda"),
        (("coreml", "cpu"), "coreml"),
        (("cpu", "directml"), "directml"),
        (("directml", "coreml", "cuda", "cpu"), "cuda"),
    ],
)
def test_the_fastest_device_is_chosen(monkeypatch, there, chosen):
    providers(monkeypatch, *there)
    assert onnx_runtime.choose_device("auto") == chosen
    for kind in there:
        assert onnx_runtime.choose_device(kind) == kind


def test_a_card_is_named_by_its_number(monkeypatch):
    providers(monkeypatch, "cuda", "cpu")
    assert onnx_runtime.choose_device("cuda:1") == "cuda:1"
    for name in ("cuda:", "cuda:x", "cpu:0", "mps", "gpu", ""):
        with pytest.raises(ValueError, match="the device is auto, cpu, cuda"):
            onnx_runtime.choose_device(name)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    providers(monkeypatch, "cpu")
    for kind in ("cuda", "cuda:1", "coreml", "directml"):
        with pytest.raises(ValueError, match=f"has no {kind.partition(':')[0]}; use cpu or auto"):
            onnx_runtime.choose_device(kind)


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "coreml", "directml"])
def test_a_device_that_fails_is_not_used(monkeypatch, folder, device):
    providers(monkeypatch, "cuda", "coreml", "directml", "cpu")
    model = registry.load_model(folder, device)
    assert model.device == "cpu"
    assert model.notice.startswith(f"cells (ONNX) runs on the CPU, because {device} fails (")
    assert model.notice.endswith("; update onnxruntime and the driver, or choose cpu")


def test_a_device_that_answers_otherwise_is_not_used(monkeypatch, folder):
    providers(monkeypatch, "cuda", "cpu")
    monkeypatch.setitem(onnx_sessions.PROVIDERS, "cuda", "CPUExecutionProvider")
    assert registry.load_model(folder, "cuda").device == "cuda"
    real = OnnxPocket.probe

    def probe(self):
        return [(-1 if self.device == "cuda" else 1) * one for one in real(self)]

    monkeypatch.setattr(OnnxPocket, "probe", probe)
    model = registry.load_model(folder, "cuda")
    assert model.device == "cpu"
    assert "cuda is 200 % off what the CPU computes" in model.notice


def test_threads_are_those_of_the_machine_or_as_said(monkeypatch):
    monkeypatch.setattr(onnx_sessions.psutil, "cpu_count", lambda logical=True: 8 if logical else 4)
    monkeypatch.setattr(onnx_sessions.os, "sched_getaffinity", lambda _: set(range(8)), False)
    for said, threads in ((None, 4), ("3", 3), ("0", 4), ("many", 4), ("1", 1), ("16", 16)):
        monkeypatch.setenv("OMP_NUM_THREADS", said or "")
        assert onnx_sessions.threads() == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.setattr(onnx_sessions.os, "sched_getaffinity", lambda _: {0, 5}, False)
    assert onnx_sessions.threads() == 2


def test_memory_is_looked_at(monkeypatch, folder):
    class Little:
        available = 900_000_000

    monkeypatch.setattr(onnx_runtime.psutil, "virtual_memory", lambda: Little)
    with pytest.raises(ValueError, match=r"cells \(ONNX\) needs about 1\.0 GB of memory on cpu"):
        registry.load_model(folder, "cpu")


def test_what_fails_on_the_way_is_a_runtime_error(folder):
    model = registry.load_model(folder, "cpu")
    with pytest.raises(RuntimeError, match=r"ONNX Runtime fails \(.*image.*\)"):
        model._encoder.run({"image": np.zeros((3, 3, 5), np.uint8)})


# -- names and files -----------------------------------------------------------------------------


def test_an_exported_model_is_named_by_its_folder_or_a_file_in_it(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for name in (folder, "cells", "cells/", folder / "decoder.onnx", folder / "encoder.onnx"):
        registry.check_name(name)
        assert registry.label(name) == "cells (ONNX)"
        assert registry.devices_of(name) == ("auto", "cpu", "cuda", "coreml", "directml")
    monkeypatch.chdir(folder)
    assert registry.load_model(".", "cpu").name == "cells (ONNX)"


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is a folder without an exported model; name one that"):
        registry.load_model(tmp_path)
    with pytest.raises(ValueError, match="there is no file of weights at"):
        registry.load_model(tmp_path / "none.onnx")
    (tmp_path / "encoder.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"model\.json cannot be read"):
        registry.load_model(tmp_path / "encoder.onnx", "cpu")


def test_an_exported_model_cannot_be_trained(folder):
    registry.check_trainable("pocket")
    with pytest.raises(ValueError, match=r"cells \(ONNX\) is an exported model, which cannot"):
        registry.check_trainable(folder)


def test_without_onnxruntime_it_is_said_what_to_install(folder, monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs onnxruntime, .*: pip install onnxruntime$"):
        registry.load_model(folder)


# -- without torch -------------------------------------------------------------------------------


def test_with_torch_its_models_are_used():
    assert isinstance(registry.load_model("pocket", "cpu"), PocketModel)


def test_without_torch_pocket_is_there(no_torch, tmp_path):
    model = registry.load_model("pocket")
    assert isinstance(model, OnnxPocket)
    assert model.name == "pocket"
    assert registry.devices_of("pocket") == ("auto", "cpu", "cuda", "coreml", "directml")
    mine = tmp_path / "mine.safetensors"
    save_file(load_file(FOLDER / WEIGHTS), mine)
    with_card(mine, Card("pocket", "0" * 32, complete=True), mine)
    tuned = registry.load_model(mine)
    assert (type(tuned), tuned.name) == (OnnxPocket, "mine")
    mine.write_bytes(mine.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged: its checksum is wrong"):
        registry.load_model(mine)


def test_without_torch_other_models_say_what_they_need(no_torch, tmp_path):
    part = tmp_path / "part.safetensors"
    write_tuned(part, {"a": torch.zeros(3)}, Card("pocket", "0" * 32))
    pth = tmp_path / "sam.pth"
    pth.write_bytes(b"x")
    for name in ("vit_b", pth, part):
        with pytest.raises(ValueError, match=r"needs torch, .* or export it with napari-sam exp"):
            registry.load_model(name)
    with pytest.raises(ValueError, match="needs torch"):
        next(registry.fetching(registry.find_spec("vit_b")))  # before anything is received
    with pytest.raises(ValueError, match="^training needs torch"):
        registry.check_trainable("pocket")
