from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import SceneModel, tiny_sam
from torch.nn import functional as F

from napari_sam.masks import iou
from napari_sam.predict.predictor import BATCH, SamPredictor
from napari_sam.types import ImageEmbedding, MaskLogits, Prompts

RNG = np.random.default_rng(0)
PLANE = RNG.integers(0, 256, (48, 80)).astype(np.uint8)
MASK = RNG.normal(size=(16, 16))


@pytest.fixture(scope="module")
def embedding(tiny_predictor):
    return tiny_predictor.encode(PLANE)


def difference(a, b):
    return np.abs(a.low_res_logits - b.low_res_logits).max() / np.ptp(a.low_res_logits)


def test_predict_is_the_published_pipeline(tiny_predictor, embedding):
    """The steps of the reference, written out with torch."""
    model = tiny_predictor.model
    sam = model.sam
    prompts = Prompts([(70, 10), (5, 40)], [1, 0], [8, 4, 60, 30])
    answer = tiny_predictor.predict(embedding, prompts, multimask_output=True)
    assert embedding.input_size == (38, 64)
    scale = torch.tensor([64 / 80, 38 / 48])
    with torch.inference_mode():
        sparse, dense = sam.prompt_encoder(
            torch.tensor([[[70.0, 10.0], [5.0, 40.0]]]) * scale,
            torch.tensor([[1, 0]]),
            torch.tensor([[8.0, 4.0, 60.0, 30.0]]) * scale.repeat(2),
            None,
        )
        logits, iou = sam.mask_decoder(
            embedding.features, sam.prompt_encoder.get_dense_pe(), sparse, dense
        )
        large = F.interpolate(logits, (64, 64), mode="bilinear", align_corners=False)
        full = F.interpolate(large[..., :38, :], (48, 80), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(answer.low_res_logits, logits[0, 1:], atol=1e-5)
    np.testing.assert_allclose(answer.iou_predictions, iou[0, 1:], atol=1e-5)
    found = np.stack([np.asarray(mask) for mask in answer.masks])
    different = found != (full[0, 1:] > 0).numpy()
    assert different.mean() < 1e-3  # rounding at the threshold
    assert 0 < found.mean() < 1


def test_one_mask_is_the_first_token(tiny_predictor, embedding):
    single = tiny_predictor.predict(embedding, Prompts([(9, 9)]), multimask_output=False)
    several = tiny_predictor.predict(embedding, Prompts([(9, 9)]))
    assert [mask.size for mask in single.masks] == [(48, 80)]
    assert [mask.size for mask in several.masks] == [(48, 80)] * 3
    assert difference(several, single) > 0.01


def test_many_prompts_get_the_answers_of_single_ones(tiny_predictor, embedding):
    prompts = [
        Prompts([(3, 4)]),
        Prompts(box=[1, 2, 30, 40]),
        Prompts([(3, 40), (70, 4)], [1, 0]),
        Prompts([(60, 20)]),
        Prompts([(60, 20)], [1], [50, 10, 70, 30]),
        Prompts([(60, 20)], [1], None, MASK),
        Prompts(mask_input=MASK),
        Prompts([(3, 40), (7, 4)], [1, 1]),
    ]
    together = tiny_predictor.predict_many(embedding, prompts)
    assert len(together) == len(prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = tiny_predictor.predict(embedding, prompt)
        assert difference(alone, answer) < 1e-4
        np.testing.assert_allclose(alone.iou_predictions, answer.iou_predictions, atol=1e-5)
    assert difference(together[0], together[3]) > 0.01


def test_more_prompts_than_a_batch_keep_their_order(tiny_predictor, embedding):
    prompts = [Prompts([(x, 20)]) for x in range(BATCH + 3)]
    together = tiny_predictor.predict_many(embedding, prompts, multimask_output=False)
    for x in (0, BATCH - 1, BATCH, BATCH + 2):
        alone = tiny_predictor.predict(embedding, prompts[x], multimask_output=False)
        assert difference(alone, together[x]) < 1e-4


def test_no_prompts_no_answers(tiny_predictor, embedding):
    assert tiny_predictor.predict_many(embedding, []) == []


def test_every_part_of_a_prompt_counts(tiny_predictor, embedding):
    def predict(embedding, prompts):
        return tiny_predictor.predict(embedding, prompts, multimask_output=False)

    point, box = [(30, 20)], [10, 10, 50, 40]
    plain = predict(embedding, Prompts(point))
    for other in (
        Prompts(point, [0]),
        Prompts(point, [1], box),
        Prompts(point, [1], None, MASK),
        Prompts([(31, 20)]),
    ):
        assert difference(plain, predict(embedding, other)) > 1e-3
    boxed = predict(embedding, Prompts(box=box))
    assert difference(boxed, predict(embedding, Prompts(point, [1], box))) > 1e-3


def test_the_order_of_points_does_not_matter(tiny_predictor, embedding):
    one = tiny_predictor.predict(embedding, Prompts([(3, 40), (70, 4)], [1, 0]))
    other = tiny_predictor.predict(embedding, Prompts([(70, 4), (3, 40)], [0, 1]))
    assert difference(one, other) < 1e-4


@pytest.mark.parametrize(
    ("prompts", "count"),
    [
        (Prompts([(30, 20)]), 3),
        (Prompts([(30, 20), (50, 9)], [1, 0]), 1),
        (Prompts([(30, 20)], [1], [10, 10, 50, 40]), 1),
        (Prompts(box=[10, 10, 50, 40]), 1),
        (Prompts([(30, 20)], [1], None, MASK), 1),
    ],
)
def test_only_a_lone_point_has_several_answers(tiny_predictor, embedding, prompts, count):
    assert len(tiny_predictor.predict(embedding, prompts).masks) == count
    assert len(tiny_predictor.predict(embedding, prompts, True).masks) == 3


def test_an_answer_goes_back_in(tiny_predictor, embedding):
    first = tiny_predictor.predict(embedding, Prompts([(30, 20)]), multimask_output=False)
    logits = first.logits(first.best)
    second = tiny_predictor.predict(embedding, Prompts([(30, 20)], [1], None, logits))
    assert difference(first, second) > 1e-3
    bare = Prompts([(30, 20)], [1], None, first.low_res_logits[first.best])
    assert difference(second, tiny_predictor.predict(embedding, bare)) == 0


def test_an_empty_prompt_is_refused(tiny_predictor, embedding):
    with pytest.raises(ValueError, match="at least one point"):
        tiny_predictor.predict(embedding, Prompts())
    with pytest.raises(ValueError, match="at least one point"):
        tiny_predictor.predict_many(embedding, [Prompts([(1, 1)]), Prompts()])


def test_an_embedding_of_another_model_is_refused(tiny_predictor, embedding):
    strange = ImageEmbedding(embedding.features, (48, 80), (38, 64), "other")
    with pytest.raises(ValueError, match="made by other, not by tiny"):
        tiny_predictor.predict(strange, Prompts([(1, 1)]))


@pytest.mark.parametrize("shape", [(15, 16), (64, 64), (1, 1)])
def test_a_mask_input_of_another_size_is_refused(tiny_predictor, embedding, shape):
    with pytest.raises(ValueError, match=r"must be \(16, 16\)"):
        tiny_predictor.predict(embedding, Prompts([(1, 1)], [1], None, np.zeros(shape)))


@pytest.mark.parametrize("shape", [(15, 16), (64, 64), (1, 1)])
def test_logits_that_know_their_frame_are_taken_at_any_size(tiny_predictor, embedding, shape):
    logits = MaskLogits(np.full(shape, 3, np.float32), (-9.5, -0.5, 40.5, 47.5))
    answer = tiny_predictor.predict(embedding, Prompts([(1, 1)], [1], None, logits))
    assert np.isfinite(answer.low_res_logits).all()


def test_the_frame_of_logits_is_the_padded_input(tiny_predictor, embedding):
    """64 cells of 80 / 64 pixels across, of which 38 down lie on the plane."""
    answer = tiny_predictor.predict(embedding, Prompts([(30, 20)]))
    assert answer.frame == pytest.approx((-0.5, -0.5, 79.5, 48 * 64 / 38 - 0.5))
    logits = answer.logits(1)
    assert logits.window is None
    np.testing.assert_array_equal(logits.values, answer.low_res_logits[1])


WEIRD = {
    "one pixel": np.array([[7]], np.uint16),
    "a row": np.arange(3000, dtype=np.float32)[None],
    "a column": np.arange(3000, dtype=">u2")[:, None],
    "constant": np.full((20, 30), 3.0),
    "nan": np.full((20, 30), np.nan),
    "infinite": np.where(np.eye(20) > 0, np.inf, 1.0),
    "opacity": np.zeros((20, 30, 4), np.uint8),
    "five channels": np.random.default_rng(0).random((20, 30, 5)),
    "bool": np.eye(20, 30) > 0,
    "turned": np.random.default_rng(0).random((30, 20))[::-1].T,
}


@pytest.mark.parametrize("plane", WEIRD.values(), ids=WEIRD)
@pytest.mark.parametrize("model", ["tiny_predictor", "pocket"])
def test_odd_planes_get_masks_of_their_size(request, model, plane):
    predictor = request.getfixturevalue(model)
    h, w = plane.shape[:2]
    answer = predictor.predict(predictor.encode(plane), Prompts([(w // 2, h // 2)], [1]))
    assert [np.asarray(mask).shape for mask in answer.masks] == [(h, w)] * 3
    assert np.isfinite(answer.low_res_logits).all()
    assert np.isfinite(answer.iou_predictions).all()


@pytest.mark.parametrize("plane", [np.zeros((0, 4)), np.zeros((4, 4), complex), np.zeros(3)])
def test_what_is_no_plane_is_refused(tiny_predictor, plane):
    with pytest.raises(ValueError, match="plane"):
        tiny_predictor.encode(plane)


def test_contrast_limits_reach_the_model(tiny_predictor):
    limited = tiny_predictor.encode(PLANE, (0, 10)).features
    assert (limited - tiny_predictor.encode(PLANE).features).abs().max() > 0.01


def test_what_moves_with_the_image_moves_with_the_answer(pocket):
    """Prompts and masks of the bundled model keep their place relative to the object."""
    y, x = np.mgrid[:256, :256]
    noise = RNG.normal(0, 4, (256, 256))
    areas = []
    for shift in (0, 32):
        distance = np.hypot(x - 80 - shift, y - 90 - shift)
        plane = 60 + 120 / (1 + np.exp(distance - 22)) + noise
        truth = distance < 22
        box = Prompts(box=[57, 67, 103, 113]).moved(shift, shift)
        mask = pocket.predict(pocket.encode(plane), box, multimask_output=False).masks[0]
        assert iou(mask, truth) > 0.7
        areas.append(mask.area)
    assert abs(areas[0] - areas[1]) < 0.05 * areas[0]


def test_predictors_share_nothing():
    a, b = SamPredictor(tiny_sam(seed=0)), SamPredictor(tiny_sam(seed=1))
    first = a.predict(a.encode(PLANE), Prompts([(3, 3)]))
    b.predict(b.encode(PLANE.T), Prompts([(9, 9)]))
    assert difference(first, a.predict(a.encode(PLANE), Prompts([(3, 3)]))) == 0


def test_pixels_of_unequal_spacing_become_square_for_the_model():
    model = SceneModel()
    predictor = SamPredictor(model)
    thin = np.zeros((24, 256), np.uint8)
    thin[6:18, 100:148] = 255  # 48 x 48 where rows are four times as far apart
    embedding = predictor.encode(thin, spacing=(4.0, 1.0))
    assert embedding.input_size == (96, 256)
    answer = predictor.predict(embedding, Prompts([(120, 12)], [1]))
    mask = np.asarray(answer.masks[answer.best])
    assert mask.shape == thin.shape
    assert (mask & (thin > 0)).sum() / (mask | (thin > 0)).sum() > 0.85


@pytest.mark.parametrize("spacing", [(0, 1), (1,), (np.nan, 1), "ab", (1, np.inf)])
def test_a_spacing_is_two_positive_numbers(spacing):
    with pytest.raises(ValueError, match="spacing is two positive numbers"):
        SamPredictor(SceneModel()).encode(np.zeros((8, 8), np.uint8), spacing=spacing)


@pytest.mark.parametrize("plane", [np.full((32, 32), 7, np.uint8), np.full((32, 32), np.nan)])
def test_nothing_is_there_in_a_plane_whose_pixels_all_look_alike(plane):
    predictor = SamPredictor(SceneModel())
    answer = predictor.predict(predictor.encode(plane), Prompts([(16, 16)], [1]))
    assert answer.presence == 0
    assert not answer.present
