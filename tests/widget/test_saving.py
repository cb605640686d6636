"""Saving, what is unsaved, opening again, importing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from plain_format import PLAIN, TABLE, read_plain, use_plain
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_sam.formats import exchange, labels_store
from napari_sam.formats.annotation import Annotation, AnnotationFormat, Geometry, ImageReference
from napari_sam.formats.image_reference import difference, image_beside, reference_to
from napari_sam.formats.imagej_roi import IMAGEJ_ROIS
from napari_sam.formats.label_tiff import LABEL_TIFF
from napari_sam.formats.project import PROJECT
from napari_sam.formats.snapshot import writer_of
from napari_sam.objects.drawn import DrawnRow
from napari_sam.objects.edit import Edit
from napari_sam.objects.patch import Patch
from napari_sam.objects.segmented import Outline, SegmentedObject
from napari_sam.steps import drive
from napari_sam.types import Mask, SliceKey
from napari_sam.widget import live_save, saves
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


@pytest.fixture
def hands_on_stack(open_dock):
    """A window on a stack of five planes."""
    return open_dock(("add_image", np.zeros((5, 40, 60), np.uint8), {"name": "stack"}))


def filled(view, plane, label):
    """Return an edit that fills a box of a plane."""
    box = (slice(plane, plane + 1), slice(3, 9), slice(4, 20))
    old = view.store.canvas.read(box)
    return Edit("a box", (Patch.of(box, old, np.full_like(old, label)),))


def saved(hands, path):
    hands.context.saves.save_as(path)
    hands.until_said("saved")
    hands.until(lambda: not hands.context.saves.busy)


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


def test_saved_step_is_not_told_while_prompts_of_another_image_are_in_no_file(kept, tmp_path):
    told = []
    kept.context.saved.connect(told.append)
    saved(kept, tmp_path / "a.plain.npz")
    first = kept.bench.frame.layer
    kept.viewer.add_image(np.flipud(first.data).copy(), name="flipped", visible=False)
    kept.bench.use_image(kept.viewer.layers["flipped"])
    kept.click_and_wait(65, 28)
    step = kept.context.history.number
    kept.bench.use_image(first)
    kept.context.saves.save()
    kept.until(lambda: not kept.context.saves.busy)
    assert len(told) == 1
    kept.bench.use_image(kept.viewer.layers["flipped"])
    saved(kept, tmp_path / "b.plain.npz")
    assert told[1:] == [step]


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
    kept.until_said("the disk is full")
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


@pytest.fixture
def slow(monkeypatch):
    """All planes are written at first, and then the test has its turn."""
    written, go_on, counts = threading.Event(), threading.Event(), []

    class Slow:
        def __init__(self, writer):
            self.finish, self.close, self._writer = writer.finish, writer.close, writer

        def write_planes(self, places):
            places = list(places)
            counts.append(len(places))
            yield from self._writer.write_planes(places)
            written.set()
            assert go_on.wait(20)

    monkeypatch.setattr(saves, "writer_of", lambda *args: Slow(writer_of(*args)))
    yield written, go_on, counts
    go_on.set()


def test_labels_that_change_while_they_are_copied_are_copied_again(kept, tmp_path, slow):
    written, go_on, counts = slow
    kept.context.saves.save_as(tmp_path / "a.plain.npz")
    kept.until(written.is_set)
    kept.press(Qt.Key.Key_Return)
    kept.until(lambda: len(kept.bench.results.store.objects) == 2)
    go_on.set()
    kept.until_said("saved 2 objects")
    assert counts == [1, 1]
    with np.load(tmp_path / "a.plain.npz") as file:
        np.testing.assert_array_equal(file["labels"], kept.labels)
    assert kept.context.saves.unsaved == ""


def test_only_planes_that_change_are_written_again(hands_on_stack, tmp_path, slow):
    written, go_on, counts = slow
    hands, view = hands_on_stack, hands_on_stack.bench.results
    view.apply(filled(view, 1, 7))
    hands.context.saves.save_as(tmp_path / "a.samproject")
    hands.until(written.is_set)
    view.apply(filled(view, 3, 8))
    hands.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    hands.until(lambda: not view.layer.data[3].any())
    view.apply(filled(view, 2, 9))
    go_on.set()
    hands.until_said("saved")
    hands.until(lambda: not hands.context.saves.busy)
    assert counts == [5, 2]
    found = PROJECT.read(tmp_path / "a.samproject", None)
    np.testing.assert_array_equal(found.labels, view.layer.data)
    assert [int(plane.max()) for plane in found.labels] == [0, 7, 9, 0, 0]


def test_a_stroke_that_is_being_painted_is_awaited(hands_on_stack, tmp_path, slow, monkeypatch):
    written, go_on, counts = slow
    hands, layer = hands_on_stack, hands_on_stack.bench.results.layer
    held = [Qt.MouseButton.LeftButton]
    monkeypatch.setattr(live_save.QApplication, "mouseButtons", lambda: held[0])
    hands.context.saves.save_as(tmp_path / "a.samproject")
    hands.until(written.is_set)
    go_on.set()
    with layer.block_history():
        layer.paint((2, 10, 10), 5)
        hands.rest(0.2)
        assert hands.context.saves.busy
        layer.paint((2, 12, 10), 5)
    held[0] = Qt.MouseButton.NoButton
    hands.until_said("saved")
    hands.until(lambda: not hands.context.saves.busy)
    assert counts == [5, 1]
    found = PROJECT.read(tmp_path / "a.samproject", None)
    np.testing.assert_array_equal(found.labels, layer.data)
    assert found.labels[2, 12, 10] == 5 == found.labels[2, 10, 10]


def test_another_layer_chosen_while_saving_leaves_the_file(hands_on_stack, tmp_path, slow):
    written, go_on, _ = slow
    hands = hands_on_stack
    hands.context.saves.save_as(tmp_path / "a.samproject")
    hands.until(written.is_set)
    other = hands.viewer.add_labels(np.zeros((5, 40, 60), np.int32))
    hands.bench.use_results(other)
    go_on.set()
    hands.until_said("another image or layer was chosen")
    assert not hands.context.saves.busy
    assert list((tmp_path / "a.samproject").iterdir()) == []


def test_a_save_says_that_everything_mode_is_not_in_it(hands_on_stack, tmp_path):
    hands = hands_on_stack
    found = hands.viewer.add_labels(np.zeros((5, 40, 60), np.int32), name="found")
    hands.bench.everything = view = hands.bench.view_of(found)
    hands.context.saves.save_as(tmp_path / "a.samproject")
    hands.until_said("saved 0 objects")
    assert "everything" not in hands.status
    view.apply(filled(view, 3, 8))
    hands.context.saves.save()
    hands.until_said("the labels of everything mode are not in it")


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
    other.until_said("has the shape (96, 128)")


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


@pytest.fixture
def large(monkeypatch):
    """Labels of all stacks are too large for memory."""
    for module in ("labels_store", "ome_zarr"):
        monkeypatch.setattr(f"napari_sam.formats.{module}.LIMIT_BYTES", 0)


def large_project(path, shape=(5, 40, 60)):
    """Save a project with an object on two planes and a prompt; return the labels."""
    labels = np.zeros(shape, np.int32)
    labels[1:3, 4:9, 5:11] = 6
    bits = labels[1] == 6
    keys = [SliceKey((1, 2), ((0, z),)) for z in (1, 2)]
    one = SegmentedObject(6, {key: Outline(Mask.of(bits)) for key in keys}, "cell", "finished")
    geometry = Geometry(("z", "y", "x"), (1.0,) * 3, ("pixel",) * 3, (0.0,) * 3)
    prompts = (DrawnRow("points", "object", ((3.0, 7.0, 8.0),), 2),)
    PROJECT.write(Annotation(labels, {6: one}, geometry, {}, "stack", prompts), path)
    return labels


def test_a_large_project_goes_to_a_folder_and_is_saved_again(large, hands_on_stack, tmp_path):
    hands, place = hands_on_stack, tmp_path / "a.samproject"
    expected = large_project(place)
    hands.context.opening.open(place)
    dialog = hands.dock.feature(Saving)
    hands.until(lambda: dialog._dialog is not None)
    assert hands.bench.results is None
    dialog._dialog.named.emit(str(tmp_path / "labels"))
    hands.until(lambda: hands.bench.results is not None)
    view = hands.bench.results
    np.testing.assert_array_equal(view.layer.data[...], expected)
    assert view.store.next_label == 7
    assert view.store.objects[6].status == "finished"
    assert len(hands.bench.prompts.drawing()) == 1
    assert hands.context.saves.unsaved == ""
    assert [one.name for one in (tmp_path / "labels").iterdir() if one.name[0] != "."] == [
        "objects.zarr"
    ]
    view.apply(filled(view, 4, 9))
    expected[4, 3:9, 4:20] = 9
    hands.context.saves.save()
    hands.until_said("saved 1 object")
    found = PROJECT.read(place, None)
    np.testing.assert_array_equal(found.labels[...], expected)
    assert len(found.prompts) == 1


def test_opening_a_large_project_can_be_stopped(large, hands_on_stack, tmp_path, monkeypatch):
    hands, place, go_on = hands_on_stack, tmp_path / "a.samproject", threading.Event()
    large_project(place)
    read = labels_store._read_plane
    monkeypatch.setattr(labels_store, "_read_plane", lambda *args: go_on.wait(20) and read(*args))
    hands.context.opening.open(place)
    feature = hands.dock.feature(Saving)
    hands.until(lambda: feature._dialog is not None)
    feature._dialog.named.emit(str(tmp_path / "labels"))
    hands.until(feature.panel.stop.isVisible)
    QTest.mouseClick(feature.panel.stop, Qt.MouseButton.LeftButton)
    go_on.set()
    hands.until(lambda: hands.context.scheduler.wait(0))
    assert "nothing was opened" in hands.status
    assert hands.bench.results is None
    assert not feature.panel.stop.isVisible()
    assert [one.name for one in (tmp_path / "labels").iterdir()] in ([], [labels_store.LOCK])


def test_prompts_of_a_project_that_napari_opened_are_drawn_and_saved(hands_on_stack, tmp_path):
    hands = hands_on_stack
    large_project(tmp_path / "a.samproject")
    (layer,) = hands.viewer.open(str(tmp_path / "a.samproject"), plugin="napari-sam-stack")
    hands.bench.use_results(layer, 6)
    hands.until(hands.bench.prompts.drawing)
    assert [row.vertices for row in hands.bench.prompts.drawing()] == [((3.0, 7.0, 8.0),)]
    layer.save(str(tmp_path / "b.samproject"), plugin="napari-sam-stack")
    found = PROJECT.read(tmp_path / "b.samproject", None)
    assert [row.vertices for row in found.prompts] == [((3.0, 7.0, 8.0),)]
    hands.bench.prompts.redraw(hands.bench.prompts.drawing())
    layer.save(str(tmp_path / "c.samproject"), plugin="napari-sam-stack")
    assert PROJECT.read(tmp_path / "c.samproject", None).prompts == ()


def test_labels_in_a_folder_are_copied_by_their_files(tmp_path):
    import zarr

    array = zarr.create_array(tmp_path / "a.zarr", shape=(3, 8, 8), chunks=(1, 8, 8), dtype="i4")
    array[0] = 1
    geometry = Geometry(("z", "y", "x"), (1.0,) * 3, ("pixel",) * 3, (0.0,) * 3)
    written = []
    kind = AnnotationFormat(
        "Test",
        (".test",),
        lambda found, path: written.append(found.labels[...]),
        None,
        PLAIN.losses,
    )
    annotation = Annotation(array, {}, geometry)
    writer = writer_of(kind, annotation, tmp_path / "a.test")
    drive(writer.write_planes([]))
    array[1] = 3
    drive(writer.write_planes([(1,)]))
    array[0] = 2
    writer.finish(annotation)
    writer.close()
    assert [int(plane.max()) for plane in written[0]] == [1, 3, 0]
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


def test_an_image_that_is_gone_hinders_no_save():
    class Gone:
        shape, dtype, ndim = (5, 4, 6), np.dtype(np.uint16), 3

        def __getitem__(self, index):
            if index[0] > 1:
                raise OSError("the drive is gone")
            return np.zeros((4, 6), np.uint16)

    assert len(reference_to(Gone(), (5, 4, 6)).hashes) == 2


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


def test_the_image_itself_is_never_replaced(open_dock, tmp_path):
    source = tmp_path / "cells.tif"
    tifffile.imwrite(source, np.full((40, 60), 7, np.uint8))
    hands = open_dock(("add_image", np.full((40, 60), 7, np.uint8), {"name": "cells"}))
    hands.context.saves.image_paths[hands.bench.frame.layer] = source
    before = source.read_bytes()
    hands.context.saves.save_as(source)
    hands.until_said("cells.tif is the image itself")
    feature = hands.dock.feature(Saving)
    feature.save_as()
    dialog = feature._save_dialog
    dialog.formats.picked.emit(LABEL_TIFF)
    assert dialog.name.text() == str(source)
    for _ in range(2):  # pressed again, too
        dialog._on_buttons_accepted()
        assert "is the image itself" in dialog.note.text()
    dialog.reject()
    assert source.read_bytes() == before


@pytest.mark.parametrize("name", ["cells.samproject", "renamed"])
def test_a_project_is_opened_by_its_index(hands_on_stack, tmp_path, name):
    hands = hands_on_stack
    labels = np.zeros((5, 40, 60), np.int32)
    labels[2, 3:9, 4:20] = 1
    geometry = Geometry(("z", "y", "x"), (1.0,) * 3, ("pixel",) * 3, (0.0,) * 3)
    PROJECT.write(
        Annotation(labels, {1: SegmentedObject(1, {})}, geometry), tmp_path / "a.samproject"
    )
    (tmp_path / "a.samproject").rename(tmp_path / name)
    hands.context.opening.open(tmp_path / name / "project.json")
    hands.until(lambda: hands.bench.results is not None and hands.bench.results.store.objects)
    np.testing.assert_array_equal(hands.labels, labels)
    place = tmp_path / name if name.endswith(".samproject") else None
    assert hands.context.saves.place == place


def test_a_file_of_another_program_is_not_saved_over(hands_on_stack, tmp_path):
    hands, path = hands_on_stack, tmp_path / "cells.zip"
    labels = np.zeros((5, 40, 60), np.int32)
    labels[2, 3:9, 4:20] = 1
    geometry = Geometry(("z", "y", "x"), (1.0,) * 3, ("pixel",) * 3, (0.0,) * 3)
    IMAGEJ_ROIS.write(Annotation(labels, {}, geometry), path)
    hands.context.opening.open(path)
    hands.until(lambda: hands.bench.results is not None and hands.bench.results.store.objects)
    assert hands.context.saves.place is None  # the next save asks
    assert hands.context.saves.unsaved == "1 object"


def test_a_transposed_display_and_an_undo_meanwhile(hands_on_stack, tmp_path):
    hands, path = hands_on_stack, tmp_path / "a.samproject"
    hands.viewer.dims.order = (1, 2, 0)
    view = hands.bench.results
    view.apply(filled(view, 1, 3))
    view.apply(filled(view, 2, 4))
    hands.context.saves.save_as(path)
    hands.context.history.undo(lambda *_: None)
    view.apply(filled(view, 3, 9))
    hands.until(lambda: not hands.context.saves.busy)
    labels = PROJECT.read(path, (5, 40, 60)).labels
    np.testing.assert_array_equal(labels, view.layer.data)
    assert [(labels == one).any() for one in (3, 4, 9)] == [True, False, True]
