from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam.models.pocket import PocketModel, build
from napari_sam.models.pocket_base import Decoded
from napari_sam.models.pocket_net import Pocket
from napari_sam.models.pocket_prompts import prompt_maps
from napari_sam.models.pocket_windows import OUTSIDE
from napari_sam.models.recognition import Checkpoint, recognise
from napari_sam.predict.predictor import SamPredictor
from napari_sam.types import PlaneGuide, Prompts


@pytest.fixture(scope="module")
def random_pocket():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PocketModel(Pocket())


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (33, 31), (1, 200), (100, 63)])
def test_shapes_for_odd_sizes(random_pocket, size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    h, w = random_pocket.padded_size(size)
    assert h % 32 == w % 32 == 0
    assert 0 <= h - size[0] < 32
    assert 0 <= w - size[1] < 32
    assert features.full.s4.shape == (1, 24, h // 4, w // 4)
    assert features.full.s8.shape == (1, 48, h // 8, w // 8)
    assert features.full.s16.shape == (1, 128, h // 16, w // 16)
    half = random_pocket.padded_size((-(-size[0] // 2), -(-size[1] // 2)))
    assert features.half.s4.shape == (1, 24, half[0] // 4, half[1] // 4)
    coords, labels = np.zeros((2, 1, 2), np.float32), np.ones((2, 1), np.int64)
    for several, count in ((True, 3), (False, 1)):
        logits, iou, presence = random_pocket.decode(features, coords, labels, None, None, several)
        assert logits.shape == (2, count, h // 4, w // 4)
        assert iou.shape == (2, count)
        assert np.isfinite(logits).all()
        assert ((iou >= 0) & (iou <= 1)).all()
        assert presence.shape == (2,)
        assert ((presence > 0) & (presence < 1)).all()


FORMS = {
    "points": [Prompts([(10, 12)]), Prompts([(40, 9)]), Prompts([(3, 60)], [0])],
    "boxes": [Prompts(box=[1, 2, 30, 40]), Prompts(box=[20, 5, 60, 50])],
    "both": [Prompts([(9, 9)], [1], [1, 2, 30, 40]), Prompts([(30, 9)], [1], [20, 5, 60, 50])],
}


@pytest.mark.parametrize("prompts", FORMS.values(), ids=FORMS)
def test_a_batch_answers_as_single_prompts_do(pocket, prompts):
    plane = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    embedding = pocket.encode(plane)
    together = pocket.predict_many(embedding, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = pocket.predict(embedding, prompt)
        span = np.ptp(alone.low_res_logits)
        assert span > 0.1
        assert np.isfinite(answer.low_res_logits).all()
        assert np.abs(alone.low_res_logits - answer.low_res_logits).max() < 1e-3 * span
        np.testing.assert_allclose(alone.iou_predictions, answer.iou_predictions, atol=1e-3)


@torch.inference_mode()
def test_several_images_answer_as_single_ones(random_pocket):
    net = random_pocket.pocket
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, 64, 64, generator=generator)
    owner = torch.tensor([0, 1, 1])
    coords = torch.tensor([[[5.0, 9.0]], [[40.0, 9.0]], [[9.0, 60.0]]])
    labels = torch.tensor([[1], [1], [0]])
    boxes = torch.full((3, 4), torch.nan)
    boxes[2] = torch.tensor([3.0, 40.0, 30.0, 63.0])
    mask = torch.full((3, 16, 16), torch.nan)
    mask[1] = torch.randn(16, 16, generator=generator)
    logits, iou, presence = net.decoder(net.encoder(images), owner, coords, labels, boxes, mask)
    for k in range(3):
        features = net.encoder(images[owner[k]][None])
        own = [t[k : k + 1] for t in (coords, labels, boxes, mask)]
        one, score, there = net.decoder(features, torch.zeros(1, dtype=torch.int64), *own)
        torch.testing.assert_close(there[0], presence[k], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(one[0], logits[k], atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(score[0], iou[k], atol=1e-4, rtol=1e-3)


@torch.inference_mode()
def test_padding_points_say_nothing():
    shape = (8, 8)
    coords = torch.tensor([[[5.0, 9.0], [20.0, 20.0]]])
    boxes, mask = torch.full((1, 4), torch.nan), torch.full((1, 8, 8), torch.nan)
    padded = prompt_maps(shape, coords, torch.tensor([[1, -1]]), boxes, mask)
    plain = prompt_maps(shape, coords[:, :1], torch.tensor([[1]]), boxes, mask)
    torch.testing.assert_close(padded, plain)
    assert not plain[:, 6:].any()  # no box, no mask


def test_where_a_padding_point_lies_does_not_matter(random_pocket):
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    labels = np.array([[1, -1]])
    answers = []
    for place in ((0, 0), (50, 20)):
        coords = np.array([[(30, 30), place]], np.float32)
        answers.append(random_pocket.decode(features, coords, labels, None, None, True))
    np.testing.assert_allclose(answers[0][0], answers[1][0], atol=1e-5)
    np.testing.assert_allclose(answers[0][1], answers[1][1], atol=1e-5)


@torch.inference_mode()
def test_maps_show_where_the_prompts_are():
    coords, labels = torch.tensor([[[9.5, 5.5], [25.5, 29.5]]]), torch.tensor([[1, 0]])
    boxes = torch.tensor([[4.0, 8.0, 19.0, 23.0]])
    maps = prompt_maps((8, 8), coords, labels, boxes, torch.ones(1, 8, 8))
    assert maps.shape == (1, 14, 8, 8)
    assert maps[0, 0, 1, 2] == 1  # the object point: its cell's centre is (9.5, 5.5)
    assert maps[0, 3, 7, 6] == 1  # the background point
    inside = maps[0, 7]
    assert inside.sum() == 16
    assert inside[2:6, 1:5].all()
    assert maps[0, 12].all()
    assert not maps[0, 13].any()
    guided = prompt_maps((8, 8), coords, labels, boxes, torch.ones(1, 8, 8), torch.ones(1, 8, 8))
    assert guided[0, 13, 0, 0] == torch.tensor(0.25).tanh()
    torch.testing.assert_close(guided[:, :13], maps[:, :13])


def test_a_background_point_pushes_the_mask_away(pocket):
    plane = np.full((100, 100), 40.0)
    plane[20:80, 20:80] = 160
    plane += np.random.default_rng(0).normal(0, 5, plane.shape)
    embedding = pocket.encode(plane)
    yes = pocket.predict(embedding, Prompts([(50, 50)])).low_res_logits.mean(0)
    no = pocket.predict(embedding, Prompts([(50, 50)], [0])).low_res_logits.mean(0)
    h, w = yes.shape
    assert yes[h // 2, w // 2] > 0 > no[h // 2, w // 2]


def test_other_weights_are_refused():
    with pytest.raises(ValueError, match="no complete pocket model: it lacks"):
        build(Checkpoint({"strange": torch.zeros(3)}, "pocket"), "other", "cpu")


def test_weights_make_the_model(random_pocket):
    copy = build(recognise(random_pocket.pocket.state_dict()), "copy", "cpu")
    plane = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)
    answers = []
    for model in (random_pocket, copy):
        predictor = SamPredictor(model)
        answers.append(predictor.predict(predictor.encode(plane), Prompts([(9, 9)])))
    np.testing.assert_array_equal(answers[0].low_res_logits, answers[1].low_res_logits)


def spy(model, monkeypatch, scores):
    """Give the answers to the first and the second call these scores; returns calls and answers."""
    made = []
    real = model._decode_calls

    def decode_calls(calls):
        answers = []
        for call, answer, score in zip(calls, real(calls), scores, strict=False):
            iou = np.repeat(np.float32(score)[:, None], answer.iou.shape[1], axis=1)
            answers.append(Decoded(answer.logits, iou, answer.presence))
            made.append((call, answer))
        return answers

    monkeypatch.setattr(model, "_decode_calls", decode_calls)
    return made


def test_a_click_is_answered_at_the_scale_that_scores_higher(random_pocket, monkeypatch):
    rgb = np.random.default_rng(1).integers(0, 256, (96, 120, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    coords, labels = np.float32([[[41, 30]], [[90, 7]]]), np.ones((2, 1), np.int64)
    box = np.float32([[30, 20, 60, 50], [80, 1, 100, 20]])
    made = spy(random_pocket, monkeypatch, [[0.9, 0.2], [0.5, 0.6]])
    logits, iou, presence = random_pocket.decode(features, coords, labels, None, None, True)
    np.testing.assert_allclose(iou, np.repeat([[0.9], [0.6]], 3, axis=1), rtol=1e-6)
    (_, full), (call, half) = made
    np.testing.assert_array_equal(logits[0], full.logits[0, 1:])
    chosen = torch.tensor([full.presence[0], half.presence[1]]).sigmoid()
    np.testing.assert_allclose(presence, chosen, rtol=1e-5)
    halved = call.placed.prompts.coords[0, 0]
    np.testing.assert_allclose(halved, [20.25, 14.75])  # pixels' centres
    half_logits = torch.from_numpy(half.logits)
    doubled = torch.nn.functional.interpolate(half_logits, scale_factor=2, mode="bilinear")
    np.testing.assert_array_equal(logits[1], doubled[1, 1:, : logits.shape[2], : logits.shape[3]])
    made.clear()
    random_pocket.decode(features, coords, labels, box, None, False)
    assert len(made) == 1  # a box says how large the object is
    made.clear()
    earlier = np.full((2, *logits.shape[2:]), -5, np.float32)
    earlier[:, 4:9, 6:12] = 5
    random_pocket.decode(features, coords, labels, None, earlier, False)
    assert len(made) == 1  # and so does an earlier answer


@pytest.mark.parametrize("place", [(30.0, 40.0), (300.0, 200.0), (500.0, 505.0)])
def test_a_click_is_answered_in_a_window_about_it(random_pocket, monkeypatch, place):
    rgb = np.random.default_rng(2).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    made = spy(random_pocket, monkeypatch, [[0.9], [0.1]])
    mask_input = np.random.default_rng(3).uniform(-9, -1, (1, 128, 128)).astype(np.float32)
    coords = np.float32([[place, (place[0] - 20, place[1] - 20), (5.0, 250.0)]])
    labels = np.int64([[1, 0, 0]])
    logits = random_pocket.decode(features, coords, labels, None, mask_input, True)[0]
    call, answer = made[0]
    features_cut, placed = call.windows[0], call.placed.prompts
    assert features_cut[0].shape[-2:] == (64, 64)
    x, y = (place - placed.coords[0, 0]).astype(int)  # where the window begins
    np.testing.assert_array_equal(call.placed.starts, [(x, y)])
    assert x % 16 == y % 16 == 0
    assert 0 <= x <= 256
    assert 0 <= y <= 256
    assert placed.coords[0, 0].min() >= 0
    assert placed.coords[0, 0].max() <= 255
    assert placed.labels[0, 1] == 0
    far = not (x <= 5 < x + 256 and y <= 250 < y + 256)
    assert placed.labels[0, 2] == (-1 if far else 0)  # left out beyond the window
    window = np.s_[y // 4 : y // 4 + 64, x // 4 : x // 4 + 64]
    np.testing.assert_array_equal(placed.mask_input[0], mask_input[0][window])
    np.testing.assert_array_equal(logits[0][:, *window], answer.logits[0, 1:])
    outside = np.ones((128, 128), bool)
    outside[window] = False
    assert (logits[0][:, outside] == OUTSIDE).all()
    strides = zip(features.full, features_cut, (4, 8, 16, 4), strict=True)
    for level, part, stride in strides:
        cells = level[..., y // stride : (y + 256) // stride, x // stride : (x + 256) // stride]
        torch.testing.assert_close(part, cells, rtol=0, atol=0)


@pytest.mark.parametrize(("side", "grid"), [(150, 64), (300, 64)])
def test_a_large_box_is_answered_at_half_the_size(random_pocket, monkeypatch, side, grid):
    rgb = np.random.default_rng(2).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    halved = side > 176
    made = spy(random_pocket, monkeypatch, [[0.4 if halved else 0.5]])
    box = np.float32([[100, 100, 100 + side, 100 + side]])
    none = np.zeros((1, 0, 2), np.float32), np.zeros((1, 0), np.int64)
    scores = random_pocket.decode(features, *none, box, None, False).iou_predictions
    assert len(made) == 1
    assert scores[0, 0] == pytest.approx(0.4 if halved else 0.5)
    if halved:
        placed = made[0][0].placed.prompts
        np.testing.assert_allclose(placed.boxes[0], (box[0] + 0.5) / 2 - 0.5)


def test_the_score_sees_the_instance_head_and_moves_no_mask(random_pocket):
    net = random_pocket.pocket
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = net.encoder(images)
    prompt = (
        torch.tensor([0]),
        torch.tensor([[[20.0, 30.0]]]),
        torch.tensor([[1]]),
        torch.full((1, 4), torch.nan),
        torch.full((1, 16, 16), torch.nan),
    )
    answer = net.decoder(features, *prompt)
    answer.iou.sum().backward()
    moved = {n for n, p in net.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    net.zero_grad()
    assert "decoder.score_head.layers.0.weight" in moved
    assert not {n for n in moved if n.startswith(("decoder.mix", "decoder.hyper"))}
    assert not {n for n in moved if n.startswith("encoder.instance_head")}
    other = features._replace(instances=features.instances + 3)
    changed = net.decoder(other, *prompt)
    torch.testing.assert_close(changed.logits, answer.logits)
    assert (changed.iou - answer.iou).abs().max() > 1e-4


def guided(model):
    """Return a model whose guide is heeded; it starts as one that says nothing."""
    with torch.no_grad():
        for name, weights in model.pocket.decoder.guide.named_parameters():
            if "out_proj" in name:
                weights.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    return model


@pytest.mark.parametrize("size", [(512, 512), (90, 130)])
def test_a_guide_says_where_the_object_was(size):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        predictor = SamPredictor(guided(PocketModel(Pocket())))
    rng = np.random.default_rng(5)
    before, now = (predictor.encode(rng.integers(0, 256, size).astype(np.uint8)) for _ in range(2))
    cells = before.features.full.s4.shape[-2:]
    outlines = np.full((2, *cells), -6, np.float32)
    outlines[0, 3:9, 3:9] = outlines[1, 12:20, 12:20] = 6
    prompts = [Prompts(guide=PlaneGuide(before, outline)) for outline in outlines]
    one, other = predictor.predict_many(now, prompts)
    assert len(one.masks) == 1  # not ambiguous
    assert np.abs(one.low_res_logits - other.low_res_logits).max() > 1e-2
    alone = predictor.predict(now, prompts[1])
    np.testing.assert_allclose(alone.low_res_logits, other.low_res_logits, atol=2e-3)
    clicked = Prompts([(40, 40)], [1])
    with_guide = Prompts([(40, 40)], [1], guide=prompts[0].guide)
    answers = [predictor.predict(now, p, False).low_res_logits for p in (clicked, with_guide)]
    assert np.abs(answers[0] - answers[1]).max() > 1e-2


def test_a_guide_must_fit(random_pocket, tiny_predictor):
    own = SamPredictor(random_pocket)
    plane = np.zeros((64, 64), np.uint8)
    small, large = own.encode(plane), own.encode(np.zeros((64, 96), np.uint8))
    logits = np.zeros(small.features.full.s4.shape[-2:], np.float32)
    with pytest.raises(ValueError, match="the guide's plane was encoded by pocket at"):
        own.predict(large, Prompts([(3, 3)], guide=PlaneGuide(small, logits)))
    other = tiny_predictor.encode(plane)
    with pytest.raises(ValueError, match="takes no guide"):
        tiny_predictor.predict(other, Prompts([(3, 3)], guide=PlaneGuide(other, logits)))


def test_prompts_together_are_answered_as_alone(random_pocket):
    rgb = np.random.default_rng(4).integers(0, 256, (512, 400, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    coords = np.float32([[[30, 40]], [[370, 490]], [[200, 260]]])
    labels = np.ones((3, 1), np.int64)
    together = random_pocket.decode(features, coords, labels, None, None, True)
    for k in range(3):
        one = np.s_[k : k + 1]
        alone = random_pocket.decode(features, coords[one], labels[one], None, None, True)
        np.testing.assert_allclose(alone[0][0], together[0][k], atol=2e-3)
        np.testing.assert_allclose(alone[1][0], together[1][k], atol=1e-3)


def test_fields_of_both_scales(random_pocket):
    rgb = np.random.default_rng(0).integers(0, 256, (100, 70, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    full, half = random_pocket.instance_fields(features)
    assert (full.stride, half.stride) == (4, 8)
    assert full.foreground.shape == features.full.s4.shape[-2:] == full.field.shape[1:]
    assert half.foreground.shape == features.half.s4.shape[-2:]
    assert ((full.foreground > 0) & (full.foreground < 1)).all()
    logit, *field = features.full.instances[0]
    np.testing.assert_allclose(full.foreground, logit.sigmoid(), rtol=1e-5)
    np.testing.assert_array_equal(full.field, torch.stack(field))


def test_feature_maps_begin_on_the_grid_of_the_logits(random_pocket):
    rgb = np.random.default_rng(0).integers(0, 256, (100, 70, 3)).astype(np.uint8)
    features = random_pocket.encode(rgb)
    levels = random_pocket.feature_maps(features)
    assert random_pocket.fine_features
    coords = np.full((1, 1, 2), 30, np.float32)
    answers = random_pocket.decode(features, coords, np.ones((1, 1), np.int64), None, None, True)
    assert levels[0].shape[1:] == answers.low_res_logits.shape[-2:]
    assert [one.shape[1] for one in levels] == [32, 16, 8]
    for level, known in zip(levels, features.full, strict=False):
        np.testing.assert_array_equal(level, known[0])
