"""Evidence that waits for other objects: as it was, and in memory only up to a bound."""

from __future__ import annotations

import tempfile
import tracemalloc

import numpy as np
import pytest

from napari_sam.stack import waiting
from napari_sam.stack.evidence import Evidence
from napari_sam.stack.waiting import Waiting


def evidence(seed, side=20):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(side, side + 1)).astype(np.float32)
    return Evidence((seed, 7), logits, logits > 0.5, seed / 100)


def same(one, other):
    arrays = np.array_equal(one.logits, other.logits) and np.array_equal(one.last, other.last)
    return arrays and (one.corner, one.score) == (other.corner, other.score)


@pytest.mark.parametrize("bound", [0, 5000, 10**9])
def test_evidence_comes_back_as_it_was_by_plane_and_object(monkeypatch, bound):
    monkeypatch.setattr(waiting, "MOST_BYTES", bound)
    kept = Waiting()
    for place in range(6):
        for number in (3, 5):
            kept.add(place, number, 0, evidence(10 * place + number))
    kept.add(4, 3, 9, evidence(99))
    for place in (4, 0, 5, 1, 3, 2):
        found = kept.pop(place)
        assert list(found) == [3, 5]
        assert [start for start, _ in found[3]] == ([0, 9] if place == 4 else [0])
        for number in (3, 5):
            assert same(found[number][0][1], evidence(10 * place + number))
        if place == 4:
            assert same(found[3][1][1], evidence(99))
        kept.add(place + 100, 3, 0, evidence(1))
    assert kept.pop(4) == {}
    assert kept.pop(50) == {}


def test_memory_does_not_grow_with_the_planes(monkeypatch):
    monkeypatch.setattr(waiting, "MOST_BYTES", 10**6)
    kept = Waiting()
    tracemalloc.start()
    try:
        for place in range(200):
            kept.add(place, 1, 0, evidence(place, 100))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 1.5e6 < 200 * 100 * 101 * 5
    assert same(kept.pop(199)[1][0][1], evidence(199, 100))


def test_without_room_on_the_disk_it_stays_in_memory(monkeypatch):
    def full():
        raise OSError("no space left on device")

    monkeypatch.setattr(waiting, "MOST_BYTES", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    kept = Waiting()
    kept.add(2, 1, 0, evidence(8))
    assert same(kept.pop(2)[1][0][1], evidence(8))
