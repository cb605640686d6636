"""Reading images with their axes."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.images import readers

VOLUME = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)


def test_plain_tiff_is_mapped_not_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", VOLUME)
    image = readers.read_image(tmp_path / "a.tif")
    assert isinstance(image.data, np.memmap)
    assert image.axes == "ZYX"
    assert image.scale is None
    assert np.array_equal(image.data, VOLUME)


@pytest.mark.parametrize("suffix", [".tif", ".tiff"])
def test_compressed_tiff(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(path, VOLUME, compression="zlib")
    assert np.array_equal(readers.read_image(path).data, VOLUME)


def test_lzw_tiff_is_read_without_further_packages(tmp_path):
    pages = [Image.fromarray(plane) for plane in VOLUME]
    path = tmp_path / "a.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")
    image = readers.read_image(path)
    assert image.axes == "ZYX"
    assert np.array_equal(image.data, VOLUME)


def test_imagej_scale(tmp_path):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 2.0, "unit": "um"}
    tifffile.imwrite(path, VOLUME, imagej=True, resolution=(4.0, 2.0), metadata=metadata)
    image = readers.read_image(path)
    assert image.axes == "ZYX"
    assert image.scale == pytest.approx((2.0, 0.5, 0.25))


def test_ome_scale_in_another_unit(tmp_path):
    path = tmp_path / "a.ome.tif"
    metadata = {"axes": "ZYX"}
    for axis, size in (("Z", 900.0), ("Y", 300.0), ("X", 300.0)):
        metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "nm"}
    tifffile.imwrite(path, VOLUME, metadata=metadata)
    assert readers.read_image(path).scale == pytest.approx((0.9, 0.3, 0.3))


@pytest.mark.parametrize(
    ("shape", "axes", "expected", "result"),
    [
        ((20, 24), "YX", "YX", (20, 24)),
        ((4, 20, 24), "TYX", "TYX", (4, 20, 24)),
        ((2, 20, 24), "CYX", "YXS", (20, 24, 2)),
        ((4, 2, 20, 24), "ZCYX", "ZYXS", (4, 20, 24, 2)),
        ((1, 4, 20, 24), "TZYX", "ZYX", (4, 20, 24)),
    ],
)
def test_axes_of_ome(tmp_path, shape, axes, expected, result):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros(shape, np.uint8), metadata={"axes": axes})
    image = readers.read_image(path)
    assert (image.axes, image.data.shape) == (expected, result)
    assert image.label_shape == tuple(
        n for n, letter in zip(result, expected, strict=True) if letter != "S"
    )


def test_rgb_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 24, 3), np.uint8), photometric="rgb")
    assert readers.read_image(tmp_path / "a.tif").axes == "YXS"


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 6), "YX"), ((5, 6, 3), "YXS"), ((7, 5, 6), "ZYX"), ((7, 5, 6, 3), "ZYXS")],
)
def test_npy(tmp_path, shape, axes):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    image = readers.read_image(tmp_path / "a.npy")
    assert image.axes == axes
    assert isinstance(image.data, np.memmap)


@pytest.mark.parametrize(
    ("mode", "axes"),
    [("L", "YX"), ("RGB", "YXS"), ("RGBA", "YXS"), ("P", "YXS"), ("LA", "YX"), ("1", "YX")],
)
def test_png(tmp_path, mode, axes):
    Image.new(mode, (24, 20)).save(tmp_path / "a.png")
    image = readers.read_image(tmp_path / "a.png")
    assert image.axes == axes
    assert image.data.shape[:2] == (20, 24)


def test_jpeg_and_pages_of_a_gif(tmp_path):
    Image.new("RGB", (24, 20)).save(tmp_path / "a.jpg")
    assert readers.read_image(tmp_path / "a.jpg").axes == "YXS"
    pages = [Image.new("L", (24, 20), shade) for shade in (0, 100, 200)]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    assert readers.read_image(tmp_path / "a.gif").label_shape == (3, 20, 24)


def refused(path, sentence):
    with pytest.raises(ValueError, match=sentence):
        readers.read_image(path)


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "no.tif", "there is no file")
    refused(tmp_path, "is a folder")


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy", "a.txt"])
@pytest.mark.parametrize("content", [b"", b"this is a text", bytes(range(256)) * 4])
def test_not_an_image(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, "not an image")


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


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (2, 2, 4, 5, 6), (2, 2, 2, 5, 6, 3)])
def test_number_of_axes(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape))
    refused(tmp_path / "a.npy", "two axes or three, and colour")
