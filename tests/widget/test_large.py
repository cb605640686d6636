"""Stacks whose labels do not fit into memory: their results go to a folder that the user names."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDialogButtonBox

from napari_sam.everything.amg_params import AmgParams
from napari_sam.formats import labels_store
from napari_sam.types import SliceKey
from napari_sam.widget.features.saving.dialog import FolderDialog
from napari_sam.widget.scheduler import Lane, Work

CONTROL = Qt.KeyboardModifier.ControlModifier
CENTRES = {1: (25, 28), 2: (28, 90), 3: (72, 55)}
PLANES = 5


@pytest.fixture
def small_limit(monkeypatch):
    """Labels of the test's stacks count as large."""
    monkeypatch.setattr(labels_store, "LIMIT_BYTES", 1000)


@pytest.fixture
def stack(scene):
    return np.repeat(scene[0][None], PLANES, 0)


@pytest.fixture
def hands(open_dock, stack, small_limit):
    return open_dock(("add_image", stack, {"name": "stack", "scale": (3, 1, 1)}))


def dialogs(hands):
    return [d for d in hands.dock.findChildren(FolderDialog) if d.isVisible()]


def type_name(hands, text):
    """Type a name into the dialog that is open and press OK; returns the dialog."""
    (dialog,) = dialogs(hands)
    dialog.name.selectAll()
    QTest.keyClicks(dialog.name, text)
    dialog.buttons.button(QDialogButtonBox.StandardButton.Ok).click()
    hands.rest(0.02)
    return dialog


def answer(hands, folder):
    """Answer the dialog that is open; None cancels it."""
    if folder is None:
        (dialog,) = dialogs(hands)
        dialog.reject()
    else:
        type_name(hands, str(folder))
    hands.until(lambda: not dialogs(hands))


def commit_to(hands, folder):
    """Press Enter, name the folder, and wait for the commit."""
    hands.press(Qt.Key.Key_Return)
    answer(hands, folder)
    hands.until_said("committed")


def stored(folder, name="objects"):
    return zarr.open_array(folder / f"{name}.zarr", mode="r")


def names(hands):
    return [layer.name for layer in hands.viewer.layers]


def test_nothing_is_made_before_the_first_commit(hands):
    assert hands.bench.results is None
    assert names(hands) == ["stack", "SAM preview", "SAM boxes", "SAM points"]
    assert hands.source.panel.results.currentText() == "a new folder"
    hands.click_and_wait(*CENTRES[2])
    assert hands.bench.prompts.preview.data.shape == (1, 96, 128)
    assert hands.prompting.panel.answer.text().startswith("answer 1/3")
    hands.press(Qt.Key.Key_N)
    assert hands.prompting.panel.answer.text().startswith("answer 2/3")
    assert hands.bench.results is None
    assert not dialogs(hands)


def test_the_folder_is_asked_for_once(hands, scene, tmp_path):
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path / "mine")
    assert "object 1 committed" in hands.status
    assert isinstance(hands.labels, zarr.Array)
    z = hands.viewer.dims.current_step[0]
    assert ((hands.labels[z] > 0) == (scene[1] == 2)).mean() > 0.99
    hands.viewer.dims.set_current_step(0, z + 1)
    hands.rest()
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.until_said("object 2 committed")
    assert not dialogs(hands)
    written = stored(tmp_path / "mine")
    assert [int(plane.max()) for plane in written] == [0, 0, 1, 2, 0]
    assert written.attrs["scale"] == [3.0, 1.0, 1.0]
    assert written.attrs["provenance"]["image"] == "stack"
    layer = hands.bench.results.layer
    assert np.allclose(layer.scale, (3, 1, 1))
    assert hands.source.panel.results.currentText() == "stack objects"


def test_the_layer_shows_what_was_written(hands, tmp_path):
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path)
    layer = hands.bench.results.layer
    z = hands.viewer.dims.current_step[0]
    assert layer.get_value((3 * z, *CENTRES[2]), world=True) == 1
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert "undone: object 1" in hands.status
    assert layer.get_value((3 * z, *CENTRES[2]), world=True) == 0
    assert not np.any(stored(tmp_path)[:])


def test_commit_and_undo_touch_the_box_only(hands, tmp_path, monkeypatch):
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path)
    z = hands.viewer.dims.current_step[0]
    other = stored(tmp_path)[z]
    seen = []
    read, write = zarr.Array.__getitem__, zarr.Array.__setitem__

    def note_read(self, index):
        value = read(self, index)
        seen.append(np.size(value))
        return value

    def note_write(self, index, value):
        seen.append(np.size(value))
        write(self, index, value)

    hands.click_and_wait(*CENTRES[1])
    monkeypatch.setattr(hands.bench.results.layer, "refresh", lambda **_: None)
    monkeypatch.setattr(zarr.Array, "__getitem__", note_read)
    monkeypatch.setattr(zarr.Array, "__setitem__", note_write)
    hands.prompting.commit()
    hands.prompting.changes.undo()
    monkeypatch.undo()
    assert len(seen) == 5  # the writer looks at what is there once more
    assert max(seen) <= 32 * 34  # the object has 30 x 32 pixels, the plane 96 x 128
    assert np.array_equal(stored(tmp_path)[z], other)


