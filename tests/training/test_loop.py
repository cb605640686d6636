from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_examples import blocks
from torch.utils._python_dispatch import TorchDispatchMode

import napari_sam
from napari_sam.models.pocket_encoder import STRIDE, PocketFeatures
from napari_sam.models.pocket_net import Pocket
from napari_sam.training import loop
from napari_sam.training.crops import draw_crops
from napari_sam.training.fields import instance_targets
from napari_sam.training.image_set import ImageSet
from napari_sam.training.loop import Trainer
from napari_sam.training.params import TrainParams
from napari_sam.training.prompts import corrected
from napari_sam.training.rng import DeviceRandom
from napari_sam.training.task import draw_task

PARAMS = TrainParams(
    steps=3,
    warmup=1,
    rounds=(1, 3),
    round_odds=(0.5, 0.5),
    crops=1,  # of 128 pixels, and so four of 64
    sizes=(64,),
    size_odds=(1.0,),
    drawn=0.3,
    earlier=0.5,
    seed=3,
)


@pytest.fixture(scope="module")
def images():
    return ImageSet.of([blocks("a"), blocks("b", (110, 170), colour=True)])


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def copied(model):
    other = Pocket()
    other.load_state_dict(model.state_dict())
    return other


@pytest.fixture(scope="module")
def whole(images):
    run = Trainer(images, PARAMS)
    start = copied(run.model)
    return run, list(run.run()), start


def test_steps_are_yielded_with_their_figures(whole):
    run, steps, _ = whole
    assert [s.index for s in steps] == [1, 2, 3]
    assert run.done == 3
    for step in steps:
        assert step.crops == 4
        assert np.isfinite(step.loss)
        assert step.loss > 0
        assert len(step.iou) == 2
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


def test_every_weight_learns(images):
    params = replace(PARAMS, drawn=0.0, weight_decay=0.0, steps=5, rounds=(3,), round_odds=(1.0,))
    run = Trainer(images, params)
    start = dict(copied(run.model).named_parameters())
    list(run.run())
    still = {n for n, p in run.model.named_parameters() if torch.equal(p, start[n])}
    assert not still


def test_a_run_comes_from_its_seed(whole, images):
    again = Trainer(images, PARAMS)
    steps = list(again.run())
    assert [(s.loss, s.iou) for s in steps] == [(s.loss, s.iou) for s in whole[1]]
    assert same(again.model, whole[0].model)
    assert same(again.averaged, whole[0].averaged)
    other = Trainer(images, replace(PARAMS, seed=4, steps=1))
    assert next(other.run()).loss != whole[1][0].loss


