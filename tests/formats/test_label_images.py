"""Labels as images: written beside and renamed."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sam.formats import label_images
from napari_sam.images import readers

VOLUME = np.arange(5 * 20 * 24, dtype=np.uint16).reshape(5, 20, 24)
LABELS = (VOLUME > 700).astype(np.int32)


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
        (LABELS[0], "XY", "a.tif", "the axes of labels are YX, ZYX, TYX"),
        (LABELS, "CYX", "a.tif", "the axes of labels are YX, ZYX, TYX"),
        (LABELS, "ZYX", "a.png", "one plane"),
        (LABELS[0] + 65536, "YX", "a.png", "65535"),
        (LABELS[0] - 1, "YX", "a.tif", "not negative"),
        (LABELS[0] * 0.5, "YX", "a.tif", "integers"),
        (LABELS[0], "ZYX", "a.tif", "letters"),
        (LABELS[1].astype(np.int64) << 32, "YX", "a.tif", "up to 4294967295"),
        (LABELS[0, 0], "X", "a.tif", "the shape"),
        (LABELS[None, None], "CTZYX", "a.tif", "the shape"),
        (LABELS[:0], "ZYX", "a.tif", "the shape"),
        (LABELS[0], "YX", "a.jpg", ".tif, .tiff, .ome.zarr, .npy, .png"),
    ],
)
def test_labels_that_do_not_fit(tmp_path, labels, axes, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        label_images.write_labels(tmp_path / name, labels, axes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.0, 1, 1), (1, -1.0, 1), (1, 1, np.nan)])
def test_impossible_scales_are_refused(tmp_path, scale):
    with pytest.raises(ValueError, match="a length above 0 for each of ZYX"):
        label_images.write_labels(tmp_path / "a.tif", LABELS, "ZYX", scale)


def test_texts_are_written_with_their_labels(tmp_path):
    labels, text = tmp_path / "a.tif", tmp_path / "a.json"
    label_images.write_labels(labels, LABELS, "ZYX", companions={text: "[1]"})
    assert text.read_text() == "[1]"
    with pytest.raises(ValueError, match="a.json exists"):
        label_images.write_labels(tmp_path / "b.tif", LABELS, "ZYX", companions={text: "[2]"})
    with pytest.raises(ValueError, match="65535"):
        label_images.write_labels(
            tmp_path / "c.png", LABELS[0] + 65536, "YX", companions={text: "[3]"}, overwrite=True
        )
    assert text.read_text() == "[1]"
    assert sorted(tmp_path.iterdir()) == [text, labels]


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
