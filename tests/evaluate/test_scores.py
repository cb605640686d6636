from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam.evaluate.report import object_rows
from napari_sam.evaluate.scores import (
    POOLED,
    THRESHOLDS,
    ObjectScore,
    average_precision,
    background_noticed,
    ellipse_in,
    plane_answer,
    pool_small,
    score_image,
    session_answer,
    summarise,
)
from napari_sam.masks import box_of, iou
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.types import Mask, Prediction

TRUTH = np.zeros((60, 80), np.int32)
TRUTH[5:25, 5:30] = 4
TRUTH[30:55, 40:70] = 7
TRUTH[0, 79] = 9  # a speck
IMAGE = np.where(TRUTH > 0, 220, 10).astype(np.uint8)


def test_a_model_that_knows_the_answer_scores_high(scene_predictor):
    scores = list(score_image(plane_answer(scene_predictor, IMAGE), TRUTH, "s", "n", clicks=3))
    assert [(s.source, s.name, s.label, s.area) for s in scores] == [
        ("s", "n", 4, 500),
        ("s", "n", 7, 750),
    ]
    for score in scores:
        assert len(score.clicks) == 3
        assert min(score.clicks) > 0.9
        assert score.box > 0.9
        assert score.oracle >= score.clicks[0]
        assert 0.6 < score.ellipse < 0.9


def test_absence_is_noticed_beside_objects_and_no_object_is_denied(scene_predictor):
    answer = plane_answer(scene_predictor, IMAGE)
    assert background_noticed(answer, TRUTH, clicks=5) == [True] * 5
    assert background_noticed(answer, np.zeros_like(TRUTH))[:1] != []
    assert background_noticed(answer, np.ones_like(TRUTH)) == []
    found = summarise(score_image(answer, TRUTH, "s", "n"))[0].figures["denied"]
    assert found.mean == 0
    dark = summarise(score_image(plane_answer(scene_predictor, IMAGE * 0), TRUTH, "s", "n"))
    assert dark[0].figures["denied"].mean == 1


def test_wrong_answers_score_low_and_get_clicks_on_the_error():
    asked = []

    def answer(prompts):
        asked.append([p.point_coords.tolist() for p in prompts])
        mask = Mask.of(np.ones((10, 20), bool), (60, 0), (60, 80))  # nowhere near an object
        logits, frame = np.zeros((1, 15, 20), np.float32), (-0.5, -0.5, 79.5, 59.5)
        one = Prediction((mask,), np.float32([0.9]), logits, frame)
        return [one for _ in prompts]

    scores = list(score_image(answer, TRUTH, clicks=2))
    assert all(s.clicks[0] < 0.05 and s.box < 0.05 for s in scores)
    assert all(s.predicted == pytest.approx(0.9) for s in scores)
    first, second = asked[2], asked[3]
    assert [len(points) for points in first] == [1, 1]
    assert [len(points) for points in second] == [2, 2]
    assert TRUTH[int(second[0][1][1]), int(second[0][1][0])] == 4  # on what was missed
    (summary,) = summarise(scores)
    assert summary.figures["predicted - true"].mean > 0.8
    assert summary.figures["NoC@85"].mean == 3


def test_limit_spreads_over_the_labels(scene_predictor):
    many = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((6, 6), int))
    many[::6] = 0
    image = np.where(many > 0, 220, 10).astype(np.uint8)
    chosen = [s.label for s in score_image(plane_answer(scene_predictor, image), many, limit=3)]
    assert chosen == [1, 13, 25]


def test_a_session_is_scored_like_a_predictor(scene_predictor):
    scores = list(score_image(session_answer(Session(scene_predictor), IMAGE), TRUTH))
    assert [s.label for s in scores] == [4, 7]
    assert all(s.clicks[0] > 0.9 for s in scores)


def test_corrections_go_on_in_the_window_of_a_small_object():
    """Each comes with the logits of the answer before, and says where that lay."""
    truth = np.zeros((400, 512), np.int32)
    truth[290:308, 390:411] = 3
    image = np.where(truth > 0, 220, 10).astype(np.uint8)
    session, asked = Session(SamPredictor(SceneModel(image_size=256))), []

    def answer(prompts):
        asked.append(prompts[0].mask_input)
        return session_answer(session, image)(prompts)

    (score,) = score_image(answer, truth, clicks=3)
    assert min(score.clicks) > 0.8
    assert asked[2] is None
    assert all(logits.window is not None for logits in asked[3:])


def test_no_objects_no_scores(scene_predictor):
    empty = np.zeros_like(TRUTH)
    assert list(score_image(plane_answer(scene_predictor, IMAGE), empty)) == []
    assert summarise([]) == []


def test_the_ellipse_fills_its_box():
    box = np.array([10.0, 20.0, 29.0, 59.0])
    ellipse = ellipse_in(box, (80, 50))
    np.testing.assert_array_equal(box_of(ellipse), box)
    filled = np.zeros((80, 50), bool)
    filled[20:60, 10:30] = True
    assert iou(ellipse, filled) == pytest.approx(np.pi / 4, abs=0.02)


def test_summaries_are_means_per_source(scene_predictor):
    scores = [
        *score_image(plane_answer(scene_predictor, IMAGE), TRUTH, "a"),
        *score_image(plane_answer(scene_predictor, IMAGE), TRUTH, "b"),
    ]
    rows = summarise(scores)
    assert [(r.source, r.objects) for r in rows] == [("a", 2), ("b", 2)]
    assert rows[0].figures["box"].mean == pytest.approx(np.mean([s.box for s in scores[:2]]))


