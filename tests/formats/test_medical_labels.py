"""NIfTI labels and DICOM segmentations: the same voxels for nibabel, highdicom and SimpleITK."""

import json
import os
from dataclasses import replace

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from medical import (
    AXIAL,
    OBLIQUE,
    SECRETS,
    SHEARED,
    affine,
    by_simpleitk,
    millimetres,
    phantom,
    sorted_points,
    turned,
    write_cine,
    write_multiframe,
    write_nifti,
    write_series,
)

from napari_sam.formats.annotation import Annotation
from napari_sam.formats.annotation_layers import annotation_reader
from napari_sam.formats.exchange import format_of
from napari_sam.formats.label_images import check_label_target, geometry_from, write_labels
from napari_sam.formats.medical_layers import medical_reader
from napari_sam.images.readers import read_image
from napari_sam.objects.segmented import SegmentedObject

VALUES, FOUND = phantom()
LABELS = FOUND.astype(np.int32) * 7
"""With gaps between the numbers: 7 and 14."""
SEGMENTATIONS = ("labels.dcm", "labels.labelmap.dcm")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def written(path, image, labels=LABELS, **options):
    """Write labels of an image; return their file."""
    return write_labels(path, labels, image.axes, image.scale, scan=image.scan, **options), path


def series(tmp_path, **options):
    """Return an oblique series, its planes named and numbered against their order."""
    folder = write_series(tmp_path / "series", VALUES, OBLIQUE, reverse=True, **options)
    return read_image(folder)


def by_nibabel(path, label):
    """Return where the voxels of a label lie, in LPS, as nibabel has it."""
    image = nibabel.load(path)
    places = np.argwhere(np.asarray(image.dataobj) == label)
    points = nibabel.affines.apply_affine(LPS @ image.affine, places)
    return sorted_points(points)


def by_highdicom(path, label):
    """Return the same as highdicom has it, by the tracking id of the segment."""
    found = highdicom.seg.segread(path)
    (number,) = found.get_segment_numbers(tracking_id=str(label))
    volume = found.get_volume(segment_numbers=[number], combine_segments=True, relabel=True)
    points = volume.map_indices_to_reference(np.argwhere(volume.array))
    return sorted_points(points)


@pytest.mark.parametrize("name", ["labels.nii", "labels.nii.gz"])
def test_labels_of_a_series_lie_right_for_others(tmp_path, name):
    image = series(tmp_path)
    _, path = written(tmp_path / name, image)
    whole = SimpleITK.ReadImage(str(path))
    for label in (7, 14):
        wanted = millimetres(np.equal(LABELS, label), affine(OBLIQUE))
        assert np.allclose(by_nibabel(path, label), wanted, atol=0.011)
        theirs = by_simpleitk(whole, SimpleITK.GetArrayFromImage(whole) == label)
        assert np.allclose(theirs, wanted, atol=0.011)
    header = nibabel.load(path).header
    assert (int(header["qform_code"]), int(header["sform_code"])) == (1, 1)
    assert np.allclose(header.get_qform(), header.get_sform(), atol=1e-4)
    assert header.get_xyzt_units() == ("mm", "sec")


@pytest.mark.parametrize("missing", [(), (1, 4)], ids=["whole", "missing"])
@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_segments_of_a_series_lie_right_for_others(tmp_path, name, missing):
    image = series(tmp_path, missing=missing, thickness=2.0)
    labels = LABELS.copy()
    labels[list(missing)] = 0
    _, path = written(tmp_path / name, image, labels, classes={7: "nodule"})
    shift = affine(OBLIQUE) @ np.eye(4)
    for label in (7, 14):
        wanted = millimetres(labels == label, shift)
        assert np.allclose(by_highdicom(path, label), wanted, atol=0.011)
    dataset = pydicom.dcmread(path)
    sources = {pydicom.dcmread(one.path).SOPInstanceUID for one in image.scan.planes if one}
    references = dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {one.ReferencedSOPInstanceUID for one in references} == sources
    by_uid = {
        pydicom.dcmread(one.path).SOPInstanceUID: k
        for k, one in enumerate(image.scan.planes)
        if one
    }
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        source = frame.DerivationImageSequence[0].SourceImageSequence[0]
        plane = by_uid[source.ReferencedSOPInstanceUID]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(place, (shift @ [0, 0, plane, 1])[:3], atol=1e-4)
    found = format_of(path).read(path, None)
    assert np.array_equal(found.labels, labels)
    assert [one.category for one in found.objects.values()] == ["nodule", ""]
    assert np.allclose(found.geometry.scan.world.lps, shift, atol=1e-4)


