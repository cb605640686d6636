"""`napari-sam export`: what it is given and tells, where it writes, what it refuses."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_sams import small_sam
from tiny import DiscModel

from napari_sam.cli import main
from napari_sam.export import exporting as module
from napari_sam.export.exporting import check_folder, exporting, exporting_model
from napari_sam.export.graphs import encoder_of
from napari_sam.export.params import ExportParams
from napari_sam.export.planes import MOST, read_planes
from napari_sam.export.questions import clicks, squares
from napari_sam.export.report import Agreement, Comparison, ExportReport, ImageMasks, Times
from napari_sam.export.tracing import traced
from napari_sam.images.samples import cells_stack
from napari_sam.models.onnx_folder import ExportedModel
from napari_sam.steps import drive

GOOD = Agreement(10, 9, 1, 0, 0.995, 0.98, 0.995, 1e-4, 1e-5)
REPORT = ExportReport(
    "pocket", "pocket", "fp32", False,
    Comparison({"coins": (303, 384)}, {"clicks": GOOD}, 1e-5, Times(2.0, 1.0), Times(0.2, 0.1), 1),
    {"encoder.onnx": 3_000_000, "decoder.onnx": 1_000_000}, {"torch": "2.13"},
)  # fmt: skip


def with_kind(report, **changes):
    kinds = {"clicks": GOOD, "boxes": replace(GOOD, **changes)}
    return replace(report, comparison=replace(report.comparison, kinds=kinds))


def test_command(tmp_path, monkeypatch, capsys):
    asked = []

    def fake(*given):
        asked.append(given)
        yield from ()
        return REPORT

    monkeypatch.setattr(module, "exporting", fake)
    images = [str(tmp_path / "a.tif"), str(tmp_path / "b")]
    arguments = ["export", "pocket", "-o", str(tmp_path / "out"), "--precision", "int8"]
    assert main([*arguments, "--single-mask", "--overwrite", "--images", *images]) == 0
    ((model, folder, params, overwrite, offline),) = asked
    assert (model, folder, overwrite, offline) == ("pocket", tmp_path / "out", True, None)
    assert params == ExportParams("int8", 18, (tmp_path / "a.tif", tmp_path / "b"), True)
    printed = capsys.readouterr().out
    assert "4.0 MB" in printed
    assert "0.9950" in printed


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--precision", "fp8"], "invalid choice"),
        (["--opset", "7"], "the opset is 18 to"),
        (["--images", "missing.png"], "missing.png"),
    ],
)
def test_wrong_flags(tmp_path, capsys, flags, message):
    assert main(["export", "pocket", "-o", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_packages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("napari_sam.export.tracing.find_spec", lambda name: None)
    assert main(["export", "pocket", "-o", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert printed == [
        "napari-sam: export needs onnx, onnxscript, onnxruntime: "
        'pip install "napari-sam-stack[export]"'
    ]


def test_folder_of_something_else_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no exported model"):
        check_folder(tmp_path, overwrite=True)
    (tmp_path / "model").mkdir()
    check_folder(tmp_path / "model", overwrite=False)
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(ValueError, match="--overwrite"):
        check_folder(tmp_path / "model", overwrite=False)
    check_folder(tmp_path / "model", overwrite=True)


def test_folder_called_like_a_model():
    with pytest.raises(ValueError, match="pocket is the name of a model; choose another"):
        check_folder(Path("pocket"), overwrite=True)


def test_an_export_is_not_exported(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(ValueError, match="is an export already"):
        drive(exporting(tmp_path / "model", tmp_path / "other"))


def test_refusal_shows_the_figures(tmp_path, monkeypatch, capsys):
    def fake(*given):
        yield from ()
        raise module.RefusedError("pocket was not exported", REPORT)

    monkeypatch.setattr(module, "exporting", fake)
    assert main(["export", "pocket", "-o", str(tmp_path / "out")]) == 2
    assert "| clicks | 10 | 9 | 0.9950 |" in capsys.readouterr().err


WITHOUT_RUNTIME = """
import sys
from importlib.machinery import PathFinder

