"""Reading images with their axes."""

from __future__ import annotations

import os

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.images import readers

VOLUME = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)


def test_a_file_is_read_not_mapped(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME)
    image = readers.read_image(tmp_path / "a.tif")
    assert not isinstance(image.data.base, np.memmap)
    assert image.axes == "ZYX"
    assert image.scale is None
    assert image.notice == ""
    assert np.array_equal(image.data, VOLUME)


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".svs", ""])
def test_compressed_tiff_of_any_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(path, VOLUME, compression="zlib")
    assert np.array_equal(readers.read_image(path).data, VOLUME)


@pytest.mark.parametrize(
    ("shape", "axes", "expected", "result"),
    [
        ((20, 24), "YX", "YX", (20, 24)),
        ((4, 20, 24), "TYX", "TYX", (4, 20, 24)),
        ((2, 20, 24), "CYX", "YXC", (20, 24, 2)),
        ((3, 20, 24), "CYX", "YXC", (20, 24, 3)),
        ((4, 2, 20, 24), "ZCYX", "ZYXC", (4, 20, 24, 2)),
        ((2, 4, 20, 24), "CZYX", "ZYXC", (4, 20, 24, 2)),
        ((1, 4, 20, 24), "TZYX", "ZYX", (4, 20, 24)),
        ((1, 20, 24), "CYX", "YX", (20, 24)),
        ((3, 4, 20, 24), "TZYX", "TZYX", (3, 4, 20, 24)),
        ((3, 4, 2, 20, 24), "TZCYX", "TZYXC", (3, 4, 20, 24, 2)),
        ((2, 3, 4, 20, 24), "CTZYX", "TZYXC", (3, 4, 20, 24, 2)),
    ],
)
def test_axes_of_ome(tmp_path, shape, axes, expected, result):
    path = tmp_path / "a.ome.tif"
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": axes})
    image = readers.read_image(path)
    assert (image.axes, image.data.shape) == (expected, result)
    spatial = expected.rstrip("C")
    assert (image.label_axes, image.label_shape) == (spatial, result[: len(spatial)])
    if "C" in expected:
        assert np.array_equal(image.data, np.moveaxis(values, axes.index("C"), -1))


def test_channels_of_imagej(tmp_path):
    values = np.arange(3 * 2 * 20 * 24, dtype=np.uint16).reshape(3, 2, 20, 24)
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "ZCYX"})
    image = readers.read_image(tmp_path / "a.tif")
    assert image.axes == "ZYXC"
    assert np.array_equal(image.data[..., 1], values[:, 1])


def test_a_hyperstack_of_imagej(tmp_path):
    values = np.arange(3 * 4 * 2 * 20 * 24, dtype=np.uint16).reshape(3, 4, 2, 20, 24)
    metadata = {"axes": "TZCYX", "spacing": 2.0, "unit": "um"}
    options = {"imagej": True, "resolution": (4, 4), "metadata": metadata}
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    image = readers.read_image(tmp_path / "a.tif")
    assert (image.axes, image.scale) == ("TZYXC", (1.0, 2.0, 0.25, 0.25))
    assert image.units == ("pixel", "micrometer", "micrometer", "micrometer")
    assert np.array_equal(image.data, np.moveaxis(values, 2, -1))


