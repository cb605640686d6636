"""Saving, what is unsaved, opening again, importing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from plain_format import PLAIN, TABLE, read_plain, use_plain
from qtpy.QtCore import Qt

from napari_sam.formats import exchange
from napari_sam.formats.annotation import AnnotationFormat, ImageReference
from napari_sam.formats.image_reference import difference, image_beside, reference_to
from napari_sam.formats.snapshot import snapshot_of
from napari_sam.steps import drive
from napari_sam.widget import saves
from napari_sam.widget.features.saving.logic import Saving
from napari_sam.widget.features.saving.save_dialog import losses_text
from napari_sam.widget.unsaved import State, unsaved_text


@pytest.fixture
def plain(monkeypatch):
    use_plain(monkeypatch)


@pytest.fixture
def kept(plain, hands):
    """A window on the scene with one object kept and a prompt of another."""
    hands.click_and_wait(25, 28)
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.bench.results.store.objects)
    hands.click_and_wait(28, 90)
    return hands


def saved(hands, path):
    hands.context.saves.save_as(path)
    hands.until(lambda: "saved" in hands.status and not hands.context.saves.busy)


def test_key_asks_where_and_then_saves_there(kept, tmp_path):
    feature = kept.dock.feature(Saving)
    kept.press(Qt.Key.Key_S)
    dialog = feature._save_dialog
    assert dialog.isVisible()
    assert dialog.name.text().endswith("scene.plain.npz")
    dialog.name.setText(str(tmp_path / "cells"))
    dialog._on_buttons_accepted()
    place = tmp_path / "cells.plain.npz"
    kept.until(place.exists)
    kept.until(lambda: kept.context.saves.place == place)
    assert kept.status.startswith(f"saved 1 object to {place}")
    with np.load(place) as file:
        np.testing.assert_array_equal(file["labels"], kept.labels)
    before = place.stat().st_mtime_ns
    kept.press(Qt.Key.Key_Return)
    kept.until(lambda: len(kept.bench.results.store.objects) == 2)
    kept.press(Qt.Key.Key_S)
    kept.until(lambda: place.stat().st_mtime_ns != before)
    assert feature._save_dialog is None


def test_title_says_what_is_unsaved(kept, tmp_path):
    viewer = kept.viewer
    kept.until(lambda: viewer.title.startswith("* scene: 1 object, 1 prompt not saved"))
    saved(kept, tmp_path / "a.plain.npz")
    kept.until(lambda: viewer.title.startswith("scene: all saved"))
    kept.press(Qt.Key.Key_Return)
    kept.until(lambda: viewer.title.startswith("* scene: 1 object, 1 prompt not saved"))
    kept.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    kept.until(lambda: viewer.title.startswith("scene: all saved"))
    title = viewer.title
    kept.dock.close_dock()
    assert viewer.title == "napari" != title


def test_saved_step_is_told(kept, tmp_path):
    told = []
    kept.context.saved.connect(told.append)
    step = kept.context.history.number
    saved(kept, tmp_path / "a.plain.npz")
    assert told == [step]


def test_export_does_not_count_as_saved(kept, tmp_path):
    saved(kept, tmp_path / "a.table.npz")
    assert kept.context.saves.place is None
    assert kept.context.saves.unsaved == "1 object, 1 prompt"


def test_failed_save_leaves_the_file_and_says_so(kept, tmp_path, monkeypatch):
    place = tmp_path / "a.plain.npz"
    saved(kept, place)
    before = place.read_bytes()

    def full(annotation, path):
        raise ValueError("the disk is full")

    broken = AnnotationFormat("Plain", PLAIN.suffixes, full, read_plain, PLAIN.losses)
    monkeypatch.setattr(exchange, "FORMATS", (broken,))
    kept.press(Qt.Key.Key_Return)
    kept.press(Qt.Key.Key_S)
    kept.until(lambda: "the disk is full" in kept.status)
    assert place.read_bytes() == before
    assert kept.context.saves.unsaved


def test_losses_are_said_before_saving(kept):
    feature = kept.dock.feature(Saving)
    feature.save_as()
    dialog = feature._save_dialog
    kept.until(lambda: dialog.note.text() == "Plain holds all of it.")
    dialog._on_format_picked(TABLE)
    kept.until(lambda: dialog.note.text().startswith("Table cannot hold the prompts and classes"))
    assert dialog.name.text().endswith("scene.table.npz")
    dialog.reject()


def test_labels_that_change_while_they_are_copied_are_copied_again(kept, tmp_path, monkeypatch):
    copied, changed = threading.Event(), threading.Event()
    copies = []

    def slow(labels):
        copies.append(labels)
        snapshot = yield from snapshot_of(labels)
        copied.set()
        assert changed.wait(20)
        return snapshot

    monkeypatch.setattr(saves, "snapshot_of", slow)
    kept.context.saves.save_as(tmp_path / "a.plain.npz")
    kept.until(copied.is_set)
    kept.press(Qt.Key.Key_Return)
    kept.until(lambda: len(kept.bench.results.store.objects) == 2)
    changed.set()
    kept.until(lambda: "saved 2 objects" in kept.status)
    assert len(copies) == 2
    with np.load(tmp_path / "a.plain.npz") as file:
        np.testing.assert_array_equal(file["labels"], kept.labels)
    assert kept.context.saves.unsaved == ""


def test_opens_what_was_saved(kept, tmp_path, open_dock, scene):
    place = tmp_path / "a.plain.npz"
    saved(kept, place)
    other = open_dock(("add_image", scene[0], {"name": "scene"}))
    other.context.opening.open(place)
    other.until(lambda: other.bench.results.store.objects)
    np.testing.assert_array_equal(other.labels, kept.labels)
    assert list(other.bench.results.store.objects) == [1]
    assert other.context.saves.place == place
    assert other.context.saves.unsaved == ""


def test_another_image_is_asked_about(kept, tmp_path, open_dock, scene):
    place = tmp_path / "a.plain.npz"
    saved(kept, place)
    other = open_dock(("add_image", 255 - scene[0], {"name": "negative"}))
    asked = []
    other.context.opening.asked.disconnect()
    other.context.opening.asked.connect(lambda *one: asked.append(one))
    other.context.opening.open(place)
    other.until(lambda: asked)
    question, _, then = asked[0]
    assert "made for another image than negative: 1 of 1 planes" in question
    assert not other.bench.results.store.objects
    then()
    assert list(other.bench.results.store.objects) == [1]


def test_another_shape_is_refused(kept, tmp_path, open_dock):
    place = tmp_path / "a.plain.npz"
    saved(kept, place)
    other = open_dock(("add_image", np.zeros((50, 60), np.uint8), {"name": "small"}))
    other.context.opening.open(place)
    other.until(lambda: "has the shape (96, 128)" in other.status)


def test_import_is_one_step(kept, tmp_path, open_dock, scene):
    place = tmp_path / "a.plain.npz"
    saved(kept, place)
    before = kept.labels.copy()
    other = open_dock(("add_image", scene[0], {"name": "scene"}))
    other.click_and_wait(70, 50)
    other.press(Qt.Key.Key_Return)
    mine = other.labels.copy()
    other.context.opening.import_objects(place)
    other.until(lambda: len(other.bench.results.store.objects) == 2)
    np.testing.assert_array_equal(other.labels == 2, before == 1)
    other.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    other.until(lambda: len(other.bench.results.store.objects) == 1)
    np.testing.assert_array_equal(other.labels, mine)


def test_snapshot_of_a_folder_stays(tmp_path):
    import zarr

    array = zarr.create_array(tmp_path / "a.zarr", shape=(3, 8, 8), chunks=(1, 8, 8), dtype="i4")
    array[0] = 1
    copy = drive(snapshot_of(array))
    array[0], array[1] = 2, 3
    assert (copy.labels[0] == 1).all()
    assert not copy.labels[1].any()
    copy.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zarr"]


def test_image_reference(tmp_path):
    image = np.arange(5 * 4 * 6, dtype=np.uint16).reshape(5, 4, 6)
    file = tmp_path / "raw" / "cells.tif"
    file.parent.mkdir()
    file.touch()
    reference = reference_to(image, (5, 4, 6), file, tmp_path)
    assert reference.path == "raw/cells.tif"
    assert len(reference.hashes) == 5
    assert difference(reference, image, (5, 4, 6)) == ""
    other = image.copy()
    other[2] += 1
    assert difference(reference, other, (5, 4, 6)) == "1 of 5 planes looked at hold other pixels"
    assert image_beside(reference, tmp_path) == file.resolve()
    assert reference_to(image, (5, 4, 6), file, tmp_path / "elsewhere").path == ""


@pytest.mark.parametrize("path", ["/etc/hostname", "../cells.tif", "a/../../b", "", "C:\\a.tif"])
def test_foreign_paths_are_not_followed(tmp_path, path):
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "cells.tif").touch()
    assert image_beside(ImageReference(path, (1, 1), "uint8"), folder) is None


def test_links_out_of_the_folder_are_not_followed(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / "secret.tif").touch()
    (folder / "cells.tif").symlink_to(tmp_path / "secret.tif")
    assert image_beside(ImageReference("cells.tif", (1, 1), "uint8"), folder) is None


def test_unsaved_text():
    assert unsaved_text(State(), State()) == ""
    assert unsaved_text(State(3), State(4)) == "other changes"


def test_losses_text():
    assert losses_text("YOLO", ["the prompts"]).startswith("YOLO cannot hold the prompts; save")


def test_steps_of_other_images_are_not_told_as_saved(kept, tmp_path, scene):
    told = []
    kept.context.saved.connect(told.append)
    kept.viewer.add_image(scene[0][::-1], name="other")
    kept.source.use_image(kept.viewer.layers["other"])
    kept.click_and_wait(70, 28)
    kept.press(Qt.Key.Key_Return)
    kept.until(lambda: kept.bench.results.store.objects)
    saved(kept, tmp_path / "b.plain.npz")
    assert told == []