class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] == "onnxruntime":
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Hiding
from napari_sam.cli import main
sys.exit(main(["export", "pocket", "-o", sys.argv[1]]))
"""


def test_without_onnxruntime(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_RUNTIME, str(tmp_path / "out")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr == (
        'napari-sam: export needs onnxruntime: pip install "napari-sam-stack[export]"\n'
    )


def test_no_room(tmp_path, monkeypatch, planes):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(ValueError, match=r"needs 0\.0 GB on the disk, where 0\.0 GB are free"):
        drive(exporting_model(small_sam("vit"), tmp_path / "model", ExportParams(), planes))
    assert list(tmp_path.iterdir()) == []


def test_model_of_no_family(tmp_path, planes):
    with pytest.raises(ValueError, match="neither a SAM nor a pocket"):
        drive(exporting_model(DiscModel(), tmp_path / "model", ExportParams(), planes))


def test_nothing_is_printed(capfd):
    graph = encoder_of(small_sam("vit"))
    traced(graph.module, graph.inputs, graph.outputs, 18)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_an_export_is_replaced(tmp_path, planes):
    folder = tmp_path / "model"
    for encoder in ("convolution", "vit"):
        model = small_sam(encoder)
        drive(exporting_model(model, folder, ExportParams(random_weights=True), planes))
        assert ExportedModel.read(folder).fingerprint == model.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_weights_beside_a_large_graph(tmp_path, monkeypatch, planes):
    monkeypatch.setattr(module, "INSIDE", 10_000)
    for precision in ("fp32", "fp16", "int8"):
        params = ExportParams(precision, random_weights=True)
        folder = tmp_path / precision
        report = drive(exporting_model(small_sam("vit"), folder, params, planes))
        files = {path.name for path in folder.iterdir()}
        assert {"encoder.onnx.data", "decoder.onnx.data"} <= files
        assert files == {*report.bytes, "model.json", "report.md", "report.json"}
        limits = {"fp32": 1e-3, "fp16": 0.1, "int8": 3}
        assert report.comparison.difference < limits[precision]
        if precision == "fp16":
            assert report.comparison.difference > 1e-6


def test_limits():
    assert REPORT.fault() == ""
    low = with_kind(REPORT, mean_iou=0.985)
    assert "for boxes have an IoU of 0.9850" in low.fault()
    assert "0.99 is needed" in low.fault()
    assert replace(low, precision="fp16").fault()
    assert not replace(low, precision="int8").fault()
    assert replace(with_kind(REPORT, mean_iou=0.96), precision="int8").fault()
    assert replace(with_kind(REPORT, mean_iou=float("nan")), precision="fp32").fault()
    random = replace(with_kind(REPORT, mean_iou=0.2, difference=9e-4), random_weights=True)
    assert not random.fault()
    assert "0.001 is allowed" in with_random(difference=2e-3).fault()
    assert with_random(difference=float("nan")).fault()


def test_limits_of_scores():
    assert "its scores for boxes are 0.02 off" in with_kind(REPORT, scores=0.02).fault()
    assert not replace(with_kind(REPORT, scores=0.02), precision="int8").fault()
    assert with_kind(REPORT, scores=float("nan")).fault()


def test_limits_of_masks_in_pixels_of_the_image():
    def fault(**changes):
        found = replace(ImageMasks(12, 0.999, 0.99, 1e-4), **changes)
        comparison = replace(REPORT.comparison, image_masks=found)
        reports = [
            replace(REPORT, comparison=comparison, precision=precision, random_weights=random)
            for precision in ("fp32", "fp16", "int8")
            for random in (False, True)
        ]
        (one,) = {report.fault() for report in reports}
        return one

    assert fault() == ""
    assert "`masks` have an IoU of 0.9800 with its" in fault(mean_iou=0.98)
    assert "`masks` are up to 0.002 standard deviations off" in fault(difference=2e-3)
    assert fault(difference=float("nan"))
    assert fault(masks=0, mean_iou=float("nan"), worst_iou=float("nan")) == ""


def with_random(**changes):
    return replace(with_kind(REPORT, **changes), random_weights=True)


def test_report(tmp_path):
    REPORT.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| clicks | 10 | 9 | 0.9950 | 0.9800 | 0.9950 | 0.0001 | 1e-05 |" in text
    assert "| encode | 2 | 1 | 0.50 |" in text
    assert json.loads((tmp_path / "report.json").read_text())["precision"] == "fp32"
    with_kind(REPORT, masks=0, mean_iou=float("nan")).write(tmp_path)
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["comparison"]["kinds"]["boxes"]["mean_iou"] is None


def test_planes(tmp_path):
    assert [plane.name for plane in read_planes(())][:2] == ["immunohistochemistry", "cell"]
    stack = cells_stack()[:5]
    for index in range(MOST + 1):
        np.save(tmp_path / f"{index}.npy", stack)
    np.save(tmp_path / "0_labels.npy", stack)
    (tmp_path / "notes.txt").write_text("no image")
    planes = read_planes([tmp_path, tmp_path / "3.npy"])
    assert [plane.name for plane in planes] == [*(f"{n}.npy" for n in range(MOST)), "3.npy"]
    np.testing.assert_array_equal(planes[-1].image, stack[2])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no image"):
        read_planes([tmp_path / "empty"])


def test_prompts_lie_on_the_plane():
    question = clicks((60, 120))
    assert len(question.coords) == len(np.unique(question.coords, axis=0)) == 36
    assert (question.coords >= 0).all()
    assert (question.coords.max(axis=(0, 1)) <= (119, 59)).all()
    boxes = squares((60, 120))
    assert ((boxes[:, 2:] - boxes[:, :2]) == 15).all()


@pytest.mark.slow
def test_file_is_exported(tmp_path):
    """A checkpoint is read, exported under its name and compared; its weights mean nothing."""
    model = small_sam("vit", heads=8)
    path = tmp_path / "small.safetensors"
    save_file({name: t.contiguous() for name, t in model.sam.state_dict().items()}, path)
    np.save(tmp_path / "plane.npy", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    params = ExportParams(images=(tmp_path / "plane.npy",), random_weights=True)
    report = drive(exporting(path, tmp_path / "out", params))
    assert (report.name, report.family) == ("small", "sam")
    assert report.comparison.images == {"plane.npy": (64, 64)}
    assert torch.get_num_threads() == 1