def test_simpleitk_reads_a_binary_segment_at_the_same_voxels(tmp_path):
    image = series(tmp_path)
    one = np.where(LABELS == 7, 7, 0)
    _, path = written(tmp_path / "labels.dcm", image, one)
    found = SimpleITK.ReadImage(str(path))
    theirs = by_simpleitk(found, SimpleITK.GetArrayFromImage(found) > 0)
    assert np.allclose(theirs, millimetres(one, affine(OBLIQUE)), atol=0.011)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_labels_in_a_plane_that_is_missing_are_kept(tmp_path, name):
    image = series(tmp_path, missing=(3,))
    _, path = written(tmp_path / name, image)
    assert LABELS[3].any()
    assert np.array_equal(format_of(path).read(path, LABELS.shape).labels, LABELS)
    wanted = millimetres(LABELS == 14, affine(OBLIQUE))
    assert np.allclose(by_highdicom(path, 14), wanted, atol=0.011)
    for frame in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient)
        own = np.linalg.norm(place - (affine(OBLIQUE) @ [0, 0, 3, 1])[:3]) < 0.01
        assert bool(frame.DerivationImageSequence) != own
        if not own:
            uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
            (source,) = (
                one
                for one in map(pydicom.dcmread, sorted((tmp_path / "series").iterdir()))
                if one.SOPInstanceUID == uid
            )
            assert np.allclose(source.ImagePositionPatient, place, atol=1e-4)


@pytest.mark.parametrize("name", SEGMENTATIONS)
@pytest.mark.parametrize("order", [None, [6, 5, 0, 1, 2, 3, 4]])
def test_segments_of_a_file_of_frames(tmp_path, name, order):
    image = read_image(write_multiframe(tmp_path / "a.dcm", VALUES, OBLIQUE, order=order))
    _, path = written(tmp_path / name, image)
    assert np.array_equal(format_of(path).read(path, None).labels, LABELS)
    for label in (7, 14):
        wanted = millimetres(np.equal(LABELS, label), affine(OBLIQUE))
        assert np.allclose(by_highdicom(path, label), wanted, atol=0.011)
    frame = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence[0]
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    places = pydicom.dcmread(tmp_path / "a.dcm").PerFrameFunctionalGroupsSequence
    same = places[source.ReferencedFrameNumber - 1].PlanePositionSequence[0]
    place = frame.PlanePositionSequence[0].ImagePositionPatient
    assert place == same.ImagePositionPatient


def test_a_tilted_gantry_keeps_its_shear(tmp_path):
    def tilt(one, k):
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, y + 0.7 * k, z]

    image = read_image(write_series(tmp_path / "series", VALUES, change=tilt))
    lps = affine()
    lps[1, 2] += 0.7
    wanted = millimetres(LABELS == 7, lps)
    _, path = written(tmp_path / "a.nii.gz", image)
    assert np.allclose(by_nibabel(path, 7), wanted, atol=0.011)
    assert int(nibabel.load(path).header["qform_code"]) == 0  # which holds no shear
    _, path = written(tmp_path / "a.dcm", image)
    found = format_of(path).read(path, LABELS.shape)
    assert np.array_equal(found.labels, LABELS)
    positions = {
        tuple(one.PlanePositionSequence[0].ImagePositionPatient)
        for one in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    }
    drawn = {
        tuple(np.round((lps @ [0, 0, k, 1])[:3], 6)) for k in np.flatnonzero(LABELS.any((1, 2)))
    }
    assert positions == drawn