def test_strokes_go_to_the_folder_and_come_back(hands, tmp_path):
    hands.click_and_wait(*CENTRES[1])
    commit_to(hands, tmp_path)
    layer = hands.bench.results.layer
    z = hands.viewer.dims.current_step[0]
    layer.selected_label = 9
    layer.mode = "paint"
    layer.paint((z, 80, 110), 9)
    assert stored(tmp_path)[z, 80, 110] == 9
    assert not np.any(np.delete(stored(tmp_path)[:], z, 0))
    hands.press(Qt.Key.Key_Z, CONTROL)
    assert stored(tmp_path)[z, 80, 110] == 0
    assert stored(tmp_path)[z].max() == 1


def test_cancelling_loses_nothing(hands, tmp_path):
    hands.click_and_wait(*CENTRES[2])
    shown = hands.bench.prompts.preview.data.copy()
    hands.press(Qt.Key.Key_Return)
    assert "name a new or an empty folder" in hands.status
    answer(hands, None)
    assert "prompts and preview stay" in hands.status
    assert "asks again" in hands.status
    assert len(hands.bench.prompts.points.data) == 1
    assert np.array_equal(hands.bench.prompts.preview.data, shown)
    assert shown.any()
    assert hands.bench.results is None
    commit_to(hands, tmp_path)
    z = hands.viewer.dims.current_step[0]
    assert np.array_equal(stored(tmp_path)[z] > 0, shown[0] > 0)


def test_a_full_disk_loses_nothing(hands, tmp_path, monkeypatch):
    hands.click_and_wait(*CENTRES[1])
    commit_to(hands, tmp_path)
    hands.click_and_wait(*CENTRES[2])

    def full(self, index, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    hands.press(Qt.Key.Key_Return)
    assert "No space left" in hands.status
    assert len(hands.bench.prompts.points.data) == 1
    monkeypatch.undo()
    hands.press(Qt.Key.Key_Return)
    hands.until_said("object 2 committed")
    assert stored(tmp_path)[:].max() == 2


def test_a_folder_with_something_else_is_refused(hands, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    assert "thesis.txt" in type_name(hands, str(tmp_path)).problem.text()
    assert hands.bench.results is None
    assert len(hands.bench.prompts.points.data) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    answer(hands, tmp_path / "inside")  # the dialog is still open
    hands.until_said("committed")
    assert stored(tmp_path / "inside")[:].max() == 1


def test_a_new_name_is_typed_and_the_folder_is_made(hands, tmp_path):
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path / "new" / "deeper")
    assert stored(tmp_path / "new" / "deeper")[:].max() == 1


def test_a_mere_name_lies_beside_the_image(hands, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    (dialog,) = dialogs(hands)
    assert dialog.name.text() == str(tmp_path / "stack labels")
    for bad, why in (("~nobody-here/x", "no home folder"), ("x" * 300, "cannot be used")):
        assert why in type_name(hands, bad).problem.text()
    answer(hands, Path("mine"))
    hands.until_said("committed")
    assert stored(tmp_path / "mine")[:].max() == 1


def test_asking_twice_shows_one_dialog_and_another_image_ends_it(hands):
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    hands.prompting.commit()
    assert len(dialogs(hands)) == 1
    hands.source.use_image(None)
    hands.until(lambda: not dialogs(hands))


def test_a_folder_of_an_earlier_time_is_continued(hands, stack, scene, tmp_path):
    earlier = labels_store.open_labels(tmp_path, "objects", stack.shape, (1, 2), "zyx", {})
    earlier[0, :5, :5] = 41
    earlier[2, 14:20, 72:80] = 17  # within the object that is clicked
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path)
    assert "object 42 committed" in hands.status
    assert (hands.labels[0, :5, :5] == 41).all()
    assert (hands.labels[2, 14:20, 72:80] == 17).all()
    assert hands.labels[2, 40, 100] == 42


def test_closing_leaves_a_complete_folder(hands, tmp_path):
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path)
    before = hands.labels[:]
    layer = hands.bench.results.layer
    hands.viewer.window.remove_dock_widget(hands.dock)
    hands.rest()
    assert layer in hands.viewer.layers
    assert np.array_equal(stored(tmp_path)[:], before)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["objects.zarr"]
    assert not list(tmp_path.rglob("*.partial"))


def test_another_image_needs_another_folder(open_dock, stack, small_limit, tmp_path):
    hands = open_dock(
        ("add_image", stack, {"name": "first"}), ("add_image", stack.copy(), {"name": "second"})
    )
    for name in ("first", "second"):
        hands.source.use_image(hands.viewer.layers[name])
        hands.click_and_wait(*CENTRES[2])
        if name == "first":
            commit_to(hands, tmp_path / "one")
    hands.press(Qt.Key.Key_Return)
    assert "folder of first" in type_name(hands, str(tmp_path / "one")).problem.text()
    answer(hands, tmp_path / "two")
    hands.until(lambda: "second objects" in names(hands))
    hands.until_said("committed")
    hands.source.use_image(hands.viewer.layers["first"])
    assert hands.bench.results.layer.name == "first objects"
    hands.click_and_wait(*CENTRES[1])
    hands.press(Qt.Key.Key_Return)
    hands.until_said("object 2 committed")
    assert [stored(tmp_path / name)[:].max() for name in ("one", "two")] == [2, 1]


