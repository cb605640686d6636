"""The graphs of SAM models answer as the models do, under the published names."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from small_sams import encoders, small_sam

from napari_sam.export import graphs_sam
from napari_sam.export.exporting import RefusedError, exporting_model
from napari_sam.export.graphs import decoder_of, encoder_of
from napari_sam.export.params import ExportParams
from napari_sam.models.onnx_folder import ExportedModel
from napari_sam.models.registry import load_model
from napari_sam.predict.upsampling import Upsampler
from napari_sam.steps import drive

SIZE, LOW = 128, 32
NEAR = {"rtol": 1e-4, "atol": 1e-4}


def session(folder, name):
    return onnxruntime.InferenceSession(folder / name, providers=["CPUExecutionProvider"])


def picture(h, w):
    return np.random.default_rng(h + w).integers(0, 256, (h, w, 3), np.uint8)


@pytest.mark.parametrize("encoder", sorted(encoders()))
@pytest.mark.parametrize("size", [(128, 128), (50, 128), (128, 1), (7, 9)])
def test_encoder(exported, encoder, size):
    model, folder, _ = exported(encoder)
    rgb = picture(*size)
    (found,) = session(folder, "encoder.onnx").run(None, {"image": rgb})
    expected = model.encode(rgb).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.std(), rtol=1e-4)


def test_attention_in_chunks(monkeypatch):
    monkeypatch.setattr(graphs_sam, "MAX_SCORES", 2 * 8 * 64 * 3)  # three of the eight rows
    model = small_sam("vit")
    graph = graphs_sam.SamEncoderGraph(model.sam)
    rgb = picture(60, 128)
    with torch.inference_mode():
        np.testing.assert_allclose(graph(torch.from_numpy(rgb)), model.encode(rgb), **NEAR)


def published(coords, labels, boxes=None):
    """Return points as segment-anything's notebook gives them to its exported model."""
    if boxes is None:
        more, kinds = np.zeros((len(coords), 1, 2)), [-1]
    else:
        more, kinds = boxes.reshape(-1, 2, 2), [2, 3]
    kinds = np.tile(kinds, (len(coords), 1))
    return (
        np.concatenate([coords, more], axis=1).astype(np.float32),
        np.concatenate([labels, kinds], axis=1).astype(np.float32),
    )


def both(model, features, coords, labels, boxes, masks):
    """Return all masks and scores of the model, (P, 4, h, w) and (P, 4)."""
    answers = [model.decode(features, coords, labels, boxes, masks, several) for several in (0, 1)]
    return [np.concatenate([one[k] for one in answers], axis=1) for k in (0, 1)]


