"""The command line on medical images: geometry kept, windows, and no patient left behind."""

from __future__ import annotations

import gzip
import json

import nibabel
import numpy as np
import pydicom
import pytest
from medical import (
    OBLIQUE,
    SECRETS,
    SHEARED,
    affine,
    millimetres,
    phantom,
    sorted_points,
    turned,
    write_nifti,
    write_series,
)

from napari_sam.cli import parser
from napari_sam.formats.exchange import format_of
from napari_sam.predict.predictor import SamPredictor

VALUES, FOUND = phantom((7, 48, 48), ((2, 14, 15, 8), (4, 33, 33, 8)))
FEW = ["--points-per-side", "6"]
CENTRES = ["--point", "15,14,2", "--point", "33,33,4"]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def series(tmp_path):
    """An oblique series against its order, with a gap between planes and one that is missing."""
    return write_series(
        tmp_path / "series", VALUES, OBLIQUE, reverse=True, missing=(1,), thickness=2.0
    )


@pytest.fixture
def limits(monkeypatch):
    """Note at which contrast planes are looked at."""
    seen = []
    prepare = SamPredictor.prepare

    def noted(self, plane, contrast_limits=None, *args, **options):
        seen.append(contrast_limits)
        return prepare(self, plane, contrast_limits, *args, **options)

    monkeypatch.setattr(SamPredictor, "prepare", noted)
    return seen


def overlap(labels, label, places, lps):
    """Return the share of voxels of a label that lie at places in millimetres, both ways."""
    ours = {tuple(one) for one in millimetres(labels == label, lps)}
    theirs = {tuple(one) for one in places}
    return len(ours & theirs) / len(ours | theirs)


@pytest.mark.parametrize("name", ["out.nii.gz", "out.dcm", "out.labelmap.dcm"])
def test_everything_of_a_series(succeed, stub, limits, series, tmp_path, name):
    out = json.loads(succeed("everything", series, "-o", tmp_path / name, *FEW))
    assert out["shape"] == [7, 48, 48]
    assert out["objects"] >= 2
    assert set(limits) == {(-160.0, 239.0)}  # the window of the file
    labels = format_of(name).read(tmp_path / name, VALUES.shape).labels
    # each sphere is found where it lies in millimetres
    for place in ((2, 14, 15), (4, 33, 33)):
        assert labels[place] > 0
    if name.endswith(".gz"):
        image = nibabel.load(tmp_path / name)
        assert np.allclose(image.affine, LPS @ affine(OBLIQUE), atol=1e-4)
        assert np.array_equal(np.asarray(image.dataobj).T, labels)


def test_segment_lays_labels_at_the_prompt_in_millimetres(succeed, stub, series, tmp_path):
    succeed("segment", series, "-o", tmp_path / "a.nii.gz", *CENTRES, "--window", "abdomen")
    image = nibabel.load(tmp_path / "a.nii.gz")
    values = np.asarray(image.dataobj)
    for label, (z, y, x) in ((1, (2, 14, 15)), (2, (4, 33, 33))):
        points = nibabel.affines.apply_affine(LPS @ image.affine, np.argwhere(values == label))
        own = np.zeros(VALUES.shape, bool)
        own[z] = np.equal(FOUND[z], label)
        assert overlap(own, True, sorted_points(points), affine(OBLIQUE)) > 0.8
        centre = (affine(OBLIQUE) @ [x, y, z, 1])[:3]
        assert np.linalg.norm(points.mean(0) - centre) < 0.7


def test_a_sheared_nifti(succeed, stub, tmp_path):
    source = write_nifti(tmp_path / "image.nii", VALUES)
    succeed("segment", source, "-o", tmp_path / "a.nii.gz", *CENTRES)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert np.allclose(image.affine, SHEARED, atol=1e-6)
    assert np.asarray(image.dataobj)[33, 33, 4] == 2
    header = image.header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 2)


@pytest.mark.parametrize(("window", "seen"), [("lung", (-1350.0, 150.0)), ("brain", (0.0, 80.0))])
def test_windows_are_what_the_model_sees(succeed, stub, limits, series, tmp_path, window, seen):
    for command, more in (("everything", ["--slices", "2:3", *FEW]), ("segment", CENTRES)):
        limits.clear()
        target = tmp_path / f"{command}.nii.gz"
        succeed(command, series, "-o", target, "--window", window, *more)
        assert set(limits) == {seen}


