"""`pocket` on ONNX Runtime: the answers of torch, from a folder and from the bundled graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from exported import export_bundled
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from napari_sam import masks, stopping
from napari_sam.images import samples
from napari_sam.models import onnx_runtime, registry
from napari_sam.models.contract import Answers
from napari_sam.models.onnx_folder import ExportedModel, marks_of
from napari_sam.models.onnx_pocket import ArraysOfScales, doubled
from napari_sam.models.onnx_pocket_file import FOLDER, WEIGHTS, PocketFile
from napari_sam.predict.predictor import SamPredictor
from napari_sam.types import PlaneGuide, Prompts


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "exported"
    export_bundled(folder)
    return folder


@pytest.fixture(scope="module")
def on_onnx(folder):
    return SamPredictor(registry.load_model(folder, device="cpu"))


@pytest.fixture(scope="module")
def plane():
    volume, labels = samples.cells_stack_with_labels()
    return volume[12], labels[12]


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (33, 31), (1, 200), (100, 63), (512, 400)])
def test_features_are_those_of_torch(pocket, on_onnx, size):
    rgb = noise(*size)
    known, found = pocket.model.encode(rgb), on_onnx.model.encode(rgb)
    for scale in (0, 1):
        for level, other in zip(known[scale], found[scale], strict=True):
            one = level.numpy()
            assert other.dtype == np.float32
            assert other.shape == one.shape
            assert np.abs(other - one).max() < 3e-3 * one.std()


def forms(labels):
    """Return prompts of every form, about objects of a plane."""
    ids = [k for k in np.unique(labels) if k and (labels == k).sum() > 200][:6]
    points = [np.argwhere(labels == k)[len(np.argwhere(labels == k)) // 2][::-1] for k in ids]
    boxes = [masks.box_of(labels == k) for k in ids]
    return {
        "a point": [Prompts([point]) for point in points],
        "points": [Prompts([point, (3, 3)], [1, 0]) for point in points],
        "a box": [Prompts(box=box) for box in boxes],
        "box and point": [
            Prompts([point], [1], box) for point, box in zip(points, boxes, strict=True)
        ],
        "a large box": [Prompts(box=(3, 4, 250, 240))],
    }


@pytest.mark.parametrize("form", ["a point", "points", "a box", "box and point", "a large box"])
def test_masks_are_those_of_torch(pocket, on_onnx, plane, form):
    image, labels = plane
    prompts = forms(labels)[form]
    answers = [p.predict_many(p.encode(image), prompts) for p in (pocket, on_onnx)]
    assert len(answers[0]) == len(prompts)
    for one, other in zip(*answers, strict=True):
        assert masks.iou(one.masks[one.best], other.masks[other.best]) >= 0.99
        np.testing.assert_allclose(one.iou_predictions, other.iou_predictions, atol=2e-3)
        assert one.presence == pytest.approx(other.presence, abs=2e-3)


def test_an_earlier_answer_and_an_earlier_plane_are_used(pocket, on_onnx, plane):
    image, labels = plane
    point = np.argwhere(labels == labels.max()).mean(0)[::-1]
    found = []
    for predictor in (pocket, on_onnx):
        embedding = predictor.encode(image)
        first = predictor.predict(embedding, Prompts([point]))
        corrected = Prompts([point, (5, 5)], [1, 0], mask_input=first.logits(first.best))
        guide = PlaneGuide(predictor.encode(image[::-1]), first.low_res_logits[first.best])
        answers = [first, predictor.predict(embedding, corrected)]
        found.append([*answers, predictor.predict(embedding, Prompts(guide=guide), False)])
    for one, other in zip(*found, strict=True):
        scale = one.low_res_logits.std()
        np.testing.assert_allclose(one.low_res_logits, other.low_res_logits, atol=1e-2 * scale)
    assert not np.allclose(found[1][0].low_res_logits[0], found[1][1].low_res_logits[0], atol=0.1)


def test_a_batch_answers_as_single_prompts_do(on_onnx, plane):
    image, labels = plane
    embedding = on_onnx.encode(image)
    for prompts in forms(labels).values():
        together = on_onnx.predict_many(embedding, prompts)
        for prompt, answer in zip(prompts, together, strict=True):
            alone = on_onnx.predict(embedding, prompt)
            np.testing.assert_allclose(alone.low_res_logits, answer.low_res_logits, atol=1e-2)


def test_what_surrounds_the_network_is_alike(pocket, on_onnx):
    rgb = noise(100, 70)
    models = [pocket.model, on_onnx.model]
    features = [model.encode(rgb) for model in models]
    for name in (
        "image_size", "largest_scale", "mask_threshold", "half_pixel", "takes_guide",
        "remembers", "fine_features", "tidy_masks", "amg_defaults", "precision", "device", "notice",
    ):  # fmt: skip
        assert getattr(models[0], name) == getattr(models[1], name), name
    assert models[0].padded_size((100, 70)) == models[1].padded_size((100, 70)) == (128, 96)
    for part in ("feature_maps", "instance_fields"):
        known, found = (
            getattr(model, part)(own) for model, own in zip(models, features, strict=True)
        )
        assert len(known) == len(found)
    for one, other in zip(known, found, strict=True):
        assert one.stride == other.stride
        np.testing.assert_allclose(one.foreground, other.foreground, atol=1e-3)
        np.testing.assert_allclose(one.field, other.field, atol=1e-3)
    for one, other in zip(*(model.probe() for model in models), strict=True):
        assert one.shape == other.shape
        assert np.sqrt(np.square(other).mean()) > 0.01


def test_features_come_back_from_where_they_are_kept(on_onnx):
    features = on_onnx.model.encode(noise(64, 96))
    back = on_onnx.model.unpack(on_onnx.model.pack(features))
    assert isinstance(back, ArraysOfScales)
    for scale in (0, 1):
        for one, other in zip(features[scale], back[scale], strict=True):
            assert np.abs(one - other).mean() < 0.05 * one.std()
    with pytest.raises(KeyError):
        on_onnx.model.unpack({})


def test_a_fingerprint_is_of_the_files(folder, on_onnx, pocket, tmp_path):
    own = on_onnx.model.fingerprint
    assert own == registry.load_model(folder, "cpu").fingerprint != pocket.model.fingerprint
    model = registry.load_model(folder, "cpu")
    assert "fingerprint" not in vars(model)  # nothing is hashed before it is asked for
    export_bundled(tmp_path / "other")
    assert registry.load_model(tmp_path / "other", "cpu").fingerprint == own


def test_a_stopped_answer_is_not_computed(on_onnx):
    features = on_onnx.model.encode(noise(40, 40))
    point = np.zeros((1, 1, 2), np.float32), np.ones((1, 1), np.int64), None, None, True
    with stopping.stoppable(lambda: True):
        with pytest.raises(stopping.Stopped):
            on_onnx.model.encode(noise(40, 40))
        with pytest.raises(stopping.Stopped):
            on_onnx.model.decode(features, *point)
    assert isinstance(on_onnx.model.decode(features, *point), Answers)


def test_other_graphs_are_refused(tmp_path):
    export_bundled(tmp_path)
    encoder, decoder = ((tmp_path / f"{part}.onnx") for part in ("encoder", "decoder"))
    swapped = encoder.read_bytes(), decoder.read_bytes()
    decoder.write_bytes(swapped[0])
    encoder.write_bytes(swapped[1])
    with pytest.raises(ValueError, match=r"encoder\.onnx is damaged or of another export"):
        registry.load_model(tmp_path, "cpu")
    exported = ExportedModel.read(tmp_path)
    replace(exported, files=marks_of(tmp_path, exported.files)).write(tmp_path)
    with pytest.raises(ValueError, match=r"encoder\.onnx takes boxes, .*: it is no encoder of"):
        registry.load_model(tmp_path, "cpu")
    encoder.write_bytes(b"no graph")
    replace(exported, files=marks_of(tmp_path, exported.files)).write(tmp_path)
    with pytest.raises(ValueError, match=r"cannot run .*encoder\.onnx \(.*\); update onnxruntime"):
        registry.load_model(tmp_path, "cpu")


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (5, 3)])
def test_logits_are_doubled_as_torch_does(size):
    logits = np.random.default_rng(0).normal(size=(2, 3, *size)).astype(np.float32)
    known = F.interpolate(torch.from_numpy(logits), scale_factor=2.0, mode="bilinear")
    np.testing.assert_allclose(doubled(doubled(logits, 2), 3), known, atol=1e-6)


# -- weights in the format of safetensors ------------------------------------------------------


def built(path):
    return onnx_runtime.build(PocketFile.read(path), "mine", "cpu")


def test_the_bundled_graphs_answer_as_an_exported_model(on_onnx):
    bundled = built(FOLDER / WEIGHTS)
    rgb = noise(60, 90)
    for one, other in zip(bundled.encode(rgb).full, on_onnx.model.encode(rgb).full, strict=True):
        np.testing.assert_array_equal(one, other)


def test_other_weights_take_the_place_of_the_bundled_ones(tmp_path):
    tensors = load_file(FOLDER / WEIGHTS)
    name = "encoder.out.0.bias"
    tensors[name] = tensors[name] + np.float16(1)
    more = dict(reversed(tensors.items()))  # in another order, as float32, with a note
    path = tmp_path / "mine.safetensors"
    save_file({key: value.astype(np.float32) for key, value in more.items()}, path, {"note": "x"})
    own, bundled = built(path), built(FOLDER / WEIGHTS)
    one, other = (model.encode(noise(60, 90)).full for model in (own, bundled))
    np.testing.assert_allclose(one.s4, other.s4 + 1, atol=1e-3)
    np.testing.assert_array_equal(one.s8, other.s8)
    assert own.fingerprint != bundled.fingerprint
    save_file(load_file(FOLDER / WEIGHTS), path)
    assert built(path).fingerprint == bundled.fingerprint


def test_other_and_damaged_files_are_one_sentence(tmp_path):
    path = tmp_path / "other.safetensors"
    with pytest.raises(ValueError, match="cannot be read"):
        PocketFile.read(path)
    save_file({"a": np.zeros(3, np.float32)}, path)
    with pytest.raises(ValueError, match="is not a pocket and needs torch"):
        PocketFile.read(path)
    path.write_bytes((FOLDER / WEIGHTS).read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a readable safetensors file: it ends too early"):
        PocketFile.read(path)
    path.write_bytes(b"12345678901234567890")
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        PocketFile.read(path)
    tensors = load_file(FOLDER / WEIGHTS)
    tensors["encoder.out.0.bias"] = np.full_like(tensors["encoder.out.0.bias"], np.inf)
    save_file(tensors, path)
    with pytest.raises(ValueError, match="NaN, infinite or very large"):
        PocketFile.read(path)
