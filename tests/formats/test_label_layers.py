"""Label images as layers: ours with their scale, no others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager
from npe2.io_utils import read_get_reader
from PIL import Image

from napari_sam.formats.label_images import PROGRAM, write_labels
from napari_sam.formats.label_layers import label_reader

LABELS = np.arange(3 * 4 * 5, dtype=np.int32).reshape(3, 4, 5) // 7
NOTE = {"program": PROGRAM, "version": "1"}


def layer(path):
    (found,) = label_reader(str(path))(str(path))
    return found


def test_labels_have_the_scale_of_their_image(tmp_path):
    path = tmp_path / "cells_labels.tif"
    write_labels(path, LABELS, "ZYX", (2.0, 0.5, 0.25), provenance=NOTE)
    data, options, kind = layer(path)
    assert kind == "labels"
    assert data.dtype == np.int32  # there is room for more objects
    assert np.array_equal(data, LABELS)
    assert options["name"] == "cells_labels"
    assert options["scale"] == pytest.approx((2.0, 0.5, 0.25))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_labels_without_a_scale(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    write_labels(path, LABELS[1], "YX", provenance=NOTE)
    data, options, _ = layer(path)
    assert np.array_equal(data, LABELS[1])
    assert "scale" not in options


def test_several_files(tmp_path):
    paths = [str(tmp_path / f"{name}_labels.tif") for name in "ab"]
    for number, path in enumerate(paths):
        write_labels(path, LABELS[number], "YX", provenance=NOTE)
    found = label_reader(paths)(paths)
    assert [np.array_equal(data, LABELS[n]) for n, (data, _, _) in enumerate(found)] == [True] * 2


def test_other_files_are_left_to_napari(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS, photometric="minisblack")
    write_labels(tmp_path / "b.tif", LABELS, "ZYX", provenance={"program": "another"})
    tifffile.imwrite(tmp_path / "c.ome.tif", LABELS, metadata={"Description": json.dumps([1])})
    Image.new("L", (4, 5)).save(tmp_path / "d.png")
    (tmp_path / "e.tif").write_bytes(b"II*\0")
    (tmp_path / "f.tif").write_text("text")
    for name in ("a.tif", "b.tif", "c.ome.tif", "d.png", "e.tif", "f.tif", "no.tif"):
        assert label_reader(str(tmp_path / name)) is None


@pytest.mark.skipif(os.name == "nt", reason="there are no such files")
def test_a_pipe_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "labels.tif")
    assert label_reader(str(tmp_path / "labels.tif")) is None


def test_the_manifest_contributes_it(tmp_path):
    manager = PluginManager.instance()
    manager.discover()
    path = tmp_path / "cells_labels.tif"
    write_labels(path, LABELS, "ZYX", (2.0, 0.5, 0.25), provenance=NOTE)
    (found,), reader = read_get_reader([str(path)], stack=False, plugin_name="napari-sam-stack")
    assert reader.plugin_name == "napari-sam-stack"
    assert found[2] == "labels"
    names = {one.plugin_name for one in manager.iter_compatible_readers([str(tmp_path / "a.tif")])}
    assert "napari-sam-stack" not in names  # napari would ask at each file


def test_importing_loads_no_napari():
    code = "import sys; import napari_sam.formats.label_layers; sys.exit('napari' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
