"""Everything mode over a stack or a time series in the dock: volumes, divisions, their table."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog

from napari_sam.everything.amg_params import AmgParams
from napari_sam.stack.tracks import write_tracks
from napari_sam.widget.features.everything.across import AcrossPlanes
from napari_sam.widget.scheduler import Lane

MICROMETRES = {"scale": (2, 0.5, 0.5), "units": ("um", "um", "um")}


def run(hands):
    """Open the section, set a coarse grid, press the button for all planes, and wait."""
    hands.dock.sections["Everything"].expand()
    hands.rest()
    panel = hands.everything.panel
    panel.set_params(AmgParams(points_per_side=16, pred_iou_thresh=0.5, stability_score_thresh=0.5))
    QTest.mouseClick(panel.stack_button, Qt.MouseButton.LeftButton)
    idle(hands)
    return panel.across


def idle(hands):
    hands.until(lambda: not hands.busy(Lane.BULK))


def typed(hands, number):
    """Type a volume into the box, and leave it."""
    box = hands.everything.panel.across.volume
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=box.lineEdit().geometry().center())
    box.selectAll()
    QTest.keyClicks(box, number)
    QTest.keyClick(box, Qt.Key.Key_Return)
    idle(hands)


def toggled(box):
    QTest.mouseClick(box, Qt.MouseButton.LeftButton, pos=box.rect().center() * 0.2)


def series():
    """Return frames (5, 96, 128) in which an object divides beside one that stays."""
    frames = np.full((5, 96, 128), 20, np.uint8)
    frames[:, 60:80, 20:40] = 200
    frames[:2, 20:44, 60:90] = 200
    frames[2:, 22:42, 52:72] = 200
    frames[2:, 22:42, 78:98] = 200
    return frames


def test_small_objects_go_by_their_volume_in_micrometres(open_dock, scene):
    hands = open_dock(("add_image", np.stack([scene[0]] * 4), {"name": "stack", **MICROMETRES}))
    across = run(hands)
    labels = hands.everything.view.layer.data
    assert labels.max() == 3
    assert across.volume.suffix() == " µm³"
    assert not across.is_time_series
    assert across.volume.isVisible()
    assert not across.table.isVisible()
    volumes = np.bincount(labels.ravel())[1:] * 0.5
    least = sorted(volumes)[1]
    typed(hands, f"{least}")
    assert len(np.unique(labels)) - 1 == 2
    typed(hands, f"{least + 1}")
    assert len(np.unique(labels)) - 1 == 1
    typed(hands, "0")
    assert len(np.unique(labels)) - 1 == 3
    hands.prompting.changes.undo()
    assert not labels.any()


@pytest.mark.parametrize(
    ("options", "suffix", "least"),
    [
        ({"scale": (2, 0.5, 0.5)}, " voxels", 4 * 30 * 30),
        ({"scale": (2, 500, 0.5), "units": ("um", "nm", "um")}, " µm³", 2 * 30 * 30),
    ],
)
def test_the_unit_of_volumes_is_that_of_the_layer(open_dock, options, suffix, least):
    image = np.full((4, 96, 128), 20, np.uint8)
    image[:, 20:50, 20:50] = 200
    hands = open_dock(("add_image", image, {"name": "stack", **options}))
    across = run(hands)
    assert across.volume.suffix() == suffix
    labels = hands.everything.view.layer.data
    volume = int((labels > 0).sum()) / (4 * 30 * 30)
    assert 0.9 < volume < 1.1
    typed(hands, f"{least * 0.8}")
    assert labels.any()
    typed(hands, f"{least * 1.2}")
    assert not labels.any()


def test_objects_of_a_time_series_divide_and_their_table_is_saved(open_dock, tmp_path):
    hands = open_dock(("add_image", series(), {"name": "movie", "axis_labels": ("t", "y", "x")}))
    across = run(hands)
    assert across.is_time_series
    assert not across.volume.isVisible()
    labels = hands.everything.view.layer.data
    mother, still = int(labels[0, 30, 70]), int(labels[0, 70, 30])
    left, right = int(labels[2, 30, 60]), int(labels[2, 30, 90])
    assert len({mother, still, left, right}) == 4
    assert (labels[:, 70, 30] == still).all()
    assert labels[1, 30, 70] == mother
    assert labels[4, 30, 60] == left
    hands.until_said("linked along t, 1 divided")
    QTest.mouseClick(across.table, Qt.MouseButton.LeftButton)
    dialog = hands.everything.panel.window().findChildren(QFileDialog)[0]
    assert [name.rpartition("/")[2] for name in dialog.selectedFiles()] == ["res_track.txt"]
    dialog.setDirectory(str(tmp_path))
    dialog.selectFile("res_track.txt")
    dialog.accept()
    hands.until_said("res_track.txt: 4 tracks, 2 with a parent")
    lines = {tuple(map(int, line.split())) for line in _lines(tmp_path / "res_track.txt")}
    assert lines == {
        (mother, 0, 1, 0), (still, 0, 4, 0), (left, 2, 4, mother), (right, 2, 4, mother)
    }  # fmt: skip


def _lines(path):
    return path.read_text().splitlines()


def test_the_table_is_that_of_the_labels_as_they_are_now(open_dock, tmp_path):
    hands = open_dock(("add_image", series(), {"name": "movie", "axis_labels": ("t", "y", "x")}))
    run(hands)
    view, table = hands.everything.view, tmp_path / "tracks.txt"
    labels = view.layer.data
    mother, still = int(labels[0, 30, 70]), int(labels[0, 70, 30])
    hands.go(0)
    hands.rest()
    view.delete(mother, hands.context.shown().key)
    idle(hands)
    hands.until(lambda: not (labels == mother).any())
    hands.everything.save_table(table)
    hands.until_said("3 tracks, 0 with a parent")
    assert f"{still} 0 4 0" in _lines(table)
    hands.prompting.changes.undo()
    hands.until(lambda: labels[0, 30, 70] == mother)
    hands.everything.save_table(table)
    hands.until_said("4 tracks, 2 with a parent")
    hands.prompting.changes.undo()  # the run
    assert not labels.any()
    across = hands.everything.panel.across
    QTest.mouseClick(across.table, Qt.MouseButton.LeftButton)
    hands.until_said("run everything on all planes of the time series first")


def test_a_series_may_be_joined_as_a_stack_and_back(open_dock):
    hands = open_dock(("add_image", series(), {"name": "movie", "axis_labels": ("t", "y", "x")}))
    across = run(hands)
    toggled(across.time_series)
    hands.until_said("objects in 5 planes, linked along t;")
    assert across.volume.isVisible()
    idle(hands)
    toggled(across.time_series)
    hands.until_said("4 objects in 5 planes, linked along t, 1 divided;")
    assert across.table.isVisible()


def test_what_is_offered_follows_the_axis(open_dock, scene):
    image = np.broadcast_to(scene[0], (2, 3, *scene[0].shape)).copy()
    options = {"name": "movie", "units": ("s", "um", "um", "um")}
    hands = open_dock(("add_image", image, options))
    panel = hands.everything.panel
    assert not panel.across.is_time_series
    assert panel.across.volume.suffix() == " µm³"
    panel.planes.activated.emit(2)
    assert panel.across.is_time_series
    panel.planes.activated.emit(1)
    assert not panel.across.is_time_series
    hands.viewer.layers.remove("movie")
    hands.viewer.add_image(scene[0], name="plane")
    hands.until(panel.across.isHidden)


def test_a_plane_that_is_found_anew_takes_the_table_away_and_undo_brings_it_back(
    open_dock, tmp_path
):
    hands = open_dock(("add_image", series(), {"name": "movie", "axis_labels": ("t", "y", "x")}))
    across = run(hands)
    hands.until_said("1 divided")
    hands.go(2)
    hands.rest()
    QTest.mouseClick(hands.everything.panel.plane_button, Qt.MouseButton.LeftButton)
    idle(hands)
    hands.until_said("in 5 planes;")
    hands.everything.save_table(tmp_path / "tracks.txt")  # a dialog may be open meanwhile
    hands.until_said("run everything on all planes of the time series first")
    QTest.mouseClick(across.table, Qt.MouseButton.LeftButton)
    hands.until_said("run everything on all planes of the time series first")
    assert not (tmp_path / "tracks.txt").exists()
    hands.prompting.changes.undo()
    hands.everything.save_table(tmp_path / "tracks.txt")
    hands.until_said("4 tracks, 2 with a parent")


def test_a_threshold_that_moves_while_the_table_is_saved_counts_afterwards(
    open_dock, tmp_path, monkeypatch
):
    hands = open_dock(("add_image", series(), {"name": "movie", "axis_labels": ("t", "y", "x")}))
    run(hands)
    QTest.mouseClick(hands.everything.panel.plane_button, Qt.MouseButton.LeftButton)
    idle(hands)
    hands.prompting.changes.undo()
    begun, gate = threading.Event(), threading.Event()

    def slow(path, tracks):
        begun.set()
        gate.wait(60)
        write_tracks(path, tracks)

    monkeypatch.setattr("napari_sam.widget.features.everything.joining.write_tracks", slow)
    hands.everything.save_table(tmp_path / "tracks.txt")
    hands.until(begun.is_set)
    hands.everything.panel.widgets["pred_iou_thresh"].value = 0.95  # the stub's score is 0.9
    hands.everything.save_table(tmp_path / "again.txt")
    hands.until_said("the table is not saved: wait")
    gate.set()
    hands.until_said("4 tracks, 2 with a parent")
    hands.until_said("0 objects in 5 planes")
    assert len(_lines(tmp_path / "tracks.txt")) == 4
    assert not (tmp_path / "again.txt").exists()


def test_what_was_joined_stays_joined_that_way_when_other_planes_are_picked(open_dock):
    image = np.full((2, 3, 96, 128), 20, np.uint8)
    image[..., 10:50, 10:50] = image[..., 60:80, 90:110] = 200
    options = {"name": "movie", "axis_labels": ("t", "z", "y", "x"), "units": ["s"] + ["um"] * 3}
    hands = open_dock(("add_image", image, options))
    panel = hands.everything.panel
    panel.planes.activated.emit(1)
    across = run(hands)
    hands.until_said("3 planes, linked along z")
    typed(hands, "2000")
    hands.until_said("objects in 3 planes, linked along z;")
    labels = hands.everything.view.layer.data
    found = (labels > 0).copy()
    assert found[0, :, 30, 30].all()
    assert not found[:, :, 70, 100].any()  # of 1200 cubic micrometres
    panel.planes.activated.emit(2)
    assert across.is_time_series
    panel.widgets["pred_iou_thresh"].value = 0.6
    hands.until_said("objects in 3 planes, linked along z;")
    idle(hands)
    assert np.array_equal(labels > 0, found)
    toggled(across.time_series)  # for the next run
    hands.rest()
    assert not hands.busy(Lane.BULK)
    QTest.mouseClick(panel.plane_button, Qt.MouseButton.LeftButton)
    idle(hands)
    panel.planes.activated.emit(1)
    assert across.volume.value() == 0
    toggled(across.time_series)
    hands.until_said("objects in 3 planes, linked along z, ")
    idle(hands)
    assert labels[0, :, 70, 100].all()


def test_volumes_have_decimals_enough_for_a_voxel(open_dock):
    image = np.full((2, 96, 128), 20, np.uint8)
    options = {"name": "stack", "scale": (0.04, 0.004, 0.004), "units": ("um",) * 3}
    hands = open_dock(("add_image", image, options))
    hands.dock.sections["Everything"].expand()
    hands.rest()
    box = hands.everything.panel.across.volume
    typed(hands, "0.0000013")
    assert box.value() == pytest.approx(2 * 0.04 * 0.004**2, rel=0.02)
    assert box.suffix() == " µm³"


def test_the_controls_open_no_window_of_their_own(qtbot):
    across = AcrossPlanes()
    qtbot.addWidget(across)
    assert not across.isVisible()


def test_a_plane_is_shown_at_the_contrast_that_the_run_chose(open_dock, monkeypatch):
    stack = np.full((16, 96, 128), 10, np.uint16)
    stack[:, 8:32, 8:32] = 300
    stack[:, 60:84, 90:110] = 1000
    asked = []

    def half(session, planes, generator):
        asked.append(len(planes))
        yield from ()
        return 0.5 if len(planes) > 1 else 1.0

    monkeypatch.setattr("napari_sam.stack.planes.best_exposure", half)
    hands = open_dock(("add_image", stack, {"name": "stack"}))
    panel = hands.everything.panel
    run(hands)
    labels = hands.everything.view.layer.data
    assert labels[:, 20, 20].all()
    QTest.mouseClick(panel.plane_button, Qt.MouseButton.LeftButton)
    idle(hands)
    here = hands.viewer.dims.current_step[0]
    assert labels[here, 20, 20]
    assert asked == [16]
    hands.viewer.layers["stack"].contrast_limits = (0, 900)
    hands.rest()
    QTest.mouseClick(panel.plane_button, Qt.MouseButton.LeftButton)
    idle(hands)
    assert asked == [16, 1]