@pytest.mark.parametrize("name", ["labels.nii", "labels.nii.gz"])
def test_labels_of_a_sheared_nifti_keep_affine_codes_and_units(tmp_path, name):
    source = write_nifti(tmp_path / "image.nii.gz", VALUES)
    image = read_image(source)
    _, path = written(tmp_path / name, image)
    before, after = nibabel.load(source), nibabel.load(path)
    assert np.array_equal(after.affine, before.affine)
    assert np.array_equal(after.header.get_qform(), before.header.get_qform())
    for field in ("qform_code", "sform_code", "xyzt_units", "pixdim", "dim", "srow_x"):
        assert np.array_equal(after.header[field], before.header[field]), field
    assert np.array_equal(np.asarray(after.dataobj), LABELS.T)
    assert after.get_data_dtype() == np.uint8
    wanted = millimetres(LABELS == 14, LPS @ SHEARED)
    assert np.allclose(by_nibabel(path, 14), wanted, atol=0.011)
    found = format_of(path).read(path, LABELS.shape)
    assert np.array_equal(found.labels, LABELS)


def test_a_volume_of_one_plane_and_a_series_in_time_keep_their_shape(tmp_path):
    for shape in ((1, 6, 7), (3, 2, 6, 7), (3, 1, 6, 7)):
        labels = np.random.default_rng(0).integers(0, 5, shape)
        source = tmp_path / "image.nii"
        nibabel.Nifti1Image(labels.T.astype(np.int16), SHEARED).to_filename(source)
        image = read_image(source)
        labels = labels.reshape(image.label_shape)
        path = tmp_path / "labels.nii"
        write_labels(path, labels, image.label_axes, image.scale, True, scan=image.scan)
        assert nibabel.load(path).shape == shape[::-1]
        assert np.array_equal(format_of(path).read(path, labels.shape).labels, labels)


def test_labels_of_other_images_have_their_spacing(tmp_path):
    path = tmp_path / "labels.nii.gz"
    write_labels(path, LABELS, "ZYX", (2000.0, 500.0, 250.0))
    assert nibabel.load(path).header.get_zooms() == pytest.approx((0.25, 0.5, 2.0))
    with pytest.raises(ValueError, match="refers to the DICOM images"):
        write_labels(tmp_path / "labels.dcm", LABELS, "ZYX")


def test_classes_and_states_of_a_nifti_of_ours(tmp_path):
    geometry = geometry_from("ZYX", (1.0, 1.0, 1.0))
    one = SegmentedObject(7, {}, "nodule", "finished")
    path = tmp_path / "labels.nii.gz"
    format_of(path).write(Annotation(LABELS, {7: one}, geometry), path)
    found = format_of(path).read(path, None)
    assert (found.objects[7].category, found.objects[7].status) == ("nodule", "finished")


