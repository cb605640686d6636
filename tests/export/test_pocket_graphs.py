"""The graphs of `pocket`: those of the package, whose weights are in another file, and exports."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from pocket_graphs import write_graphs
from safetensors.numpy import load_file, save_file
from skimage import data

from napari_sam.export.exporting import exporting
from napari_sam.export.params import ExportParams
from napari_sam.models.pocket_decoder import Guide
from napari_sam.models.pocket_encoder import PocketFeatures
from napari_sam.models.registry import bundled_path, find_spec, load_model
from napari_sam.models.specs import BUNDLED
from napari_sam.steps import drive

WEIGHTS = bundled_path(find_spec(BUNDLED))
GRAPHS = [WEIGHTS.with_name(f"{BUNDLED}_{part}.onnx") for part in ("encoder", "decoder")]
SWITCHES = ("no prompt besides", "an earlier mask", "a guide", "both")


@pytest.fixture(scope="module")
def pocket():
    return load_model(BUNDLED, "cpu")


@pytest.fixture(scope="module")
def sessions():
    return [session(path) for path in GRAPHS]


def session(path: Path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def picture(h, w):
    return np.random.default_rng(h + w).integers(0, 256, (h, w, 3), np.uint8)


def assert_near(found, expected):
    for one, other in zip(found, expected, strict=True):
        wanted = other.numpy()
        np.testing.assert_allclose(one, wanted, rtol=1e-3, atol=1e-3 * max(1e-3, wanted.std()))


def assert_same_features(encoder, model, rgb):
    found = encoder.run(None, {"image": rgb})
    features = model.encode(rgb)
    assert [one.shape for one in found] == [tuple(t.shape) for s in features for t in s]
    assert_near(found, [*features.full, *features.half])


@pytest.mark.parametrize("size", [(128, 128), (33, 250), (250, 1), (65, 63), (64, 129)])
def test_encoder(sessions, pocket, size):
    assert_same_features(sessions[0], pocket, picture(*size))


@pytest.mark.parametrize("points", range(1, 6))
@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("windows", [1, 3])
def test_decoder(sessions, pocket, points, switch, windows):
    h, w, prompts = 16, 24, 4
    rng = np.random.default_rng(points)
    numbers = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    features = (
        numbers(windows, 24, h, w), numbers(windows, 48, h // 2, w // 2),
        numbers(windows, 128, h // 4, w // 4), numbers(windows, 3, h, w),
    )  # fmt: skip
    owner, guide_owner = (rng.integers(0, windows, prompts) for _ in range(2))
    coords = (rng.random((prompts, points, 2)) * (4 * w, 4 * h)).astype(np.float32)
    labels = rng.integers(-1, 2, (prompts, points))
    boxes = np.tile(np.float32([5, 10, 60, 50]), (prompts, 1))
    boxes[1] = np.nan
    masks, outlines = 5 * numbers(prompts, 1, h, w), 5 * numbers(prompts, 1, h, w)
    earlier = numbers(windows, 128, h // 4, w // 4)
    masked, guided = switch in SWITCHES[1::2], switch in SWITCHES[2:]
    names = [one.name for one in sessions[1].get_inputs()]
    given = (
        *features, owner, coords, labels.astype(np.float32), boxes,
        masks, np.float32([masked]), earlier, guide_owner, outlines, np.float32([guided]),
    )  # fmt: skip
    found = sessions[1].run(None, dict(zip(names, given, strict=True)))
    t = torch.from_numpy
    guide = Guide(t(earlier), t(guide_owner), t(outlines[:, 0])) if guided else None
    earlier_masks = t(masks[:, 0]) if masked else torch.full((prompts, h, w), torch.nan)
    with torch.inference_mode():
        expected = pocket.pocket.decoder(
            PocketFeatures(*map(t, features)), t(owner), t(coords), t(labels), t(boxes),
            earlier_masks, guide=guide,
        )  # fmt: skip
    assert_near(found, expected)


def test_scores_near_zero_are_told_apart(sessions, pocket):
    """The better of two windows is chosen by them, also where there is nothing."""
    features = pocket.encode(np.stack([data.coins()] * 3, axis=-1)).full
    coords, owner = np.float32([[[192, 299]], [[60, 4]]]), np.zeros(2, np.int64)
    labels, boxes = np.ones((2, 1)), np.full((2, 4), np.nan, np.float32)
    grid = features.s4.shape[-2:]
    zeros, none = np.zeros((2, 1, *grid), np.float32), np.float32([0])
    levels = [level.numpy() for level in features]
    names = [one.name for one in sessions[1].get_inputs()]
    given = (
        *levels, owner, coords, labels.astype(np.float32), boxes, zeros, none, levels[2], owner,
        zeros, none,
    )  # fmt: skip
    (_, scores, _) = sessions[1].run(None, dict(zip(names, given, strict=True)))
    t = torch.from_numpy
    with torch.inference_mode():
        expected = pocket.pocket.decoder(
            features, t(owner), t(coords), t(labels.astype(np.int64)), t(boxes),
            torch.full((2, *grid), torch.nan),
        ).iou.numpy()  # fmt: skip
    assert expected.min() < 1e-9
    np.testing.assert_allclose(scores, expected, rtol=0.01)


def test_weights_are_only_in_their_file():
    for path in GRAPHS:
        graph = onnx.load(path, load_external_data=False)
        inside = [one for one in graph.graph.initializer if not one.external_data]
        assert max(int(np.prod(one.dims)) for one in inside) < 10
        assert {entry.value for one in graph.graph.initializer for entry in one.external_data
                if entry.key == "location"} == {WEIGHTS.name}  # fmt: skip
        assert path.stat().st_size < 400_000
        assert b"/" + b"export" not in path.read_bytes()  # no path of the machine that wrote it


def test_other_weights_need_no_other_graphs(tmp_path):
    for path in GRAPHS:
        shutil.copy(path, tmp_path)
    rng = np.random.default_rng(0)
    tensors = {
        name: (tensor * rng.uniform(0.9, 1.1, tensor.shape)).astype(tensor.dtype)
        for name, tensor in load_file(WEIGHTS).items()
    }
    save_file(tensors, tmp_path / WEIGHTS.name)
    model, rgb = load_model(tmp_path / WEIGHTS.name, "cpu"), picture(70, 90)
    encoder = session(tmp_path / GRAPHS[0].name)
    assert_same_features(encoder, model, rgb)
    before = session(GRAPHS[0]).run(None, {"image": rgb})[0]
    assert np.abs(before - encoder.run(None, {"image": rgb})[0]).max() > 0.1


@pytest.mark.slow
def test_graphs_of_the_package_are_those_of_its_code(tmp_path):
    shutil.copy(WEIGHTS, tmp_path)
    for path, fresh in zip(GRAPHS, write_graphs(WEIGHTS, tmp_path), strict=True):
        kinds = [
            [node.op_type for node in onnx.load(one, load_external_data=False).graph.node]
            for one in (path, fresh)
        ]
        assert kinds[0] == kinds[1]
    rgb = picture(100, 130)
    answers = [
        session(path).run(None, {"image": rgb}) for path in (GRAPHS[0], tmp_path / GRAPHS[0].name)
    ]
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "called", "most"), [("fp16", "float16", 15e6), ("int8", "int8", 12e6)]
)
def test_lower_precision(tmp_path, precision, called, most):
    report = drive(exporting(BUNDLED, tmp_path / "model", ExportParams(precision)))
    assert report.fault() == ""
    assert sum(report.bytes.values()) < most
    assert load_model(tmp_path / "model", "cpu").precision == called
