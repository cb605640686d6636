"""A Labels layer with its history: strokes, memory, read-only places; no window."""

from __future__ import annotations

import gc
import shutil
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import zarr
from napari.layers import Labels
from qtpy.QtWidgets import QApplication

from napari_sam.objects import Edit, edits
from napari_sam.objects.segmented import Outline
from napari_sam.types import Mask, Prompts, SliceKey
from napari_sam.widget import history as history_module
from napari_sam.widget.history import History
from napari_sam.widget.labels_view import LabelsView
from napari_sam.widget.status import Status

pytestmark = pytest.mark.usefixtures("in_one_go")
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


def test_layer_is_let_go_when_nobody_holds_it():
    view = view_of(np.zeros((40, 40), np.int32))
    view.hold(True, "everything")
    view.hold(True)
    view.hold(False)
    assert not view.layer.editable
    view.hold(False, "everything")
    assert view.layer.editable


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


def finish(view, label=1):
    one = view.store.objects[label]
    view.apply(Edit("", objects={label: (one, replace(one, status="finished"))}))


@pytest.mark.parametrize("stroke", ["paint", "erase", "fill", "drag", "polygon", "setitem"])
def test_finished_objects_keep_their_pixels(qapp, stroke):
    view = view_of(np.zeros((40, 40), np.int32))
    keep(view)  # object 1 in [5, 25)
    finish(view)
    layer = view.layer
    layer.data[30:35, 5:25] = 7  # somebody else's
    before = layer.data.copy()
    layer.brush_size = 8
    if stroke == "paint":
        layer.paint((25, 10), 9)
    elif stroke == "erase":
        layer.paint((29, 10), 0)
        layer.paint((24, 10), 0)
    elif stroke == "fill":
        layer.fill((10, 10), 9)
    elif stroke == "drag":
        with layer.block_history():
            for row in range(20, 34, 3):
                layer.paint((row, 10), 9)
    elif stroke == "polygon":
        layer.paint_polygon([[20, 10], [20, 30], [33, 30], [33, 10]], 9)
    else:
        layer.data_setitem((np.array([6, 32]), np.array([6, 6])), 9)
    QApplication.processEvents()
    after = layer.data.copy()
    assert np.array_equal(after == 1, before == 1)
    assert "object 1 is finished: its pixels stay" in view.status.text
    if stroke == "fill":  # nothing else was touched
        assert np.array_equal(after, before)
        assert view.history.steps.newest.text == ""
        return
    assert not np.array_equal(after, before)
    view.history.undo(said)
    assert np.array_equal(layer.data, before)
    view.history.redo(said)
    assert np.array_equal(layer.data, after)


def test_long_edits_leave_the_window_its_turns(qapp, monkeypatch):
    monkeypatch.setattr(history_module, "SLICE", 0.0)
    data = np.zeros((50, 40, 40), np.int32)
    view = view_of(data)
    mask = Mask.of(np.ones((5, 5), bool), (5, 5), (40, 40))
    outlines = {SliceKey((1, 2), ((0, z),)): Outline(mask) for z in range(50)}
    done = []
    edit = edits.keep(view.store, [outlines])
    view.apply_in_pieces(edit, lambda: done.append(len(view.store.objects)))
    assert not done
    assert not view.layer.editable
    with pytest.raises(ValueError, match="wait until"):
        view.history.undo(said)
    while not done:
        QApplication.processEvents()
    assert done == [1]
    assert view.layer.editable
    assert data[:, 5:10, 5:10].all()
    view.apply_in_pieces(edits.delete(view.store, 1), lambda: done.append("deleted"))
    QApplication.processEvents()
    assert np.count_nonzero(data) < 50 * 25
    view.close()  # what was begun is taken back
    QApplication.processEvents()
    assert done == [1]
    assert data[:, 5:10, 5:10].all()
    assert view.layer.editable
