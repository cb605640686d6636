"""What an export is compared in besides clicks and boxes, and with how many threads."""

import json
import shutil

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from exported import FOLDER, WEIGHTS
from small_sams import SIZE, small_sam

from napari_sam.export import exporting as module
from napari_sam.export import image_masks, timing
from napari_sam.export.exporting import RefusedError, exporting_model
from napari_sam.export.image_masks import ImageMaskComparer
from napari_sam.export.params import ExportParams
from napari_sam.export.questions import SHIFT, next_plane
from napari_sam.models.registry import load_model
from napari_sam.models.specs import BUNDLED
from napari_sam.steps import drive

GUIDED = "objects of the plane before"


@pytest.fixture
def convolution(exported):
    """The smallest SAM, the folder of its export, and the report."""
    return exported("convolution")


def test_masks_in_pixels_of_the_image(convolution):
    _, folder, report = convolution
    found = report.comparison.image_masks
    assert found.masks >= 4
    assert found.worst_iou > 0.99
    assert found.difference < 1e-4
    written = json.loads((folder / "report.json").read_text())["comparison"]["image_masks"]
    assert written["difference"] == found.difference
    assert f"IoU {found.mean_iou:.4f}" in (folder / "report.md").read_text()


def with_other_masks(path, kind, **attributes):
    """Put an operation behind the output `masks` of a decoder."""
    decoder = onnx.load(path)
    graph = decoder.graph
    (last,) = (node for node in graph.node if "masks" in node.output)
    last.output[list(last.output).index("masks")] = "right_masks"
    inputs = ["right_masks"] * (2 if kind == "Add" else 1)
    graph.node.append(onnx.helper.make_node(kind, inputs, ["masks"], **attributes))
    (output,) = (one for one in graph.output if one.name == "masks")
    for axis in output.type.tensor_type.shape.dim:
        axis.Clear()
    onnx.save(decoder, path)


@pytest.mark.parametrize(
    ("kind", "attributes", "message"),
    [
        ("Neg", {}, r"`masks` have an IoU of 0\.\d+ with its magnified `low_res_masks`"),
        ("Transpose", {"perm": [0, 1, 3, 2]}, r"`masks` have an IoU of 0\.0000 "),
        ("Add", {}, r"`masks` are up to [\d.]+ standard deviations off"),
    ],
)
def test_wrong_masks_are_refused(tmp_path, monkeypatch, planes, kind, attributes, message):
    save = module.save

    def save_other(model, path):
        save(model, path)
        if path.name == module.DECODER:
            with_other_masks(path, kind, **attributes)

    monkeypatch.setattr(module, "save", save_other)
    params = ExportParams(random_weights=True)
    with pytest.raises(RefusedError, match=message) as bad:
        drive(exporting_model(small_sam("convolution"), tmp_path / "model", params, planes))
    assert bad.value.report.comparison.difference < 1e-3  # of what else is compared
    assert list(tmp_path.iterdir()) == []


def test_a_huge_image_is_taken_for_a_smaller_one(convolution, monkeypatch):
    model, folder, _ = convolution
    monkeypatch.setattr(image_masks, "MOST_PIXELS", 120 * 160)
    comparer = ImageMaskComparer(folder, SIZE)
    rgb = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    asked = []
    run = comparer._decoder.run

    def noted(inputs):
        asked.append(inputs["orig_im_size"].tolist())
        return run(inputs)

    monkeypatch.setattr(comparer._decoder, "run", noted)
    embedding, click = model.encode(rgb).numpy(), np.float32([64, 48])
    for size in ((90, 120), (30000, 40000)):
        comparer.add(embedding, click, size)
    assert asked == [[90, 120], [120, 160]]
    assert comparer.found().difference < 1e-4


@pytest.fixture
def pocket_graphs(tmp_path, monkeypatch):
    """Take the graphs of the package for those that would be traced; return their folder."""
    folder = tmp_path / "package"
    folder.mkdir()
    for part in ("encoder", "decoder"):
        shutil.copy(FOLDER / f"{BUNDLED}_{part}.onnx", folder)
    shutil.copy(FOLDER / WEIGHTS, folder)

    def known(network, inputs, outputs, opset):
        part = "encoder" if "image" in inputs.example else "decoder"
        model = onnx_ir.load(folder / f"{BUNDLED}_{part}.onnx")
        onnx_ir.external_data.load_to_model(model)
        return model

    monkeypatch.setattr(module, "traced", known)
    return folder


def without_guide(path):
    """Let a decoder take every prompt for one without a guide."""
    decoder = onnx.load(path, load_external_data=False)
    graph = decoder.graph
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name == "has_guide":
                node.input[index] = "no_guide"
    graph.node.insert(0, onnx.helper.make_node("Sub", ["has_guide"] * 2, ["no_guide"]))
    onnx.save(decoder, path)


def test_an_ignored_guide_is_refused(tmp_path, pocket_graphs, planes):
    without_guide(pocket_graphs / f"{BUNDLED}_decoder.onnx")
    model = load_model(BUNDLED, "cpu")
    with pytest.raises(RefusedError, match=f"its masks for {GUIDED} have an IoU of") as bad:
        drive(exporting_model(model, tmp_path / "model", ExportParams(), planes[:1]))
    kinds = dict(bad.value.report.comparison.kinds)
    assert kinds.pop(GUIDED).mean_iou < 0.9
    assert min(kind.mean_iou for kind in kinds.values()) > 0.99
    assert not (tmp_path / "model").exists()


def test_guides_are_compared(tmp_path, pocket_graphs, planes):
    model = load_model(BUNDLED, "cpu")
    report = drive(exporting_model(model, tmp_path / "model", ExportParams(), planes[:1]))
    guided = report.comparison.kinds[GUIDED]
    assert guided.prompts == report.comparison.kinds["boxes"].prompts
    assert guided.masks > 0
    assert guided.mean_iou > 0.99
    assert report.comparison.image_masks is None


def test_the_next_plane_is_moved():
    rgb = np.zeros((40, 50, 3), np.uint8)
    rgb[3, 4] = 7
    assert [*np.argwhere(next_plane(rgb)[..., 0])[0]] == [3 + SHIFT, 4 + SHIFT]


def test_torch_takes_the_threads_of_the_graph(monkeypatch):
    """Also where other programs take all processors, and only while both are compared."""
    model = small_sam("convolution")
    limit, before = model.threads, torch.get_num_threads()
    monkeypatch.setattr(limit, "free", lambda: 1)
    monkeypatch.setattr(timing, "threads", lambda: 3)
    with timing.same_threads(model), model.threads.applied():
        assert torch.get_num_threads() == 3
    assert model.threads is limit
    assert torch.get_num_threads() == before
