"""A series of images: order, states, going on, and what leaves the viewer."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from plain_format import use_plain
from qtpy.QtCore import Qt

from napari_sam.formats.project import PROJECT
from napari_sam.images.readers import read_image
from napari_sam.objects.edit import Edit
from napari_sam.objects.patch import Patch
from napari_sam.widget.features.everything import proposals
from napari_sam.widget.features.everything.accepted import accepted
from napari_sam.widget.features.saving.logic import Saving
from napari_sam.widget.features.series import logic as series_logic
from napari_sam.widget.features.series.files import (
    done_name,
    listed,
    next_unfinished,
    note_done,
    result_places,
    states,
)
from napari_sam.widget.features.series.logic import Series
from napari_sam.widget.scheduler import Lane


@pytest.fixture
def folder(tmp_path, scene):
    """Three images, and one file that is none."""
    place = tmp_path / "images"
    place.mkdir()
    for number in (1, 2, 10):
        tifffile.imwrite(place / f"cells {number}.tif", scene[0] + np.uint8(number))
    (place / "cells 3.tif").write_bytes(b"no image")
    (place / "cells 1_labels.png").touch()
    (place / "notes.txt").touch()
    return place


@pytest.fixture
def series(monkeypatch, open_dock, folder):
    """A window whose series is that folder."""
    use_plain(monkeypatch)
    (folder / "cells 1_labels.png").unlink()
    hands = open_dock()
    feature = hands.dock.feature(Series)
    feature.open([folder])
    hands.until(lambda: feature.current == 0)
    hands.rest(0.1)
    return hands


def opened(hands, name):
    hands.until(lambda: hands.bench.frame is not None and hands.bench.frame.layer.name == name)
    hands.rest(0.2)


def keep_one(hands):
    hands.click_and_wait(25, 28)
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.bench.results.store.objects)


def test_files_in_natural_order(folder):
    names = [path.name for path in listed([folder])]
    assert names == ["cells 1.tif", "cells 2.tif", "cells 3.tif", "cells 10.tif"]
    assert [path.name for path in listed([folder / "cells 1*.tif"])] == [names[0], names[3]]
    assert listed([folder / "cells 2.tif"]) == [folder / "cells 2.tif"]
    with pytest.raises(ValueError, match="there is no image in"):
        listed([folder / "*.png"])


def test_states(folder):
    paths = listed([folder])
    places = result_places(paths, None, ".plain.npz")
    assert places[1] == folder / "cells 2.plain.npz"
    places[1].touch()
    note_done(folder, "cells 10.tif")
    assert states(paths, places) == ["done", "started", "", "done"]
    note_done(folder, "cells 10.tif", done=False)
    assert states(paths, places) == ["done", "started", "", ""]


def test_images_of_the_same_stem_have_places_of_their_own(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "a.tif", tmp_path / "b.tif"]
    names = [one.name for one in result_places(paths, tmp_path / "out", ".x")]
    assert names == ["a.png.x", "a.tif.x", "b.x"]


def test_next_unfinished():
    assert next_unfinished(["done", "", "unreadable", "started"], 1) == 3
    assert next_unfinished(["", "done"], 1) == 0
    assert next_unfinished(["done", "done"], 0) is None


def test_a_damaged_note_is_no_note(folder):
    (folder / ".napari-sam-series.json").write_text("[[[")
    assert states([folder / "b.tif"], [folder / "b.x"]) == [""]


def test_key_saves_and_opens_the_next(series, folder):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    assert feature.panel.where.text() == "1 of 4, 0 done"
    keep_one(series)
    labels = series.labels.copy()
    series.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    opened(series, "cells 2")
    with np.load(folder / "cells 1.plain.npz") as file:
        np.testing.assert_array_equal(file["labels"], labels)
    assert [one.name for one in series.viewer.layers if isinstance(one, Image)] == ["cells 2"]
    assert not series.labels.any()
    assert feature.panel.where.text() == "2 of 4, 1 done"


def test_an_image_that_cannot_be_read_is_skipped(series):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    feature.go(2)
    opened(series, "cells 10")
    assert feature.states[2] == "unreadable"
    assert "cells 3.tif was skipped" in series.status


def test_going_back_opens_what_was_saved(series):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    keep_one(series)
    labels = series.labels.copy()
    feature.go(1)
    opened(series, "cells 2")
    assert feature.states[0] == "started"
    feature.go(0)
    opened(series, "cells 1")
    series.until(lambda: series.bench.results.store.objects)
    np.testing.assert_array_equal(series.labels, labels)


def test_nothing_leaves_where_saving_fails(series, monkeypatch):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    keep_one(series)
    monkeypatch.setattr("napari_sam.widget.saves.writer_of", _refused)
    feature.go(1)
    series.until_said("the disk is full")
    assert series.bench.frame.layer.name == "cells 1"
    assert series.labels.any()


def _refused(*_):
    raise ValueError("the disk is full")


def test_next_image_is_encoded_ahead(series):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    series.until(lambda: feature._ahead.ready)
    series.context.disk.wait()
    before = series.context.session.predictor.model.encoded
    feature.go(1)
    opened(series, "cells 2")
    series.click_and_wait(25, 28)
    series.until(lambda: not series.busy(Lane.PLANE, Lane.NEXT))
    series.rest(0.1)
    shown = series.context.shown()
    assert series.context.session.ready(shown)
    assert series.context.session.predictor.model.encoded - before <= 1  # the one after it, ahead


def test_images_that_left_are_released(series):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    keep_one(series)
    gone = [weakref.ref(series.bench.frame.layer), weakref.ref(series.bench.results.layer)]
    feature.go(1)
    opened(series, "cells 2")
    end = time.monotonic() + 10
    while any(one() is not None for one in gone) and time.monotonic() < end:
        series.rest(0.1)
        gc.collect()
    assert [one() for one in gone] == [None, None]


def test_what_everything_found_stays_until_it_is_saved(series):
    feature = series.dock.feature(Series)
    opened(series, "cells 1")
    series.everything.run(all_planes=False)
    series.until(lambda: series.bench.everything is not None)
    series.until(lambda: series.bench.everything.layer.data.any() and not series.busy(Lane.BULK))
    found = series.bench.everything.layer
    feature.go(1)
    opened(series, "cells 2")
    assert found in series.viewer.layers


def test_images_of_one_name_have_places_and_notes_of_their_own(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    folders = ("one", "two", "x/three", "y/three")
    paths = [tmp_path / folder / "a.tif" for folder in folders]
    places = result_places(paths, out, ".x")
    assert [one.name for one in places[:2]] == ["one_a.tif.x", "two_a.tif.x"]
    assert len(set(places)) == 4
    note_done(out, done_name(paths[0], places[0]))
    note_done(out, done_name(paths[3], places[3]))
    assert states(paths, places) == ["done", "", "", "done"]


def keep_box(hands, rows, label):
    view, box = hands.bench.results, (rows, slice(7, 8))
    old = view.store.canvas.read(box)
    view.apply(Edit("a box", (Patch.of(box, old, np.full_like(old, label)),)))


@pytest.fixture
def three(open_dock, tmp_path):
    """A window on the first of three small images, whose annotations are projects."""
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((40, 60), ord(name), np.uint8))
    hands = open_dock()
    hands.dock.feature(Series).open([tmp_path])
    opened(hands, "a")
    return hands


def test_what_is_labelled_while_the_next_image_is_read_is_saved(three, tmp_path, monkeypatch):
    feature, gate, place = three.dock.feature(Series), threading.Event(), tmp_path / "a.samproject"
    feature._ahead.prepare(None)

    def slow(path):
        gate.wait(20)
        return read_image(path)

    monkeypatch.setattr(series_logic, "read_image", slow)
    keep_box(three, slice(3, 9), 3)
    feature.go(1)
    three.until(lambda: (place / "project.json").exists() and not three.context.saves.busy)
    keep_box(three, slice(13, 19), 4)
    gate.set()
    opened(three, "b")
    labels = np.asarray(PROJECT.read(place, None).labels)
    assert [(labels == one).sum() for one in (3, 4)] == [6, 6]


def test_labels_keep_their_name_when_they_are_opened_again(three):
    feature = three.dock.feature(Series)
    keep_box(three, slice(3, 9), 3)
    feature.go(1)
    opened(three, "b")
    feature.go(0)
    opened(three, "a")
    three.until(lambda: three.labels.max() == 3)
    assert three.bench.results.layer.name == "a objects"


def test_a_project_is_not_saved_over_before_it_is_read(three, tmp_path, monkeypatch):
    feature, place = three.dock.feature(Series), tmp_path / "a.samproject"
    keep_box(three, slice(3, 9), 3)
    feature.go(1)
    opened(three, "b")
    monkeypatch.setattr(three.context.opening, "open", lambda path: None)  # not read yet
    feature.go(0)
    opened(three, "a")
    three.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    assert three.dock.feature(Saving)._save_dialog is not None  # it asks
    assert (np.asarray(PROJECT.read(place, None).labels) == 3).sum() == 6


@pytest.mark.parametrize("finished", [True, False])
def test_what_is_being_accepted_is_saved_before_the_next_image(
    series, folder, monkeypatch, finished
):
    planned = threading.Event()

    def waiting(*args):
        planned.wait(60)
        return (yield from accepted(*args))

    monkeypatch.setattr(proposals, "accepted", waiting)
    opened(series, "cells 1")
    series.everything.run()
    series.until(lambda: not series.busy(Lane.BULK))
    series.press(Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier)
    if finished:
        series.press(Qt.Key.Key_S, Qt.KeyboardModifier.ShiftModifier)
    else:
        series.dock.feature(Series).go(1)
    series.rest(0.3)
    assert series.bench.frame.layer.name == "cells 1"
    planned.set()
    opened(series, "cells 2")
    with np.load(folder / "cells 1.plain.npz") as file:
        assert set(np.unique(file["labels"])) == {0, 1, 2, 3}
