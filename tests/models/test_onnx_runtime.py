"""ONNX Runtime: devices, threads and errors; which models it runs where torch is not installed."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exported import export_bundled
from safetensors.numpy import load_file, save_file

from napari_sam.models import installed, onnx_runtime, onnx_sessions, registry
from napari_sam.models.adapters import write_tuned
from napari_sam.models.cards import Card, with_card
from napari_sam.models.onnx_files import PRECISIONS
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


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_device_that_answers_otherwise_is_not_used(monkeypatch, tmp_path, precision):
    folder = tmp_path / "cells"
    export_bundled(folder, precision=precision)
    providers(monkeypatch, "cuda", "cpu")
    monkeypatch.setitem(onnx_sessions.PROVIDERS, "cuda", "CPUExecutionProvider")
    used = registry.load_model(folder, "cuda")
    assert (used.device, used.precision) == ("cuda", PRECISIONS[precision])
    real = OnnxPocket.probe

    def probe(self):
        return [(-1 if self.device == "cuda" else 1) * one for one in real(self)]

    monkeypatch.setattr(OnnxPocket, "probe", probe)
    model = registry.load_model(folder, "cuda")
    assert (model.device, model.precision) == ("cpu", PRECISIONS[precision])
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


def test_a_device_without_its_libraries_is_left_without_a_word(monkeypatch, folder, capfd):
    providers(monkeypatch, "cuda", "cpu")
    real = onnxruntime.InferenceSession._create_inference_session

    def create(self, given, *more):
        if given[0][0] == "CUDAExecutionProvider":
            raise RuntimeError("CUDA failure 35: old driver\nand more")
        real(self, given, *more)

    monkeypatch.setattr(onnxruntime.InferenceSession, "_create_inference_session", create)
    model = registry.load_model(folder, "cuda")
    assert "because cuda fails (CUDA failure 35: old driver);" in model.notice
    assert capfd.readouterr().out == ""


IMAGE = {"image": np.zeros((32, 32, 3), np.uint8)}


def spoiled(monkeypatch, folder, device, error):
    """Return the encoder of a model on a device, which ends in an error from now on."""
    providers(monkeypatch, "cuda", "cpu")
    monkeypatch.setitem(onnx_sessions.PROVIDERS, "cuda", "CPUExecutionProvider")
    encoder = registry.load_model(folder, device)._encoder

    inner = encoder._session._sess

    class Failing:
        def run(self, *_):
            raise error

        def __getattr__(self, name):
            return getattr(inner, name)

    encoder._session._sess = Failing()
    return encoder


def test_a_device_that_fails_on_the_way_is_not_left_for_the_cpu(monkeypatch, folder, capfd):
    error = onnx_sessions.onnxruntime_pybind11_state.EPFail("out of memory")
    encoder = spoiled(monkeypatch, folder, "cuda", error)
    with pytest.raises(RuntimeError, match=r"^ONNX Runtime fails \(out of memory\)$"):
        encoder.run(IMAGE)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("kind", ["InvalidArgument", "InvalidGraph", "NotImplemented", "Fail"])
def test_a_graph_that_fails_on_the_processor_is_faulty(monkeypatch, folder, kind):
    error = getattr(onnx_sessions.onnxruntime_pybind11_state, kind)("no such kernel\nmore")
    encoder = spoiled(monkeypatch, folder, "cpu", error)
    said = r"encoder\.onnx is faulty: ONNX Runtime fails \(no such kernel\); export the model again"
    with pytest.raises(ValueError, match=said):
        encoder.run(IMAGE)


def test_too_little_memory_is_no_fault_of_a_graph(monkeypatch, folder):
    error = onnx_sessions.onnxruntime_pybind11_state.RuntimeException("Failed to allocate memory")
    with pytest.raises(RuntimeError, match="Failed to allocate memory"):
        spoiled(monkeypatch, folder, "cpu", error).run_long(IMAGE)


# -- graphs --------------------------------------------------------------------------------------


FLOAT, BYTES = onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8


def graph_at(path, image=(BYTES, ["h", "w", 3]), masks=(FLOAT, ["n"]), masks_called="masks"):
    """Write a graph that takes an image, and gives as many zeros as the image has rows."""
    give = onnx.helper.make_tensor_value_info
    zero = onnx.helper.make_tensor("value", masks[0], [1], [0])
    one = onnx.helper.make_tensor("one", onnx.TensorProto.INT64, [1], [1])
    nodes = [
        onnx.helper.make_node("Shape", ["image"], ["rows"], start=0, end=1),
        onnx.helper.make_node("Constant", [], ["ones"], value=one),
        onnx.helper.make_node("Mul", ["rows", "ones"], ["size"]),
        onnx.helper.make_node("ConstantOfShape", ["size"], [masks_called], value=zero),
    ]
    inputs, outputs = [give("image", *image)], [give(masks_called, *masks)]
    graph = onnx.helper.make_graph(nodes, "graph", inputs, outputs)
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


def opened(path, masks=(None,)):
    form = onnx_sessions.Form(masks)
    return onnx_sessions.Graph(path, "cpu", {"image": onnx_sessions.IMAGE}, {"masks": form})


def test_a_graph_of_the_right_form_is_run(tmp_path):
    graph = opened(graph_at(tmp_path / "encoder.onnx"))
    for run in (graph.run, graph.run_long):
        (answer,) = run(IMAGE)
        np.testing.assert_array_equal(answer, np.zeros(32, np.float32))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"image": (FLOAT, ["h", "w", 3])}, r"has image as float \(\*, \*, 3\), not as uint8"),
        ({"image": (BYTES, ["h", "w", 4])}, r"\(\*, \*, 4\), not as uint8 \(\*, \*, 3\)"),
        ({"image": (BYTES, ["h", "w"])}, r"has image as uint8 \(\*, \*\), not as"),
        ({"masks": (onnx.TensorProto.DOUBLE, ["n"])}, r"has masks as double \(\*\), not as float"),
        ({"masks_called": "logits"}, "gives no masks: it is no encoder of such a model"),
    ],
    ids=["type", "channels", "axes", "type of answer", "name of answer"],
)
def test_a_graph_of_another_form_is_refused(tmp_path, changes, fault):
    path = graph_at(tmp_path / "encoder.onnx", **changes)
    with pytest.raises(ValueError, match=rf"encoder\.onnx {fault}|{fault}.*export the model again"):
        opened(path)


def test_sizes_that_are_known_are_compared(tmp_path):
    fixed = graph_at(tmp_path / "encoder.onnx", masks=(FLOAT, [64]))
    with pytest.raises(ValueError, match=r"has masks as float \(64\), not as float \(32\)"):
        opened(fixed, masks=(32,))
    open_sizes = opened(graph_at(tmp_path / "encoder.onnx"), masks=(33,))
    for run in (open_sizes.run, open_sizes.run_long):
        with pytest.raises(ValueError, match=r"faulty: masks is \(32,\), but should be \(33\)"):
            run(IMAGE)


INTERRUPTED = """
import signal, sys, threading, time
import numpy as np
from napari_sam.models import onnx_sessions
from pathlib import Path