@pytest.mark.parametrize("kind", ["float", "half", "negative", "turned"])
def test_labels_of_other_programs(tmp_path, kind):
    image = read_image(write_nifti(tmp_path / "image.nii", VALUES))
    path, labels, matrix = tmp_path / "labels.nii", LABELS.T.astype(np.float32), SHEARED
    if kind == "half":
        labels[0] = 0.5
    elif kind == "negative":
        labels[0] = -1
    elif kind == "turned":  # another order of axes, and cut
        labels = labels.transpose(2, 0, 1)[::-1, :, 3:]
        turn = np.array([[0, 1, 0, 0], [0, 0, 1, 3], [-1, 0, 0, 6], [0, 0, 0, 1]])
        matrix = SHEARED @ turn
    nibabel.Nifti1Image(labels, matrix).to_filename(path)
    one = format_of(path)
    if kind in ("half", "negative"):
        with pytest.raises(ValueError, match=r"labels\.nii|labels go from 0"):
            one.read(path, LABELS.shape)
        return
    found = one.read_in(path, LABELS.shape, image.scan)
    assert np.array_equal(found.labels, LABELS)
    elsewhere = replace(image.scan, world=replace(image.scan.world, frame="LPS"))
    with pytest.raises(ValueError, match="grid|outside"):
        one.read_in(path, LABELS.shape, elsewhere)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_segments_of_another_program_are_placed_in_the_image(tmp_path, name):
    """It has frames only where objects are, and no note of ours."""
    image = series(tmp_path)
    _, path = written(tmp_path / name, image)
    dataset = pydicom.dcmread(path)
    dataset.ManufacturerModelName = "other"
    dataset.private_block(0x0063, "napari-sam-stack")
    dataset.remove_private_tags()
    dataset.save_as(path)
    one = format_of(path)
    part = one.read(path, None)
    planes = np.flatnonzero(LABELS.any((1, 2)))
    wanted = LABELS if name != "labels.dcm" else LABELS // 7  # numbers of segments
    assert np.array_equal(part.labels, wanted[planes[0] : planes[-1] + 1])
    whole = one.read_in(path, LABELS.shape, image.scan)
    assert np.array_equal(whole.labels, wanted)
    with pytest.raises(ValueError, match="shape"):
        one.read(path, LABELS.shape)


@pytest.mark.parametrize("name", SEGMENTATIONS)
@pytest.mark.parametrize("planes", [(3,), (1, 5), (0, 3, 6)])
def test_segments_in_few_planes(tmp_path, name, planes):
    image = series(tmp_path)
    labels = np.zeros_like(LABELS)
    labels[list(planes), 5:9, 7:20] = 7
    _, path = written(tmp_path / name, image, labels)
    one = format_of(path)
    assert np.array_equal(one.read(path, LABELS.shape).labels, labels)
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()  # and so of another program
    dataset.save_as(path)
    assert np.array_equal(one.read_in(path, LABELS.shape, image.scan).labels, labels)
    part = one.read(path, None)
    points = millimetres(part.labels > 0, part.geometry.scan.world.lps)
    assert np.allclose(points, millimetres(labels > 0, affine(OBLIQUE)), atol=0.011)


def test_no_object_and_too_many(tmp_path):
    image = series(tmp_path)
    for name in SEGMENTATIONS:
        _, path = written(tmp_path / name, image, np.zeros_like(LABELS))
        found = format_of(path).read(path, LABELS.shape)
        assert not found.labels.any()
        assert not found.objects
    with pytest.raises(ValueError, match="65535 objects"):
        written(tmp_path / "b.labelmap.dcm", image, LABELS * 10000)


def test_large_labels_are_not_taken_for_others(tmp_path):
    image = series(tmp_path)
    labels = np.zeros(VALUES.shape, np.uint32)
    labels[0, :3, :3], labels[0, 5:8, 5:8], labels[1, :2, :2] = 2, 10**9, 2**31 - 1
    _, path = written(tmp_path / "labels.dcm", image, labels)
    assert np.array_equal(format_of(path).read(path, None).labels, labels)
    labels[2, 0, 0] = 2**31
    with pytest.raises(ValueError, match="go up to 2147483647, but one is 2147483648"):
        written(tmp_path / "larger.dcm", image, labels)


