"""An exported SAM on ONNX Runtime answers as on torch; its decoder has the published names."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import onnx_ir
import pytest
from tiny import tiny_sam

from napari_sam import stopping
from napari_sam.export.graphs import decoder_of, encoder_of
from napari_sam.export.tracing import traced
from napari_sam.models import onnx_sam, registry
from napari_sam.models.onnx_folder import DECODER, ENCODER, ExportedModel, marks_of
from napari_sam.predict.predictor import SamPredictor
from napari_sam.types import Prompts

pytestmark = pytest.mark.slow  # torch traces the graphs
SIDE = 64  # pixels of the model's input


def export(model, folder, single_mask=False):
    """Write a model without the comparison that an export makes."""
    for name, graph in ((ENCODER, encoder_of(model)), (DECODER, decoder_of(model, single_mask))):
        onnx_ir.save(traced(graph.module, graph.inputs, graph.outputs, 18), folder / name)
    marks, masks = marks_of(folder, (ENCODER, DECODER)), 1 if single_mask else 4
    about = ExportedModel("sam", "tiny", model.image_size, "fp32", 18, masks, "0123456789", marks)
    about.write(folder)


@pytest.fixture(scope="module")
def on_torch():
    return tiny_sam(size=SIDE)


@pytest.fixture(scope="module")
def folder(on_torch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    export(on_torch, folder)
    return folder


@pytest.fixture(scope="module")
def on_onnx(folder):
    return registry.load_model(folder, device="cpu")


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)


def arrays(count, points, boxes, masks):
    """Return random prompts as a model takes them."""
    rng = np.random.default_rng(1)
    corners = np.sort(rng.uniform(0, SIDE, (count, 2, 2)), axis=1).reshape(count, 4)
    return (
        rng.uniform(0, SIDE, (count, points, 2)).astype(np.float32),
        rng.integers(-1, 2, (count, points)),
        corners.astype(np.float32) if boxes else None,
        rng.normal(size=(count, SIDE // 4, SIDE // 4)).astype(np.float32) if masks else None,
    )


@pytest.mark.parametrize("size", [(64, 64), (64, 40), (17, 64), (1, 1)])
def test_embeddings_are_those_of_torch(on_torch, on_onnx, size):
    known, found = on_torch.encode(noise(*size)).numpy(), on_onnx.encode(noise(*size))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, known, atol=1e-3 * known.std())


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("form", [(1, 1, 0, 0), (3, 2, 0, 0), (20, 1, 1, 0), (2, 0, 1, 1)])
def test_answers_are_those_of_torch(on_torch, on_onnx, form, several):
    given = arrays(*form)
    known = on_torch.decode(on_torch.encode(noise(64, 50)), *given, several)
    found = on_onnx.decode(on_onnx.encode(noise(64, 50)), *given, several)
    for one, other in zip(known[:2], found[:2], strict=True):
        assert one.shape == other.shape == (form[0], 3 if several else 1, *one.shape[2:])
        np.testing.assert_allclose(other, one, atol=1e-3 * one.std())
    assert known.presence is found.presence is None


def test_what_surrounds_the_network_is_alike(on_torch, on_onnx):
    for name in (
        "image_size", "largest_scale", "mask_threshold", "half_pixel", "takes_guide",
        "remembers", "fine_features", "tidy_masks", "amg_defaults", "precision", "device", "notice",
    ):  # fmt: skip
        assert getattr(on_torch, name) == getattr(on_onnx, name), name
    assert on_torch.padded_size((9, 9)) == on_onnx.padded_size((9, 9)) == (SIDE, SIDE)
    features = on_onnx.encode(noise(64, 50))
    assert on_onnx.instance_fields(features) is None
    (one,), (other,) = (m.feature_maps(m.encode(noise(64, 50))) for m in (on_torch, on_onnx))
    assert one.shape == other.shape
    back = on_onnx.unpack(on_onnx.pack(features))
    np.testing.assert_allclose(back, features, atol=0.01 * np.ptp(features))
    assert all(np.sqrt(np.square(one).mean()) > 0.01 for one in on_onnx.probe())


def test_it_is_used_as_any_model(on_torch, on_onnx):
    plane = noise(90, 120)[..., 0]
    answers = []
    for model in (on_torch, on_onnx):
        predictor = SamPredictor(model)
        embedding = predictor.encode(plane)
        first = predictor.predict(embedding, Prompts([(30, 40)]))
        more = Prompts([(30, 40), (3, 3)], [1, 0], mask_input=first.logits(first.best))
        answers += [first, predictor.predict(embedding, more)]
    for one, other in ((answers[0], answers[2]), (answers[1], answers[3])):
        np.testing.assert_allclose(one.low_res_logits, other.low_res_logits, atol=1e-3)


def test_an_export_with_one_mask_answers_with_it(on_torch, on_onnx, tmp_path):
    export(on_torch, tmp_path, single_mask=True)
    single = registry.load_model(tmp_path, "cpu")
    given = arrays(2, 3, 0, 0)  # the published export takes the single mask for several points
    features = single.encode(noise(64, 64))
    for several in (True, False):
        found = single.decode(features, *given, several)
        assert found.low_res_logits.shape[:2] == found.iou_predictions.shape == (2, 1)
        known = on_onnx.decode(features, *given, False)
        np.testing.assert_allclose(found.low_res_logits, known.low_res_logits, atol=1e-4)


def test_other_precisions_are_refused(folder):
    assert registry.load_model(folder, "cpu", precision="float32").precision == "float32"
    with pytest.raises(ValueError, match=r"tiny \(ONNX\) was exported as float32; leave the prec"):
        registry.load_model(folder, "cpu", precision="bfloat16")


def test_a_decoder_of_another_family_is_refused(folder, tmp_path):
    for name in (ENCODER, DECODER):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    replace(ExportedModel.read(folder), family="pocket").write(tmp_path)
    with pytest.raises(ValueError, match=r"encoder\.onnx gives no features_s4, features_s8, half_"):
        registry.load_model(tmp_path, "cpu")


def test_another_image_size_than_that_of_the_graphs_is_refused(folder, tmp_path):
    for name in (ENCODER, DECODER):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    replace(ExportedModel.read(folder), image_size=2 * SIDE).write(tmp_path)
    with pytest.raises(ValueError, match=r"image_embeddings as float \(1, 32, 4, 4\), not as .* 8"):
        registry.load_model(tmp_path, "cpu")


def test_encoding_is_stopped_on_the_way(on_onnx, monkeypatch):
    entered = threading.Event()
    encoder = on_onnx._encoder
    real = encoder._run

    def run(inputs, options):
        entered.set()
        while not options.terminate:  # a long run, which looks at this between two operators
            time.sleep(0.001)
        return real(inputs, options)

    monkeypatch.setattr(encoder, "_run", run)
    with stopping.stoppable(entered.is_set), pytest.raises(stopping.Stopped):
        on_onnx.encode(noise(64, 64))
    monkeypatch.undo()
    assert on_onnx.encode(noise(64, 64)).shape == (1, 32, 4, 4)


def test_prompts_are_decoded_in_batches(on_onnx, monkeypatch):
    features, given = on_onnx.encode(noise(64, 64)), arrays(11, 1, 0, 0)
    sizes, run = [], on_onnx._decoder.run
    monkeypatch.setattr(
        on_onnx._decoder, "run", lambda i: sizes.append(len(i["point_coords"])) or run(i)
    )
    monkeypatch.setattr(onnx_sam, "CPU_BATCH", 4)
    assert len(on_onnx.decode(features, *given, True).low_res_logits) == 11
    assert sizes == [4, 4, 3]
