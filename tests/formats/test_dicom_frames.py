"""Frames of DICOM segmentations as other programs read them; frames of reference; time."""

import tracemalloc

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from medical import phantom, write_cine, write_series

from napari_sam.formats import dicom_frames
from napari_sam.formats.exchange import format_of
from napari_sam.formats.label_images import check_label_target, write_labels
from napari_sam.formats.medical_layers import medical_reader
from napari_sam.images.readers import read_image

SEGMENTATIONS = ("labels.dcm", "labels.labelmap.dcm")


def written(path, image, labels, **options):
    write_labels(
        path, labels, image.label_axes, image.scale, scan=image.scan, units=image.units, **options
    )
    return path


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (1, 5), (5, 12)])
def test_frames_that_end_within_a_byte(tmp_path, size):
    """All pixels of many frames, as pydicom and highdicom read them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, (6, *size)) ** 2
    labels[2], labels[0, 0, 0] = 0, 4
    image = read_image(write_series(tmp_path / "series", np.zeros((6, *size), np.int16)))
    path = written(tmp_path / "labels.dcm", image, labels, classes={4: "tumour"})
    values = [int(one) for one in np.unique(labels) if one]
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array.reshape(-1, *size)
    frames = dataset.PerFrameFunctionalGroupsSequence
    order, indices = [], []
    for group, shown in zip(frames, pixels, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        index = group.FrameContentSequence[0].DimensionIndexValues
        plane = round((group.PlanePositionSequence[0].ImagePositionPatient[2] - 112.25) / 2.5)
        source = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert pydicom.dcmread(image.scan.planes[plane].path).SOPInstanceUID == source
        assert index[0] == number
        assert np.array_equal(shown, labels[plane] == values[number - 1])
        order.append((number, plane))
        indices.append(list(index))
    assert indices == sorted(indices)
    assert sorted(order) == sorted(
        (k, z)
        for k, one in enumerate(values, 1)
        for z in np.flatnonzero((labels == one).any((1, 2)))
    )
    segments = dataset.SegmentSequence
    assert [one.TrackingID for one in segments] == [str(one) for one in values]
    assert [one.SegmentNumber for one in segments] == list(range(1, len(values) + 1))
    assert len({one.TrackingUID for one in segments}) == len(values)
    assert {one.TrackingID: one.SegmentLabel for one in segments}["4"] == "tumour"
    read = highdicom.seg.segread(path)
    whole = read.get_volume(combine_segments=True)
    planes = np.flatnonzero(labels.any((1, 2)))
    numbered = np.searchsorted(values, labels) + 1
    numbered[labels == 0] = 0
    shown = numbered[planes.min() : planes.max() + 1]
    assert np.array_equal(whole.array, shown[::-1])  # it counts planes against the normal
    found = format_of(path).read_in(path, labels.shape, image.scan)
    assert np.array_equal(found.labels, labels)
    assert sorted(found.objects) == values
    assert found.objects[4].category == "tumour"


def test_segments_that_share_pixels_are_told(tmp_path):
    """The first one keeps them."""
    values, _ = phantom((2, 9, 10), ((0, 4, 4, 2),))
    image = read_image(write_series(tmp_path / "series", values))
    labels = np.zeros((2, 9, 10), np.int32)
    labels[0, 2:5, 3:7], labels[0, 5:8, 3:7] = 3, 8
    path = written(tmp_path / "labels.dcm", image, labels)
    dataset = pydicom.dcmread(path)
    bits = dataset.pixel_array.reshape(-1, 9, 10)
    bits[1, 4, 3:7] = 1
    dataset.PixelData = np.packbits(bits.ravel(), bitorder="little").tobytes() + b"\0"
    dataset.save_as(path)
    found = format_of(path).read_in(path, labels.shape, image.scan)
    assert np.array_equal(found.labels, labels)
    assert found.notice.startswith("4 pixels that several segments share")


def test_a_segmentation_that_ends_too_early_is_refused(tmp_path):
    image = read_image(write_series(tmp_path / "series", np.zeros((3, 9, 10), np.int16)))
    path = written(tmp_path / "labels.dcm", image, np.ones((3, 9, 10), np.int32))
    dataset = pydicom.dcmread(path)
    dataset.PixelData = dataset.PixelData[:-14]
    dataset.save_as(path)
    with pytest.raises(ValueError, match="end before the last frame"):
        format_of(path).read(path, None)


def test_more_bytes_than_a_file_holds_are_refused(tmp_path, monkeypatch):
    image = read_image(write_series(tmp_path / "series", np.zeros((3, 9, 10), np.int16)))
    monkeypatch.setattr(dicom_frames, "LARGEST", 30)
    with pytest.raises(ValueError, match=r"of 3 frames is larger.*write \.labelmap\.dcm"):
        written(tmp_path / "labels.dcm", image, np.ones((3, 9, 10), np.int32))
    assert [one.name for one in tmp_path.iterdir()] == ["series"]


def test_a_grid_of_far_more_planes_than_a_file_holds_is_refused_before_it_is_made(tmp_path):
    image = read_image(write_series(tmp_path / "series", np.zeros((3, 9, 10), np.int16)))
    labels = np.zeros((3, 9, 10), np.uint8)
    labels[0, 1, 1] = labels[1, 1, 1] = 1
    path = written(tmp_path / "a.dcm", image, labels)
    one = pydicom.dcmread(path)
    del one[next(e.tag for e in one if e.tag.is_private and e.tag.element == 0x1001)]
    place = one.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    place.ImagePositionPatient = [*place.ImagePositionPatient[:2], 1e6]
    measures = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = "0.005"
    one.save_as(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="planes, far more than it holds"):
            format_of(path).read(path, None)
        assert tracemalloc.get_traced_memory()[1] < 5e7  # a grid of them takes 1.6 GB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("apart", ["-2.5", "2.5", "1.25", "0.0", None])
def test_distances_of_planes_that_other_programs_state(tmp_path, apart):
    """With a sign, or the gap between planes."""
    image = read_image(write_series(tmp_path / "series", np.zeros((3, 9, 10), np.int16)))
    labels = np.zeros((3, 9, 10), np.uint8)
    labels[:, 2:4, 3:6] = 1
    path = written(tmp_path / "a.dcm", image, labels)
    one = pydicom.dcmread(path)
    del one[next(e.tag for e in one if e.tag.is_private and e.tag.element == 0x1001)]
    measures = one.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness, measures.SpacingBetweenSlices = "2.5", apart
    one.save_as(path)
    found = format_of(path).read(path, None)
    assert np.array_equal(found.labels, labels)
    assert found.geometry.scan.world.spacing[0] == pytest.approx(2.5)
    one.PerFrameFunctionalGroupsSequence = one.PerFrameFunctionalGroupsSequence[:1]
    one.NumberOfFrames = 1
    one.save_as(path)
    if apart in ("-2.5", "2.5"):
        world = format_of(path).read(path, None).geometry.scan.world
        assert np.allclose(world.lps[:3, :3], image.scan.world.lps[:3, :3], atol=1e-4)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_labels_of_another_frame_of_reference_are_refused(tmp_path, name):
    values, labels = phantom()
    image = read_image(write_series(tmp_path / "a", values, frame="1.2.3"))
    same = read_image(write_series(tmp_path / "b", values, frame="1.2.3"))
    other = read_image(write_series(tmp_path / "c", values, frame="1.2.4"))
    path = written(tmp_path / name, image, labels)
    form = format_of(path)
    assert form.read(path, None).geometry.scan.world.reference == "1.2.3"
    assert np.array_equal(form.read_in(path, labels.shape, same.scan).labels, labels)
    with pytest.raises(ValueError, match="another frame of reference than the image"):
        form.read_in(path, labels.shape, other.scan)


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_a_segmentation_of_a_cine_is_refused_before_the_work(tmp_path, name):
    def mark(one, k, t):
        one.TriggerTime = 40 * t

    image = read_image(write_cine(tmp_path / "cine", np.zeros((3, 2, 9, 10), np.int16), mark))
    with pytest.raises(ValueError, match=r"of one point in time.*of 3; write \.nii\.gz"):
        check_label_target(tmp_path / name, None, False, 4, image.scan)
    labels = np.arange(3 * 2 * 90, dtype=np.int32).reshape(3, 2, 9, 10) % 5
    path = written(tmp_path / "labels.nii.gz", image, labels)
    found = format_of(path).read_in(path, labels.shape, image.scan)
    assert np.array_equal(found.labels, labels)
    assert np.allclose(found.geometry.scan.world.lps, image.scan.world.lps)
    assert nibabel.load(path).header.get_zooms() == pytest.approx((0.7, 0.8, 2.5, 0.04))
    ((data, options, kind),) = medical_reader(str(tmp_path / "cine"))(str(tmp_path / "cine"))
    assert (kind, data.shape) == ("image", (3, 2, 9, 10))
    assert options["units"] == ("s", "mm", "mm", "mm")
    assert options["scale"] == pytest.approx((0.04, 2.5, 0.8, 0.7))
    assert np.allclose(options["affine"], image.scan.world.layer_affine(4))


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_objects_of_an_image_without_a_place(tmp_path, name):
    def bare(one, k):
        del one.ImagePositionPatient, one.ImageOrientationPatient

    image = read_image(write_series(tmp_path / "a", np.zeros((1, 9, 10), np.int16), change=bare))
    labels = np.zeros((9, 10), np.int32)
    labels[2:4, 3:6], labels[6:, 6:] = 5, 9
    path = written(tmp_path / name, image, labels)
    assert np.array_equal(format_of(path).read_in(path, labels.shape, image.scan).labels, labels)
