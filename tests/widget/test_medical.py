"""Medical images in the window: in millimetres, at a window, exported with their geometry."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest
from medical import (
    AXIAL,
    OBLIQUE,
    SECRETS,
    affine,
    millimetres,
    phantom,
    sorted_points,
    turned,
    write_nifti,
    write_series,
)
from qtpy.QtCore import Qt

from napari_sam.formats.exchange import format_of
from napari_sam.formats.label_images import write_labels
from napari_sam.formats.medical_layers import medical_reader
from napari_sam.images.readers import read_image
from napari_sam.widget.features.window.logic import Windows

PLUGIN = "napari-sam-stack"
NEXT = Qt.Key.Key_W, Qt.KeyboardModifier.ShiftModifier
"""The key that shows the next window."""
SAGITTAL = ((0, 1, 0), (0, 0, -1))
VALUES, FOUND = phantom((7, 60, 72), ((3, 20, 20, 9), (3, 40, 52, 8)))
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def open_series(open_dock, tmp_path):
    """Return a function that opens a window on a series."""

    def opened(orientation=AXIAL, **options):
        folder = write_series(tmp_path / "series", VALUES, orientation, **options)
        ((data, keywords, kind),) = medical_reader(str(folder))(str(folder))
        return open_dock((f"add_{kind}", data, keywords))

    return opened


def click_on(hands, voxel):
    """Show the plane of a voxel (z, y, x) and click on it."""
    place = np.array(hands.bench.frame.layer.data_to_world(voxel))
    hands.viewer.dims.set_point(0, place[0])
    hands.rest(0.1)
    assert hands.bench.plane().key.fixed == ((0, voxel[0]),)
    hands.click_and_wait(*place[1:])


def commit(hands):
    hands.press(Qt.Key.Key_Return)
    hands.until(lambda: hands.bench.results and hands.bench.results.store.objects)


def export(hands, path):
    hands.context.saves.save_as(path)
    hands.until_said("saved")
    hands.until(lambda: not hands.context.saves.busy)


@pytest.mark.parametrize(
    "orientation", [AXIAL, OBLIQUE, SAGITTAL], ids=["axial", "oblique", "sagittal"]
)
def test_a_click_in_a_series_is_exported_where_it_lies(open_series, tmp_path, orientation):
    hands = open_series(orientation, reverse=True)
    layer = hands.bench.frame.layer
    assert layer.name == "CT series 3"
    assert {str(unit) for unit in layer.units} == {"millimeter"}
    click_on(hands, (3, 20, 20))
    commit(hands)
    own = np.zeros(VALUES.shape, bool)
    own[3] = FOUND[3] == 1
    wanted = {tuple(one) for one in millimetres(own, affine(orientation))}
    for name in ("a.nii.gz", "a.dcm", "a.labelmap.dcm"):
        export(hands, tmp_path / name)
        found = format_of(name).read(tmp_path / name, VALUES.shape)
        assert np.array_equal(found.labels > 0, hands.labels > 0)
    hands.viewer.layers.selection = {hands.bench.results.layer}
    hands.viewer.layers.save(str(tmp_path / "own.nii.gz"), selected=True, plugin=PLUGIN)
    image = nibabel.load(tmp_path / "own.nii.gz")
    assert np.array_equal(image.affine, nibabel.load(tmp_path / "a.nii.gz").affine)
    places = np.argwhere(np.asarray(image.dataobj))
    points = sorted_points(nibabel.affines.apply_affine(LPS @ image.affine, places))
    theirs = {tuple(one) for one in points}
    assert len(theirs & wanted) / len(theirs | wanted) > 0.8


def test_key_and_list_show_windows(open_series):
    hands = open_series()
    feature, layer = hands.dock.feature(Windows), hands.bench.frame.layer
    assert feature.panel.isVisible()
    assert feature.panel.choice.currentText().startswith("of the file")
    seen = []
    for _ in range(5):
        hands.press(*NEXT)
        seen.append(tuple(layer.contrast_limits))
        assert f"{seen[-1][0]:g} to {seen[-1][1]:g} HU" in hands.status
        assert f"{seen[-1][0]:g} to" in feature.panel.choice.currentText()
    assert seen == [
        *((-1350.0, 150.0), (-500.0, 1300.0), (0.0, 80.0), (-150.0, 250.0), (-160.0, 239.0))
    ]
    feature.panel.choice.picked.emit("brain")
    assert tuple(layer.contrast_limits) == (0.0, 80.0)
    layer.contrast_limits = (1, 2)
    assert feature.panel.choice.currentIndex() == -1


def test_the_model_sees_the_window(open_series, model):
    from tiny import NotingModel

    model.made = NotingModel()
    hands = open_series(spacing=(2.5, 0.8, 0.8))  # square, so that planes are not resampled
    click_on(hands, (3, 20, 20))
    whole = hands.bench.frame.layer.data[3]
    expected = np.clip((whole + 160.0) / 399.0, 0, 1) * 255

    def shown(limits):
        return any(
            one.shape[:2] == whole.shape and np.abs(one[..., 0] - limits).max() <= 1
            for one in model.made.seen
        )

    assert shown(expected)
    hands.press(*NEXT)
    lung = np.clip((whole + 1350.0) / 1500.0, 0, 1) * 255
    hands.until(lambda: shown(lung))


def test_other_images_have_no_windows(hands, tmp_path):
    feature = hands.dock.feature(Windows)
    assert not feature.panel.isVisible()
    layer = hands.bench.frame.layer
    before = tuple(layer.contrast_limits)
    hands.press(*NEXT)
    assert "Hounsfield units" in hands.status
    assert tuple(layer.contrast_limits) == before


def test_napari_s_own_key_still_hides_a_layer(open_series):
    hands = open_series()
    bound = {str(key) for key in hands.viewer.keymap}
    assert "Shift+W" in bound
    assert "V" not in bound


def test_napari_opens_folders_and_files(make_napari_viewer, tmp_path):
    viewer = make_napari_viewer()
    folder = write_series(tmp_path / "series", VALUES)
    image = read_image(folder)
    write_labels(tmp_path / "a.dcm", FOUND.astype(int), "ZYX", image.scale, scan=image.scan)
    nifti = write_nifti(tmp_path / "b.nii.gz", VALUES)
    for path, kind in ((folder, "image"), (tmp_path / "a.dcm", "labels"), (nifti, "image")):
        (layer,) = viewer.open(str(path), plugin=PLUGIN)
        assert layer._type_string == kind
        assert np.array_equal(layer.data, FOUND if kind == "labels" else VALUES)
    series, labels, other = viewer.layers
    assert np.allclose(series.data_to_world((2, 3, 5)), labels.data_to_world((2, 3, 5)))
    assert [layer.name for layer in (series, labels, other)] == ["CT series 3", "a", "b"]
    labels.metadata["napari_sam_scan"] = series.metadata["napari_sam_scan"]
    for name in ("c.nii.gz", "c.labelmap.dcm", "c.dcm"):
        viewer.layers.selection = {labels}
        assert viewer.layers.save(str(tmp_path / name), selected=True, plugin=PLUGIN)
        found = format_of(name).read(tmp_path / name, VALUES.shape)
        assert np.array_equal(found.labels, FOUND)


def test_labels_of_a_file_go_on_at_their_voxels(open_series, tmp_path):
    hands = open_series(OBLIQUE)
    image = read_image(tmp_path / "series")
    labels = FOUND.astype(np.int32)
    for name in ("a.dcm", "a.nii.gz"):
        write_labels(tmp_path / name, labels, "ZYX", image.scale, scan=image.scan)
    # the same labels as another program may write them: turned, and cut
    nibabel.load(tmp_path / "a.nii.gz").slicer[:, 5:, :].to_filename(tmp_path / "b.nii.gz")
    turned(tmp_path / "b.nii.gz", 0)
    for name in ("a.dcm", "a.nii.gz", "b.nii.gz"):
        hands.context.opening.open(tmp_path / name)
        hands.until_said("opened")
        assert np.array_equal(hands.labels, labels)
        hands._said.clear()


def test_no_patient_in_what_the_window_leaves_behind(
    open_series, tmp_path, state_folder, config_folder, cache_folder
):
    hands = open_series()
    results = tmp_path / "results"
    results.mkdir()
    click_on(hands, (3, 20, 20))
    commit(hands)
    click_on(hands, (3, 40, 52))
    for kind in ("samproject", "ome.zarr", "tif", "nii.gz", "dcm", "csv", "coco.json", "zip"):
        export(hands, results / f"a.{kind}")
    hands.settled()
    hands.context.disk.wait()
    found = {}
    for folder in (results, state_folder, config_folder, cache_folder.parent):
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                found[path] = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    folders = {path.relative_to(tmp_path.parent).parts[0] for path in found}
    assert len(folders) >= 3  # results, state and cache
    for path, content in found.items():
        assert [secret for secret in SECRETS if secret.encode() in content] == [], path
