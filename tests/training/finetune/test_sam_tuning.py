from __future__ import annotations

import numpy as np
import pytest
import torch
from another_sam import SMALL, draw, published
from safetensors.torch import load_file
from tiny import discs

from napari_sam.models import mobile_sam, registry, vit
from napari_sam.models.adapters import added, fingerprint_of, write_tuned
from napari_sam.models.cards import Card, read_card
from napari_sam.models.checkpoint import read
from napari_sam.models.recognition import recognise
from napari_sam.models.sam import SamModel
from napari_sam.steps import drive
from napari_sam.training.finetune import lora
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.sam_tuning import SamTuning, build
from napari_sam.training.finetune.sam_views import View, views_of
from napari_sam.training.finetune.seen import boxes_of
from napari_sam.training.finetune.tune_params import TuneParams, TuneStep
from napari_sam.training.finetune.tuning import tuning as run

CENTRES = [(30, 30), (90, 40), (50, 95), (100, 100)]


def example(name="discs", shift=0):
    image = discs((128, 128), [(x + shift, y) for x, y in CENTRES], 14)
    labels = np.zeros(image.shape, np.int32)
    for number, (x, y) in enumerate(CENTRES, start=1):
        labels[discs(image.shape, [(x + shift, y)], 14) > 0] = 10 * number
    return Example(name, image, labels)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.pth"
    torch.save(published(draw(SMALL)), path)
    return path


def tuning(base, folder, part="heads", examples=None, seed=0):
    return SamTuning(read(base), examples or [example()], part, seed, folder)


def trained(own, steps, rate=1e-3):
    """Return the losses of some steps."""
    optimiser = torch.optim.Adam(own.learnt().values(), rate)
    losses = []
    for index in range(steps):
        loss, iou = own.loss(index)
        assert 0 <= iou <= 1
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("part", ["heads", "lora", "all"])
def test_the_loss_falls_and_what_is_frozen_stays(base, tmp_path, part):
    own = tuning(base, tmp_path, part)
    losses = trained(own, 9)
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    write_tuned(tmp_path / "tuned.safetensors", own.weights(), card(base))
    found = registry.load_model(tmp_path / "tuned.safetensors", "cpu", precision="float32")
    changed = {
        name.partition(".")[0]
        for name, value in found.sam.state_dict().items()
        if (value != read(base).tensors[name].read()).any()
    }
    assert changed == {"mask_decoder"} | ({"image_encoder"} if part != "heads" else set())
    if part == "lora":
        names = [n for n, v in found.sam.image_encoder.state_dict().items()
                 if (v != read(base).tensors[f"image_encoder.{n}"].read()).any()]  # fmt: skip
        assert names
        assert all(n.endswith(("qkv.weight", "proj.weight")) for n in names)
        width = SMALL["hidden_size"]
        own_rows = found.sam.image_encoder.blocks[0].attn.qkv.weight[: 2 * width]
        before = read(base).tensors["image_encoder.blocks.0.attn.qkv.weight"].read()
        assert (own_rows == before[: 2 * width]).all()  # queries and keys


def card(base):
    return Card(str(base), fingerprint_of(read(base)))


@pytest.mark.parametrize("part", ["heads", "lora"])
def test_a_file_answers_as_the_model_in_training(base, tmp_path, part, monkeypatch):
    monkeypatch.setattr("napari_sam.training.finetune.sam_tuning.choose_dtype",
                        lambda *_: torch.float32)  # fmt: skip
    own = tuning(base, tmp_path, part)
    trained(own, 5, rate=1e-4)
    write_tuned(tmp_path / "tuned.safetensors", own.weights(), card(base))
    found = registry.load_model(tmp_path / "tuned.safetensors", "cpu", precision="float32")
    rgb = np.random.default_rng(0).integers(0, 256, (100, 128, 3)).astype(np.uint8)
    features = own.model().encode(rgb)
    if part == "lora":
        error = (found.encode(rgb) - features).abs().max() / features.std()
        assert error < 1e-5
    coords, labels = np.float32([[[40, 50]]]), np.array([[1]])
    answers = [
        model.decode(features, coords, labels, None, None, True).low_res_logits
        for model in (own.model(), found)
    ]
    # differences are kept in half precision
    assert np.abs(answers[0] - answers[1]).max() < 1e-3 * answers[0].std()


def test_merged_adapters_of_both_families_answer_as_adapters():
    torch.manual_seed(0)
    tiny = mobile_sam.TinyViT((8, 8, 12, 16), (1, 1, 1, 1), (2, 2, 2), (2, 4, 2), 2, 0, 8).eval()
    small = vit.build(recognise(published(draw(SMALL))), "mine", "cpu").sam.image_encoder
    for encoder, layers in ((tiny, 6), (small, 6)):
        image = torch.randn(1, 3, 128, 128)
        before = {name: value.clone() for name, value in encoder.state_dict().items()}
        plain = encoder(image)
        adapters = lora.adapted(encoder)
        assert len(adapters) == layers
        assert (encoder(image) == plain).all()  # nothing changes at first
        for one in adapters.values():
            torch.nn.init.normal_(one.b, std=0.1)
        lora.in_little_memory(encoder)
        unmerged = encoder(image).detach()
        assert (unmerged - plain).abs().max() > 1e-2 * plain.std()
        with torch.no_grad():
            for name, one in adapters.items():
                layer = encoder.get_submodule(name)
                layer.weight.copy_(added(before[f"{name}.weight"], one.a, one.b, one.rows))
                layer._forward_hooks.clear()
            torch.testing.assert_close(encoder(image), unmerged, rtol=1e-5, atol=1e-5)


