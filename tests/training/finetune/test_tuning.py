"""Fine-tuning of `pocket`: what learns, checkpoints, the best weights, and the time it takes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from labelled_examples import blocks
from safetensors.torch import load_file

from napari_sam.models.cards import read_card
from napari_sam.models.registry import bundled_path, find_spec, load_model, reading
from napari_sam.steps import drive
from napari_sam.training.finetune import pocket_tuning, tuning
from napari_sam.training.finetune.estimating import estimate
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.proven import proven_tuning
from napari_sam.training.finetune.split import Split
from napari_sam.training.finetune.tuning import BEST, STATE, TuneParams, TuneStep
from napari_sam.training.params import TrainParams

PARAMS = TuneParams(steps=4, replay=0.0, threads=1)


@pytest.fixture(autouse=True, scope="module")
def _small():
    """Let a step take little."""
    plan = TrainParams(
        crops=1, rounds=(1,), round_odds=(1.0,), sizes=(64,), size_odds=(1.0,), earlier=0.0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pocket_tuning, "PLAN", plan)
        yield


def example(name="a", **facts):
    item = blocks(name, (80, 80))
    return Example(name, item.image, item.labels, **facts)


def steps_of(params, folder, held_out=(), **named):
    return tuning.tuning("pocket", [example()], held_out, params, folder, **named)


def run(params, folder, held_out=(), **named):
    """Return the steps, and the path of the tuned model."""
    generator, found = steps_of(params, folder, held_out, **named), []
    while True:
        try:
            step = next(generator)
        except StopIteration as end:
            return found, end.value
        if isinstance(step, TuneStep):
            found.append(step)


def advance(generator, steps):
    """Go on until so many steps are done."""
    for step in generator:
        if isinstance(step, TuneStep) and step.index == steps:
            return


def shipped():
    return load_file(bundled_path(find_spec("pocket")))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder and the steps of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(PARAMS, folder)[0]


def same(a, b):
    first, second = load_file(a / BEST), load_file(b / BEST)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_steps_tell_how_far_it_is_and_the_result_is_a_model(whole):
    folder, steps = whole
    assert [step.index for step in steps] == [1, 2, 3, 4]
    assert all(np.isfinite(step.loss) and 0 <= step.iou <= 1 for step in steps)
    assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)
    assert steps[-1].left == 0 < steps[0].left
    card = read_card(folder / BEST)
    assert card.base == "pocket"
    assert card.complete
    own = {"steps": 4, "part": "all", "replay": 0.0, "seed": 0, "learning_rate": 1e-3, "threads": 1}
    assert card.settings == {**own, "kept_after_step": 4}
    tuned = load_model(folder / BEST)
    assert tuned.fingerprint != load_model().fingerprint
    old, new = shipped(), load_file(folder / BEST)
    assert old.keys() == new.keys()
    still = [name for name in old if torch.equal(old[name].float(), new[name])]
    assert len(still) < len(old) / 4


def test_a_killed_run_goes_on_to_the_same_weights(whole, tmp_path):
    generator = steps_of(PARAMS, tmp_path / "a")
    advance(generator, 2)
    generator.close()  # writes a checkpoint
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    advance(steps_of(PARAMS, tmp_path / "b"), 3)  # what is done after the checkpoint is lost
    shutil.rmtree(tmp_path / "b")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    torch.rand(7)  # what else is drawn does not matter
    steps, path = run(PARAMS, tmp_path / "b")
    assert path == tmp_path / "b" / BEST
    assert [step.index for step in steps] == [3, 4]
    assert [step.loss for step in steps] == [step.loss for step in whole[1][2:]]
    assert same(tmp_path / "b", whole[0])


def test_a_step_that_is_interrupted_is_done_again(whole, tmp_path, monkeypatch):
    generator = steps_of(PARAMS, tmp_path)
    advance(generator, 2)
    generator.close()

    def interrupted(tensors, others, weight):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "_foreach_lerp_", interrupted)  # the weights have moved already
        with pytest.raises(KeyboardInterrupt):
            run(PARAMS, tmp_path)
    steps, path = run(PARAMS, tmp_path)
    assert [step.index for step in steps] == [3, 4]
    assert same(path.parent, whole[0])


def test_a_run_that_is_done_ends_at_once(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "a")
    steps, path = run(PARAMS, tmp_path / "a")
    assert steps == []
    assert same(path.parent, whole[0])


def test_the_checkpoint_of_another_training_is_refused(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "a")
    with pytest.raises(ValueError, match="other examples or with other settings"):
        run(replace(PARAMS, seed=1), tmp_path / "a")
    assert same(tmp_path / "a", whole[0])


def test_equal_settings_are_no_other_training(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "a")
    steps, path = run(replace(PARAMS, part="all"), tmp_path / "a")  # the family's own
    assert steps == []
    assert same(path.parent, whole[0])


def test_nothing_is_downloaded_offline(monkeypatch, tmp_path):
    def fetch(spec, folder, offline):
        assert offline
        raise ValueError(f"{spec.name} is not here")
        yield

    monkeypatch.setattr("napari_sam.models.fetch.fetch", fetch)
    given = "vit_b", [example()], PARAMS
    with pytest.raises(ValueError, match="vit_b is not here"):
        estimate(*given, device="cpu", offline=True)
    divided = Split((example(),), (example("b"),), "")
    with pytest.raises(ValueError, match="vit_b is not here"):
        drive(proven_tuning("vit_b", divided, PARAMS, tmp_path, device="cpu", offline=True))


@pytest.mark.parametrize("left", [0, 100, 5000])
def test_a_damaged_checkpoint_is_refused(whole, tmp_path, left):
    content = (whole[0] / STATE).read_bytes()[:left]
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(ValueError, match="damaged; remove it to train anew"):
        run(PARAMS, tmp_path)


def test_a_run_that_is_closed_keeps_what_it_has(tmp_path):
    generator = steps_of(PARAMS, tmp_path)
    next(generator)
    advance(generator, 1)
    assert not (tmp_path / BEST).exists()
    generator.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [BEST, STATE]
    assert load_model(tmp_path / BEST).name == "best"


def scored(monkeypatch, scores):
    """Let the held-out part be measured as told; returns the weights that were looked at."""
    seen, left = [], iter(scores)

    def score(model, examples):
        seen.append({k: v.clone() for k, v in model.pocket.state_dict().items()})
        return next(left)

    monkeypatch.setattr(tuning, "held_out_iou", score)
    return seen


def test_the_best_weights_on_the_held_out_part_are_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning.Tuner, "_checks", 4)
    seen = scored(monkeypatch, [0.2, 0.3, 0.6, 0.59, 0.5])
    steps, path = run(PARAMS, tmp_path, [example("b")])
    assert [step.held_out for step in steps] == [0.2, 0.3, 0.6, 0.59, 0.5]
    kept = load_file(path)
    assert all(torch.equal(kept[name], seen[2][name]) for name in kept)
    assert not all(torch.equal(kept[name], seen[3][name]) for name in kept)
    assert all(torch.equal(value.float(), seen[0][name]) for name, value in shipped().items())
    assert read_card(path).settings["kept_after_step"] == 2


@pytest.mark.parametrize("later", [0.5, 0.6])
def test_the_base_is_the_best_where_nothing_is_better(monkeypatch, tmp_path, later):
    monkeypatch.setattr(tuning.Tuner, "_checks", 4)
    scored(monkeypatch, [0.6, *[later] * tuning.PATIENCE])
    _, path = run(PARAMS, tmp_path, [example("b")])
    kept = load_file(path)
    assert all(torch.equal(value.float(), kept[name]) for name, value in shipped().items())
    assert read_card(path).settings["kept_after_step"] == 0


def test_what_was_kept_before_the_first_look_does_not_stay_where_the_base_is_better(
    monkeypatch, tmp_path
):
    scored(monkeypatch, [0.6, 0.5])
    generator = steps_of(PARAMS, tmp_path, [example("b")])
    advance(generator, 0)
    generator.close()
    assert not (tmp_path / BEST).exists()  # nothing was learnt
    scored(monkeypatch, [0.6, 0.5])
    generator = steps_of(PARAMS, tmp_path, [example("b")])
    advance(generator, 2)
    generator.close()
    assert read_card(tmp_path / BEST).settings["kept_after_step"] == 2
    _, path = run(PARAMS, tmp_path, [example("b")])
    kept = load_file(path)
    assert all(torch.equal(value.float(), kept[name]) for name, value in shipped().items())
    assert read_card(path).settings["kept_after_step"] == 0


def test_training_ends_after_some_looks_without_a_new_best(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "PATIENCE", 3)
    monkeypatch.setattr(tuning.Tuner, "_checks", 8)
    scored(monkeypatch, [0.5, 0.49, 0.49, 0.6, 0.599, 0.6, 0.599, 0.9])
    steps, path = run(replace(PARAMS, steps=8), tmp_path, [example("b")])
    assert [step.index for step in steps] == [0, 1, 2, 3, 4, 5, 6]
    assert read_card(path).settings["kept_after_step"] == 3


def test_a_run_of_some_minutes_ends_in_time_and_pauses_do_not_count(tmp_path, monkeypatch):
    clock = [0.0]

    def step(self):
        clock[0] += [10.0, 20.0, 70.0, 30.0][self.done]
        self.done += 1
        return 1.0, 0.5

    monkeypatch.setattr(tuning.Tuner, "step", step)
    generator = steps_of(TuneParams(minutes=2, replay=0.0), tmp_path, clock=lambda: clock[0])
    steps = []
    for found in generator:
        clock[0] += 1000.0  # a pause: nobody advances the generator
        if isinstance(found, TuneStep):
            steps.append(found)
    assert [found.seconds for found in steps] == [10, 30, 100, 130]
    assert [found.left for found in steps] == [110, 90, 20, 0]


@pytest.mark.parametrize(("takes", "every"), [(0.1, 30), (1.0, 50), (10.0, 120)])
def test_checkpoints_take_little_of_the_time(tmp_path, monkeypatch, takes, every):
    clock, written = [0.0], []

    def step(self):
        clock[0] += 1.0
        self.done += 1
        return 1.0, 0.5

    def write(self, folder):
        clock[0] += takes
        written.append(self.numbers[1])

    monkeypatch.setattr(tuning.Tuner, "step", step)
    monkeypatch.setattr(tuning.TuningState, "write", write)
    params = TuneParams(minutes=10, replay=0.0)
    for _ in steps_of(params, tmp_path, clock=lambda: clock[0]):
        pass
    assert written[0] == 31  # how long it takes is not known yet
    assert set(np.diff(written[:-1])) == {every + 1}
    assert written[-1] == 600


def test_the_rate_rises_and_falls_with_what_has_passed(tmp_path):
    checkpoint = drive(reading("pocket"))
    params = TuneParams(steps=100, replay=0.0, learning_rate=1.0)
    tuner = tuning.Tuner(checkpoint, [example()], (), params, tmp_path, "pocket")
    loss = torch.zeros((), requires_grad=True)
    tuner.trained.loss = lambda index: (loss * torch.nan, 0.0)
    rates = []
    before = {name: value.detach().clone() for name, value in tuner.weights.items()}
    for _ in range(100):
        tuner.step()
        rates.append(tuner.optimiser.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == pytest.approx(rates[19], rel=0.1)
    assert rates[50] == pytest.approx(0.5)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[99] == pytest.approx(0.01)
    assert all(torch.equal(value, before[name]) for name, value in tuner.weights.items())


def test_heads_alone_learn_when_told(tmp_path):
    _, path = run(replace(PARAMS, part="heads", steps=2), tmp_path)
    old, new = shipped(), load_file(path)
    moved = {name for name in old if not torch.equal(old[name].float(), new[name])}
    assert "encoder.stages.0.0.first.1.weight" in moved  # a normalisation
    assert "decoder.hyper.0.layers.0.weight" in moved
    assert "encoder.stages.0.0.first.0.weight" not in moved
    assert not any(name.startswith("decoder.transformer.layers.0.mlp") for name in moved)
    with pytest.raises(ValueError, match="not in 'lora'"):
        run(replace(PARAMS, part="lora"), tmp_path / "b")


def test_a_loss_that_falls(tmp_path):
    steps, _ = run(replace(PARAMS, steps=24, learning_rate=2e-3), tmp_path)
    losses = [step.loss for step in steps]
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])


def test_nothing_to_learn_from_is_refused(tmp_path):
    empty = Example("a", np.zeros((40, 40), np.uint8), np.zeros((40, 40), np.int32))
    with pytest.raises(ValueError, match="label some first"):
        for _ in tuning.tuning("pocket", [empty], [], PARAMS, tmp_path):
            pass


def test_an_estimate_of_steps_and_of_minutes():
    found = estimate("pocket", [example()], replace(PARAMS, steps=50))
    assert found.steps == 50
    assert found.images == example().nbytes
    assert found.bytes > 5e7
    timed = estimate("pocket", [example()], TuneParams(minutes=1.5, replay=0.0))
    assert timed.seconds == 90
    assert timed.steps > 1


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"minutes": 0}, "more than 0 and less than a million minutes, but minutes is 0"),
        ({"minutes": np.inf}, "less than a million minutes, but minutes is inf"),
        ({"minutes": np.nan}, "less than a million minutes, but minutes is nan"),
        ({"steps": 0}, "at least 1 step"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"replay": -1.0}, "at least 0"),
        ({"threads": 0}, "at least 1 thread"),
    ],
)
def test_numbers_out_of_range_are_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        TuneParams(**wrong)
