"""Computations take the processors that other programs leave."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from tiny import tiny_sam

from napari_sam import Prompts, SamPredictor
from napari_sam.models import threads
from napari_sam.models.threads import ThreadLimit


class Machine:
    """A machine of which a test says how it is used."""

    def __init__(self, processors):
        self.processors, self.time, self.others, self.own = processors, 0.0, 0.0, 0.0

    def run(self, seconds, others, own=0.0):
        """Let time pass with so many processors taken."""
        self.time += seconds
        self.others += seconds * others
        self.own += seconds * own

    def used(self):
        return self.time, self.others


@pytest.fixture
def machine(monkeypatch):
    found = Machine(4)
    monkeypatch.setattr(threads, "_used", found.used)
    monkeypatch.setattr(threads.psutil, "cpu_count", lambda: found.processors)
    return found


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("others", "free"),
    [(0.0, 4), (0.3, 4), (0.7, 3), (1.0, 3), (2.0, 2), (3.4, 1), (4.0, 1), (9.0, 1), (-1.0, 4)],
)
def test_processors_that_are_free(machine, others, free):
    limit = ThreadLimit()
    machine.run(2, others)
    assert limit.free() == free


def test_a_moment_does_not_count(machine):
    limit = ThreadLimit()
    machine.run(0.01, 4)
    assert limit.free() == 4
    machine.run(1, 4)
    assert limit.free() == 1
    machine.run(0.05, 0)
    assert limit.free() == 1
    machine.run(0.06, 0)
    assert limit.free() == 4


def test_threads_are_fewer_only_while_it_computes(machine, four_threads):
    limit = ThreadLimit()
    machine.run(1, 3)
    with limit.applied():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    with suppress(ZeroDivisionError), limit.applied():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 4


def test_what_the_user_has_set_is_the_most(machine):
    limit = ThreadLimit()
    machine.processors = 64
    assert torch.get_num_threads() == 1  # by conftest
    with limit.applied():
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize("kind", ["sam", "pocket"])
def test_models_compute_within_the_limit(machine, four_threads, monkeypatch, kind, pocket):
    predictor = SamPredictor(tiny_sam()) if kind == "sam" else pocket
    seen = []
    original = torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda n: (seen.append(n), original(n)))
    monkeypatch.setattr(predictor.model, "threads", ThreadLimit())
    machine.run(1, 2)
    embedding = predictor.encode(np.eye(40))
    assert seen == [2, 4]
    predictor.predict(embedding, Prompts([(5, 5)]))
    assert seen == [2, 4] * 2


def test_times_of_the_machine_are_understood(monkeypatch):
    given = {"user": 10.0, "system": 5.0, "idle": 100.0, "iowait": 7.0, "guest": 3.0}
    fields = type("Times", (tuple,), {name: property(lambda s, n=name: given[n]) for name in given})
    monkeypatch.setattr(psutil, "cpu_times", lambda: fields(given.values()))
    monkeypatch.setattr(
        threads, "time", SimpleNamespace(perf_counter=lambda: 1.0, process_time=lambda: 4.0)
    )
    assert threads._used() == (1.0, 11.0)


@pytest.mark.slow
def test_a_busy_program_is_noticed():
    programs = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(psutil.cpu_count())
    ]
    try:
        time.sleep(0.5)
        limit = ThreadLimit()
        time.sleep(1)
        assert limit.free() == 1
    finally:
        for program in programs:
            program.kill()
            program.wait()
