"""The training process: its request, commands and events, and that it ends and resumes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from labelled_examples import blocks

from napari_sam.models.cards import read_card
from napari_sam.training.finetune import pocket_tuning, process, tuning
from napari_sam.training.finetune.examples import Example
from napari_sam.training.finetune.process import Commands, Events, run
from napari_sam.training.finetune.request import (
    EXAMPLES,
    PICTURE,
    RESULT,
    TRAININGS,
    Request,
    new_folder,
    read_request,
    remove_left_over,
    rewrite_request,
    write_request,
)
from napari_sam.training.finetune.training_folder import LOCK, locked
from napari_sam.training.finetune.tune_params import TuneParams
from napari_sam.training.finetune.tuning import BEST, STATE
from napari_sam.training.params import TrainParams

STEPS = 3
REQUEST = Request("pocket", TuneParams(steps=STEPS, replay=0.0, threads=1), 0.5, "cpu")


@pytest.fixture(autouse=True, scope="module")
def _small():
    """Let a step take little."""
    plan = TrainParams(
        crops=1, rounds=(1,), round_odds=(1.0,), sizes=(64,), size_odds=(1.0,), earlier=0.0
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pocket_tuning, "PLAN", plan)
        yield


def examples():
    """Return two images of a square each."""
    found = []
    for number in range(2):
        item = blocks(str(number), (64, 64))
        image = item.image + np.random.default_rng(number).integers(0, 9, item.image.shape)
        found.append(Example(str(number), image.astype(np.uint8), item.labels))
    return found


def told(folder, commands=None, after=None):
    """Return the events of a run; `after(event, commands)` is called with each."""
    commands = commands or Commands(io.StringIO())
    out = []

    class Told(Events):
        def tell(self, event, **content):
            out.append({"event": event, **json.loads(json.dumps(content))})
            if after is not None:
                after(out[-1], commands)

    run(folder, commands, Told(io.StringIO()))
    return out


def test_request_and_examples_are_read_as_they_were_written(tmp_path):
    request = replace(REQUEST, params=TuneParams(minutes=2.5, part="heads", seed=3))
    write_request(tmp_path / "new", request, examples())
    again, found = read_request(tmp_path / "new")
    assert again == request
    assert [one.name for one in found] == ["0", "1"]
    rewrite_request(tmp_path / "new", REQUEST)
    assert read_request(tmp_path / "new")[0] == REQUEST


@pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1, "other": 3}'])
def test_what_is_no_request_is_refused(tmp_path, text):
    write_request(tmp_path, REQUEST, examples())
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(ValueError, match="holds no request that can be read"):
        read_request(tmp_path)


def test_events_of_a_training(tmp_path):
    write_request(tmp_path, REQUEST, examples())
    events = told(tmp_path)
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["progress", "split"]
    assert kinds[-1] == "verdict"
    steps = [event for event in events if event["event"] == "step"]
    assert steps[-1]["index"] == STEPS
    assert steps[-1]["left"] == 0
    assert 0 <= steps[-1]["held_out"] <= 1
    verdict = events[-1]
    assert isinstance(verdict["better"], bool)
    assert verdict["text"].startswith("The trained model is")
    assert "1 click" in verdict["table"]
    assert (tmp_path / PICTURE).read_bytes().startswith(b"\x89PNG")
    assert verdict["file"] == str(tmp_path / RESULT)
    assert {path.name for path in tmp_path.iterdir()} == {RESULT, PICTURE, LOCK}
    assert read_card(tmp_path / RESULT).figures["better"] is verdict["better"]


def test_the_verdict_says_that_nothing_was_better_than_the_base(monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "held_out_iou", lambda model, held_out: 0.5)
    write_request(tmp_path, REQUEST, examples())
    verdict = told(tmp_path)[-1]
    assert not verdict["better"]
    said = "No weights of the training were better than the base's on the held-out images."
    assert verdict["text"].endswith(f" {said}")


def test_an_estimate_trains_nothing(tmp_path):
    write_request(tmp_path, replace(REQUEST, estimate=True), examples())
    event = told(tmp_path)[-1]
    assert event["event"] == "estimate"
    assert event["steps"] == STEPS
    assert event["bytes"] > 50_000_000
    assert event["images"] == sum(one.nbytes for one in examples()[:1])
    assert event["shortage"].startswith("1 object will judge the result, but at least 6 are needed")
    assert not (tmp_path / BEST).exists()


def test_a_folder_in_which_another_program_trains_is_left_alone(tmp_path):
    write_request(tmp_path, REQUEST, examples())
    with locked(tmp_path), pytest.raises(ValueError, match="another program trains in"):
        told(tmp_path)
    assert not (tmp_path / BEST).exists()


def test_the_best_so_far_is_compared_where_it_is_stopped(tmp_path):
    write_request(tmp_path, replace(REQUEST, params=replace(REQUEST.params, steps=99)), examples())

    def after(event, commands):
        if event["event"] == "step" and event["index"]:
            commands.stopped.set()

    events = told(tmp_path, after=after)
    assert max(event["index"] for event in events if event["event"] == "step") < 99
    assert events[-1]["event"] == "verdict"


def test_nothing_is_compared_where_nothing_was_learnt(tmp_path):
    write_request(tmp_path, REQUEST, examples())
    commands = Commands(io.StringIO())
    commands.stopped.set()
    with pytest.raises(ValueError, match="stopped before anything was learnt"):
        told(tmp_path, commands)


def test_nobody_listens_any_more(tmp_path):
    write_request(tmp_path, REQUEST, examples())

    def after(event, commands):
        if event["event"] == "step" and event["index"]:
            commands.abandoned.set()

    events = told(tmp_path, after=after)
    assert events[-1]["event"] == "step"
    assert (tmp_path / STATE).exists()
    events = told(tmp_path)  # goes on where it was
    assert next(event["index"] for event in events if event["event"] == "step") >= 2
    assert events[-1]["event"] == "verdict"


def test_folders_of_programs_that_have_ended_are_removed(tmp_path):
    own, other = new_folder(tmp_path), tmp_path / TRAININGS / f"{2**30}-{'a' * 32}"
    for folder in (own, other, tmp_path / TRAININGS / "of the user"):
        folder.mkdir(parents=True)
    remove_left_over(tmp_path)
    assert own.exists()
    assert not other.exists()
    assert (tmp_path / TRAININGS / "of the user").exists()
    remove_left_over(tmp_path / "nothing")


@pytest.mark.parametrize(("before", "after"), [(0, 10), (15, 15)])
def test_a_process_that_is_nicer_already_stays_so(monkeypatch, before, after):
    class Process:
        niceness = before

        def nice(self, value=None):
            if value is not None:
                if value < self.niceness:
                    raise psutil.AccessDenied
                self.niceness = value
            return self.niceness

    own = Process()
    monkeypatch.setattr(psutil, "Process", lambda: own)
    monkeypatch.delattr(psutil, "BELOW_NORMAL_PRIORITY_CLASS", raising=False)
    process._make_way()
    assert own.niceness == after


def test_the_device_is_that_of_the_training_as_well(monkeypatch, tmp_path):
    seen = []

    def build(checkpoint, examples, params, folder, device):
        seen.append(device)
        raise ValueError("enough is known")

    monkeypatch.setattr(pocket_tuning, "build", build)
    for request in (REQUEST, replace(REQUEST, estimate=True)):
        write_request(tmp_path, request, examples())
        with pytest.raises(ValueError, match="enough is known"):
            told(tmp_path)
    assert seen == ["cpu", "cpu"]


def test_commands_are_lines():
    commands = Commands(io.StringIO("pause\nanything\n"))
    commands.listen()
    assert commands.paused.is_set()
    assert not commands.stopped.is_set()
    assert commands.abandoned.is_set()
    assert not commands.wait()
    commands = Commands(io.StringIO("pause\nresume\nstop\n"))
    commands.listen()
    assert not commands.paused.is_set()
    assert commands.stopped.is_set()


@pytest.mark.slow
def test_the_process_says_what_is_wrong_and_ends_with_whoever_began_it(tmp_path):
    one = Example("a", np.zeros((50, 50), np.uint8), np.zeros((50, 50), np.int32))
    write_request(tmp_path, REQUEST, [one])
    command = [sys.executable, "-m", "napari_sam.training.finetune.process", str(tmp_path)]
    ended = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, text=True)
    event = json.loads(ended.stdout.splitlines()[-1])
    assert event == {"event": "error", "text": "no object is labelled; label some objects first"}
    assert ended.returncode == 1

    params = replace(REQUEST.params, steps=10_000)
    write_request(tmp_path, replace(REQUEST, params=params), examples())
    assert (tmp_path / EXAMPLES).exists()
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with child:
        for line in child.stdout:
            if json.loads(line).get("index"):
                break
        start = time.monotonic()
        child.stdin.close()
        for _ in child.stdout:
            pass
        assert child.wait(60) == 0
    assert time.monotonic() - start < 60
    assert (tmp_path / STATE).exists()
