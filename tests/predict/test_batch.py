"""Many prompts at once: which become objects, and why the others do not."""

from __future__ import annotations

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam.masks import iou
from napari_sam.predict import batch
from napari_sam.predict.batch import Seed, SeededPlane, answer_planes, answer_seeds
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.steps import drive
from napari_sam.types import Mask, Plane, Prompts, Stroke


@pytest.fixture
def truth():
    labels = np.zeros((96, 128), np.int32)
    labels[10:40, 12:44] = 1
    labels[12:44, 70:110] = 2
    labels[60:84, 30:80] = 3
    return labels


@pytest.fixture
def image(truth):
    return np.where(truth > 0, 200, 20).astype(np.uint8)


@pytest.fixture
def session():
    return Session(SamPredictor(SceneModel()))


def given(image, seeds, taken=None):
    none = np.zeros(image.shape, np.int32)
    return SeededPlane(Plane(image), lambda: seeds, lambda: none if taken is None else taken)


def point(number, x, y):
    return Seed(number, Prompts([(x, y)]))


def test_each_point_is_an_object(session, image, truth):
    seeds = [point(1, 25, 25), point(2, 90, 30), Seed(3, Prompts(box=(29, 59, 80, 84)))]
    answers = drive(answer_seeds(session, given(image, seeds)))
    assert [one.outcome for one in answers] == ["object"] * 3
    assert [one.seed.number for one in answers] == [1, 2, 3]
    for label, one in enumerate(answers, 1):
        assert iou(one.mask, truth == label) > 0.98
        assert 0 < one.stability <= 1
        assert one.score > 0.5


def test_what_found_nothing_and_duplicates_are_told(session, image):
    seeds = [point(1, 25, 25), point(2, 5, 5), point(3, 30, 30), point(4, 90, 30)]
    answers = drive(answer_seeds(session, given(image, seeds)))
    assert sorted(one.outcome for one in answers) == ["duplicate", "nothing", "object", "object"]
    assert answers[1].outcome == "nothing"
    assert {answers[0].outcome, answers[2].outcome} == {"duplicate", "object"}


def test_objects_that_are_there_are_duplicates(session, image, truth):
    there = np.where(truth == 1, 7, 0)
    there[12:44, 70:100] = 8  # three quarters of the second one
    seeds = [point(1, 25, 25), point(2, 90, 30), point(3, 50, 70)]
    answers = drive(answer_seeds(session, given(image, seeds, there)))
    assert [one.outcome for one in answers] == ["duplicate", "covered", "object"]
    answers = drive(answer_seeds(session, given(image, seeds, there), free_only=False))
    assert [one.outcome for one in answers] == ["duplicate", "object", "object"]


def test_rough_outlines_are_made_better(session, image, truth):
    rough = Mask.of(np.roll(truth, 2, 0) == 3)
    answers = drive(answer_seeds(session, given(image, [Seed.around(1, rough)])))
    assert iou(answers[0].mask, truth == 3) > 0.98
    there = np.where(np.asarray(rough), 5, 0)
    one = Seed.around(1, rough, label=5)
    (answer,) = drive(answer_seeds(session, given(image, [one], there)))
    assert answer.outcome == "object"


def test_planes_are_answered_one_by_one(session, image, monkeypatch):
    monkeypatch.setattr(batch, "BATCH", 2)
    seeds = [point(k, 25 + k, 25) for k in range(3)]
    steps = list(answer_planes(session, [given(image, seeds), given(image, [])]))
    progress = [(one.done, one.total) for one in steps if not isinstance(one, list)]
    assert progress == [(0, 2000), (667, 2000)]
    assert [len(one) for one in steps if isinstance(one, list)] == [3, 0]


def test_prompts_outside_are_told_and_the_others_answered(session, image):
    around = Stroke(np.array([[-5.0, 10], [-5, -5], [10, -5]]))
    seeds = [point(1, 500, 5), point(2, 25, 25), Seed(3, Prompts(strokes=[around]))]
    answers = drive(answer_seeds(session, given(image, seeds)))
    assert [one.outcome for one in answers] == ["outside", "object", "outside"]
    assert [one.seed.number for one in answers] == [1, 2, 3]
    assert not answers[0].mask
