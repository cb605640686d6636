"""DICOM images over time, frames of reference, and files that hold no image."""

import tracemalloc

import numpy as np
import pydicom
import pytest
from medical import (
    SECRETS,
    SPACING,
    affine,
    dataset,
    phantom,
    set_pixels,
    write_cine,
    write_multiframe,
    write_other,
    write_series,
)
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless, generate_uid

from napari_sam.images import plane_stack
from napari_sam.images.readers import read_image

VALUES, LABELS = phantom((4, 20, 24), ((1, 8, 9, 5),))
CINE = np.stack([VALUES + 10 * t for t in range(3)])
DOSE, STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.2", "1.2.840.10008.5.1.4.1.1.481.3"
REPORT, STATE = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.11.1"


def trigger(one, k, t):
    """Times of a heart that beats a little faster in each plane."""
    one.TriggerTime = t * (40 - k / 10)


def position(one, k, t):
    one.TemporalPositionIdentifier = t + 1
    one.AcquisitionTime = f"1010{10 + 2 * t}.5"


def acquired(one, k, t):
    one.AcquisitionTime = f"10{10 + t:02d}{k:02d}.25"


def diffusion(one, k, t):
    """One image without a gradient, and two with gradients of other directions."""
    one.DiffusionBValue = 1000.0 * (t > 0)
    acquired(one, k, t)


@pytest.mark.parametrize(
    ("mark", "seconds"), [(trigger, 0.04), (position, 2.0), (acquired, 60.0), (diffusion, None)]
)
def test_images_at_one_position_are_points_in_time(tmp_path, mark, seconds):
    folder = write_cine(tmp_path / "cine", CINE, mark)
    for path in (folder, sorted(folder.iterdir())[5]):
        image = read_image(path)
        assert image.axes == "TZYX"
        assert np.array_equal(image.data, CINE)
        assert image.scale[1:] == pytest.approx([1000 * n for n in SPACING])
        assert image.scale[0] == pytest.approx(seconds or 1.0)
        assert image.units[0] == ("pixel" if seconds is None else "second")
        assert image.scan.times == 3
        assert np.allclose(image.scan.world.lps, affine())
        assert image.notice == ""
    assert len(image.scan.planes) == 12


def test_a_single_position_over_time(tmp_path):
    image = read_image(write_cine(tmp_path / "cine", CINE[:, 1:2], trigger))
    assert image.axes == "TYX"
    assert np.array_equal(image.data, CINE[:, 1])
    assert image.scale == pytest.approx((0.04, 800.0, 700.0))


def test_a_large_cine_is_read_plane_by_plane(tmp_path, monkeypatch):
    folder = write_cine(tmp_path / "cine", CINE, trigger)
    monkeypatch.setattr("napari_sam.images.dicom_files.LIMIT_BYTES", 100)
    image = read_image(folder)
    assert isinstance(image.data, plane_stack.PlaneStack)
    assert image.data.shape == CINE.shape
    assert np.array_equal(image.data[2, 1], CINE[2, 1])
    assert np.array_equal(image.data[1:, :, 4:9], CINE[1:, :, 4:9])


def test_times_that_some_positions_lack_are_told(tmp_path):
    folder = write_cine(tmp_path / "cine", CINE, position)
    (folder / "T2_0001").unlink()
    with pytest.raises(ValueError, match="has 2 to 3 images at each of 4 positions; keep only"):
        read_image(folder)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "TemporalPositionIdentifier",
            "lack temporal positions: 1 at 1 of 4, 4 at 3 of 4; keep",
        ),
        ("DiffusionBValue", "lack b-values: 0 at 1 of 4, 1000 at 2 of 4, 2000 at 1 of 4; keep"),
    ],
)
def test_positions_with_other_points_in_time_are_refused(tmp_path, name, text):
    """As many at each position, but not the same ones."""

    def mark(one, k, t):
        acquired(one, k, t)
        if name == "DiffusionBValue":
            one.DiffusionBValue = 1000.0 * (t if k != 1 else min(t, 1))
            if k == 2:
                one.DiffusionBValue = [1000.0, 1000.0, 2000.0][t]
        else:
            one.TemporalPositionIdentifier = [[1, 2, 3], [2, 3, 4]][k == 1][t]

    folder = write_cine(tmp_path / "cine", CINE, mark)
    with pytest.raises(ValueError, match=text):
        read_image(folder)


