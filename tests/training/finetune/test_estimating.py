"""What fine-tuning will take: time and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

from napari_sam.training.finetune import estimating
from napari_sam.training.finetune.estimating import Pace, pace_of

ENCODING, STEP = 5.0, 0.5


class Frozen:
    """Encodes each of some images once."""

    def __init__(self, images):
        self.images = images

    def encodings(self, steps):
        return float(min(steps, self.images))


class Learning:
    """Keeps nothing of its encoder."""

    def encodings(self, steps):
        return 0.0


class Steps:
    """Stands for a training; its first step takes longer than all others."""

    def __init__(self, trained, monkeypatch):
        self.trained, self.done, self.made, self.now = trained, 0, 0, 0.0
        self.known = set()
        monkeypatch.setattr(estimating.time, "perf_counter", lambda: self.now)

    def step(self):
        frozen = isinstance(self.trained, Frozen)
        image = self.done % self.trained.images if frozen else None
        self.now += STEP + (7.0 if not self.made else 0.0)
        self.now += ENCODING if frozen and image not in self.known else 0.0
        self.known.add(image)
        self.made += 1
        self.done += 1


@pytest.mark.parametrize(
    ("images", "steps", "seconds"),
    [(20, 10, 55.0), (20, 20, 110.0), (20, 200, 200.0), (2, 100, 60.0)],
)
def test_each_image_is_encoded_once(monkeypatch, images, steps, seconds):
    pace = pace_of(Steps(Frozen(images), monkeypatch))
    assert (pace.step, pace.encoding) == (STEP, ENCODING)
    assert pace.seconds(steps) == seconds
    assert pace.steps(seconds) == steps
    assert pace.steps(seconds - 0.1) == steps - 1


def test_a_single_image_takes_what_its_first_step_takes(monkeypatch):
    assert pace_of(Steps(Frozen(1), monkeypatch)).encoding == ENCODING + 7.0


def test_where_nothing_is_kept_the_first_step_does_not_count(monkeypatch):
    steps = Steps(Learning(), monkeypatch)
    pace = pace_of(steps)
    assert steps.made == 1 + 6  # three seconds of half a second each
    assert (pace.step, pace.encoding) == (STEP, 0.0)
    assert pace.seconds(10) == 5.0
    assert pace.steps(5.0) == 10


def test_a_time_of_less_than_a_step_is_one_step():
    assert Pace(Learning(), 10.0, 0.0).steps(1.0) == 1
    assert Pace(Frozen(3), 1.0, 60.0).steps(30.0) == 1


MEASURED = """
import time
import numpy as np
from napari_sam.training.finetune.memory_peak import MemoryPeak

for megabytes in (10, 400, 10):
    with MemoryPeak() as memory:
        held = np.ones(megabytes * 125_000)
        end = time.monotonic() + 60  # on a busy machine
        while memory.nbytes < megabytes * 1e6 and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.1)
        del held
    print(memory.nbytes)
"""


def test_memory_is_what_was_needed_at_most():
    # a new process: one that has freed gigabytes may need no more for this
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )
    few, many, after = map(int, ran.stdout.split())
    assert many - few > 300e6
    assert after < many - 300e6  # what was freed before does not count
