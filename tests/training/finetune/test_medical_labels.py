"""Training reads labels of medical images where they lie in millimetres."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from medical import OBLIQUE, affine, phantom, turned, write_series

from napari_sam.formats.label_images import write_labels
from napari_sam.images.readers import read_image
from napari_sam.training.finetune.labelled_files import Finder, labelled_files
from napari_sam.training.finetune.reading import stem_of
from napari_sam.training.sets.sources import stack_readers

VALUES, FOUND = phantom((4, 20, 24), ((1, 8, 9, 5), (2, 13, 18, 4)))
SQUARE = (2.5, 0.8, 0.8)


@pytest.mark.parametrize("name", ["a_labels.nii.gz", "a_labels.dcm", "foreign"])
def test_labels_that_run_the_other_way(tmp_path, name):
    matrix = np.diag([-1, -1, 1, 1]) @ affine(OBLIQUE, SQUARE)
    image = tmp_path / "a.nii.gz"
    nibabel.Nifti1Image(VALUES.T, matrix).to_filename(image)
    path = tmp_path / name
    if name == "foreign":
        path = tmp_path / "a_labels.nii.gz"
        nibabel.Nifti1Image(FOUND.T, matrix).to_filename(path)
    else:
        scan = read_image(write_series(tmp_path / "series", VALUES, OBLIQUE, SQUARE))
        write_labels(path, FOUND, scan.axes, scan.scale, scan=scan.scan, classes={1: "nodule"})
    if path.suffix == ".gz":
        turned(path, 0)
    items, refused = labelled_files([path], None)
    examples = [one for _, read in items for one in read()]
    assert refused == []
    drawn = [k for k in range(4) if FOUND[k].any()]
    assert [one.place for one in examples] == drawn
    for one in examples:
        assert np.array_equal(one.labels > 0, FOUND[one.place] > 0)
        assert one.complete is None or one.complete.all()


def series(folder, name, labels, ending=".nii.gz"):
    """Write a DICOM series into a folder, and its labels into another one."""
    for one in (folder, labels):
        one.mkdir(parents=True, exist_ok=True)
    image = read_image(write_series(folder / name, VALUES))
    path = labels / f"{name}{ending}"
    write_labels(path, FOUND, image.axes, image.scale, scan=image.scan)
    return folder / name


@pytest.mark.parametrize("ending", [".nii.gz", ".dcm", ".labelmap.dcm"])
def test_series_in_folders_with_points_in_their_names(tmp_path, ending):
    images, labels = tmp_path / "images", tmp_path / "labels"
    for name in ("1.2.1", "1.2.2"):
        series(images, name, labels, ending)
    finder = Finder([labels, images], stack_readers())
    names = [stack.name for _, read in finder.paired() for stack in read()]
    assert (names, finder.refused) == (["1.2.1", "1.2.2"], [])


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.samproject", "a"), ("a.ome.zarr", "a"), ("a.1", "a.1"), ("labels.2", "labels.2")],
)
def test_names_of_folders(tmp_path, name, stem):
    (tmp_path / name).mkdir()
    assert stem_of(tmp_path / name) == stem


def test_labels_in_a_folder_of_one_series(tmp_path):
    image = series(tmp_path / "images", "case", tmp_path / "labels")
    for labels in (tmp_path / "labels", tmp_path / "labels" / "case.nii.gz"):
        finder = Finder([labels, image], stack_readers())
        (stack,) = [one for _, read in finder.paired() for one in read()]
        assert (stack.name, finder.refused) == ("case", [])


def test_a_folder_with_folders_of_series_and_of_labels(tmp_path):
    for name in ("c1", "c2"):
        series(tmp_path / "data" / "images", name, tmp_path / "data" / "labels")
    finder = Finder([tmp_path / "data"], stack_readers())
    names = [stack.name for _, read in finder.items() for stack in read()]
    assert (names, finder.refused) == (["c1", "c2"], [])
    items, refused = labelled_files([tmp_path / "data"], None)
    assert (len(items), refused) == (2, [])
    one = next(iter(items[0][1]()))
    assert np.array_equal(one.labels > 0, FOUND[one.place] > 0)