def test_two_segments_of_one_label_are_refused(tmp_path):
    _, path = written(tmp_path / "labels.dcm", series(tmp_path))
    dataset = pydicom.dcmread(path)
    dataset.SegmentSequence[1].TrackingID = "7"
    dataset.save_as(path)
    with pytest.raises(ValueError, match="two segments are called object 7"):
        format_of(path).read(path, None)


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", [*SEGMENTATIONS, "labels.nii.gz", "labels.nii"])
@pytest.mark.parametrize("source", ["series", "frames", "nifti", "nifti2"])
def test_no_patient_is_written_unless_asked(tmp_path, name, source, keep):
    if source.startswith("nifti") and name.endswith(".dcm"):
        return
    made = {
        "series": lambda: series(tmp_path),
        "frames": lambda: read_image(write_multiframe(tmp_path / "a.dcm", VALUES)),
        "nifti": lambda: read_image(write_nifti(tmp_path / "a.nii", VALUES)),
        "nifti2": lambda: read_image(
            write_nifti(tmp_path / "a.nii", VALUES, kind=nibabel.Nifti2Image)
        ),
    }[source]()
    made = replace(made, scan=replace(made.scan, keep_patient=keep))
    _, path = written(tmp_path / name, made)
    content = path.read_bytes()
    if name.endswith(".gz"):
        content = nibabel.load(path).to_bytes()
    found = [secret for secret in SECRETS if secret.encode() in content]
    if not keep or not name.endswith(".dcm"):
        assert found == []
        return
    assert found == list(SECRETS)
    assert pydicom.dcmread(path).PatientName == "Zyxwvu^Quxington"


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_names_of_classes(tmp_path, name):
    image = series(tmp_path)
    classes = {7: "Knötchen 結節", 14: "a\\b " + 70 * "c"}
    _, path = written(tmp_path / name, image, classes=classes)
    found = format_of(path).read(path, None)
    names = [one.category for one in found.objects.values()]
    assert names == ["Knötchen 結節", "a/b " + 60 * "c"]
    objects = {k: SegmentedObject(k, {}, one) for k, one in classes.items()}
    geometry = geometry_from("ZYX", (2500.0, 800.0, 700.0))
    (loss,) = format_of(path).losses(Annotation(LABELS, objects, geometry))
    assert "64 characters" in loss
    assert r"a\b" in loss
    del objects[14]
    assert format_of(path).losses(Annotation(LABELS, objects, geometry)) == []


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_images_that_take_no_segmentation_are_refused_before_the_work(tmp_path, name):
    def bare(one, k):
        del one.FrameOfReferenceUID

    image = series(tmp_path, change=bare)
    with pytest.raises(ValueError, match="take no segmentation.*Frame Of Reference"):
        check_label_target(tmp_path / name, None, False, 3, image.scan)

    def nowhere(one, k):
        del one.ImagePositionPatient

    image = read_image(write_series(tmp_path / "nowhere", VALUES, change=nowhere))
    with pytest.raises(ValueError, match="do not say where their planes lie"):
        check_label_target(tmp_path / name, None, False, 3, image.scan)
    image = read_image(write_series(tmp_path / "gone", VALUES))
    check_label_target(tmp_path / name, None, False, 3, image.scan)
    gone = image.scan.planes[2].path
    gone.unlink()
    with pytest.raises(ValueError, match=f"{gone.name}, which is gone"):
        check_label_target(tmp_path / name, None, False, 3, image.scan)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_segments_of_a_series_whose_directions_are_rounded(tmp_path, name):
    def rounded(one, k):
        digits = 4 + k % 3
        one.ImageOrientationPatient = [
            f"{float(n):.{digits}f}" for n in one.ImageOrientationPatient
        ]
        one.PixelSpacing = [f"{n + 1e-5 * (k % 2):.6f}" for n in (0.8, 0.7)]

    image = series(tmp_path, change=rounded)
    assert image.data.shape == VALUES.shape
    _, path = written(tmp_path / name, image)
    found = format_of(path).read(path, None)
    assert np.array_equal(found.labels, LABELS)
    for label in (7, 14):
        wanted = millimetres(np.equal(LABELS, label), affine(OBLIQUE))
        assert np.abs(by_highdicom(path, label) - wanted).max() < 0.05