def made(source, name, clicks, predicted=0.5):
    return ObjectScore(source, name, 1, 50, clicks, clicks[0], 0.5, 0.5, 0.5, predicted)


def test_clicks_are_counted_until_the_object_is_right():
    assert made("s", "n", (0.5, 0.86, 0.9)).noc == 2
    assert made("s", "n", (0.9, 0.7)).noc == 1
    assert made("s", "n", (0.5, 0.6)).noc == 3


def test_clicks_that_do_harm_are_counted():
    assert made("s", "n", (0.5, 0.44, 0.9, 0.86)).harm == pytest.approx(1 / 3)
    assert made("s", "n", (0.5,)).harm == 0


def test_intervals_come_from_images_not_from_objects():
    same = [made("s", "one", (0.2 + 0.1 * (k % 7),)) for k in range(70)]
    (alone,) = summarise(same)
    assert alone.images == 1
    assert alone.figures["1 click"].low == alone.figures["1 click"].high
    spread = [made("s", f"{k}", (0.2 + 0.1 * (k % 7),)) for k in range(70)]
    figure = summarise(spread)[0].figures["1 click"]
    assert figure.low < figure.mean < figure.high
    expected = 1.96 * np.std([s.clicks[0] for s in spread]) / np.sqrt(70)
    assert (figure.high - figure.low) / 2 == pytest.approx(expected, rel=0.2)
    assert summarise(spread)[0].figures == summarise(spread)[0].figures
    rows = [object_rows(summarise(one))[1] for one in (same, spread)]
    assert [("±" in cell) for row in rows for cell in row[2:3]] == [False, True]


def test_sources_of_few_objects_are_pooled():
    scores = [made("many", f"{k}", (0.5,)) for k in range(30)]
    scores += [made(name, "n", (0.5,)) for name in ("few", "fewer")]
    assert [(s.source, s.objects) for s in summarise(pool_small(scores))] == [
        ("many", 30),
        (POOLED, 2),
    ]


def test_a_sloppy_box_is_near_the_tight_one_and_always_the_same(scene_predictor):
    asked = []

    def answer(prompts):
        asked.append([p.box for p in prompts])
        return plane_answer(scene_predictor, IMAGE)(prompts)

    for _ in range(2):
        list(score_image(answer, TRUTH, "s", "n"))
    tight, sloppy = np.array(asked[0]), np.array(asked[1])
    assert not np.array_equal(tight, sloppy)
    sides = np.tile(tight[:, 2:] - tight[:, :2] + 1, 2)
    assert (np.abs(sloppy - tight) <= 0.1 * sides + 1e-9).all()
    np.testing.assert_array_equal(sloppy, np.array(asked[4]))


def naive_precision(labels, truth):
    """Count the true objects that are found at each threshold, one by one."""
    found, real = (np.unique(image[image > 0]) for image in (labels, truth))
    table = np.array([[iou(labels == a, truth == b) for b in real] for a in found])
    hits = np.array([(table > threshold).sum() for threshold in THRESHOLDS])
    return hits / (len(found) + len(real) - hits)


@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_the_naive_loops(seed):
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.integers(0, 9, (5, 6)), np.ones((5, 5), int))
    labels = np.where(rng.random(truth.shape) < rng.random() / 2, 0, truth)
    labels = np.where(rng.random(truth.shape) < 0.02, 30, labels)
    np.testing.assert_allclose(average_precision(labels, truth), naive_precision(labels, truth))


def test_average_precision():
    perfect = average_precision(TRUTH * 3, TRUTH)
    np.testing.assert_array_equal(perfect, 1)
    half = np.where(TRUTH == 4, 4, 0)  # one of three is found
    np.testing.assert_allclose(average_precision(half, TRUTH), 1 / 3)
    moved = np.roll(np.where(TRUTH == 9, 0, TRUTH), 4, axis=1)  # IoU 21/29 and 26/34
    at = dict(zip(THRESHOLDS, average_precision(moved, TRUTH), strict=True))
    assert at[0.5] == at[0.7] == pytest.approx(2 / 3)
    assert at[0.75] == pytest.approx(1 / 4)
    assert at[0.8] == 0
    assert np.isnan(average_precision(0 * TRUTH, 0 * TRUTH)).all()
    np.testing.assert_array_equal(average_precision(TRUTH, 0 * TRUTH), 0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: average_precision(np.zeros((3, 4)), np.zeros((3, 4), int)), "of float64"),
        (lambda: average_precision(np.zeros(4, int), np.zeros(4, int)), "of integers, but"),
        (lambda: average_precision(np.zeros((3, 4), int), np.zeros((4, 3), int)), "of one size"),
        (lambda: list(score_image(None, np.zeros((3, 4), int), clicks=0)), "clicks is at least 1"),
        (lambda: list(score_image(None, np.zeros((3, 4), int), limit=0.5)), "limit is a whole"),
        (lambda: background_noticed(None, np.zeros((3, 4), int), seed=-1), "seed is at least 0"),
        (lambda: summarise([], seed="x"), "seed is a whole number, but is 'x'"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_a_sentence(call, text):
    with pytest.raises(ValueError, match=text):
        call()