def test_adapters_on_the_first_blocks_only():
    encoder = vit.build(recognise(published(draw(SMALL))), "mine", "cpu").sam.image_encoder
    assert list(lora.adapted(encoder, blocks=1)) == ["blocks.0.attn.qkv", "blocks.0.attn.proj"]
    with pytest.raises(ValueError, match="no attention to adapt; tune its heads"):
        lora.adapted(torch.nn.Conv2d(3, 8, 16, 16))


def test_gradients_are_those_without_computing_blocks_again(base, tmp_path):
    own, again = (tuning(base, tmp_path, "lora") for _ in range(2))
    for block in again.sam.image_encoder.blocks:
        del block.forward  # the class's own
    for one in (own, again):
        one.loss(3)[0].backward()
    pairs = zip(own.learnt().items(), again.learnt().values(), strict=True)
    for (name, a), b in pairs:
        torch.testing.assert_close(a.grad, b.grad, msg=name)


def test_an_epoch_encodes_each_image_once(base, tmp_path, monkeypatch):
    examples = [example(str(shift), shift) for shift in range(3)]
    own = tuning(base, tmp_path, examples=examples)
    runs = []
    own.sam.image_encoder.register_forward_hook(lambda *_: runs.append(1))
    assert own.epoch == 3
    for index in range(3):
        own.loss(index)
    assert len(runs) == 3
    for index in range(3, 6):  # the same orientation again
        own.loss(index)
    again = tuning(base, tmp_path, examples=examples)
    again.sam.image_encoder.register_forward_hook(lambda *_: runs.append(1))
    again.loss(0)
    assert len(runs) == 3
    for index in range(6, 12):  # one more
        own.loss(index)
    assert 3 < len(runs) <= 6


def test_a_step_is_the_same_whatever_came_before(base, tmp_path):
    first, second = (tuning(base, tmp_path / str(k), seed=4) for k in range(2))
    first.loss(0)
    assert first.loss(7)[0] == second.loss(7)[0]
    assert tuning(base, tmp_path, seed=5).loss(7)[0] != second.loss(7)[0]


def test_an_object_is_prompted_in_every_orientation():
    view = views_of([example()], 128)[0]
    seen = set()
    for turn in range(8):
        rgb, labels = view.turned(turn)
        assert set(np.unique(labels)) == {0, 10, 20, 30, 40}
        assert ((rgb[..., 0] > 0) == (labels > 0)).all()
        seen.add(labels.tobytes())
    assert len(seen) == 8


def test_long_images_are_shown_in_tiles():
    assert boxes_of((700, 1500), 1024) == [(0, 0, 1500, 700)]
    assert boxes_of((700, 2500), 1024) == [
        (0, 0, 1024, 700), (738, 0, 1762, 700), (1476, 0, 2500, 700)
    ]  # fmt: skip
    whole = np.zeros((300, 300), np.int32)
    whole[200:240, 200:240] = 3
    views = views_of([Example("long", np.zeros((300, 300), np.uint8), whole)], 128)
    assert all(view.turned(0)[0].shape == (128, 128, 3) for view in views)
    assert {view.box[:2] for view in views} == {(172, 172), (86, 86), (86, 172), (172, 86)}


@pytest.mark.parametrize("part", [None, "lora"])
def test_a_training_that_was_stopped_goes_on_to_the_same_weights(base, tmp_path, part):
    params = TuneParams(steps=4, part=part, threads=1)
    whole = drive(run(base, [example()], [], params, tmp_path / "whole"))
    steps = run(base, [example()], [], params, tmp_path / "parts")
    while not (isinstance(step := next(steps), TuneStep) and step.index == 2):
        pass
    steps.close()
    parts = drive(run(base, [example()], [], params, tmp_path / "parts"))
    found = load_file(parts)
    for name, value in load_file(whole).items():
        assert (found[name] == value).all(), name
    assert read_card(parts).base == str(base)
    registry.load_model(parts, "cpu")


def test_the_device_that_is_named_is_the_one_that_is_learnt_on(base, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    own = build(read(base), [example()], TuneParams(), tmp_path, "cpu")
    assert {value.device.type for value in own.learnt().values()} == {"cpu"}
    assert own.part == "heads"
    with pytest.raises(ValueError, match="the device is auto, cpu"):
        build(read(base), [example()], TuneParams(), tmp_path, "gpu")


def test_what_cannot_be_learnt_from_is_refused(base, tmp_path):
    specks = np.zeros((1024, 1024), np.int32)
    specks[::50, ::50] = 1
    with pytest.raises(ValueError, match="no labelled object is large enough"):
        views_of([Example("specks", np.zeros((180, 180), np.uint8), specks[:180, :180])], 128)
    with pytest.raises(ValueError, match="one of heads, lora, all, but is 'some'"):
        tuning(base, tmp_path, "some")
    assert View.objects_of(np.zeros((4, 4), np.int32)) == []


def test_how_often_a_frozen_encoder_runs_is_known_before(base, tmp_path, monkeypatch):
    images = [example(shift=shift) for shift in range(3)]
    own = tuning(base, tmp_path, examples=images)
    runs = []
    encode = SamModel.encode
    monkeypatch.setattr(SamModel, "encode", lambda *args: runs.append(1) or encode(*args))
    for steps in range(1, 7):
        own.loss(steps - 1)
        assert len(runs) == own.encodings(steps) == min(steps, 3)
    seen = set()
    for steps in range(1, 3 * 60 + 1):
        view, turn, _ = own._planned(steps - 1)
        seen.add((view, turn))
        assert abs(len(seen) - own.encodings(steps)) <= 3
    assert own.encodings(3 * 60) == pytest.approx(24, abs=0.1)  # all in every orientation
    assert tuning(base, tmp_path, "lora", images).encodings(100) == 0