@pytest.mark.parametrize("sides", ["YX", "ZYX", "TYX", "TZYX"])
@pytest.mark.parametrize("axis", [0, 1])
def test_labels_that_run_the_other_way_are_turned(tmp_path, sides, axis):
    rng = np.random.default_rng(0)
    extent = {"T": 2, "Z": 3, "Y": 8, "X": 9}
    shape = tuple(extent[side] for side in sides)
    labels = rng.integers(0, 5, shape, np.int32)
    stated = (2, 1, 8, 9) if sides == "TYX" else shape
    source = tmp_path / "image.nii"
    nibabel.Nifti1Image(np.zeros(stated[::-1], np.int16), SHEARED).to_filename(source)
    scan = read_image(source).scan
    path = tmp_path / "labels.nii"
    nibabel.Nifti1Image(labels.reshape(stated).T, SHEARED).to_filename(path)
    turned(path, axis)
    found = format_of(path).read_in(path, shape, scan)
    assert np.array_equal(found.labels, labels)
    assert len(found.geometry.axes) == len(shape)


def test_labels_of_other_points_in_time_are_refused(tmp_path):
    source, path = tmp_path / "image.nii", tmp_path / "labels.nii"
    nibabel.Nifti1Image(np.zeros((9, 8, 3, 4), np.int16), SHEARED).to_filename(source)
    nibabel.Nifti1Image(np.ones((9, 8, 3, 2), np.int16), SHEARED).to_filename(path)
    with pytest.raises(ValueError, match="2 points in time, but the image has 4"):
        format_of(path).read_in(path, (4, 3, 8, 9), read_image(source).scan)


def test_a_single_plane_is_placed(tmp_path):
    """Of one DICOM file, by both formats, and turned by another program."""
    image = read_image(write_series(tmp_path / "series", VALUES[4:5], OBLIQUE))
    plane = LABELS[4].reshape(image.label_shape)
    for name in ("a.nii", *SEGMENTATIONS):
        write_labels(tmp_path / name, plane, image.label_axes, image.scale, scan=image.scan)
        if name == "a.nii":
            turned(tmp_path / name, 0)
        found = format_of(name).read_in(tmp_path / name, plane.shape, image.scan)
        assert np.array_equal(found.labels, plane)
        assert len(found.geometry.axes) == plane.ndim


@pytest.mark.parametrize("planes", [1, 3])
@pytest.mark.parametrize("seconds", [0.05, None])
def test_labels_of_a_cine_are_placed_again(tmp_path, planes, seconds):
    """Of one position or several, at known and unknown times; written as by the dock, too."""

    def mark(one, k, t):
        if seconds is None:
            one.AcquisitionNumber = t + 1
        else:
            one.TriggerTime = 50 * t

    values = np.stack([VALUES[:planes] + 9 * t for t in range(4)])
    image = read_image(write_cine(tmp_path / "cine", values, mark))
    assert image.label_axes == ("TYX" if planes == 1 else "TZYX")
    labels = np.zeros(image.label_shape, np.int32)
    labels[1, ..., 2:5, 3:6], labels[3, ..., 1:3, 20:30] = 7, 8
    for name in ("a.nii.gz", "b.nii"):
        path = tmp_path / name
        if name == "a.nii.gz":
            written(path, image, labels, units=image.units)
        else:
            drawn = geometry_from("ZYX" if planes == 1 else "TZYX", image.scale, image.units)
            format_of(path).write(Annotation(labels, {}, replace(drawn, scan=image.scan)), path)
        header = nibabel.load(path).header
        assert header.get_data_shape() == (48, 40, planes, 4)
        assert header.get_xyzt_units() == ("mm", "sec" if seconds else "unknown")
        assert float(header["pixdim"][4]) == pytest.approx(seconds or 0.0)
        turned(path, 0)
        found = format_of(path).read_in(path, labels.shape, image.scan)
        assert np.array_equal(found.labels, labels)
        assert "".join(found.geometry.axes).upper() == image.label_axes


