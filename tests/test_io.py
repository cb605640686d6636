"""Reading images with their axes, and writing labels beside and renamed."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam import files
from napari_sam.formats import label_images
from napari_sam.images import readers

VOLUME = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)
LABELS = (VOLUME > 700).astype(np.int32)


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


def test_labels_keep_axes_scale_and_provenance(tmp_path):
    path = tmp_path / "labels.tif"
    note = {"program": "x", "version": "1", "model": "pocket", "parameters": {"a": 1}}
    written = label_images.write_labels(path, LABELS, "ZYX", (2.0, 0.5, 0.25), provenance=note)
    assert written.dtype == np.uint8
    back = readers.read_image(path)
    assert np.array_equal(back.data, LABELS)
    assert back.axes == "ZYX"
    assert back.scale == pytest.approx((2.0, 0.5, 0.25))
    with tifffile.TiffFile(path) as file:
        tree = tifffile.xml2dict(file.ome_metadata)
        assert file.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
    assert json.loads(tree["OME"]["Image"]["Description"]) == note


@pytest.mark.parametrize(
    ("largest", "dtype"), [(1, "uint8"), (255, "uint8"), (256, "uint16"), (65536, "uint32")]
)
@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_smallest_type(tmp_path, suffix, largest, dtype):
    labels = np.zeros((6, 7), np.int64)
    labels[2, 3] = largest
    path = tmp_path / f"labels{suffix}"
    label_images.write_labels(path, labels, "YX")
    back = readers.read_image(path).data
    assert back.dtype == dtype
    assert np.array_equal(back, labels)


def test_png_of_labels(tmp_path):
    path = tmp_path / "labels.png"
    label_images.write_labels(path, LABELS[1] * 300, "YX", provenance={"model": "pocket"})
    with Image.open(path) as image:
        assert json.loads(image.info["Description"]) == {"model": "pocket"}
    back = readers.read_image(path).data
    assert back.dtype == np.uint16
    assert back.max() == 300


@pytest.mark.parametrize(
    ("labels", "axes", "name", "sentence"),
    [
        (LABELS, "ZYX", "a.png", "one plane"),
        (LABELS[0] + 65536, "YX", "a.png", "65535"),
        (LABELS[0] - 1, "YX", "a.tif", "not negative"),
        (LABELS[0] * 0.5, "YX", "a.tif", "integers"),
        (LABELS[0], "ZYX", "a.tif", "letters"),
        (LABELS[0], "YX", "a.jpg", ".tif, .tiff, .npy, .png"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, labels, axes, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        label_images.write_labels(tmp_path / name, labels, axes)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_result_stays_unless_told(tmp_path):
    path = tmp_path / "labels.tif"
    path.write_bytes(b"precious")
    with pytest.raises(ValueError, match="--overwrite"):
        label_images.write_labels(path, LABELS, "ZYX")
    assert path.read_bytes() == b"precious"
    label_images.write_labels(path, LABELS, "ZYX", overwrite=True)
    assert np.array_equal(readers.read_image(path).data, LABELS)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("link", ["itself", "symlink", "hardlink", "round about"])
def test_the_input_is_never_written_to(tmp_path, link):
    source = tmp_path / "image.tif"
    tifffile.imwrite(source, VOLUME)
    target = tmp_path / "labels.tif"
    if link == "symlink":
        target.symlink_to(source)
    elif link == "hardlink":
        os.link(source, target)
    else:
        (tmp_path / "sub").mkdir()
        target = source if link == "itself" else tmp_path / "sub" / ".." / "image.tif"
    with pytest.raises(ValueError, match="would replace the input"):
        label_images.write_labels(target, LABELS, "ZYX", overwrite=True, source=source)
    assert np.array_equal(tifffile.imread(source), VOLUME)


def test_no_place_for_the_result(tmp_path, monkeypatch):
    for target in (tmp_path / "no" / "labels.tif", tmp_path):
        with pytest.raises(ValueError, match="no place for the result"):
            files.check_target(target, None, overwrite=True)
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="write-protected"):
        files.check_target(tmp_path / "labels.tif", None, overwrite=True)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_torn_result_is_removed_and_the_earlier_one_stays(tmp_path, monkeypatch, error):
    path = tmp_path / "labels.tif"
    label_images.write_labels(path, LABELS, "ZYX")

    def fail(target, *_, **__):
        target.write_bytes(b"half")
        raise error

    monkeypatch.setattr(label_images.tifffile, "imwrite", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ValueError
    with pytest.raises(expected):
        label_images.write_labels(path, LABELS * 2, "ZYX", overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert readers.read_image(path).data.max() == 1


def test_a_text_is_written_beside_and_renamed(tmp_path):
    path = tmp_path / "a.json"
    files.write_text(path, "[]", None, overwrite=False)
    assert path.read_text() == "[]"
    with pytest.raises(ValueError, match="--overwrite"):
        files.write_text(path, "[1]", None, overwrite=False)
    assert list(tmp_path.iterdir()) == [path]