def test_time_comes_before_depth(tmp_path):
    values = np.arange(3 * 4 * 20 * 24, dtype=np.uint16).reshape(3, 4, 20, 24)
    tifffile.imwrite(tmp_path / "a.ome.tif", values, metadata={"axes": "ZTYX"})
    image = readers.read_image(tmp_path / "a.ome.tif")
    assert image.axes == "TZYX"
    assert np.array_equal(image.data, values.swapaxes(0, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_are_not_channels(tmp_path, dtype, planar, samples):
    values = np.arange(20 * 24 * samples).reshape(20, 24, samples).astype(dtype)
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar)
    image = readers.read_image(tmp_path / "a.tif")
    assert (image.axes, image.data.dtype) == ("YXS", dtype)
    assert np.array_equal(image.data, values)


@pytest.mark.parametrize("samples", [2, 5])
def test_samples_that_are_no_colours_are_channels(tmp_path, samples):
    values = np.zeros((20, 24, samples), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    assert readers.read_image(tmp_path / "a.tif").axes == "YXC"


UNDESCRIBED = [
    ((5, 6), "YX", (5, 6)),
    ((5, 6, 1), "YX", (5, 6)),
    ((5, 6, 2), "YXC", (5, 6, 2)),
    ((5, 6, 3), "YXS", (5, 6, 3)),
    ((3, 8, 9), "ZYX", (3, 8, 9)),
    ((4, 8, 9), "ZYX", (4, 8, 9)),
    ((7, 5, 6), "ZYX", (7, 5, 6)),
    ((7, 5, 6, 1), "ZYX", (7, 5, 6)),
    ((7, 5, 6, 2), "ZYXC", (7, 5, 6, 2)),
    ((7, 5, 6, 3), "ZYXS", (7, 5, 6, 3)),
    ((1, 5, 6), "YX", (5, 6)),
    ((2, 7, 5, 6), "TZYX", (2, 7, 5, 6)),
    ((2, 7, 5, 6, 3), "TZYXS", (2, 7, 5, 6, 3)),
]


@pytest.mark.parametrize(("shape", "axes", "result"), UNDESCRIBED)
def test_npy(tmp_path, shape, axes, result):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.save(tmp_path / "a.npy", values)
    image = readers.read_image(tmp_path / "a.npy")
    assert (image.axes, image.data.shape) == (axes, result)
    assert np.array_equal(image.data, values.reshape(result))


@pytest.mark.parametrize(("shape", "axes", "result"), [u for u in UNDESCRIBED if u[0][-1] < 3])
def test_undescribed_tiff(tmp_path, shape, axes, result):
    values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", values)
    image = readers.read_image(tmp_path / "a.tif")
    assert (image.axes, image.data.shape) == (axes, result)
    assert np.array_equal(image.data, values.reshape(result))


@pytest.mark.parametrize(
    ("mode", "axes"),
    [("L", "YX"), ("RGB", "YXS"), ("RGBA", "YXS"), ("P", "YX"), ("LA", "YX"), ("1", "YX")],
)
def test_png(tmp_path, mode, axes):
    Image.new(mode, (24, 20)).save(tmp_path / "a.png")
    image = readers.read_image(tmp_path / "a.png")
    assert image.axes == axes
    assert image.data.shape[:2] == (20, 24)


@pytest.mark.parametrize("name", ["a.png", "a.jp2"])
@pytest.mark.parametrize("samples", [1, 3])
def test_pictures_of_16_bits_keep_their_values(tmp_path, name, samples):
    values = (np.arange(20 * 24 * samples) * 31).astype(np.uint16).reshape(20, 24, samples)
    values = values[..., 0] if samples == 1 else values
    encode = imagecodecs.png_encode if name == "a.png" else imagecodecs.jpeg2k_encode
    (tmp_path / name).write_bytes(encode(values, level=0 if name == "a.jp2" else 6))
    image = readers.read_image(tmp_path / name)
    assert image.data.dtype == np.uint16
    assert np.array_equal(image.data, values)


@pytest.mark.parametrize(
    ("sign", "largest", "kept"),
    [("P5", 255, True), ("P6", 255, True), ("P5", 65535, True), ("P5", 4095, False),
     ("P6", 65535, False), ("P6", 100, False)],
)  # fmt: skip
def test_ppm_keeps_its_values_or_is_refused(tmp_path, sign, largest, kept):
    values = np.arange(4 * 3 * (3 if sign == "P6" else 1)).astype(">u2" if largest > 255 else "u1")
    header = f"{sign}\n4 3\n{largest}\n".encode()
    (tmp_path / "a.ppm").write_bytes(header + values.tobytes())
    if kept:
        data = readers.read_image(tmp_path / "a.ppm").data
        assert np.array_equal(data.ravel(), values)
    else:
        refused(tmp_path / "a.ppm", "scaled to another range")


def test_jpeg_and_pages_of_a_gif(tmp_path):
    Image.new("RGB", (24, 20)).save(tmp_path / "a.jpg")
    assert readers.read_image(tmp_path / "a.jpg").axes == "YXS"
    pages = [Image.new("L", (24, 20), shade) for shade in (0, 100, 200)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    assert readers.read_image(tmp_path / "a.gif").label_shape == (3, 20, 24)


def test_a_second_picture_of_a_camera_is_left_out_with_a_word(tmp_path):
    first = Image.new("RGB", (24, 20))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[Image.new("RGB", (12, 10))])
    image = readers.read_image(tmp_path / "a.jpg")
    assert image.data.shape == (20, 24, 3)
    assert "read is the first" in image.notice


def refused(path, sentence):
    with pytest.raises(ValueError, match=sentence):
        readers.read_image(path)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "no.tif", "there is no file")
    refused(tmp_path, "is a folder")


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_devices_and_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "a device or a pipe")
    refused("/dev/null", "a device or a pipe")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy", "a.txt"])
