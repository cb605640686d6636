"""NIfTI and DICOM: values, order of planes, places in millimetres as other readers have them."""

import sys
import tracemalloc

import nibabel
import numpy as np
import pytest
import SimpleITK
from medical import (
    AXIAL,
    OBLIQUE,
    SECRETS,
    SHEARED,
    SPACING,
    affine,
    by_simpleitk,
    dataset,
    millimetres,
    phantom,
    set_pixels,
    write_multiframe,
    write_nifti,
    write_series,
)

from napari_sam.images import plane_stack
from napari_sam.images.ct_windows import WINDOWS, preset_limits, window_limits
from napari_sam.images.readers import read_image
from napari_sam.images.world import WorldAffine, placed

VALUES, LABELS = phantom()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_a_series_is_ordered_by_position(tmp_path, orientation, reverse):
    folder = write_series(tmp_path / "series", VALUES, orientation, reverse=reverse)
    for path in (folder, sorted(folder.iterdir())[3]):
        image = read_image(path)
        assert np.array_equal(image.data, VALUES)
        assert image.axes == "ZYX"
        assert image.scale == pytest.approx([1000 * n for n in SPACING])
        assert image.notice == ""
        assert image.scan.hounsfield
        assert image.scan.window == (-160.0, 239.0)  # 40 +- 200, and half a unit lower
        assert np.allclose(image.scan.world.lps, affine(orientation), atol=1e-6)
        assert not image.scan.world.sheared
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    other = reader.Execute()
    mask = image.data == 250
    theirs = by_simpleitk(other, SimpleITK.GetArrayFromImage(other) == 250)
    ours = millimetres(mask, image.scan.world.lps)
    assert np.allclose(ours, theirs, atol=0.011)


def test_missing_planes_and_gaps_are_told_and_keep_their_place(tmp_path):
    folder = write_series(
        tmp_path / "series", VALUES, OBLIQUE, missing=(1, 4), reverse=True, thickness=2.0
    )
    image = read_image(folder)
    assert "2 of 7 planes are missing and are left blank: planes 1, 4" in image.notice
    assert "2.50 mm apart, but 2.00 mm thick" in image.notice
    assert image.data.shape == VALUES.shape
    assert np.unique(image.data[[1, 4]]).tolist() == [-1024]
    assert np.array_equal(np.delete(image.data, [1, 4], 0), np.delete(VALUES, [1, 4], 0))
    assert [k for k, one in enumerate(image.scan.planes) if one is None] == [1, 4]
    assert np.allclose(image.scan.world.lps, affine(OBLIQUE), atol=1e-6)


def test_a_tilted_gantry_gives_a_sheared_affine(tmp_path):
    def tilt(one, k):
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, y + 0.7 * k, z]

    image = read_image(write_series(tmp_path / "series", VALUES, change=tilt))
    lps = affine()
    lps[1, 2] += 0.7
    assert np.allclose(image.scan.world.lps, lps)
    assert image.scan.world.sheared


@pytest.mark.parametrize("kind", ["two digits", "jitter", "missing"])
def test_a_long_regular_series_whose_positions_are_rounded(tmp_path, kind):
    rng = np.random.default_rng(0)
    count, apart = (120, 3.0) if kind == "jitter" else (200, 0.625)
    off = rng.uniform(-0.02, 0.02, count) * (kind == "jitter")

    def rounded(one, k):
        one.ImagePositionPatient = [0, 0, f"{k * apart + off[k]:.2f}"]

    missing = tuple(range(40, 90)) if kind == "missing" else ()
    values = np.arange(count, dtype=np.int16)[:, None, None] + np.zeros((1, 4, 5), np.int16)
    folder = write_series(
        tmp_path / "series", values, spacing=(apart, 1, 1), change=rounded, missing=missing
    )
    image = read_image(folder)
    left = np.setdiff1d(np.arange(count), missing)
    assert image.data.shape == values.shape
    assert np.array_equal(image.data[left], values[left])
    assert image.scan.world.spacing[0] == pytest.approx(apart, abs=1e-3)


