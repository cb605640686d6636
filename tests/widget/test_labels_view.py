"""A Labels layer with its history: strokes, memory, read-only places; no window."""

from __future__ import annotations

import gc
import shutil
import tracemalloc

import numpy as np
import pytest
import zarr
from napari.layers import Labels

from napari_sam.objects import edits
from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, Prompts, SliceKey
from napari_sam.widget.history import History
from napari_sam.widget.labels_view import LabelsView
from napari_sam.widget.status import Status

KEY = SliceKey((0, 1))


def said(text, boxes):
    """Say nothing."""


def view_of(data):
    history, status = History(), Status()
    history.on_failed = status.error
    return LabelsView(Labels(data, name="mine"), history, status)


def keep(view, low=5, high=25):
    pixels = np.zeros(view.layer.data.shape, bool)
    pixels[low:high, low:high] = True
    outline = Outline(Mask.of(pixels), Prompts([(9, 9)], [1]))
    view.apply(edits.keep(view.store, [{KEY: outline}]))


def test_more_strokes_than_napari_remembers_are_taken_back_and_made_again():
    view = view_of(np.zeros((40, 40), np.int32))
    states = [view.layer.data.copy()]
    for k in range(130):
        view.layer.paint((k % 40, 3 * k % 40), k + 1)
        states.append(view.layer.data.copy())
    for state in states[-2::-1]:
        view.history.undo(said)
        assert np.array_equal(view.layer.data, state)
    for state in states[1:]:
        view.history.redo(said)
        assert np.array_equal(view.layer.data, state)
    view.history.undo(said)  # a stroke that was made again is known as before
    assert np.array_equal(view.layer.data, states[-2])


def test_memory_is_flat_over_commits_and_undos():
    view = view_of(np.zeros((256, 256), np.int32))
    rng = np.random.default_rng(0)
    held = []
    tracemalloc.start()
    for k in range(301):
        low = int(rng.integers(0, 100))
        keep(view, low, low + 100)
        view.history.undo(said)
        if k in (100, 300):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] - held[0] < 50_000
    assert not view.layer.data.any()
    assert not view.store.objects


def test_the_history_is_bounded_by_bytes():
    view = view_of(np.zeros((64, 64), np.int32))
    view.history.steps.limit_bytes = 50_000
    for k in range(100):
        view.layer.paint((k % 64, k // 2), k + 1)
    assert 0 < view.history.steps.nbytes <= 50_000
    while view.history.steps.newest is not None:
        view.history.undo(said)
    with pytest.raises(ValueError, match="no longer kept"):
        view.history.undo(said)
    assert view.layer.data.any()  # strokes that are too old stay


def test_nothing_is_written_where_the_folder_was_moved(tmp_path):
    place, away = tmp_path / "mine.zarr", tmp_path / "away.zarr"
    view = view_of(zarr.create_array(place, shape=(40, 40), chunks=(40, 40), dtype=np.int32))
    keep(view)
    place.rename(away)
    with pytest.raises(ValueError, match="moved or deleted"):
        keep(view, 30, 35)
    assert not place.exists()
    assert list(view.store.objects) == [1]
    view.history.undo(said)
    assert "moved or deleted" in view.status.text
    assert not place.exists()
    away.rename(place)
    keep(view, 30, 35)
    assert set(np.unique(view.layer.data)) == {0, 1, 2}
    for _ in range(2):
        view.history.undo(said)
    assert not np.asarray(view.layer.data).any()


def test_a_stroke_where_the_folder_was_deleted_is_said(tmp_path):
    place = tmp_path / "mine.zarr"
    view = view_of(zarr.create_array(place, shape=(40, 40), chunks=(40, 40), dtype=np.int32))
    shutil.rmtree(place)
    view.layer.paint((5, 5), 1)
    assert "moved or deleted" in view.status.text


def test_read_only_data_are_refused_and_undo_keeps_its_step():
    view = view_of(np.zeros((40, 40), np.int32))
    keep(view)
    view.layer.data.flags.writeable = False
    with pytest.raises(ValueError, match="mine cannot be written to"):
        keep(view, 30, 35)
    view.history.undo(said)
    assert "mine cannot be written to" in view.status.text
    assert view.layer.data.any()
    view.layer.data.flags.writeable = True
    view.history.undo(said)
    assert not view.layer.data.any()