def test_windows_need_hounsfield_units(fail, stub, series, tmp_path):
    source = write_nifti(tmp_path / "image.nii", VALUES)
    arguments = ["everything", source, "-o", tmp_path / "a.tif", "--window", "lung"]
    assert "Hounsfield units" in fail(*arguments)
    line = fail("everything", source, "-o", tmp_path / "a.dcm")
    assert "refers to the DICOM images" in line
    source = write_series(tmp_path / "other", VALUES)
    arguments = ["everything", source, "-o", tmp_path / "a.tif", "--window", "lung"]
    assert "give one" in fail(*arguments, "--contrast", "0,100")
    assert "does" in fail("everything", source, "-o", tmp_path / "a.tif", "--spacing", "1,1,1")


def test_of_several_series_one_is_chosen(stub, capsys, succeed, tmp_path):
    folder = write_series(tmp_path / "study", VALUES[:2], prefix="A")
    write_series(folder, VALUES, prefix="B")
    arguments = ["everything", str(folder), "-o", str(tmp_path / "a.nii.gz"), *FEW]
    assert parser.main(arguments) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["shape"] == [7, 48, 48]
    assert "2 series" in captured.err
    assert "--series N" in captured.err
    assert not any(secret in captured.err for secret in SECRETS)
    sizes = []
    for number in ("0", "1"):
        target = tmp_path / f"{number}.tif"
        out = succeed("everything", folder, "--series", number, "-o", target, *FEW)
        sizes.append(json.loads(out)["shape"][0])
    assert sorted(sizes) == [2, 7]


def contents(folder):
    """Return the bytes of all files below a folder, those compressed by gzip unpacked."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found[path] = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    return found


def test_no_patient_in_any_file_of_a_run(
    succeed, stub, series, tmp_path, state_folder, config_folder, monkeypatch
):
    cache, results = tmp_path / "cache", tmp_path / "results"
    monkeypatch.setenv("NAPARI_SAM_CACHE_DIR", str(cache))
    results.mkdir()
    names = ("a.nii.gz", "a.nii", "a.dcm", "a.labelmap.dcm", "a.tif", "a.ome.zarr", "a.npy")
    for name in names:
        succeed("everything", series, "-o", results / name, *FEW)
        succeed("segment", series, "-o", results / f"s_{name}", *CENTRES, "--propagate")
    succeed("everything", series, "-o", results / "kept.dcm", "--keep-patient", *FEW)
    leaks = {
        path.name: [secret for secret in SECRETS if secret.encode() in content]
        for folder in (results, cache, state_folder, config_folder)
        for path, content in contents(folder).items()
    }
    assert len(leaks) > 2 * len(names)
    assert leaks.pop("kept.dcm") == list(SECRETS)
    assert {name: found for name, found in leaks.items() if found} == {}
    dataset = pydicom.dcmread(results / "a.dcm")
    source = pydicom.dcmread(sorted(series.iterdir())[0])
    assert dataset.StudyInstanceUID == source.StudyInstanceUID
    assert dataset.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert (dataset.PatientName, dataset.StudyDate) == ("Anonymous", "")


def test_errors_quote_no_patient(fail, stub, series, tmp_path):
    path = sorted(series.iterdir())[2]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    line = fail("everything", series, "-o", tmp_path / "a.nii.gz")
    assert path.name in line
    assert not any(secret in line for secret in SECRETS)


@pytest.mark.parametrize(
    "names", [("a.nii.gz", "b.nii.gz"), ("b.nii.gz", "a.nii.gz"), ("a.dcm", "b.nii.gz")]
)
def test_two_annotations_are_compared_where_they_lie(succeed, stub, series, tmp_path, names):
    """One is turned and cut by another program; without places they would not agree."""
    for name in ("a.nii.gz", "a.dcm"):
        succeed("segment", series, "-o", tmp_path / name, *CENTRES)
    nibabel.load(tmp_path / "a.nii.gz").slicer[:, :, 1:].to_filename(tmp_path / "b.nii.gz")
    turned(tmp_path / "b.nii.gz", 0)
    found = json.loads(succeed("evaluate", *(tmp_path / name for name in names), "--json"))
    assert (found["dice"], found["objects_a"], found["objects_b"]) == (1.0, 2, 2)


@pytest.mark.parametrize("names", [("a.dcm", "b.dcm"), ("b.labelmap.dcm", "a.dcm")])
def test_annotations_of_two_frames_of_reference_are_not_compared(
    fail, succeed, stub, tmp_path, names
):
    """The same positions in millimetres, but of a patient who lay elsewhere."""
    for name in names:
        folder = write_series(tmp_path / name[0], VALUES)
        succeed("segment", folder, "-o", tmp_path / name, *CENTRES)
    line = fail("evaluate", *(tmp_path / name for name in names))
    assert "lie in another frame of reference than the image" in line
    assert "register the two first" in line
