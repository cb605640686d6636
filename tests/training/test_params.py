from __future__ import annotations

from dataclasses import replace

import pytest

from napari_sam.models.pocket_decoder import POSITION_SIZE
from napari_sam.training.params import STROKES, TrainParams, plan_step
from napari_sam.training.prompts import STROKE

PARAMS = TrainParams()


@pytest.fixture(scope="module")
def plans():
    return [plan_step(PARAMS, index) for index in range(4000)]


def share(plans, what):
    return sum(map(what, plans)) / len(plans)


def test_a_plan_comes_from_the_seed_and_the_number_of_the_step():
    assert plan_step(PARAMS, 7) == plan_step(replace(PARAMS, steps=3), 7)
    assert plan_step(PARAMS, 7).seed != plan_step(PARAMS, 8).seed
    assert plan_step(PARAMS, 7).seed != plan_step(replace(PARAMS, seed=1), 7).seed


def test_large_crops_are_fewer_at_an_equal_area(plans):
    counts = {plan.size: plan.crops for plan in plans}
    assert counts == {128: 20, 192: 9, 256: 5, 384: 2}
    assert plan_step(replace(PARAMS, crops=1, sizes=(512,), size_odds=(1.0,)), 0).crops == 1


def test_sizes_rounds_and_strokes_are_drawn_with_their_odds(plans):
    for size, odds in zip(PARAMS.sizes, PARAMS.size_odds, strict=True):
        assert share(plans, lambda p, size=size: p.size == size) == pytest.approx(odds, abs=0.03)
    for rounds, odds in zip(PARAMS.rounds, PARAMS.round_odds, strict=True):
        found = share(plans, lambda p, rounds=rounds: p.rounds == rounds)
        assert found == pytest.approx(odds, abs=0.03)
    assert share(plans, lambda p: p.slots == STROKE) == pytest.approx(STROKES, abs=0.02)
    assert {p.slots for p in plans} == {1, STROKE}
    assert share(plans, lambda p: p.offset) == pytest.approx(0.5, abs=0.03)


def test_the_first_and_the_last_round_learn_and_one_between(plans):
    for plan in plans:
        assert {0, plan.rounds - 1} <= plan.learning <= set(range(plan.rounds))
        assert len(plan.learning) <= 3
    many = [plan for plan in plans if plan.rounds == 8]
    assert set().union(*(plan.learning for plan in many)) == set(range(8))


def test_the_shares_of_drawn_and_earlier_planes_hold_in_the_mean(plans):
    for size, count in ((128, 20), (192, 9), (256, 5), (384, 2)):
        own = [p for p in plans if p.size == size]
        wanted = pytest.approx(0.2, abs=0.03)
        assert sum(p.drawn for p in own) / len(own) / count == wanted
        clicked = [p for p in own if p.slots == 1]
        assert sum(p.earlier for p in clicked) / len(clicked) / count == wanted
    assert all(p.earlier == 0 for p in plans if p.slots > 1)
    every = replace(PARAMS, drawn=1.0, earlier=1.0)
    for plan in (plan_step(every, index) for index in range(60)):
        assert plan.drawn == plan.crops - 1  # one shows an image
        assert plan.earlier in (0, plan.crops)


def test_crops_may_lie_anywhere_in_the_frame_of_positions(plans):
    for size in (128, 384):
        xs, ys = zip(*(p.origin for p in plans if p.size == size), strict=True)
        for places in (xs, ys):
            assert min(places) >= 0
            assert max(places) <= POSITION_SIZE - size
            assert sum(places) / len(places) == pytest.approx((POSITION_SIZE - size) / 2, rel=0.1)
    huge = replace(PARAMS, sizes=(640,), size_odds=(1.0,))
    assert plan_step(huge, 0).origin == (0, 0)