graph = onnx_sessions.Graph(
    Path(sys.argv[1]), "cpu", {"image": onnx_sessions.IMAGE},
    {"masks": onnx_sessions.Form((None,))},
)
real = graph._session.run

def run(names, inputs, options):
    print("entered", flush=True)
    end = time.monotonic() + 60
    while not options.terminate and time.monotonic() < end:  # as ONNX Runtime between operators
        time.sleep(0.001)
    print("ended", options.terminate, flush=True)
    return real(names, inputs, options)

graph._session.run = run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have switched it off
try:
    graph.run_long({"image": np.zeros((8, 8, 3), np.uint8)})
except KeyboardInterrupt:
    print("interrupted", threading.active_count())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_a_signal_ends_a_long_run(tmp_path):
    path = graph_at(tmp_path / "encoder.onnx")
    command = [sys.executable, "-c", INTERRUPTED, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "entered\n"
        program.send_signal(signal.SIGINT)
        assert program.stdout.read().splitlines() == ["ended True", "interrupted 1"]
    assert program.returncode == 0


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


def test_an_empty_name_is_no_model(folder, monkeypatch):
    monkeypatch.chdir(folder)  # which an empty path would name
    assert not registry.is_path("")
    assert registry.label("") == ""
    with pytest.raises(ValueError, match="no model is called ''"):
        registry.load_model("", "cpu")


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


def test_without_torch_a_list_says_which_models_need_it(no_torch):
    states = {spec.name: registry.state_text(spec) for spec in registry.SPECS}
    assert states.pop("pocket") == "here"
    assert set(states.values()) == {"needs torch"}