@pytest.mark.parametrize(
    ("points", "boxed"),
    [(points, boxed) for points in range(6) for boxed in (False, True) if points or boxed],
)
@pytest.mark.parametrize("prompts", [1, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_decoder(exported, points, prompts, boxed, masked):
    model, folder, _ = exported("convolution")
    rng = np.random.default_rng(points)
    features = model.encode(picture(80, 128))
    coords = (rng.random((prompts, points, 2)) * (127, 79)).astype(np.float32)
    labels = rng.integers(0, 2, (prompts, points))
    boxes = np.tile(np.float32([10, 20, 90, 70]), (prompts, 1)) if boxed else None
    masks = rng.normal(size=(prompts, LOW, LOW)).astype(np.float32)
    places, kinds = published(coords, labels, boxes)
    found = session(folder, "decoder.onnx").run(
        ["masks", "iou_predictions", "low_res_masks"],
        {
            "image_embeddings": features.numpy(),
            "point_coords": places,
            "point_labels": kinds,
            "mask_input": masks[:, None],
            "has_mask_input": np.float32([masked]),
            "orig_im_size": np.float32([50, 80]),
        },
    )
    logits, scores = both(model, features, coords, labels, boxes, masks if masked else None)
    np.testing.assert_allclose(found[2], logits, **NEAR)
    np.testing.assert_allclose(found[1], scores, **NEAR)
    upsample = Upsampler.between((LOW, LOW), (SIZE, SIZE), (80, 128), (50, 80))
    np.testing.assert_allclose(found[0], upsample(logits), **NEAR)


def test_published_names(exported):
    _, folder, _ = exported("convolution")
    decoder = session(folder, "decoder.onnx")
    assert [one.name for one in decoder.get_inputs()] == [
        "image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input",
        "orig_im_size",
    ]  # fmt: skip
    assert [one.name for one in decoder.get_outputs()] == [
        "masks", "iou_predictions", "low_res_masks",
    ]  # fmt: skip
    assert all(one.type == "tensor(float)" for one in decoder.get_inputs())
    meta = decoder.get_modelmeta().custom_metadata_map
    assert (meta["family"], meta["image_size"]) == ("sam", str(SIZE))


def test_single_mask():
    model = small_sam("convolution")
    features = model.encode(picture(100, 128))
    graph = graphs_sam.SamDecoderGraph(model.sam, single_mask=True)
    rng = np.random.default_rng(0)
    for points in (1, 3):
        coords = (rng.random((3, points, 2)) * 99).astype(np.float32)
        places, kinds = published(coords, np.ones((3, points)))
        given = (torch.from_numpy(array) for array in (places, kinds))
        with torch.inference_mode():
            _, score, low = graph(
                features, *given, torch.zeros(3, 1, LOW, LOW), torch.zeros(1), torch.ones(2)
            )
        logits, scores = both(model, features, coords, np.ones((3, points), np.int64), None, None)
        # as published: one of the three for a lone point and its padding, else the single mask
        best = 1 + scores[:, 1:].argmax(axis=1) if points == 1 else np.zeros(3, int)
        np.testing.assert_allclose(low[:, 0], logits[np.arange(3), best], **NEAR)
        np.testing.assert_allclose(score[:, 0], scores[np.arange(3), best], **NEAR)


def test_folder(exported, planes):
    model, folder, report = exported("vit")
    described = ExportedModel.read(folder)
    described.verify(folder)
    assert (described.family, described.precision, described.image_size) == ("sam", "fp32", SIZE)
    assert described.fingerprint == model.fingerprint
    written = json.loads((folder / "report.json").read_text())
    assert written["comparison"]["threads"] == report.comparison.threads
    assert set(written["comparison"]["images"]) == {plane.name for plane in planes}
    assert report.comparison.difference < 1e-3
    assert "coins" in (folder / "report.md").read_text()
    loaded = load_model(folder, "cpu")
    rgb = picture(90, 128)
    np.testing.assert_allclose(loaded.encode(rgb), model.encode(rgb), **NEAR)


def test_bad_export_is_refused(tmp_path, monkeypatch, planes):
    other = encoder_of(small_sam("convolution", seed=1))
    monkeypatch.setattr("napari_sam.export.exporting.encoder_of", lambda model: other)
    model, params = small_sam("convolution"), ExportParams(random_weights=True)
    with pytest.raises(RefusedError, match=r"standard deviations off .* 0\.001 is allowed") as bad:
        drive(exporting_model(model, tmp_path / "model", params, planes))
    assert bad.value.report.comparison.difference > 1e-3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_single_mask_is_exported(tmp_path, planes):
    params = ExportParams(single_mask=True, random_weights=True)
    report = drive(exporting_model(small_sam("convolution"), tmp_path / "model", params, planes))
    assert report.comparison.difference < 1e-3
    assert ExportedModel.read(tmp_path / "model").masks == 1


def test_changed_scores_are_refused(tmp_path, monkeypatch, planes):
    other = decoder_of(small_sam("convolution"))
    monkeypatch.setattr("napari_sam.export.exporting.decoder_of", lambda *given: other)
    model, params = small_sam("convolution"), ExportParams(random_weights=True)
    with torch.no_grad():
        model.sam.mask_decoder.iou_prediction_head.layers[-1].bias += 0.1
    with pytest.raises(RefusedError, match=r"scores for clicks are 0\.1 off"):
        drive(exporting_model(model, tmp_path / "model", params, planes))
