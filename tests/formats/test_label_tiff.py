"""Label TIFFs that declare more than they hold are refused before memory is asked for."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import tifffile

from napari_sam.formats.label_tiff import read_label_tiff, write_label_tiff
from napari_sam.images.readers import read_image

from .annotations import annotation


def refused(path, shape, match, read=read_label_tiff):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=match):
            read(path, *shape)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(None,), ((3, 20, 30),)])
def test_more_planes_than_bytes(tmp_path, shape):
    path = tmp_path / "a.tif"
    write_label_tiff(annotation(), path)
    data = path.read_bytes()
    start = data.index(b'SizeZ="3"')
    wrong = b'SizeZ="99999999"'
    rest = data[start + len(b'SizeZ="3"') :].replace(b'SizeT="1"', b"  ", 1)
    path.write_bytes(data[:start] + wrong + rest)  # of the same length
    refused(path, shape, "names 99999999 planes")
    refused(path, (), "names 99999999 planes", read_image)


@pytest.mark.parametrize("shape", [(None,), ((20, 30),)])
@pytest.mark.parametrize(
    ("tags", "options"),
    [
        ({"StripByteCounts": 2**31 - 1}, {"compression": "zlib"}),
        ({"ImageLength": 60000, "ImageWidth": 60000}, {"compression": "zlib"}),
        ({"ImageLength": 60000, "ImageWidth": 60000}, {}),
        ({"TileLength": 65520, "TileWidth": 65520}, {"compression": "zlib", "tile": (16, 16)}),
    ],
)
def test_sizes_beyond_the_file(tmp_path, tags, options, shape):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 30), np.uint16), **options)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name, value in tags.items():
            file.pages[0].tags[name].overwrite(value, dtype="I")
    refused(path, shape, "torn|expand|larger|shape|cannot|can be read")


def test_labels_that_are_nearly_empty_are_read(tmp_path):
    path = tmp_path / "a.tif"
    labels = np.zeros((2000, 3000), np.uint16)
    labels[5, 5] = 1
    tifffile.imwrite(path, labels, compression="zlib")
    np.testing.assert_array_equal(read_label_tiff(path).labels, labels)