def test_a_resumed_run_ends_like_an_uninterrupted_one(whole, images, tmp_path):
    first = Trainer(images, PARAMS)
    next(first.run())
    first.save(tmp_path / "state.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    torch.rand(7)  # what else is drawn does not matter
    second = Trainer(images, PARAMS)
    second.resume(tmp_path / "state.pt")
    assert second.done == 1
    steps = list(second.run())
    assert [s.index for s in steps] == [2, 3]
    assert [s.loss for s in steps] == [s.loss for s in whole[1][1:]]
    assert same(second.model, whole[0].model)
    assert same(second.averaged, whole[0].averaged)


def test_given_weights_are_where_a_run_starts(whole, images):
    run = Trainer(images, replace(PARAMS, seed=9))
    assert not same(run.model, whole[2])
    weights = whole[2].state_dict()
    assert run.load_weights(weights) == []
    assert same(run.model, whole[2])
    assert same(run.averaged, whole[2])
    code = "decoder.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    assert torch.equal(run.model.state_dict()[code], weights[code])


def test_what_given_weights_lack_stays_as_it_was_and_is_named(whole, images):
    run = Trainer(images, replace(PARAMS, seed=9))
    own = copied(run.model).state_dict()
    weights = dict(whole[2].state_dict())
    gone, other = "decoder.iou_token.weight", "encoder.top.weight"
    del weights[gone]
    weights[other] = weights[other][:5]
    weights["decoder.unheard_of"] = torch.zeros(3)
    assert run.load_weights(weights) == [gone, other]
    for model in (run.model, run.averaged):
        state = model.state_dict()
        for name, value in state.items():
            wanted = own if name in (gone, other) else weights
            assert torch.equal(value, wanted[name])


def test_the_rate_rises_and_falls(images):
    run = Trainer(images, replace(PARAMS, steps=100, warmup=10, learning_rate=1.0))
    rates = []
    for run.done in range(101):
        rates.append(run._learning_rate(run.done / 100))
    assert rates[0] == pytest.approx(0.1)
    assert rates[4] == pytest.approx(0.5, rel=0.01)
    assert rates[50] == pytest.approx(0.5)
    assert max(rates) == pytest.approx(rates[9], rel=0.03)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[100] == pytest.approx(0.01)


def test_the_optimiser_follows_the_rate(images):
    run = Trainer(images, replace(PARAMS, steps=2, learning_rate=0.5))
    run._step = lambda: (1, 1.0, 0.0, 0.0)
    rates = [[group["lr"] for group in run.optimiser.param_groups] for _ in run.run()]
    assert rates == [pytest.approx([0.5, 0.5]), pytest.approx([0.25, 0.25])]
    assert [group["weight_decay"] for group in run.optimiser.param_groups] == [0.02, 0.0]


def test_a_run_of_some_minutes_ends_in_time_and_pauses_do_not_count(images, monkeypatch):
    clock = [0.0]
    lengths = iter([10.0, 10.0, 5000.0, 20.0, 20.0, 20.0, 20.0])

    def step():
        clock[0] += next(lengths)
        return 1, 1.0, 0.0, 0.0

    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])
    run = Trainer(images, replace(PARAMS, steps=1, warmup=1, learning_rate=1.0))
    run._step = step
    seconds, rates = [], []
    for done in run.run(minutes=100 / 60):  # 10 + 10 + 30 + 20 + 20 + 20 > 100 seconds
        seconds.append(done.seconds)
        rates.append(run.optimiser.param_groups[0]["lr"])
    assert seconds == [10, 10, 5000, 20, 20, 20]
    passed = np.array([0, 0.1, 0.2, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(rates, 0.5 * (1 + np.cos(np.pi * passed)))


def test_a_few_steps_lower_the_loss(images):
    params = replace(
        PARAMS,
        steps=16,
        learning_rate=2e-3,
        rounds=(1,),
        round_odds=(1.0,),
        drawn=0.0,
        earlier=0.0,
    )
    losses = [s.loss for s in Trainer(images, params).run()]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


# --- how a step works --------------------------------------------------------------------------


def imported(path):
    """Return the modules that a file imports at any place: paths, or names of others."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.ImportFrom):
            folder = path.parents[node.level - 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {folder.joinpath(*name.split(".")).with_suffix(".py") for name in names}
    return found


def test_no_module_of_a_step_but_the_images_knows_numpy():
    package = Path(napari_sam.__file__).parent
    waiting, seen, guilty = [package / "training" / "loop.py"], set(), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for one in imported(path):
            if isinstance(one, Path):
                waiting.append(one)
            elif one.split(".")[0] in ("numpy", "scipy", "skimage"):
                guilty.add(path.stem)
    names = {path.stem for path in seen}
    assert {"crops", "drawn", "shapes", "augment", "prompts", "pocket_decoder"} <= names
    assert guilty == {"image_set", "labelled_images"}  # before the first step


def test_no_array_is_made_in_a_step(images, monkeypatch):
    run = Trainer(images, replace(PARAMS, rounds=(2,), round_odds=(1.0,)))

    def refuse(*args, **kwargs):
        raise AssertionError("an array was made of a tensor, or a tensor of an array")

    for name in ("numpy", "__array__"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    monkeypatch.setattr(torch, "from_numpy", refuse)
    monkeypatch.setattr(np, "asarray", refuse)
    monkeypatch.setattr(np, "array", refuse)
    with pytest.raises(AssertionError, match="an array was made"):
        torch.zeros(3).numpy()
    assert next(run.run()).loss > 0


WAITING = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2")
CHECKED_VALUES = 4  # `one_hot` looks at its values on a processor, and there alone


class Counted(TorchDispatchMode):
    """Counts operations, and those that wait for the device."""

    def __init__(self):
        super().__init__()
        self.operations = self.waits = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations += 1
        self.waits += func.overloadpacket.__name__ in WAITING
        return func(*args, **(kwargs or {}))


def operations(images, count, size):
    """Return how many operations the drawing of `count` crops and of prompts in them takes."""
    rng = DeviceRandom(0)
    with Counted() as counted:
        crops = draw_crops(images, count, 0, count // 2, size, rng)
        features = PocketFeatures(*(crops.labels.new_zeros(3 * count // 2, 2, 2, 2),) * 4)
        task = draw_task(crops, features, 1, rng)
        low = torch.zeros(len(task.masks), size // STRIDE, size // STRIDE)
        corrected(task.first, task.masks, low, rng)
    return counted


def test_a_step_takes_as_many_operations_for_many_objects_as_for_few(images):
    few, many = operations(images, 2, 64), operations(images, 12, 128)
    assert few.operations == many.operations
    assert few.waits == many.waits == CHECKED_VALUES


def test_targets_take_no_more_operations_for_many_objects():
    one, many = torch.ones(1, 64, 64, dtype=torch.int64), torch.zeros(9, 64, 64)
    one[:, :2] = 0
    many = (torch.arange(64)[:, None] // 8 * 8 + torch.arange(64) // 8 + 1).expand(9, 64, 64)
    counts = []
    for labels in (one, many):
        with Counted() as counted:
            instance_targets(labels)
        counts.append(counted.operations)
    assert counts[1] <= counts[0]


def test_a_step_hardly_ever_waits_for_the_device(images):
    run = Trainer(images, replace(PARAMS, drawn=0.0))
    with Counted() as counted:
        next(run.run())
    # the field asks every 16 of its at most 48 steps whether it is done
    assert CHECKED_VALUES < counted.waits <= CHECKED_VALUES + 3
