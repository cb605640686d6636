"""`convert`: medical images and their labels, and COCO files of stacks."""

import csv
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from medical import OBLIQUE, affine, phantom, turned, write_series

from napari_sam.formats.label_images import write_labels
from napari_sam.images.readers import read_image

SIZE = (40, 60)


def run(succeed, *arguments):
    """Return the summary of a set that is converted."""
    return json.loads(succeed("convert", *arguments))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two DICOM series, the same as NIfTI, and their labels as DICOM and as NIfTI.

    The NIfTI labels of the second one run the other way, as other programs write them.
    """
    values, found = phantom((4, 20, 24), ((1, 8, 9, 5),))
    for name in ("series", "nifti", "segments", "labels"):
        (tmp_path / name).mkdir()
    for name in ("1.2.3", "b"):
        series = write_series(tmp_path / "series" / name, values, OBLIQUE, reverse=True)
        scan = read_image(series)
        matrix = np.diag([-1, -1, 1, 1]) @ affine(OBLIQUE)
        nibabel.Nifti1Image(values.T, matrix).to_filename(tmp_path / "nifti" / f"{name}.nii.gz")
        for folder, ending in (("segments", "labelmap.dcm"), ("labels", "nii.gz")):
            target = tmp_path / folder / f"{name}.{ending}"
            write_labels(target, found, scan.axes, scan.scale, scan=scan.scan)
    turned(tmp_path / "labels" / "b.nii.gz", 0)
    return tmp_path


@pytest.mark.parametrize("images", ["series", "nifti"])
@pytest.mark.parametrize("labelled", ["segments", "labels"])
def test_medical_images_and_labels(succeed, scans: Path, labelled: str, images: str) -> None:
    """Folders, and one file with one image; labels lie where they lie in millimetres."""
    values, found = phantom((4, 20, 24), ((1, 8, 9, 5),))
    out = run(
        succeed,
        scans / labelled,
        scans / images,
        "-o",
        scans / "all",
        "--to",
        "labels",
        "--volumes",
    )
    assert out["images"] == 2
    ending = "labelmap.dcm" if labelled == "segments" else "nii.gz"
    image = scans / images / ("b" if images == "series" else "b.nii.gz")
    one = [scans / labelled / f"b.{ending}", image, "-o", scans / "one", "--to", "labels"]
    assert run(succeed, *one, "--volumes")["images"] == 1
    for path in (*(scans / "all" / "train").glob("*_labels.tif"), *scans.rglob("one/train/b_l*")):
        assert np.array_equal(tifffile.imread(path), found)
        assert np.array_equal(
            tifffile.imread(path.with_name(path.name.replace("_labels", ""))), values
        )
    row = next(csv.DictReader((scans / "all" / "manifest.csv").open()))
    assert Path(row["source"]).parent == scans / images


def test_labels_on_another_grid_are_refused(fail, scans: Path) -> None:
    path = scans / "labels" / "b.nii.gz"
    found = nibabel.load(path)
    moved = found.affine + np.array([[0, 0, 0, 0.3]] * 3 + [[0] * 4])
    nibabel.Nifti1Image(np.asarray(found.dataobj), moved).to_filename(path)
    line = fail(
        "convert", path, scans / "nifti" / "b.nii.gz", "-o", scans / "out", "--to", "labels"
    )
    assert "the labels lie on another grid than the image" in line


def test_radiographs_of_one_file_each(succeed, scans: Path) -> None:
    folder = scans / "radiographs"
    folder.mkdir()
    pixels = phantom((1, 20, 24), ((0, 8, 9, 5),))
    for name in "ab":
        (one,) = write_series(scans / name, pixels[0]).iterdir()
        one.rename(folder / f"{name}.dcm")
        tifffile.imwrite(scans / name / f"{name}.tif", pixels[1][0])
    (scans / "b" / "b.tif").rename(scans / "a" / "b.tif")
    assert run(succeed, scans / "a", folder, "-o", scans / "out", "--to", "cellpose")["images"] == 2
    assert np.array_equal(tifffile.imread(scans / "out/train/b_masks.tif"), pixels[1][0])


def test_coco_of_a_stack_needs_planes(fail, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((3, *SIZE), np.uint8), metadata={"axes": "ZYX"})
    entry = {"image_id": 1, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]], "id": 1}
    images = [{"id": 1, "file_name": "s.tif", "height": SIZE[0], "width": SIZE[1]}]
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"images": images, "annotations": [entry]}))
    arguments = [path, tmp_path / "s.tif", "-o", tmp_path / "out", "--to", "labels"]
    line = fail("convert", *arguments)
    assert "s.json does not tell the planes of the stack s.tif; give each of its images" in line
    tifffile.imwrite(tmp_path / "s.tif", np.zeros(SIZE, np.uint8))
    path.write_text(json.dumps([entry, entry | {"image_id": 2}]))
    assert "s.json is a list of results of 2 images that it does not name" in fail(
        "convert", *arguments
    )
