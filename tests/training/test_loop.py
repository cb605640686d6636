from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_sam.models.pocket_net import Pocket
from napari_sam.training.data import CropSampler
from napari_sam.training.loop import Trainer, TrainParams
from napari_sam.training.synthetic import draw

PARAMS = TrainParams(
    steps=2,
    warmup=1,
    pixels=2 * 64 * 64,
    prompts=16,
    sizes=(64,),
    size_odds=(1.0,),
    synthetic=0.0,
    seed=3,
)


def trainer(params=PARAMS):
    images = [draw(np.random.default_rng(k), 96) for k in range(2)]
    return Trainer(CropSampler({"drawn": images}, np.random.default_rng(params.seed)), params)


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.fixture(scope="module")
def whole():
    run = trainer()
    start = Pocket()
    start.load_state_dict(run.model.state_dict())
    return run, list(run.run()), start


def test_steps_are_yielded_with_their_figures(whole):
    run, steps, _ = whole
    assert [s.index for s in steps] == [1, 2]
    assert run.done == 2
    for step in steps:
        assert np.isfinite(step.loss)
        assert step.loss > 0
        assert len(step.iou) in PARAMS.rounds
        assert all(0 <= v <= 1 for v in step.iou)
        assert step.seconds > 0
    assert list(run.run()) == []


def test_weights_move_and_their_average_moves_less(whole):
    run, _, start = whole
    for name in ("encoder", "decoder"):
        assert not same(getattr(run.model, name), getattr(start, name))
    moved, slow = 0.0, 0.0
    trios = zip(start.parameters(), run.model.parameters(), run.averaged.parameters(), strict=True)
    for a, b, c in trios:
        assert torch.isfinite(b).all()
        moved += (a - b).abs().sum().item()
        slow += (a - c).abs().sum().item()
    assert 0 < slow < moved


def test_a_run_comes_from_its_seed(whole):
    again = trainer()
    assert [s.loss for s in again.run()] == [s.loss for s in whole[1]]
    assert same(again.model, whole[0].model)
    other = trainer(replace(PARAMS, seed=4, steps=1))
    assert [s.loss for s in other.run()] != [s.loss for s in whole[1]][:1]


def test_a_resumed_run_ends_like_an_uninterrupted_one(whole, tmp_path):
    first = trainer()
    next(first.run())
    first.save(tmp_path / "state.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    second = trainer()
    second.resume(tmp_path / "state.pt")
    assert second.done == 1
    steps = list(second.run())
    assert [s.index for s in steps] == [2]
    assert steps[0].loss == whole[1][1].loss
    assert same(second.model, whole[0].model)
    assert same(second.averaged, whole[0].averaged)


def test_given_weights_are_where_a_run_starts(whole):
    run = trainer()
    run.load_weights(whole[2].state_dict())
    assert same(run.model, whole[2])
    assert same(run.averaged, whole[2])


def test_the_rate_rises_and_falls():
    run = trainer(replace(PARAMS, steps=100, warmup=10, learning_rate=1.0))
    rates = []
    for run.done in range(101):
        rates.append(run._learning_rate())
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[9], rel=0.03)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[100] <= 0.011


def test_a_few_steps_lower_the_loss():
    run = trainer(replace(PARAMS, steps=14, learning_rate=2e-3, prompts=8))
    losses = [s.loss for s in run.run()]
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