def test_rounded_directions_do_not_part_a_series(tmp_path):
    """0.34202 and 0.3425 lie on both sides of a rounding edge, but are one direction."""

    def rounded(one, k):
        nudge = 4e-4 * (k % 2)
        one.ImageOrientationPatient = [float(n) + nudge for n in one.ImageOrientationPatient]
        one.PixelSpacing = [0.80004 + 2e-5 * (k % 2), 0.7]

    image = read_image(write_series(tmp_path / "series", VALUES, OBLIQUE, change=rounded))
    assert np.array_equal(image.data, VALUES)
    assert image.notice == ""


def test_other_directions_are_series_of_their_own(tmp_path):
    folder = write_series(tmp_path / "series", VALUES, series="1.2.3")
    write_series(folder, VALUES[:3] + 1, OBLIQUE, series="1.2.3", prefix="B")
    image = read_image(folder)
    assert np.array_equal(image.data, VALUES)
    assert "2 series" in image.notice


@pytest.mark.parametrize("kind", ["no intercept", "inverted"])
def test_values_that_are_no_hounsfield_units(tmp_path, kind):
    def change(one, k):
        if kind == "inverted":
            one.PhotometricInterpretation = "MONOCHROME1"
        else:
            del one.RescaleIntercept, one.RescaleSlope, one.RescaleType

    image = read_image(write_series(tmp_path / "series", VALUES, change=change))
    assert not image.scan.hounsfield


def test_uneven_planes_are_refused(tmp_path):
    def shift(one, k):
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, y, z + (1.1 if k == 5 else 0)]

    with pytest.raises(ValueError, match="not evenly spaced: they are 2.50 mm apart, but 3.60 mm"):
        read_image(write_series(tmp_path / "series", VALUES, change=shift))


def test_planes_shifted_sideways_are_refused(tmp_path):
    def shift(one, k):
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x + (1.1 if k == 3 else 0), y, z]

    with pytest.raises(ValueError, match="shifted against one another by up to 0.94 mm"):
        read_image(write_series(tmp_path / "series", VALUES, change=shift))


def test_echoes_at_one_position_are_images_of_their_own(tmp_path):
    folder = tmp_path / "series"
    for echo in (1, 2):

        def mark(one, k, echo=echo):
            one.EchoNumbers, one.InstanceNumber = echo, 10 * echo + k

        write_series(
            folder, VALUES + echo, change=mark, series="1.2.3", study="1.2", prefix=f"E{echo}_"
        )
    for series in (0, 1):
        assert np.array_equal(read_image(folder, series).data, VALUES + series + 1)

    def twice(one, k):
        one.InstanceNumber = k + 20

    folder = write_series(tmp_path / "twice", VALUES, series="1.2.3", frame="1.2.4")
    write_series(folder, VALUES, series="1.2.3", frame="1.2.4", change=twice, prefix="again")
    with pytest.raises(ValueError, match="several images at 112.25 mm along the normal"):
        read_image(folder)


def test_of_several_series_the_largest_is_read_and_all_are_listed(tmp_path):
    folder = write_series(tmp_path / "study", VALUES[:3], prefix="A")
    write_series(folder, VALUES + 1, prefix="B")
    (folder / "notes.txt").write_text("no image")
    image = read_image(folder)
    assert np.array_equal(image.data, VALUES + 1)
    for text in (
        "2 series",
        "(CT, 3 images of 48 x 40)",
        "(CT, 7 images of 48 x 40)",
        "--series N",
    ):
        assert text in image.notice
    assert not any(secret in image.notice for secret in SECRETS)
    first = sorted(folder.glob("A*"))[0]
    assert np.array_equal(read_image(first).data, VALUES[:3])
    sizes = sorted(len(read_image(folder, series).data) for series in (0, 1))
    assert sizes == [3, 7]
    with pytest.raises(ValueError, match="no series 2"):
        read_image(folder, 2)