def test_what_waits_for_a_folder_is_not_done_on_another_image(hands, stack, tmp_path):
    other = hands.viewer.add_image(stack.copy(), name="other")
    folder, first, done = hands.context.folder, hands.bench.frame.layer, []
    for image, expected in ((other, []), (first, ["then"])):
        hands.bench.use_image(first)
        folder.forget()
        assert not folder.ready(lambda: done.append("then"))
        folder.use(str(tmp_path))
        hands.bench.use_image(image)
        hands.until(lambda: not hands.busy(Lane.LABELS))
        assert done == expected


def test_a_folder_is_not_opened_while_labels_are_counted(hands):
    going_on, opened = threading.Event(), []
    hands.scheduler.submit(Work(lambda: iter([going_on.wait(60)])), Lane.LABELS)
    hands.context.folder.open_objects(SliceKey((1, 2), ((0, 0),)), lambda: opened.append(1))
    going_on.set()
    assert "labels are being opened or counted; try again" in hands.status
    hands.until(lambda: not hands.busy(Lane.LABELS))
    assert not opened


def test_into_a_new_folder(hands, tmp_path):
    hands.click_and_wait(*CENTRES[2])
    commit_to(hands, tmp_path / "one")
    hands.source.use_results(None)
    hands.click_and_wait(*CENTRES[1])
    commit_to(hands, tmp_path / "two")
    assert stored(tmp_path / "one")[2, CENTRES[1][0], CENTRES[1][1]] == 0
    assert stored(tmp_path / "two")[2, CENTRES[1][0], CENTRES[1][1]] == 1


def test_everything_asks_too_and_never_overwrites(hands, tmp_path):
    usual = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.5}
    hands.everything.panel.set_params(AmgParams(**usual))
    hands.everything.run()
    assert "stack everything" not in names(hands)
    answer(hands, tmp_path)
    hands.until_said("3 objects")
    z = hands.viewer.dims.current_step[0]
    assert [int(plane.max()) for plane in stored(tmp_path, "everything")] == [0, 0, 3, 0, 0]
    layer = hands.everything.view.layer
    layer.brush_size = 1
    layer.paint((z, 50, 60), 50)
    hands.everything.run(all_planes=True)  # no question: the folder is known
    hands.until_said("objects in 5 planes")
    assert hands.everything.view.layer is layer
    linked = stored(tmp_path, "everything")[:]
    assert linked[z, 50, 60] == 50
    assert np.count_nonzero(linked == 50) == 1
    linked[z, 50, 60] = 0
    assert sorted(np.unique(linked)) == [0, 51, 52, 53]
    assert (linked == linked[0]).all()
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    hands.until_said("object 1 committed")
    assert stored(tmp_path)[:].max() == 1


def test_small_stacks_are_as_ever(open_dock, stack):
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    assert type(hands.labels) is np.ndarray
    assert hands.source.panel.results.itemText(1) == "a new layer"
    hands.click_and_wait(*CENTRES[2])
    hands.press(Qt.Key.Key_Return)
    assert hands.labels.max() == 1
    assert not dialogs(hands)


def test_a_lazy_stack_of_100_gigabytes_costs_a_plane(open_dock, tmp_path):
    side, planes = 1024, 100_000
    read = []

    def plane(block_info=None):
        read.append(block_info[None]["chunk-location"][0])
        image = np.full((1, side, side), 20, np.uint8)
        image[0, 300:700, 400:800] = 200
        return image

    def lazy():
        chunks = ((1,) * planes, (side,), (side,))
        return da.map_blocks(plane, chunks=chunks, dtype=np.uint8, meta=np.empty((0,) * 3))

    one = np.zeros((1, side, side), np.uint8)
    hands = open_dock(("add_image", one, {"name": "small", "contrast_limits": (0, 255)}))
    image = hands.viewer.add_image(lazy(), name="large", contrast_limits=(0, 255))
    assert image.data.nbytes > 100e9
    hands.rest(0.2)
    gc.collect()
    tracemalloc.start()
    hands.source.use_image(image)
    hands.viewer.reset_view()
    hands.rest()
    hands.click_and_wait(500, 600)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    assert hands.bench.results is None
    assert "large objects" not in names(hands)
    commit_to(hands, tmp_path)
    z = hands.viewer.dims.current_step[0]
    assert hands.labels.shape == (planes, side, side)
    assert (hands.labels[z] > 0).sum() == pytest.approx(400 * 400, rel=0.02)
    assert len(set(read)) < 10
    files = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]
    assert len(files) == 2  # the header and one plane
    assert sum(p.stat().st_size for p in files) < 1e5