@pytest.mark.parametrize("unit", ["second", "pixel"])
def test_the_step_of_time_of_a_layer_has_a_unit_where_it_is_known(tmp_path, unit):
    def mark(one, k, t):
        one.AcquisitionNumber = t + 1
        if unit == "second":
            one.TriggerTime = 50 * t

    folder = write_cine(tmp_path / "cine", np.stack([VALUES, VALUES]), mark)
    ((_, options, _),) = medical_reader(str(folder))(str(folder))
    assert options["units"][0] == {"second": "s"}.get(unit, unit)
    image = read_image(folder)
    _, path = written(tmp_path / "a.nii", image, np.stack([LABELS, LABELS]), units=image.units)
    image = nibabel.load(path)
    image.header["intent_code"] = 1002
    path = tmp_path / "b.nii"
    image.to_filename(path)
    ((_, options, kind),) = medical_reader(str(path))(str(path))
    assert kind == "labels"
    assert options["units"] == ({"second": "s"}.get(unit, unit), "mm", "mm", "mm")
    assert options["scale"][0] == pytest.approx(0.05 if unit == "second" else 1.0)


def test_source_images_that_are_gone_are_named(tmp_path):
    image = series(tmp_path)
    gone = image.scan.planes[2].path
    gone.unlink()
    with pytest.raises(ValueError, match=gone.name):
        written(tmp_path / "labels.dcm", image)
    assert [one.name for one in tmp_path.iterdir()] == ["series"]


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_layers_lie_in_millimetres(tmp_path, orientation):
    folder = write_series(tmp_path / "series", VALUES, orientation)
    ((data, options, kind),) = medical_reader(str(folder))(str(folder))
    assert kind == "image"
    assert options["name"] == "CT series 3"
    assert options["contrast_limits"] == (-160.0, 239.0)
    image = read_image(folder)
    _, path = written(tmp_path / "labels.dcm", image)
    ((labels, placed, kind),) = medical_reader(str(path))(str(path))
    assert kind == "labels"
    assert np.array_equal(labels, LABELS)
    for one in (options, placed):
        assert one["units"] == ("mm",) * 3
        assert np.allclose(one["affine"], image.scan.world.layer_affine(), atol=1e-3)
        assert one["scale"] == pytest.approx((2.5, 0.8, 0.7), rel=1e-5)
    assert data.shape == VALUES.shape
    _, path = written(tmp_path / "labels.nii.gz", image)
    ((labels, placed, kind),) = medical_reader([str(path)])([str(path)])
    assert kind == "labels"
    assert np.allclose(placed["affine"], options["affine"], atol=1e-4)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("no image")
    assert medical_reader(os.fspath(tmp_path / "other")) is None


def test_a_project_keeps_where_its_labels_lie(tmp_path):
    image = series(tmp_path)
    geometry = replace(geometry_from("ZYX", (2500.0, 800.0, 700.0)), scan=image.scan)
    path = tmp_path / "a.samproject"
    format_of(path).write(Annotation(LABELS, {}, geometry), path)
    found = format_of(path).read(path, None)
    assert np.array_equal(found.geometry.scan.world.lps, image.scan.world.lps)
    assert found.geometry.scan.planes == ()  # files are not named in it
    assert found.geometry.scan.world == image.scan.world
    assert found.geometry.scan.world.reference != ""
    index = path / "project.json"
    document = json.loads(index.read_text())
    del document["world"]["reference"]  # as earlier versions wrote it
    index.write_text(json.dumps(document))
    assert format_of(path).read(path, None).geometry.scan.world.reference == ""
    ((labels, options, _),) = annotation_reader(str(path))(str(path))
    assert np.array_equal(labels, LABELS)
    assert np.allclose(options["affine"], image.scan.world.layer_affine())
    assert options["scale"] == pytest.approx((2.5, 0.8, 0.7), rel=1e-5)
    again = tmp_path / "a.nii.gz"
    format_of(again).write(found, again)
    assert np.allclose(by_nibabel(again, 7), millimetres(LABELS == 7, affine(OBLIQUE)), atol=0.011)
