"""The contrast that planes of a stack are shown at."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from tiny import SceneModel

from napari_sam.everything.amg import AutomaticMaskGenerator
from napari_sam.everything.amg_params import AmgParams
from napari_sam.predict.predictor import SamPredictor
from napari_sam.predict.session import Session
from napari_sam.stack.exposure import SHARES, best_exposure, exposed
from napari_sam.stack.planes import everything_in
from napari_sam.stack.volumes import everything
from napari_sam.steps import drive
from napari_sam.types import Plane, Progress, SliceKey

PARAMS = AmgParams(seeds="auto", pred_iou_thresh=0.5, stability_score_thresh=0.5)


def planes_of(stack, **options):
    return [Plane(stack, SliceKey((1, 2), ((0, z),)), **options) for z in range(len(stack))]


def dim_stack(depth=16, bright=True):
    """Return a stack of three dim objects, beside a bright one that takes the contrast."""
    stack = np.full((depth, 96, 128), 10, np.uint16)
    stack[:, 8:32, 8:32] = stack[:, 8:32, 50:80] = stack[:, 60:84, 30:70] = 300
    stack[:, 60:84, 90:110] = 1000 if bright else 300
    return stack


class Headless(SceneModel):
    def instance_fields(self, features):
        return None


@pytest.fixture
def session():
    return Session(SamPredictor(SceneModel()))


def chosen(session, planes, params=PARAMS):
    return drive(best_exposure(session, planes, AutomaticMaskGenerator(session.predictor, params)))


class Scored(AutomaticMaskGenerator):
    """Finds objects of given scores, by the share of the range that is shown."""

    def __init__(self, session, scores):
        super().__init__(session.predictor, PARAMS)
        self.scores, self.session = scores, session

    def propose_on(self, size, embed, spacing=(1.0, 1.0)):
        (plane,) = embed.args
        low, high = plane.contrast or self.session.read(plane)[1]
        own = self.session.read(replace(plane, contrast=None))[1]
        yield Progress(1, 2, "point 1 of 2")
        return round((high - low) / (own[1] - own[0]), 2)

    def select(self, candidates, params=None):
        return [SimpleNamespace(predicted_iou=score) for score in self.scores[candidates]]


@pytest.mark.parametrize(
    ("narrower", "expected"),
    [
        ({0.35: [0.8, 0.8]}, 0.35),  # surer of all
        ({0.35: [0.8, 0.8], 0.5: [0.9, 0.8]}, 0.5),  # the surest
        ({0.35: [0.71, 0.71]}, 1.0),  # hardly surer
        ({0.35: [0.9]}, 0.35),
        ({0.35: [0.85]}, 1.0),  # surer of the one, but the other one is lost
        ({0.35: [0.7] * 5}, 1.0),  # more objects, none of them better
        ({0.35: []}, 1.0),
    ],
)
def test_a_smaller_range_is_taken_where_the_model_is_surer(session, narrower, expected):
    scores = {share: [0.7, 0.7] for share in SHARES} | narrower
    steps = best_exposure(session, planes_of(dim_stack()), Scored(session, scores))
    assert drive(steps) == expected


def test_dim_objects_beside_a_bright_one_are_found(session, monkeypatch):
    planes = planes_of(dim_stack())

    def narrow(*args):
        yield from ()
        return 0.5

    monkeypatch.setattr("napari_sam.stack.planes.best_exposure", narrow)
    found = []
    for step in everything_in(session, planes, PARAMS):
        if not isinstance(step, Progress):
            found.append(len(step.values))
            assert step.plane.contrast is None
    assert found == [4] * 16


def test_the_own_contrast_of_planes_stays_where_another_finds_no_more(session):
    assert chosen(session, planes_of(dim_stack(bright=False))) == 1
    assert chosen(session, planes_of(np.zeros((16, 96, 128), np.uint16))) == 1


def test_few_planes_are_looked_at(session):
    stack = dim_stack(80)
    chosen(session, planes_of(stack))
    assert session.predictor.model.encoded == 3 * 4
    assert chosen(session, planes_of(stack[:7])) == 1


def test_a_contrast_that_was_given_stays(session):
    assert chosen(session, planes_of(dim_stack(), contrast=(0.0, 1200.0))) == 1
    assert session.predictor.model.encoded == 0


def test_colours_and_grids_of_points_and_models_without_an_instance_head_stay(session):
    planes = planes_of(dim_stack())
    assert chosen(session, planes, AmgParams(seeds="grid")) == 1
    colours = np.repeat((dim_stack() // 4).astype(np.uint8)[..., None], 3, axis=3)
    assert chosen(session, planes_of(colours)) == 1
    assert chosen(Session(SamPredictor(Headless())), planes) == 1


def test_all_channels_are_shown_at_a_share_of_their_range(session):
    stack = np.stack([dim_stack(), 10 * dim_stack()], axis=-1)
    plane = planes_of(stack, channels=(0, 1))[0]
    (low, high), (low_2, high_2) = session.read(plane)[1]
    expected = ((low, (low + high) / 2), (low_2, (low_2 + high_2) / 2))
    np.testing.assert_allclose(exposed(session, plane, 0.5).contrast, expected)
    assert exposed(session, plane, 1.0) is plane
    single = exposed(session, planes_of(dim_stack())[0], 0.5)
    assert single.contrast == pytest.approx((10, 505))


def test_it_says_how_far_it_is(session):
    planes = planes_of(dim_stack())
    generator = AutomaticMaskGenerator(session.predictor, PARAMS)
    steps = list(best_exposure(session, planes, generator))
    assert {step.text for step in steps} == {f"contrast {k} of 4" for k in (1, 2, 3, 4)}
    first = next(iter(everything_in(session, planes, PARAMS)))
    assert (first.done, first.total, first.text) == (0, 1600, "contrast 1 of 4")


def recorded(monkeypatch, share):
    """Put a fixed choice in the place of `best_exposure`; return how many planes it was given."""
    asked = []

    def chosen_share(session, planes, generator):
        asked.append(len(planes))
        yield Progress(0, 0, "contrast 1 of 4")
        return share

    monkeypatch.setattr("napari_sam.stack.planes.best_exposure", chosen_share)
    return asked


def test_all_stacks_of_an_array_are_shown_at_one_share(session, monkeypatch):
    asked, shares = recorded(monkeypatch, 0.5), []

    def noted(session, plane, share):
        shares.append(share)
        return exposed(session, plane, share)

    monkeypatch.setattr("napari_sam.stack.planes.exposed", noted)
    steps = list(everything(session.predictor, np.stack([dim_stack(3)] * 4), PARAMS))
    assert asked == [12]
    assert shares == [0.5] * 12
    texts = [step.text for step in steps if isinstance(step, Progress)]
    assert texts.count("contrast 1 of 4") == 1
    done = [step.done / step.total for step in steps if isinstance(step, Progress)]
    assert done == sorted(done)


def test_a_share_that_is_known_is_not_chosen_again(session, monkeypatch):
    asked = recorded(monkeypatch, 0.5)
    planes = planes_of(dim_stack())[:1]
    found = []
    for share in (0.5, 1.0):
        steps = everything_in(session, planes, PARAMS, share=share)
        found += [len(one.values) for one in steps if not isinstance(one, Progress)]
    assert asked == []
    assert found == [4, 1]