@pytest.mark.parametrize("content", [b"", b"this is a text", bytes(range(256)) * 4])
def test_not_an_image(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(
        tmp_path / name, "not an image that can be read; TIFF, NIfTI, DICOM, .npy, PNG, .* are read"
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_torn_tiff(tmp_path, compression, kept, suffix):
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(path, VOLUME, compression=compression, photometric="minisblack")
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="not an image"):
        readers.read_image(path)


def test_empty_images(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 5)))
    refused(tmp_path / "a.npy", "is empty")


@pytest.mark.parametrize("dtype", [np.complex64, "U3", "M8[s]"])
def test_numbers_that_are_not_real(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((4, 5), dtype))
    refused(tmp_path / "a.npy", "real numbers")


def test_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}, {}], object), allow_pickle=True)
    refused(tmp_path / "a.npy", "not an image")


@pytest.mark.parametrize("shape", [(), (5,), (2, 2, 3, 4, 5), (2, 2, 2, 4, 5, 3)])
def test_number_of_axes(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    refused(tmp_path / "a.npy", "two axes to four, and colours or channels")


def test_palettes_and_opacity_of_grey_pictures_leave_grey(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (3, 20, 24), np.uint8)
    frames = [Image.fromarray(plane) for plane in grey]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("P").save(tmp_path / "b.png")
    frames[0].convert("LA").save(tmp_path / "c.png")
    found = readers.read_image(tmp_path / "a.gif")
    assert found.axes == "ZYX"
    assert np.array_equal(found.data, grey)
    for name in ("b.png", "c.png"):
        assert np.array_equal(readers.read_image(tmp_path / name).data, grey[0])


def test_opacity_of_a_grey_picture_of_16_bits_is_left_out(tmp_path):
    values = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 100
    content = imagecodecs.png_encode(np.stack([values, np.full_like(values, 65535)], axis=-1))
    (tmp_path / "a.png").write_bytes(content)
    data = readers.read_image(tmp_path / "a.png").data
    assert data.dtype == np.uint16
    assert np.array_equal(data, values)


def test_a_pgm_of_16_bits_keeps_its_type(tmp_path):
    values = np.arange(20 * 24, dtype=np.uint16).reshape(20, 24) * 100
    Image.fromarray(values).save(tmp_path / "a.pgm")
    data = readers.read_image(tmp_path / "a.pgm").data
    assert data.dtype == np.uint16
    assert np.array_equal(data, values)


def test_names_that_the_disk_does_not_take_and_series_that_are_no_numbers(tmp_path):
    with pytest.raises(ValueError, match="name too long"):
        readers.read_image(tmp_path / f"{'a' * 300}.tif")
    for wrong in ("1", 0.0):
        with pytest.raises(ValueError, match="series is a whole number"):
            readers.read_image(tmp_path, series=wrong)


def test_a_palette_of_colours_is_colours(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    picture = Image.fromarray(values).quantize(16)
    picture.save(tmp_path / "a.png")
    image = readers.read_image(tmp_path / "a.png")
    assert image.axes == "YXS"
    assert np.array_equal(image.data, picture.convert("RGB"))