def test_a_series_over_midnight(tmp_path):
    def mark(one, k, t):
        seconds = (86390 + 10 * t + 3 * k) % 86400
        one.AcquisitionTime = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"

    image = read_image(write_cine(tmp_path / "cine", CINE, mark))
    assert np.array_equal(image.data, CINE)
    assert image.scale[0] == pytest.approx(10.0)


def test_frames_over_the_end_of_a_month(tmp_path):
    def mark(one, number):
        day = ("20240229235959.98", "20240301000000.02", "20240301000000.06")[number // 4]
        one.FrameContentSequence[0].FrameAcquisitionDateTime = day

    path = write_multiframe(tmp_path / "a.dcm", CINE.reshape(12, 20, 24) * 2, planes=4, change=mark)
    image = read_image(path)
    assert np.array_equal(image.data, CINE * 2)
    assert image.scale[0] == pytest.approx(0.04, rel=1e-3)


def test_trigger_times_that_scatter_do_not_order(tmp_path):
    """Delays after the heart beat of repeated images."""

    def mark(one, k, t):
        acquired(one, k, t)
        one.TriggerTime = (310.0, 290.5, 297.0)[(t + k) % 3]

    image = read_image(write_cine(tmp_path / "cine", CINE, mark))
    assert np.array_equal(image.data, CINE)
    assert image.scale[0] == pytest.approx(60.0)


def test_trigger_times_of_two_images_that_scatter_do_not_order(tmp_path):
    def mark(one, k, t):
        acquired(one, k, t)
        one.TriggerTime = [(300, 310), (320, 290), (300, 305), (315, 300)][k][t]

    assert np.array_equal(read_image(write_cine(tmp_path / "cine", CINE[:2], mark)).data, CINE[:2])


def test_even_trigger_times_order_before_the_clock(tmp_path):
    """Images of a heart that were reconstructed in the other direction."""

    def mark(one, k, t):
        acquired(one, k, 2 - t)
        one.TriggerTime = 40 * t

    image = read_image(write_cine(tmp_path / "cine", CINE, mark))
    assert np.array_equal(image.data, CINE)
    assert image.scale[0] == pytest.approx(0.04)


def test_a_plane_that_is_missing_at_all_times_is_left_blank(tmp_path):
    folder = write_cine(tmp_path / "cine", CINE, position)
    for t in range(3):
        (folder / f"T{t}_0002").unlink()
    image = read_image(folder)
    assert image.data.shape == CINE.shape
    assert np.array_equal(image.data[:, [0, 2, 3]], CINE[:, [0, 2, 3]])
    assert (image.data[:, 1] == -1024).all()
    assert "1 of 4 planes are missing" in image.notice


def test_acquisitions_that_overlap_are_series_of_their_own(tmp_path):
    uids = {"series": "1.2.3", "frame": "1.2.4"}
    for number, planes in ((1, slice(0, 3)), (2, slice(2, 4))):

        def mark(one, k, number=number):
            one.AcquisitionNumber, one.AcquisitionTime = number, f"10101{number}"

        origin = (-30.0, -41.5, 112.25 + 2.5 * planes.start)
        write_series(
            tmp_path / "series", VALUES[planes], origin=origin, change=mark,
            prefix=f"A{number}", **uids,
        )  # fmt: skip
    assert np.array_equal(read_image(tmp_path / "series", 0).data, VALUES[:3])
    assert np.array_equal(read_image(tmp_path / "series", 1).data, VALUES[2:])


def test_kinds_of_images_are_parted_before_times(tmp_path):
    """Magnitude and phase of a cine."""
    whole = np.concatenate([CINE, CINE + 500])

    def mark(one, k, t):
        one.TriggerTime = 40 * (t % 3)
        one.ImageType = ["ORIGINAL", "PRIMARY", "MP"[t // 3]]

    folder = write_cine(tmp_path / "cine", whole, mark)
    for series in (0, 1):
        image = read_image(folder, series)
        assert np.array_equal(image.data, CINE + 500 * series)
        assert "2 series" in image.notice
        assert "12 images of 24 x 20, 3 points in time" in image.notice


def test_frames_of_one_file_over_time(tmp_path):
    def mark(one, number):
        t = number // 4
        one.FrameContentSequence[0].TemporalPositionIndex = t + 1
        one.FrameContentSequence[0].FrameAcquisitionDateTime = f"2024022910{t:02d}30.5+0100"

    path = write_multiframe(tmp_path / "a.dcm", CINE.reshape(12, 20, 24) * 2, planes=4, change=mark)
    image = read_image(path)
    assert image.axes == "TZYX"
    assert np.array_equal(image.data, CINE * 2)
    assert image.scale[0] == pytest.approx(60.0)


def test_another_frame_of_reference_is_another_series(tmp_path):
    """The patient has got up between the two, although the series goes on."""
    folder = write_series(tmp_path / "series", VALUES, series="1.2.3")
    origin = (-30.0, -41.5, 112.25 + 2.5 * len(VALUES))
    write_series(folder, VALUES[:2] + 7, origin=origin, series="1.2.3", prefix="B")
    image = read_image(folder)
    assert np.array_equal(image.data, VALUES)
    assert "2 series" in image.notice
    other = read_image(folder / "B0001")
    assert np.array_equal(other.data, VALUES[:2] + 7)
    assert image.scan.world.reference != other.scan.world.reference != ""


@pytest.mark.parametrize(
    ("kind", "modality", "name"),
    [
        (DOSE, "RTDOSE", "RT Dose"),
        (STRUCTURES, "RTSTRUCT", "RT Structure Set"),
        (REPORT, "SR", "Comprehensive SR"),
        (STATE, "PR", "Grayscale Softcopy Presentation State"),
        ("1.2.840.10008.5.1.4.1.1.9.1.2", "ECG", "General ECG Waveform"),
        ("1.2.3.4.5", "OT", "object of an unknown kind"),
    ],
)
def test_files_that_hold_no_image_are_named(tmp_path, kind, modality, name):
    folder = write_series(tmp_path / "series", VALUES)
    pixels = VALUES.astype(np.uint16) if modality == "RTDOSE" else None
    other = write_other(folder / "other.dcm", kind, modality, pixels)
    image = read_image(folder)
    assert np.array_equal(image.data, VALUES)
    assert image.notice == f"files that hold no image are left out: 1 {name}"
    assert read_image(folder / "IM0002").notice == ""
    with pytest.raises(ValueError, match=f"is no image but a DICOM file of the kind {name}") as one:
        read_image(other)
    assert not any(secret in str(one.value) for secret in SECRETS)
    (tmp_path / "alone").mkdir()
    other.rename(tmp_path / "alone" / "other.dcm")
    with pytest.raises(ValueError, match=f"no DICOM image with pixels, only 1 {name}"):
        read_image(tmp_path / "alone")


def test_a_directory_of_files_is_no_image(tmp_path):
    one = dataset()
    one.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    del one.SOPClassUID, one.SOPInstanceUID
    one.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    with pytest.raises(ValueError, match="of the kind Media Storage Directory"):
        read_image(tmp_path / "DICOMDIR")


@pytest.mark.parametrize(
    ("syntax", "text"),
    [
        ("1.2.840.10008.1.2.4.57", r"JPEG Lossless.*pip install pylibjpeg pylibjpeg-libjpeg$"),
        ("1.2.840.10008.1.2.4.91", r"JPEG 2000.*pip install pylibjpeg pylibjpeg-openjpeg$"),
        ("1.2.840.10008.1.2.5", r"RLE.*pip install pylibjpeg pylibjpeg-rle$"),
        ("1.2.840.10008.1.2.4.100", r"MPEG2.*which is not read; save the images uncompressed"),
        ("1.2.3.4.5", r"1\.2\.3\.4\.5, which is not read; save the images uncompressed"),
    ],
)
def test_the_package_that_decodes_a_compression_is_named(tmp_path, monkeypatch, syntax, text):
    from pydicom.pixels.decoders.base import Decoder

    path = sorted(write_series(tmp_path / "series", VALUES[:1]).iterdir())[0]
    content = path.read_bytes()
    before = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    assert before in content
    after = syntax.encode() + b"\0" * (len(syntax) % 2)
    element = before[:6] + len(after).to_bytes(2, "little") + after
    path.write_bytes(content.replace(before, element))
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    with pytest.raises(ValueError, match=text):
        read_image(path)


def test_a_deflated_series(tmp_path):
    def deflate(one, k):
        one.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian

    folder = write_series(tmp_path / "series", VALUES, change=deflate)
    assert np.array_equal(read_image(folder).data, VALUES)


def test_real_numbers_stay_real(tmp_path):
    values = np.linspace(-3, 1e6, 20 * 24, dtype=np.float32).reshape(20, 24)
    one = dataset("1.2.840.10008.5.1.4.1.1.30", "MR")
    set_pixels(one, values)
    one.FloatPixelData = one.PixelData
    del one.PixelData, one.BitsStored, one.HighBit, one.PixelRepresentation
    one.FrameOfReferenceUID = generate_uid()
    one.save_as(tmp_path / "map.dcm", enforce_file_format=True)
    image = read_image(tmp_path / "map.dcm")
    assert image.data.dtype == np.float32
    assert np.array_equal(image.data, values)


def test_the_header_of_a_file_of_frames_is_read_once(tmp_path, monkeypatch):
    path = write_multiframe(tmp_path / "a.dcm", VALUES)
    monkeypatch.setattr("napari_sam.images.dicom_files.LIMIT_BYTES", 100)
    image = read_image(path)
    headers = []
    read = pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *a, **b: headers.append(a) or read(*a, **b))
    for _ in range(3):
        assert np.array_equal(np.asarray(image.data[:]), VALUES // 2 * 2)
    assert len(headers) == 1


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("limit", [100, 10**9])
def test_compressed_frames_with_and_without_a_table_of_places(tmp_path, monkeypatch, table, limit):
    path = write_multiframe(tmp_path / "a.dcm", VALUES)
    one = pydicom.dcmread(path)
    one.compress(RLELossless)
    frames = list(generate_frames(one.PixelData, number_of_frames=len(VALUES)))
    one.PixelData = encapsulate(frames, has_bot=table)
    one.save_as(path)
    monkeypatch.setattr("napari_sam.images.dicom_files.LIMIT_BYTES", limit)
    data = read_image(path).data
    for k in (3, 0, 2, 1):
        assert np.array_equal(np.asarray(data[k]), VALUES[k] // 2 * 2)


def test_a_compressed_image_that_no_package_understands_is_named(tmp_path):
    large = phantom((1, 40, 48))[0]
    (path,) = write_series(tmp_path / "series", large, compressed=True).iterdir()
    one = pydicom.dcmread(path)
    (frame,) = generate_frames(one.PixelData, number_of_frames=1)
    one.PixelData = encapsulate([frame[:60] + bytes(len(frame) - 60)])
    one.save_as(path)
    with pytest.raises(ValueError, match=r"IM0001.*cannot be decoded; it may be damaged"):
        read_image(path)


@pytest.mark.parametrize(
    ("count", "compressed"),
    [(10**9, False), (5000, False), (-3, False), (10**9, True), (10**5, True), (-3, True)],
)
def test_more_frames_than_a_file_can_hold_are_refused(tmp_path, count, compressed):
    path = write_multiframe(tmp_path / "a.dcm", VALUES)
    one = pydicom.dcmread(path)
    if compressed:
        one.compress(RLELossless)
    del one.PerFrameFunctionalGroupsSequence
    one.NumberOfFrames = count
    one.save_as(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"states {count} frames, which it cannot hold"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 5e7
    finally:
        tracemalloc.stop()