@pytest.mark.parametrize("order", [None, [6, 5, 0, 1, 2, 3, 4]])
def test_frames_of_one_file_are_ordered_by_position(tmp_path, order):
    path = write_multiframe(tmp_path / "enhanced.dcm", VALUES, OBLIQUE, order=order)
    image = read_image(path)
    assert np.array_equal(image.data, VALUES // 2 * 2)  # stored with a slope of 2
    assert np.allclose(image.scan.world.lps, affine(OBLIQUE), atol=1e-6)
    frames = [one.frame for one in image.scan.planes]
    assert frames == [(order or list(range(7))).index(k) for k in range(7)]


def test_frames_without_a_place_follow_one_another_in_time(tmp_path):
    one = dataset("1.2.840.10008.5.1.4.1.1.3.1", "US")
    set_pixels(one, np.arange(3 * 8 * 9, dtype=np.uint8).reshape(3, 8, 9))
    one.NumberOfFrames, one.FrameTime = 3, 40
    one.save_as(tmp_path / "film.dcm", enforce_file_format=True)
    image = read_image(tmp_path / "film.dcm")
    assert (image.axes, image.data.shape) == ("TYX", (3, 8, 9))
    assert image.data[2, 0, 0] == 144
    assert image.scan.world is None


def test_what_is_stored_inverted_is_turned(tmp_path):
    def invert(one, k):
        one.PhotometricInterpretation = "MONOCHROME1"
        one.BitsStored, one.HighBit = 12, 11

    image = read_image(write_series(tmp_path / "series", VALUES, change=invert))
    total = (0 - 1024) + (4095 - 1024)
    assert np.array_equal(image.data, total - VALUES)
    assert image.scan.window == (total - 239.0, total + 160.0)


@pytest.mark.parametrize("palette", [False, True])
def test_colours(tmp_path, palette):
    rng = np.random.default_rng(0)
    one = dataset("1.2.840.10008.5.1.4.1.1.7", "OT")
    colours = rng.integers(0, 256, (256, 3), np.uint8)
    values = rng.integers(0, 256, (8, 10), np.uint8)
    if palette:
        set_pixels(one, values)
        one.PhotometricInterpretation = "PALETTE COLOR"
        for k, name in enumerate(("Red", "Green", "Blue")):
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(
                one,
                f"{name}PaletteColorLookupTableData",
                (colours[:, k].astype("<u2") << 8).tobytes(),
            )
    else:
        set_pixels(one, colours[values])
        one.SamplesPerPixel, one.PhotometricInterpretation = 3, "RGB"
        one.PlanarConfiguration = 0
        one["PixelData"].VR = "OB"
    one.save_as(tmp_path / "colours.dcm", enforce_file_format=True)
    image = read_image(tmp_path / "colours.dcm")
    assert image.axes == "YXS"
    assert np.array_equal(image.data, colours[values])


def test_a_compressed_series(tmp_path):
    folder = write_series(tmp_path / "series", VALUES, compressed=True)
    assert np.array_equal(read_image(folder).data, VALUES)


def test_a_compression_that_nothing_decodes_is_named(tmp_path, monkeypatch):
    from pydicom.pixels.decoders.base import Decoder

    folder = write_series(tmp_path / "series", VALUES, compressed=True)
    monkeypatch.setattr(Decoder, "is_available", property(lambda self: False))
    with pytest.raises(ValueError, match=r"compressed as JPEG 2000.*pip install pylibjpeg"):
        read_image(folder)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_large_series_is_read_plane_by_plane(tmp_path, monkeypatch, compressed):
    folder = write_series(tmp_path / "series", VALUES, OBLIQUE, missing=(2,), compressed=compressed)
    whole = read_image(folder).data
    path = write_multiframe(tmp_path / "enhanced.dcm", VALUES)
    nifti = write_nifti(tmp_path / "image.nii", VALUES)
    for module in ("dicom_files", "nifti_files"):
        monkeypatch.setattr(f"napari_sam.images.{module}.LIMIT_BYTES", 100)
    for place, values in ((folder, whole), (path, VALUES // 2 * 2), (nifti, VALUES)):
        image = read_image(place)
        assert isinstance(image.data, plane_stack.PlaneStack)
        assert np.array_equal(image.data[3], values[3])
        assert np.array_equal(image.data[1:6, 5:9, ::2], values[1:6, 5:9, ::2])


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_a_sheared_nifti_keeps_its_affine(tmp_path, name):
    path = write_nifti(tmp_path / name, VALUES)
    image = read_image(path)
    assert (image.axes, image.data.dtype) == ("ZYX", np.int16)
    assert np.array_equal(image.data, VALUES)
    assert np.allclose(image.scan.world.ras, SHEARED, atol=1e-6)
    assert image.scan.world.sheared
    lengths = np.linalg.norm(SHEARED[:3, :3], axis=0)
    assert image.scale == pytest.approx(1000 * lengths[::-1], rel=1e-5)
    assert not any(secret.encode() in image.scan.header for secret in SECRETS)


@pytest.mark.parametrize(("least", "known"), [(-1024, True), (0, False), (-20000, False)])
def test_a_nifti_that_reaches_down_to_air_is_taken_for_hounsfield_units(tmp_path, least, known):
    values = VALUES.copy()
    values[0, 0] = least
    assert read_image(write_nifti(tmp_path / "image.nii", values)).scan.hounsfield == known


def test_units_scaling_and_time_of_nifti(tmp_path):
    values = np.arange(2 * 3 * 4 * 5, dtype=np.int16).reshape(2, 3, 4, 5)
    one = nibabel.Nifti1Image(values.T, np.diag([500.0, 600.0, 2000.0, 1.0]))
    one.header.set_xyzt_units("micron", "msec")
    one.header["pixdim"][4] = 250
    one.header.set_slope_inter(0.5, 10)
    path = tmp_path / "series.nii"
    one.to_filename(path)
    stored = nibabel.load(path).get_fdata().T
    image = read_image(path)
    assert (image.axes, image.data.dtype) == ("TZYX", np.float32)
    assert np.allclose(image.data, stored)
    assert image.scale == pytest.approx((0.25, 2000.0, 600.0, 500.0))
    assert image.scan.world.spacing == pytest.approx((2.0, 0.6, 0.5))


@pytest.mark.parametrize("damage", ["header", "end", "size"])
def test_a_damaged_nifti_is_refused_in_a_sentence(tmp_path, damage):
    path = write_nifti(tmp_path / "image.nii", VALUES)
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[70:72] = b"\xff\x7f"  # the type of the voxels
    elif damage == "size":
        content[42:44] = content[44:46] = b"\xff\x7f"
    path.write_bytes(content[:-999] if damage == "end" else content)
    with pytest.raises(ValueError, match=r"image\.nii") as raised:
        read_image(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["nibabel", "pydicom"])
def test_without_the_packages_one_sentence_says_what_to_install(tmp_path, monkeypatch, name):
    path = {
        "nibabel": lambda: write_nifti(tmp_path / "image.nii", VALUES),
        "pydicom": lambda: write_series(tmp_path / "series", VALUES),
    }[name]()
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr("napari_sam.images.scan.find_spec", lambda one: None)
    with pytest.raises(ValueError, match=rf"needs {name}; install it: pip install .*\[medical\]"):
        read_image(path)


def test_windows():
    assert preset_limits("lung") == (-1350.0, 150.0)
    assert preset_limits("brain") == (0.0, 80.0)
    assert set(WINDOWS) == {"lung", "bone", "brain", "abdomen"}
    with pytest.raises(ValueError, match="lung, bone"):
        preset_limits("liver")
    assert window_limits(2048, 4096) == (0.0, 4095.0)  # the example of DICOM PS3.3 C.11.2.1.2.1
    assert window_limits(40, 80, "LINEAR_EXACT") == (0.0, 80.0)
    assert window_limits(40, 1) is None


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_a_layer_lies_in_millimetres_along_its_axes(orientation):
    world = WorldAffine.of(affine(orientation), "LPS")
    shifted = np.eye(4)
    shifted[:3, 3] = [4, 2, 1]  # the same grid from another voxel on
    part = WorldAffine.of(affine(orientation) @ shifted, "LPS")
    layer, own = world.layer_affine(), part.layer_affine()
    place, inside = np.array([2.0, 3.0, 5.0]), np.array([1.0, 1.0, 1.0])
    points = [(layer @ np.append(place * world.spacing, 1))[:3]]
    points += [(own @ np.append(inside * part.spacing, 1))[:3]]
    assert np.allclose(*points)  # both name one voxel
    origin = np.linalg.norm(layer[:3, 3])
    assert origin == pytest.approx(np.linalg.norm(affine(orientation)[:3, 3]))
    if orientation is AXIAL:
        x, y, z, _ = affine() @ [5, 3, 2, 1]
        assert np.allclose(points[0], [z, y, x])
    timed = world.layer_affine(4) @ np.array([7.0, *(place * world.spacing), 1])
    assert np.allclose(timed[:4], [7.0, *points[0]])


def test_a_sheared_image_is_shown_without_its_shear():
    world = WorldAffine.of(SHEARED, "RAS")
    layer = world.layer_affine()
    assert np.array_equal(np.abs(layer[:3, :3]), np.eye(3))
    assert world.spacing == pytest.approx(np.linalg.norm(SHEARED[:3, :3], axis=0)[::-1])


@pytest.mark.parametrize(
    ("orientation", "axes"),
    [
        (AXIAL, "zyx"),
        (((0, 1, 0), (0, 0, -1)), "xzy"),  # sagittal
        (((1, 0, 0), (0, 0, -1)), "yzx"),  # coronal
    ],
)
def test_planes_of_any_orientation_follow_the_first_axis_of_a_layer(orientation, axes):
    world = WorldAffine.of(affine(orientation), "LPS")
    layer = world.layer_affine()
    assert np.count_nonzero(layer[:3, :3]) == 3
    assert np.abs(np.diag(layer)[:3]).tolist() == [1, 1, 1]
    place = dict(zip("xyz", (world.lps @ [5, 3, 2, 1])[:3], strict=True))
    scaled = np.append(np.array([2.0, 3.0, 5.0]) * world.spacing, 1)
    assert np.allclose((layer @ scaled)[:3], [place[axis] for axis in axes])


@pytest.mark.parametrize("turn", range(4))
def test_labels_in_another_order_of_axes_are_placed(turn):
    rng = np.random.default_rng(turn)
    world = WorldAffine.of(affine(OBLIQUE), "LPS")
    # own voxel (i, j, k) is voxel (c - k, i, j + 1) of the image, and the like
    orders = ([0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 2, 1])
    signs = ([1, 1, 1], [-1, 1, 1], [1, -1, -1], [-1, -1, 1])
    step = np.zeros((4, 4))
    step[3, 3] = 1
    sides = np.array([4, 5, 6])  # of the labels: x, y, z
    for axis in range(3):
        step[axis, orders[turn][axis]] = signs[turn][axis]
        step[axis, 3] = 1 + (sides[orders[turn][axis]] - 1 if signs[turn][axis] < 0 else 0)
    labels = rng.integers(0, 9, sides[::-1])
    own = WorldAffine.of(world.lps @ step, "LPS")
    whole = placed(labels, own, world, (9, 9, 9))
    assert np.count_nonzero(whole) == np.count_nonzero(labels)
    for z, y, x in np.argwhere(labels):
        i, j, k = (step @ [x, y, z, 1])[:3].astype(int)
        assert whole[k, j, i] == labels[z, y, x]
    with pytest.raises(ValueError, match="outside the image"):
        placed(labels, own, world, (3, 3, 3))
    half = step.copy()
    half[0, 3] += 0.5
    with pytest.raises(ValueError, match="another grid"):
        placed(labels, WorldAffine.of(world.lps @ half, "LPS"), world, (9, 9, 9))


def test_a_large_file_of_frames_is_never_held_whole(tmp_path, monkeypatch):
    """Neither its pixels, nor what it says of the patient."""
    values = np.zeros((40, 256, 256), np.int16) + np.arange(40, dtype=np.int16)[:, None, None] * 2
    path = write_multiframe(tmp_path / "enhanced.dcm", values)
    monkeypatch.setattr("napari_sam.images.dicom_files.LIMIT_BYTES", 100)
    image = read_image(path)
    read_image(path).data[0]  # what is imported
    tracemalloc.start()
    assert np.array_equal(np.asarray(image.data[17]), values[17])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 2


def test_a_scaled_nifti_takes_little_more_than_its_voxels(tmp_path):
    stored = np.arange(64 * 128 * 128, dtype=np.int16).reshape(64, 128, 128)
    one = nibabel.Nifti1Image(stored.T, SHEARED)
    one.header.set_slope_inter(0.5, 10)
    for name in ("image.nii", "image.nii.gz"):
        one.to_filename(tmp_path / name)
        wanted = nibabel.load(tmp_path / name).get_fdata().T.astype(np.float32)
        tracemalloc.start()
        image = read_image(tmp_path / name)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert np.array_equal(image.data, wanted)
        assert peak < 4.5 * stored.nbytes  # 1 as stored, 2 as float32, and what unpacks them
