"""Labels that are written as they come."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import zarr
from ome_zarr_models import open_ome_zarr

from napari_sam.formats.label_images import check_label_target, write_labels
from napari_sam.formats.label_result import label_result
from napari_sam.formats.ome_zarr import read_ome_zarr
from napari_sam.images.readers import StackImage, read_image

SHAPE = (3, 4, 20, 24)
LABELS = np.random.default_rng(0).integers(0, 9, SHAPE).astype(np.int32)
IMAGE = StackImage(
    np.zeros(SHAPE, np.uint8), "TZYX", (60.0, 2.0, 0.25, 0.25), "",
    ("second", "micrometer", "micrometer", "micrometer"), (0.0, 7.0, 0.0, 0.0),
)  # fmt: skip


def test_labels_of_an_ome_zarr_lie_where_the_image_does(tmp_path):
    path = tmp_path / "a.ome.zarr"
    with label_result(path, IMAGE, tmp_path / "cells.tif", False) as result:
        for t, z in np.ndindex(3, 4):
            result.labels[t, z] = LABELS[t, z]
        result.provenance = {"model": "pocket"}
    assert result.count() == 8
    assert np.array_equal(result.labels[...], LABELS)
    found = read_ome_zarr(path)
    assert np.array_equal(found.labels, LABELS)
    assert found.name == "cells.tif"
    assert found.geometry.axes == ("t", "z", "y", "x")
    assert found.geometry.scale == IMAGE.scale
    assert found.geometry.units == IMAGE.units
    assert found.geometry.translate == IMAGE.translate
    image = read_image(path)
    assert (image.axes, image.scale, image.translate) == ("TZYX", IMAGE.scale, IMAGE.translate)
    attributes = json.loads((path / "zarr.json").read_text())["attributes"]
    assert attributes["provenance"] == {"model": "pocket"}
    open_ome_zarr(zarr.open_group(path, mode="r"))  # another program's reader


@pytest.mark.parametrize("suffix", [".tif", ".ome.zarr"])
def test_an_error_leaves_nothing_and_what_was_there(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_labels(path, LABELS, "TZYX")

    def fill():
        with label_result(path, IMAGE, None, True) as result:
            result.labels[0] = 1
            raise RuntimeError("no memory on this device")

    with pytest.raises(RuntimeError, match="no memory on this device"):  # as it was
        fill()
    assert np.array_equal(np.asarray(read_image(path).data), LABELS)
    assert list(tmp_path.iterdir()) == [path]


def test_large_planes_have_smaller_copies(tmp_path):
    path, shape = tmp_path / "a.ome.zarr", (2, 16, 1024)
    labels = np.random.default_rng(0).integers(0, 9, shape).astype(np.int32)
    image = StackImage(np.zeros(shape, np.uint8), "ZYX", (2.0, 0.5, 0.5))
    with label_result(path, image, None, False) as result:
        result.labels[...] = labels
    group = zarr.open_group(path, mode="r")
    assert np.array_equal(group["1"][...], labels[:, ::2, ::2])
    written = tmp_path / "b.ome.zarr"
    write_labels(written, labels, "ZYX", (2.0, 0.5, 0.5))
    assert np.array_equal(zarr.open_group(written, mode="r")["1"][...], labels[:, ::2, ::2])
    assert read_image(written).scale == (2.0, 0.5, 0.5)


def test_memory_is_that_of_a_plane(tmp_path):
    shape = (300, 256, 256)  # 79 MB of labels
    image = StackImage(np.broadcast_to(np.uint8(0), shape), "ZYX")
    plane = np.arange(256 * 256, dtype=np.int32).reshape(256, 256) // 5000
    tracemalloc.start()
    with label_result(tmp_path / "a.ome.zarr", image, None, False) as result:
        for z in range(0, 300, 3):
            result.labels[z] = plane
    assert result.count() == 13
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_places_that_are_refused(tmp_path):
    source = tmp_path / "source.ome.zarr"
    write_labels(source, LABELS, "TZYX")
    other = tmp_path / "folder.ome.zarr"
    other.mkdir()

    def refused(path, sentence, overwrite=True):
        with pytest.raises(ValueError, match=sentence):
            check_label_target(path, source, overwrite, 4)

    refused(source, "would replace the input")
    refused(source / "labels" / "a.ome.zarr", "would lie in the input")
    refused(source / "a.tif", "would lie in the input")
    refused(other, "exists; choose another name or give --overwrite", False)
    refused(other, "holds no labels and is not replaced")
    refused(tmp_path / "no" / "a.ome.zarr", "there is no folder")
    check_label_target(tmp_path / "a.ome.zarr", source, False, 4)
    assert len(list(tmp_path.iterdir())) == 2
